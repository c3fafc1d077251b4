"""``tongbao people``: the first person of a house comes in by a link that is good once, and signs in."""

from pathlib import Path

import pytest
from tests.web.desk_calls import call, parsed, shown

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.parties.errors import BadField, LinkDead, RolesClash, UnknownPerson
from tongbao.parties.schema import OperatorPermission, OperatorRole
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties

FIRST = "ada@example.com"
PASSWORD = "copper-lantern-sings-early"
EVERYTHING = operator_of_job("tests", frozenset(OperatorPermission))


@pytest.fixture(autouse=True)
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TONGBAO_PUBLIC_URL", "https://pay.example")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def parties(database: Database, ids: IdFactory) -> Parties:
    return Parties(database, RealClock(), ids)


async def test_first_person_sets_a_password_by_the_link_and_signs_in_once(
    parties: Parties, database: Database
) -> None:
    assert "Nobody yet" in await shown("people", "list")
    made = await parsed("people", "add", FIRST, "--role", "security", "--name", "Ada")
    assert made["link"].startswith("https://pay.example/sign-in/reset/")
    assert made["good_for_s"] == 3600
    token = made["link"].rpartition("/")[2]
    assert (await parties.recovering.person_of_link(token)).email == FIRST
    await parties.recovering.use_link(token, PASSWORD)
    with pytest.raises(LinkDead):
        await parties.recovering.use_link(token, PASSWORD)
    issued = await parties.sign_in.sign_in(FIRST, PASSWORD, address="127.0.0.1", agent="tests")
    access = await parties.access.operator_of_session(issued.token.get_secret_value())
    assert OperatorPermission.STAFF_WRITE in access.permissions
    (listed,) = await parsed("people", "list")
    assert (listed["email"], listed["roles"], listed["disabled"]) == (FIRST, ["security"], False)


async def test_new_link_ends_the_one_before_and_only_staff_get_one(parties: Parties) -> None:
    before = (await parsed("people", "add", "bo@example.com", "--role", "risk"))["link"].rpartition("/")[2]
    after = (await parsed("people", "link", "BO@example.com"))["link"].rpartition("/")[2]
    with pytest.raises(LinkDead):
        await parties.recovering.person_of_link(before)
    assert (await parties.recovering.person_of_link(after)).email == "bo@example.com"
    assert "once" in await shown("people", "link", "bo@example.com")
    with pytest.raises(UnknownPerson):
        await call("people", "link", "nobody@example.com")


async def test_what_cannot_be_is_refused(parties: Parties, database: Database) -> None:
    with pytest.raises(BadField):
        await call("people", "add", "no address", "--role", "admin")
    with pytest.raises(InvalidRequest, match="locale_invalid"):
        await call("people", "add", "cy@example.com", "--role", "admin", "--lang", "fr")
    assert (await call("people", "add", "cy@example.com", "--role", "king")).exit_code == 2
    made = await parsed("people", "add", "cy@example.com", "--role", "auditor")
    with pytest.raises(RolesClash):
        await call("people", "add", "cy@example.com", "--role", "admin")
    (person,) = [
        each.person for each in await parties.people.staff(EVERYTHING) if each.person.email == made["email"]
    ]
    async with database.transaction() as connection:
        await parties.people.disable(connection, EVERYTHING, person.person_id)
    with pytest.raises(Conflict, match="person_disabled"):
        await call("people", "add", "cy@example.com", "--role", "risk")


async def test_role_is_taken_away(parties: Parties) -> None:
    await call("people", "add", "di@example.com", "--role", "risk")
    await call("people", "add", "di@example.com", "--role", "legal")
    await call("people", "dismiss", "di@example.com", "--role", "risk")
    found = {each.person.email: each.roles for each in await parties.people.staff(EVERYTHING)}
    assert found["di@example.com"] == (OperatorRole.LEGAL,)
