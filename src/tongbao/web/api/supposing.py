"""Supposing a payment: from what a caller describes to what routing would choose for it now."""

from tongbao.channels.service.registry import Channels, Wish
from tongbao.core.clock import Clock
from tongbao.core.errors import Conflict
from tongbao.core.ids import IdFactory
from tongbao.parties.service.merchants import Merchants
from tongbao.routing.schema.payments import UNKNOWN, Payment
from tongbao.routing.service.router import Asked
from tongbao.routing.service.trying import Trying
from tongbao.web.api.callers import Caller
from tongbao.web.api.decision_models import choice_fields
from tongbao.web.api.rule_models import Simulation, Supposed


class Supposing:
    """Joins what channels can do, who the merchant is, and the router, without a payment."""

    def __init__(
        self, channels: Channels, merchants: Merchants, trying: Trying, clock: Clock, ids: IdFactory
    ) -> None:
        self._channels = channels
        self._merchants = merchants
        self._trying = trying
        self._clock = clock
        self._ids = ids

    async def simulate(self, who: Caller, supposed: Supposed) -> Simulation:
        """Return what would be chosen.

        Raises Conflict ``no_channel`` where no channel can carry it, NoChannel where rules and caps leave none: what
        the payment itself would hear.
        """
        wish = Wish(
            kind=supposed.method,
            presentment=supposed.presentment,
            currency=supposed.currency.upper(),
            amount_minor=supposed.amount_minor,
            live=who.live,
            manual_capture=supposed.manual_capture,
            mandate=supposed.is_recurring,
        )
        eligible = self._channels.eligible(wish)
        objections = {each.channel: each.code for each in eligible.objections}
        if not eligible.channels:
            raise Conflict("no_channel", "no channel takes such a payment now", objections=objections)
        asked = Asked(
            payment=await self._payment(who, supposed),
            candidates=tuple(channel.name for channel in eligible.channels),
            excluded=objections,
        )
        routed = self._trying.try_out(asked)
        fields = choice_fields(Simulation, routed.decision)
        told = {"object": "routing_simulation", "fallbacks": list(routed.fallbacks)}
        return Simulation.model_validate({**fields, **told})

    async def _payment(self, who: Caller, supposed: Supposed) -> Payment:
        country, mcc = supposed.merchant_country, supposed.mcc
        if who.scope is not None:
            merchant = await self._merchants.own(who.scope)
            country = merchant.country if country is None else country
            mcc = merchant.mcc if mcc is None else mcc
        now = self._clock.now()
        return Payment(
            book_id=who.book,
            live=who.live,
            subject_id=self._ids.uuid(),
            amount_minor=supposed.amount_minor,
            currency=supposed.currency.upper(),
            method=supposed.method,
            issuer=supposed.issuer,
            brand=supposed.brand,
            funding=supposed.funding,
            card_country=supposed.card_country,
            merchant_country=country or UNKNOWN,
            mcc=mcc or UNKNOWN,
            is_recurring=supposed.is_recurring,
            hour=now.hour,
            weekday=now.weekday(),
        )
