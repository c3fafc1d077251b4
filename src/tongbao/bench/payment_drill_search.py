"""Looking for card numbers where none may be: in every table, in every file that a process wrote.

The drill's cards share a beginning of ten digits that nothing else has. It is looked for as text, in hexadecimal (of
text, and packed two digits to a byte) and in base64 at each of its three alignments. Tables are looked at through
``pg_dump``, since what PostgreSQL compresses cannot be seen in its files; its files are looked at as well.
"""

import asyncio
import base64
import re
from collections.abc import Iterator
from pathlib import Path

from tongbao.core.embedded.server import DATABASE, EmbeddedServer

THEIRS = frozenset({"rules.json", "localstripe.log", "iso8583sim.log"})
"""Files that the peers keep for themselves: no card number of ours is safe from them, and none must be."""
CHUNK_BYTES = 1 << 24
_OVERLAP_BYTES = 64


def luhn_digit(digits: str) -> str:
    """Return the check digit that follows these digits (ISO/IEC 7812)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def needle(prefix: str) -> re.Pattern[bytes]:
    """Return what finds a card number with this beginning, in any of the forms above."""
    forms = [prefix.encode(), prefix.encode().hex().encode(), prefix.encode().hex().upper().encode()]
    forms += [re.escape(each) for each in _base64_forms(prefix.encode())]
    forms += [re.escape(bytes.fromhex(prefix))]
    return re.compile(b"|".join(forms))


def _base64_forms(text: bytes) -> Iterator[bytes]:
    """Return the middle of the text's base64 at each alignment: what its neighbors cannot change."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + text)
        first = -(-shift * 8 // 6)
        last = (shift + len(text)) * 8 // 6
        yield encoded[first:last]


async def found_in(server: EmbeddedServer, home: Path, prefix: str) -> list[str]:
    """Return where card numbers stand, as ``file: form`` with the form's first digits, never a whole number."""
    dump = home / "dump.sql"
    with dump.open("wb") as out:
        await asyncio.to_thread(
            server.run, "pg_dump", "--dbname", server.dsn(DATABASE), stdout=out, check=True
        )
    return await asyncio.to_thread(_search, home, needle(prefix))


def _search(home: Path, pattern: re.Pattern[bytes]) -> list[str]:
    found = []
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.name not in THEIRS:
            found += [
                f"{path.relative_to(home)}: {count} times" for count in [_count(path, pattern)] if count
            ]
    return found


def _count(path: Path, pattern: re.Pattern[bytes]) -> int:
    count = 0
    carried = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            block = carried + chunk
            kept = len(block) - _OVERLAP_BYTES
            count += sum(1 for each in pattern.finditer(block) if each.start() < kept)
            carried = block[max(0, kept) :]
    return count + len(pattern.findall(carried))
