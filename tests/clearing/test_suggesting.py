"""Suggestions for breaks, and the words of reconciliation in both languages."""

import string
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from tongbao.clearing.policy import break_texts
from tongbao.clearing.policy.suggesting import Advice, Amounts, Suggestion, advise
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, Found, How, Leg

DAY = date(2026, 11, 2)
TODAY = date(2026, 11, 9)


def a_break(kind: BreakKind, number: int = 1, difference: int = 0, on: date = DAY) -> Break:
    at = datetime(2026, 11, 3, tzinfo=UTC)
    return Break(
        id=UUID(int=number),
        leg=Leg.CHANNEL,
        source="acquirer",
        found=Found(kind=kind, currency="EUR", difference_minor=difference),
        state=BreakState.OPEN,
        opened_on=on,
        opened_at=at,
        updated_at=at,
    )


def alone(kind: BreakKind, amounts: Amounts, difference: int = 0) -> Advice:
    found = a_break(kind, difference=difference)
    return advise([(found, amounts)], TODAY)[found.id]


@pytest.mark.parametrize(
    ("kind", "difference", "amounts", "suggestion"),
    [
        (BreakKind.EXPECTED, -100, Amounts(100, None, due_on=TODAY), Suggestion.WAIT),
        (BreakKind.MISSING, -100, Amounts(100, None), Suggestion.ASK_CHANNEL),
        (BreakKind.UNEXPECTED, 100, Amounts(None, 100, reference="pa_1"), Suggestion.INQUIRE),
        (BreakKind.UNEXPECTED, 100, Amounts(None, 100), Suggestion.ASK_WHO),
        (BreakKind.UNDER_AMOUNT, -1_980, Amounts(2_000, 20), Suggestion.MAJOR_UNITS),
        (BreakKind.OVER_AMOUNT, 198_000, Amounts(2_000, 200_000), Suggestion.MAJOR_UNITS),
        (BreakKind.UNDER_AMOUNT, -60, Amounts(2_000, 1_940, fee_minor=60), Suggestion.NET_FOR_GROSS),
        (BreakKind.UNDER_AMOUNT, -500, Amounts(2_000, 1_500), Suggestion.PARTIAL),
        (BreakKind.OVER_AMOUNT, 500, Amounts(2_000, 2_500), Suggestion.ASK_CHANNEL),
        (BreakKind.DUPLICATE, 100, Amounts(100, 100), Suggestion.RETURN_TWICE),
        (BreakKind.FEE_MISMATCH, 2, Amounts(100, 100, fee_minor=6), Suggestion.CHECK_PRICE),
        (BreakKind.STATEMENT_GAP, 0, Amounts(None, None), Suggestion.FETCH_STATEMENT),
        (BreakKind.RETURN_LATE, 100, Amounts(None, 100), Suggestion.CREDIT_BACK),
    ],
)
def test_advise_of_one_break_goes_by_its_kind_and_amounts(
    kind: BreakKind, difference: int, amounts: Amounts, suggestion: Suggestion
) -> None:
    assert alone(kind, amounts, difference).suggestion is suggestion


def test_advise_names_the_other_half_within_a_week_and_no_further() -> None:
    missing = a_break(BreakKind.MISSING, 1, -100)
    near = a_break(BreakKind.UNEXPECTED, 2, 100, DAY + timedelta(days=3))
    far = a_break(BreakKind.UNEXPECTED, 3, 100, DAY + timedelta(days=8))
    both = advise([(missing, Amounts(100, None)), (near, Amounts(None, 100))], TODAY)
    assert both[missing.id] == Advice(
        Suggestion.LOOKS_LIKE,
        {"source": "acquirer", "reference": "–", "days": "3", "other": near.reference},
    )
    apart = advise([(missing, Amounts(100, None)), (far, Amounts(None, 100))], TODAY)
    assert apart[missing.id].suggestion is Suggestion.ASK_CHANNEL


def test_advise_finds_two_amounts_that_were_confused() -> None:
    more, less = a_break(BreakKind.OVER_AMOUNT, 1, 300), a_break(BreakKind.UNDER_AMOUNT, 2, -300)
    found = advise([(more, Amounts(700, 1_000)), (less, Amounts(1_000, 700))], TODAY)
    assert [found[each.id].facts["other"] for each in (more, less)] == [less.reference, more.reference]


@pytest.mark.parametrize("language", break_texts.LANGUAGES)
def test_every_word_is_there_in_each_language_and_shows_only_its_facts(language: str) -> None:
    for table, keys in (
        (break_texts.KINDS, BreakKind),
        (break_texts.STATES, BreakState),
        (break_texts.LEGS, Leg),
        (break_texts.HOWS, How),
        (break_texts.SUGGESTIONS, Suggestion),
    ):
        assert set(table) == set(keys)
        assert all(break_texts.words(pair, language) for pair in table.values())
    for suggestion in Suggestion:
        fields = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name}
            for text in break_texts.SUGGESTIONS[suggestion]
        ]
        assert fields[0] == fields[1]
        assert "–" in break_texts.suggestion_text(suggestion, {}, language) or not fields[0]
