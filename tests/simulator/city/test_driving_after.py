"""What comes after visits, and outcome files."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.city import running_file
from tongbao.simulator.city.driving_after import SOON, Due, after_of, verdict_of
from tongbao.simulator.city.running_file import CameTo, Measured, Outcomes
from tongbao.simulator.city.schema import CityTerms, Means, Outcome, School, Visit, Visited
from tongbao.simulator.city.statistics import statistics

NOON = datetime(2026, 9, 1, 4, tzinfo=UTC)
VISIT = Visit(
    number=7,
    at=NOON,
    shop=0,
    payer=1,
    amount_minor=1_000,
    currency="CNY",
    item="Tea",
    attempt_means=(Means.CARD,),
    card=None,
    device="phone",
    address="198.51.100.1",
    email="a@example.com",
    refund_after=timedelta(minutes=5),
    dispute_after=timedelta(days=3),
    label_after=timedelta(days=4),
)
PAID = Visited(number=7, outcome=Outcome.APPROVED, payment="pi_1", captured_minor=1_000)


def dues(visited: Visited, visit: Visit = VISIT) -> list[Due]:
    """What comes after a visit, without when."""
    return [each.due for each in after_of(visit, visited)]


@pytest.mark.parametrize(
    ("outcome", "captured_minor", "payment", "expected"),
    [
        (Outcome.APPROVED, 1_000, "pi_1", [Due.REFUND, Due.DISPUTE, Due.LABEL]),
        (Outcome.APPROVED, 0, "pi_1", [Due.CAPTURE, Due.REFUND, Due.DISPUTE, Due.LABEL]),
        (Outcome.UNRESOLVED, 0, "pi_1", [Due.LOOK]),
        (Outcome.HELD, 0, "pi_1", [Due.LOOK]),
        (Outcome.UNRESOLVED, 0, None, []),
        (Outcome.DECLINED, 0, "pi_1", []),
        (Outcome.BLOCKED, 0, "pi_1", []),
        (Outcome.ABANDONED, 0, "pi_1", []),
        (Outcome.REFUSED, 0, None, []),
    ],
)
def test_only_who_paid_gets_money_back_complains_or_is_reported(
    outcome: Outcome, captured_minor: int, payment: str | None, expected: list[Due]
) -> None:
    visited = Visited(number=7, outcome=outcome, payment=payment, captured_minor=captured_minor)
    assert dues(visited) == expected


def test_nothing_comes_before_the_capture() -> None:
    capture, *rest = after_of(VISIT, msgspec.structs.replace(PAID, captured_minor=0))
    assert capture.due is Due.CAPTURE
    assert all(each.delay >= capture.delay + SOON for each in rest)


def test_complaints_about_fraud_are_lost_and_others_half() -> None:
    found = [verdict_of(msgspec.structs.replace(VISIT, number=each)) for each in range(4)]
    assert found == ["won", "lost", "won", "lost"]
    stolen = msgspec.structs.replace(VISIT, number=2, school=School.STOLEN_CARD)
    assert verdict_of(stolen) == "lost"


def outcomes() -> Outcomes:
    """A city of one visit."""
    terms = CityTerms(seed=1, began_on=date(2026, 9, 1), days=1)
    measured = Measured(seconds=1.0, payments_per_s=1.0, lanes=1, is_balanced=True, books=3)
    came_to = CameTo(statistics=statistics([VISIT], [PAID]), measured=measured)
    return Outcomes(terms=terms, visited=(PAID,), came_to=came_to)


def test_outcomes_are_read_as_they_were_written() -> None:
    lines = list(running_file.written(outcomes()))
    assert len(lines) == 3
    assert running_file.read(lines) == outcomes()


def _changed(at: int, line: bytes) -> list[bytes]:
    lines = list(running_file.written(outcomes()))
    lines[at] = line
    return lines


@pytest.mark.parametrize(
    ("lines", "line", "says"),
    [
        ([], 1, "cut short"),
        (list(running_file.written(outcomes()))[:2], 3, "cut short"),
        (list(running_file.written(outcomes()))[1:], 1, "out of order"),
        (list(running_file.written(outcomes())) * 2, 4, "out of order"),
        (_changed(1, b"{}\n"), 2, "exactly one"),
        (_changed(1, b'{"visited": {"number": 1, "outc\n'), 2, ""),
        (_changed(1, b'{"visited": {"number": 1, "outcome": "lucky"}}\n'), 2, "lucky"),
        (_changed(1, b'{"weather": 1}\n'), 2, "weather"),
        (_changed(1, b"x" * 20_000), 2, "longer"),
    ],
)
def test_read_of_broken_outcomes_names_the_line(lines: list[bytes], line: int, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        running_file.read(lines)
    assert (caught.value.code, caught.value.facts["line"]) == ("city_outcomes_broken", line)
    assert says in caught.value.detail


def test_read_of_another_format_is_refused() -> None:
    first = running_file.written(outcomes()).__next__().replace(b'"version":1', b'"version":2')
    with pytest.raises(InvalidRequest, match="format 2"):
        running_file.read(_changed(0, first))
