"""Challenges on a real database: one at a time, counted, told once, bound to their payment; and their addresses."""

import asyncio
import os
import stat
from collections import Counter
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from tests.risk.proofs import MEI, RIGHT, SECRET, WRONG, Desk

from tongbao.core.db import Database
from tongbao.core.errors import (
    AppError,
    Conflict,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotPermitted,
    Unavailable,
)
from tongbao.core.ids import IdFactory
from tongbao.risk.schema.challenges import (
    Challenge,
    ChallengeOrder,
    ChallengeQuery,
    ChallengeState,
    Means,
)
from tongbao.risk.service.challenging import Challenging, random_code
from tongbao.risk.service.step_up_links import TOKEN_CHARS_MAX, StepUpLinks, open_step_up_secret

BASE = "https://pay.test"


@pytest.fixture
def desk(database: Database, ids: IdFactory) -> Desk:
    return Desk(database, ids)


async def started(desk: Desk, order: ChallengeOrder | None = None) -> Challenge:
    """A challenge whose first code was sent."""
    challenge = await desk.challenging.open(order or desk.order())
    return await desk.challenging.send(challenge.book_id, challenge.id)


async def answer(desk: Desk, challenge: Challenge, code: str = RIGHT) -> Challenge:
    return await desk.challenging.answer(challenge.book_id, challenge.id, code)


async def outcome(desk: Desk, challenge: Challenge, code: str = RIGHT) -> str:
    """The state after an answer, or the code of why it was not judged."""
    try:
        return (await answer(desk, challenge, code)).state.value
    except AppError as error:
        return error.code


async def test_right_code_passes_and_tells_whoever_learns(desk: Desk) -> None:
    order = desk.order()
    challenge = await started(desk, order)
    [(destination, code, locale, facts)] = desk.postbox.sent
    assert (destination, code, locale) == (MEI, RIGHT, "en")
    assert (facts.payee, facts.amount_minor, facts.currency, facts.minutes) == ("Tea House", 1_700, "CNY", 10)
    passed = await answer(desk, challenge, " 204 816 ")
    assert passed.state is ChallengeState.PASSED
    assert await desk.challenging.get(challenge.book_id, challenge.id) == passed
    [fact] = await desk.facts(order.purpose.subject_id)
    assert (fact.signals_id, fact.book_id, fact.live) == (order.signals_id, order.purpose.book_id, False)
    assert (fact.means, fact.is_passed, fact.occurred_at) == ("code", True, desk.clock.now())


async def test_neither_code_nor_address_is_stored(desk: Desk) -> None:
    challenge = await started(desk)
    async with desk.database.connection() as connection:
        row = await connection.fetchval("SELECT c::text FROM risk.challenge AS c WHERE id = $1", challenge.id)
    assert "m***@example.com" in row
    assert MEI.address not in row
    assert RIGHT not in row


async def test_wrong_codes_are_counted_and_the_last_one_fails(desk: Desk) -> None:
    challenge = await started(desk)
    lefts = [(await answer(desk, challenge, WRONG)).attempts_left for _ in range(5)]
    assert lefts == [4, 3, 2, 1, 0]
    assert await outcome(desk, challenge) == "challenge_closed"
    [fact] = await desk.facts(challenge.subject_id)
    assert not fact.is_passed


async def test_malformed_code_costs_no_attempt(desk: Desk) -> None:
    challenge = await started(desk)
    assert await outcome(desk, challenge, "12345") == "code_malformed"
    assert (await desk.challenging.get(challenge.book_id, challenge.id)).attempts_left == 5


async def test_code_before_any_was_sent_is_refused_and_not_counted(desk: Desk) -> None:
    challenge = await desk.challenging.open(desk.order())
    assert await outcome(desk, challenge) == "code_never_sent"
    assert (await desk.challenging.get(challenge.book_id, challenge.id)).attempts_left == 5


async def test_right_code_too_late_expires_and_tells(desk: Desk) -> None:
    challenge = await started(desk)
    desk.later(minutes=10)
    assert await outcome(desk, challenge) == "challenge_closed"
    found = await desk.challenging.get(challenge.book_id, challenge.id)
    assert found.state is ChallengeState.EXPIRED
    assert [fact.is_passed for fact in await desk.facts(challenge.subject_id)] == [False]
    assert await outcome(desk, challenge) == "challenge_closed"
    assert len(await desk.facts(challenge.subject_id)) == 1


async def test_two_right_answers_at_once_give_one_pass_and_one_closed(desk: Desk) -> None:
    for _ in range(5):
        challenge = await started(desk)
        outcomes = await asyncio.gather(outcome(desk, challenge), outcome(desk, challenge))
        assert sorted(outcomes) == ["challenge_closed", "passed"]
        assert len(await desk.facts(challenge.subject_id)) == 1


async def test_guesses_at_once_get_no_more_attempts_than_one_by_one(desk: Desk) -> None:
    challenge = await started(desk)
    guesses = [outcome(desk, challenge, f"{guess:06d}") for guess in range(20)]
    counted = Counter(await asyncio.gather(*guesses))
    assert counted == {"open": 4, "failed": 1, "challenge_closed": 15}
    assert [fact.is_passed for fact in await desk.facts(challenge.subject_id)] == [False]


async def test_new_code_replaces_the_last_one(desk: Desk) -> None:
    desk.codes = ["111111", "222222"]
    challenge = await started(desk)
    desk.later(seconds=30)
    await desk.challenging.send(challenge.book_id, challenge.id, "zh-CN")
    assert desk.postbox.sent[-1][1:3] == ("222222", "zh-CN")
    assert await outcome(desk, challenge, "111111") == "open"
    assert await outcome(desk, challenge, "222222") == "passed"


async def test_same_code_of_another_challenge_is_wrong(desk: Desk) -> None:
    desk.codes = ["111111", "222222"]
    one, other = await started(desk), await started(desk)
    assert await outcome(desk, other, "111111") == "open"
    assert await outcome(desk, one, "111111") == "passed"


async def test_sends_at_once_send_one_code(desk: Desk) -> None:
    challenge = await desk.challenging.open(desk.order())

    async def sent() -> str:
        try:
            await desk.challenging.send(challenge.book_id, challenge.id)
        except LimitExceeded as error:
            return error.code
        return "sent"

    counted = Counter(await asyncio.gather(*(sent() for _ in range(6))))
    assert counted == {"sent": 1, "send_too_soon": 5}
    assert len(desk.postbox.sent) == 1


async def test_send_that_its_carrier_refuses_is_counted(desk: Desk) -> None:
    challenge = await desk.challenging.open(desk.order())
    desk.postbox.failure = Unavailable("code_not_sent", "the server is away")
    with pytest.raises(Unavailable, match="code_not_sent"):
        await desk.challenging.send(challenge.book_id, challenge.id)
    assert (await desk.challenging.get(challenge.book_id, challenge.id)).sends_left == 2


async def test_send_for_a_closed_challenge_sends_nothing(desk: Desk) -> None:
    challenge = await started(desk)
    await answer(desk, challenge)
    desk.later(minutes=1)
    with pytest.raises(Conflict, match="challenge_closed") as caught:
        await desk.challenging.send(challenge.book_id, challenge.id)
    assert caught.value.facts["state"] == "passed"
    assert len(desk.postbox.sent) == 1


async def test_open_again_gives_the_same_challenge_for_the_newest_look(desk: Desk) -> None:
    order = desk.order()
    first = await started(desk, order)
    again = desk.changed(order)
    second = await desk.challenging.open(again)
    assert (second.id, second.signals_id) == (first.id, again.signals_id)
    await answer(desk, second)
    [fact] = await desk.facts(order.purpose.subject_id)
    assert fact.signals_id == again.signals_id


async def test_opened_at_once_they_are_one(desk: Desk) -> None:
    order = desk.order()
    opened = await asyncio.gather(*(desk.challenging.open(order) for _ in range(6)))
    assert len({challenge.id for challenge in opened}) == 1


async def test_changed_amount_abandons_the_challenge_and_needs_a_proof_of_its_own(desk: Desk) -> None:
    order = desk.order()
    first = await started(desk, order)
    dearer = desk.changed(order, amount_minor=1_701)
    second = await desk.challenging.open(dearer)
    assert second.id != first.id
    assert (await desk.challenging.get(first.book_id, first.id)).state is ChallengeState.ABANDONED
    assert await outcome(desk, first) == "challenge_closed"
    assert await desk.facts(order.purpose.subject_id) == []


async def test_changed_amounts_at_once_leave_one_open_challenge(desk: Desk) -> None:
    order = desk.order()
    orders = [desk.changed(order, amount_minor=amount) for amount in (1, 2, 3, 4)]
    await asyncio.gather(*(desk.challenging.open(each) for each in orders), return_exceptions=True)
    found = await desk.challenging.page(ChallengeQuery(book_id=order.purpose.book_id))
    assert [each.state for each in found.items].count(ChallengeState.OPEN) == 1


async def test_challenges_of_a_payment_are_told_oldest_first_and_no_others(desk: Desk) -> None:
    order = desk.order()
    first = await desk.challenging.open(order)
    second = await desk.challenging.open(desk.changed(order, amount_minor=1_701))
    await desk.challenging.open(desk.order())
    book_id, subject_id = order.purpose.book_id, order.purpose.subject_id
    found = await desk.challenging.of_subject(book_id, subject_id)
    assert [each.id for each in found] == [first.id, second.id]
    assert await desk.challenging.of_subject(book_id + 1, subject_id) == []


async def test_sixth_challenge_within_an_hour_is_refused(desk: Desk) -> None:
    order = desk.order()
    for _ in range(5):
        await desk.challenging.open(order)
        desk.later(minutes=11)
    with pytest.raises(LimitExceeded, match="challenges_too_many"):
        await desk.challenging.open(order)
    desk.later(minutes=10)
    assert (await desk.challenging.open(order)).state is ChallengeState.OPEN
    assert [fact.is_passed for fact in await desk.facts(order.purpose.subject_id)] == [False] * 5


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"destination": "email:nobody"}, "destination_missing"),
        ({"live": True}, "destination_missing"),
        ({"destination": "phone:mei"}, "means_unavailable"),
        ({"means": Means.PASSKEY}, "means_unavailable"),
    ],
)
async def test_means_that_cannot_be_used_opens_nothing(
    desk: Desk, fields: dict[str, object], code: str
) -> None:
    desk.postbox.known["phone:mei"] = msgspec.structs.replace(MEI, kind="phone", address="+8613800134567")
    order = desk.order(**fields)
    with pytest.raises(InvalidRequest, match=code):
        await desk.challenging.open(order)
    assert await desk.challenging.latest(order.purpose) is None


class Authenticators:
    """Checks plain ECDSA signatures over a challenge's digest, as the last step of WebAuthn does."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    async def proves(self, challenge: Challenge, response: bytes) -> bool:
        try:
            self._key.verify(response, challenge.digest, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


async def test_passkey_proves_the_payment_that_it_signed_and_no_other(
    database: Database, ids: IdFactory
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    desk = Desk(database, ids, Authenticators(key.public_key()))
    challenge = await desk.challenging.open(desk.order(means=Means.PASSKEY))
    other = desk.order(means=Means.PASSKEY)
    foreign = key.sign(other.purpose.digest, ec.ECDSA(hashes.SHA256()))
    after = await desk.challenging.prove(challenge.book_id, challenge.id, foreign)
    assert (after.state, after.attempts_left) == (ChallengeState.OPEN, 4)
    signed = key.sign(challenge.digest, ec.ECDSA(hashes.SHA256()))
    passed = await desk.challenging.prove(challenge.book_id, challenge.id, signed)
    assert passed.state is ChallengeState.PASSED
    with pytest.raises(Conflict, match="challenge_closed"):
        await desk.challenging.prove(challenge.book_id, challenge.id, signed)
    assert [fact.means for fact in await desk.facts(challenge.subject_id)] == ["passkey"]


async def test_other_means_get_the_attempts_that_are_left_and_another_amount_all(
    database: Database, ids: IdFactory
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    desk = Desk(database, ids, Authenticators(key.public_key()))
    order = desk.order(means=Means.PASSKEY)
    asked = await desk.challenging.open(order)
    await desk.challenging.prove(asked.book_id, asked.id, b"no signature")
    coded = await desk.challenging.open(msgspec.structs.replace(order, means=Means.CODE))
    assert (coded.means, coded.attempts_left) == (Means.CODE, 4)
    assert (await desk.challenging.get(asked.book_id, asked.id)).state is ChallengeState.ABANDONED
    dearer = await desk.challenging.open(desk.changed(order, amount_minor=1_701))
    assert (dearer.means, dearer.attempts_left) == (Means.PASSKEY, 5)
    assert await desk.facts(asked.subject_id) == []


@pytest.mark.parametrize(("is_passed", "state"), [(True, "passed"), (False, "failed")])
async def test_check_of_the_issuer_is_recorded(desk: Desk, is_passed: bool, state: str) -> None:
    challenge = await desk.challenging.open(desk.order(means=Means.THREE_DS, destination=""))
    done = await desk.challenging.conclude(challenge.book_id, challenge.id, is_passed=is_passed)
    assert done.state.value == state
    [fact] = await desk.facts(challenge.subject_id)
    assert (fact.means, fact.is_passed) == ("three_ds", is_passed)


async def test_means_of_a_challenge_cannot_be_swapped(desk: Desk) -> None:
    issuers = await desk.challenging.open(desk.order(means=Means.THREE_DS))
    assert await outcome(desk, issuers) == "means_has_no_code"
    with pytest.raises(InvalidRequest, match="means_has_no_code"):
        await desk.challenging.send(issuers.book_id, issuers.id)
    coded = await started(desk)
    with pytest.raises(InvalidRequest, match="means_differs"):
        await desk.challenging.conclude(coded.book_id, coded.id, is_passed=True)
    with pytest.raises(InvalidRequest, match="means_differs"):
        await desk.challenging.prove(coded.book_id, coded.id, b"")


async def test_abandoned_challenge_is_closed_and_tells_nothing(desk: Desk) -> None:
    challenge = await started(desk)
    done = await desk.challenging.abandon(challenge.book_id, challenge.id)
    assert done.state is ChallengeState.ABANDONED
    assert await outcome(desk, challenge) == "challenge_closed"
    assert await desk.facts(challenge.subject_id) == []


async def test_unknown_challenge_is_not_found(desk: Desk) -> None:
    challenge = await started(desk)
    unknown = desk.ids.uuid()
    for call in (
        desk.challenging.get(challenge.book_id, unknown),
        desk.challenging.send(challenge.book_id, unknown),
        desk.challenging.answer(challenge.book_id, unknown, RIGHT),
        desk.challenging.answer(challenge.book_id + 1, challenge.id, RIGHT),
        desk.challenging.abandon(challenge.book_id, unknown),
    ):
        with pytest.raises(NotFound, match="challenge_unknown"):
            await call


async def test_proof_counts_for_its_purpose_while_it_is_young(desk: Desk) -> None:
    order = desk.order()
    purpose, dearer = order.purpose, desk.changed(order, amount_minor=1_701).purpose
    challenge = await started(desk, order)
    found = desk.challenging.passed_for
    ten = timedelta(minutes=10)
    assert await found(purpose.book_id, purpose.subject_id, purpose.digest, ten) is None
    passed = await answer(desk, challenge)
    assert await found(purpose.book_id, purpose.subject_id, purpose.digest, ten) == passed
    assert await found(purpose.book_id, purpose.subject_id, dearer.digest, ten) is None
    assert await found(purpose.book_id + 1, purpose.subject_id, purpose.digest, ten) is None
    desk.later(minutes=10)
    assert await found(purpose.book_id, purpose.subject_id, purpose.digest, ten) is None


async def test_challenges_are_listed_by_book_and_state_newest_first(desk: Desk) -> None:
    book_id = desk.ids.int63()
    made = [await started(desk, desk.order(book_id=book_id)) for _ in range(5)]
    await answer(desk, made[2])
    first = await desk.challenging.page(ChallengeQuery(book_id=book_id, limit=3))
    assert [each.id for each in first.items] == [each.id for each in reversed(made[2:])]
    assert first.has_more
    rest = ChallengeQuery(book_id=book_id, limit=3, starting_after=first.items[-1].id)
    second = await desk.challenging.page(rest)
    assert ([each.id for each in second.items], second.has_more) == ([made[1].id, made[0].id], False)
    passed = await desk.challenging.page(ChallengeQuery(book_id=book_id, state=ChallengeState.PASSED))
    assert [each.id for each in passed.items] == [made[2].id]
    everywhere = await desk.challenging.page(ChallengeQuery(limit=1))
    assert [each.id for each in everywhere.items] == [made[4].id]


async def test_expiring_ends_what_is_due_once_however_many_do_it(desk: Desk) -> None:
    made = [await started(desk) for _ in range(4)]
    desk.later(minutes=5)
    young = await started(desk)
    desk.later(minutes=5)
    # Others of this file may be due by now, too: only these are counted.
    await asyncio.gather(desk.challenging.expire_due(), desk.challenging.expire_due())
    await desk.challenging.expire_due()
    for challenge in made:
        assert len(await desk.facts(challenge.subject_id)) == 1
        found = await desk.challenging.get(challenge.book_id, challenge.id)
        assert found.state is ChallengeState.EXPIRED
    assert (await desk.challenging.get(young.book_id, young.id)).state is ChallengeState.OPEN
    assert await desk.challenging.expire_due() == 0


def test_random_codes_are_six_digits_and_differ() -> None:
    codes = {random_code() for _ in range(200)}
    assert all(len(code) == 6 and code.isdigit() for code in codes)
    assert len(codes) > 190


def test_short_secret_is_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Challenging(desk.database, desk.clock, desk.ids, desk.carriers, secret=b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        StepUpLinks(b"short", BASE, desk.clock)


def token_of(url: str) -> str:
    assert url.startswith(f"{BASE}/step-up/")
    return url.rpartition("/")[2]


def test_link_says_what_was_put_into_it_and_names_nobody(desk: Desk) -> None:
    links = StepUpLinks(SECRET, f"{BASE}/", desk.clock)
    order = desk.order(payee="茶馆" * 100)
    link = links.read(token_of(links.url(order, "https://shop.test/back?a=1")))
    assert link.order == msgspec.structs.replace(order, payee=order.payee[:120])
    assert link.return_url == "https://shop.test/back?a=1"
    assert link.expires_at == desk.clock.now() + timedelta(minutes=30)


@given(data=st.data())
def test_link_that_was_altered_anywhere_is_unknown(
    desk_links: tuple[Desk, StepUpLinks], data: st.DataObject
) -> None:
    desk, links = desk_links
    token = token_of(links.url(desk.order()))
    # The last character may carry bits that stand for nothing.
    place = data.draw(st.integers(0, len(token) - 2))
    other = data.draw(st.characters(codec="utf-8").filter(lambda char: char != token[place]))
    with pytest.raises(NotFound, match="step_up_link_invalid"):
        links.read(token[:place] + other + token[place + 1 :])


@pytest.fixture(scope="module")
def desk_links(database: Database, ids: IdFactory) -> tuple[Desk, StepUpLinks]:
    desk = Desk(database, ids)
    return desk, StepUpLinks(SECRET, BASE, desk.clock)


@pytest.mark.parametrize("token", ["", "x", "=", "é", "A" * 64, "A" * (TOKEN_CHARS_MAX + 1)])
def test_link_that_was_never_made_is_unknown(desk: Desk, token: str) -> None:
    with pytest.raises(NotFound, match="step_up_link_invalid"):
        StepUpLinks(SECRET, BASE, desk.clock).read(token)


def test_link_of_another_house_is_unknown(desk: Desk) -> None:
    token = token_of(StepUpLinks(b"o" * 32, BASE, desk.clock).url(desk.order()))
    with pytest.raises(NotFound, match="step_up_link_invalid"):
        StepUpLinks(SECRET, BASE, desk.clock).read(token)


def test_late_link_is_read_only_where_that_is_allowed(desk: Desk) -> None:
    links = StepUpLinks(SECRET, BASE, desk.clock)
    token = token_of(links.url(desk.order()))
    desk.later(minutes=30)
    with pytest.raises(Conflict, match="step_up_link_expired"):
        links.read(token)
    assert links.is_over(links.read(token, is_late_allowed=True))


def test_long_way_back_is_refused(desk: Desk) -> None:
    links = StepUpLinks(SECRET, BASE, desk.clock)
    longest = links.url(desk.order(payee="茶" * 200), "https://shop.test/" + "x" * 2_030)
    assert links.read(token_of(longest)).return_url.endswith("x")
    with pytest.raises(InvalidRequest, match="return_url_too_long"):
        links.url(desk.order(), "https://shop.test/" + "x" * 2_031)


def test_secret_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "vault" / "step_up.key"
    made = open_step_up_secret(path)
    assert open_step_up_secret(path) == made
    assert len(made) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["step_up.key"]
    path.chmod(0o640)
    with pytest.raises(NotPermitted, match="key_file_exposed"):
        open_step_up_secret(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(NotPermitted, match="key_file_exposed"):
        open_step_up_secret(path)
