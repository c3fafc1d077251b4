"""The risk drill: its measures say what they should of made-up payments, and a short one on the real program is sound."""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest

from tongbao.bench import risk_drill
from tongbao.bench.payment_drill_audit import Findings
from tongbao.bench.risk_drill_desk import broken_spec, defective_model
from tongbao.bench.risk_drill_measures import (
    SCORING_AWAY,
    SCORING_BACK,
    SCORING_CUT,
    Measured,
    Proofs,
    RiskReport,
    paid_between,
    report_of,
    shares,
    told,
)
from tongbao.bench.risk_drill_payers import Stopped, payment_id, stopped
from tongbao.bench.risk_drill_reading import Look, Rebuilt, differences, first_looks, reasons_of
from tongbao.bench.risk_drill_shop import (
    BROKEN,
    HELD,
    ISSUER,
    OPEN,
    PASSED,
    STEPPED_UP,
    STOPPED,
    Paid,
    Shop,
    paid_of,
)
from tongbao.core.errors import InvalidRequest
from tongbao.core.events.facts import Fact
from tongbao.core.http import HttpClient
from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import Candidate, Decision, Why
from tongbao.risk.models import artifact
from tongbao.risk.models.memory import Memory
from tongbao.risk.models.rates import LearnedRates
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import tiering
from tongbao.risk.schema.facts import Assessed
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Costs, Tier
from tongbao.risk.service.assessor import digest_of
from tongbao.risk.service.compiling import checker

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
UNKNOWN = Paid("calm", "", OPEN, "", 1_000, 0.0, 0.0)


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def paid(met: str, number: int = 1, scene: str = "calm", **more: Any) -> Paid:
    known = Paid(scene, uuid_text("pi", UUID(int=number)), met, "", 1_000, 10.0, 0.5)
    return known._replace(**more)


def look(number: int, tier: Tier = Tier.FRICTIONLESS, *reasons: str, rules: tuple[str, ...] = ()) -> Look:
    return Look(UUID(int=number + 1_000), 7, UUID(int=number), tier.value, 1, reasons or ("low_risk",), rules)


@pytest.mark.parametrize(
    ("met", "expected"),
    [
        ([STOPPED, STOPPED], Stopped(0, 1.0, 0, 0.0)),
        ([PASSED, ISSUER, STEPPED_UP, HELD], Stopped(2, 0.5, 1_000, 0.25)),
        ([ISSUER, PASSED], Stopped(2, 0.0, 1_000, 0.5)),
    ],
)
def test_stopped_counts_attempts_before_risk_control_and_money_that_passed(
    met: list[str], expected: Stopped
) -> None:
    assert stopped([paid(each) for each in met]) == expected


def test_stopped_without_attempts_is_refused() -> None:
    with pytest.raises(ValueError, match="attempts"):
        stopped([])


def answer(status: str, risk_state: str = "clear", url: str = "") -> dict[str, Any]:
    action = {"redirect_to_url": {"url": url}} if url else None
    return {"id": "pi_1", "status": status, "risk_state": risk_state, "next_action": action}


@pytest.mark.parametrize(
    ("status", "body", "met"),
    [
        (0, {}, OPEN),
        (409, {"error": {"code": "request_in_progress"}}, OPEN),
        (500, {"error": {"code": "internal"}}, BROKEN),
        (400, {"error": {"code": "parameter_missing"}}, BROKEN),
        (200, answer("succeeded"), PASSED),
        (200, answer("processing"), OPEN),
        (200, answer("requires_capture", "review"), HELD),
        (200, answer("requires_action", url="http://house/step-up/abc"), STEPPED_UP),
        (402, {"error": {"payment_intent": answer("requires_payment_method")}}, ISSUER),
        (402, {"error": {"payment_intent": answer("requires_payment_method", "blocked")}}, STOPPED),
    ],
)
def test_answer_says_what_its_payer_met(status: int, body: dict[str, Any], met: str) -> None:
    assert paid_of("calm", status, body, UNKNOWN).met == met


def test_shares_are_of_first_looks_and_leave_out_what_nobody_judged() -> None:
    looks = [look(1, Tier.STEP_UP, "new_card"), look(1), look(2)]
    firsts = first_looks(looks)
    found = shares([paid(PASSED, 1), paid(PASSED, 2), paid(PASSED, 3)], firsts)
    assert (found["step_up"], found["frictionless"], found["decline"]) == (0.5, 0.5, 0.0)
    assert set(shares([], firsts).values()) == {0.0}


def test_reasons_name_rules_before_the_model() -> None:
    looks = [
        look(1, Tier.DECLINE, "rule", "burst_device", rules=("card testing",)),
        look(2, Tier.STEP_UP, "new_card"),
    ]
    assert reasons_of(looks) == {"card testing": 1, "new_card": 1}


def test_paid_between_counts_what_began_and_ended_while_a_process_was_away() -> None:
    told_ = [
        paid(PASSED, began_s=10.0, took_s=1.0),
        paid(PASSED, began_s=9.0, took_s=1.5),
        paid(PASSED, began_s=14.5, took_s=1.0),
        paid(STOPPED, began_s=11.0),
    ]
    assert paid_between(told_, (9.5, 15.0)) == 1


def signals(number: int) -> Signals:
    return Signals(
        id=UUID(int=number),
        at=NOW + timedelta(seconds=number),
        book_id=7,
        live=False,
        subject_id=UUID(int=number + 100),
        value=1_000 * number,
        currency="USD",
        method="card",
        card="c",
        device="d",
    )


def a_log(count: int) -> tuple[list[Decision], list[tuple[int, Fact]]]:
    """Return decisions and the journal of payments that were judged one after the other, each with what it saw."""
    memory, decisions = Memory(), []
    journal: list[tuple[int, Fact]] = []
    for number in range(1, count + 1):
        known = signals(number)
        seen = digest_of(memory.of(False).state.features(known))
        decisions.append(
            Decision(
                id=known.id,
                book_id=7,
                live=False,
                kind="risk",
                subject_id=known.subject_id,
                decided_at=known.at,
                policy="risk",
                version=1,
                context={"features": seen, "position": number - 1},
                candidates=(Candidate(name="frictionless", propensity=1.0),),
                chosen="frictionless",
                reasons=(Why("low_risk"),),
            )
        )
        fact = Assessed(occurred_at=known.at, signals=known, tier=Tier.FRICTIONLESS, decision_id=known.id)
        memory.learn(fact)
        journal.append((number, fact))
    return decisions, journal


def test_decisions_of_an_honest_log_saw_what_the_journal_gives() -> None:
    decisions, journal = a_log(6)
    assert differences(decisions, journal) == (6, [])


def test_decision_that_saw_another_state_is_found() -> None:
    decisions, journal = a_log(6)
    context = {**decisions[4].context, "position": 2}
    late = [*decisions[:4], msgspec.structs.replace(decisions[4], context=context), decisions[5]]
    assert differences(late, journal) == (6, [decisions[4].reference])


def test_decision_that_no_fact_tells_of_is_found() -> None:
    decisions, journal = a_log(3)
    assert differences(decisions, journal[:2]) == (3, [decisions[2].reference])


def test_defective_model_passes_the_shelf_and_scores_nobody() -> None:
    model = artifact.load(artifact.dump(defective_model()))
    scorer = artifact.ModelScorer(model, NAMES)
    chance = scorer.score_one(np.zeros(len(NAMES)))
    assert np.isnan(chance)
    beliefs = LearnedRates().beliefs(("new", "card"), NOW.timestamp())
    with pytest.raises(InvalidRequest) as refused:
        tiering.weigh(chance, 1_000, beliefs, tiering.terms_of(Costs()), tiering.Range())
    assert refused.value.code == "chance_invalid"


@pytest.mark.parametrize("fallback", [Tier.FRICTIONLESS, Tier.STEP_UP])
def test_policy_with_a_defective_model_can_be_published(fallback: Tier) -> None:
    checker()(broken_spec(artifact.digest(artifact.dump(defective_model())), fallback))


def a_report(looks: list[Look] | None = None, **measured: Any) -> RiskReport:
    """Return the report of a drill that went well but for what is given."""
    shop = Shop(HttpClient(), [1], "sk_test_x")
    shop.paid += [
        paid(PASSED, 1, began_s=1.0),
        paid(PASSED, 2, "failing", began_s=20.0),
        paid(PASSED, 3, "around the kill", took_s=0.1),
        paid(PASSED, 4, SCORING_CUT, began_s=20.0),
        paid(PASSED, 5, SCORING_AWAY, began_s=20.0),
        paid(ISSUER, 6, SCORING_AWAY, began_s=20.0),
        paid(PASSED, 7, SCORING_BACK, began_s=20.0),
    ]
    unjudged = [look(each, Tier.FRICTIONLESS, "unavailable") for each in (2, 4, 5, 6)]
    looks = [look(1), look(3), look(7), *unjudged] if looks is None else looks
    fine = {
        "burst": Stopped(4, 0.9, 100, 0.1),
        "spree": Stopped(1, 0.9, 100, 0.03),
        "proofs": Proofs("succeeded", "requires_payment_method", "x"),
        "away_s": (9.0, 11.0),
        "released": "succeeded",
        "rejected": "canceled",
        "frozen_stopped": True,
        "frozen_while_failing": "decline",
        "one_refused": True,
        "released_pay": True,
    }
    given = {name: each for name, each in measured.items() if name != "rebuilt"}
    rebuilt = measured.get("rebuilt", Rebuilt(3, (), True))
    return report_of(Measured(**{**fine, **given}), shop, looks, rebuilt, Findings())


def test_report_of_a_good_drill_is_sound_and_can_be_read() -> None:
    report = a_report()
    assert (report.sound, report.broken_promises) == (True, [])
    assert (report.fallback_tier_used, report.fallback_paid, report.paid_while_killed) == (1, 1, 1)
    assert (report.scoring_away_tiers, report.scoring_away_reasons) == (
        {"frictionless": 2},
        {"unavailable": 2},
    )
    assert (report.scoring_away_paid, report.scoring_back_judged) == (1, 1)
    assert any("stopped after 4 cards" in line for line in told(report))
    assert any("2 x unavailable, 1 paid; then 1 judged" in line for line in told(report))


@pytest.mark.parametrize(
    ("measured", "promise"),
    [
        ({"burst": Stopped(9, 0.5, 0, 0.0)}, "the tester is stopped"),
        ({"spree": Stopped(5, 0.5, 0, 0.4)}, "the thief is stopped"),
        ({"proofs": Proofs("requires_action", "requires_payment_method", "x")}, "a right code pays"),
        ({"proofs": Proofs("succeeded", "succeeded", "x")}, "wrong codes do not"),
        ({"proofs": Proofs("succeeded", "requires_action", "x")}, "wrong codes do not"),
        ({"released": "requires_capture"}, "released is captured"),
        ({"rejected": "succeeded"}, "rejected is given back"),
        ({"frozen_while_failing": "frictionless"}, "frozen stays frozen"),
        ({"frozen_stopped": False}, "frozen is stopped"),
        ({"one_refused": False}, "two people release"),
        ({"rebuilt": Rebuilt(3, ("dec_1",), True)}, "a rebuilt state is the same"),
        ({"rebuilt": Rebuilt(3, (), False)}, "a rebuilt state is the same"),
        ({"rebuilt": Rebuilt(0, (), True)}, "a rebuilt state is the same"),
        ({"away_s": (0.0, 1.0)}, "payments go on under a kill"),
    ],
)
def test_report_with_a_broken_promise_names_it_and_is_not_sound(
    measured: dict[str, Any], promise: str
) -> None:
    report = a_report(**measured)
    assert (report.sound, report.broken_promises) == (False, [promise])


@pytest.mark.parametrize(
    ("changed", "promise"),
    [
        (look(5, Tier.STEP_UP, "unavailable"), "payments go on at the configured tier without scoring"),
        (look(5), "payments go on at the configured tier without scoring"),
        (look(7, Tier.FRICTIONLESS, "unavailable"), "judgements come back"),
    ],
)
def test_report_of_a_scoring_process_that_was_missed_otherwise_is_not_sound(
    changed: Look, promise: str
) -> None:
    unjudged = [look(each, Tier.FRICTIONLESS, "unavailable") for each in (2, 4, 5, 6)]
    looks = {each.subject_id: each for each in [look(1), look(3), look(7), *unjudged, changed]}
    report = a_report(list(looks.values()))
    assert (report.sound, report.broken_promises) == (False, [promise])


def test_payment_id_reads_what_the_shop_was_told() -> None:
    assert payment_id(paid(PASSED, 5)) == UUID(int=5)


@pytest.mark.slow
@pytest.mark.nightly
async def test_drill_passes_good_payers_stops_attacks_and_survives_a_kill(home: Path) -> None:
    report = await risk_drill.run(home, plan=risk_drill.QUICK, say=lambda _: None)
    assert report.sound, (report.broken_promises, report.faults)
    # The drill proves something only if there was traffic, and everything happened that it is about.
    assert report.good_payments > 80
    assert report.decisions_checked > 120
    assert report.burst_reasons
    assert report.spree_reasons
    assert report.cases > 0
    assert sum(report.scoring_away_tiers.values()) == risk_drill.SCORING_AWAY_COUNT
