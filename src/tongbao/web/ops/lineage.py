"""Payments and their decisions: found by any of their ids over all merchants, and brought into the order of reading.

Documents are kept by book, so an id alone is looked up in the books of all merchants, many of one page in one query. A
decision is found by the millisecond in its id.
"""

import asyncio
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from tongbao.core.clock import EPOCH
from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.decisions.schema.log import Candidate, Decision, Range
from tongbao.decisions.service.log import Learned, Traced
from tongbao.parties.schema import PAGE_SIZE_MAX, Merchant, MerchantId, OperatorPermission, PageRequest, Scope
from tongbao.parties.service.access import operator_of_job
from tongbao.payments.errors import Missing
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.service.intents import Story
from tongbao.web.house import House
from tongbao.web.ops import risk_decisions
from tongbao.web.ops.risk_decisions import Known

MERCHANTS_MAX = 10_000
"""Merchants whose books are searched for an id, the newest first."""
APPROVED = "approved"
LATEST_SHOWN = 20
LATEST_PAGES_MAX = 3
LATEST_WINDOWS = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=15),
    timedelta(hours=3),
    timedelta(days=7),
)
UUID_MS_SHIFT = 80


class Found(NamedTuple):
    """A payment, and which of its decisions was asked for."""

    intent_id: UUID
    decision_id: UUID | None = None

    @property
    def address(self) -> str:
        """Where its decisions are shown."""
        page = f"/ops/payments/{uuid_text(Intent.PREFIX, self.intent_id)}/decisions"
        return page if self.decision_id is None else f"{page}#{uuid_text(DECISION_PREFIX, self.decision_id)}"

    @property
    def page(self) -> str:
        """Where its whole story is told; a decision that was asked for is shown among the others."""
        if self.decision_id is not None:
            return self.address
        return f"/ops/payments/{uuid_text(Intent.PREFIX, self.intent_id)}"


class Card(NamedTuple):
    """One decision with what came of it, and the attempt that it became, where it did."""

    traced: Traced
    attempt: Attempt | None
    candidates: tuple[Candidate, ...]

    @property
    def decision(self) -> Decision:
        """The decision."""
        return self.traced.decision


class PaymentView(NamedTuple):
    """A payment with everything that was decided about it, oldest first; ``known``: what became of looks of risk control."""

    merchant: Merchant
    story: Story
    cards: tuple[Card, ...]
    known: dict[object, Known]


class Lineage:
    """Reads over all books, for the house."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._operator = operator_of_job("console", frozenset({OperatorPermission.MERCHANTS_READ}))

    async def find(self, text: str) -> Found:
        """Return the payment that ``pi_``, ``pa_`` or ``dec_`` names; raise NotFound ``payment_unknown``."""
        prefix, _, _ = text.rpartition("_")
        try:
            wanted = parse_uuid(prefix, text)
        except ValueError:
            raise _unknown(text) from None
        if prefix == DECISION_PREFIX:
            decision = await self._decision(wanted)
            return Found(decision.subject_id, decision.id)
        if prefix in (Attempt.PREFIX, "ch"):
            _, attempt = await self._anywhere(wanted, text, is_attempt=True)
            assert isinstance(attempt, Attempt)
            return Found(attempt.intent_id, attempt.decision_id)
        if prefix == Intent.PREFIX:
            return Found(wanted)
        raise _unknown(text)

    async def view(self, text: str) -> PaymentView:
        """Return a payment with its decisions; raise NotFound ``payment_unknown``."""
        try:
            wanted = parse_uuid(Intent.PREFIX, text)
        except ValueError:
            raise _unknown(text) from None
        (merchant, scope), _ = await self._anywhere(wanted, text)
        story = await self._house.payments.intents.story(scope, wanted)
        traced = await self._house.decisions.log.lineage(scope.book_id, wanted)
        attempts = {each.decision_id: each for each in story.attempts if each.decision_id is not None}
        cards = tuple(Card(each, attempts.get(each.decision.id), _ordered(each.decision)) for each in traced)
        known = await risk_decisions.known_of(self._house.risk.assessing, [each.decision for each in traced])
        return PaymentView(merchant, story, cards, known)

    async def place(self, wanted: UUID, text: str) -> tuple[Merchant, Scope]:
        """Return whose payment it is, and the scope that it is read with; raise NotFound ``payment_unknown``."""
        (merchant, scope), _ = await self._anywhere(wanted, text)
        return merchant, scope

    async def latest(self) -> list[Learned]:
        """Return decisions of a moment ago, newest first: from the shortest window that holds enough of them."""
        now = self._house.runtime.clock.now()
        found: list[Learned] = []
        for window in LATEST_WINDOWS:
            found = []
            pages = 0
            async for page in self._house.decisions.log.learned(
                Range(now - window, now + timedelta(seconds=1)), APPROVED
            ):
                # A payment is judged, then routed: it is listed once, by where it went.
                found += [each for each in page if not risk_decisions.is_of_risk(each.decision)]
                pages += 1
                if pages >= LATEST_PAGES_MAX:
                    break
            if len(found) >= LATEST_SHOWN:
                break
        return found[: -LATEST_SHOWN - 1 : -1]

    async def _decision(self, wanted: UUID) -> Decision:
        at = EPOCH + timedelta(milliseconds=wanted.int >> UUID_MS_SHIFT)
        of = Range(at, at + timedelta(milliseconds=1))
        async for page in self._house.decisions.log.learned(of, APPROVED):
            for each in page:
                if each.decision.id == wanted:
                    return each.decision
        raise _unknown(uuid_text(DECISION_PREFIX, wanted))

    async def _anywhere(
        self, wanted: UUID, text: str, *, is_attempt: bool = False
    ) -> tuple[tuple[Merchant, Scope], Intent | Attempt]:
        """Return whose document this is, and the document."""
        request: PageRequest[MerchantId] = PageRequest(limit=PAGE_SIZE_MAX)
        for _ in range(MERCHANTS_MAX // PAGE_SIZE_MAX):
            page = await self._house.parties.merchants.all(self._operator, request)
            places = [(each, scope) for each in page.items for scope in _scopes(each)]
            found = await asyncio.gather(
                *(self._document(scope, wanted, is_attempt=is_attempt) for _, scope in places)
            )
            for place, document in zip(places, found, strict=True):
                if document is not None:
                    return place, document
            if not page.has_more:
                break
            request = PageRequest(limit=PAGE_SIZE_MAX, starting_after=page.items[-1].merchant_id)
        raise _unknown(text)

    async def _document(self, scope: Scope, wanted: UUID, *, is_attempt: bool) -> Intent | Attempt | None:
        intents = self._house.payments.intents
        try:
            if is_attempt:
                return await intents.attempt(scope, wanted)
            return (await intents.get(scope, wanted)).intent
        except Missing:
            return None


def _scopes(merchant: Merchant) -> tuple[Scope, Scope]:
    """Return a merchant's two books as scopes without a permission; they are used for reading only."""

    def scope(book_id: int, live: bool) -> Scope:
        return Scope(
            merchant_id=merchant.merchant_id,
            book_id=book_id,
            live=live,
            actor="console",
            permissions=frozenset(),
        )

    return scope(merchant.live_book_id, True), scope(merchant.test_book_id, False)


def _ordered(decision: Decision) -> tuple[Candidate, ...]:
    """Return the candidates: what was chosen, then the most likely, at the end those that never could be chosen."""

    def place(each: Candidate) -> tuple[bool, bool, bool, float, str]:
        is_out = each.excluded is not None
        return each.name != decision.chosen, is_out, each.score is None, -each.propensity, each.name

    return tuple(sorted(decision.candidates, key=place))


def _unknown(text: str) -> NotFound:
    return NotFound("payment_unknown", f"nothing here is known as {text[:80]!r}")
