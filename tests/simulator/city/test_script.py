"""Scripts: a plan comes back from its lines as it was, and a broken file is told by its line."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import AppError, InvalidRequest
from tongbao.simulator.city import script
from tongbao.simulator.city.fitness import unfit_visit
from tongbao.simulator.city.planning import Plan, plan
from tongbao.simulator.city.schema import CityTerms

TERMS = CityTerms(seed=9, began_on=date(2026, 10, 1), days=3, payers=40, visits_per_day=60, fraud_share=0.1)
Line = dict[str, Any]


@pytest.fixture(scope="module")
def city() -> Plan:
    return plan(TERMS)


@pytest.fixture(scope="module")
def lines(city: Plan) -> list[bytes]:
    return list(script.written(TERMS, city))


def _first(lines: list[bytes], kind: str, after: int = 0) -> int:
    """Return where the first line of a kind stands, from an index on."""
    return next(at for at in range(after, len(lines)) if lines[at].startswith(f'{{"{kind}"'.encode()))


def _changed(lines: list[bytes], at: int, change: Callable[[Line], Any]) -> list[bytes]:
    line = json.loads(lines[at])
    change(line)
    return [*lines[:at], json.dumps(line).encode() + b"\n", *lines[at + 1 :]]


def _set(kind: str, values: Line) -> Callable[[Line], None]:
    return lambda line: line[kind].update(values)


def _refusal(lines: list[bytes]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        script.read(lines)
    return refused.value


def test_script_that_is_read_is_the_plan_that_was_written(city: Plan, lines: list[bytes]) -> None:
    found = script.read(iter(lines))
    assert (found.terms, found.shops, found.troubles) == (TERMS, city.shops, city.troubles)
    assert list(found.days()) == list(city.days())
    assert list(script.written(found.terms, found)) == lines


def test_script_says_what_it_is_in_its_first_line_and_how_long_in_its_last(lines: list[bytes]) -> None:
    head, end = json.loads(lines[0]), json.loads(lines[-1])
    assert (head["city"]["version"], head["city"]["terms"]["seed"]) == (script.VERSION, 9)
    assert end == {"end": {"visits": sum(line.startswith(b'{"visit"') for line in lines)}}


def test_script_with_instants_of_another_zone_means_the_same(city: Plan, lines: list[bytes]) -> None:
    at = _first(lines, "visit")
    told = datetime.fromisoformat(json.loads(lines[at])["visit"]["at"])
    local = told.astimezone(msgspec.json.decode(b'"2026-01-01T00:00:00+08:00"', type=datetime).tzinfo)
    found = script.read(_changed(lines, at, _set("visit", {"at": local.isoformat()})))
    assert list(found.days()) == list(city.days())
    assert next(found.days())[1][0].at.tzinfo is UTC


def _read(lines: list[bytes]) -> tuple[script.Script | None, str]:
    """Return the script, or the code of its refusal."""
    try:
        return script.read(lines), ""
    except AppError as refused:
        return None, refused.code


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("visit", {"amount_minor": -5}, "amount_minor is 1 to"),
        ("visit", {"amount_minor": 0}, "amount_minor is 1 to"),
        ("visit", {"amount_minor": 10.5}, "amount_minor"),
        ("visit", {"amount_minor": 10**13}, "amount_minor is 1 to"),
        ("visit", {"amount_minor": "ten"}, "amount_minor"),
        ("visit", {"colour": "red"}, "colour"),
        ("visit", {"shop": 99}, "shop 99 is not in the script"),
        ("visit", {"shop": -1}, "shop -1 is not in the script"),
        ("visit", {"currency": "KWD"}, "not KWD"),
        ("visit", {"at": "2026-10-01T10:00:00"}, "time zone"),
        ("visit", {"at": "2026-12-24T10:00:00Z"}, "is not on the day"),
        ("visit", {"at": "yesterday"}, "at"),
        ("visit", {"attempt_means": []}, "attempt_means"),
        ("visit", {"attempt_means": ["card", "card"]}, "attempt_means"),
        ("visit", {"attempt_means": ["gold"]}, "attempt_means"),
        ("visit", {"attempt_means": ["card"], "card": None}, "a card is to be tried"),
        ("visit", {"capture_share": 0}, "capture_share"),
        ("visit", {"refund_share": 1.5}, "refund_share"),
        ("visit", {"refund_after": "-P1D"}, "what comes later"),
        ("visit", {"dispute_after": "P500D"}, "what comes later"),
        ("visit", {"school": "charm"}, "school"),
        ("visit", {"number": -1}, "not negative"),
        ("visit", {"payer": -3}, "not negative"),
        ("visit", {"item": "x" * 300}, "longer than 250"),
        ("visit", {"item": "x" * 20_000}, "longer than 16384 bytes"),
        ("day", {"sky": "purple"}, "sky"),
        ("day", {"on": "2026-13-01"}, "on"),
        ("day", {"wind": 3}, "wind"),
        ("shop", {"number": 7}, "shop 7 where shop 0 is next"),
        ("shop", {"currency": "ABC"}, "ISO 4217"),
        ("shop", {"hours": [[0, 60]]}, "seven weekdays"),
        ("shop", {"hours": [[600, 300]] * 7}, "seven weekdays"),
        ("shop", {"hours": [[0, 1441]] * 7}, "seven weekdays"),
        ("shop", {"ticket_minor": 0}, "ticket"),
        ("shop", {"kind": "bank"}, "kind"),
        ("shop", {"goods": []}, "goods"),
        ("city", {"owner": "me"}, "owner"),
        ("city", {"terms": {"seed": 1, "began_on": "2026-10-01", "days": 0}}, "days is 1 to"),
        ("city", {"terms": {"seed": 1, "days": 3}}, "began_on"),
        ("end", {"visits": 1}, "which counts 1"),
    ],
)
def test_script_with_a_broken_line_is_refused_by_its_line(
    lines: list[bytes], kind: str, values: Line, says: str
) -> None:
    at = _first(lines, kind)
    refused = _refusal(_changed(lines, at, _set(kind, values)))
    assert (refused.code, refused.facts["line"]) == ("city_script_broken", at + 1)
    assert says in refused.detail


def test_script_with_a_trouble_that_ends_before_it_begins_is_refused(city: Plan) -> None:
    found = list(script.written(TERMS, plan(msgspec.structs.replace(TERMS, days=20))))
    at = _first(found, "trouble")
    for change in ({"ends_at": "2026-09-01T00:00:00Z"}, {"begins_at": "2026-10-01T00:00:00"}):
        assert _refusal(_changed(found, at, _set("trouble", change))).facts["line"] == at + 1


def test_script_of_another_version_is_refused_as_such(lines: list[bytes]) -> None:
    refused = _refusal(_changed(lines, 0, _set("city", {"version": 2, "mayor": "somebody"})))
    assert refused.code == "city_script_version"
    assert "version 2; this program reads version 1" in refused.detail


def test_script_that_was_cut_short_is_refused_wherever_it_was_cut(lines: list[bytes]) -> None:
    for kept in (0, 1, 5, len(lines) // 2, len(lines) - 1):
        refused = _refusal(lines[:kept])
        assert (refused.code, refused.facts["line"]) == ("city_script_broken", kept + 1)
        assert "cut short" in refused.detail
    halved = [*lines[:30], lines[30][:-20]]
    assert _refusal(halved).facts["line"] == 31


def test_script_out_of_order_is_refused_by_its_line(lines: list[bytes]) -> None:
    visit = _first(lines, "visit")
    swapped = [*lines[:visit], lines[visit + 1], lines[visit], *lines[visit + 2 :]]
    assert _refusal(swapped).facts["line"] == visit + 2
    doubled = [*lines[: visit + 1], lines[visit], *lines[visit + 1 :]]
    assert "out of order" in _refusal(doubled).detail
    day = _first(lines, "day")
    again = [*lines[: day + 1], lines[day], *lines[day + 1 :]]
    assert "out of order" in _refusal(again).detail
    early = [*lines[:day], *lines[visit : visit + 1], *lines[day:]]
    assert "before the first day" in _refusal(early).detail


def test_script_with_lines_where_they_do_not_belong_is_refused(lines: list[bytes]) -> None:
    day = _first(lines, "day")
    assert "begins with the line of its city" in _refusal(lines[1:]).detail
    assert "a second header" in _refusal([lines[0], *lines]).detail
    assert "a shop after" in _refusal([*lines[: day + 1], lines[1], *lines[day + 1 :]]).detail
    assert "after the end" in _refusal([*lines, lines[-1]]).detail
    assert "one of city, shop" in _refusal([lines[0], b"{}\n", *lines[1:]]).detail
    assert _refusal([lines[0], b"\n", *lines[1:]]).facts["line"] == 2


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_script_with_any_byte_changed_is_read_or_refused_as_broken(data: st.DataObject) -> None:
    acted = plan(msgspec.structs.replace(TERMS, days=1, visits_per_day=8, payers=5, shops=2))
    whole = list(script.written(TERMS, acted))
    at = data.draw(st.integers(0, len(whole) - 1))
    where = data.draw(st.integers(0, len(whole[at]) - 1))
    changed = whole[at][:where] + data.draw(st.binary(max_size=3)) + whole[at][where + 1 :]
    found, code = _read([*whole[:at], changed, *whole[at + 1 :]])
    if found is None:
        assert code in {"city_script_broken", "city_script_version"}
    else:
        assert list(script.read(script.written(found.terms, found)).days()) == list(found.days())


def test_unfit_tells_of_a_visit_far_outside_time(city: Plan) -> None:
    visit = next(city.days())[1][0]
    assert unfit_visit(visit) is None
    assert unfit_visit(msgspec.structs.replace(visit, at=visit.at + timedelta(days=90_000))) is not None
