"""The rules of challenges alone: what a proof is bound to, how codes are kept, read and shown, which moves there are."""

import contextlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.errors import Conflict, InvalidRequest, LimitExceeded
from tongbao.risk.policy import challenges as policy
from tongbao.risk.schema.challenges import (
    ATTEMPTS_MAX,
    MOVES,
    Challenge,
    ChallengeOrder,
    ChallengeState,
    Destination,
    DestinationKind,
    Purpose,
)

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAYMENT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
PURPOSE = Purpose(book_id=7, subject_id=PAYMENT, amount_minor=1_700, currency="CNY")
ORDER = ChallengeOrder(purpose=PURPOSE, live=True, signals_id=PAYMENT, payee="Tea House")
OPEN = policy.opened(ORDER, PAYMENT, "m***@example.com", AT)
SECOND = timedelta(seconds=1)
purposes = st.builds(
    Purpose,
    book_id=st.integers(0, 2**63 - 1),
    subject_id=st.uuids(),
    amount_minor=st.integers(0, 2**63 - 1),
    currency=st.sampled_from(["CNY", "USD", "JPY", "KWD"]),
)
codes = st.from_regex(r"[0-9]{6}", fullmatch=True)


@pytest.mark.parametrize(
    "change",
    [{"book_id": 8}, {"subject_id": UUID(int=1)}, {"amount_minor": 1_701}, {"currency": "USD"}],
    ids=str,
)
def test_digest_changes_with_each_part_of_a_purpose(change: dict[str, object]) -> None:
    assert msgspec.structs.replace(PURPOSE, **change).digest != PURPOSE.digest


def test_digest_does_not_depend_on_how_a_currency_is_written() -> None:
    assert msgspec.structs.replace(PURPOSE, currency="cny").digest == PURPOSE.digest


@given(purposes, purposes)
def test_digests_are_equal_for_equal_purposes_only(one: Purpose, other: Purpose) -> None:
    assert (one.digest == other.digest) == (one == other)


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_answers_are_counted_until_one_is_right_or_none_is_left(answers: list[bool]) -> None:
    challenge = OPEN
    taken = 0
    for is_right in answers:
        if challenge.state is not ChallengeState.OPEN:
            break
        challenge = policy.answered(challenge, AT, is_right=is_right)
        taken += 1
    assert challenge.attempts_left == ATTEMPTS_MAX - taken
    passed = any(answers[:ATTEMPTS_MAX])
    assert (challenge.state is ChallengeState.PASSED) == passed
    assert (challenge.state is ChallengeState.FAILED) == (not passed and len(answers) >= ATTEMPTS_MAX)
    assert (challenge.ended_at is None) == (challenge.state is ChallengeState.OPEN)


@pytest.mark.parametrize("state", [state for state in ChallengeState if not MOVES[state]])
@pytest.mark.parametrize("to", list(ChallengeState))
def test_ended_challenge_moves_nowhere(state: ChallengeState, to: ChallengeState) -> None:
    challenge = msgspec.structs.replace(OPEN, state=state)
    with pytest.raises(Conflict, match="challenge_closed"):
        policy.ended(challenge, to, AT)


def test_only_an_open_challenge_expires_by_itself() -> None:
    assert OPEN.state_at(AT + policy.DURATION - SECOND) is ChallengeState.OPEN
    assert OPEN.state_at(AT + policy.DURATION) is ChallengeState.EXPIRED
    passed = policy.answered(OPEN, AT, is_right=True)
    assert passed.state_at(AT + policy.DURATION) is ChallengeState.PASSED


def test_sends_need_a_pause_and_run_out() -> None:
    challenge, now = OPEN, AT
    for left in (2, 1, 0):
        challenge = policy.sent(challenge, now)
        assert challenge.sends_left == left
        if left:
            with pytest.raises(LimitExceeded, match="send_too_soon") as caught:
                policy.sent(challenge, now + SECOND / 2)
            assert caught.value.facts["retry_after_s"] == 30
        now += policy.SEND_PAUSE
    with pytest.raises(LimitExceeded, match="sends_used_up"):
        policy.sent(challenge, now + timedelta(hours=1))


@given(st.integers(-3_600, 3_600))
def test_pause_is_never_longer_than_itself_whatever_the_clock_does(passed_s: int) -> None:
    challenge = policy.sent(OPEN, AT)
    wait_s = policy.seconds_until_send(challenge, AT + passed_s * SECOND)
    assert wait_s == min(30, max(0, 30 - passed_s))


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("204816", "204816"),
        (" 204 816\t", "204816"),
        ("204-816", "204816"),
        ("２０４８１６", "204816"),
        ("000000", "000000"),
        ("20481", None),
        ("2048160", None),
        ("", None),
        ("20481a", None),
        ("٢٠٤٨١٦", None),
        ("²04816", "204816"),
        ("+20481", None),
        ("204816" + " " * 60, None),
    ],
)
def test_code_is_read_as_people_type_it(typed: str, read: str | None) -> None:
    if read is not None:
        assert policy.normal_code(typed) == read
        return
    with pytest.raises(InvalidRequest, match="code_malformed"):
        policy.normal_code(typed)


@given(st.text(max_size=40))
def test_whatever_is_typed_is_six_digits_or_refused(typed: str) -> None:
    with contextlib.suppress(InvalidRequest):
        read = policy.normal_code(typed)
        assert len(read) == 6
        assert set(read) <= set("0123456789")


@given(codes, codes)
def test_kept_code_differs_by_secret_challenge_and_code(one: str, other: str) -> None:
    kept = policy.code_digest(b"s" * 32, PAYMENT, one)
    assert policy.is_same(kept, policy.code_digest(b"s" * 32, PAYMENT, other)) == (one == other)
    assert not policy.is_same(kept, policy.code_digest(b"t" * 32, PAYMENT, one))
    assert not policy.is_same(kept, policy.code_digest(b"s" * 32, UUID(int=1), one))
    assert one.encode() not in kept


@pytest.mark.parametrize(
    ("kind", "address", "shown"),
    [
        ("email", "mei@example.com", "m***@example.com"),
        ("email", "m@example.com", "m***@example.com"),
        ("email", '"a@b"@example.com', '"***@example.com'),
        ("phone", "+86 138 0013 4567", "***4567"),
        ("phone", "12345", "***45"),
        ("phone", "1", "***"),
        ("phone", "", "***"),
    ],
)
def test_address_is_shown_without_telling_it(kind: str, address: str, shown: str) -> None:
    assert policy.masked(Destination(kind=DestinationKind(kind), address=address)) == shown


@given(st.from_regex(r"[a-z]{2,20}", fullmatch=True))
def test_mask_hides_all_but_the_first_letter_of_a_name(name: str) -> None:
    shown = policy.masked(Destination(kind=DestinationKind.EMAIL, address=f"{name}@example.com"))
    assert shown.removesuffix("@example.com") == f"{name[0]}***"


def test_challenge_is_bound_to_its_order_and_names_itself() -> None:
    assert OPEN.digest == PURPOSE.digest
    assert (OPEN.attempts_left, OPEN.sends_left) == (5, 3)
    assert OPEN.expires_at - OPEN.opened_at == timedelta(minutes=10)
    assert OPEN.reference.startswith("chl_")
    assert OPEN.subject.startswith("pi_")
    named = msgspec.structs.replace(ORDER, payee="x" * 500)
    assert len(policy.opened(named, PAYMENT, "", AT).payee) == 120
    assert isinstance(OPEN, Challenge)
