"""Challenges: opened for one payment, sent, answered, and told to whoever learns from it.

Every step locks the row of its challenge, is counted whether right or wrong, and commits with the fact that tells of
its end (``risk.schema.facts.Proved``). So of two right answers at once one passes and the other hears
``challenge_closed``. A code is handed to its carrier after the commit: what is never committed is never sent.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded, NotFound, Unavailable
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.risk.policy import challenges as policy
from tongbao.risk.ports import CodeSender, Destinations, PasskeyProver
from tongbao.risk.schema.challenges import (
    CHALLENGE_PREFIX,
    CODE_DIGITS,
    Challenge,
    ChallengeOrder,
    ChallengePage,
    ChallengeQuery,
    ChallengeState,
    CodeFacts,
    Destination,
    DestinationKind,
    Means,
    Purpose,
)
from tongbao.risk.schema.facts import Proved
from tongbao.risk.store import challenges as store
from tongbao.risk.store.challenges import Kept

EXPIRED_AT_ONCE_MAX = 500
SECRET_BYTES_MIN = 32
SUBJECT_MAX = 100
_TURNS_MAX = 4
_TOLD = {ChallengeState.PASSED, ChallengeState.FAILED, ChallengeState.EXPIRED}

Step = Callable[[Kept, datetime], Kept]


@dataclass(frozen=True)
class Carriers:
    """Through whom payers are reached: a sender for each kind of address, who knows addresses, who checks passkeys."""

    senders: Mapping[DestinationKind, CodeSender]
    destinations: Destinations
    prover: PasskeyProver | None = None


def random_code() -> str:
    """Return six digits, all codes equally likely, that nobody can foresee."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


class Challenging:
    """Opens, sends, judges and ends challenges. ``secret`` has at least 32 bytes and is the same in every process.

    Each call opens a transaction of its own. One object a process.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        carriers: Carriers,
        *,
        secret: bytes,
        new_code: Callable[[], str] = random_code,
    ) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"the secret of challenges has at least {SECRET_BYTES_MIN} bytes")
        self._database = database
        self._clock = clock
        self._ids = ids
        self._carriers = carriers
        self._secret = secret
        self._new_code = new_code
        self._outbox = Outbox(clock, ids)

    async def open(self, order: ChallengeOrder) -> Challenge:
        """Return the open challenge for a purpose, a new one where there is none; sends nothing.

        While one is open the same purpose gets the same; it then answers to the newest look of risk control. Another
        amount of the same payment abandons it, and so do other means, which get the attempts that are left. Raises InvalidRequest ``means_unavailable``, ``destination_missing``,
        LimitExceeded ``challenges_too_many`` at five an hour and payment.
        """
        masked = await self._masked(order)
        for _ in range(_TURNS_MAX):
            async with self._database.transaction() as connection:
                challenge = await self._opened(connection, order, masked)
            if challenge is not None:
                return challenge
        raise Unavailable("challenge_busy", "this payment is being challenged by many at once; repeat")

    async def send(self, book_id: int, challenge_id: UUID, locale: str = "en") -> Challenge:
        """Make a new code, which replaces the last one, and send it; return the challenge.

        Three a challenge, half a minute apart; one that its carrier does not take counts too. Raises NotFound
        ``challenge_unknown``, Conflict ``challenge_closed``, LimitExceeded ``sends_used_up`` and ``send_too_soon``,
        InvalidRequest ``means_has_no_code``, ``destination_missing`` and ``destination_refused``, Unavailable
        ``code_not_sent``.
        """
        code = self._new_code()

        def step(kept: Kept, now: datetime) -> Kept:
            _require(kept.challenge, Means.CODE)
            digest = policy.code_digest(self._secret, kept.challenge.id, code)
            return Kept(policy.sent(kept.challenge, now), digest)

        challenge = await self._advance(book_id, challenge_id, step)
        destination = await self._destination(book_id, challenge.destination, live=challenge.live)
        await self._sender(destination).send(destination, code, locale, _facts(challenge))
        return challenge

    async def answer(self, book_id: int, challenge_id: UUID, code: str) -> Challenge:
        """Judge a code as it was typed; return the challenge: passed, open with an attempt less, or failed.

        Raises InvalidRequest ``code_malformed`` (not counted) and ``means_has_no_code``, NotFound
        ``challenge_unknown``, Conflict ``challenge_closed`` with its state, ``code_never_sent``.
        """
        typed = policy.normal_code(code)

        def step(kept: Kept, now: datetime) -> Kept:
            _require(kept.challenge, Means.CODE)
            if kept.code_digest is None:
                raise Conflict("code_never_sent", "no code was sent for this challenge yet")
            given = policy.code_digest(self._secret, kept.challenge.id, typed)
            is_right = policy.is_same(kept.code_digest, given)
            return Kept(policy.answered(kept.challenge, now, is_right=is_right), kept.code_digest)

        return await self._advance(book_id, challenge_id, step)

    async def prove(self, book_id: int, challenge_id: UUID, response: bytes) -> Challenge:
        """Judge what an authenticator answered, as ``answer`` judges a code.

        Raises InvalidRequest ``means_unavailable`` where nobody here checks passkeys, and as ``answer`` does.
        """
        challenge = await self.get(book_id, challenge_id)
        _require(challenge, Means.PASSKEY)
        prover = self._carriers.prover
        if prover is None:
            raise _means_unavailable(Means.PASSKEY)
        is_right = await prover.proves(challenge, response)
        return await self._advance(
            book_id,
            challenge_id,
            lambda kept, now: Kept(policy.answered(kept.challenge, now, is_right=is_right), None),
        )

    async def conclude(self, book_id: int, challenge_id: UUID, *, is_passed: bool) -> Challenge:
        """Record how the issuer's own check on the channel's page ended; raises as ``answer`` does."""
        state = ChallengeState.PASSED if is_passed else ChallengeState.FAILED

        def step(kept: Kept, now: datetime) -> Kept:
            _require(kept.challenge, Means.THREE_DS)
            return Kept(policy.ended(kept.challenge, state, now), None)

        return await self._advance(book_id, challenge_id, step)

    async def abandon(self, book_id: int, challenge_id: UUID) -> Challenge:
        """End an open challenge whose payment was given up. Raises ``challenge_unknown``, ``challenge_closed``."""
        return await self._advance(
            book_id,
            challenge_id,
            lambda kept, now: Kept(policy.ended(kept.challenge, ChallengeState.ABANDONED, now), None),
        )

    async def get(self, book_id: int, challenge_id: UUID) -> Challenge:
        """Return a challenge; raise NotFound ``challenge_unknown``."""
        async with self._database.connection() as connection:
            challenge = await store.by_id(connection, book_id, challenge_id)
        if challenge is None:
            raise _unknown(challenge_id)
        return challenge

    async def latest(self, purpose: Purpose) -> Challenge | None:
        """Return the newest challenge for exactly this payment, payee and amount; None where there is none."""
        async with self._database.connection() as connection:
            return await store.latest(connection, purpose)

    async def of_subject(self, book_id: int, subject_id: UUID) -> list[Challenge]:
        """Return what the payer of a payment was asked, oldest first, at most ``SUBJECT_MAX``."""
        async with self._database.connection() as connection:
            return await store.of_subject(connection, book_id, subject_id, SUBJECT_MAX)

    def state_now(self, challenge: Challenge) -> ChallengeState:
        """Return how a challenge stands at this instant, whether or not its end was written yet."""
        return challenge.state_at(self._clock.now())

    def seconds_until_send(self, challenge: Challenge) -> int:
        """Return the whole seconds until another code may be sent; 0 where it may be now."""
        return policy.seconds_until_send(challenge, self._clock.now())

    async def page(self, query: ChallengeQuery) -> ChallengePage:
        """Return challenges, newest first."""
        async with self._database.connection() as connection:
            found = await store.page(connection, query)
        return ChallengePage(items=tuple(found[: query.limit]), has_more=len(found) > query.limit)

    async def passed_for(
        self, book_id: int, subject_id: UUID, digest: bytes, within: timedelta
    ) -> Challenge | None:
        """Return the last proof of exactly this purpose that is younger than ``within``; None where there is none."""
        since = self._clock.now() - within
        async with self._database.connection() as connection:
            return await store.passed(connection, book_id, subject_id, digest, since)

    async def expire_due(self) -> int:
        """End open challenges whose time is over, at most 500 a call; return how many. Several processes may call."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            due = await store.lock_due(connection, now, EXPIRED_AT_ONCE_MAX)
            for kept in due:
                await self._keep(connection, _expired(kept, now), now)
        return len(due)

    async def _opened(self, connection: Connection, order: ChallengeOrder, masked: str) -> Challenge | None:
        """Return the challenge of an order; None where another transaction opened one meanwhile: look again."""
        now = self._clock.now()
        kept = await store.lock_open(connection, order.purpose)
        if kept is not None:
            if _serves(kept.challenge, order, now):
                adopted = msgspec.structs.replace(kept.challenge, signals_id=order.signals_id)
                await store.update(connection, Kept(adopted, kept.code_digest))
                return adopted
            kept = _replaced(kept, now)
            await self._keep(connection, kept, now)
        recent = await store.count_opened(connection, order.purpose, now - policy.OPENED_WITHIN)
        if recent >= policy.OPENED_MAX:
            raise LimitExceeded(
                "challenges_too_many", f"at most {policy.OPENED_MAX} challenges an hour for one payment"
            )
        challenge = policy.opened(order, self._ids.uuid(), masked, now)
        if kept is not None:
            challenge = policy.taken_over(challenge, kept.challenge)
        return challenge if await store.insert(connection, challenge) else None

    async def _advance(self, book_id: int, challenge_id: UUID, step: Step) -> Challenge:
        """Take one step with a challenge that is open and in time; raise Conflict ``challenge_closed`` otherwise."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            before = await store.lock(connection, book_id, challenge_id)
            if before is None:
                raise _unknown(challenge_id)
            is_closed = before.challenge.state_at(now) is not ChallengeState.OPEN
            after = before
            if before.challenge.state is ChallengeState.OPEN:
                after = _expired(before, now) if is_closed else step(before, now)
                await self._keep(connection, after, now)
        if is_closed:
            state = after.challenge.state
            raise Conflict(
                "challenge_closed",
                "this challenge has ended",
                challenge=after.challenge.reference,
                state=state.value,
            )
        return after.challenge

    async def _keep(self, connection: Connection, kept: Kept, now: datetime) -> None:
        """Write a challenge, and publish how it ended where somebody learns from that."""
        await store.update(connection, kept)
        challenge = kept.challenge
        if challenge.state in _TOLD:
            fact = Proved(
                occurred_at=now,
                signals_id=challenge.signals_id,
                book_id=challenge.book_id,
                live=challenge.live,
                subject_id=challenge.subject_id,
                means=challenge.means.value,
                is_passed=challenge.state is ChallengeState.PASSED,
            )
            await self._outbox.publish(connection, [fact])

    async def _masked(self, order: ChallengeOrder) -> str:
        """Return the address of an order as it may be shown; raise where its means cannot be used here."""
        if order.means is Means.CODE:
            destination = await self._destination(order.purpose.book_id, order.destination, live=order.live)
            self._sender(destination)
            return policy.masked(destination)
        if order.means is Means.PASSKEY and self._carriers.prover is None:
            raise _means_unavailable(order.means)
        return ""

    async def _destination(self, book_id: int, reference: str, *, live: bool) -> Destination:
        found = await self._carriers.destinations.find(book_id, reference, live=live)
        if found is None:
            raise InvalidRequest("destination_missing", "no address is known to which a code could go")
        return found

    def _sender(self, destination: Destination) -> CodeSender:
        sender = self._carriers.senders.get(destination.kind)
        if sender is None:
            raise _means_unavailable(Means.CODE)
        return sender


def _serves(challenge: Challenge, order: ChallengeOrder, now: datetime) -> bool:
    """Return whether an open challenge is what an order asks for."""
    is_open = challenge.state_at(now) is ChallengeState.OPEN
    return is_open and challenge.digest == order.purpose.digest and challenge.means is order.means


def _expired(kept: Kept, now: datetime) -> Kept:
    return Kept(policy.ended(kept.challenge, ChallengeState.EXPIRED, now), None)


def _replaced(kept: Kept, now: datetime) -> Kept:
    """Return an open challenge that has to make room for another: its time is over, or its purpose is."""
    is_over = kept.challenge.state_at(now) is ChallengeState.EXPIRED
    state = ChallengeState.EXPIRED if is_over else ChallengeState.ABANDONED
    return Kept(policy.ended(kept.challenge, state, now), None)


def _require(challenge: Challenge, means: Means) -> None:
    if challenge.means is not means:
        raise InvalidRequest(
            "means_has_no_code" if means is Means.CODE else "means_differs",
            f"this challenge is met by {challenge.means.value}",
            means=challenge.means.value,
        )


def _means_unavailable(means: Means) -> InvalidRequest:
    return InvalidRequest("means_unavailable", f"{means.value} cannot be asked for here", means=means.value)


def _unknown(challenge_id: UUID) -> NotFound:
    reference = uuid_text(CHALLENGE_PREFIX, challenge_id)
    return NotFound("challenge_unknown", f"there is no challenge {reference}", challenge=reference)


def _facts(challenge: Challenge) -> CodeFacts:
    return CodeFacts(
        payee=challenge.payee,
        amount_minor=challenge.amount_minor,
        currency=challenge.currency,
        minutes=policy.DURATION // timedelta(minutes=1),
        live=challenge.live,
    )
