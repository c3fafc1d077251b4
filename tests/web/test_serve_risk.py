"""``tongbao serve risk`` as a process of its own: two processes take payments, one scores them, and it may be killed.

Real processes over PostgreSQL, reached over HTTP. The policy's tier for what could not be judged is ``frictionless``, so a
payment that goes on unjudged succeeds.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tongbao.bench.payment_drill_programs import HOST, Program, free_ports
from tongbao.bench.payment_drill_world import open_merchant, role_environment, toml, tongbao
from tongbao.bench.risk_drill_reading import differences
from tongbao.channels.service.building import ChannelSpec
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.events.facts import Fact, decode
from tongbao.core.http import HttpAnswer, HttpClient
from tongbao.core.ids import IdFactory, parse_uuid
from tongbao.core.metrics import Metrics
from tongbao.decisions.policy.rollout import RolloutOrder
from tongbao.decisions.schema.log import Decision
from tongbao.decisions.service.decisions import Decisions
from tongbao.risk.adapters.judge_seal import JudgeSeal, open_judge_seal
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.freezes import FreezeOrder
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.scoring import REQUEST_BYTES_MAX, SEAL_HEADER
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import compiling
from tongbao.risk.service.assessor import Asked, digest_of
from tongbao.risk.service.risk import Risk

WAIT_S = 20.0
POLL_S = 0.05
PATIENT = {"TONGBAO_RISK_TIMEOUT_MS": "5000"}
"""Here payments are to be judged even where the machine has much else to do."""
_DECISION = "SELECT body FROM decisions.decision WHERE kind = 'risk' AND subject_id = $1 ORDER BY id"
_FACTS = "SELECT topic, payload FROM events.outbox WHERE topic = 'risk.assessed'"
_DECISIONS = "SELECT body FROM decisions.decision WHERE kind = 'risk' ORDER BY id"
_JOURNAL = "SELECT position, topic, body FROM risk.journal ORDER BY position"


@dataclass
class Houses:
    """Two processes that take payments and one that scores, over one database."""

    database: Database
    home: Path
    key: str
    ports: list[int]
    risk_port: int
    scoring: Program
    http: HttpClient
    policies: Decisions
    count: int = 0

    @property
    def scoring_url(self) -> str:
        """Where the scoring process listens."""
        return f"http://{HOST}:{self.risk_port}"

    @property
    def seal(self) -> JudgeSeal:
        """The seal that all processes share."""
        return open_judge_seal(self.home / "data" / "vault")

    async def send(self, port: int, path: str, body: bytes, media_type: str) -> HttpAnswer:
        """Send a request of the merchant to one of the houses."""
        self.count += 1
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": media_type,
            "Idempotency-Key": f"key-{self.count}",
        }
        return await self.http.request(
            "POST", f"http://{HOST}:{port}{path}", headers=headers, body=body, timeout_s=WAIT_S
        )

    async def order(self, port: int, device: str = "") -> tuple[int, dict[str, Any]]:
        """Let somebody whom nobody has seen pay by card, or the owner of a device; return status and payment."""
        number = self.count
        form = {
            "amount": 2_000,
            "currency": "usd",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "radar_options[session]": device or f"device-{number}",
            "radar_options[ip_address]": f"198.51.{number // 250}.{number % 250 + 1}",
        }
        body = urlencode(form).encode()
        answer = await self.send(port, "/v1/payment_intents", body, "application/x-www-form-urlencoded")
        told = msgspec.json.decode(answer.body)
        return answer.status, told if answer.status == 200 else told["error"]["payment_intent"]

    async def pay(self, port: int, device: str = "") -> Decision:
        """Pay through one of the houses, which succeeds; return the decision about its risk."""
        status, intent = await self.order(port, device)
        assert (status, intent["status"]) == (200, "succeeded"), intent
        (decision,) = await self.decisions_of(intent["id"])
        return decision

    async def fact_of(self, decision: Decision) -> Assessed:
        """The fact that was told with a decision."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(_FACTS)
        facts = [fact for row in rows if isinstance(fact := decode(row[0], row[1]), Assessed)]
        (fact,) = [each for each in facts if each.decision_id == decision.id]
        return fact

    async def decisions_of(self, payment: str) -> list[Decision]:
        """The decisions about the risk of a payment."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(_DECISION, parse_uuid("pi", payment))
        return [msgspec.json.decode(row[0], type=Decision) for row in rows]

    async def position(self) -> int:
        """How far the scoring process has read."""
        answer = await self.http.request("GET", f"{self.scoring_url}/healthz", timeout_s=WAIT_S)
        told = msgspec.json.decode(answer.body)
        assert told["status"] == "ok"
        return int(told["position"])

    async def ask(self, body: bytes, seal: str | None) -> HttpAnswer:
        """Ask the scoring process for a judgement, with any seal or none."""
        headers = {"content-type": "application/msgpack"} | ({} if seal is None else {SEAL_HEADER: seal})
        return await self.http.request(
            "POST", f"{self.scoring_url}/judgements", headers=headers, body=body, timeout_s=WAIT_S
        )


@pytest.fixture(scope="module")
async def houses(dsn: str, database: Database) -> AsyncIterator[Houses]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    home = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    channels = home / "channels.toml"
    channels.touch(0o600)
    channels.write_text(toml(ChannelSpec(name="cards", adapter="direct", settings={"currencies": ["USD"]})))
    first, second, risk_port = free_ports(3)
    url = {"TONGBAO_RISK_URL": f"http://{HOST}:{risk_port}"}
    environment = role_environment(home, dsn, channels, first) | PATIENT | url
    programs = [
        Program(name, tongbao("serve", role, "--port", str(port)), home, port=port, environment=environment)
        for name, role, port in (
            ("scoring", "risk", risk_port),
            ("api0", "all", first),
            ("api1", "api", second),
        )
    ]
    http = HttpClient()
    decisions = Decisions(
        database, RealClock(), IdFactory(RealClock()), {compiling.POLICY: compiling.checker()}
    )
    try:
        key = await open_merchant(dsn)
        await _roll_out(decisions, Tier.FRICTIONLESS)
        await asyncio.gather(*(each.start() for each in programs))
        yield Houses(database, home, key, [first, second], risk_port, programs[0], http, decisions)
    finally:
        for program in programs:
            await program.stop()
        await http.close()
        shutil.rmtree(home, ignore_errors=True)


async def _roll_out(decisions: Decisions, fallback: Tier) -> None:
    policies = decisions.policies
    drafted = await policies.draft(compiling.POLICY, {"fallback": fallback.value}, "", "mei")
    await policies.publish(compiling.POLICY, drafted.version, "mei")
    await policies.roll_out(compiling.POLICY, RolloutOrder(champion=drafted.version), "mei")


async def _settled(houses: Houses, followed: Risk) -> None:
    """Wait until nothing new is told, and the scoring process has read as far as ``followed``."""
    for _ in range(round(WAIT_S / POLL_S)):
        news = await followed.following.step()
        if not news and await houses.position() == followed.following.position:
            await asyncio.sleep(4 * POLL_S)
            if not await followed.following.step():
                return
        await asyncio.sleep(POLL_S)
    raise AssertionError("facts never came to rest")


async def _judged_again(houses: Houses, port: int) -> None:
    """Pay until a payment is judged; all of them succeed."""
    for _ in range(round(WAIT_S / POLL_S)):
        if _codes(await houses.pay(port)) == ["low_risk"]:
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError("judgements never came back")


def _codes(decision: Decision) -> list[str]:
    return [why.code for why in decision.reasons]


@pytest.fixture
async def here(houses: Houses) -> Risk:
    """Risk control of a process that judges itself; it reads what is new only when it is told to."""
    clock = RealClock()
    decisions = houses.policies
    risk = Risk(houses.database, clock, IdFactory(clock), decisions.policies, decisions.log, Metrics())
    await risk.live.refresh()
    await risk.lists.refresh()
    await risk.freezing.refresh()
    await risk.following.start()
    return risk


@pytest.mark.slow
async def test_payment_is_judged_elsewhere_as_it_would_be_in_process(houses: Houses, here: Risk) -> None:
    for _ in range(3):
        await houses.pay(houses.ports[0])
    await _settled(houses, here)
    decision = await houses.pay(houses.ports[0])
    fact = await houses.fact_of(decision)
    step_up = next(each for each in decision.candidates if each.name == Tier.STEP_UP.value)
    asked = Asked(signals=fact.signals, can_step_up=step_up.excluded != "no_means")
    ours = here.assessor.assess(asked)
    names = ("policy", "version", "chosen", "candidates", "reasons")
    assert [getattr(decision, name) for name in names] == [getattr(ours.decision, name) for name in names]
    assert decision.context | {"position": 0} == ours.decision.context | {"position": 0}
    assert decision.context["features"] == digest_of(
        here.following.memory.of(False).state.features(fact.signals)
    )
    assert msgspec.structs.replace(fact, is_again=False) == ours.fact


@pytest.mark.slow
async def test_two_processes_with_one_scorer_agree_with_the_journal(houses: Houses, here: Risk) -> None:
    for number in range(12):
        await houses.pay(houses.ports[number % 2])
    await _settled(houses, here)
    for _ in range(round(WAIT_S / POLL_S)):
        async with houses.database.connection() as connection:
            rows = await connection.fetch(_DECISIONS)
            journal = await connection.fetch(_JOURNAL)
        decisions = [msgspec.json.decode(row[0], type=Decision) for row in rows]
        facts = [(int(row[0]), decode(row[1], row[2])) for row in journal]
        known = [(position, fact) for position, fact in facts if isinstance(fact, Fact)]
        if {each.id for each in decisions} <= {
            fact.decision_id for _, fact in known if isinstance(fact, Assessed)
        }:
            break
        await asyncio.sleep(POLL_S)
    checked, differing = differences(decisions, known)
    assert checked >= 12
    assert differing == []


@pytest.mark.slow
async def test_judgement_over_http_comes_from_the_scorer_and_is_on_disk(houses: Houses) -> None:
    order = {"amount_minor": 2_500, "currency": "USD", "customer": "c" * 20, "reference": "order 7"}
    before = _answers(await houses.http.request("GET", f"{houses.scoring_url}/metrics"))
    answer = await houses.send(
        houses.ports[1], "/v2/risk/assess", msgspec.json.encode(order), "application/json"
    )
    assert answer.status == 200, answer.body
    found = msgspec.json.decode(answer.body)
    (decision,) = await houses.decisions_of(found["payment"])
    assert (decision.reference, decision.chosen) == (found["decision"], found["tier"])
    assert _codes(decision) == ["low_risk"]
    after = _answers(await houses.http.request("GET", f"{houses.scoring_url}/metrics"))
    assert after == before + 1


def _answers(answer: HttpAnswer) -> int:
    lines = answer.body.decode().splitlines()
    counted = [each for each in lines if each.startswith('tongbao_risk_answers_total{end="judged"}')]
    return round(float(counted[0].split()[-1])) if counted else 0


@pytest.mark.slow
async def test_scorer_that_is_killed_costs_no_payment_thaws_nobody_and_is_found_again(houses: Houses) -> None:
    seen = await houses.pay(houses.ports[1], device="stolen phone")
    device = (await houses.fact_of(seen)).signals.device
    async with asyncio.TaskGroup() as under_way:
        cut = [under_way.create_task(houses.pay(houses.ports[number % 2])) for number in range(6)]
        await asyncio.sleep(0.01)
        await houses.scoring.kill()
    away = [await houses.pay(houses.ports[number % 2]) for number in range(10)]
    found = Counter((each.chosen, *_codes(each)) for each in away)
    assert found == {(Tier.FRICTIONLESS.value, ReasonCode.UNAVAILABLE.value): 10}
    assert {each.chosen for each in (task.result() for task in cut)} == {Tier.FRICTIONLESS.value}
    assert all("features" not in each.context for each in away)
    await _frozen_meanwhile(houses, device)
    await houses.scoring.start()
    for port in houses.ports:
        await _judged_again(houses, port)


async def _frozen_meanwhile(houses: Houses, device: str) -> None:
    """Freeze a device while nobody scores: a payment from it is declined, others go on."""
    clock = RealClock()
    decisions = houses.policies
    risk = Risk(houses.database, clock, IdFactory(clock), decisions.policies, decisions.log, Metrics())
    order = FreezeOrder(live=False, entity=Entity.DEVICE, key=device, reason="taken")
    await risk.freezing.freeze(order, "mei")
    for _ in range(round(WAIT_S / POLL_S)):
        # Processes look for freezes every two seconds.
        status, intent = await houses.order(houses.ports[1], "stolen phone")
        if status == 402:
            break
        await asyncio.sleep(POLL_S)
    (decision,) = await houses.decisions_of(intent["id"])
    assert (decision.chosen, _codes(decision)) == ("decline", ["account_frozen", "unavailable"])
    assert _codes(await houses.pay(houses.ports[1])) == ["unavailable"]


@pytest.mark.slow
async def test_strangers_and_garbage_are_refused_and_nothing_breaks(houses: Houses) -> None:
    garbage = b"\x00" * 40
    sealed = houses.seal.of_question(garbage)
    for body, seal, expected in (
        (garbage, None, (403, "seal_wrong")),
        (garbage, "0" * 64, (403, "seal_wrong")),
        (garbage, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 8, (403, "seal_wrong")),
        (garbage, JudgeSeal(b"x" * 32).of_question(garbage), (403, "seal_wrong")),
        (garbage, sealed, (400, "questions_malformed")),
        (b"x" * (REQUEST_BYTES_MAX + 1), sealed, (413, "body_too_large")),
        (b"x" * 900_000, sealed, (413, "body_too_large")),
    ):
        answer = await houses.ask(body, seal)
        told = msgspec.json.decode(answer.body)["error"]
        assert (answer.status, told["code"]) == expected
        assert SEAL_HEADER not in answer.headers
    assert _codes(await houses.pay(houses.ports[0])) == ["low_risk"]
