"""The payment drill: its judges find what is wrong, and a small drill against real peers finds nothing."""

import base64
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tongbao.bench import payment_drill
from tongbao.bench.payment_drill_audit import (
    Documents,
    Findings,
    compare,
    expected_balances,
    lost_answers,
    unresolved,
)
from tongbao.bench.payment_drill_books import Outside
from tongbao.bench.payment_drill_client import Acknowledged
from tongbao.bench.payment_drill_recorder import Recorder
from tongbao.bench.payment_drill_search import CHUNK_BYTES, found_in, luhn_digit, needle
from tongbao.bench.payment_drill_world import World
from tongbao.channels.schema import Card, Operation
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.payments.schema.attempts import Act, ActState, Attempt, AttemptState, HoldPart
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.schema.refunds import Refund, RefundState

PEERS = Path(__file__).parents[2] / ".peers"
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BOOK = 1_002
PREFIX = "4213370926"
CHANNELS = {
    "sandbox": {"card_main", "card_spare", "alipay", "wechatpay"},
    "iso8583sim": {"iso8583sim"},
    "localstripe": {"localstripe"},
}


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def document(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": UUID(int=number),
        "book_id": BOOK,
        "live": False,
        "created_at": NOW,
        "updated_at": NOW,
        "currency": "USD",
        **more,
    }


def an_intent(number: int = 1, state: IntentState = IntentState.SUCCEEDED, **more: Any) -> Intent:
    fields = {"amount_minor": 1_000, "amount_received_minor": 1_000, "client_secret": "x", **more}
    return Intent(**document(number, state=state, **fields))


def an_attempt(number: int = 11, state: AttemptState = AttemptState.CHARGED, **more: Any) -> Attempt:
    method = Card(
        token="tok_1_x", brand="visa", card_bin="42424242", last4="4242", exp_month=1, exp_year=2031
    )
    fields: dict[str, Any] = {
        "intent_id": UUID(int=1),
        "channel": "card_main",
        "method": method,
        "amount_minor": 1_000,
        "captured_minor": 1_000 if state is AttemptState.CHARGED else 0,
        "capture": True,
        "sent_at": NOW,
        **more,
    }
    return Attempt(**document(number, state=state, **fields))


def a_refund(state: RefundState = RefundState.SUCCEEDED, amount_minor: int = 300) -> Refund:
    return Refund(
        **document(
            21,
            state=state,
            intent_id=UUID(int=1),
            attempt_id=UUID(int=11),
            amount_minor=amount_minor,
            sent_at=NOW,
        )
    )


def an_answer(of: Intent | Refund, status: str, amount_minor: int) -> Acknowledged:
    return Acknowledged(
        order=1, what="create", status_code=200, id=of.reference, status=status, amount_minor=amount_minor
    )


def taken(*amounts: tuple[Attempt, int]) -> Outside:
    return Outside({(attempt.channel, attempt.reference): minor for attempt, minor in amounts}, [])


def compared(documents: Documents, outside: Outside) -> tuple[int, int]:
    findings = Findings()
    compare(documents, outside, findings)
    return len(findings.double_charges), len(findings.lost)


def test_compare_equal_books_finds_nothing() -> None:
    attempt = an_attempt(refunded_minor=300)
    assert compared(Documents([an_intent()], [attempt], []), taken((attempt, 700))) == (0, 0)


def test_compare_money_taken_by_a_dead_attempt_is_a_double_charge() -> None:
    dead, paid = an_attempt(11, AttemptState.NOT_FOUND), an_attempt(12)
    documents = Documents([an_intent()], [dead, paid], [])
    doubled, lost = compared(documents, taken((dead, 1_000), (paid, 1_000)))
    assert (doubled > 0, lost) == (True, 0)


def test_compare_one_order_paid_by_two_intents_is_a_double_charge() -> None:
    first, second = an_attempt(11), an_attempt(12, intent_id=UUID(int=2))
    intents = [an_intent(1, metadata={"order": "7"}), an_intent(2, metadata={"order": "7"})]
    assert compared(Documents(intents, [first, second], []), taken((first, 1_000), (second, 1_000))) == (1, 0)


def test_compare_refund_that_was_never_given_is_a_double_charge() -> None:
    attempt = an_attempt(refunded_minor=300)
    assert compared(Documents([an_intent()], [attempt], []), taken((attempt, 1_000))) == (1, 0)


def test_compare_money_that_nobody_outside_took_is_lost() -> None:
    attempt = an_attempt()
    assert compared(Documents([an_intent()], [attempt], []), taken()) == (0, 1)


def test_compare_money_outside_without_reference_is_lost() -> None:
    assert compared(Documents([], [], []), Outside({}, ["alipay/CNY: 1 payment too many"])) == (0, 1)


@pytest.mark.parametrize(
    ("state", "received_minor", "said", "said_minor", "is_lost"),
    [
        (IntentState.SUCCEEDED, 1_000, "succeeded", 1_000, False),
        (IntentState.SUCCEEDED, 1_000, "requires_capture", 0, False),
        (IntentState.SUCCEEDED, 1_000, "processing", 0, False),
        (IntentState.SUCCEEDED, 900, "succeeded", 1_000, True),
        (IntentState.PROCESSING, 0, "succeeded", 1_000, True),
        (IntentState.REQUIRES_PAYMENT_METHOD, 0, "requires_capture", 0, True),
        (IntentState.SUCCEEDED, 1_000, "canceled", 0, True),
    ],
)
def test_lost_answers_of_intents_are_those_that_no_longer_hold(
    state: IntentState, received_minor: int, said: str, said_minor: int, is_lost: bool
) -> None:
    intent = an_intent(state=state, amount_received_minor=received_minor)
    found = lost_answers(Documents([intent], [], []), [an_answer(intent, said, said_minor)])
    assert bool(found) is is_lost


def test_lost_answers_of_missing_documents_are_found() -> None:
    answers = [an_answer(an_intent(), "requires_action", 0), an_answer(a_refund(), "pending", 300)]
    assert len(lost_answers(Documents([], [], []), answers)) == 2


def test_lost_answers_of_refund_that_failed_after_success_is_found() -> None:
    failed = a_refund(RefundState.FAILED)
    assert lost_answers(Documents([], [], [failed]), [an_answer(failed, "succeeded", 300)])


def test_unresolved_finds_attempts_acts_and_refunds_that_are_open() -> None:
    act = Act(
        id=UUID(int=5),
        operation=Operation.CAPTURE,
        amount_minor=1_000,
        state=ActState.UNRESOLVED,
        sent_at=NOW,
    )
    attempts = [
        an_attempt(11, AttemptState.UNRESOLVED),
        an_attempt(12, AttemptState.AUTHORIZED, acts=(act,)),
        an_attempt(13, AttemptState.REVERSING),
        an_attempt(14, AttemptState.AUTHORIZED),
        an_attempt(15, AttemptState.DECLINED),
    ]
    refunds = [a_refund(RefundState.PENDING), a_refund(RefundState.FAILED)]
    assert len(unresolved(Documents([], attempts, refunds))) == 4


def test_expected_balances_follow_captures_refunds_holds_and_suspense() -> None:
    attempts = [
        an_attempt(11, refunded_minor=300, refund_pending_minor=100),
        an_attempt(12, AttemptState.AUTHORIZED, holds=(HoldPart(UUID(int=6), 1_000),)),
        an_attempt(13, AttemptState.REVERSING, suspense_minor=50),
    ]
    refunds = [
        a_refund(),
        a_refund(RefundState.UNRESOLVED, 100),
        a_refund(RefundState.FAILED, 77),
    ]
    balances, reserved = expected_balances(Documents([], attempts, refunds))
    receivable = (BOOK, "channel_receivable/card_main", "USD")
    assert +balances == {
        (BOOK, "in_transit", "USD"): 600,
        (BOOK, "refund_clearing", "USD"): 100,
        (BOOK, "suspense", "USD"): 50,
    }
    assert balances[receivable] == -750
    assert sum(balances.values()) == 0
    assert reserved[receivable] == 1_000


@pytest.mark.parametrize("shift", range(3))
def test_needle_finds_a_card_number_in_base64_at_any_alignment(shift: int) -> None:
    number = PREFIX + "12345" + luhn_digit(PREFIX + "12345")
    assert needle(PREFIX).search(base64.b64encode(b"x" * shift + number.encode() + b"tail"))


@pytest.mark.parametrize(
    "form",
    [
        PREFIX.encode(),
        PREFIX.encode().hex().encode(),
        PREFIX.encode().hex().upper().encode(),
        bytes.fromhex(PREFIX),
    ],
)
def test_needle_finds_text_hexadecimal_and_packed_digits(form: bytes) -> None:
    assert needle(PREFIX).search(b"before " + form + b" after")


def test_needle_finds_nothing_in_a_masked_number() -> None:
    assert not needle(PREFIX).search(b"421337******4242 " + base64.b64encode(b"nothing here"))


async def test_search_finds_card_numbers_in_tables_and_across_the_chunks_of_a_file(
    home: Path, server: EmbeddedServer
) -> None:
    number = PREFIX + "123456"
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute("CREATE TABLE drilled (body jsonb, raw bytea)")
        await connection.execute(
            "INSERT INTO drilled VALUES (jsonb_build_object('n', $1::text), $2)", number, number.encode()
        )
        (home / "a.log").write_bytes(b"x" * (CHUNK_BYTES - 5) + number.encode() + b"x" * CHUNK_BYTES)
        (home / "b.log").write_bytes(b"nothing")
        found = await found_in(server, home, PREFIX)
    finally:
        await connection.execute("DROP TABLE drilled")
        await connection.close()
    assert found == ["a.log: 1 times", "dump.sql: 2 times"]


@pytest.mark.parametrize(
    ("digits", "check"), [("424242424242424", "2"), ("37828224631000", "5"), ("7992739871", "3")]
)
def test_luhn_digit_of_published_numbers_is_theirs(digits: str, check: str) -> None:
    assert luhn_digit(digits) == check


def ask(kind: str, act: str, amount_minor: int, **more: str) -> dict[str, str]:
    return {"t": kind, "11": "1", "48": act, "4": f"{amount_minor:012d}", "49": "978", "3": "000000", **more}


def test_recorder_keeps_what_the_host_approved_and_repeats_do_nothing() -> None:
    recorder = Recorder(0, 0)
    yes = {"39": "00", "38": "A00001"}
    of = {"62": "pa_1"}
    recorder.note(ask("0100", "pa_1", 1_000), yes)
    recorder.note(ask("0220", "act_1", 600, **of), yes)
    recorder.note(ask("0220", "act_1", 600, **of), yes)
    recorder.note(ask("0200", "re_1", 200, **of | {"3": "200000"}), yes)
    recorder.note(ask("0200", "re_2", 100, **of | {"3": "200000"}), {"39": "05"})
    recorder.note(ask("0200", "pa_2", 500), {"39": "51"})
    recorder.note(ask("0200", "pa_3", 500), yes)
    recorder.note(ask("0400", "act_2", 500, **{"62": "pa_3"}), yes)
    assert recorder.book["pa_1"].taken_minor == 400
    assert recorder.book["pa_2"].declined
    assert recorder.book["pa_3"].taken_minor == 0


@pytest.mark.slow
async def test_drill_kills_everything_under_load_and_loses_and_doubles_nothing(home: Path) -> None:
    report = await payment_drill.run(home, plan=payment_drill.QUICK, peers=PEERS, say=lambda _: None)
    assert report.sound, report.faults
    # The drill proves something only if there was a load, requests were repeated, and everything was killed.
    assert report.intents == report.payments == payment_drill.QUICK.payments
    assert {"sandbox", "api0", "api1", "worker", "postgres"} <= set(report.kills)
    assert report.attempt_states["charged"] > 40
    assert report.refunds > 3
    assert report.repeats["deliberate"] > 3
    assert sum(report.repeats.values()) > report.repeats["deliberate"]
    assert report.asked_outside["none"] > 60
    assert sum(report.asked_outside.values()) > report.asked_outside["none"]
    for peer in report.peers:
        assert set(report.taken_outside) & CHANNELS[peer], peer
    assert report.payments_per_s > 0


async def test_drill_without_peers_says_who_took_part(home: Path) -> None:
    world = World(home, home / "nothing", 1, PREFIX)
    assert world.peers == ["sandbox"]
    await world.http.close()
