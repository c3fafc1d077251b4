"""The words of the wallet stand in both languages, and its pure views count as people do."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tongbao.payments.schema.complaints import ComplaintCause, ComplaintState
from tongbao.payments.schema.methods import MandateState
from tongbao.payments.schema.standing import Standing
from tongbao.web.locale import wallet as words
from tongbao.web.ui.kit import Kit
from tongbao.web.wallet import about, bills_view, kinds
from tongbao.web.wallet.bills_view import Bill, Month
from tongbao.web.wallet.code import grouped, how_of

TEMPLATES = Path(words.__file__).parent.parent / "templates" / "wallet"
NOW = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize("key", sorted(words.TEXTS))
def test_text_stands_in_both_languages_with_the_same_values(key: str) -> None:
    english, chinese = words.TEXTS[key]
    assert english.strip()
    assert chinese.strip()
    assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", chinese))
    assert not re.search(r"[<>&]", english + chinese)


def test_every_key_that_templates_name_is_known() -> None:
    named = set(
        re.findall(r"\bw\('(\w+)'[,)]", "".join(path.read_text() for path in TEMPLATES.glob("*.html")))
    )
    assert len(named) > 60
    assert named <= set(words.TEXTS)


def test_every_value_that_a_page_puts_into_words_has_some() -> None:
    composed = {
        *(f"kind_{kind}" for kind in kinds.KINDS),
        *(f"what_{what}" for what in (*bills_view.WHAT.values(), "moved")),
        *(f"standing_{standing}" for standing in Standing),
        *(f"used_{how_of(standing)}{end}" for standing in Standing for end in ("", "_line")),
        *(f"keep_{what}{end}" for what in about.KEPT for end in ("", "_for", "_long")),
        *(f"go_{key}{end}" for key, _, _ in about.PLACES for end in ("", "_line")),
        *(f"p_fill_{why}" for why in ("declined", "prove", "unknown", "busy")),
        *(f"p_{field}" for field in ("number", "expiry", "cvc", "holder")),
        *(f"cause_{cause}{end}" for cause in ComplaintCause for end in ("", "_line")),
        *(f"complaint_{state}" for state in ComplaintState),
        *(f"complaint_home_{state}" for state in ComplaintState if state is not ComplaintState.WITHDRAWN),
        *(f"p_complaint_{why}" for why in ("not_paid", "open", "disputed", "refunded", "repeated", "late")),
        *(f"is_{state}" for state in MandateState if state is not MandateState.INACTIVE),
        *(f"{act}_mandate{end}" for act in ("pause", "resume") for end in ("", "_line")),
        *(f"term_{end}" for end in ("each", "until", "none")),
        *(f"term_{part}{period}" for part in ("", "count_") for period in ("day", "week", "month", "year")),
    }
    assert composed <= set(words.TEXTS)


@pytest.mark.parametrize(
    ("mcc", "kind"),
    [
        ("5812", kinds.FOOD),
        ("5411", kinds.GROCERIES),
        ("4111", kinds.GOING),
        ("3001", kinds.TRAVEL),
        ("7011", kinds.TRAVEL),
        ("4814", kinds.HOME),
        ("5912", kinds.HEALTH),
        ("7832", kinds.FUN),
        ("5999", kinds.SHOPPING),
        ("9999", kinds.OTHER),
        ("", kinds.OTHER),
        ("58１2", kinds.OTHER),
        ("58123", kinds.OTHER),
    ],
)
def test_shop_is_of_the_kind_of_its_category(mcc: str, kind: str) -> None:
    assert kinds.kind_of(mcc) == kind


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2026-12", Month(2026, 12)),
        ("2026-1", Month(2026, 1)),
        ("2025-02", Month(2025, 2)),
        ("2027-01", Month(2026, 12)),
        ("2020-01", Month(2026, 12)),
        ("2026-00", Month(2026, 12)),
        ("2026-", Month(2026, 12)),
        ("²026-01", Month(2026, 12)),
    ],
)
def test_month_of_an_address_is_one_in_reach_or_this_one(text: str, month: Month) -> None:
    assert Month.parse(text, NOW) == month


def test_months_follow_each_other_over_the_year() -> None:
    assert Month(2026, 12).moved(1) == Month(2027, 1)
    assert Month(2026, 1).moved(-1) == Month(2025, 12)
    assert Month(2026, 2).moved(1).first - Month(2026, 2).first == timedelta(days=28)


def bill(minor: int, what: str = "paid", day: int = 3, kind: str = "food", shop: str = "Noodles") -> Bill:
    at = datetime(2026, 12, day, 12, tzinfo=UTC)
    return Bill("pa_1", what, shop, kind, "Order 7", minor, "CNY", at)


def test_what_came_back_counts_against_what_was_spent_and_top_ups_do_not() -> None:
    bills = [bill(-1_000), bill(250, "refunded"), bill(5_000, "topped_up", kind="", shop="")]
    assert bills_view.spent_minor(bills) == 750
    assert bills_view.in_minor(bills) == 5_000
    assert bills_view.spent_minor([bill(250, "refunded")]) == 0
    assert [len(day.bills) for day in bills_view.by_day([*bills, bill(-1, day=2)])] == [3, 1]


@pytest.mark.parametrize(
    ("word", "kind", "count"),
    [("", "", 2), ("NOOD", "", 1), ("order", "", 2), ("¥10.00", "", 1), ("", "fun", 1), ("nood", "fun", 0)],
)
def test_bills_are_found_by_shop_note_amount_and_kind(word: str, kind: str, count: int) -> None:
    bills = [bill(-1_000), bill(-777, kind="fun", shop="Books")]
    assert len(bills_view.narrowed(bills, word, kind)) == count


def test_drawings_of_a_month_say_the_same_in_numbers() -> None:
    ui, names = Kit("en"), {kind: kind for kind in kinds.KINDS}
    bills = [bill(-1_000), bill(-500, kind="fun"), bill(500, "refunded", kind="fun")]
    river = bills_view.river(bills, Month(2026, 12), ui, ("a", "b", "c"))
    assert river.rows[2] == ("12-03", "¥10.00")
    sums = bills_view.sums(bills, names, ui, ("a", "b", "c"))
    assert sums is not None
    assert sums.rows == (("food", "¥10.00"),)
    assert bills_view.sums([], names, ui, ("a", "b", "c")) is None


def test_text_of_a_code_is_read_in_groups_of_four() -> None:
    assert str(grouped("TB1ABCDEF")) == "<span>TB1A</span> <span>BCDE</span> <span>F</span>"
