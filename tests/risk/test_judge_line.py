"""The line to the scoring process, against a peer that answers, keeps silent, forges or is not there."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.errors import NotPermitted, Unavailable
from tongbao.core.metrics import Metrics
from tongbao.risk.adapters import judge_line
from tongbao.risk.adapters.judge_line import ANSWER_BYTES_MAX, JudgeLine
from tongbao.risk.adapters.judge_seal import SECRET_FILE, JudgeSeal, open_judge_seal
from tongbao.risk.schema.scoring import QUESTIONS_MAX, SEAL_HEADER, answers_bytes, questions_of

HOST = "127.0.0.1"
SEAL = JudgeSeal(b"s" * 32)
STRANGER = JudgeSeal(b"x" * 32)
QUESTION = b"who is this?"
QUICK_S = 0.2
WAIT_S = 10.0
FRIEND = answers_bytes([(200, b"a friend")])
Reply = Callable[[str], tuple[int, str | None, bytes]]
"""What a peer answers to a request with this seal: status, seal and body."""


class Peer:
    """Something that listens where the scoring process should. ``reply`` None: it takes questions and keeps silent."""

    def __init__(self, reply: Reply | None) -> None:
        self.reply = reply
        self.asked = 0
        self.knocks = 0
        self.batches: list[list[bytes]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                is_question = head.startswith("post /judgements ")
                self.batches += [questions_of(body)] if is_question else []
                self.asked += is_question
                self.knocks += not is_question
                if self.reply is None:
                    await asyncio.sleep(WAIT_S)
                    return
                status, seal, body = self.reply(headers[SEAL_HEADER]) if is_question else (200, None, b"{}")
                told = f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n"
                told += f"{SEAL_HEADER}: {seal}\r\n\r\n" if seal is not None else "\r\n"
                writer.write(told.encode() + body)
                await writer.drain()


@asynccontextmanager
async def a_line(reply: Reply | None, *, timeout_s: float = WAIT_S) -> AsyncIterator[tuple[JudgeLine, Peer]]:
    """A line to a peer that replies so."""
    peer = Peer(reply)
    server = await asyncio.start_server(peer.serve, HOST, 0)
    peer.port = server.sockets[0].getsockname()[1]
    line = JudgeLine(f"http://{HOST}:{peer.port}/", SEAL, timeout_s=timeout_s, metrics=Metrics())
    try:
        yield line, peer
    finally:
        await line.close()
        server.close()


async def end_of(line: JudgeLine) -> str:
    """The answer to a question, or the code of the error instead of one."""
    try:
        return (await line.ask(QUESTION)).body.decode()
    except Unavailable as error:
        return error.code


async def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110 - what is waited for is another object's state
            await asyncio.sleep(0.01)


def proved(seal: str, body: bytes) -> tuple[int, str | None, bytes]:
    return 200, SEAL.of_answer(seal, 200, body), body


def honest(seal: str) -> tuple[int, str | None, bytes]:
    return proved(seal, FRIEND)


def refuses(seal: str) -> tuple[int, str | None, bytes]:
    return proved(seal, answers_bytes([(400, b"why")]))


async def test_ask_brings_the_answer_back_over_one_connection() -> None:
    async with a_line(honest) as (line, peer):
        sealed = [await line.ask(QUESTION) for _ in range(3)]
        assert [(each.status, each.body, each.is_judgement) for each in sealed] == [
            (200, b"a friend", True)
        ] * 3
        assert (peer.asked, line.is_resting) == (3, False)


async def test_ask_tells_a_proved_refusal_from_a_judgement() -> None:
    async with a_line(refuses) as (line, _):
        sealed = await line.ask(QUESTION)
        assert (sealed.status, sealed.body, sealed.is_judgement) == (400, b"why", False)
        assert not line.is_resting


async def test_questions_that_come_together_go_together_and_each_gets_its_own_answer() -> None:
    async with a_line(None) as (line, peer):

        def echo(seal: str) -> tuple[int, str | None, bytes]:
            return proved(seal, answers_bytes([(200, b"of " + each) for each in peer.batches[-1]]))

        peer.reply = echo
        questions = [b"%d" % number for number in range(3 * QUESTIONS_MAX)]
        sealed = await asyncio.gather(*map(line.ask, questions))
        assert [each.body for each in sealed] == [b"of " + each for each in questions]
        assert sorted(each for batch in peer.batches for each in batch) == sorted(questions)
        assert max(map(len, peer.batches)) == QUESTIONS_MAX
        assert peer.asked == len(peer.batches) < len(questions) / 10


async def test_question_whose_asker_has_left_takes_none_of_the_others_answers() -> None:
    async with a_line(None) as (line, peer):

        def echo(seal: str) -> tuple[int, str | None, bytes]:
            return proved(seal, answers_bytes([(200, b"of " + each) for each in peer.batches[-1]]))

        peer.reply = echo
        leaving = asyncio.create_task(line.ask(b"leaves"))
        staying = [asyncio.create_task(line.ask(b"stays %d" % number)) for number in range(5)]
        await asyncio.sleep(0)
        leaving.cancel()
        answers = [(await each).body for each in staying]
        assert answers == [b"of stays %d" % number for number in range(5)]
        with pytest.raises(asyncio.CancelledError):
            await leaving


async def test_close_tells_who_waits_that_nobody_answers() -> None:
    async with a_line(None) as (line, peer):
        waiting = [asyncio.create_task(end_of(line)) for _ in range(3 * QUESTIONS_MAX)]
        await wait_until(lambda: peer.asked > 0)
        await line.close()
        assert set(await asyncio.gather(*waiting)) == {"scoring_away"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (lambda _: (200, None, FRIEND), "scoring_refused"),
        (lambda _: (403, None, b"{}"), "scoring_refused"),
        (lambda _: (200, "", FRIEND), "scoring_forged"),
        (lambda seal: (200, STRANGER.of_answer(seal, 200, FRIEND), FRIEND), "scoring_forged"),
        (lambda seal: (200, SEAL.of_answer("0" * 64, 200, FRIEND), FRIEND), "scoring_forged"),
        (lambda seal: (200, SEAL.of_answer(seal, 200, FRIEND), FRIEND + b" "), "scoring_forged"),
        (lambda seal: (200, SEAL.of_answer(seal, 400, FRIEND), FRIEND), "scoring_forged"),
        (lambda seal: (200, SEAL.of_question(FRIEND), FRIEND), "scoring_forged"),
        (lambda seal: proved(seal, b""), "scoring_garbled"),
        (lambda seal: proved(seal, b"a friend"), "scoring_garbled"),
        (lambda seal: proved(seal, answers_bytes([])), "scoring_garbled"),
        (
            lambda seal: proved(seal, answers_bytes([(200, b"a friend"), (200, b"a fiend")])),
            "scoring_garbled",
        ),
    ],
)
async def test_answer_without_a_right_proof_is_not_believed(reply: Reply, expected: str) -> None:
    async with a_line(reply) as (line, _):
        assert await end_of(line) == expected
        assert not line.is_resting


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (lambda _: (503, None, b"{}"), "scoring_busy"),
        (lambda _: (200, None, b"x" * (ANSWER_BYTES_MAX + 1)), "scoring_away"),
    ],
)
async def test_peer_that_cannot_answer_is_left_alone_for_a_moment(reply: Reply, expected: str) -> None:
    async with a_line(reply) as (line, peer):
        assert await end_of(line) == expected
        assert line.is_resting
        assert await end_of(line) == "scoring_away"
        assert peer.asked == 1


async def test_silent_peer_costs_one_wait_and_no_more() -> None:
    async with a_line(None, timeout_s=QUICK_S) as (line, peer):
        began = time.monotonic()
        assert await end_of(line) == "scoring_away"
        assert time.monotonic() - began >= QUICK_S
        assert {await end_of(line) for _ in range(500)} == {"scoring_away"}
        assert (peer.asked, line.is_resting) == (1, True)
        await wait_until(lambda: peer.knocks >= 2)
        assert (peer.asked, line.is_resting) == (1, True)


async def test_nobody_there_is_told_at_once_and_who_comes_back_is_asked_again() -> None:
    async with a_line(honest, timeout_s=WAIT_S) as (line, peer):
        free = await asyncio.start_server(peer.serve, HOST, 0)
        port = free.sockets[0].getsockname()[1]
        free.close()
        await free.wait_closed()
        other = JudgeLine(f"http://{HOST}:{port}", SEAL, timeout_s=WAIT_S, metrics=Metrics())
        try:
            assert await end_of(other) == "scoring_away"
            back = await asyncio.start_server(peer.serve, HOST, port)
            await wait_until(lambda: not other.is_resting)
            assert await end_of(other) == "a friend"
            back.close()
        finally:
            await other.close()
        assert not line.is_resting


async def test_peer_that_opens_and_fails_again_gets_a_question_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Knocks are answered, questions are not."""
    # Whatever else the machine does, the second failure comes soon after the first.
    monkeypatch.setattr(judge_line, "WELL_S", 1e9)
    async with a_line(lambda _: (503, None, b"{}")) as (line, peer):
        assert await end_of(line) == "scoring_busy"
        await wait_until(lambda: not line.is_resting)
        began = time.monotonic()
        assert await end_of(line) == "scoring_busy"
        await wait_until(lambda: not line.is_resting)
        assert time.monotonic() - began >= 1.0
        assert peer.asked == 2


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(100, 599))
def test_seal_fits_its_own_question_and_answer_alone(question: bytes, answer: bytes, status: int) -> None:
    seal = SEAL.of_question(question)
    proof = SEAL.of_answer(seal, status, answer)
    assert SEAL.seals_question(seal, question)
    assert SEAL.seals_answer(proof, seal, status, answer)
    assert not SEAL.seals_question(seal, question + b"\0")
    assert not SEAL.seals_answer(proof, seal, status, answer + b"\0")
    assert not SEAL.seals_answer(proof, seal, status + 1, answer)
    assert not STRANGER.seals_question(seal, question)
    assert not SEAL.seals_question("é" * 64, question)


def test_seal_of_a_house_is_the_same_in_every_process_and_kept_to_its_owner(tmp_path: Path) -> None:
    seal = open_judge_seal(tmp_path).of_question(QUESTION)
    assert open_judge_seal(tmp_path).of_question(QUESTION) == seal
    (tmp_path / SECRET_FILE).chmod(0o644)
    with pytest.raises(NotPermitted) as refused:
        open_judge_seal(tmp_path)
    assert refused.value.code == "key_file_exposed"


def test_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        JudgeSeal(b"short")
