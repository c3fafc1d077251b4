"""``bench system``: its arithmetic, the two ends that it plays, and one very small run of everything."""

import asyncio
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tongbao.bench import http_load, system, system_soak
from tongbao.bench.system_measures import Use, course_of, rows_of, use_of
from tongbao.bench.system_receiver import Receiver, Watcher
from tongbao.bench.system_shop import AMOUNT_MINOR, card_number, fields_of
from tongbao.bench.system_soak import Minute
from tongbao.bench.system_world import COSTS_BPS, HOUSE
from tongbao.core.errors import InvalidRequest
from tongbao.web.commands.bench import app

TINY = system.Sizes(1.5, 1, connections=8, payers=40, pgbench_scale=1)


def _wave(count: int, rise: float, height: float) -> list[float]:
    return [100 + rise * number + height * math.sin(number * 2.3) for number in range(count)]


@pytest.mark.parametrize(
    ("values", "growing"),
    [
        ([], False),
        ([100.0, 200.0, 300.0], False),
        ([100.0] * 30, False),
        (_wave(30, 0.0, 5.0), False),
        (_wave(30, 2.0, 5.0), True),
        (_wave(30, -2.0, 5.0), False),
        (_wave(30, 0.01, 0.001), False),
        ([50.0, 60.0, 70.0, 80.0, 90.0, 100.0, *[100.0] * 24], False),
    ],
    ids=["none", "too few", "flat", "scatter", "rising", "falling", "hardly rising", "warming up"],
)
def test_course_is_growing_only_where_its_line_surely_rises(values: list[float], growing: bool) -> None:
    assert course_of(values).growing is growing


def test_course_of_a_line_has_its_slope_in_a_narrow_interval() -> None:
    course = course_of([10.0 + 3.0 * number for number in range(40)])
    assert course.slope == pytest.approx(3.0)
    assert course.low <= course.slope <= course.high
    assert course.steps == 32


def test_rows_are_differences_a_payment_and_memory_at_the_end() -> None:
    rows = rows_of({"api": Use(2.0, 1)}, {"api": Use(5.0, 90_000_000)}, 6.0, 1_000)
    assert rows["api"].cores == 0.5
    assert rows["api"].cpu_ms_per_payment == 3.0
    assert rows["api"].rss_mb == 90.0


def test_use_of_a_process_with_children_holds_more_than_of_itself() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        alone, together = use_of([child.pid]), use_of([os.getpid()], with_children=True)
        assert alone.rss > 0
        assert together.rss > alone.rss
    finally:
        child.communicate(b"\n")
    assert use_of([child.pid]) == Use(0.0, 0)


@given(st.integers(0, 999_999_999))
def test_card_number_of_any_payer_passes_the_check_digit(number: int) -> None:
    digits = [int(digit) for digit in reversed(card_number(number))]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    assert len(digits) == 16
    assert (sum(digits[::2]) + sum(doubled)) % 10 == 0


def test_payer_pays_what_it_always_pays_from_its_own_device() -> None:
    first, again, other = (fields_of(each, "pm_1", "cus_1") for each in (7, 7, 8))
    assert first == again
    assert first != other
    amount = int(first.partition("&amount=")[2].partition("&")[0])
    assert AMOUNT_MINOR[0] <= amount <= AMOUNT_MINOR[1]


def _report(per_s: float, p95_ms: float) -> http_load.Report:
    return http_load.Report(good=100, per_s=per_s, p50_ms=1, p95_ms=p95_ms, p99_ms=9, max_ms=10, bad={})


def test_figures_count_the_wait_for_what_follows_and_add_up_the_house() -> None:
    names = (*HOUSE, "sandbox")
    rows = rows_of(dict.fromkeys(names, Use(0.0, 0)), dict.fromkeys(names, Use(1.0, 50_000_000)), 10.0, 1_000)
    nothing = system.State(0, 0, 0, 0, 0, 0, 0, 0)
    after = nothing._replace(bytes=20_000_000, wal=40_000_000)
    peak = system.Peak(_report(200.0, 90.0), 5.0, 1_000, rows, nothing, after)
    found = system.figures(peak, _report(100.0, 30.0), _report(100.0, 4.0), (900.0, 1_100.0))
    assert found["payments_per_s"] == 100.0
    assert found["ratio"] == 0.1
    assert found["answered_ratio"] == 0.2
    assert found["p95_ms_added"] == 26.0
    assert found["rss_mb_total"] == 200.0
    assert found["cpu_ms_per_payment"] == 4.0
    assert found["database_kb_per_1000"] == 20_000.0
    assert found["journal_kb_per_1000"] == 40_000.0


def _minutes(judge: float, postgres: float) -> list[Minute]:
    held = [dict.fromkeys(HOUSE, 100.0) for _ in range(30)]
    for number, each in enumerate(held):
        each |= {"judge": 100 + judge * number, "postgres": 100 + postgres * number}
    return [Minute(5.0, 9.0, 100, each) for each in held]


def test_soak_tells_which_process_grows_and_leaves_shared_buffers_out() -> None:
    assert system_soak.told(_minutes(3.0, 0.0))["growing_what"] == ["rss_mb_judge"]
    assert system_soak.told(_minutes(0.0, 3.0))["growing"] is False


@pytest.mark.parametrize("minutes", [0, -1, 1_441])
def test_soak_of_no_or_too_many_minutes_is_refused_by_command(minutes: int) -> None:
    found = CliRunner().invoke(app, ["system", "--minutes", str(minutes)])
    assert isinstance(found.exception, InvalidRequest)
    assert found.exception.code == "bench_minutes_invalid"


@pytest.fixture
async def receiver() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(Receiver().protocol, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_receiver_counts_every_post_of_a_kept_connection(receiver: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver)
    post = b"POST /hook HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello"
    writer.write(post + post[:30])
    await writer.drain()
    writer.write(post[30:] + b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
    answers = [await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(1) for _ in range(3)]
    writer.close()
    assert [each[-1:] for each in answers] == [b"1", b"2", b"2"]


async def test_watcher_counts_the_parts_of_a_stream() -> None:
    asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(
            b"HTTP/1.1 200 OK\r\n\r\nretry: 1\n\nid: a-1\ndata: x\n\n: still here\n\nid: a-2\ndata: y\n\n"
        )
        writer.close()

    server = await asyncio.start_server(stream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Watcher(port, "/ops/live", "session=tea") as watcher:
        await asyncio.wait_for(watcher.ended.wait(), 10)
    server.close()
    assert watcher.events == 2
    assert watcher.status == 200
    assert b"Cookie: session=tea\r\n" in asked.result()


@pytest.mark.nightly
async def test_system_with_everything_on_pays_and_leaves_nothing_behind() -> None:
    said: list[str] = []
    found = await system.run(TINY, said.append)
    assert found["payments"] > 0
    assert found["payments_per_s"] > 0
    assert 1 <= found["channels"] <= len(COSTS_BPS)
    assert found["console_parts"] > 0
    assert set(HOUSE) < set(found["processes"])
    assert said
