"""Working cases: take, hand over, note, add payments, sign, close with four eyes. Every act is a line of the trail.

An act names the version that it was decided on; where the case went on since, it is refused (Conflict ``case_changed``), so
nobody closes what they have not seen. Closing writes labels and says what becomes of held payments in the same commit; who
acts on that listens to ``CaseDecided``. Who may do what beyond four eyes is the caller's to check.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded, NotFound, NotPermitted
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory
from tongbao.risk.policy.case_closing import Closing, closing_of, named, needs_second
from tongbao.risk.policy.case_opening import absorbed, payment_of
from tongbao.risk.policy.case_texts import column
from tongbao.risk.policy.case_trail import line_of
from tongbao.risk.schema.cases import (
    ACTOR_CHARS_MAX,
    CASE_PAYMENTS_MAX,
    MOVES,
    NOTE_CHARS_MAX,
    SUMMARY_CHARS_MAX,
    CaseAct,
    CaseFile,
    CasePayment,
    CaseScope,
    CaseSpec,
    CaseState,
    Disposal,
    PaymentRef,
    Request,
    case_text,
)
from tongbao.risk.service import case_facts, case_setting
from tongbao.risk.service.case_reading import drafted, missing, order_of
from tongbao.risk.store import cases as store
from tongbao.risk.store import neighbors

INCLUDED_MAX = 50
"""Payments that one act adds."""


class Hand(NamedTuple):
    """Who acts on which version of which case; a merchant's analyst within a book, others in any.

    A key is no person: it closes what one person may close alone, and nothing that takes two.
    """

    case_id: UUID
    actor: str
    version: int
    book_id: int | None = None
    is_person: bool = True


class Closed(NamedTuple):
    """What came of an act of closing.

    While the case waits for a second person nothing is released or rejected yet. ``freeze``: the case's entity is to be
    frozen. Others learn the same from ``CaseDecided``.
    """

    case: CaseFile
    release: tuple[PaymentRef, ...] = ()
    reject: tuple[PaymentRef, ...] = ()
    freeze: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether a second person has to agree first."""
        return self.case.state is CaseState.WAITING


class _Said(NamedTuple):
    """What a line of the trail says beside the fields that changed; ``details`` stand with what was afterwards."""

    act: CaseAct
    actor: str
    note: str = ""
    details: dict[str, Any] | None = None


class Cases:
    """The acts of analysts. One object per process. ``spec``: fixed settings; None: those in force (``case_setting``)."""

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, spec: CaseSpec | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._outbox = Outbox(clock, ids)
        self._fixed = spec

    async def take_next(self, actor: str, scope: CaseScope) -> CaseFile | None:
        """Give ``actor`` the first case of the queue, None where it is empty. Two at once never get the same.

        Raises InvalidRequest ``case_actor_invalid``.
        """
        _check_actor(actor)
        now = self._clock.now()
        async with self._database.transaction() as connection:
            case = await store.lock_next(connection, scope, await order_of(connection, now))
            if case is None:
                return None
            return await _put(connection, case, _given(case, actor, now), _Said(CaseAct.TAKEN, actor))

    async def assign(self, hand: Hand, assignee: str) -> CaseFile:
        """Give a case to somebody, whoever has it now. Raises as every act, and Conflict ``case_state_wrong``."""
        _check_actor(assignee)
        now = self._clock.now()
        async with self._database.transaction() as connection:
            case = await _locked(connection, hand)
            _check_move(case, CaseState.ASSIGNED, (CaseState.OPEN, CaseState.ASSIGNED))
            after = _given(_let_go(case, now), assignee, now)
            return await _put(connection, case, after, _Said(CaseAct.ASSIGNED, hand.actor))

    async def unassign(self, hand: Hand) -> CaseFile:
        """Put a case back into the queue. Raises as every act, and Conflict ``case_state_wrong``."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            case = await _locked(connection, hand)
            _check_move(case, CaseState.OPEN)
            after = msgspec.structs.replace(
                _let_go(case, now), state=CaseState.OPEN, assignee="", updated_at=now
            )
            return await _put(connection, case, after, _Said(CaseAct.UNASSIGNED, hand.actor))

    async def note(self, hand: Hand, text: str) -> CaseFile:
        """Write a note into the trail, in any state. Raises as every act, and InvalidRequest ``case_text_invalid``."""
        _check_text(text, NOTE_CHARS_MAX)
        async with self._database.transaction() as connection:
            case = await _locked(connection, hand)
            after = msgspec.structs.replace(case, updated_at=self._clock.now())
            return await _put(connection, case, after, _Said(CaseAct.NOTED, hand.actor, text))

    async def include(self, hand: Hand, looks: Sequence[UUID]) -> CaseFile:
        """Add judged payments, by look, to the case that ``hand.actor`` has; those that it holds already stay.

        Raises as every act, NotPermitted ``case_not_yours``, NotFound ``case_payment_missing``, Conflict
        ``case_payment_elsewhere`` for one of another open case, LimitExceeded ``case_full``.
        """
        if not 1 <= len(looks) <= INCLUDED_MAX:
            raise InvalidRequest("case_payments_invalid", f"one act adds 1 to {INCLUDED_MAX} payments")
        now = self._clock.now()
        async with self._database.transaction() as connection:
            case = await _own(connection, hand)
            payments = (await store.payments(connection, [case.id]))[case.id]
            fresh = await _addable(connection, case, set(looks) - payments.keys())
            if len(payments) + len(fresh) > CASE_PAYMENTS_MAX:
                raise LimitExceeded("case_full", f"a case holds at most {CASE_PAYMENTS_MAX} payments")
            await store.put_payments(connection, [(case.id, each) for each in fresh])
            spec = await self._spec(connection)
            after = absorbed(case, [*payments.values(), *fresh], (), now, spec)
            told = ", ".join(str(each.event_id) for each in fresh)[:NOTE_CHARS_MAX]
            return await _put(connection, case, after, _Said(CaseAct.INCLUDED, hand.actor, told))

    async def sign_summary(self, hand: Hand, text: str, language: str) -> CaseFile:
        """Sign the summary, as drafted or edited; the line of the trail keeps it with who signed and when.

        Raises as every act, InvalidRequest ``case_text_invalid`` or ``language_unknown``.
        """
        _check_text(text, SUMMARY_CHARS_MAX)
        column(language)
        now = self._clock.now()
        async with self._database.transaction() as connection:
            case = await _locked(connection, hand)
            draft = await drafted(connection, case, language, now)
            after = msgspec.structs.replace(case, updated_at=now)
            details = {"language": language, "is_edited": text.strip() != draft.text.strip()}
            details |= {"suggestion": draft.suggestion.value, "chance": round(draft.chance, 4)}
            return await _put(connection, case, after, _Said(CaseAct.SIGNED, hand.actor, text, details))

    async def close(self, hand: Hand, disposal: Disposal) -> Closed:
        """Close the case that ``hand.actor`` has, or ask for a second person where one is needed.

        Publishes ``Labelled`` for every payment that gets a label and ``CaseDecided``. Raises as every act, NotPermitted
        ``case_not_yours`` and ``person_required`` where two people are needed and no person asks, Conflict
        ``case_state_wrong``, InvalidRequest as ``policy.case_closing.closing_of``.
        """
        if disposal.note:
            _check_text(disposal.note, NOTE_CHARS_MAX)
        now = self._clock.now()
        async with self._database.transaction() as connection:
            case = await _own(connection, hand)
            payments = list((await store.payments(connection, [case.id]))[case.id].values())
            whole = named(disposal, payments)
            closing = closing_of(case, payments, whole)
            if not needs_second(payments, whole, closing, await self._spec(connection)):
                return await self._decide(connection, case, (whole, closing), hand.actor, "")
            if not hand.is_person:
                raise NotPermitted(
                    "person_required", "two people are needed for this: sign in, a key is nobody"
                )
            after = msgspec.structs.replace(
                _let_go(case, now),
                state=CaseState.WAITING,
                request=Request(disposal=whole, by=hand.actor, at=now),
                updated_at=now,
            )
            return Closed(
                await _put(connection, case, after, _Said(CaseAct.ASKED, hand.actor, disposal.note))
            )

    async def approve(self, hand: Hand) -> Closed:
        """Agree, as the second person, to how a case is to be closed, and close it.

        Publishes as ``close``. Raises as every act, Conflict ``case_state_wrong``, NotPermitted ``case_same_person``.
        """
        async with self._database.transaction() as connection:
            case = await _locked(connection, hand)
            request = _asked_of(case)
            if request.by == hand.actor:
                raise NotPermitted("case_same_person", "a second person has to agree, not whoever asked")
            payments = list((await store.payments(connection, [case.id]))[case.id].values())
            closing = closing_of(case, payments, request.disposal)
            return await self._decide(connection, case, (request.disposal, closing), request.by, hand.actor)

    async def refuse(self, hand: Hand, why: str) -> CaseFile:
        """Give a case that waits back to whoever asked; by that person itself, take the request back.

        Raises as every act, Conflict ``case_state_wrong``, InvalidRequest ``case_text_invalid``.
        """
        _check_text(why, NOTE_CHARS_MAX)
        async with self._database.transaction() as connection:
            case = await _locked(connection, hand)
            request = _asked_of(case)
            act = CaseAct.WITHDRAWN if request.by == hand.actor else CaseAct.REFUSED
            after = _given(msgspec.structs.replace(case, request=None), request.by, self._clock.now())
            return await _put(connection, case, after, _Said(act, hand.actor, why))

    async def _spec(self, connection: Connection) -> CaseSpec:
        return self._fixed or await case_setting.in_force(connection)

    async def _decide(
        self,
        connection: Connection,
        case: CaseFile,
        how: tuple[Disposal, Closing],
        actor: str,
        approver: str,
    ) -> Closed:
        """Close a locked case: labels, rulings, the line and the facts in the caller's transaction."""
        (disposal, closing), now = how, self._clock.now()
        _check_move(case, CaseState.CLOSED)
        after = msgspec.structs.replace(
            _let_go(case, now),
            state=CaseState.CLOSED,
            disposition=disposal.disposition,
            closed_at=now,
            updated_at=now,
        )
        await store.put_payments(connection, [(case.id, each) for each in closing.payments])
        payments = (await store.payments(connection, [case.id]))[case.id]
        after = absorbed(after, list(payments.values()), (), now, await self._spec(connection))
        act = CaseAct.APPROVED if approver else CaseAct.CLOSED
        told = msgspec.to_builtins(disposal)
        details = {"disposal": {name: told[name] for name in told if name != "note"}}
        closed = await _put(connection, case, after, _Said(act, approver or actor, disposal.note, details))
        labels = case_facts.labelled(closing, case, approver or actor, now)
        await self._outbox.publish(connection, [*labels, case_facts.decided(closed, how, actor, approver)])
        return Closed(closed, closing.release, closing.reject, disposal.freeze)


async def _locked(connection: Connection, hand: Hand) -> CaseFile:
    """Return the case in the version that the act was decided on, locked.

    Raises InvalidRequest ``case_actor_invalid``, NotFound ``case_missing``, Conflict ``case_changed``.
    """
    _check_actor(hand.actor)
    case = await store.lock(connection, hand.case_id)
    if case is None or hand.book_id not in (None, case.book_id):
        raise missing(hand.case_id)
    if case.version != hand.version:
        raise Conflict(
            "case_changed",
            f"{case.name} is at version {case.version}, not {hand.version}: look at it again",
            version=case.version,
        )
    return case


async def _own(connection: Connection, hand: Hand) -> CaseFile:
    """Return the locked case where the actor has it. Raises as ``_locked``, Conflict, NotPermitted ``case_not_yours``."""
    case = await _locked(connection, hand)
    if case.state is not CaseState.ASSIGNED:
        raise _wrong_state(case)
    if case.assignee != hand.actor:
        raise NotPermitted("case_not_yours", f"{case.name} is with somebody else; take it first")
    return case


async def _addable(connection: Connection, case: CaseFile, looks: set[UUID]) -> list[CasePayment]:
    """Return payments that may join a case: those of its mode and book that no other open case holds."""
    known = await neighbors.known(connection, sorted(looks))
    fitting = [
        each for each in known if each.signals.live == case.live and case.book_id in (0, each.signals.book_id)
    ]
    absent = looks - {each.signals.id for each in fitting}
    if absent:
        raise NotFound("case_payment_missing", "a payment is not there", payments=sorted(map(str, absent)))
    others = await store.lock_of_events(connection, sorted(looks))
    if others:
        raise Conflict(
            "case_payment_elsewhere",
            f"a payment lies in {case_text(others[0].id)}",
            case=case_text(others[0].id),
        )
    return [payment_of(each) for each in fitting]


async def _put(connection: Connection, before: CaseFile, after: CaseFile, said: _Said) -> CaseFile:
    """Write the next version of a locked case and its line of the trail; return what is stored."""
    stored = msgspec.structs.replace(after, version=before.version + 1)
    line = line_of(before, stored, said.act, said.actor, said.note)
    await store.write(connection, [stored])
    await store.add_events(
        connection, [msgspec.structs.replace(line, after=line.after | (said.details or {}))]
    )
    return stored


def _given(case: CaseFile, assignee: str, now: datetime) -> CaseFile:
    return msgspec.structs.replace(
        case, state=CaseState.ASSIGNED, assignee=assignee, assigned_at=now, updated_at=now
    )


def _let_go(case: CaseFile, now: datetime) -> CaseFile:
    """Return the case with the time added that its present analyst had it."""
    if case.assigned_at is None:
        return case
    worked = max(now - case.assigned_at, timedelta())
    return msgspec.structs.replace(
        case, assigned_at=None, worked_ms=case.worked_ms + worked // timedelta(milliseconds=1)
    )


def _asked_of(case: CaseFile) -> Request:
    if case.state is not CaseState.WAITING or case.request is None:
        raise _wrong_state(case)
    return case.request


def _check_move(case: CaseFile, to: CaseState, of: Sequence[CaseState] = tuple(CaseState)) -> None:
    if to not in MOVES[case.state] or case.state not in of:
        raise _wrong_state(case)


def _wrong_state(case: CaseFile) -> Conflict:
    return Conflict("case_state_wrong", f"{case.name} is {case.state}", state=case.state.value)


def _check_actor(actor: str) -> None:
    if not _is_text(actor, ACTOR_CHARS_MAX):
        raise InvalidRequest(
            "case_actor_invalid", f"somebody named in 1 to {ACTOR_CHARS_MAX} characters has to act"
        )


def _check_text(text: str, chars_max: int) -> None:
    if not _is_text(text, chars_max):
        raise InvalidRequest("case_text_invalid", f"a text has 1 to {chars_max} characters")


def _is_text(text: str, chars_max: int) -> bool:
    is_plain = "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
    return 1 <= len(text.strip()) <= len(text) <= chars_max and is_plain
