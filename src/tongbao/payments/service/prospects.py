"""Prospects: which ways to pay an intent has now, and how likely each works, before its payer has chosen one.

Only for showing: nothing is decided, written or counted here, and where routing cannot tell, nobody is told.
"""

from collections.abc import Mapping

import structlog

from tongbao.channels.schema import Presentment
from tongbao.channels.service.registry import Wish
from tongbao.payments.ports import Foresight
from tongbao.payments.schema.intents import Intent
from tongbao.payments.service.desk import Desk

_log = structlog.get_logger(__name__)


class Prospects:
    """Asks the channels what they can do, and routing what it believes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def ways(self, intent: Intent, presentments: Mapping[str, Presentment]) -> dict[str, float | None]:
        """Return the kinds of ``presentments`` that the intent allows and a channel can carry, in their order.

        The value is the chance of an approval in [0, 1]; None where it is not known. A kind whose every channel is out
        of traffic stays: it may work, and the payer may have no other.
        """
        found: dict[str, float | None] = {}
        for kind, presentment in presentments.items():
            if kind in intent.method_kinds:
                names = self._carriers(intent, kind, presentment)
                if names:
                    found[kind] = await self._chance(intent, kind, names)
        return found

    def _carriers(self, intent: Intent, kind: str, presentment: Presentment) -> tuple[str, ...]:
        wish = Wish(
            kind=kind,
            presentment=presentment,
            currency=intent.currency,
            amount_minor=intent.amount_minor,
            live=intent.live,
            manual_capture=not intent.capture_method.at_once,
        )
        return tuple(channel.name for channel in self._desk.channels.eligible(wish).channels)

    async def _chance(self, intent: Intent, kind: str, names: tuple[str, ...]) -> float | None:
        routing = self._desk.routing
        if not isinstance(routing, Foresight):
            return None
        try:
            merchant = await self._desk.profiles.profile(intent.book_id)
            return routing.chance(intent, kind, merchant, names)
        except Exception:
            # The order of a list is no reason to show no page.
            _log.exception("prospects_unknown", id=intent.reference)
            return None
