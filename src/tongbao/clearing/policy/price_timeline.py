"""Which version of a price list holds when, and the lists of a merchant joined into what its movements are priced by."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from tongbao.clearing.policy.fees import Schedule, joint
from tongbao.clearing.schema.fees import Bearer, ScheduleSpec
from tongbao.clearing.schema.schedules import Role, ScheduleState, ScheduleVersion

_NO_PRICES = ScheduleSpec()


def role_of(spec: ScheduleSpec) -> Role:
    """Return what a list is for: a merchant's where it holds any charge that merchants bear, or none at all."""
    bearers = {charge.bearer for charge in spec.charges}
    if not bearers or Bearer.MERCHANT in bearers:
        return Role.MERCHANTS
    return Role.AGENTS if Bearer.AGENT in bearers else Role.COSTS


def in_force(versions: Sequence[ScheduleVersion], at: datetime) -> ScheduleVersion | None:
    """Return the version of one list that holds at an instant: of those published, the last to take effect by then."""
    begun = [
        (version.effective_at, version.version, version)
        for version in versions
        if version.state is ScheduleState.PUBLISHED
        and version.effective_at is not None
        and version.effective_at <= at
    ]
    return max(begun, key=lambda each: each[:2])[2] if begun else None


def ready(version: ScheduleVersion) -> Schedule:
    """Return a version made ready; it was checked when it was drafted."""
    return Schedule(version.name, version.version, version.spec)


class Timeline(NamedTuple):
    """What holds from each of some instants on, ascending; the first holds before it as well."""

    starts: tuple[datetime, ...]
    schedules: tuple[Schedule, ...]

    def at(self, instant: datetime) -> Schedule:
        """Return what holds at an instant."""
        return self.schedules[max(bisect_right(self.starts, instant) - 1, 0)]


def timeline(lists: Sequence[Sequence[ScheduleVersion]], start: datetime, until: datetime) -> Timeline:
    """Return what holds in a time by several lists together, the merchant's first; where one has no version it adds nothing."""
    starts = {
        each.effective_at
        for versions in lists
        for each in versions
        if each.state is ScheduleState.PUBLISHED
        and each.effective_at is not None
        and start < each.effective_at < until
    }
    instants = (start, *sorted(starts))
    schedules = []
    for instant in instants:
        found = [each for versions in lists if (each := in_force(versions, instant)) is not None]
        schedules.append(joint(*map(ready, found)) if found else Schedule("", 0, _NO_PRICES))
    return Timeline(instants, tuple(schedules))
