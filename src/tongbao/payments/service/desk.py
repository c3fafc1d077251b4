"""What every use case of payments works with: reading documents, and deciding until the decision holds.

A use case reads, decides purely and writes; where a document moved on meanwhile it reads and decides again. So two
captures at the same moment are one capture and one refusal, whoever sends them and over however many processes.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import structlog

from tongbao.channels.ports import Channel
from tongbao.channels.schema import Capabilities, Card, Method, Reason
from tongbao.channels.service.codes import reason_info
from tongbao.channels.service.registry import Channels
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvariantBroken
from tongbao.core.events.facts import Fact
from tongbao.core.ids import IdFactory, derive, uuid_text
from tongbao.core.metrics import Metrics
from tongbao.core.requests.asks import Ask
from tongbao.core.requests.running import busy
from tongbao.decisions.schema.log import Decision
from tongbao.ledger.schema import BookId, Refusal, Transfer
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.errors import Contended, Missing, NotInPackage, ReferenceTaken
from tongbao.payments.policy import learning
from tongbao.payments.policy.outcomes import Explain, Standing, Step
from tongbao.payments.policy.postings import Money
from tongbao.payments.policy.schedule import CALL_S_MAX
from tongbao.payments.ports import CardMemory, MerchantProfiles, Proofs, RiskControl, Routing
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.changes import (
    Change,
    Claimed,
    Reference,
    Refused,
    Replayed,
    Result,
    Reused,
    Stale,
    Taken,
    Written,
)
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.facts import Event
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import Done, Page, PageOrder
from tongbao.payments.service.accounts import MoneyAccounts
from tongbao.payments.service.plain_hooks import NoProofs
from tongbao.payments.service.reading import Reading
from tongbao.payments.service.writing import Writing
from tongbao.payments.store import documents as store

DECISIONS_MAX = 8
PAGE_MAX = 100
Doc = TypeVar("Doc", bound=Document)
View = TypeVar("View")
Told = tuple[str, Document]
"""An event: its type and the document that it is about."""

_log = structlog.get_logger(__name__)


Asked = tuple[int, Ask | None]
"""The book that a request is about, and the request."""
NOBODY: Asked = (0, None)


class Planned(NamedTuple):
    """A decision: what to write, and what the caller sees of it. No change: nothing has to be written."""

    change: Change | None
    view: Any


class Desk:
    """One object per process; all use cases of payments share it."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        writing: Writing,
        reading: Reading,
        accounts: MoneyAccounts,
        channels: Channels,
        risk: RiskControl,
        routing: Routing,
        profiles: MerchantProfiles,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        *,
        notify_base: str | None = None,
        cards: CardMemory | None = None,
        proofs: Proofs | None = None,
    ) -> None:
        self._cards = cards
        self.proofs = proofs or NoProofs()
        self.database = database
        self.ledger = ledger
        self.writing = writing
        self._reading = reading
        self.accounts = accounts
        self.channels = channels
        self.risk = risk
        self.routing = routing
        self.profiles = profiles
        self.clock = clock
        self.ids = ids
        self._notify_base = notify_base
        self._alarms = metrics.counter("payments_alarms", "What people must look at", labels=("kind",))
        self._attempts = metrics.counter(
            "payments_attempts", "Attempts by channel and end", labels=("channel", "state")
        )

    async def read(self, kind: type[Doc], book_id: int, document_id: UUID, param: str | None = None) -> Doc:
        """Return a document as it stands; raise Missing."""
        found = await self._reading.read(kind, book_id, document_id)
        if found is None:
            raise Missing(kind.PREFIX, document_id, param)
        return found

    async def page(self, kind: type[Doc], book_id: int, order: PageOrder) -> Page[Doc]:
        """Return a page of documents, newest first."""
        limit = max(1, min(order.limit, PAGE_MAX))
        async with self.database.connection() as connection:
            found = await store.page(
                connection,
                kind,
                book_id,
                owner_id=order.owner_id,
                parent_id=order.parent_id,
                state=order.state,
                containing=order.containing,
                created_from=order.created_from,
                created_to=order.created_to,
                after=order.after,
                before=order.before,
                limit=limit + 1,
            )
        has_more = len(found) > limit
        if has_more:
            found = found[1:] if order.before is not None else found[:limit]
        return Page(found, has_more)

    async def decide(
        self,
        plan: Callable[[], Awaitable[Planned]],
        *,
        reference: str,
        asked: Asked = NOBODY,
        resume: Callable[[Claimed], Awaitable[Done[Any]]] | None = None,
        refused: Callable[[Refusal, str], AppError] | None = None,
    ) -> Done[Any]:
        """Plan and write until what was planned is committed; return what the caller sees.

        ``plan`` is called again after each change of others, so it must not act on the world outside. ``asked``: the
        request that begins here; a repeat gets its answer also where the state no longer allows what it asks. ``resume``
        answers a request whose first run was cut short; ``refused`` names the error for a refusal of the ledger where
        that may happen (else it is a broken invariant). Raises what ``plan`` raises, Conflict
        ``idempotency_key_in_use`` or ``idempotency_key_reused``, ReferenceTaken, Contended.
        """
        for _ in range(DECISIONS_MAX):
            planned, result = await self._tried(plan, asked)
            if isinstance(result, Stale):
                continue
            if isinstance(result, Written):
                return Done(planned.view, planned.change.answer if planned.change else None)
            if isinstance(result, Replayed):
                return Done(None, result.answer)
            if isinstance(result, Claimed):
                cut_short = self.clock.now() - result.claimed_at > timedelta(seconds=2 * CALL_S_MAX)
                if resume is None or not cut_short:
                    raise busy()
                return await resume(result)
            raise _error_of(result, reference, refused)
        raise Contended(reference)

    async def _tried(self, plan: Callable[[], Awaitable[Planned]], asked: Asked) -> tuple[Planned, Result]:
        """Plan and write once. A plan that is refused may be the repeat of one that was not."""
        try:
            planned = await plan()
        except AppError:
            before = await self.writing.known(*asked)
            if before is None:
                raise
            return Planned(None, None), before
        if planned.change is None:
            return planned, Written()
        result: Result | None = None
        try:
            result = await self.writing.write(planned.change)
        finally:
            if not isinstance(result, Written):
                self._drop(planned.change)
        return planned, result

    def _drop(self, change: Change) -> None:
        """Tell routing of the attempts in a change that was not written, or that nobody knows to have been."""
        for each in change.inserts:
            if isinstance(each, Attempt):
                self.routing.dropped(each)

    def change(
        self,
        of: Document,
        at: datetime,
        *,
        claim: Ask | None = None,
        ask: Ask | None = None,
        view: object = None,
        inserts: Sequence[Document] = (),
        updates: Sequence[Document | None] = (),
        references: Sequence[Reference] = (),
        transfers: Sequence[Transfer] = (),
        events: Sequence[Told] = (),
        decisions: Sequence[Decision] = (),
        facts: Sequence[Fact] = (),
        source: str = "answer",
    ) -> Change:
        """Return a change of the book of ``of``.

        With ``claim`` a request begins here, with ``ask`` it ends here and ``view`` is rendered as its answer; the
        same request in both begins and ends at once. What attempts among the documents have to tell of their
        channels goes along; ``source`` is who brought it.
        """
        news = _news((*inserts, *updates), at, source)
        told = {(document.id, document.version): document for _, document in events}
        places = {version: place for place, version in enumerate(told)}
        return Change(
            book_id=of.book_id,
            live=of.live,
            at=at,
            claim=claim,
            subject_id=of.id,
            inserts=tuple(news[each.id].attempt if each.id in news else each for each in inserts),
            updates=tuple(
                news[each.id].attempt if each.id in news else each for each in updates if each is not None
            ),
            references=tuple(references),
            transfers=tuple(transfers),
            events=tuple(Event(name, places[(document.id, document.version)]) for name, document in events),
            told=tuple(told.values()),
            decisions=tuple(decisions),
            outcomes=tuple(each.outcome for each in news.values() if each.outcome is not None),
            attempted=tuple(each.fact for each in news.values() if each.fact is not None),
            facts=(
                *facts,
                *(each.proved for each in news.values() if each.proved is not None),
                *(each.ended for each in news.values() if each.ended is not None),
                *learning.labels_of((*inserts, *updates), at),
                *learning.lapsed_of(updates, at),
            ),
            ask=ask,
            answer=ask.render(view) if ask else None,
        )

    async def standing(self, intent: Intent, attempt: Attempt, reason: Reason | None = None) -> Standing:
        """Return everything that the meaning of an answer with this reason depends on."""
        money = await self.money(attempt)
        known = reason_info(reason or Reason.OTHER)
        return Standing(
            intent,
            attempt,
            money,
            self.capabilities(attempt.channel),
            Explain(known.fault, known.retry),
            self.clock.now(),
            await self._top_up(intent),
        )

    async def _top_up(self, intent: Intent) -> tuple[Transfer, ...]:
        """Return the transfer that puts the amount of an intent into the wallet that it tops up."""
        if intent.wallet_book_id is None:
            return ()
        book_id = BookId(intent.wallet_book_id)
        funding = await self.ledger.accounts.account_by_code(book_id, "wallet_funding", intent.currency)
        wallet = await self.ledger.accounts.account_by_code(book_id, "wallet", intent.currency)
        transfer = Transfer(
            key=derive(intent.id, "top_up"),
            book_id=book_id,
            debit_account_id=funding.account_id,
            credit_account_id=wallet.account_id,
            amount_minor=intent.amount_minor,
            asset_id=wallet.asset_id,
            code="wallet.topped_up",
            reference=intent.reference,
        )
        return (transfer,)

    async def money(self, attempt: Attempt) -> Money:
        """Return the accounts that an attempt posts to."""
        return await self.accounts.of(attempt.book_id, attempt.channel, attempt.currency)

    async def require(self, book_id: int, *features: str) -> None:
        """Raise NotInPackage where the merchant's package does not hold one of these features."""
        held = await self.profiles.features(book_id)
        for feature in features:
            if feature not in held:
                raise NotInPackage(feature)

    def channel(self, name: str) -> Channel:
        """Return a channel by name; raise UnknownChannel."""
        return self.channels.get(name)

    def capabilities(self, name: str) -> Capabilities:
        """Return what a channel can do; raise UnknownChannel."""
        return self.channels.get(name).capabilities

    def forget_code(self, method: Method) -> None:
        """Let go of a card's security code: its authorization has been asked for."""
        if self._cards is not None and isinstance(method, Card):
            self._cards.forget_cvc(method.token)

    def notify_url(self, channel: str) -> str | None:
        """Return where a channel shall send its notifications; None where this house has no address."""
        return f"{self._notify_base}/v2/channels/{channel}/notifications" if self._notify_base else None

    def observe(self, step: Step) -> None:
        """Count what a written step means, and raise the alarm where people must look."""
        if step.attempt is not None:
            self._attempts.labels(step.attempt.channel, step.attempt.state.value).inc()
        if step.alarm is not None:
            self.alarm(step.alarm, step.attempt or step.intent)

    def alarm(self, kind: str, document: Document | None) -> None:
        """Tell people: count it and log it as an error."""
        self._alarms.labels(kind).inc()
        _log.error("payments_alarm", kind=kind, id=document.reference if document else None)


def _news(documents: Sequence[Document | None], at: datetime, source: str) -> dict[UUID, learning.News]:
    """Return what the attempts among documents tell for the first time, by attempt."""
    found = (learning.news_of(each, at, source) for each in documents if isinstance(each, Attempt))
    return {news.attempt.id: news for news in found if news is not None}


def _error_of(
    result: Reused | Taken | Refused, reference: str, refused: Callable[[Refusal, str], AppError] | None
) -> AppError:
    """Return the error for a change that can never be written as it is."""
    match result:
        case Reused():
            return Conflict("idempotency_key_reused", "this idempotency key was used with other parameters")
        case Taken(taken, owner):
            return ReferenceTaken(taken.value, uuid_text(Intent.PREFIX, owner))
        case Refused(refusal):
            why = refusal.refusal or Refusal.FIELDS_INVALID
            if refused is not None:
                return refused(why, refusal.detail)
            return InvariantBroken(
                "posting_refused", f"the ledger refused {why}: {refusal.detail}", reference=reference
            )
