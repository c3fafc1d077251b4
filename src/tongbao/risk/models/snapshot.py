"""A feature state as bytes: a header, then the arrays without their slack, oldest payment first.

What is written depends on what was folded, not on when arrays grew, so equal knowledge gives equal bytes. A snapshot
belongs to one layout: one of other windows or columns is refused, and the state is then folded from the log again.
"""

from hashlib import sha256
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import layout
from tongbao.risk.models.arena import FIRST_ROWS, Arena, with_ring
from tongbao.risk.models.tables import Ints, Table, enter_all

MAGIC = b"tongbao risk features 1\n"
DIGEST_BYTES = 32
T = TypeVar("T", bound=np.generic)


HASHING = 2
"""Which way of ``tables.home`` the indexes in a snapshot follow."""


class Header(msgspec.Struct, frozen=True):
    """What is needed to read the arrays: the layout that they follow and how many rows there are of each."""

    layout: str
    events: int
    entities: int
    pairs: int


def fingerprint() -> str:
    """Return what tells this layout from another: widths, windows, pairs and their places."""
    seen = (
        HASHING,
        *(
            layout.EVENT_WIDTH,
            layout.LINK_WIDTH,
            layout.ENTITY_WIDTH,
            layout.PROFILE_WIDTH,
            layout.PAIR_WIDTH,
        ),
        *(layout.DELAY_MS, layout.HORIZON_MS, layout.SCALARS, layout.META),
        *(layout.WINDOW_MS.tolist(), layout.LABEL_WINDOW_MS.tolist()),
        *(layout.PAIR_SIDES.tolist(), layout.DIFFERENTS.tolist()),
    )
    return sha256(repr(seen).encode()).hexdigest()[:16]


def _parts(arena: Arena) -> list[NDArray[np.int64] | NDArray[np.int32] | NDArray[np.float64]]:
    """Return the arrays of a state without their slack."""
    first, after = int(arena.scalars[layout.FIRST_SEQ]), int(arena.scalars[layout.NEXT_SEQ])
    places = np.arange(first, after) & (arena.events.shape[0] - 1)
    entities, pairs = int(arena.entities.meta[layout.USED]), int(arena.pairs.meta[layout.USED])
    return [
        arena.scalars,
        arena.entities.meta,
        arena.pairs.meta,
        arena.events[places],
        arena.links[places],
        arena.ratios[places],
        arena.entities.rows[:entities],
        arena.profiles[:entities],
        arena.pairs.rows[:pairs],
        arena.proofs[:pairs],
    ]


def dump(arena: Arena) -> bytes:
    """Return a state as bytes that close with their own SHA-256."""
    parts = _parts(arena)
    header = msgspec.json.encode(Header(fingerprint(), len(parts[3]), len(parts[6]), len(parts[8])))
    body = b"".join((MAGIC, header, b"\n", *(part.tobytes() for part in parts)))
    return body + sha256(body).digest()


def digest(arena: Arena) -> str:
    """Return the SHA-256 of what ``dump`` would write before it, in hexadecimal."""
    return dump(arena)[-DIGEST_BYTES:].hex()


def size(arena: Arena) -> int:
    """Return the bytes of memory that the arrays take, slack included."""
    tables = (*arena.entities, *arena.pairs)
    plain = (arena.events, arena.links, arena.ratios, arena.event_index, arena.profiles, arena.proofs)
    return sum(array.nbytes for array in (*tables, *plain))


def load(data: bytes) -> Arena:
    """Return the state that was dumped.

    Raise ``InvalidRequest``: ``feature_snapshot_damaged`` for bytes that are not a whole snapshot, ``feature_snapshot_foreign``
    for one of another layout.
    """
    body = data[:-DIGEST_BYTES]
    if not data.startswith(MAGIC) or sha256(body).digest() != data[-DIGEST_BYTES:]:
        raise InvalidRequest("feature_snapshot_damaged", "these bytes are not a whole snapshot of features")
    text, _, rest = body[len(MAGIC) :].partition(b"\n")
    header = msgspec.json.decode(text, type=Header)
    if header.layout != fingerprint():
        raise InvalidRequest("feature_snapshot_foreign", f"the snapshot is of layout {header.layout}")
    return _arena(header, rest)


def _arena(header: Header, data: bytes) -> Arena:
    reader = _Reader(data)
    scalars = reader.ints(layout.SCALARS)
    entity_meta, pair_meta = reader.ints(layout.META), reader.ints(layout.META)
    events = reader.ints(header.events, layout.EVENT_WIDTH)
    links = reader.array(np.dtype(np.int32), header.events, layout.LINK_WIDTH)
    ratios = reader.array(np.dtype(np.float64), header.events, layout.SPREE_KINDS)
    entities = _table(reader.ints(header.entities, layout.ENTITY_WIDTH), entity_meta)
    profiles = reader.array(np.dtype(np.float64), header.entities, layout.PROFILE_WIDTH)
    pairs = _table(reader.ints(header.pairs, layout.PAIR_WIDTH), pair_meta)
    proofs = reader.array(np.dtype(np.float64), header.pairs)
    arena = Arena(
        *(scalars, events, links, ratios, np.zeros(2, np.int32)),
        entities=entities,
        profiles=_padded(profiles, len(entities.rows)),
        pairs=pairs,
        proofs=_padded(proofs, len(pairs.rows)),
    )
    return with_ring(arena, int(scalars[layout.FIRST_SEQ]), events, links, ratios)


def _padded(values: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    padded = np.zeros((rows, *values.shape[1:]), np.float64)
    padded[: len(values)] = values
    return padded


def _table(rows: Ints, meta: Ints) -> Table:
    """Return a table with room for as many rows again."""
    size = max(FIRST_ROWS, 1 << (2 * len(rows)).bit_length())
    padded = np.zeros((size, rows.shape[1]), np.int64)
    padded[: len(rows)] = rows
    index = np.zeros(2 * size, np.int32)
    enter_all(index, padded, int(meta[layout.YOUNGEST]))
    return Table(padded, index, meta)


class _Reader:
    """Takes arrays off bytes, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._place = 0

    def array(self, dtype: np.dtype[T], *shape: int) -> NDArray[T]:
        count = int(np.prod(shape))
        found = np.frombuffer(self._data, dtype, count, self._place).reshape(shape).copy()
        self._place += found.nbytes
        return found

    def ints(self, *shape: int) -> Ints:
        return self.array(np.dtype(np.int64), *shape)
