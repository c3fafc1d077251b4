"""What watching keeps of a model in use: what was seen at the last look, and its alarms over time."""

from datetime import datetime

import msgspec

from tongbao.risk.schema.models import Alarm, DriftFacts, Severity, Standing


class KeptAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm as it was seen last; ``since`` when it began, ``worst`` how severe it ever was."""

    alarm: Alarm
    since: datetime
    last_at: datetime
    worst: Severity


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """The latest look at a model in one mode. ``past``: alarms that went away, the newest first.

    ``feature_count``: features whose drift is measured; 0: the model was kept without what they looked like.
    """

    facts: DriftFacts
    alarms: tuple[KeptAlarm, ...]
    past: tuple[KeptAlarm, ...]
    standing: Standing
    feature_count: int = 0
    rolled_back_to: int | None = None
