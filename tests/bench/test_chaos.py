"""The chaos drills: their measures find what degraded and what did not recover, their parts break what they say."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tongbao.bench import chaos
from tongbao.bench.chaos_clock import MachineClock, find_library
from tongbao.bench.chaos_disk import LEFT_BYTES, SmallDisk, why_not
from tongbao.bench.chaos_experiment import ExperimentReport
from tongbao.bench.chaos_faults import FAULTS, SILENT, SLOW, chosen
from tongbao.bench.chaos_hooks import SUCCEEDED, Hooks
from tongbao.bench.chaos_load import outcome_of
from tongbao.bench.chaos_measures import (
    SLOW_FACTOR,
    SLOW_S_MIN,
    STEADY_ORDERS,
    Outcome,
    Seen,
    between,
    calm_between,
    degraded,
    grown,
    is_fine,
    met_by,
    phase_of,
    slow_after_s,
    steady_from_s,
)
from tongbao.bench.chaos_telling import table, told
from tongbao.bench.chaos_watch import Alerts, counters_in, warnings_in
from tongbao.bench.chaos_world import HABITS, HEALTHY
from tongbao.bench.payment_drill_client import Acknowledged
from tongbao.bench.payment_drill_programs import free_ports
from tongbao.core.errors import NotFound
from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.simulator.sandbox.behavior import parse_habits
from tongbao.web.commands import drill

LOOKS_MAX = 300


def seen(begun_s: float, took_s: float = 0.1, outcome: Outcome | None = Outcome.PAID, **repeats: int) -> Seen:
    return Seen(begun_s, took_s, outcome, repeats)


def in_a_row(count: int, from_s: float = 0.0, **more: Any) -> list[Seen]:
    return [seen(from_s + number, **more) for number in range(count)]


@pytest.mark.parametrize(
    ("order", "fine"),
    [
        (seen(0.0), True),
        (seen(0.0, outcome=Outcome.DECLINED), True),
        (seen(0.0, outcome=Outcome.WAITING), False),
        (seen(0.0, outcome=Outcome.UNREACHABLE), False),
        (seen(0.0, outcome=Outcome.REFUSED), False),
        (seen(0.0, outcome=Outcome.UNANSWERED), False),
        (seen(0.0, outcome=None), False),
        (seen(0.0, took_s=1.1), False),
        (seen(0.0, NotSent=1), False),
    ],
)
def test_order_is_fine_only_when_answered_at_once_quickly_and_as_expected(order: Seen, fine: bool) -> None:
    assert is_fine(order, 1.0) is fine


def test_slow_follows_the_steady_state_and_never_falls_below_its_least() -> None:
    assert slow_after_s(in_a_row(20, took_s=0.01)) == SLOW_S_MIN
    assert slow_after_s(in_a_row(20, took_s=2.0)) == pytest.approx(SLOW_FACTOR * 2.0)
    assert slow_after_s([]) == SLOW_S_MIN


def test_phase_counts_failed_slow_outcomes_and_repeats() -> None:
    orders = [
        seen(0.0),
        seen(1.0, took_s=2.0),
        seen(2.0, outcome=Outcome.WAITING),
        seen(3.0, NoAnswer=2),
        seen(4.0, outcome=None),
    ]
    phase = phase_of(orders, 1.0)
    assert (phase.orders, phase.failed_share, phase.slow_share) == (5, 0.6, 0.2)
    assert phase.outcomes == {"paid": 3, "waiting": 1, "unanswered": 1}
    assert phase.repeats == {"NoAnswer": 2}
    assert phase.p50_ms == 100.0


def test_phase_without_orders_is_all_zeros() -> None:
    phase = phase_of([], 1.0)
    assert (phase.orders, phase.failed_share, phase.p95_ms) == (0, 0.0, 0.0)


def test_degraded_is_the_share_of_orders_during_the_fault_that_were_not_fine() -> None:
    before = in_a_row(10)
    during = in_a_row(3, 10.0) + in_a_row(1, 13.0, outcome=Outcome.UNREACHABLE)
    found = degraded(before, during, in_a_row(5, 20.0))
    assert (found.worse, found.share) == (1, 0.25)
    assert found.slow_ms == 1_000 * SLOW_S_MIN
    assert (found.before.failed_share, found.during.failed_share, found.after.failed_share) == (
        0.0,
        0.25,
        0.0,
    )


def test_order_that_waits_when_the_fault_begins_belongs_to_the_fault_and_not_to_the_calm_before() -> None:
    quick, caught, unanswered = seen(1.0), seen(2.0, took_s=30.0), seen(2.5, outcome=None)
    during, later = seen(4.0), seen(9.0)
    orders = [seen(0.0), quick, caught, unanswered, during, later]
    assert calm_between(orders, 1.0, 3.0) == [quick]
    assert met_by(orders, 3.0, 9.0) == [caught, unanswered, during]


def test_between_is_half_open() -> None:
    assert [each.begun_s for each in between(in_a_row(4), 1.0, 3.0)] == [1.0, 2.0]


def test_steady_begins_with_the_first_fine_order_of_a_fine_row() -> None:
    bad = in_a_row(3, outcome=Outcome.UNREACHABLE)
    orders = bad + in_a_row(STEADY_ORDERS, 3.0)
    assert steady_from_s(orders, 0.0, 1.0) == 3.0
    assert steady_from_s(orders, 5.5, 1.0) is None


def test_steady_allows_one_order_in_ten_that_is_not_fine() -> None:
    orders = in_a_row(STEADY_ORDERS + 1)
    orders[4] = seen(4.0, outcome=Outcome.WAITING)
    assert steady_from_s(orders, 0.0, 1.0) == 0.0
    orders[5] = seen(5.0, outcome=None)
    assert steady_from_s(orders, 0.0, 1.0) is None


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 30))
def test_steady_is_never_before_the_end_of_the_fault_and_begins_a_fine_row(
    goods: list[bool], since: int
) -> None:
    orders = [
        seen(float(number), outcome=Outcome.PAID if good else Outcome.UNREACHABLE)
        for number, good in enumerate(goods)
    ]
    found = steady_from_s(orders, float(since), 1.0)
    if found is not None:
        row = goods[int(found) : int(found) + STEADY_ORDERS]
        assert found >= since
        assert row[0]
        assert sum(row) >= STEADY_ORDERS - 1
    if all(goods[since:]) and len(goods) - since >= STEADY_ORDERS:
        assert found == since


def test_grown_counts_a_process_that_began_anew_from_nothing() -> None:
    before = {"a": 5.0, "b": 9.0, "c": 1.0}
    assert grown(before, {"a": 7.0, "b": 2.0, "c": 1.0, "d": 3.0}) == {"a": 2.0, "b": 2.0, "d": 3.0}


@pytest.mark.parametrize(
    ("status_code", "status", "channel_code", "outcome"),
    [
        (200, "succeeded", None, Outcome.PAID),
        (200, "requires_capture", None, Outcome.PAID),
        (200, "requires_action", None, Outcome.PAID),
        (200, "processing", None, Outcome.WAITING),
        (402, "requires_payment_method", "DO_NOT_HONOR", Outcome.DECLINED),
        (402, "requires_payment_method", "CONFIGURATION_INVALID", Outcome.REFUSED),
        (402, "requires_payment_method", "CHANNEL_UNAVAILABLE", Outcome.UNREACHABLE),
        (400, None, None, Outcome.REFUSED),
    ],
)
def test_outcome_of_an_answer(
    status_code: int, status: str | None, channel_code: str | None, outcome: Outcome
) -> None:
    told = Acknowledged(
        order=1,
        what="order",
        status_code=status_code,
        id="pi_1",
        status=status,
        amount_minor=1,
        code_of_channel=channel_code,
    )
    assert outcome_of(told) is outcome


def test_counters_are_those_that_count_what_goes_wrong() -> None:
    text = "\n".join(
        [
            "# HELP tongbao_worker_failures_total Rounds that failed",
            'tongbao_worker_failures_total{worker="sealer"} 3.0',
            'tongbao_risk_questions_total{end="answered"} 100.0',
            'tongbao_risk_questions_total{end="scoring_away"} 4.0',
            'tongbao_worker_failures_created{worker="sealer"} 1.7e+09',
            "tongbao_ledger_transfers_total 12.0",
        ]
    )
    assert dict(counters_in(text)) == {
        'tongbao_worker_failures{worker="sealer"}': 3.0,
        'tongbao_risk_questions{end="scoring_away"}': 4.0,
    }


def test_warnings_are_lines_of_json_at_warning_or_worse() -> None:
    lines = [
        json.dumps({"level": "info", "event": "fine"}),
        json.dumps({"level": "warning", "event": "worker_failed", "code": "database_down"}),
        json.dumps({"level": "error", "event": "broken"}),
        "serving http://127.0.0.1:1",
        '{"level": "error", "event": "cut off by a ki',
    ]
    assert list(warnings_in(lines)) == ["worker_failed (database_down)", "broken"]


@pytest.mark.parametrize(
    ("changed", "anything"),
    [
        ({}, False),
        ({"healthz_silent": {"api0": 1}}, True),
        ({"logged": {"worker x": 1}}, True),
        ({"endpoint": "failing"}, True),
    ],
)
def test_alerts_told_something_where_anything_was_to_be_seen(changed: dict[str, Any], anything: bool) -> None:
    nothing = Alerts(looks=3, healthz_silent={}, readyz_unready={}, causes={}, counters={}, logged={})
    assert nothing.endpoint == HEALTHY
    assert msgspec.structs.replace(nothing, **changed).told is anything


def test_chosen_keeps_the_order_of_the_drill_and_refuses_unknown_names() -> None:
    assert chosen([]) == list(FAULTS)
    assert chosen(["webhook-down", "kill-api0"]) == ["kill-api0", "webhook-down"]
    with pytest.raises(NotFound) as refused:
        chosen(["kill-everybody"])
    assert refused.value.code == "drill_experiment_unknown"


def test_told_of_an_experiment_says_what_became_of_it_or_why_it_was_left_out() -> None:
    left_out = ExperimentReport(name="disk-full", fault="x", skipped="takes root")
    assert told(left_out) == "disk-full: left out, takes root"
    during = in_a_row(3, outcome=Outcome.WAITING) + in_a_row(1, 3.0, NotSent=2)
    measured = degraded(in_a_row(10), during, in_a_row(5))
    report = ExperimentReport(name="a", fault="x", degraded=measured, recovered_s=None, money_errors=2)
    text = told(report)
    assert text.startswith("a: NOT RECOVERED, money errors 2\n")
    assert "too busy for a steady state" in text
    assert (
        "worse: 4 of 4 orders (3 left waiting for the channel; asked again because nobody listened × 2)"
        in text
    )
    well = msgspec.structs.replace(
        report, recovered=True, recovered_s=1.5, caught_up_s=4.0, steady_before=True, money_errors=0
    )
    assert told(well).startswith(
        "a: recovered after 1.5 s, the shop knew everything after 4.0 s, money errors 0\n"
    )
    assert "steady state" not in told(well)


def test_told_of_an_experiment_names_what_was_to_be_seen_and_what_did_not_end_by_itself() -> None:
    quiet = Alerts(looks=9, healthz_silent={}, readyz_unready={}, causes={}, counters={}, logged={})
    report = ExperimentReport(name="a", fault="x", degraded=degraded([], [], []), alerts=quiet)
    assert "to be seen: nothing" in told(report)
    loud = msgspec.structs.replace(
        quiet,
        healthz_silent={"api0": 4},
        readyz_unready={"api0": 4, "api1": 2},
        logged={"api0 event3": 5, **{f"api1 event{number}": number for number in range(1, 6)}},
        endpoint="failing",
    )
    text = told(
        msgspec.structs.replace(
            report, alerts=loud, settled_late=2, events_missing=1, processes_ended=("worker",)
        )
    )
    assert "api0 silent in 4 of 9 looks; api1 not ready in 2 of 9 looks; the shop's receiver failing" in text
    assert "logged event3 × 8, event5 × 5, event4 × 4 and 2 more" in text
    assert (
        "2 open whose next inquiry was moved up; ended by themselves: worker; 1 never told of by webhook"
        in text
    )


def test_table_has_a_line_for_each_experiment_in_columns() -> None:
    measured = degraded(in_a_row(10), in_a_row(4, outcome=Outcome.WAITING), in_a_row(5))
    well = ExperimentReport(
        name="kill-api0",
        fault="x",
        degraded=measured,
        recovered=True,
        recovered_s=7.6,
        caught_up_s=11.5,
        steady_before=True,
    )
    lines = table(
        [
            well,
            ExperimentReport(name="load-5x", fault="x", degraded=measured, money_errors=3),
            ExperimentReport(name="disk-full", fault="x", skipped="takes root"),
        ]
    )
    assert " ".join(lines[1].split()) == "kill-api0 4 of 4 100 / 100 / 100 7.6 s 11.5 s 0"
    assert " ".join(lines[2].split()) == "load-5x 4 of 4 100 / 100 / 100 NOT RECOVERED never 3 busy before"
    assert lines[3].split(maxsplit=1)[1] == "left out: takes root"
    assert len(lines[0]) == len(lines[1]) == len(lines[2].removesuffix("  busy before"))


@pytest.mark.parametrize(
    ("money_errors", "recovered", "sound"), [(0, True, True), (1, True, False), (0, False, False)]
)
def test_report_is_sound_only_without_money_errors_and_with_everything_recovered(
    money_errors: int, recovered: bool, sound: bool
) -> None:
    report = chaos.report_of(
        [
            ExperimentReport(name="a", fault="x", recovered=recovered, money_errors=money_errors),
            ExperimentReport(name="b", fault="y", skipped="no root"),
        ],
        seed=1,
        took_s=2.0,
    )
    assert (report.sound, report.skipped) == (sound, ("b",))


@pytest.mark.parametrize(
    ("changes", "kind", "median_ms"), [(SILENT, "silent", 15.0), (SLOW, None, 5_000.0), ({}, None, 15.0)]
)
def test_channel_that_is_broken_behaves_as_ever_otherwise(
    changes: dict[str, Any], kind: str | None, median_ms: float
) -> None:
    habits = parse_habits(msgspec.json.encode({**HABITS, **changes}))
    assert [each.kind for each in habits.troubles] == ([kind] if kind else [])
    assert habits.latency.median_ms == median_ms
    assert habits.payers.pays_prob == 1.0
    assert not habits.magic_amounts


async def test_drill_with_an_unknown_name_starts_nothing(tmp_path: Path) -> None:
    plan = chaos.Plan(only=("nothing",))
    with pytest.raises(NotFound):
        await chaos.run(tmp_path, plan=plan, say=lambda _: None)
    assert os.listdir(tmp_path) == []


def test_command_with_an_unknown_name_is_refused_before_anything_starts() -> None:
    done = CliRunner().invoke(drill.app, ["chaos", "--only", "kill-judge", "--only", "nothing"])
    assert isinstance(done.exception, NotFound)
    assert done.exception.code == "drill_experiment_unknown"
    assert done.stdout == ""


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    receiver = Hooks(free_ports(1)[0])
    yield receiver
    await receiver.close()


async def test_hooks_count_events_by_id_and_refuse_while_they_are_away(hooks: Hooks) -> None:
    http = HttpClient()
    body = json.dumps({"type": SUCCEEDED, "data": {"object": {"id": "pi_1"}}}).encode()
    try:
        await hooks.open()
        for event in ("evt_1", "evt_1", "evt_2"):
            answer = await http.request("POST", hooks.url, headers={"webhook-id": event}, body=body)
            assert answer.status == 204
        await hooks.close()
        with pytest.raises((NotSent, NoAnswer)):
            await http.request("POST", hooks.url, headers={"webhook-id": "evt_3"}, body=body)
        await hooks.open()
        await http.request("POST", hooks.url, headers={"webhook-id": "evt_3"}, body=body)
    finally:
        await http.close()
    assert (dict(hooks.times), hooks.repeated) == ({"evt_1": 2, "evt_2": 1, "evt_3": 1}, 1)
    assert hooks.succeeded == {"pi_1"}


@pytest.mark.skipif(find_library() is None, reason="libfaketime is not installed")
async def test_clock_of_a_running_process_jumps_and_its_monotonic_time_does_not(tmp_path: Path) -> None:
    clock = MachineClock(tmp_path / "clock")
    script = "import sys, time\nfor _ in sys.stdin:\n    print(time.time(), time.monotonic(), flush=True)\n"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | clock.environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    hours: list[float | None] = []
    monotonic: list[float] = []
    try:
        for seconds in (0, 3_600, -3_600):
            clock.set_off(seconds)
            hours_off = None
            for _ in range(LOOKS_MAX):
                process.stdin.write(b"\n")
                wall, steady = (await process.stdout.readline()).split()
                monotonic.append(float(steady))
                hours_off = round((float(wall) - time.time()) / 3_600, 1)
                if hours_off == seconds / 3_600:
                    break
                await asyncio.sleep(0.1)
            hours.append(hours_off)
    finally:
        process.stdin.close()
        await process.wait()
    assert hours == [0.0, 1.0, -1.0]
    assert monotonic == sorted(monotonic)
    assert monotonic[-1] - monotonic[0] < 1_800


@pytest.mark.skipif(find_library() is None, reason="libfaketime is not installed")
def test_clock_is_wrong_by_so_much_against_the_time_that_was_let_pass(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    clock = MachineClock(file)
    said = [file.read_text().strip()]
    clock.set_off(3_600)
    said.append(file.read_text().strip())
    clock.let_pass(3_720)
    said.append(file.read_text().strip())
    clock.set_off(-3_600)
    said.append(file.read_text().strip())
    clock.set_off(0)
    said.append(file.read_text().strip())
    assert said == ["+0", "+3600", "+3720", "+120", "+3720"]


@pytest.mark.skipif(why_not() is not None, reason="no file system can be mounted here")
def test_disk_that_is_filled_has_no_room_and_has_it_again(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk", 4 * 1024 * 1024)
    try:
        disk.mount()
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "more").write_bytes(bytes(LEFT_BYTES + 4_096))
        disk.empty()
        (disk.folder / "more").write_bytes(bytes(LEFT_BYTES + 4_096))
    finally:
        disk.unmount()
    assert not disk.folder.is_mount()
    disk.unmount()
