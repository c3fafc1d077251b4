"""What was learned, as bytes: named arrays with a kind, a version and a checksum.

Equal states give equal bytes. Nothing is executed on loading, unlike with pickles, and what is not whole is refused.
"""

import zlib
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest

VERSION = 1
BYTES_MAX = 64 * 2**20
_TAG = "tongbao.risk.arrays"
_TYPES = ("<f8", "<i8")
Array = NDArray[np.float64] | NDArray[np.int64]


class _Envelope(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    tag: str
    version: int
    kind: str
    checksum: int
    body: bytes


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    names: tuple[str, ...]
    arrays: dict[str, tuple[str, tuple[int, ...], bytes]]


def packed(kind: str, names: tuple[str, ...], arrays: Mapping[str, Array]) -> bytes:
    """Return float64 and int64 ``arrays`` of something of this ``kind`` over the columns ``names`` as bytes."""
    rows = {
        key: (array.dtype.newbyteorder("<").str, array.shape, np.ascontiguousarray(array).tobytes())
        for key, array in sorted(arrays.items())
    }
    body = msgspec.msgpack.encode(_Body(names, rows))
    return msgspec.msgpack.encode(_Envelope(_TAG, VERSION, kind, zlib.crc32(body), body))


def unpacked(payload: bytes, kind: str) -> tuple[tuple[str, ...], dict[str, Array]]:
    """Return names and arrays of ``payload``, copies of their own. Raises InvalidRequest ``risk_state_invalid``."""
    if len(payload) > BYTES_MAX:
        raise refused(f"more than {BYTES_MAX} bytes")
    try:
        envelope = msgspec.msgpack.decode(payload, type=_Envelope)
        if (envelope.tag, envelope.version, envelope.kind) != (_TAG, VERSION, kind):
            raise refused(f"these bytes are no {kind} of version {VERSION}")
        if zlib.crc32(envelope.body) != envelope.checksum:
            raise refused("the checksum differs")
        body = msgspec.msgpack.decode(envelope.body, type=_Body)
        return body.names, {key: _array(*row) for key, row in body.arrays.items()}
    except msgspec.MsgspecError:
        raise refused(f"these bytes are no {kind}") from None


def shaped(arrays: Mapping[str, Array], key: str, kind: str, shape: tuple[int | None, ...]) -> Array:
    """Return one array of ``unpacked``; None in ``shape`` takes any size.

    Raises InvalidRequest ``risk_state_invalid`` where it is missing or of another type or shape.
    """
    array = arrays.get(key)
    if array is None or array.dtype.kind != kind or array.ndim != len(shape):
        raise refused(f"{key} is missing or malformed")
    if any(size not in {None, found} for size, found in zip(shape, array.shape, strict=True)):
        raise refused(f"{key} has the shape {array.shape}")
    return array


def floats(arrays: Mapping[str, Array], key: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Return ``shaped`` as floats."""
    return shaped(arrays, key, "f", shape).astype(np.float64, copy=False)


def integers(arrays: Mapping[str, Array], key: str, shape: tuple[int | None, ...]) -> NDArray[np.int64]:
    """Return ``shaped`` as integers."""
    return shaped(arrays, key, "i", shape).astype(np.int64, copy=False)


def refused(why: str) -> InvalidRequest:
    """Return the error that says why a state is not taken."""
    return InvalidRequest("risk_state_invalid", f"a state of risk control was refused: {why}")


def _array(dtype: str, shape: tuple[int, ...], data: bytes) -> Array:
    if dtype not in _TYPES:
        raise refused(f"arrays of {dtype} are not known")
    try:
        return np.frombuffer(data, dtype=dtype).reshape(shape).copy()
    except ValueError:
        raise refused("an array is not whole") from None
