"""What a house leaves behind: everything that it has written down, card numbers in it, and faults in its log."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.scenarios.running_house import RunningHouse

from tongbao.core.embedded.server import EmbeddedServer
from tongbao.web.api.v1.routes.cards import TEST_CARDS

TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
AND n.nspname NOT LIKE 'pg_toast%'
"""


def forms(number: str) -> Iterator[bytes]:
    """The ways in which a number could lie in text or bytes; the database shows bytes in hex."""
    for plain in _plain_forms(number):
        yield plain
        yield plain.hex().encode()


def _plain_forms(number: str) -> Iterator[bytes]:
    """Itself, grouped, as UTF-16, in base64 at every offset."""
    groups = [number[at : at + 4] for at in range(0, len(number), 4)]
    yield from (separator.join(groups).encode() for separator in ("", " ", "-", "+"))
    yield number.encode("utf-16-le")
    for offset in range(3):
        # What stands before shifts the groups of three; only characters that depend on the number alone are kept.
        yield base64.b64encode(b"\x00" * offset + number.encode())[offset + 1 : -4]


def numbers_of_the_suite() -> set[str]:
    """Every card number that a scenario sends: those behind the names of test cards, and those written out."""
    written = {
        found
        for file in Path(__file__).parent.glob("*.py")
        for found in re.findall(r"\b[0-9]{13,19}\b", file.read_text())
    }
    return {number for number in written | set(TEST_CARDS.values()) if number[0] in "23456"}


def everything_written(house: RunningHouse, server: EmbeddedServer) -> dict[str, bytes]:
    """The logs of a house and of its server, and every table, by their names."""
    written: dict[str, bytes] = {"log": house.log.read_bytes()}
    for path in Path(server.status().data_dir).parent.rglob("*.log"):
        written[str(path)] = path.read_bytes()
    for row in house.rows(TABLES):
        rows = house.rows(f"SELECT t::text AS line FROM {row['name']} AS t")
        written[row["name"]] = "\n".join(each["line"] for each in rows).encode()
    return written


def card_numbers_in(written: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Where a card number of the scenarios stands, and its last digits."""
    wanted = {number: list(forms(number)) for number in numbers_of_the_suite()}
    return [
        (name, number[-4:])
        for name, text in written.items()
        for number, looks in wanted.items()
        if any(look in text for look in looks)
    ]


def log_lines(house: RunningHouse) -> list[dict[str, Any]]:
    """What the house has logged so far."""
    return [json.loads(line) for line in house.log.read_text().splitlines() if line.startswith("{")]


def faults_in(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that tell of a fault of its own."""
    return [line for line in lines if line["level"] in ("error", "critical")]
