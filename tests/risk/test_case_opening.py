"""What rings, how badly, and into which case it goes."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.risk.case_house import AT, BOOK, case_file, judged, signals

from tongbao.risk.policy.case_opening import (
    SLA_H,
    absorbed,
    assessed_alert,
    case_key_of,
    is_joinable,
    labelled_alert,
    merged,
    opened,
    severity_of,
)
from tongbao.risk.schema.cases import (
    CASE_PAYMENTS_MAX,
    Alert,
    CaseKey,
    CaseSpec,
    CaseState,
    Cause,
    Known,
    Severity,
)
from tongbao.risk.schema.facts import Assessed, Labelled, LabelSource
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier

SPEC = CaseSpec()


def assessed(known: Known) -> Assessed:
    return Assessed(
        occurred_at=known.signals.at,
        signals=known.signals,
        tier=known.tier,
        score=known.score,
        reasons=known.reasons,
        rules=known.rules,
    )


def labelled(known: Known, *, is_fraud: bool, source: LabelSource) -> Labelled:
    one = known.signals
    return Labelled(
        occurred_at=one.at,
        signals_id=one.id,
        book_id=one.book_id,
        live=one.live,
        subject_id=one.subject_id,
        is_fraud=is_fraud,
        source=source,
    )


def rang(known: Known, spec: CaseSpec = SPEC) -> Alert:
    alert = assessed_alert(assessed(known), spec)
    assert alert is not None
    return alert


@pytest.mark.parametrize(
    ("tier", "rules", "spec", "cause"),
    [
        (Tier.REVIEW, (), SPEC, Cause.HELD),
        (Tier.REVIEW, ("watch",), CaseSpec(rules=("watch",)), Cause.HELD),
        (Tier.DECLINE, (), SPEC, Cause.DECLINED),
        (Tier.DECLINE, (), CaseSpec(declined_value_min=10_001), None),
        (Tier.DECLINE, ("watch",), CaseSpec(declined_value_min=10_001, rules=("watch",)), Cause.WATCHED_RULE),
        (Tier.FRICTIONLESS, ("watch",), CaseSpec(rules=("other", "watch")), Cause.WATCHED_RULE),
        (Tier.FRICTIONLESS, ("watch",), SPEC, None),
        (Tier.STEP_UP, (), SPEC, None),
    ],
)
def test_judged_payment_rings_by_tier_value_and_rules(
    tier: Tier, rules: tuple[str, ...], spec: CaseSpec, cause: Cause | None
) -> None:
    alert = assessed_alert(assessed(judged(tier=tier, rules=rules)), spec)
    assert (None if alert is None else alert.cause) == cause


@pytest.mark.parametrize(
    ("is_fraud", "source", "rings"),
    [
        (True, LabelSource.DISPUTE, True),
        (True, LabelSource.FILE, True),
        (True, LabelSource.CASE, False),
        (False, LabelSource.DISPUTE, False),
    ],
)
def test_label_rings_where_somebody_else_says_fraud(is_fraud: bool, source: LabelSource, rings: bool) -> None:
    known = judged(tier=Tier.FRICTIONLESS, score=0.01)
    alert = labelled_alert(labelled(known, is_fraud=is_fraud, source=source), known, SPEC)
    assert (alert is not None) == rings
    if alert is not None:
        assert (alert.cause, alert.payment.is_fraud, alert.payment.is_held) == (
            Cause.FRAUD_KNOWN,
            True,
            False,
        )


@pytest.mark.parametrize(
    ("fields", "reasons", "entity"),
    [
        ({"card": "c", "customer": "u", "device": "d"}, (), Entity.CARD),
        ({"customer": "u", "device": "d", "merchant": "m"}, (), Entity.CUSTOMER),
        ({"device": "d", "address": "a", "merchant": "m"}, (), Entity.DEVICE),
        ({"beneficiary": "b", "address": "a"}, (), Entity.BENEFICIARY),
        ({"address": "a", "merchant": "m"}, (), Entity.ADDRESS),
        ({"merchant": "m", "email_domain": "example.com"}, (), Entity.MERCHANT),
        ({"email_domain": "example.com"}, (), None),
        ({"card": "c", "device": "d"}, ("card_testing",), Entity.DEVICE),
        ({"card": "c", "address": "a"}, ("card_testing",), Entity.ADDRESS),
        ({"card": "c"}, ("card_testing",), Entity.CARD),
        ({"card": "c", "merchant": "m"}, ("spree", "merchant_under_suspicion"), Entity.MERCHANT),
    ],
)
def test_alert_is_gathered_by_the_entity_that_explains_it(
    fields: dict[str, str], reasons: tuple[str, ...], entity: Entity | None
) -> None:
    one = signals(**fields)
    key = one.subject if entity is None else one.key(entity)
    assert case_key_of(one, reasons, SPEC) == CaseKey(True, BOOK, entity, key)


def test_cases_across_books_leave_merchants_and_bare_payments_in_theirs() -> None:
    spec = CaseSpec(is_across_books=True)
    assert case_key_of(signals(card="c"), (), spec).book_id == 0
    assert case_key_of(signals(merchant="m"), (), spec).book_id == BOOK
    assert case_key_of(signals(), (), spec).book_id == BOOK


@pytest.mark.parametrize(
    ("cause", "fields", "severity"),
    [
        (Cause.WATCHED_RULE, {"value": 39_999}, Severity.LOW),
        (Cause.WATCHED_RULE, {"value": 40_000}, Severity.MEDIUM),
        (Cause.WATCHED_RULE, {"value": 200_000}, Severity.HIGH),
        (Cause.WATCHED_RULE, {"value": 1_000_000}, Severity.CRITICAL),
        (Cause.WATCHED_RULE, {"value": 1_000_000, "currency": "JPY"}, Severity.LOW),
        (Cause.WATCHED_RULE, {"value": 100_000, "score": None}, Severity.MEDIUM),
        (Cause.HELD, {"value": 100}, Severity.MEDIUM),
        (Cause.FRAUD_KNOWN, {"value": 100_000, "score": 0.01, "is_fraud": True}, Severity.HIGH),
        (Cause.DECLINED, {"value": 1_000_000}, Severity.MEDIUM),
        (Cause.DECLINED, {"value": 100}, Severity.LOW),
        (Cause.DECLINED, {"value": 100, "reasons": ("card_testing",)}, Severity.HIGH),
    ],
)
def test_severity_follows_what_may_be_lost(
    cause: Cause, fields: dict[str, object], severity: Severity
) -> None:
    assert severity_of(cause, judged(**fields), CaseSpec(worth={"JPY": 0.006})) is severity


@pytest.mark.parametrize(
    ("changes", "later_h", "joins"),
    [
        ({}, 23.9, True),
        ({}, 24.0, False),
        ({"state": CaseState.ASSIGNED}, 1.0, True),
        ({"state": CaseState.WAITING}, 1.0, False),
        ({"state": CaseState.CLOSED}, 1.0, False),
        ({"key": "card_b"}, 1.0, False),
        ({"entity": Entity.DEVICE}, 1.0, False),
        ({"live": False}, 1.0, False),
        ({"book_id": 8}, 1.0, False),
        ({"payment_count": CASE_PAYMENTS_MAX}, 1.0, False),
    ],
)
def test_alert_joins_a_case_that_is_the_same_open_fresh_and_not_full(
    changes: dict[str, object], later_h: float, joins: bool
) -> None:
    alert = rang(judged(card="card_a", at=AT))
    later = msgspec.structs.replace(alert, at=AT + timedelta(hours=later_h))
    assert is_joinable(case_file(**changes), later, SPEC) is joins


def test_opened_case_is_due_by_its_severity_and_by_the_hours_of_the_house() -> None:
    alert = rang(judged(card="card_a"))
    case = opened(case_file().id, [alert], AT, SPEC)
    assert (case.severity, case.due_at) == (Severity.MEDIUM, AT + timedelta(hours=SLA_H[Severity.MEDIUM]))
    quick = opened(case_file().id, [alert], AT, CaseSpec(sla_h={Severity.MEDIUM: 0.5}))
    assert quick.due_at == AT + timedelta(minutes=30)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2_000_000), st.floats(0, 1), st.booleans())))
def test_absorbed_alerts_only_make_a_case_more_severe_and_due_earlier(
    told: list[tuple[int, int, float, bool]],
) -> None:
    case = opened(case_file().id, [rang(judged(0, card="card_a"))], AT, SPEC)
    payments = merged({}, [rang(judged(0, card="card_a"))])
    for number, value, score, is_declined in told:
        tier = Tier.DECLINE if is_declined else Tier.REVIEW
        alert = rang(judged(number, card="card_a", value=value, score=score, tier=tier))
        payments = merged(payments, [alert])
        after = absorbed(case, list(payments.values()), [alert], AT, SPEC)
        assert after.severity.weight >= max(case.severity.weight, alert.severity.weight)
        assert after.due_at <= case.due_at
        assert after.payment_count == len(payments)
        case = after


def test_label_of_a_payment_that_is_there_changes_only_the_label() -> None:
    first = rang(judged(card="card_a", value=500))
    label = labelled_alert(
        labelled(judged(card="card_a"), is_fraud=True, source=LabelSource.DISPUTE), judged(), SPEC
    )
    assert label is not None
    (payment,) = merged(merged({}, [first]), [label]).values()
    assert payment == msgspec.structs.replace(first.payment, is_fraud=True)


def test_spec_refuses_unknown_fields_and_amounts_below_zero() -> None:
    for bad in (b'{"x": 1}', b'{"release_alone_max": -1}', b'{"fresh_h": 0}', b'{"worth": {"EUR": 0}}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(bad, type=CaseSpec)
    assert msgspec.json.decode(b'{"sla_h": {"high": 2}}', type=CaseSpec).sla_h == {Severity.HIGH: 2.0}
