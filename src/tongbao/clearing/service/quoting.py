"""Quoting: what one payment would cost, by the lists that hold at an instant, or by a version that is not published yet.

And whether a list could be drafted at all. Nothing is written.
"""

from datetime import datetime
from typing import NamedTuple

from tongbao.clearing.policy.fee_checks import check_spec, read_spec
from tongbao.clearing.policy.fees import Schedule, joined, joint
from tongbao.clearing.policy.price_lists import COSTS, MERCHANTS
from tongbao.clearing.policy.price_timeline import ready, role_of
from tongbao.clearing.schema.fees import Priceable, Priced, ScheduleSpec
from tongbao.clearing.schema.schedules import Role
from tongbao.clearing.service.prices import Prices
from tongbao.clearing.service.pricing import listed


class Quote(NamedTuple):
    """What a payment costs whom, and the merchants' list that it was priced by (version 0: nobody published one)."""

    priced: Priced
    schedule: str
    version: int


class Quoting:
    """Prices one example at a time; writes nothing. One object per process."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices

    async def quote(
        self, example: Priceable, instant: datetime, *, name: str = "", version: int | None = None
    ) -> Quote:
        """Price an example by the list ``name`` (empty: the house's) with the house's costs, as a batch would be.

        ``version`` takes that version of the list, whatever its state, instead of the one in force. A list of costs or
        commissions is taken beside the house's prices. Raises NotFound ``schedule_unknown``, InvalidRequest
        ``schedule_invalid`` where lists do not go together, ``amount_negative``, ``amount_out_of_range`` and those of
        ``core.money``.
        """
        asked = await self._asked(name or MERCHANTS, version, instant)
        role = role_of(asked.spec)
        merchants = asked if role is Role.MERCHANTS else await listed(self._prices, "", MERCHANTS, instant)
        costs = asked if role is Role.COSTS else await listed(self._prices, "", COSTS, instant)
        agents = (asked,) if role is Role.AGENTS else ()
        whole = joint(merchants, costs, *agents)
        return Quote(whole.price(example), whole.name, whole.version)

    async def check(self, spec: object, instant: datetime) -> tuple[ScheduleSpec, Role]:
        """Return a list given in plain JSON values and what it is for, checked as a draft is.

        Raises InvalidRequest ``schedule_invalid`` (``path``, ``reason``).
        """
        accepted = read_spec(spec, is_addition=True)
        role = role_of(accepted)
        if role is Role.MERCHANTS:
            check_spec(accepted)
        else:
            merchant = (await listed(self._prices, "", MERCHANTS, instant)).spec
            joined(merchant, accepted)
            check_spec(accepted, merchant)
        return accepted, role

    async def _asked(self, name: str, version: int | None, instant: datetime) -> Schedule:
        if version is None:
            return await listed(self._prices, "" if name == MERCHANTS else name, MERCHANTS, instant)
        return ready(await self._prices.version(name, version))
