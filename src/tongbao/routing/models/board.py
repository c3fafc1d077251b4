"""The board: everything that routing has learned, as one fold over published facts.

One row number a segment (pool, channel, issuer) serves three tables: what issuers accept, how often the channel is
technically well, and the breakers. Learning is the only thing that changes the board, and depends on nothing but the fact:
so two processes that have read the same facts know the same to the last bit, and a snapshot with the facts after it is
the state. Reading allocates nothing.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.routing.models.acceptance import Acceptance, AcceptanceTuning, Belief, Path
from tongbao.routing.models.breakers import Breakers, BreakerState, BreakerTuning, Reading
from tongbao.routing.models.cells import Floats, Ints
from tongbao.routing.schema.payments import SICK, Attempted, Mark

FORM = 1
ROWS_MAX = 60_000
"""Segments learned apart; beyond it the quieter half of the issuers is forgotten."""
NOBODY = "-"
"""The issuer of methods that have none."""
_JUDGED = frozenset({Mark.APPROVED, Mark.ISSUER_DECLINED})
Key = tuple[bool, str, str, str]
"""Mode, method, channel, issuer; empty where the row is of a level above."""


class BoardTuning(msgspec.Struct, frozen=True, kw_only=True):
    """How the three tables learn."""

    acceptance: AcceptanceTuning = AcceptanceTuning()
    health: AcceptanceTuning = AcceptanceTuning(
        half_counts=(60.0, 400.0),
        prior_mean=0.99,
        channel_strength=4.0,
        issuer_strength=100.0,
    )
    breakers: BreakerTuning = BreakerTuning()


class Sight(NamedTuple):
    """What is known of channels for a segment, (n, k) each: acceptance, health, the breaker of channel and issuer."""

    acceptance: Belief
    health: Belief
    rate: Floats
    breaker: Reading


class Turned(NamedTuple):
    """A breaker that opened or closed by a fact; ``rate`` is the moving rate of technical ends.

    One whose probe failed was out of traffic before, and is not told of again.
    """

    key: Key
    state: BreakerState
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
        self.acceptance = Acceptance(self.tuning.acceptance)
        self.health = Acceptance(self.tuning.health)
        self.breakers = Breakers(self.tuning.breakers)
        self._rows: dict[Key, int] = {}
        self._seen = np.zeros(1)
        self._paths: dict[tuple[bool, str, str, tuple[str, ...]], Path] = {}

    @property
    def rows(self) -> int:
        """How many segments are known."""
        return len(self._rows)

    def path(self, live: bool, method: str, issuer: str, channels: tuple[str, ...]) -> Path:
        """Return the rows of channels for a segment, n = 1; what was never seen has row 0."""
        wanted = (live, method, issuer, channels)
        found = self._paths.get(wanted)
        if found is None:
            row = self._rows.get
            found = Path(
                np.array([row((live, method, "", ""), 0)]),
                np.array([[row((live, method, channel, ""), 0) for channel in channels]]),
                np.array([[row((live, method, channel, issuer or NOBODY), 0) for channel in channels]]),
            )
            if len(self._paths) >= ROWS_MAX:
                self._paths.clear()
            self._paths[wanted] = found
        return found

    def read(
        self, path: Path, at_s: Floats, offset: Floats | float = 0.0, pending: Floats | float = 0.0
    ) -> Sight:
        """Return what is known as of instants (n,); changes nothing.

        ``offset``: log-odds of acceptance that the context adds; ``pending``: attempts under way by channel, (n, k).
        """
        index = self._seen[path.pool]
        at = at_s[:, None]
        channel = self.breakers.read(path.channel, at)
        issuer = self.breakers.read(path.issuer, at)
        worse = issuer.state > channel.state
        both = Reading(
            np.maximum(channel.state, issuer.state),
            np.where(worse, issuer.probe_share, channel.probe_share),
            np.where(worse, issuer.waiting_s, channel.waiting_s),
        )
        return Sight(
            self.acceptance.read(path, index, at_s, offset, pending),
            self.health.read(path, index, at_s, 0.0, pending),
            self.breakers.rate[path.channel],
            both,
        )

    def learn(self, fact: Attempted) -> list[Turned]:
        """Fold one fact in; return the breakers that it turned.

        Health learns from the first mark of an attempt, acceptance from its first yes or no of an issuer; what later
        corrects those is for people and reports.
        """
        at_s = np.array([fact.occurred_at.timestamp()])
        sent_s = at_s - fact.took_ms / 1_000
        path = self._grown(fact)
        judged = fact.mark in _JUDGED and fact.before not in _JUDGED
        first = fact.before is None
        if first:
            self._seen[path.pool] += 1
        index = self._seen[path.pool]
        if judged:
            self.acceptance.learn(path, index, at_s, np.array([float(fact.mark is Mark.APPROVED)]))
        if not first:
            return []
        ill = np.array([float(fact.mark in SICK)])
        self.health.learn(path, index, at_s, 1.0 - ill)
        return self._judged(path, fact, at_s, sent_s, ill)

    def learn_many(self, path: Path, at_s: Floats, sent_s: Floats, marks: Ints) -> None:
        """Fold in one end for each of n pools that are different, as ``learn`` does, without keys.

        ``marks``: 0 approved, 1 issuer declined, 2 technical or unresolved, 3 neutral. For simulations.
        """
        self._seen[path.pool] += 1
        index = self._seen[path.pool]
        judged = marks <= 1
        some = Path(path.pool[judged], path.channel[judged], path.issuer[judged])
        if judged.any():
            self.acceptance.learn(some, index[judged], at_s[judged], (marks[judged] == 0).astype(float))
        ill = (marks == 2).astype(float)
        self.health.learn(path, index, at_s, 1.0 - ill)
        for rows in (path.channel[:, 0], path.issuer[:, 0]):
            self.breakers.learn(rows, at_s, sent_s, ill)

    def hold(self, count: int) -> None:
        """Make room for rows up to ``count``."""
        self.acceptance.cells.hold(count)
        self.health.cells.hold(count)
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
        return (
            ("acceptance", self.acceptance.cells),
            ("health", self.health.cells),
            ("breakers", self.breakers),
        )

    def _grown(self, fact: Attempted) -> Path:
        """Return the rows of a fact, made where they are new."""
        pool = self._row((fact.live, fact.method, "", ""))
        channel = self._row((fact.live, fact.method, fact.channel, ""))
        issuer = self._row((fact.live, fact.method, fact.channel, fact.issuer or NOBODY))
        return Path(np.array([pool]), np.array([[channel]]), np.array([[issuer]]))

    def _row(self, key: Key) -> int:
        found = self._rows.get(key)
        if found is not None:
            return found
        if len(self._rows) >= ROWS_MAX:
            self._forget_quiet()
        row = self._rows[key] = len(self._rows) + 1
        self.hold(row + 1)
        self._paths.clear()
        return row

    def _forget_quiet(self) -> None:
        """Drop the quieter half of the issuers; pools and channels stay."""
        cells = self.health.cells
        weight = (cells.good + cells.bad)[:, -1]
        issuers = sorted((key for key in self._rows if key[3]), key=lambda key: -weight[self._rows[key]])
        kept = [key for key in self._rows if not key[3]] + issuers[: len(issuers) // 2]
        rows = np.array([0, *(self._rows[key] for key in kept)])
        for _, table in self._tables():
            table.keep(rows)
        self._seen = self._seen[rows]
        self._rows = {key: row for row, key in enumerate(kept, 1)}

    def _judged(self, path: Path, fact: Attempted, at_s: Floats, sent_s: Floats, ill: Floats) -> list[Turned]:
        """Let the breakers of the channel and of its issuer learn; return those that changed their state."""
        turned = []
        for level, issuer in ((path.channel[:, 0], ""), (path.issuer[:, 0], fact.issuer or NOBODY)):
            was_out = bool(np.isfinite(self.breakers.opened_s[level[0]]))
            self.breakers.learn(level, at_s, sent_s, ill)
            is_out = bool(np.isfinite(self.breakers.opened_s[level[0]]))
            if is_out != was_out:
                state = BreakerState.OPEN if is_out else BreakerState.CLOSED
                key = (fact.live, fact.method, fact.channel, issuer)
                turned.append(Turned(key, state, float(self.breakers.rate[level[0]])))
        return turned
