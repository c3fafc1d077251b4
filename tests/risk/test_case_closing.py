"""How cases are closed: labels, what becomes of held payments, when two people are needed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.risk.case_house import BOOK, case_file, payment, uid

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.case_closing import Closing, closing_of, named, needs_second
from tongbao.risk.schema.cases import CasePayment, CaseSpec, Disposal, Disposition, HeldAct, PaymentRef

FRAUD, GENUINE, INCONCLUSIVE = Disposition.FRAUD, Disposition.GENUINE, Disposition.INCONCLUSIVE
HELD, PASSED = payment(1), payment(2, is_held=False)
LABELLED = payment(3, is_held=False, is_fraud=True)


def closed(payments: list[CasePayment], disposition: Disposition, **fields: Any) -> Closing:
    disposal = Disposal(disposition=disposition, **fields)
    return closing_of(case_file(), payments, named(disposal, payments))


def ref(one: CasePayment) -> PaymentRef:
    return PaymentRef(one.book_id, one.subject_id)


def test_fraud_labels_every_payment_and_rejects_what_is_held() -> None:
    closing = closed([HELD, PASSED], FRAUD)
    assert closing.labels == {HELD.event_id: True, PASSED.event_id: True}
    assert (closing.release, closing.reject) == ((), (ref(HELD),))
    assert [(each.is_fraud, each.is_held, each.ruling) for each in closing.payments] == [
        (True, False, HeldAct.REJECT),
        (True, False, None),
    ]


def test_genuine_releases_what_is_held_and_leaves_labels_of_others_alone() -> None:
    closing = closed([HELD, PASSED, LABELLED], GENUINE)
    assert closing.labels == {HELD.event_id: False, PASSED.event_id: False}
    assert (closing.release, closing.reject) == ((ref(HELD),), ())


def test_chosen_payments_get_their_own_labels() -> None:
    other = payment(4)
    closing = closed([HELD, other, PASSED], FRAUD, fraud=(HELD.event_id,), genuine=(other.event_id,))
    assert closing.labels == {HELD.event_id: True, other.event_id: False}
    assert (closing.release, closing.reject) == ((ref(other),), (ref(HELD),))


def test_inconclusive_labels_nothing_and_does_with_held_ones_as_told() -> None:
    for act in HeldAct:
        closing = closed([HELD, PASSED], INCONCLUSIVE, on_held=act)
        assert closing.labels == {}
        assert (closing.release if act is HeldAct.RELEASE else closing.reject) == (ref(HELD),)
    assert closed([PASSED], INCONCLUSIVE).payments == ()


def test_of_two_looks_at_one_payment_the_stricter_counts() -> None:
    again = payment(4, subject_id=HELD.subject_id)
    closing = closed([HELD, again], FRAUD, fraud=(HELD.event_id,), genuine=(again.event_id,))
    assert (closing.release, closing.reject) == ((), (ref(HELD),))


def test_known_fraud_is_enough_for_a_case_of_fraud() -> None:
    assert closed([LABELLED], FRAUD).labels == {}


@pytest.mark.parametrize(
    ("payments", "disposition", "fields", "code"),
    [
        ([HELD], FRAUD, {"fraud": (uid(77),)}, "case_payment_unknown"),
        ([HELD], FRAUD, {"fraud": (HELD.event_id,), "genuine": (HELD.event_id,)}, "case_labels_contradict"),
        ([HELD], FRAUD, {"genuine": (HELD.event_id,)}, "case_disposition_contradicted"),
        ([HELD], GENUINE, {"fraud": (HELD.event_id,)}, "case_disposition_contradicted"),
        ([HELD], GENUINE, {"freeze": True}, "case_freeze_invalid"),
        ([HELD], INCONCLUSIVE, {}, "case_held_undecided"),
        ([HELD, PASSED], FRAUD, {"fraud": (PASSED.event_id,)}, "case_held_undecided"),
    ],
)
def test_disposal_that_makes_no_sense_is_refused(
    payments: list[CasePayment], disposition: Disposition, fields: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        closed(payments, disposition, **fields)
    assert refused.value.code == code


def test_freeze_without_an_entity_is_refused() -> None:
    disposal = named(Disposal(disposition=FRAUD, freeze=True), [HELD])
    with pytest.raises(InvalidRequest, match="case_freeze_invalid"):
        closing_of(case_file(entity=None), [HELD], disposal)


@pytest.mark.parametrize(
    ("disposition", "value", "fields", "second"),
    [
        (GENUINE, 50_000, {}, False),
        (GENUINE, 50_001, {}, True),
        (FRAUD, 10**9, {}, False),
        (FRAUD, 1, {"freeze": True}, True),
        (INCONCLUSIVE, 50_001, {"on_held": HeldAct.RELEASE}, True),
        (INCONCLUSIVE, 50_001, {"on_held": HeldAct.REJECT}, False),
    ],
)
def test_second_person_is_needed_to_release_much_or_to_freeze(
    disposition: Disposition, value: int, fields: dict[str, Any], second: bool
) -> None:
    payments = [payment(1, value=value), payment(2, value=50_000), payment(3, is_held=False, value=10**9)]
    disposal = named(Disposal(disposition=disposition, **fields), payments)
    closing = closing_of(case_file(), payments, disposal)
    assert needs_second(payments, disposal, closing, CaseSpec(release_alone_max=100_000)) is second


def test_limit_counts_currencies_by_their_worth() -> None:
    payments = [payment(value=100_000, currency="KWD")]
    disposal = named(Disposal(disposition=GENUINE), payments)
    closing = closing_of(case_file(), payments, disposal)
    assert not needs_second(payments, disposal, closing, CaseSpec())
    assert needs_second(payments, disposal, closing, CaseSpec(worth={"KWD": 3.0}))


@given(
    st.lists(st.tuples(st.booleans(), st.none() | st.booleans()), min_size=1, max_size=12),
    st.sampled_from(list(Disposition)),
    st.data(),
)
def test_every_held_payment_is_released_or_rejected_and_never_both(
    told: list[tuple[bool, bool | None]], disposition: Disposition, data: st.DataObject
) -> None:
    payments = [
        payment(number, is_held=is_held, is_fraud=label, book_id=BOOK + number % 2)
        for number, (is_held, label) in enumerate(told)
    ]
    held_act = data.draw(st.sampled_from(list(HeldAct)))
    try:
        closing = closed(payments, disposition, on_held=held_act)
    except InvalidRequest as error:
        assert error.code == "case_disposition_contradicted"  # noqa: PT017 - some draws make no sense
        return
    held = {ref(each) for each in payments if each.is_held}
    assert set(closing.release) | set(closing.reject) == held
    assert set(closing.release).isdisjoint(closing.reject)
    assert not any(each.is_held for each in closing.payments)
