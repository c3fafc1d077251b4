"""Connections to a host: multiplexing, matching, late answers, reconnecting, sign-on and echo."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.channels.cards import NOON, Respond, Server, read_frame, serving
from tests.peers.programs import free_address

from tongbao.channels.adapters.iso8583 import dialect
from tongbao.channels.adapters.iso8583 import line as line_module
from tongbao.channels.adapters.iso8583.line import Line, LineSettings
from tongbao.core.clock import FrozenClock
from tongbao.core.http import NoAnswer, NotSent

CLOCK = FrozenClock(NOON)


def answer(request: bytes, **changes: str | None) -> bytes:
    """Approve a request; ``f39="05"`` sets a field, None leaves it out."""
    mti, fields = dialect.decode(request)
    merged: dict[str, str | None] = {**fields, "39": "00"}
    merged |= {name.removeprefix("f"): value for name, value in changes.items()}
    return dialect.encode(dialect.answer_type(mti), {k: v for k, v in merged.items() if v is not None})


@asynccontextmanager
async def connected(respond: Respond, **settings: Any) -> AsyncIterator[tuple[Line, Server]]:
    """A line to a host that answers as ``respond`` says; patient for 0.3 s, without sign-on and echo."""
    async with serving(read_frame, respond) as (address, server):
        values = {"timeout_s": 0.3, "signs_on": False, "echo_s": 0, **settings}
        line = Line(LineSettings(host=address.host, port=address.port, **values), CLOCK)
        try:
            yield line, server
        finally:
            await line.close()


def fields(retrieval: str = "AAAABBBBCCCC") -> dict[str, str]:
    return {"3": "000000", "4": "000000000100", "7": "1120120000", "37": retrieval}


async def test_answers_in_any_order_reach_who_asked() -> None:
    held: list[bytes] = []

    def in_reverse(request: bytes) -> bytes | None:
        held.append(request)
        return b"".join(answer(one) for one in reversed(held)) if len(held) == 50 else None

    async with connected(in_reverse) as (line, server):
        asked = [line.ask("0100", fields(f"RRN{n:09d}")) for n in range(50)]
        got = await asyncio.gather(*asked)
    assert [one["37"] for one in got] == [f"RRN{n:09d}" for n in range(50)]
    assert len({one["11"] for one in got}) == 50
    assert server.connections == 1


async def test_traces_are_distinct_and_wrap_without_zero() -> None:
    async with serving(read_frame, answer) as (address, _):
        settings = LineSettings(host=address.host, port=address.port, signs_on=False, echo_s=0)
        line = Line(settings, CLOCK, first_trace=line_module.TRACE_MAX - 2)
        traces = [(await line.ask("0100", fields()))["11"] for _ in range(4)]
        await line.close()
    assert traces == ["999998", "999999", "000001", "000002"]


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "another trace": lambda request: answer(request, f11="999999"),
    "another payment": lambda request: answer(request, f37="ZZZZZZZZZZZZ"),
    "another type": lambda request: dialect.encode("0210", {**dialect.decode(request)[1], "39": "00"}),
    "no trace": lambda request: answer(request, f11=None),
}


@pytest.mark.parametrize("how", WRONG)
async def test_answer_to_something_else_is_dropped(how: str) -> None:
    async with connected(WRONG[how]) as (line, _):
        with pytest.raises(NoAnswer):
            await line.ask("0100", fields())


async def test_answer_without_retrieval_reference_is_matched_by_trace() -> None:
    async with connected(lambda request: answer(request, f37=None)) as (line, _):
        got = await line.ask("0100", fields())
        assert got["39"] == "00"


async def test_late_answer_is_dropped_and_the_connection_goes_on() -> None:
    late: list[bytes] = []

    def respond(request: bytes) -> bytes | None:
        if not late:
            late.append(answer(request, f39="05"))
            return None
        return answer(request)

    async with connected(respond) as (line, server):
        with pytest.raises(NoAnswer):
            await line.ask("0100", fields("FIRST0000000"))
        server.write(late[0])
        got = await line.ask("0100", fields("SECOND000000"))
        assert (got["37"], got["39"]) == ("SECOND000000", "00")
        assert server.connections == 1


async def test_answer_that_comes_twice_is_taken_once() -> None:
    async with connected(lambda request: answer(request) * 2) as (line, _):
        for number in range(3):
            got = await line.ask("0100", fields(f"RRN{number:09d}"))
            assert got["37"] == f"RRN{number:09d}"


@pytest.mark.parametrize("wrong", [b"", b"\x00\x00", b"\x00\x04junk", b"\x00\x64short"])
async def test_broken_connection_breaks_all_in_flight_and_is_opened_again(wrong: bytes) -> None:
    requests: list[bytes] = []

    def respond(request: bytes) -> bytes | None:
        requests.append(request)
        if len(requests) > 3:
            return answer(request)
        return wrong if len(requests) == 3 else None

    async with connected(respond) as (line, server):
        ended = await asyncio.gather(
            *(line.ask("0100", fields(f"RRN{n:09d}")) for n in range(3)), return_exceptions=True
        )
        assert [type(one) for one in ended] == [NoAnswer] * 3
        if wrong == b"\x00\x64short":
            await server.drop()
            await asyncio.sleep(0.05)
        got = await line.ask("0100", fields())
        assert got["39"] == "00"
        assert server.connections == 2


async def test_connection_that_the_host_closed_while_idle_is_opened_again() -> None:
    async with connected(answer) as (line, server):
        await line.ask("0100", fields())
        await server.drop()
        await asyncio.sleep(0.05)
        await line.ask("0100", fields())
        assert server.connections == 2


async def test_unreachable_host_is_not_sent_and_left_alone_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = free_address()
    line = Line(LineSettings(host=address.host, port=address.port, signs_on=False, echo_s=0), CLOCK)
    with pytest.raises(NotSent, match="Connection"):
        await line.ask("0100", fields())
    with pytest.raises(NotSent, match="a moment ago"):
        await line.ask("0100", fields())
    await asyncio.sleep(line_module.PAUSE_S * 1.2)
    host = Server(read_frame, answer)
    listening = await asyncio.start_server(host.accept, address.host, address.port)
    got = await line.ask("0100", fields())
    assert got["39"] == "00"
    await line.close()
    listening.close()
    await host.drop()
    await listening.wait_closed()


async def test_message_that_cannot_be_written_is_never_sent() -> None:
    async with connected(answer) as (line, server):
        with pytest.raises(dialect.Unreadable, match="41"):
            await line.ask("0100", {**fields(), "41": "short"})
        assert server.requests == []


async def test_crowded_connection_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "IN_FLIGHT_MAX", 2)
    async with connected(lambda _: None) as (line, server):
        ended = await asyncio.gather(*(line.ask("0100", fields()) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in ended] == [NoAnswer, NoAnswer, NotSent]
        assert len(server.requests) == 2


async def test_several_connections_share_the_load() -> None:
    async with connected(lambda _: None, connections=3) as (line, server):
        await asyncio.gather(*(line.ask("0100", fields()) for _ in range(9)), return_exceptions=True)
        assert server.connections == 3


async def test_sign_on_comes_first_and_once() -> None:
    async with connected(answer, signs_on=True) as (line, server):
        await asyncio.gather(*(line.ask("0100", fields()) for _ in range(3)))
        said = [dialect.decode(request) for request in server.requests]
    assert [mti for mti, _ in said] == ["0800", "0100", "0100", "0100"]
    assert (said[0][1]["70"], said[0][1]["7"]) == ("001", "1120120000")


REFUSALS: dict[str, Respond] = {
    "refused": lambda request: answer(request, f39="91"),
    "silence": lambda _: None,
    "closed": lambda _: b"",
    "garbage": lambda _: b"\x00\x04junk",
}


@pytest.mark.parametrize("how", REFUSALS)
async def test_host_that_does_not_welcome_us_gets_no_payment(how: str) -> None:
    async with connected(REFUSALS[how], signs_on=True) as (line, server):
        with pytest.raises(NotSent):
            await line.ask("0100", fields())
        assert [dialect.decode(request)[0] for request in server.requests] == ["0800"]


async def test_echo_of_the_host_is_answered() -> None:
    async with connected(answer) as (line, server):
        await line.ask("0100", fields())
        server.write(dialect.encode("0800", {"7": "1120120000", "11": "000077", "70": "301"}))
        await asyncio.sleep(0.05)
        mti, got = dialect.decode(server.requests[-1])
        assert (mti, got["11"], got["39"], got["70"]) == ("0810", "000077", "00", "301")


async def test_silent_connection_is_tried_with_an_echo_and_given_up() -> None:
    echoes: list[bytes] = []

    def respond(request: bytes) -> bytes | None:
        mti, _ = dialect.decode(request)
        if mti == "0800":
            echoes.append(request)
            return answer(request) if len(echoes) == 1 else None
        return answer(request)

    async with connected(respond, echo_s=0.1, timeout_s=0.1) as (line, server):
        await line.ask("0100", fields())
        async with asyncio.timeout(30):
            while len(echoes) < 2:  # noqa: ASYNC110 - what is waited for is seen from outside only
                await asyncio.sleep(0.01)
        # The second is not answered; the line waits 0.1 s for it.
        await asyncio.sleep(0.3)
        assert [dialect.decode(echo)[1]["70"] for echo in echoes] == ["301", "301"]
        await line.ask("0100", fields())
        assert server.connections == 2


async def test_caller_who_leaves_harms_nobody() -> None:
    async with connected(lambda request: answer(request) if b"STAYS" in request else None) as (line, _):
        leaving = asyncio.create_task(line.ask("0100", fields("LEAVES000000")))
        await asyncio.sleep(0.05)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        got = await line.ask("0100", fields("STAYS0000000"))
        assert got["39"] == "00"


async def test_close_tells_those_who_wait() -> None:
    async with connected(lambda _: None, timeout_s=5.0) as (line, _):
        waiting = asyncio.create_task(line.ask("0100", fields()))
        await asyncio.sleep(0.05)
        await line.close()
        with pytest.raises(NoAnswer):
            await waiting
