"""The routing drill: its measures say what they should of made-up payments, and a short one over real sockets is sound."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import msgspec
import pytest

from tongbao.bench import routing_outage
from tongbao.bench.payment_drill_audit import Documents
from tongbao.bench.routing_outage_chart import chart
from tongbao.bench.routing_outage_load import Paid
from tongbao.bench.routing_outage_measures import (
    Outage,
    Send,
    Switch,
    approval,
    approved_late,
    by_second,
    cost_bps,
    p95_ms,
    quantile_ms,
    share,
    switch,
)
from tongbao.bench.routing_outage_reading import Log, broken_lineage, sends, unexplained
from tongbao.bench.routing_outage_world import ACQUIRERS, HOST_SIM_BPS, policy_spec
from tongbao.channels.schema import Card
from tongbao.decisions.schema.log import Candidate, Decision, Why
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.routing.schema.spec import Strategy
from tongbao.routing.service.compiling import compile_spec

PEERS = Path(__file__).parents[2] / ".peers"
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
DIED_S, BACK_S = 20.0, 40.0


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def sent(at_s: float, channel: str = "a", **more: Any) -> Send:
    fields = {
        "payment": f"pi_{at_s}",
        "is_first": True,
        "amount_minor": 1_000,
        "cost_minor": 20.0,
        "approved": True,
    }
    return Send(at_s=at_s, channel=channel, **{**fields, **more})


def paid(at_s: float, status: str = "succeeded", took_s: float = 0.1) -> Paid:
    return Paid(f"pi_{at_s}", at_s, took_s, status)


def a_dying_channel(left_s: float, returned_s: float) -> list[Send]:
    """Return ten sends a second for a minute: to ``a`` but for the time from ``left_s`` until ``returned_s``."""
    return [
        sent(tenth / 10, "b" if left_s <= tenth / 10 < returned_s or tenth % 10 == 0 else "a")
        for tenth in range(600)
    ]


def switched(sends_: Sequence[Send], look_until_s: float = 60.0) -> Switch:
    return switch(Outage("killed", "a", DIED_S, BACK_S), sends_, [], look_until_s)


def test_switch_of_a_channel_that_is_left_and_comes_back_tells_when_and_what_it_cost() -> None:
    found = switched(a_dying_channel(23.0, 47.0))
    assert found.share_before == 0.9
    # The window of two seconds is all but clear of the channel from the moment at which it was left.
    assert found.shed_s == pytest.approx(3.0, abs=0.11)
    assert found.shed_payments == 27
    assert found.probes == 0
    assert 5.0 < (found.return_s or 0.0) <= 7.0


def test_switch_counts_what_tries_a_dead_channel_later_as_probes() -> None:
    log = sorted([*a_dying_channel(22.0, 47.0), sent(31.05), sent(35.05)], key=lambda each: each.at_s)
    found = switched(log)
    assert (found.shed_payments, found.probes) == (18, 2)


def test_switch_of_a_channel_that_is_never_left_says_so() -> None:
    found = switched(a_dying_channel(100.0, 0.0))
    assert found.shed_s is None
    assert found.shed_payments == 180


def test_switch_of_a_channel_that_does_not_come_back_in_time_says_so() -> None:
    assert switched(a_dying_channel(22.0, 50.0), look_until_s=45.0).return_s is None


def test_share_counts_first_choices_only() -> None:
    log = [sent(1.0, "a"), sent(1.1, "b", is_first=False), sent(1.2, "b"), sent(3.0, "b")]
    assert share(log, "a", 0.0, 2.0) == 0.5
    assert share(log, "a", 4.0, 5.0) is None


def test_approval_counts_what_the_answer_said_within_the_spans() -> None:
    told = [paid(1.0), paid(1.5, "processing"), paid(2.0), paid(9.0, "requires_payment_method")]
    assert approval(told, [(0.0, 2.0)]) == 0.5
    assert approval(told, [(0.0, 1.2), (2.0, 3.0)]) == 1.0
    assert approval(told, [(20.0, 30.0)]) == 0.0


def test_approved_late_counts_payments_that_were_answered_before_they_were_approved() -> None:
    told = [paid(1.0), paid(2.0, "processing"), paid(3.0, "processing")]
    assert approved_late(told, [sent(1.0), sent(2.0), sent(3.0, approved=False)]) == 1


def test_cost_bps_weighs_by_amount_and_leaves_out_what_was_declined() -> None:
    log = [
        sent(1.0, amount_minor=1_000, cost_minor=10.0),
        sent(1.1, amount_minor=3_000, cost_minor=90.0),
        sent(1.2, amount_minor=9_000, cost_minor=900.0, approved=False),
        sent(5.0, amount_minor=1_000, cost_minor=500.0),
    ]
    assert cost_bps(log, [(0.0, 2.0)]) == 250.0
    assert cost_bps([], [(0.0, 2.0)]) == 0.0


@pytest.mark.parametrize(
    ("took_s", "expected"),
    [([], 0.0), ([0.2], 200.0), ([0.1] * 19 + [9.0], 100.0), ([0.1] * 18 + [9.0] * 2, 9_000.0)],
)
def test_quantile_is_the_nearest_rank(took_s: list[float], expected: float) -> None:
    assert quantile_ms(took_s) == expected


def test_p95_takes_requests_of_the_spans() -> None:
    assert p95_ms([paid(1.0, took_s=0.3), paid(5.0, took_s=3.0)], [(0.0, 2.0)]) == 300.0


def test_by_second_counts_approvals_attempts_and_shares() -> None:
    told = [paid(100.2), paid(100.7, "requires_payment_method", 0.5), paid(102.1)]
    log = [
        sent(100.2, "a"),
        sent(100.7, "a", approved=False),
        sent(100.8, "b", payment="pi_100.7", is_first=False, approved=False),
        sent(102.1, "b"),
    ]
    first, second = by_second(told, log, 100.0)
    assert (first.at_s, first.payments, first.approved, first.p95_ms) == (0, 2, 1, 500.0)
    assert first.attempts_per_payment == 1.5
    assert first.shares == {"a": 0.6667, "b": 0.3333}
    assert (second.at_s, second.shares) == (2, {"b": 1.0})


def test_chart_is_xml_that_shows_every_channel_and_shades_every_outage() -> None:
    log = a_dying_channel(21.0, 43.0)
    seconds = by_second([paid(each.at_s) for each in log], log, 0.0)
    found = switched(log)
    drawn = ElementTree.fromstring(chart(seconds, [found, found], ["a", "b", "c<&"]))
    texts = [each.text or "" for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a", "b", "c<&", "a killed"} <= set(texts)
    shaded = [each for each in drawn.iter() if each.get("class") == "out"]
    assert len(shaded) == 2
    layers = [each for each in drawn.iter() if each.tag.endswith("path") and each.get("fill")]
    assert [bool(each.get("d")) for each in layers] == [True, True, False]


def document(number: int, **more: Any) -> dict[str, Any]:
    common = {"book_id": 7, "live": False, "created_at": NOW, "updated_at": NOW, "currency": "USD"}
    return {"id": UUID(int=number), **common, **more}


def a_story(state: AttemptState = AttemptState.CHARGED, value: float = 1.0) -> tuple[Log, Documents]:
    """Return a payment with one attempt, the decision behind it, and the outcome that it heard."""
    method = Card(
        token="tok_1_x", brand="visa", card_bin="42133012", last4="4242", exp_month=1, exp_year=2031
    )
    intent = Intent(**document(1, state=IntentState.SUCCEEDED, amount_minor=1_000, client_secret="x"))
    attempt = Attempt(
        **document(2, state=state, intent_id=intent.id, channel="a", method=method),
        amount_minor=1_000,
        capture=True,
        sent_at=NOW,
        decision_id=UUID(int=3),
    )
    decision = Decision(
        id=UUID(int=3),
        book_id=7,
        live=False,
        kind="routing",
        subject_id=intent.id,
        effect_id=attempt.id,
        decided_at=NOW,
        policy="routing",
        version=1,
        context={"attempt_no": 1},
        candidates=(Candidate(name="a", propensity=1.0, facts={"cost_minor": 14.0}),),
        chosen="a",
        reasons=(Why("learned"),),
    )
    return Log([decision], {decision.id: value}, []), Documents([intent], [attempt], [])


def test_sends_join_decision_attempt_and_cost() -> None:
    (found,) = sends(*a_story())
    assert (found.channel, found.is_first, found.approved) == ("a", True, True)
    assert (found.amount_minor, found.cost_minor, found.at_s) == (1_000, 14.0, NOW.timestamp())


@pytest.mark.parametrize(
    ("state", "value", "is_broken"),
    [
        (AttemptState.CHARGED, 1.0, False),
        (AttemptState.DECLINED, 0.0, False),
        (AttemptState.DECLINED, 1.0, True),
        (AttemptState.CHARGED, 0.0, True),
        (AttemptState.UNRESOLVED, 0.0, False),
    ],
)
def test_lineage_whose_outcome_contradicts_the_attempt_is_broken(
    state: AttemptState, value: float, is_broken: bool
) -> None:
    assert bool(broken_lineage(*a_story(state, value))) is is_broken


def test_lineage_with_a_gap_is_broken() -> None:
    log, documents = a_story()
    assert broken_lineage(log._replace(decisions=[]), documents)
    assert broken_lineage(log._replace(outcomes={}), documents)
    assert broken_lineage(log, Documents(documents.intents, [], []))
    elsewhere = msgspec.structs.replace(log.decisions[0], chosen="b")
    assert broken_lineage(log._replace(decisions=[elsewhere]), documents)


def test_unexplained_finds_decisions_without_a_reason() -> None:
    log, _ = a_story()
    assert unexplained(log) == []
    mute = msgspec.structs.replace(log.decisions[0], reasons=())
    assert unexplained(log._replace(decisions=[mute])) == [mute.reference]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_policy_of_the_drill_compiles_and_orders_by_cost(strategy: Strategy) -> None:
    names = ["iso8583sim", *ACQUIRERS]
    spec = compile_spec(policy_spec(names, strategy), names).spec
    assert spec.order == (*ACQUIRERS, "iso8583sim")
    assert spec.costs["iso8583sim"].bps == HOST_SIM_BPS


@pytest.mark.nightly
async def test_drill_leaves_a_dead_channel_and_charges_nobody_twice(home: Path) -> None:
    plan = msgspec.structs.replace(routing_outage.QUICK, rate_per_s=8.0, calm_s=4.0, recovery_s=1.5)
    seen = await routing_outage.run(home, plan=plan, peers=PEERS, say=lambda _: None)
    report = seen.report
    assert report.sound, report.faults
    # The drill proves something only if there was traffic, and the channel that had most of it died.
    assert [each.kind for each in report.outages] == ["killed", "stopped"]
    assert report.payments > 100
    assert report.decisions == report.attempts >= report.payments
    # Routing draws by chance, and a busy machine makes some payers wait: how much is the long form's to tell.
    assert all(each.share_before > 0.2 for each in report.outages)
    assert report.approval_before > 0.5
    assert report.notices["opened"] >= 1
    assert min(report.cost_bps_before, report.cost_bps_during) >= min(
        each.cost_bps for each in ACQUIRERS.values()
    )
    assert sum(each.payments for each in seen.seconds) == report.payments
