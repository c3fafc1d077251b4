"""The demonstration among real parties: its judges find what is wrong, and a small day of it is sound from end to end."""

import io
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from rich.console import Console
from tests.scenarios.test_payment_drill import an_attempt, an_intent
from typer.testing import CliRunner

from tongbao.bench import demo_real, demo_real_shop
from tongbao.bench.demo_real_audit import compared, stopped
from tongbao.bench.demo_real_channels import ALIPAY, WECHAT
from tongbao.bench.demo_real_files import FUNDS, reports_of
from tongbao.bench.demo_real_orders import PAN_PREFIX, Orders
from tongbao.bench.demo_real_peers import BANK, HOST_SIM, LIBRARIES, MERCHANT, REPLICA, ROLES, Peers
from tongbao.bench.demo_real_recorder import HostBook
from tongbao.bench.demo_real_report import Report, table
from tongbao.bench.demo_real_taps import Tap
from tongbao.bench.demo_real_terms import cuts_after
from tongbao.bench.payment_drill_audit import Documents
from tongbao.bench.payment_drill_programs import free_ports
from tongbao.bench.payment_drill_search import luhn_digit
from tongbao.bench.risk_drill_reading import Look
from tongbao.clearing.policy.agreements import check
from tongbao.clearing.schema.agreements import Agreement, Cycle
from tongbao.core.http import HttpClient, NoAnswer
from tongbao.simulator.sandbox.settlement_files import Row
from tongbao.web.cli import app

PEERS = Path(__file__).parents[2] / ".peers"
AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def a_row(reference: str, amount_minor: int = 1_000, kind: str = "sale", **more: str) -> Row:
    fields: dict[str, Any] = {"channel_reference": f"theirs-{reference}", "currency": "USD", **more}
    return Row(reference=reference, kind=kind, amount_minor=amount_minor, at=AT, **fields)


def a_day(*attempts: UUID) -> Documents:
    made = [an_attempt(each.int) for each in attempts]
    return Documents([an_intent()], made, [])


FIRST, SECOND = UUID(int=11), UUID(int=12)
ONE = an_attempt(FIRST.int).reference


def test_compared_books_that_agree_find_nothing() -> None:
    found = compared(a_day(FIRST), {"card_main": [a_row(ONE)]})
    assert (found.double_charges, found.lost) == ([], [])


def test_compared_second_charge_of_one_payment_is_a_double_charge() -> None:
    twice = [a_row(ONE, 600), a_row(ONE, 400)]
    [fault] = compared(a_day(FIRST), {"card_main": twice}).double_charges
    assert "charged 2 times" in fault


def test_compared_charges_of_two_attempts_of_one_payment_are_a_double_charge() -> None:
    other = an_attempt(SECOND.int).reference
    found = compared(a_day(FIRST, SECOND), {"card_main": [a_row(ONE), a_row(other)]})
    assert any("charged 2 times" in each for each in found.double_charges)


def test_compared_more_money_outside_than_here_is_a_double_charge() -> None:
    assert compared(a_day(FIRST), {"card_main": [a_row(ONE, 1_001)]}).double_charges


def test_compared_money_under_no_reference_of_ours_is_told() -> None:
    found = compared(a_day(FIRST), {"card_main": [a_row(ONE), a_row("pa_stranger")]})
    assert found.lost == ["card_main: a sale of 1000 under pa_stranger"]


def test_compared_refund_outside_that_we_do_not_know_is_told() -> None:
    given_back = a_row("re_1", -300, "refund", batch=ONE)
    [fault] = compared(a_day(FIRST), {"card_main": [a_row(ONE), given_back]}).lost
    assert "1000 here, 700 there" in fault


def test_stopped_counts_payments_declined_at_their_first_look() -> None:
    tiers = {FIRST: "decline", SECOND: "step_up"}
    looks = {each: Look(each, 1, each, tier, 1, (), ()) for each, tier in tiers.items()}
    assert stopped(looks) == [FIRST]


def asked(kind: str, act: str, amount_minor: int, **more: str) -> dict[str, str]:
    return {"t": kind, "11": "1", "48": act, "4": f"{amount_minor:012d}", "49": "978", "3": "000000", **more}


def test_host_book_keeps_sales_and_refunds_once_and_no_declines() -> None:
    book, yes = HostBook(0, 0), {"39": "00", "38": "A00001"}
    for _ in range(2):
        book.note(asked("0200", "pa_1", 500), yes)
        book.note(asked("0200", "re_1", 200, **{"62": "pa_1", "3": "200000"}), yes)
    book.note(asked("0200", "pa_2", 900), {"39": "51"})
    told = [(each.kind, each.reference, each.payment, each.amount_minor) for each in book.entries]
    assert told == [("sale", "pa_1", "pa_1", 500), ("refund", "re_1", "pa_1", 200)]


def test_reports_name_what_was_sent_to_the_bank_and_alipay_sends_nothing() -> None:
    rows = [a_row("pa_1", 1_000, currency="CNY"), a_row("re_1", -300, "refund", currency="CNY", batch="pa_1")]
    sent = {
        report.source: None if report.sent is None else report.sent.amount_minor
        for channel in (HOST_SIM, REPLICA, ALIPAY, WECHAT)
        for report in reports_of(channel, rows, AT, pays=True)
    }
    assert sent == {HOST_SIM: 700, REPLICA: 700, ALIPAY: None, WECHAT: None, FUNDS: 700}


def test_reports_without_a_bank_send_nothing_and_of_nothing_there_are_none() -> None:
    [report] = reports_of(HOST_SIM, [a_row("pa_1")], AT, pays=False)
    assert report.sent is None
    assert b"pa_1" in report.content
    assert reports_of(HOST_SIM, [], AT, pays=True) == []


def test_orders_of_equal_seeds_are_equal_and_their_cards_valid() -> None:
    drawn = []
    for _ in range(2):
        orders = Orders(3)
        who = orders.person(0, "payer0@mail0.example", "cus_1")
        drawn.append(
            [orders.visit(who), orders.doubtful(who, 0), orders.test_of_a_card(), orders.lost_code()]
        )
    assert drawn[0] == drawn[1]
    number = drawn[0][2]["form"]["payment_method_data"]["card"]["number"]
    assert number.startswith(PAN_PREFIX)
    assert number[-1] == luhn_digit(number[:-1])
    assert len({each["key"] for each in drawn[0]}) == 4


@pytest.mark.parametrize("now", [AT, datetime(2026, 11, 23, 23, 59, 50, tzinfo=UTC)])
def test_cuts_after_an_instant_can_be_agreed_on_and_reach_far(now: datetime) -> None:
    cuts = cuts_after(now, 12)
    check(Agreement(cycle=Cycle.D, days=0, cuts=cuts, zone="UTC", calendars=()))
    first, last = (now + timedelta(seconds=each) for each in (12, 12 * 12))
    assert {first.time(), last.time()} <= set(cuts)
    assert len(cuts) == 24


def test_peers_that_are_not_installed_say_how_to_install_them(tmp_path: Path) -> None:
    peers = Peers(tmp_path)
    assert not any(peers.has(name) for name in ROLES)
    assert "make peers" in peers.told()[BANK]
    assert peers.told()[BANK].startswith("absent: ")
    assert peers.told()[MERCHANT] == LIBRARIES[MERCHANT]


def test_shop_writes_nested_forms_as_fields_of_a_form() -> None:
    form = {"amount": 5, "confirm": True, "a": {"b": ["x", "y"]}}
    assert list(demo_real_shop.fields(form)) == [
        ("amount", "5"),
        ("confirm", "true"),
        ("a[b][0]", "x"),
        ("a[b][1]", "y"),
    ]


def test_shop_without_a_library_does_without_it() -> None:
    assert demo_real_shop.library("no_such_library_of_anybody") is None


@pytest.fixture
async def far() -> AsyncIterator[str]:
    """A server that repeats what it was sent; the path ``/cut`` hangs up."""

    async def serve(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.path == "/cut":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=201, body=body, headers={"X-Told": request.headers.get("X-Asked", "")})

    [port] = free_ports(1)
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", serve)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_tap_passes_on_unchanged_and_keeps_what_it_saw(far: str) -> None:
    [port] = free_ports(1)
    tap, http = Tap(port, far), HttpClient()
    await tap.open()
    body = b"\x00\xff {} \r\n"
    answer = await http.request("POST", f"{tap.url}/a%2Fb?c=%20d", headers={"X-Asked": "yes"}, body=body)
    with pytest.raises(NoAnswer):
        await http.request("POST", f"{tap.url}/cut", body=b"lost")
    await tap.close()
    await http.close()
    assert (answer.status, answer.body, answer.headers["x-told"]) == (201, body, "yes")
    [seen, cut] = tap.exchanges
    assert (seen.method, seen.path, seen.body, seen.status) == ("POST", "/a%2Fb?c=%20d", body, 201)
    assert (seen.headers["x-asked"], seen.answer) == ("yes", body)
    assert (cut.path, cut.status) == ("/cut", 0)


def a_report(**changes: object) -> Report:
    """A report of a sound day, with changes."""
    zeros: dict[str, object] = {"int": 0, "bool": True, "float": 1.0, "str": "", "dict": {}, "tuple": ()}
    plain = {
        field.name: zeros[getattr(field.type, "__name__", "dict").partition("[")[0]]
        for field in msgspec.structs.fields(Report)
    }
    return Report(**(plain | changes))  # type: ignore[arg-type]  # checked by the struct's own use below


@pytest.mark.parametrize(
    "wrong",
    [
        {"double_charges": 1},
        {"unresolved": 1},
        {"breaks_unexplained": 1},
        {"signatures_refused": 1},
        {"forgeries_believed": 1},
        {"webhooks": 2, "webhooks_verified": 1},
        {"trial_balance_zero": False},
        {"chain_verified": False},
        {"faults": ("lost",)},
    ],
)
def test_report_with_anything_wrong_is_not_sound(wrong: dict[str, object]) -> None:
    assert a_report().sound
    assert not a_report(**wrong).sound


def test_table_tells_amounts_and_absent_parties() -> None:
    out = io.StringIO()
    report = a_report(settled_minor={"EUR": 123_456}, peers={"mock-bank": "absent: make peers installs it"})
    Console(file=out, width=140).print(table(report))
    assert "€1,234.56" in out.getvalue()
    assert "absent: make peers installs it" in out.getvalue()


def test_demo_real_without_a_folder_of_peers_says_how_to_make_it(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["demo", "real", "--peers", str(tmp_path / "none")])
    assert refused.exit_code != 0
    assert getattr(refused.exception, "code", "") == "peers_missing"
    assert "make peers" in str(refused.exception)


@pytest.mark.slow
async def test_quick_day_among_real_parties_is_sound(home: Path) -> None:
    absent = Peers(PEERS).absent
    if absent:
        pytest.skip("; ".join(f"{name}: {why}" for name, why in absent.items()))
    report = await demo_real.run(home, plan=demo_real.QUICK, peers=PEERS, say=lambda _: None)
    assert report.sound, report.faults
    # A day proves something only if all of it happened.
    sizes = demo_real.QUICK.sizes
    assert report.payments >= sizes.customers + sizes.cards + 2 * sizes.codes
    assert set(report.by_channel) == {HOST_SIM, REPLICA, ALIPAY, WECHAT}
    assert (report.steps_up, report.steps_up_passed) == (sizes.doubtful, sizes.doubtful // 2)
    assert report.fraud_stopped > 0
    assert report.unresolved_resolved >= sizes.silent
    assert sum(report.charges.values()) == report.approvals
    assert report.settled_minor.keys() == {"EUR", "CNY"}
    assert report.settled_minor == report.bank_booked_minor
    # What was taken outside is what the merchant got, what it paid for it, and what waits for its next batch.
    for currency, taken_minor in report.taken_minor.items():
        passed_on = report.settled_minor[currency] + report.fees_minor[currency]
        assert taken_minor == passed_on + report.carried_minor.get(currency, 0)
    assert report.matches["channel"] >= sum(report.charges.values())
    assert report.matches["bank"] >= len(report.settled_minor)
    assert report.webhooks > report.payments
    assert {name.partition(":")[0] for name in report.signatures} == {
        "wechatpayv3",
        "python-alipay-sdk",
        "alipay-sdk-python",
    }
    assert not any(told.startswith("absent") for told in report.peers.values())
