"""Forms: what was typed stays, what is wrong is said beside it, and nothing raises."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.web.ui.forms import Form
from tongbao.web.ui.kit import Kit

ENGLISH, CHINESE = Kit("en"), Kit("zh-CN")


def test_good_entries_are_read_as_their_types() -> None:
    sent = {
        "name": "  Lin\x07  ",
        "email": "lin@example.test",
        "fee": "1,234.50",
        "count": "12",
        "kind": "fast",
        "from": "2026-11-01",
        "to": "2026-11-30",
        "on": "1",
    }
    form = Form(sent, ENGLISH)
    assert form.text("name") == "Lin"
    assert form.email("email") == "lin@example.test"
    assert form.amount("fee", "CNY") == 123450
    assert form.whole("count", 1, 12) == 12
    assert form.choice("kind", {"fast", "slow"}) == "fast"
    assert form.days() == (date(2026, 11, 1), date(2026, 11, 30))
    assert (form.checked("on"), form.checked("off")) == (True, False)
    assert form.errors == {}


@pytest.mark.parametrize(
    ("act", "value", "said"),
    [
        (lambda form: form.text("x"), " ", "This is needed."),
        (lambda form: form.text("x", most=3), "abcd", "At most 3 characters."),
        (lambda form: form.text("x", least=3), "ab", "At least 3 characters."),
        (lambda form: form.email("x"), "a@b", "This is not an e-mail address."),
        (lambda form: form.choice("x", ("a",)), "b", "Choose one of the list."),
        (lambda form: form.whole("x"), "1.5", "A whole number is needed."),
        (lambda form: form.whole("x"), "9" * 30, "A whole number is needed."),
        (lambda form: form.whole("x", 3), "2", "Not below 3."),
        (lambda form: form.whole("x", 0, 3), "4", "Not above 3."),
        (lambda form: form.amount("x", "CNY"), "abc", "This is not an amount. Example: 1234.56."),
        (lambda form: form.amount("x", "CNY"), "1.234", "CNY has 2 decimals."),
        (lambda form: form.amount("x", "JPY"), "1.2", "JPY has 0 decimals."),
        (lambda form: form.amount("x", "CNY", least=100), "0.99", "Not below ¥1.00."),
        (lambda form: form.amount("x", "CNY", most=100), "1.01", "Not above ¥1.00."),
        (lambda form: form.day("x"), "2026-02-30", "This is not a day. Example: 2026-11-30."),
        (lambda form: form.secret("x", most=3), "abcd", "At most 3 characters."),
    ],
)
def test_wrong_entry_is_told_beside_its_field(act: object, value: str, said: str) -> None:
    form = Form({"x": value}, ENGLISH)
    assert not act(form)  # type: ignore[operator]
    assert form.error("x") == said
    assert form.error("y") == ""


def test_range_that_ends_before_it_begins_is_told_at_its_beginning() -> None:
    form = Form({"from": "2026-11-30", "to": "2026-11-01"}, CHINESE)
    assert form.days() is None
    assert form.error("from") == "结束日期早于开始日期。"


def test_what_was_entered_stays_unless_it_is_secret() -> None:
    form = Form({"name": "<b>", "password": "secret"}, ENGLISH)
    assert form.secret("password") == "secret"
    assert (form["name"], form["password"], form["missing"]) == ("<b>", "", "")


def test_first_error_of_a_field_stays() -> None:
    form = Form({}, ENGLISH)
    form.text("name")
    form.wrong("name", ENGLISH.t("e_choice"))
    assert form.error("name") == "This is needed."


@given(st.text(max_size=80))
def test_nothing_that_is_typed_raises(typed: str) -> None:
    form = Form({"x": typed}, ENGLISH)
    for read in (form.text, form.secret, form.email, form.whole, form.day):
        read("x")
    form.amount("x", "CNY")
    form.amount("x", "JPY")
    form.choice("x", ())
