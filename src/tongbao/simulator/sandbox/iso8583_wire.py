"""ISO 8583:1987 on the wire, as our card acquirers speak it: frames, field table, and reading and writing messages.

A frame is two bytes of length, big-endian and not counting themselves, and a message: type of four ASCII digits,
bitmaps of eight bytes, ASCII fields with ASCII lengths.
"""

import asyncio
from typing import Any

import iso8583

FRAME_BYTES_MAX = 8_192
LENGTH_BYTES = 2
_FIXED, _LL, _LLL = 0, 2, 3

# Field: (kind of length, most characters). Numbers and meanings are the standard's; 46 to 48 and 60 to 63 are private.
_TABLE: dict[str, tuple[int, int]] = {
    "2": (_LL, 19),
    "3": (_FIXED, 6),
    "4": (_FIXED, 12),
    "7": (_FIXED, 10),
    "11": (_FIXED, 6),
    "12": (_FIXED, 6),
    "13": (_FIXED, 4),
    "14": (_FIXED, 4),
    "18": (_FIXED, 4),
    "22": (_FIXED, 3),
    "24": (_FIXED, 3),
    "25": (_FIXED, 2),
    "32": (_LL, 11),
    "33": (_LL, 11),
    "37": (_FIXED, 12),
    "38": (_FIXED, 6),
    "39": (_FIXED, 2),
    "41": (_FIXED, 8),
    "42": (_FIXED, 15),
    "43": (_FIXED, 40),
    "44": (_LL, 25),
    "46": (_LLL, 999),
    "47": (_LLL, 999),
    "48": (_LLL, 999),
    "49": (_FIXED, 3),
    "60": (_LLL, 999),
    "61": (_LLL, 999),
    "62": (_LLL, 999),
    "63": (_LLL, 999),
    "70": (_FIXED, 3),
    "90": (_FIXED, 42),
}

Message = dict[str, str]


class Unreadable(Exception):
    """Bytes that are no message of this dialect."""


def _field(length_type: int, length_max: int, *, encoding: str = "ascii") -> dict[str, Any]:
    return {
        "data_enc": encoding,
        "len_enc": "ascii",
        "len_type": length_type,
        "max_len": length_max,
        "desc": "",
    }


_SPEC: dict[str, dict[str, Any]] = {
    "h": _field(_FIXED, 0),
    "t": _field(_FIXED, 4),
    "p": _field(_FIXED, 8, encoding="b"),
    "1": _field(_FIXED, 8, encoding="b"),
    **{number: _field(*shape) for number, shape in _TABLE.items()},
}


def decode(raw: bytes) -> Message:
    """Return the fields of a message, ``t`` being its type; raise Unreadable."""
    try:
        decoded, _ = iso8583.decode(raw, _SPEC)
    except (iso8583.DecodeError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise Unreadable(type(error).__name__) from None
    return {name: value for name, value in decoded.items() if name not in ("h", "p", "1")}


def encode(message: Message) -> bytes:
    """Return the bytes of a message; raise Unreadable for a value that does not fit its field."""
    try:
        raw, _ = iso8583.encode(dict(message), _SPEC)
    except (iso8583.EncodeError, KeyError) as error:
        raise Unreadable(str(error)) from None
    return bytes(raw)


def framed(raw: bytes) -> bytes:
    """Return a message with its length before it."""
    return len(raw).to_bytes(LENGTH_BYTES, "big") + raw


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next message's bytes, empty ones being sent to keep a connection alive.

    Raises IncompleteReadError at the end of the stream, Unreadable for a length that no message has.
    """
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if length > FRAME_BYTES_MAX:
        raise Unreadable(f"a frame of {length} bytes")
    return await reader.readexactly(length)
