"""Setting up: a method is checked at a channel with the payer present, and a mandate says what it may be used for.

The check is an authorization of the smallest amount that the channel takes, voided at once: the one that every
acquirer understands. It moves no money and so posts nothing.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.channels.schema import (
    Answer,
    Authorize,
    Follow,
    Method,
    Outcome,
    Presentment,
    Reason,
    kind_of,
)
from tongbao.channels.service.codes import reason_info
from tongbao.channels.service.registry import Wish
from tongbao.core.ids import derive, uuid_text
from tongbao.core.requests.asks import Ask
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter, WrongState
from tongbao.payments.policy import mandates, orders, schedule
from tongbao.payments.schema.changes import Claimed
from tongbao.payments.schema.intents import PaymentError
from tongbao.payments.schema.methods import (
    Mandate,
    MandateState,
    PaymentMethod,
    Period,
    SetupIntent,
    SetupState,
)
from tongbao.payments.schema.orders import Done, MandateTerms, Page, PageOrder, SetupView
from tongbao.payments.service.desk import NOBODY, Desk, Planned
from tongbao.payments.service.intents import client_secret

CHECKED_CURRENCY = "CNY"
CHECKED_MINOR_MIN = 100
_OPEN = frozenset(
    {
        SetupState.REQUIRES_PAYMENT_METHOD,
        SetupState.REQUIRES_CONFIRMATION,
        SetupState.REQUIRES_ACTION,
    }
)


_NOTHING_HELD = frozenset({Outcome.DECLINED, Outcome.NOT_SENT, Outcome.NOT_FOUND})


class Checked(NamedTuple):
    """A set-up that is committed as being checked, and what it is checked with."""

    setup: SetupIntent
    method: PaymentMethod
    currency: str


class Setups:
    """The use cases around set-up intents and mandates."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(
        self,
        scope: Scope,
        *,
        customer_id: UUID | None = None,
        method_id: UUID | None = None,
        usage: str = "off_session",
        description: str | None = None,
        terms: MandateTerms | None = None,
        metadata: dict[str, str] | None = None,
        confirm: bool = False,
        payer_address: str | None = None,
        ask: Ask | None = None,
    ) -> Done[SetupView]:
        """Make a set-up intent, and check its method at once with ``confirm``. Raises as ``confirm`` does."""
        if usage not in ("off_session", "on_session"):
            raise BadParameter("parameter_invalid", "usage", "one of off_session, on_session")
        if usage == "off_session":
            await self._desk.require(scope.book_id, "mandates")
        orders.check_metadata(metadata or {})
        _check_terms(terms, self._desk.clock.now())
        desk, now, setup_id = self._desk, self._desk.clock.now(), self._desk.ids.uuid()
        method = await self._method(scope.book_id, method_id, customer_id)
        setup = SetupIntent(
            id=setup_id,
            book_id=scope.book_id,
            live=scope.live,
            created_at=now,
            updated_at=now,
            metadata=metadata or {},
            state=SetupState.REQUIRES_CONFIRMATION if method else SetupState.REQUIRES_PAYMENT_METHOD,
            customer_id=customer_id,
            method_id=method_id,
            usage=usage,
            description=description,
            client_secret=client_secret(SetupIntent.PREFIX, setup_id),
            mandate_terms=None if terms is None else _plain(terms),
        )
        view = SetupView(setup, method)
        ends = not confirm

        async def plan() -> Planned:
            change = desk.change(
                setup,
                now,
                claim=ask,
                ask=ask if ends else None,
                view=view,
                inserts=(setup,),
                events=(("setup_intent.created", setup),),
            )
            return Planned(change, view)

        done = await desk.decide(plan, reference=setup.reference, resume=self._resume(scope, ask))
        if ends or done.view is None:
            return done
        return await self._confirm(scope, setup_id, method_id, terms, payer_address, ask, is_claimed=True)

    async def confirm(
        self,
        scope: Scope,
        setup_id: UUID,
        *,
        method_id: UUID | None = None,
        terms: MandateTerms | None = None,
        payer_address: str | None = None,
        ask: Ask | None = None,
    ) -> Done[SetupView]:
        """Check a method and keep it for the customer, with a mandate where it is for use off session.

        A decline is a view with ``last_error``. Raises Missing, BadParameter, WrongState
        ``setup_intent_unexpected_state`` or ``no_channel``.
        """
        _check_terms(terms, self._desk.clock.now())
        return await self._confirm(scope, setup_id, method_id, terms, payer_address, ask, is_claimed=False)

    async def cancel(
        self, scope: Scope, setup_id: UUID, reason: str | None = None, *, ask: Ask | None = None
    ) -> Done[SetupView]:
        """Cancel a set-up intent that has not ended; raise Missing, WrongState."""

        async def plan() -> Planned:
            setup = await self._desk.read(SetupIntent, scope.book_id, setup_id)
            _check_open(setup, "cancel")
            now = self._desk.clock.now()
            gone = setup.changed(now, state=SetupState.CANCELED, cancel_reason=reason)
            return self._planned(gone, None, None, now, ask, "setup_intent.canceled")

        return await self._desk.decide(
            plan, reference=uuid_text(SetupIntent.PREFIX, setup_id), asked=(scope.book_id, ask)
        )

    async def get(self, scope: Scope, setup_id: UUID) -> SetupView:
        """Return a set-up intent with its method and mandate; raise Missing."""
        setup = await self._desk.read(SetupIntent, scope.book_id, setup_id)
        mandate = None
        if setup.mandate_id is not None:
            mandate = await self._desk.read(Mandate, scope.book_id, setup.mandate_id)
        return SetupView(setup, await self._method(scope.book_id, setup.method_id, None), mandate)

    async def page(self, scope: Scope, order: PageOrder) -> Page[SetupIntent]:
        """Return set-up intents, newest first; ``owner_id`` keeps those of one customer."""
        return await self._desk.page(SetupIntent, scope.book_id, order)

    async def resolve(self, setup: SetupIntent) -> None:
        """Let a set-up be confirmed again whose check was cut short: it moved no money, so nothing is lost."""

        async def plan() -> Planned:
            standing = await self._desk.read(SetupIntent, setup.book_id, setup.id)
            now = self._desk.clock.now()
            if standing.state is not SetupState.PROCESSING:
                return Planned(None, None)
            again = standing.changed(now, state=SetupState.REQUIRES_CONFIRMATION, due_at=None)
            return Planned(self._desk.change(again, now, updates=(again,)), None)

        await self._desk.decide(plan, reference=setup.reference)

    async def mandate(self, scope: Scope, mandate_id: UUID) -> Mandate:
        """Return a mandate; raise Missing."""
        return await self._desk.read(Mandate, scope.book_id, mandate_id)

    async def mandates(self, scope: Scope, order: PageOrder) -> Page[Mandate]:
        """Return mandates, newest first; ``owner_id`` keeps those of one customer."""
        return await self._desk.page(Mandate, scope.book_id, order)

    async def end_mandate(self, scope: Scope, mandate_id: UUID, *, ask: Ask | None = None) -> Done[Mandate]:
        """End a mandate for good, as the payer or the merchant wishes; ending it again changes nothing."""

        async def plan() -> Planned:
            mandate = await self._desk.read(Mandate, scope.book_id, mandate_id)
            now = self._desk.clock.now()
            if mandate.state is MandateState.INACTIVE and mandate.ends_at is not None:
                return Planned(self._desk.change(mandate, now, claim=ask, ask=ask, view=mandate), mandate)
            ended = mandate.changed(now, state=MandateState.INACTIVE, ends_at=mandate.ends_at or now)
            change = self._desk.change(
                ended,
                now,
                claim=ask,
                ask=ask,
                view=ended,
                updates=(ended,),
                events=(("mandate.updated", ended),),
            )
            return Planned(change, ended)

        return await self._desk.decide(
            plan, reference=uuid_text(Mandate.PREFIX, mandate_id), asked=(scope.book_id, ask)
        )

    async def pause_mandate(self, scope: Scope, mandate_id: UUID, *, is_paused: bool) -> Mandate:
        """Pause a mandate as its payer wishes, or let it go on; raise Missing, WrongState ``mandate_ended``."""

        async def plan() -> Planned:
            mandate = await self._desk.read(Mandate, scope.book_id, mandate_id)
            now = self._desk.clock.now()
            after = mandates.paused(mandate, now, is_paused=is_paused)
            if after is None:
                return Planned(None, mandate)
            change = self._desk.change(after, now, updates=(after,), events=(("mandate.updated", after),))
            return Planned(change, after)

        done: Done[Mandate] = await self._desk.decide(plan, reference=uuid_text(Mandate.PREFIX, mandate_id))
        assert done.view is not None
        return done.view

    async def _confirm(
        self,
        scope: Scope,
        setup_id: UUID,
        method_id: UUID | None,
        terms: MandateTerms | None,
        payer_address: str | None,
        ask: Ask | None,
        *,
        is_claimed: bool,
    ) -> Done[SetupView]:
        async def plan() -> Planned:
            setup = await self._desk.read(SetupIntent, scope.book_id, setup_id)
            _check_open(setup, "confirm")
            method = await self._method(scope.book_id, method_id or setup.method_id, setup.customer_id)
            if method is None:
                raise BadParameter("setup_intent_method_missing", "payment_method", "give a payment method")
            now = self._desk.clock.now()
            currency = (_given(setup, terms).currency or CHECKED_CURRENCY).upper()
            checking = setup.changed(
                now,
                state=SetupState.PROCESSING,
                due_at=schedule.after_sending(now),
                method_id=method.id,
                channel=self._channel(setup, method.method, currency),
                last_error=None,
            )
            claim = None if is_claimed else ask
            change = self._desk.change(checking, now, claim=claim, updates=(checking,))
            return Planned(change, Checked(checking, method, currency))

        done = await self._desk.decide(
            plan,
            reference=uuid_text(SetupIntent.PREFIX, setup_id),
            asked=NOBODY if is_claimed else (scope.book_id, ask),
            resume=self._resume(scope, ask),
        )
        if done.view is None or isinstance(done.view, SetupView):
            return done
        checked: Checked = done.view
        answer = await self._check(checked, payer_address)
        self._desk.forget_code(checked.method.method)
        return await self._end(checked, answer, terms, payer_address, ask)

    async def _check(self, checked: Checked, payer_address: str | None) -> Answer:
        """Authorize a small amount and let it go again; return the answer to the authorization."""
        setup = checked.setup
        assert setup.channel is not None
        channel = self._desk.channel(setup.channel)
        reference = uuid_text("pa", derive(setup.id, f"check:{setup.version}"))
        amount = max(CHECKED_MINOR_MIN, channel.capabilities.amount_minor_min)
        answer = await channel.authorize(
            Authorize(
                reference=reference,
                amount_minor=amount,
                currency=checked.currency,
                capture=False,
                method=checked.method.method,
                merchant=await self._desk.profiles.profile(setup.book_id),
                description=setup.description or setup.reference,
                payer_address=payer_address,
            )
        )
        if answer.outcome not in _NOTHING_HELD:
            await channel.void(
                Follow(
                    reference=uuid_text("act", derive(setup.id, f"void:{setup.version}")),
                    authorization_reference=reference,
                    channel_reference=answer.channel_reference,
                    amount_minor=amount,
                    total_minor=amount,
                    currency=checked.currency,
                    method=checked.method.method,
                )
            )
        return answer

    async def _end(
        self,
        checked: Checked,
        answer: Answer,
        terms: MandateTerms | None,
        payer_address: str | None,
        ask: Ask | None,
    ) -> Done[SetupView]:
        async def plan() -> Planned:
            setup = await self._desk.read(SetupIntent, checked.setup.book_id, checked.setup.id)
            method = await self._desk.read(PaymentMethod, setup.book_id, checked.method.id)
            now = self._desk.clock.now()
            if setup.state is not SetupState.PROCESSING:
                view = SetupView(setup, method)
                return Planned(self._desk.change(setup, now, ask=ask, view=view), view)
            if answer.outcome is not Outcome.APPROVED:
                failed = setup.changed(
                    now,
                    state=SetupState.REQUIRES_PAYMENT_METHOD,
                    due_at=None,
                    method_id=None,
                    last_error=_error(setup, answer),
                )
                return self._planned(
                    failed, method, None, now, ask, "setup_intent.setup_failed", ends_only=True
                )
            mandate = self._mandate(setup, method, answer, terms, payer_address, now)
            kept = method.changed(now, customer_id=setup.customer_id) if setup.customer_id else None
            ready = setup.changed(
                now,
                state=SetupState.SUCCEEDED,
                due_at=None,
                mandate_id=mandate.id if mandate else None,
                channel_reference=answer.channel_reference,
            )
            view = SetupView(ready, kept or method, mandate)
            change = self._desk.change(
                ready,
                now,
                ask=ask,
                view=view,
                inserts=(mandate,) if mandate else (),
                updates=(ready, kept),
                events=(("setup_intent.succeeded", ready),),
            )
            return Planned(change, view)

        return await self._desk.decide(plan, reference=checked.setup.reference)

    def _mandate(
        self,
        setup: SetupIntent,
        method: PaymentMethod,
        answer: Answer,
        terms: MandateTerms | None,
        payer_address: str | None,
        now: datetime,
    ) -> Mandate | None:
        """Return the mandate that a payer gave with a set-up for use off session."""
        if setup.usage != "off_session":
            return None
        given = _given(setup, terms)
        return Mandate(
            id=self._desk.ids.uuid(),
            book_id=setup.book_id,
            live=setup.live,
            created_at=now,
            updated_at=now,
            state=MandateState.ACTIVE,
            method_id=method.id,
            customer_id=setup.customer_id,
            currency=given.currency.upper() if given.currency else None,
            amount_minor_max=given.amount_minor_max,
            period=Period(given.period) if given.period else None,
            period_minor_max=given.period_minor_max,
            period_count_max=given.period_count_max,
            ends_at=given.ends_at,
            network_reference=answer.network_reference,
            accepted_at=now,
            accepted_address=payer_address,
        )

    def _channel(self, setup: SetupIntent, method: Method, currency: str) -> str:
        kind = kind_of(method)
        wish = Wish(
            kind=kind,
            presentment=getattr(method, "presentment", Presentment.DIRECT),
            currency=currency,
            amount_minor=CHECKED_MINOR_MIN,
            live=setup.live,
            manual_capture=True,
            mandate=setup.usage == "off_session",
        )
        fit = self._desk.channels.eligible(wish).channels
        if not fit:
            raise WrongState("no_channel", f"no channel can check {kind} in {currency} for later use")
        return fit[0].name

    async def _method(
        self, book_id: int, method_id: UUID | None, customer_id: UUID | None
    ) -> PaymentMethod | None:
        if method_id is None:
            return None
        method = await self._desk.read(PaymentMethod, book_id, method_id, "payment_method")
        if customer_id is not None and method.customer_id not in (None, customer_id):
            raise BadParameter(
                "payment_method_customer_mismatch", "payment_method", "it belongs to another customer"
            )
        return method

    def _resume(self, scope: Scope, ask: Ask | None) -> Callable[[Claimed], Awaitable[Done[SetupView]]]:
        """Return what answers a request whose first run was cut short."""

        async def resume(claimed: Claimed) -> Done[SetupView]:
            assert claimed.subject_id is not None
            subject_id = claimed.subject_id

            async def plan() -> Planned:
                view = await self.get(scope, subject_id)
                change = self._desk.change(view.setup, self._desk.clock.now(), ask=ask, view=view)
                return Planned(change, view)

            return await self._desk.decide(plan, reference="the request")

        return resume

    def _planned(
        self,
        setup: SetupIntent,
        method: PaymentMethod | None,
        mandate: Mandate | None,
        now: datetime,
        ask: Ask | None,
        told: str,
        *,
        ends_only: bool = False,
    ) -> Planned:
        view = SetupView(setup, method, mandate)
        change = self._desk.change(
            setup,
            now,
            claim=None if ends_only else ask,
            ask=ask,
            view=view,
            updates=(setup,),
            events=((told, setup),),
        )
        return Planned(change, view)


def _check_open(setup: SetupIntent, verb: str) -> None:
    if setup.state not in _OPEN:
        raise WrongState(
            "setup_intent_unexpected_state",
            f"{setup.reference} is {setup.state}; it cannot be used to {verb}",
            setup_intent=setup.reference,
        )


def _check_terms(terms: MandateTerms | None, now: datetime) -> None:
    """Raise BadParameter for caps that are not positive, a period that does not exist, or an end in the past."""
    if terms is None:
        return
    if terms.currency is not None:
        orders.known_currency(terms.currency)
    for value, param in (
        (terms.amount_minor_max, "amount_max"),
        (terms.period_minor_max, "period_amount_max"),
        (terms.period_count_max, "period_count_max"),
    ):
        if value is not None and value <= 0:
            raise BadParameter("parameter_invalid", f"mandate_data[{param}]", "a cap is positive")
    if terms.period is not None and terms.period not in set(Period):
        raise BadParameter("parameter_invalid", "mandate_data[period]", f"one of {', '.join(Period)}")
    if terms.ends_at is not None and terms.ends_at <= now:
        raise BadParameter("parameter_invalid", "mandate_data[ends_at]", "the end lies in the past")


def _error(setup: SetupIntent, answer: Answer) -> PaymentError:
    reason = answer.reason or (
        Reason.NETWORK_TIMEOUT if answer.outcome is not Outcome.DECLINED else Reason.OTHER
    )
    known = reason_info(reason)
    return PaymentError(
        reason=reason,
        fault=known.fault,
        retry=known.retry,
        channel=setup.channel,
        channel_code=answer.code,
        channel_message=answer.message,
    )


def _given(setup: SetupIntent, terms: MandateTerms | None) -> MandateTerms:
    """Return the terms given now, or those that the set-up was made with."""
    return terms or msgspec.convert(setup.mandate_terms or {}, MandateTerms)


def _plain(terms: MandateTerms) -> dict[str, object]:
    return {name: value for name in terms.__struct_fields__ if (value := getattr(terms, name)) is not None}
