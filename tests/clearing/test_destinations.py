"""Accounts that money may go to: what can be one, and how one comes into use."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy.destinations import (
    MOVES,
    AccountNumber,
    account_number,
    holder_name,
    is_aba,
    is_cnaps,
    is_iban,
)
from tongbao.clearing.schema.payouts import COOLING, DestinationState
from tongbao.clearing.service.destinations import Destinations
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.core.ids import IdFactory
from tongbao.payments.adapters.secret_box import AesGcmBox

START = datetime(2027, 3, 1, 9, tzinfo=UTC)
KEY = bytes(range(32))
# From the registry's examples and banks' own public pages.
REAL_IBANS = ("DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606", "NO9386011117947",
              "MT84MALT011000012345MTLCAST001S", "CH9300762011623852957")  # fmt: skip
REAL_CNAPS = ("102100099996", "103100000026", "104100000004", "105100000017", "308584000013", "301290000007")
GOOD = account_number("iban", REAL_IBANS[0], "", "")


@pytest.mark.parametrize("number", REAL_IBANS)
def test_iban_of_the_registry_is_one_and_any_other_digit_is_not(number: str) -> None:
    assert is_iban(number)
    for place in range(2, len(number)):
        for digit in "0123456789":
            assert is_iban(number[:place] + digit + number[place + 1 :]) is (digit == number[place])
    assert not is_iban(number[:-1])
    assert not is_iban(number + "0")


@given(st.text(max_size=40))
def test_iban_of_any_text_never_raises(text: str) -> None:
    assert is_iban(text) in (True, False)
    assert is_cnaps(text) in (True, False)
    assert is_aba(text) in (True, False)


@pytest.mark.parametrize("code", REAL_CNAPS)
def test_cnaps_of_a_bank_is_one_and_any_other_last_digit_is_not(code: str) -> None:
    assert [digit for digit in "0123456789" if is_cnaps(code[:-1] + digit)] == [code[-1]]


def test_aba_of_a_bank_is_one() -> None:
    assert is_aba("021000021")
    assert not is_aba("021000022")
    assert not is_aba("02100002１")


@pytest.mark.parametrize(
    ("given_as", "code"),
    [
        (("iban", "DE89370400440532013001", "", ""), "iban_invalid"),
        (("iban", "XX89370400440532013000", "", ""), "iban_invalid"),
        (("iban", REAL_IBANS[0], "COBADE", ""), "agent_code_invalid"),
        (("iban", REAL_IBANS[0], "", "FR"), "account_country_invalid"),
        (("card", "4242424242424242", "", "CN"), "account_scheme_unknown"),
        (("local", "12", REAL_CNAPS[0], "CN"), "account_number_invalid"),
        (("local", "6222021001<script>", REAL_CNAPS[0], "CN"), "account_number_invalid"),
        (("local", "6222021001116245702", "102100099995", "CN"), "agent_code_invalid"),
        (("local", "6222021001116245702", REAL_CNAPS[0], "CHN"), "account_country_invalid"),
        (("local", "000123456789", "021000022", "US"), "agent_code_invalid"),
        (("local", "000123456789", "", "JP"), "agent_code_invalid"),
    ],
)
def test_account_that_cannot_be_one_is_refused_without_its_number(
    given_as: tuple[str, str, str, str], code: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        account_number(*given_as)
    assert refused.value.code == code
    assert given_as[1] not in str(refused.value)


def test_account_is_kept_without_spaces_in_capitals() -> None:
    assert account_number("iban", "de89 3704 0044 0532 0130 00", "cobadeff", "de") == AccountNumber(
        "iban", "DE89370400440532013000", "COBADEFF", "DE"
    )
    assert account_number("local", "6222 0210 0111 6245 702", REAL_CNAPS[0], "cn").last4 == "5702"


@pytest.mark.parametrize("name", ["", "A", "1234", "x" * 141, "Tea\x00House"])
def test_holder_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        holder_name(name)


def test_moves_never_skip_the_second_person_or_the_cooling_time() -> None:
    to_active = {state for state, after in MOVES.items() if DestinationState.ACTIVE in after}
    to_cooling = {state for state, after in MOVES.items() if DestinationState.COOLING in after}
    assert (to_active, to_cooling) == ({DestinationState.COOLING}, {DestinationState.PROPOSED})


class Place:
    """Destinations of one book."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.clock = FrozenClock(START)
        self.database = database
        self.service = Destinations(database, self.clock, ids, AesGcmBox((KEY,)), KEY)
        self.book_id = ids.int63()

    async def used(self, number: AccountNumber) -> UUID:
        """Propose, confirm and cool down an account."""
        made = await self.service.propose(self.book_id, "EUR", number, "Tea House", actor="person:a")
        await self.service.confirm(self.book_id, made.id, actor="person:b", seen_version=made.version)
        self.clock.advance(COOLING)
        await self.service.step(self.book_id)
        return made.id

    async def states(self) -> list[str]:
        """The states of all accounts, oldest first."""
        return [each.state.value for each in await self.service.page(self.book_id)][::-1]


@pytest.fixture
def place(database: Database, ids: IdFactory) -> Place:
    return Place(database, ids)


async def test_new_account_comes_into_use_after_a_second_person_and_a_day(place: Place) -> None:
    service = place.service
    made = await service.propose(place.book_id, "EUR", GOOD, "Tea House", actor="person:a", note="new bank")
    with pytest.raises(NotPermitted) as refused:
        await service.confirm(place.book_id, made.id, actor="person:a", seen_version=1)
    assert refused.value.code == "confirmation_by_proposer"
    with pytest.raises(Conflict):
        await service.confirm(place.book_id, made.id, actor="person:b", seen_version=2)
    cooling = await service.confirm(place.book_id, made.id, actor="person:b", seen_version=1)
    assert cooling.usable_at == START + COOLING
    place.clock.advance(COOLING - timedelta(seconds=1))
    assert await service.step(place.book_id) == 0
    place.clock.advance(timedelta(seconds=1))
    assert await service.step(place.book_id) == 1
    trail = await service.trail(place.book_id, made.id)
    assert [(act.state, act.actor) for act in trail] == [
        ("proposed", "person:a"),
        ("cooling", "person:b"),
        ("active", "job:payouts"),
    ]


async def test_own_second_factor_stands_for_a_second_person_and_is_noted(place: Place) -> None:
    made = await place.service.propose(place.book_id, "EUR", GOOD, "Tea House", actor="person:a")
    done = await place.service.confirm(
        place.book_id, made.id, actor="person:a", seen_version=1, has_second_factor=True
    )
    assert done.state is DestinationState.COOLING
    trail = await place.service.trail(place.book_id, made.id)
    assert trail[-1].note.startswith("second factor")


async def test_account_in_use_stays_so_until_the_new_one_has_cooled_down(place: Place) -> None:
    await place.used(GOOD)
    other = account_number("iban", REAL_IBANS[1], "", "")
    made = await place.service.propose(place.book_id, "EUR", other, "Tea House", actor="person:a")
    await place.service.confirm(place.book_id, made.id, actor="person:b", seen_version=1)
    await place.service.step(place.book_id)
    assert await place.states() == ["active", "cooling"]
    place.clock.advance(COOLING)
    await place.service.step(place.book_id)
    assert await place.states() == ["retired", "active"]


async def test_account_that_is_paused_while_cooling_never_comes_into_use(place: Place) -> None:
    made = await place.service.propose(place.book_id, "EUR", GOOD, "Tea House", actor="person:thief")
    await place.service.confirm(place.book_id, made.id, actor="person:b", seen_version=1)
    await place.service.pause(place.book_id, made.id, actor="person:owner", reason="not ours")
    place.clock.advance(10 * COOLING)
    assert await place.service.step(place.book_id) == 0
    assert await place.states() == ["paused"]


async def test_paused_account_is_mended_by_two_and_cools_down_anew(place: Place) -> None:
    used = await place.used(GOOD)
    await place.service.pause(place.book_id, used, actor="person:a", reason="bank says closed")
    mended = await place.service.mend(place.book_id, used, actor="person:a", note="open again")
    with pytest.raises(NotPermitted):
        await place.service.confirm(place.book_id, used, actor="person:a", seen_version=mended.version)
    await place.service.confirm(place.book_id, used, actor="person:b", seen_version=mended.version)
    assert await place.service.step(place.book_id) == 0
    place.clock.advance(COOLING)
    assert await place.service.step(place.book_id) == 1


async def test_propose_the_same_number_again_returns_it_and_another_holder_is_refused(place: Place) -> None:
    first = await place.service.propose(place.book_id, "EUR", GOOD, "Tea House", actor="person:a")
    again = await place.service.propose(place.book_id, "EUR", GOOD, " Tea  House ", actor="person:b")
    assert again == first
    with pytest.raises(Conflict):
        await place.service.propose(place.book_id, "EUR", GOOD, "Somebody", actor="person:b")
    await place.service.retire(place.book_id, first.id, actor="person:a")
    new = await place.service.propose(place.book_id, "EUR", GOOD, "Somebody", actor="person:b")
    assert new.id != first.id
    with pytest.raises(Conflict):
        await place.service.retire(place.book_id, first.id, actor="person:a")


async def test_number_lies_sealed_and_every_change_is_told(place: Place) -> None:
    used = await place.used(GOOD)
    async with place.database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM clearing.destination WHERE id = $1", used)
        told = await connection.fetch(
            "SELECT payload FROM events.outbox WHERE topic = 'clearing.destination_changed' ORDER BY id DESC LIMIT 3"
        )
    assert GOOD.number not in str(dict(row))
    assert [
        state for each in told for state in ("active", "cooling", "proposed") if f'"{state}"' in str(each[0])
    ] == [
        "active",
        "cooling",
        "proposed",
    ]
    assert GOOD.number not in str(told)


async def test_account_of_another_book_is_unknown(place: Place) -> None:
    used = await place.used(GOOD)
    with pytest.raises(NotFound):
        await place.service.get(place.book_id + 1, used)
    with pytest.raises(NotFound):
        await place.service.pause(place.book_id + 1, used, actor="person:a", reason="x")
