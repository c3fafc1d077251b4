"""The board: everything that routing has learned, as one fold over published facts.

One row number a segment (pool, channel, issuer) serves three tables: what issuers accept, how often the channel is
technically well, and the breakers. Learning is the only thing that changes the board, and depends on nothing but the fact:
so two processes that have read the same facts know the same to the last bit, and a snapshot with the facts after it is
the state. Reading allocates nothing.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.routing.models.beliefs import (
    CHANNEL,
    ISSUER,
    POOL,
    WELL,
    Belief,
    Beliefs,
    BeliefTuning,
    Chance,
    Floats,
    Ints,
    Lesson,
)
from tongbao.routing.models.breakers import CLOSED, Breakers, BreakerTuning, Reading, Standing
from tongbao.routing.schema.payments import SICK, Attempted, Mark

FORM = 1
ROWS_MAX = 60_000
"""Segments learned apart; beyond it the quieter half of the issuers is forgotten."""
LEVELS = 3
NOBODY = "-"
"""The issuer of methods that have none."""
_WELL = Standing(CLOSED, 0.0, -math.inf)
_JUDGED = frozenset({Mark.APPROVED, Mark.ISSUER_DECLINED})
Key = tuple[bool, str, str, str]
"""Mode, method, channel, issuer; empty where the row is of a level above."""


class BoardTuning(msgspec.Struct, frozen=True, kw_only=True):
    """How beliefs and breakers learn."""

    beliefs: BeliefTuning = BeliefTuning()
    breakers: BreakerTuning = BreakerTuning()


class Sight(NamedTuple):
    """What is known of channels for a segment, (n, k) each: acceptance, health, the breaker of channel and issuer."""

    acceptance: Belief
    health: Belief
    rate: Floats
    breaker: Reading


class Glimpse(NamedTuple):
    """``Sight`` of one channel: the chance of an approval, its breaker, the moving rate of technical ends."""

    chance: Chance
    breaker: Standing
    rate: float


class Turned(NamedTuple):
    """A breaker that opened or closed by a fact; ``rate`` is the moving rate of technical ends.

    One whose probe failed was out of traffic before, and is not told of again.
    """

    key: Key
    is_out: bool
    rate: float


class _Dump(msgspec.Struct, frozen=True):
    form: int
    tuning: BoardTuning
    keys: list[Key]
    seen: list[float]
    tables: dict[str, list[Any]]


class Board:
    """The learned state. Not safe for use from several threads."""

    def __init__(self, tuning: BoardTuning | None = None) -> None:
        self.tuning = tuning or BoardTuning()
        self.beliefs = Beliefs(self.tuning.beliefs)
        self.breakers = Breakers(self.tuning.breakers)
        self.issuers: dict[int, list[int]] = {}
        """Rows of issuers by the row of their channel."""
        self._rows: dict[Key, int] = {}
        self._seen = np.zeros(1)
        self._paths: dict[tuple[bool, str, str, tuple[str, ...]], Ints] = {}

    @property
    def rows(self) -> int:
        """How many segments are known."""
        return len(self._rows)

    def path(self, live: bool, method: str, issuer: str, channels: tuple[str, ...]) -> Ints:
        """Return the rows of channels for a segment, (1, k, 3); what was never seen has row 0."""
        wanted = (live, method, issuer, channels)
        found = self._paths.get(wanted)
        if found is None:
            row = self._rows.get
            pool = row((live, method, "", ""), 0)
            found = np.array(
                [
                    [
                        (
                            pool,
                            row((live, method, channel, ""), 0),
                            row((live, method, channel, issuer or NOBODY), 0),
                        )
                        for channel in channels
                    ]
                ]
            )
            if len(self._paths) >= ROWS_MAX:
                self._paths.clear()
            self._paths[wanted] = found
        return found

    def read(
        self, path: Ints, at_s: Floats, offset: Floats | None = None, pending: Floats | None = None
    ) -> Sight:
        """Return what is known of (n, k) channels as of instants (n,); changes nothing.

        ``offset``: log-odds of acceptance that the context adds; ``pending``: attempts under way, (n, k) both.
        """
        index = self._seen[path[:, 0, POOL]]
        acceptance, health = self.beliefs.read(path, index, at_s, offset, pending)
        both = self.breakers.read(path[..., CHANNEL:], at_s[:, None, None])
        rate = self.breakers.rate[path[..., CHANNEL]]
        return Sight(acceptance, health, rate, _worse(both))

    def glance(
        self, path: Ints, at_s: float, offset: Sequence[float] | None, pending: Sequence[int]
    ) -> list[Glimpse]:
        """Return what ``read`` returns for the channels of one payment, ``path`` (1, k, 3), in plain numbers."""
        rows = path[0]
        chances = self.beliefs.chances(rows, float(self._seen[rows[0, POOL]]), at_s, offset, pending)
        places = rows.tolist()
        rates = self.breakers.rate[rows[:, CHANNEL]].tolist()
        opened = np.isfinite(self.breakers.opened_s[rows[:, CHANNEL:]]).any(axis=1).tolist()
        return [
            Glimpse(chance, self.breakers.standing(place[CHANNEL:], at_s) if out else _WELL, rate)
            for chance, place, out, rate in zip(chances, places, opened, rates, strict=True)
        ]

    def learn(self, fact: Attempted) -> list[Turned]:
        """Fold one fact in; return the breakers that it turned.

        Health learns from the first mark of an attempt, acceptance from its first yes or no of an issuer; what later
        corrects those is for people and reports.
        """
        path = self._grown(fact)
        first = fact.before is None
        judged = fact.mark in _JUDGED and fact.before not in _JUDGED
        if not first and not judged:
            return []
        at_s, ill = fact.occurred_at.timestamp(), fact.mark in SICK
        pool = path[POOL]
        if first:
            self._seen[pool] += 1
        yes = float(fact.mark is Mark.APPROVED) if judged else None
        well = float(not ill) if first else None
        index = float(self._seen[pool])
        if fact.is_cascade or not self.beliefs.teach(path, index, at_s, yes, well):
            lesson = Lesson(_one(yes), _one(well), np.array([fact.is_cascade]))
            self.beliefs.learn(np.array([path]), _one(index), _one(at_s), lesson)
        return self._judged(path, fact, at_s, ill) if first else []

    def learn_many(
        self, path: Ints, at_s: Floats, sent_s: Floats, ends: Ints, *, again: bool = False
    ) -> None:
        """Fold in one end for each of n pools that are different, as ``learn`` does, without keys; ``path`` (n, 3).

        ``ends``: 0 approved, 1 issuer declined, 2 technical or unresolved, 3 neutral. For simulations.
        """
        pool = path[:, POOL]
        self._seen[pool] += 1
        yes = np.where(ends <= 1, (ends == 0).astype(float), np.nan)
        ill = (ends == 2).astype(float)
        lesson = Lesson(yes, 1.0 - ill, np.full(len(ends), again))
        self.beliefs.learn(path, self._seen[pool], at_s, lesson)
        channel = path[:, CHANNEL]
        was_out = np.isfinite(self.breakers.opened_s[channel])
        self.breakers.learn(channel, at_s, sent_s, ill)
        own = ~was_out
        if own.any():
            self.breakers.learn(path[own, ISSUER], at_s[own], sent_s[own], ill[own])
        for row in channel[was_out & np.isinf(self.breakers.opened_s[channel])]:
            self.breakers.close(self.issuers.get(int(row), ()))

    def hold(self, count: int) -> None:
        """Make room for rows up to ``count``."""
        self.beliefs.hold(count)
        self.breakers.hold(count)
        if count > len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros(max(count, 256))])

    def dump(self) -> bytes:
        """Return the whole state; equal states give equal bytes."""
        count = len(self._rows) + 1
        tables = {
            f"{name}.{column}": getattr(table, column)[:count].tolist()
            for name, table in self._tables()
            for column in table.COLUMNS
        }
        dump = _Dump(FORM, self.tuning, list(self._rows), self._seen[:count].tolist(), tables)
        return msgspec.msgpack.encode(dump)

    def digest(self) -> str:
        """Return the SHA-256 of the whole state."""
        return hashlib.sha256(self.dump()).hexdigest()

    @classmethod
    def load(cls, dumped: bytes) -> "Board":
        """Return the board that was dumped; raise InvalidRequest ``board_invalid`` for anything else."""
        try:
            dump = msgspec.msgpack.decode(dumped, type=_Dump)
            if dump.form != FORM:
                raise ValueError(f"form {dump.form}")
            board = cls(dump.tuning)
            board.hold(len(dump.keys) + 1)
            board._rows = {key: row for row, key in enumerate(dump.keys, 1)}
            board._enroll_all()
            board._seen[: len(dump.seen)] = dump.seen
            for name, table in board._tables():
                for column in table.COLUMNS:
                    values = np.array(dump.tables[f"{name}.{column}"], dtype=getattr(table, column).dtype)
                    getattr(table, column)[: len(values)] = values
        except (msgspec.MsgspecError, ValueError, KeyError, IndexError) as error:
            raise InvalidRequest("board_invalid", f"not a dump of a board: {error}") from error
        return board

    def become(self, other: "Board") -> None:
        """Take over the state of another board, so that whoever holds this one sees it."""
        self.__dict__.update(other.__dict__)

    def opened_since(self, live: bool, method: str, since_s: float) -> list[str]:
        """Return the channels of a method whose own breakers opened at an instant or later and have not closed."""
        return [
            channel
            for (mode, kind, channel, issuer), row in self._rows.items()
            if (mode, kind, issuer) == (live, method, "") and channel
            if since_s <= self.breakers.opened_s[row] < np.inf
        ]

    def _tables(self) -> Sequence[tuple[str, Any]]:
        return (("beliefs", self.beliefs), ("breakers", self.breakers))

    def _grown(self, fact: Attempted) -> tuple[int, int, int]:
        """Return the rows of a fact by level, made where they are new."""
        live, method, channel = fact.live, fact.method, fact.channel
        if len(self._rows) + LEVELS > ROWS_MAX:
            self._forget_quiet()
        return (
            self._row((live, method, "", "")),
            self._row((live, method, channel, "")),
            self._row((live, method, channel, fact.issuer or NOBODY)),
        )

    def _row(self, key: Key) -> int:
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = len(self._rows) + 1
            self.hold(found + 1)
            self._enroll(key, found)
            self._paths.clear()
        return found

    def _enroll(self, key: Key, row: int) -> None:
        """Tell the beliefs which pool a row belongs to; a pool's own row comes before its members'."""
        live, method, channel, issuer = key
        if channel:
            self.beliefs.members.setdefault(self._rows[live, method, "", ""], []).append(row)
        if issuer:
            self.issuers.setdefault(self._rows[live, method, channel, ""], []).append(row)

    def _enroll_all(self) -> None:
        self.beliefs.members.clear()
        self.issuers.clear()
        for key, row in self._rows.items():
            self._enroll(key, row)

    def _forget_quiet(self) -> None:
        """Drop the quieter half of the issuers; pools and channels stay."""
        weight = self.beliefs.counts[:, :, WELL].sum(-1)

        def share(key: Key) -> float:
            """Return the segment's part of its pool: pools count in units of their own."""
            return float(weight[self._rows[key]] / weight[self._rows[key[0], key[1], "", ""]])

        issuers = sorted((key for key in self._rows if key[3]), key=lambda key: -share(key))
        kept = [key for key in self._rows if not key[3]] + issuers[: len(issuers) // 2]
        rows = np.array([0, *(self._rows[key] for key in kept)])
        for _, table in self._tables():
            table.keep(rows)
        self._seen = self._seen[rows]
        self._rows = {key: row for row, key in enumerate(kept, 1)}
        self._paths.clear()
        self._enroll_all()

    def _judged(self, path: tuple[int, int, int], fact: Attempted, at_s: float, ill: bool) -> list[Turned]:
        """Let the breakers of the channel and of its issuer learn; return those that opened or closed.

        While a channel is out, its failures are its own and no issuer's; when it is well again, so are its issuers.
        """
        turned = []
        channel = path[CHANNEL]
        was_out = bool(np.isfinite(self.breakers.opened_s[channel]))
        for level, issuer in ((CHANNEL, ""), (ISSUER, fact.issuer or NOBODY)):
            row = path[level]
            if (level == ISSUER and was_out) or self.breakers.teach(row, ill):
                continue
            before = bool(np.isfinite(self.breakers.opened_s[row]))
            sent_s = at_s - fact.took_ms / 1_000
            self.breakers.learn(np.array([row]), _one(at_s), _one(sent_s), _one(float(ill)))
            after = bool(np.isfinite(self.breakers.opened_s[row]))
            if after != before:
                key = (fact.live, fact.method, fact.channel, issuer)
                turned.append(Turned(key, after, float(self.breakers.rate[row])))
        if was_out and not np.isfinite(self.breakers.opened_s[channel]):
            self.breakers.close(self.issuers.get(channel, ()))
        return turned


def _one(value: float | None) -> Floats:
    """Return an array of one; nan for None."""
    return np.array([np.nan if value is None else value])


def _worse(both: Reading) -> Reading:
    """Return for each channel the breaker that stands worse, its own or that of its issuer."""
    own = Reading(both.state[..., 0], both.probe_share[..., 0], both.waiting_s[..., 0])
    if not both.state.any():
        return own
    worse = both.state[..., 1] > own.state
    if worse.any():
        for column, each in zip(own, both, strict=True):
            column[worse] = each[..., 1][worse]
    return own
