"""The SQL of challenges. Functions join the caller's transaction; addresses and codes never come here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.risk.schema.challenges import Challenge, ChallengeQuery, ChallengeState, Means, Purpose

_COLUMNS = """
SELECT book_id, id, live, subject_id, signals_id, amount_minor, currency, payee, digest, means, state, destination,
    masked, code_digest, attempts_left, sends_left, opened_at, expires_at, sent_at, ended_at
FROM risk.challenge
"""
_INSERT = """
INSERT INTO risk.challenge (book_id, id, live, subject_id, signals_id, amount_minor, currency, payee, digest, means,
    state, destination, masked, attempts_left, sends_left, opened_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT DO NOTHING
"""
_UPDATE = """
UPDATE risk.challenge
SET signals_id = $3, state = $4, code_digest = $5, attempts_left = $6, sends_left = $7, sent_at = $8, ended_at = $9
WHERE book_id = $1 AND id = $2
"""
_LOCK = _COLUMNS + "WHERE book_id = $1 AND id = $2 FOR NO KEY UPDATE"
_LOCK_OPEN = _COLUMNS + "WHERE book_id = $1 AND subject_id = $2 AND state = 'open' FOR NO KEY UPDATE"
_LOCK_DUE = (
    _COLUMNS
    + """WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"""
)
_BY_ID = _COLUMNS + "WHERE book_id = $1 AND id = $2"
_LATEST = _COLUMNS + "WHERE book_id = $1 AND subject_id = $2 AND digest = $3 ORDER BY id DESC LIMIT 1"
_OF_SUBJECT = _COLUMNS + "WHERE book_id = $1 AND subject_id = $2 ORDER BY id LIMIT $3"
_PASSED = (
    _COLUMNS
    + """WHERE book_id = $1 AND subject_id = $2 AND digest = $3 AND state = 'passed' AND ended_at > $4
ORDER BY ended_at DESC LIMIT 1"""
)
_COUNT = "SELECT count(*) FROM risk.challenge WHERE book_id = $1 AND subject_id = $2 AND opened_at > $3"
# Conditions that are not asked for are NULL.
_PAGE = (
    _COLUMNS
    + """WHERE ($1::bigint IS NULL OR book_id = $1) AND ($2::boolean IS NULL OR live = $2)
    AND ($3::text IS NULL OR state = $3) AND ($4::uuid IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5"""
)


class Kept(NamedTuple):
    """A row: the challenge, and the keyed digest of its newest code where one was made."""

    challenge: Challenge
    code_digest: bytes | None


async def insert(connection: Connection, challenge: Challenge) -> bool:
    """Insert a new challenge; False where its payment has an open one already, which another transaction may hold."""
    status: str = await connection.execute(
        _INSERT,
        challenge.book_id,
        challenge.id,
        challenge.live,
        challenge.subject_id,
        challenge.signals_id,
        challenge.amount_minor,
        challenge.currency,
        challenge.payee,
        challenge.digest,
        challenge.means.value,
        challenge.state.value,
        challenge.destination,
        challenge.masked,
        challenge.attempts_left,
        challenge.sends_left,
        challenge.opened_at,
        challenge.expires_at,
    )
    return not status.endswith(" 0")


async def update(connection: Connection, kept: Kept) -> None:
    """Write what may change of a challenge whose row is locked."""
    challenge = kept.challenge
    await connection.execute(
        _UPDATE,
        challenge.book_id,
        challenge.id,
        challenge.signals_id,
        challenge.state.value,
        kept.code_digest,
        challenge.attempts_left,
        challenge.sends_left,
        challenge.sent_at,
        challenge.ended_at,
    )


async def lock(connection: Connection, book_id: int, challenge_id: UUID) -> Kept | None:
    """Return a challenge, locked until the transaction ends; None where there is none."""
    return _one(await connection.fetchrow(_LOCK, book_id, challenge_id))


async def lock_open(connection: Connection, purpose: Purpose) -> Kept | None:
    """Return the open challenge of a payment, locked, whatever amount it is for; None where there is none."""
    return _one(await connection.fetchrow(_LOCK_OPEN, purpose.book_id, purpose.subject_id))


async def lock_due(connection: Connection, now: datetime, limit: int) -> list[Kept]:
    """Return open challenges whose time is over, locked, the oldest first; those that others hold are passed over."""
    return [_kept(row) for row in await connection.fetch(_LOCK_DUE, now, limit)]


async def by_id(connection: Connection, book_id: int, challenge_id: UUID) -> Challenge | None:
    """Return a challenge; None where there is none."""
    return _challenge(await connection.fetchrow(_BY_ID, book_id, challenge_id))


async def latest(connection: Connection, purpose: Purpose) -> Challenge | None:
    """Return the newest challenge for exactly this purpose; None where there is none."""
    row = await connection.fetchrow(_LATEST, purpose.book_id, purpose.subject_id, purpose.digest)
    return _challenge(row)


async def of_subject(connection: Connection, book_id: int, subject_id: UUID, limit: int) -> list[Challenge]:
    """Return the challenges of a payment, oldest first."""
    return [_kept(row).challenge for row in await connection.fetch(_OF_SUBJECT, book_id, subject_id, limit)]


async def passed(
    connection: Connection, book_id: int, subject_id: UUID, digest: bytes, since: datetime
) -> Challenge | None:
    """Return the challenge of this purpose that was passed last, later than ``since``; None where none was."""
    return _challenge(await connection.fetchrow(_PASSED, book_id, subject_id, digest, since))


async def count_opened(connection: Connection, purpose: Purpose, since: datetime) -> int:
    """Return how many challenges of a payment were opened later than ``since``."""
    found: int = await connection.fetchval(_COUNT, purpose.book_id, purpose.subject_id, since)
    return found


async def page(connection: Connection, query: ChallengeQuery) -> Sequence[Challenge]:
    """Return the challenges of a query, newest first, and one more where there are older ones."""
    state = None if query.state is None else query.state.value
    rows = await connection.fetch(
        _PAGE, query.book_id, query.live, state, query.starting_after, query.limit + 1
    )
    return [_kept(row).challenge for row in rows]


def _one(row: Mapping[str, Any] | None) -> Kept | None:
    return None if row is None else _kept(row)


def _challenge(row: Mapping[str, Any] | None) -> Challenge | None:
    return None if row is None else _kept(row).challenge


def _kept(row: Mapping[str, Any]) -> Kept:
    """Return a row as a value, with plain UUIDs in the place of the driver's own, which facts do not take."""
    fields = dict(row)
    code_digest = fields.pop("code_digest")
    for name in ("id", "subject_id", "signals_id"):
        fields[name] = UUID(int=fields[name].int)
    fields["means"] = Means(fields["means"])
    fields["state"] = ChallengeState(fields["state"])
    return Kept(Challenge(**fields), code_digest)
