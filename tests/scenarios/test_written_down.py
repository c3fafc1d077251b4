"""What the house has written down by the end: no card number in any table or log, and no fault of its own.

Last by its name, so that it looks when the other scenarios have done what they do.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
from tests.scenarios.running_house import RunningHouse, Shop, wait_for

from tongbao.core.embedded.server import EmbeddedServer
from tongbao.web.api.v1.routes.cards import TEST_CARDS

NUMBER = "4012888888881881"
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


def test_forms_find_a_number_that_is_there() -> None:
    for text in (
        NUMBER,
        "4012 8888 8888 1881",
        NUMBER.encode().hex(),
        base64.b64encode(b"ab" + NUMBER.encode() + b"c").decode(),
    ):
        assert any(form in b"xx" + text.encode() + b"yy" for form in forms(NUMBER))


def test_no_card_number_is_written_down_anywhere(
    tea: Shop, house: RunningHouse, server: EmbeddedServer
) -> None:
    assert {NUMBER, "4242424242424242"} <= numbers_of_the_suite()
    card = {"number": NUMBER, "exp_month": 12, "exp_year": 2033, "cvc": "737"}
    data = {"type": "card", "card": card}
    tea.pay(2_100)
    paid = tea.v1.payment_intents.create(
        {"amount": 2_100, "currency": "cny", "confirm": True, "payment_method_data": data},
        {"idempotency_key": "card-in-clear"},
    )
    tea.v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    tea.v1.payment_methods.create(data, {"idempotency_key": "method-in-clear"})
    tea.v1.tokens.create({"card": card}, {"idempotency_key": "token-in-clear"})
    tea.v1.setup_intents.create({"payment_method_data": data, "confirm": True})
    # Events are written last: what they hold must be there to be searched.
    wait_for(
        lambda: [
            event
            for event in tea.v1.events.list({"type": "payment_intent.succeeded", "limit": 5}).data
            if event.data.object["id"] == paid.id
        ],
        "the event",
    )
    written: dict[str, bytes] = {"log": house.log.read_bytes()}
    for path in Path(server.status().data_dir).parent.rglob("*.log"):
        written[str(path)] = path.read_bytes()
    for row in house.rows(TABLES):
        rows = house.rows(f"SELECT t::text AS line FROM {row['name']} AS t")
        written[row["name"]] = "\n".join(each["line"] for each in rows).encode()
    assert len(written) > 20
    assert any(b"card-in-clear" in text for text in written.values())
    found = [
        (name, number[-4:])
        for name, text in written.items()
        for number in numbers_of_the_suite()
        if any(form in text for form in forms(number))
    ]
    assert found == []


def test_house_met_no_fault_of_its_own(house: RunningHouse) -> None:
    lines = [json.loads(line) for line in house.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
    assert {line["event"] for line in lines if line["level"] == "warning"} <= {"notification_forged"}
    assert httpx.get(f"{house.base_url}/readyz", timeout=10.0).json() == {"ready": True, "causes": []}
