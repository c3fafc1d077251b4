"""The scoring process from within: what it answers, whom, and that a judgement over the line is the one given in process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, InvariantBroken, NotFound, Unavailable
from tongbao.core.events.facts import Fact
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.adapters.judge_line import JudgeLine
from tongbao.risk.adapters.judge_seal import JudgeSeal
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.scoring import QUESTIONS_MAX, REQUEST_BYTES_MAX, SEAL_HEADER, questions_bytes
from tongbao.risk.schema.signals import DeviceSign, Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import compiling, judging_form
from tongbao.risk.service.answering import Answering
from tongbao.risk.service.assessor import Asked, Looked
from tongbao.risk.service.risk import Risk
from tongbao.web import scoring
from tongbao.web.commands.listening import Server, configured
from tongbao.web.scoring import Scoring

SEAL = JudgeSeal(b"s" * 32)
HOST = "127.0.0.1"


@dataclass
class Both:
    """A scoring process that listens, and another process that asks it."""

    database: Database
    ids: IdFactory
    clock: FrozenClock
    decisions: Decisions
    scorer: Risk
    asker: Risk
    line: JudgeLine
    relay: Relay
    url: str

    def signals(self, **fields: object) -> Signals:
        """A payment of 30.00 by card, of somebody whom nobody has seen unless it is said who."""
        values: dict[str, object] = {
            "id": self.ids.uuid(),
            "at": self.clock.now(),
            "book_id": 7,
            "live": False,
            "subject_id": self.ids.uuid(),
            "value": 3_000,
            "currency": "EUR",
            "method": "card",
            "customer": self.ids.uuid().hex,
            "card": self.ids.uuid().hex,
            "device": self.ids.uuid().hex,
        }
        return Signals(**(values | fields))  # type: ignore[arg-type]

    async def told(self, *facts: Fact) -> None:
        """Publish facts, and let the scoring process follow whatever is published."""
        async with self.database.transaction() as connection:
            await Outbox(self.clock, self.ids).publish(connection, facts)
        await self.relay.place_all()
        while await self.scorer.following.step():
            pass

    async def post(self, body: bytes | AsyncIterator[bytes], seal: str, **headers: str) -> tuple[int, str]:
        """Ask by hand; return status and code."""
        async with httpx.AsyncClient(base_url=self.url) as http:
            answer = await http.post("/judgements", content=body, headers={SEAL_HEADER: seal} | headers)
        return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture
async def both(database: Database, ids: IdFactory) -> AsyncIterator[Both]:
    clock = FrozenClock(datetime.now(UTC))
    decisions = Decisions(database, clock, ids, {compiling.POLICY: compiling.checker()})
    log, policies = decisions.log, decisions.policies
    scorer = Risk(database, clock, ids, policies, log, Metrics())
    relay = Relay(database, clock, Metrics())
    await relay.prepare()
    await scorer.prepare()
    await scorer.following.start()
    app = Scoring(scorer, Answering(scorer.assessor, SEAL, Metrics()), Metrics())
    with socket.create_server((HOST, 0)) as listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}"
        server = Server(configured(app))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        line = JudgeLine(url, SEAL, timeout_s=10.0, metrics=Metrics())
        asker = Risk(database, clock, ids, policies, log, Metrics(), line=line)
        try:
            yield Both(database, ids, clock, decisions, scorer, asker, line, relay, url)
        finally:
            await asker.assessing.close()
            await line.close()
            server.stop()
            await serving


def same(one: Looked) -> Looked:
    """A judgement without the time that it took."""
    return one._replace(decision=msgspec.structs.replace(one.decision, latency_us=0))


async def test_judgement_over_the_line_is_the_one_given_in_process(both: Both) -> None:
    tiers = set()
    for number in range(30):
        signals = both.signals(
            customer="customer",
            device="device",
            card=f"card {number % 3}",
            value=100 * 7 ** (number % 6),
            device_signs=DeviceSign.VPN | DeviceSign.EMULATOR if number % 5 == 4 else DeviceSign.NONE,
            latitude=30.25 if number % 2 else None,
            longitude=120.125 if number % 2 else None,
            address_country="CN",
        )
        asked = Asked(signals=signals, is_proved=number % 7 == 6, can_step_up=number % 4 != 3)
        over_the_line = await both.asker.judge.assess(asked)
        assert same(over_the_line) == same(both.scorer.assessor.assess(asked))
        await both.told(over_the_line.fact)
        both.clock.advance(timedelta(seconds=40))
        tiers.add(over_the_line.tier)
    assert {Tier.FRICTIONLESS, Tier.DECLINE} <= tiers


async def test_process_that_asks_keeps_nobodys_history(both: Both) -> None:
    signals = both.signals(customer="of both")
    looked = await both.asker.assessing.assess(Asked(signals=signals))
    async with both.asker:
        await both.told()
        assert both.scorer.following.position > 0
        assert both.asker.following.position == 0
        with pytest.raises(Unavailable) as refused:
            both.asker.assessor.assess(Asked(signals=signals))
        assert refused.value.code == "judged_elsewhere"
        assert looked.decision.context["model"] == ""


async def test_assessing_while_the_scorer_is_away_writes_the_configured_tier(both: Both) -> None:
    policies = both.decisions.policies
    drafted = await policies.draft(compiling.POLICY, {"fallback": Tier.REVIEW.value}, "", "mei")
    await policies.publish(compiling.POLICY, drafted.version, "mei")
    await policies.roll_out(compiling.POLICY, RolloutOrder(champion=drafted.version), "mei")
    await both.asker.live.refresh()
    nowhere = JudgeLine("http://127.0.0.1:1", SEAL, timeout_s=5.0, metrics=Metrics())
    away = Risk(both.database, both.clock, both.ids, policies, both.decisions.log, Metrics(), line=nowhere)
    try:
        await away.live.refresh()
        signals = both.signals()
        looked = await away.assessing.assess(Asked(signals=signals))
        assert (looked.tier, looked.fact.reasons) == (Tier.REVIEW, ("unavailable",))
        kept = (await both.decisions.log.decision(7, signals.id)).decision
        assert (kept.chosen, [why.code for why in kept.reasons]) == ("review", ["unavailable"])
    finally:
        await away.assessing.close()
        await nowhere.close()


@pytest.mark.parametrize(
    ("broken", "kind", "code"),
    [
        (InvalidRequest("chance_invalid", "no number"), InvalidRequest, "chance_invalid"),
        (NotFound("model_unknown", "gone"), NotFound, "model_unknown"),
        (Unavailable("database_away", "gone"), Unavailable, "database_away"),
        (InvariantBroken("bound_broken", "a bug"), InvariantBroken, "bound_broken"),
        (Conflict("state", "other"), Conflict, "state"),
        (ZeroDivisionError(), Unavailable, "scoring_failed"),
    ],
)
async def test_what_scoring_raises_is_raised_over_the_line(
    both: Both, monkeypatch: pytest.MonkeyPatch, broken: Exception, kind: type[AppError], code: str
) -> None:
    def fail(_: Asked) -> Looked:
        raise broken

    monkeypatch.setattr(both.scorer.assessor, "assess", fail)
    with pytest.raises(AppError) as raised:
        await both.asker.judge.assess(Asked(signals=both.signals()))
    assert (type(raised.value), raised.value.code) == (kind, code)
    assert not both.line.is_resting


async def test_answer_that_cannot_be_read_is_no_judgement(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging_form, "answer_bytes", lambda _: b"\xc1")
    with pytest.raises(Unavailable) as raised:
        await both.asker.judge.assess(Asked(signals=both.signals()))
    assert raised.value.code == "scoring_garbled"


def test_refusal_that_cannot_be_read_is_unavailable() -> None:
    assert judging_form.error_of(b"\xc1").code == "scoring_garbled"
    unknown = msgspec.msgpack.encode(judging_form.Refusal("Nonsense", "odd", "?"))
    assert (type(judging_form.error_of(unknown)), judging_form.error_of(unknown).code) == (Unavailable, "odd")


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


Make = Callable[[], Any]
LONG = b"x" * (REQUEST_BYTES_MAX + 1)
MANY = questions_bytes([b"?"] * (QUESTIONS_MAX + 1))


@pytest.mark.parametrize(
    ("body", "seal", "expected"),
    [
        (lambda: b"", "", (403, "seal_wrong")),
        (lambda: b"?", "", (403, "seal_wrong")),
        (lambda: b"?", SEAL.of_question(b"!"), (403, "seal_wrong")),
        (lambda: b"?", SEAL.of_answer("", 200, b"?"), (403, "seal_wrong")),
        (lambda: b"?", SEAL.of_question(b"?"), (400, "questions_malformed")),
        (lambda: b"\x80", SEAL.of_question(b"\x80"), (400, "questions_malformed")),
        (lambda: MANY, SEAL.of_question(MANY), (429, "questions_too_many")),
        (lambda: LONG, SEAL.of_question(LONG), (413, "body_too_large")),
        (lambda: chunks(LONG), SEAL.of_question(LONG), (413, "body_too_large")),
        (lambda: chunks(b"?"), SEAL.of_question(b"?"), (400, "questions_malformed")),
    ],
)
async def test_bad_question_gets_a_clear_error(
    both: Both, body: Make, seal: str, expected: tuple[int, str]
) -> None:
    assert await both.post(body(), seal) == expected
    assert (await both.asker.judge.assess(Asked(signals=both.signals()))).tier is Tier.FRICTIONLESS


async def test_question_that_cannot_be_read_spoils_none_of_the_others(both: Both) -> None:
    asked = judging_form.question_bytes(Asked(signals=both.signals()))
    ends = [await both.line.ask(each) for each in (b"?", asked)]
    together = await asyncio.gather(*(both.line.ask(each) for each in (asked, b"?", b"", asked)))
    assert [each.status for each in (*ends, *together)] == [400, 200, 200, 400, 400, 200]
    refused = judging_form.error_of(together[1].body)
    assert (type(refused), refused.code) == (InvalidRequest, "question_malformed")


async def test_other_paths_are_not_there(both: Both) -> None:
    async with httpx.AsyncClient(base_url=both.url) as http:
        for method, path in (("GET", "/judgements"), ("POST", "/healthz"), ("GET", "/v2/risk/assess")):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_unknown")
        assert (await http.get("/healthz")).json() == {"status": "ok", "position": 0} | {
            "position": both.scorer.following.position
        }
        assert (await http.get("/metrics")).status_code == 200


HALF = b"POST /judgements HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n"


async def begun(both: Both) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A question of which only the head has come."""
    reader, writer = await asyncio.open_connection(HOST, int(both.url.rpartition(":")[2]))
    writer.write(HALF)
    return reader, writer


async def test_too_many_questions_at_once_are_told_to_come_back(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "OPEN_MAX", 2)
    monkeypatch.setattr(scoring, "BODY_S_MAX", 60.0)
    slow = [await begun(both) for _ in range(2)]
    async with asyncio.timeout(30.0):
        while (await both.post(b"?", "")) != (503, "scoring_busy"):  # noqa: ASYNC110 - both heads have to come in
            await asyncio.sleep(0.01)
    for reader, writer in slow:
        writer.write(b"0123456789")
        assert b"seal_wrong" in await reader.readuntil(b"}}")
        writer.close()
    assert await both.post(b"?", "") == (403, "seal_wrong")


async def test_question_that_never_comes_whole_ends(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "BODY_S_MAX", 0.05)
    reader, writer = await begun(both)
    answer = await reader.readuntil(b"}}")
    writer.close()
    assert b" 400 " in answer.splitlines()[0]
    assert b"body_incomplete" in answer


async def test_fact_of_a_judgement_crosses_whole(both: Both) -> None:
    looked = await both.asker.judge.assess(Asked(signals=both.signals(latitude=-89.5, longitude=0.0)))
    assert isinstance(looked.fact, Assessed)
    assert looked.fact.signals == judging_form.looked_of(judging_form.answer_bytes(looked)).fact.signals
    assert looked.fact.occurred_at.tzinfo is UTC
