"""Channels on paper: acquirers and wallets in memory that approve, remember what they did, and know what they are owed for it.

They are the other party: their record is written from what they were asked and answered, never from the books of the house, so
that what they report at the end of a day is a second truth. Prices are theirs as well, reckoned here by themselves.
"""

import random
from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from tongbao.channels.errors import NotificationMalformed
from tongbao.channels.schema import (
    Acknowledgment,
    Answer,
    Authorize,
    Capabilities,
    Follow,
    Inquire,
    Notification,
    NotificationKind,
    Outcome,
    Payout,
    Presentment,
    RawNotification,
    Reason,
    WireUnit,
)
from tongbao.core.clock import Clock
from tongbao.core.errors import LimitExceeded

RECORD_MAX = 1_000_000
"""Acts that a channel remembers; more is no day's work but a mistake."""
_MILLION = 1_000_000


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel takes: millionths of a sale, rounded half up, and a fixed fee for a dispute by currency, minor units.

    ``gives_back``: a refund brings its proportion of the fee back.
    """

    rate_e6: int
    dispute_minor: Mapping[str, int] = {}
    gives_back: bool = False


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How often a channel says no, loses its answer after the deed, and refuses a refund; shares of the calls."""

    declined_share: float = 0.04
    lost_share: float = 0.01
    refused_share: float = 0.08


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a channel did. ``amount_minor`` is signed as the house sees it; ``kind`` is a word of settlement files.

    ``reference`` is the house's, ``channel_reference`` the channel's own; ``payment`` and ``order`` are those of the payment
    that it belongs to, the channel's and the house's.
    """

    kind: str
    reference: str
    channel_reference: str
    payment: str
    order: str
    amount_minor: int
    fee_minor: int
    currency: str
    at: datetime


class PaperChannel:
    """One channel; see ``channels.ports.Channel`` for the methods. Repeats of a reference get the first answer."""

    def __init__(
        self, name: str, can: Capabilities, tariff: Tariff, clock: Clock, habits: Habits, rng: random.Random
    ) -> None:
        self._name = name
        self._can = can
        self._tariff = tariff
        self._clock = clock
        self._habits = habits
        self._rng = rng
        self._answers: dict[str, Answer] = {}
        self._sold: dict[str, Act] = {}
        self._refunded: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._count = 0
        self.record: list[Act] = []

    @property
    def name(self) -> str:
        """Name of the route."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._can

    async def authorize(self, call: Authorize) -> Answer:
        """Take the money at once, or reserve it; now and then say no, or do it and be silent."""
        known = self._answers.get(call.reference)
        if known is not None:
            return known
        if self._draws(self._habits.declined_share):
            answer = Answer(outcome=Outcome.DECLINED, reason=Reason.DO_NOT_HONOR, code="05")
            return self._kept(call.reference, answer)
        theirs = self._own_reference("tx")
        self._held[call.reference] = call.amount_minor
        if call.capture:
            self._sell(call.reference, theirs, call.amount_minor, call.currency)
        answer = self._kept(call.reference, _yes(call, theirs, captured=call.capture))
        if self._draws(self._habits.lost_share):
            return Answer(outcome=Outcome.UNRESOLVED)
        return answer

    async def increment(self, call: Follow) -> Answer:
        """Refuse: nothing is reserved anew here."""
        return _refused(call.reference)

    async def capture(self, call: Follow) -> Answer:
        """Claim a part of what was reserved; every claim has a name of its own."""
        known = self._answers.get(call.reference)
        if known is not None:
            return known
        held = self._held.get(call.authorization_reference, 0)
        if call.amount_minor > held:
            return self._kept(call.reference, Answer(outcome=Outcome.DECLINED, reason=Reason.STATE_INVALID))
        self._held[call.authorization_reference] = 0 if call.final else held - call.amount_minor
        theirs = self._own_reference("cp")
        self._sell(call.authorization_reference, theirs, call.amount_minor, call.currency)
        return self._kept(call.reference, _yes(call, theirs, captured=True))

    async def void(self, call: Follow) -> Answer:
        """Let go of what is still reserved."""
        self._held[call.authorization_reference] = 0
        return self._kept(call.reference, Answer(outcome=Outcome.APPROVED))

    async def refund(self, call: Follow) -> Answer:
        """Give money back; now and then refuse."""
        known = self._answers.get(call.reference)
        if known is not None:
            return known
        sale = self._sold.get(call.authorization_reference)
        before = self._refunded.get(call.authorization_reference, 0)
        if sale is None or self._draws(self._habits.refused_share):
            answer = Answer(outcome=Outcome.DECLINED, reason=Reason.REFUND_TOO_LATE, code="R2")
            return self._kept(call.reference, answer)
        after = before + call.amount_minor
        self._refunded[call.authorization_reference] = after
        fee = 0
        if self._tariff.gives_back:
            fee = _share(sale.fee_minor, before, sale.amount_minor) - _share(
                sale.fee_minor, after, sale.amount_minor
            )
        theirs = self._own_reference("rf")
        self._note("refund", call.reference, theirs, sale, -call.amount_minor, fee)
        return self._kept(call.reference, _yes(call, theirs))

    async def inquire(self, call: Inquire) -> Answer:
        """Tell the truth about an act."""
        known = self._answers.get(call.reference)
        return Answer(outcome=Outcome.NOT_FOUND) if known is None else known

    async def payout(self, call: Payout) -> Answer:
        """Refuse: no money is sent out over this channel."""
        return _refused(call.reference)

    def dispute(self, reference: str, amount_minor: int) -> RawNotification:
        """Take disputed money back; return the notice of it. ``reference`` is the house's of a payment that was sold."""
        sale = self._sold[reference]
        theirs = self._own_reference("dp")
        fee = self._tariff.dispute_minor.get(sale.currency, 0)
        self._note("dispute", reference, theirs, sale, -amount_minor, fee)
        return self._notice(sale, theirs, amount_minor, "needs_response")

    def end_dispute(self, reference: str, theirs: str, amount_minor: int, *, won: bool) -> RawNotification:
        """Decide a dispute; return the notice of it. What the merchant wins is given back."""
        sale = self._sold[reference]
        if won:
            self._note("dispute_won", reference, theirs, sale, amount_minor, 0)
        return self._notice(sale, theirs, amount_minor, "won" if won else "lost")

    def parse_notification(self, raw: RawNotification) -> Notification:
        """Read a notice; raise NotificationMalformed."""
        try:
            return msgspec.json.decode(raw.body, type=Notification)
        except msgspec.MsgspecError as error:
            raise NotificationMalformed(self._name, str(error)) from error

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        """Return what the channel wants to hear."""
        return Acknowledgment(200 if accepted else 500, "text/plain", b"ok" if accepted else b"again")

    async def close(self) -> None:
        """Nothing is open."""

    def of_day(self, on: date, zone: str) -> list[Act]:
        """Return what it did on a day of a zone, in order."""
        at = ZoneInfo(zone)
        return [act for act in self.record if act.at.astimezone(at).date() == on]

    def _sell(self, reference: str, theirs: str, amount_minor: int, currency: str) -> None:
        fee = (amount_minor * self._tariff.rate_e6 + _MILLION // 2) // _MILLION
        act = Act(
            kind="sale",
            reference=reference,
            channel_reference=theirs,
            payment=theirs,
            order=reference,
            amount_minor=amount_minor,
            fee_minor=fee,
            currency=currency,
            at=self._clock.now(),
        )
        self._sold.setdefault(reference, act)
        self.record.append(act)

    def _note(
        self, kind: str, reference: str, theirs: str, sale: Act, amount_minor: int, fee_minor: int
    ) -> None:
        """Write down what goes back of a sale, or comes again."""
        self.record.append(
            msgspec.structs.replace(
                sale,
                kind=kind,
                reference=reference,
                channel_reference=theirs,
                amount_minor=amount_minor,
                fee_minor=fee_minor,
                at=self._clock.now(),
            )
        )

    def _notice(self, sale: Act, theirs: str, amount_minor: int, status: str) -> RawNotification:
        notice = Notification(
            kind=NotificationKind.DISPUTE,
            event_id=f"{theirs}_{status}",
            reference=sale.reference,
            authorization_reference=sale.reference,
            answer=Answer(outcome=Outcome.APPROVED, amount_minor=amount_minor, currency=sale.currency),
            dispute_reference=theirs,
            dispute_status=status,
            reason_code="13.1",
        )
        return RawNotification(
            method="POST",
            path="/",
            headers={},
            query="",
            body=msgspec.json.encode(notice),
            received_at=self._clock.now(),
        )

    def _own_reference(self, prefix: str) -> str:
        if self._count >= RECORD_MAX:
            raise LimitExceeded("paper_full", f"{self._name} remembers at most {RECORD_MAX:,} acts")
        self._count += 1
        return f"{prefix}{self._name}{self._count:07d}"

    def _draws(self, share: float) -> bool:
        return self._rng.random() < share

    def _kept(self, reference: str, answer: Answer) -> Answer:
        return self._answers.setdefault(reference, answer)


def able(methods: frozenset[str], currencies: frozenset[str]) -> Capabilities:
    """Return the capabilities of a channel on paper: everything but increments and mandates."""
    return Capabilities(
        adapter="paper",
        methods=methods,
        presentments=frozenset(Presentment),
        currencies=currencies,
        wire_unit=WireUnit.MINOR,
        manual_capture=True,
        partial_capture=True,
        multiple_capture=True,
        void=True,
        refund=True,
        partial_refund=True,
        refund_inquiry=True,
        inquires_by_our_reference=True,
        notifies=True,
    )


def _yes(call: Authorize | Follow, theirs: str, *, captured: bool = False) -> Answer:
    return Answer(
        outcome=Outcome.APPROVED,
        amount_minor=call.amount_minor,
        currency=call.currency,
        captured=captured,
        channel_reference=theirs,
        code="00",
    )


def _refused(reference: str) -> Answer:
    return Answer(outcome=Outcome.DECLINED, reason=Reason.REQUEST_INVALID, message=f"not here: {reference}")


def _share(fee_minor: int, part_minor: int, whole_minor: int) -> int:
    """Return the proportion of a fee, rounded half up."""
    return (2 * fee_minor * part_minor + whole_minor) // (2 * whole_minor)
