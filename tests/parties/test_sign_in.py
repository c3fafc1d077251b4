"""Sign-in: equal answers and equal work, lock-out, and when a session is over."""

import asyncio
from datetime import timedelta
from typing import Any

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parties.conftest import NOON, PASSWORD, Town

from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded, NotFound, NotPermitted, Unavailable
from tongbao.parties.errors import SessionRefused
from tongbao.parties.facts import Failures
from tongbao.parties.policy import sign_in as policy
from tongbao.parties.schema import (
    IssuedSession,
    MerchantRole,
    OperatorRole,
    Person,
    Session,
    SessionId,
)
from tongbao.parties.service import passwords as passwords_module
from tongbao.parties.service.passwords import Passwords
from tongbao.parties.service.sign_in import check_csrf, csrf_of

HOME = "203.0.113.9"


async def attempt(town: Town, email: str, password: str = PASSWORD, **options: Any) -> IssuedSession:
    return await town.parties.sign_in.sign_in(
        email, password, **({"address": HOME, "agent": "Firefox"} | options)
    )


async def code_of(town: Town, email: str, password: str, **options: Any) -> str:
    try:
        await attempt(town, email, password, **options)
    except AppError as error:
        return error.code
    return "in"


async def lives(town: Town, token: str) -> bool:
    try:
        await town.parties.access.session(token)
    except SessionRefused:
        return False
    return True


@pytest.fixture
async def person(town: Town) -> Person:
    return await town.member(await town.scope(), MerchantRole.OWNER, PASSWORD)


async def test_sign_in_opens_a_session_and_stores_no_token(town: Town, person: Person) -> None:
    issued = await attempt(town, person.email.swapcase(), agent="x" * 300)
    token = issued.token.get_secret_value()
    assert await town.parties.access.session(token) == issued.session
    assert (issued.session.person_id, issued.session.address) == (person.person_id, HOME)
    assert (len(token), len(issued.session.agent)) == (64, 200)
    assert token not in repr(issued)
    async with town.database.connection() as connection:
        row = await connection.fetchval(
            "SELECT s::text FROM parties.session AS s WHERE session_id = $1", issued.session.session_id
        )
    assert token not in row


async def test_sign_in_refuses_everybody_alike_after_equal_work(town: Town, person: Person) -> None:
    without_password = await town.member(await town.scope(), MerchantRole.OWNER)
    disabled = await town.member(await town.scope(), MerchantRole.OWNER, PASSWORD)
    async with town.database.transaction() as connection:
        await town.parties.people.disable(connection, town.operator, disabled.person_id)
    cases = [
        (person.email, "a wrong pass phrase"),
        (person.email, ""),
        ("nobody@example.com", PASSWORD),
        ("not an address \ud800\x00", PASSWORD),
        (person.email, "lone \udfff surrogate"),
        (person.email + "\x00", PASSWORD),
        (without_password.email, PASSWORD),
        (disabled.email, PASSWORD),
    ]
    answers, work = set(), set()
    for email, password in cases:
        before = town.parties.passwords.hashed_count
        with pytest.raises(NotPermitted) as refused:
            await attempt(town, email, password)
        answers.add((type(refused.value), str(refused.value), tuple(refused.value.facts)))
        work.add(town.parties.passwords.hashed_count - before)
    assert len(answers) == 1
    assert work == {1}
    before = town.parties.passwords.hashed_count
    await attempt(town, person.email)
    assert town.parties.passwords.hashed_count - before == 1


def test_digest_of_nobody_costs_as_much_as_any() -> None:
    passwords = Passwords()
    expected = argon2.Parameters(
        type=argon2.Type.ID,
        version=19,
        salt_len=16,
        hash_len=32,
        time_cost=2,
        memory_cost=19_456,
        parallelism=1,
    )
    assert argon2.extract_parameters(passwords._nobodys_digest) == expected
    passwords.close()


async def test_verify_against_nobody_is_never_true() -> None:
    passwords = Passwords()
    assert not await passwords.verify(None, passwords_module._NOBODYS)
    digest = await passwords.hash("caf\u00e9 au lait, deux")
    assert await passwords.verify(digest, "cafe\u0301 au lait, deux")
    assert not await passwords.verify(digest, "Caf\u00e9 au lait, deux")
    assert not passwords.is_outdated(digest)
    assert passwords.is_outdated(argon2.PasswordHasher(time_cost=1, memory_cost=8_192).hash("x"))
    passwords.close()


async def test_hashing_past_the_queue_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords_module, "WAITING_MAX", 2)
    passwords = Passwords()
    results = await asyncio.gather(*(passwords.hash("x") for _ in range(10)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert (len(refused), {error.code for error in refused}) == (4, {"sign_in_busy"})
    assert await passwords.hash("afterwards there is room")
    passwords.close()


async def test_sign_in_with_an_old_digest_renews_it(town: Town, person: Person) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8_192).hash(PASSWORD)
    async with town.database.connection() as connection:
        await connection.execute(
            "UPDATE parties.person SET password_digest = $2 WHERE person_id = $1", person.person_id, old
        )
    await attempt(town, person.email)
    async with town.database.connection() as connection:
        digest = await connection.fetchval(
            "SELECT password_digest FROM parties.person WHERE person_id = $1", person.person_id
        )
    assert argon2.extract_parameters(digest).memory_cost == 19_456
    await attempt(town, person.email)


@pytest.mark.parametrize("known", [True, False])
async def test_fifth_wrong_password_locks_for_a_minute_then_twice_as_long(
    town: Town, person: Person, known: bool
) -> None:
    email = person.email if known else f"nobody{town.ids.int63()}@example.com"
    for _ in range(5):
        assert await code_of(town, email, "a wrong pass phrase") == "sign_in_refused"
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        before = town.parties.passwords.hashed_count
        with pytest.raises(LimitExceeded) as locked:
            await attempt(town, email)
        assert locked.value.facts["retry_after_s"] == minutes * 60
        town.clock.advance(timedelta(minutes=minutes, microseconds=-1))
        with pytest.raises(LimitExceeded) as locked:
            await attempt(town, email)
        assert (locked.value.code, locked.value.facts["retry_after_s"]) == ("sign_in_locked", 1)
        assert town.parties.passwords.hashed_count == before
        town.clock.advance(timedelta(microseconds=1))
        assert await code_of(town, email, "a wrong pass phrase") == "sign_in_refused"


async def test_right_password_after_four_wrong_ones_starts_the_count_again(
    town: Town, person: Person
) -> None:
    for _ in range(3):
        for _ in range(4):
            assert await code_of(town, person.email, "a wrong pass phrase") == "sign_in_refused"
        assert await code_of(town, person.email, PASSWORD) == "in"


async def test_right_password_as_the_fifth_try_is_let_in(town: Town, person: Person) -> None:
    for _ in range(4):
        await code_of(town, person.email, "a wrong pass phrase")
    assert await code_of(town, person.email, PASSWORD) == "in"
    assert await code_of(town, person.email, PASSWORD) == "in"


async def test_lock_is_for_one_network_address(town: Town, person: Person) -> None:
    for _ in range(5):
        await code_of(town, person.email, "a wrong pass phrase")
    assert await code_of(town, person.email, PASSWORD) == "sign_in_locked"
    assert await code_of(town, person.email, PASSWORD, address="198.51.100.1") == "in"
    assert await code_of(town, person.email, PASSWORD) == "sign_in_locked"


async def test_a_day_of_quiet_forgets_failures(town: Town, person: Person) -> None:
    for _ in range(4):
        await code_of(town, person.email, "a wrong pass phrase")
    town.clock.advance(timedelta(hours=24))
    for _ in range(4):
        assert await code_of(town, person.email, "a wrong pass phrase") == "sign_in_refused"
    assert await code_of(town, person.email, PASSWORD) == "in"


async def test_twenty_guesses_at_once_check_five_passwords(town: Town, person: Person) -> None:
    before = town.parties.passwords.hashed_count
    codes = await asyncio.gather(*(code_of(town, person.email, "a wrong pass phrase") for _ in range(20)))
    assert sorted(codes) == ["sign_in_locked"] * 15 + ["sign_in_refused"] * 5
    assert town.parties.passwords.hashed_count - before == 5


async def test_guess_longer_than_any_password_costs_no_work(town: Town, person: Person) -> None:
    before = town.parties.passwords.hashed_count
    assert await code_of(town, person.email, "x" * 129) == "password_invalid"
    assert await code_of(town, person.email, "x" * 10_000_000) == "password_invalid"
    assert town.parties.passwords.hashed_count == before


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "elevenchars",
        "x1" * 65,
        "password1234",
        "PASSWORD2026!",
        "!!Welcome2026!!",
        "qwertyuiop12",
        "passwordpassword",
        "dragondragon",
        "123456789012",
        "aaaaaaaaaaaa",
        "abababababab",
        "iloveyou12345",
        "mei chen1234",
    ],
)
async def test_set_password_that_is_guessed_first_is_refused(
    town: Town, person: Person, password: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        async with town.database.transaction() as connection:
            await town.parties.sign_in.set_password(connection, person.person_id, password)
    assert refused.value.code == "password_invalid"
    assert password not in str(refused.value)
    assert await code_of(town, person.email, PASSWORD) == "in"


async def test_set_password_to_ones_own_address_is_refused(town: Town, person: Person) -> None:
    for own in (person.email, person.email.partition("@")[0], person.email.lower() + "99"):
        with pytest.raises(InvalidRequest):
            policy.check_password(own, person.email, person.name)


@pytest.mark.parametrize(
    "password", ["x9!kfmw02lqz", "一二三四五六七八九十百千", "🦆 pond at dusk", "é" * 4 + "abcdefgh" * 15]
)
async def test_set_password_of_any_characters_is_taken(town: Town, person: Person, password: str) -> None:
    async with town.database.transaction() as connection:
        await town.parties.sign_in.set_password(connection, person.person_id, password)
    assert await code_of(town, person.email, password) == "in"
    assert await code_of(town, person.email, PASSWORD) == "sign_in_refused"


async def test_set_password_ends_every_session(town: Town, person: Person) -> None:
    tokens = [await town.token(person) for _ in range(3)]
    async with town.database.transaction() as connection:
        await town.parties.sign_in.set_password(connection, person.person_id, "another good phrase")
    assert [await lives(town, token) for token in tokens] == [False] * 3


async def test_set_password_of_nobody_is_refused(town: Town) -> None:
    with pytest.raises(NotFound):
        async with town.database.transaction() as connection:
            await town.parties.sign_in.set_password(connection, town.ids.uuid(), PASSWORD)  # type: ignore[arg-type]  # nobody's id


async def test_session_idles_out_after_fifteen_minutes(town: Town, person: Person) -> None:
    token = await town.token(person)
    for _ in range(3):
        town.clock.advance(timedelta(minutes=14, seconds=59))
        assert await lives(town, token)
    town.clock.advance(timedelta(minutes=15))
    assert not await lives(town, token)
    town.clock.advance(timedelta(minutes=-10))
    assert await lives(town, token)


async def test_session_ends_after_eight_hours_however_busy(town: Town, person: Person) -> None:
    token = await town.token(person)
    for _ in range(47):
        town.clock.advance(timedelta(minutes=10))
        assert await lives(town, token)
    town.clock.advance(timedelta(minutes=9, seconds=59))
    assert await lives(town, token)
    town.clock.advance(timedelta(seconds=1))
    assert not await lives(town, token)


async def test_session_is_seen_once_a_minute(town: Town, person: Person) -> None:
    token = await town.token(person)
    seen = []
    for _ in range(5):
        town.clock.advance(timedelta(seconds=30))
        await lives(town, token)
        seen.append((await town.parties.sign_in.sessions(person.person_id))[0].seen_at - NOON)
    assert [at // timedelta(seconds=1) for at in seen] == [0, 60, 60, 120, 120]


async def test_sign_in_rotates_the_token_and_ends_the_one_before(town: Town, person: Person) -> None:
    first = await town.token(person)
    second = (await attempt(town, person.email, replaces=first)).token.get_secret_value()
    assert first != second
    assert [await lives(town, first), await lives(town, second)] == [False, True]


async def test_sessions_are_listed_newest_first_and_ended_one_by_one_or_all(
    town: Town, person: Person
) -> None:
    sign_in = town.parties.sign_in
    issued = [await attempt(town, person.email, agent=name) for name in ("a", "b", "c", "d")]
    tokens = [session.token.get_secret_value() for session in issued]
    assert [session.agent for session in await sign_in.sessions(person.person_id)] == ["d", "c", "b", "a"]
    await sign_in.end(person.person_id, issued[0].session.session_id)
    await sign_in.sign_out(tokens[1])
    await sign_in.sign_out(tokens[1])
    assert [await lives(town, token) for token in tokens] == [False, False, True, True]
    await sign_in.end_all(person.person_id, but=issued[3].session.session_id)
    assert [session.agent for session in await sign_in.sessions(person.person_id)] == ["d"]
    await sign_in.end_all(person.person_id)
    assert await sign_in.sessions(person.person_id) == []
    assert not await lives(town, tokens[3])


async def test_end_session_of_somebody_else_is_unknown(town: Town, person: Person) -> None:
    other = await town.staff(OperatorRole.ADMIN, PASSWORD)
    token = await town.token(person)
    mine = (await town.parties.sign_in.sessions(person.person_id))[0]
    for owner, session_id in (
        (other.person_id, mine.session_id),
        (person.person_id, SessionId(town.ids.uuid())),
    ):
        with pytest.raises(NotFound) as refused:
            await town.parties.sign_in.end(owner, session_id)
        assert refused.value.code == "session_unknown"
    assert await lives(town, token)


async def test_disabled_person_is_out_at_once(town: Town, person: Person) -> None:
    token = await town.token(person)
    async with town.database.transaction() as connection:
        await town.parties.people.disable(connection, town.operator, person.person_id)
    assert not await lives(town, token)
    assert await code_of(town, person.email, PASSWORD) == "sign_in_refused"


@pytest.mark.parametrize("token", ["", "0" * 64, "x" * 1_000_000, "\ud800"])
async def test_session_of_no_token_is_refused(town: Town, token: str) -> None:
    assert not await lives(town, token)


async def test_forget_removes_only_what_no_rule_needs(town: Town, person: Person) -> None:
    async with town.database.connection() as connection:
        await connection.execute("DELETE FROM parties.sign_in_failure")
    await code_of(town, "gone@example.com", "a wrong pass phrase")
    town.clock.advance(timedelta(hours=23))
    for _ in range(5):
        await code_of(town, "kept@example.com", "a wrong pass phrase")
    token = await town.token(person)
    town.clock.advance(timedelta(hours=1, microseconds=1))
    await town.parties.sign_in.forget()
    async with town.database.connection() as connection:
        counts = await connection.fetch(
            "SELECT failure_count FROM parties.sign_in_failure WHERE last_at > $1", NOON
        )
        early = await connection.fetchval(
            "SELECT count(*) FROM parties.sign_in_failure WHERE last_at <= $1", NOON
        )
        sessions = await connection.fetchval(
            "SELECT count(*) FROM parties.session WHERE person_id = $1", person.person_id
        )
    assert ([row["failure_count"] for row in counts], early, sessions) == ([5], 0, 1)
    assert not await lives(town, token)


def test_csrf_token_belongs_to_one_session() -> None:
    token, other = "a" * 64, "b" * 64
    check_csrf(token, csrf_of(token))
    for wrong in ("", csrf_of(other), csrf_of(token)[:-1], "é"):
        with pytest.raises(NotPermitted) as refused:
            check_csrf(token, wrong)
        assert refused.value.code == "csrf_invalid"
    assert token not in csrf_of(token)


@given(st.integers(0, 10_000))
def test_lock_grows_with_failures_up_to_an_hour(count: int) -> None:
    lock = policy.lock_after(count)
    assert lock <= policy.lock_after(count + 1) <= policy.LOCK_MAX
    assert (lock > timedelta(0)) == (count >= policy.FREE_FAILURES)


@given(st.lists(st.integers(0, 200_000), max_size=60))
def test_any_series_of_tries_is_let_in_at_most_four_times_before_the_first_lock(gaps_s: list[int]) -> None:
    failures, now, tried = Failures(0, None, None), NOON, 0
    for gap_s in gaps_s:
        now += timedelta(seconds=gap_s)
        if policy.seconds_locked(failures, now):
            continue
        failures = policy.charge(failures, now)
        tried += 1
        assert failures.last_at == now
        assert (failures.locked_until is not None) == (failures.count >= policy.FREE_FAILURES)
        if failures.locked_until is not None:
            assert policy.seconds_locked(failures, now) == policy.lock_after(failures.count).total_seconds()
    assert failures.count <= tried


@pytest.mark.parametrize(
    ("seen_after", "now_after", "ended", "over"),
    [
        (timedelta(0), timedelta(minutes=15, microseconds=-1), False, False),
        (timedelta(0), timedelta(minutes=15), False, True),
        (timedelta(hours=7, minutes=59), timedelta(hours=8, microseconds=-1), False, False),
        (timedelta(hours=7, minutes=59), timedelta(hours=8), False, True),
        (timedelta(0), timedelta(0), True, True),
    ],
)
def test_session_is_over_at_its_ends(
    seen_after: timedelta, now_after: timedelta, ended: bool, over: bool
) -> None:
    session = Session(
        session_id=None,  # type: ignore[arg-type]  # the rule looks at instants alone
        person_id=None,  # type: ignore[arg-type]  # likewise
        address="",
        agent="",
        created_at=NOON,
        seen_at=NOON + seen_after,
        ended_at=NOON if ended else None,
    )
    assert policy.is_over(session, NOON + now_after) is over
