"""``tongbao merchants``: a merchant is opened, its owner sets a password, signs in and makes a live key."""

from pathlib import Path

import pytest
from tests.web.desk_calls import call, parsed, shown

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory, int_text, parse_int
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import MERCHANT_PREFIX, KeyDraft, KeyKind, MerchantId, MerchantRole
from tongbao.parties.service.parties import Parties

OWNER = "owner@harbor.example"
PASSWORD = "copper-lantern-sings-early"
OPEN = ("merchants", "open", "Harbor Books", "--country", "DE", "--currency", "EUR", "--mcc", "5942")


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TONGBAO_PUBLIC_URL", "https://pay.example")
    monkeypatch.chdir(tmp_path)


async def test_opened_merchant_has_an_owner_who_signs_in_and_makes_a_live_key(
    database: Database, ids: IdFactory
) -> None:
    assert "None yet" in await shown("merchants", "list")
    made = await parsed(*OPEN, "--owner", OWNER)
    house, _, token = made["link"].rpartition("/")
    assert house == "https://pay.example/sign-in/reset"
    async with Parties(database, RealClock(), ids) as parties:
        await parties.recovering.use_link(token, PASSWORD)
        issued = await parties.sign_in.sign_in(OWNER, PASSWORD, address="127.0.0.1", agent="tests")
        scope = await parties.access.scope_of_session(
            issued.token.get_secret_value(),
            merchant_id=MerchantId(parse_int(MERCHANT_PREFIX, made["merchant"])),
            live=True,
        )
        async with database.transaction() as connection:
            key = await parties.keys.create(connection, scope, KeyDraft(kind=KeyKind.SECRET))
        assert key.text.get_secret_value().startswith("sk_live_")
        [member] = await parties.people.members(scope)
        assert (member.person.email, member.role) == (OWNER, MerchantRole.OWNER)
    (listed,) = await parsed("merchants", "list")
    assert (listed["merchant"], listed["name"], listed["state"]) == (
        made["merchant"],
        "Harbor Books",
        "open",
    )
    assert listed["live_book"] == int_text(BOOK_PREFIX, parse_int(MERCHANT_PREFIX, made["merchant"]))
    assert listed["test_book"] != listed["live_book"]
    assert "test_book" in await shown("merchants", "list")


async def test_list_goes_on_after_a_merchant() -> None:
    for number in range(2):
        assert "once" in await shown(*OPEN, "--owner", f"owner{number}@harbor.example")
    first = await parsed("merchants", "list", "--limit", "1")
    assert "more follow" in await shown("merchants", "list", "--limit", "1")
    then = await parsed("merchants", "list", "--limit", "1", "--after", first[0]["merchant"])
    assert then[0]["merchant"] != first[0]["merchant"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--currency", "EURO"), ("--country", "Germany"), ("--mcc", "books"), ("--owner", "no address")],
)
async def test_what_cannot_be_is_refused_and_nothing_is_opened(option: str, value: str) -> None:
    before = await parsed("merchants", "list")
    owner = () if option == "--owner" else ("--owner", OWNER)
    with pytest.raises(InvalidRequest):
        await call(*OPEN, *owner, option, value)
    assert await parsed("merchants", "list") == before


async def test_list_after_what_is_no_merchant_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="id_malformed"):
        await call("merchants", "list", "--after", "acct_?")
