"""The state of a learner as bytes: MessagePack with a version, the learner's kind and layout, and a checksum.

Equal states give equal bytes. What is not a whole dump of the same kind and layout is refused as a whole: half a
memory that is silently believed would steer traffic. The layout is what gives the numbers their meaning (names of
features and their standardisation); half-lives and priors may change between dump and load.
"""

import math
import zlib
from typing import NoReturn

import msgspec

from tongbao.core.errors import InvalidRequest

VERSION = 1
_TAG = "tongbao.learner"


class Table(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The rows of a learner, least recently seen first, and the instants of what is under way, in seconds."""

    facts: int
    keys: list[tuple[str, ...]]
    values: list[list[float]]
    at_s: list[float]
    at_fact: list[float]
    in_flight: list[tuple[tuple[str, ...], list[float]]]


class _Envelope(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    tag: str
    version: int
    kind: str
    layout: str
    checksum: int
    body: bytes


_TABLES = msgspec.msgpack.Decoder(Table)
_ENVELOPES = msgspec.msgpack.Decoder(_Envelope)


def packed(kind: str, layout: str, table: Table) -> bytes:
    """Return ``table`` as bytes of a learner of this kind and layout."""
    body = msgspec.msgpack.encode(table)
    return msgspec.msgpack.encode(_Envelope(_TAG, VERSION, kind, layout, zlib.crc32(body), body))


def unpacked(data: bytes, kind: str, layout: str) -> Table:
    """Return the table in ``data``. Raises InvalidRequest ``learner_state_invalid``."""
    try:
        envelope = _ENVELOPES.decode(data)
    except msgspec.MsgspecError:
        _refuse("these bytes are no state of a learner")
    if (envelope.tag, envelope.version) != (_TAG, VERSION):
        _refuse(f"not a state of version {VERSION}")
    if (envelope.kind, envelope.layout) != (kind, layout):
        _refuse(f"a state of {envelope.kind} [{envelope.layout}], not of {kind} [{layout}]")
    if zlib.crc32(envelope.body) != envelope.checksum:
        _refuse("the checksum differs")
    try:
        return _TABLES.decode(envelope.body)
    except msgspec.MsgspecError:
        _refuse("the table is malformed")


def check(table: Table, width: int, cells_max: int, in_flight_max: int) -> None:
    """Raise InvalidRequest ``learner_state_invalid`` where a table does not fit, is not whole or holds no numbers."""
    keys, count = set(table.keys), len(table.keys)
    if len(keys) != count or {count} != {len(table.values), len(table.at_s), len(table.at_fact)}:
        _refuse("keys and rows do not belong together")
    if count > cells_max:
        _refuse(f"{count} keys, more than the {cells_max} of this learner")
    if any(len(row) != width for row in table.values):
        _refuse(f"rows are not {width} wide")
    begun = [instants for _, instants in table.in_flight]
    if not all(math.isfinite(x) for row in (*table.values, table.at_s, table.at_fact, *begun) for x in row):
        _refuse("a number is not finite")
    if any(key not in keys for key, _ in table.in_flight) or any(
        len(instants) > in_flight_max or instants != sorted(instants) for instants in begun
    ):
        _refuse("what is under way does not belong to a key, is too much or out of order")


def _refuse(why: str) -> NoReturn:
    raise InvalidRequest("learner_state_invalid", f"a learner's state was refused: {why}")
