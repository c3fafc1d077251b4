"""Finding: the beginning of an id leads to whoever may know it, and only to addresses of this house."""

import pytest

from tongbao.web.ui.finding import BUILDERS_MAX, Finders, prefix_of


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("pi_01kavt00", "pi"),
        ("acct_12345", "acct"),
        ("tok_visa", "tok"),
        ("pi_", None),
        ("pi", None),
        ("pi_01 OR 1=1", None),
        ("<script>_alert", None),
        ("", None),
    ],
)
def test_prefix_is_read_from_what_has_the_form_of_an_id(text: str, prefix: str | None) -> None:
    assert prefix_of(text) == prefix


async def test_builders_are_asked_in_order_until_one_knows() -> None:
    finders = Finders()
    finders.add("acct", lambda reference, who: f"/merchants/{reference}" if who == "ops" else None)

    async def account(reference: str, who: object) -> str | None:
        return f"/accounts/{reference}" if reference.endswith("9") else None

    finders.add("acct", account)
    finders.add_words(lambda text, who: f"/search?q={text}")
    assert await finders.find(" acct_1111 ", "ops") == "/merchants/acct_1111"
    assert await finders.find("acct_9999", "shop") == "/accounts/acct_9999"
    assert await finders.find("acct_1111", "shop") == "/search?q=acct_1111"
    assert await finders.find("") is None
    assert finders.prefixes == ["acct"]


@pytest.mark.parametrize("address", ["//evil.test", "https://evil.test", "/\\evil.test", "javascript:x"])
async def test_address_of_another_house_is_never_given(address: str) -> None:
    finders = Finders()
    finders.add("pi", lambda reference, who: address)
    assert await finders.find("pi_0000") is None


def test_too_many_builders_of_one_kind_are_refused() -> None:
    finders = Finders()
    for _ in range(BUILDERS_MAX):
        finders.add("pi", lambda reference, who: None)
    with pytest.raises(ValueError, match="at most"):
        finders.add("pi", lambda reference, who: None)
