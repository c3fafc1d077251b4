"""The words of the kit stand in both languages, take the same values in each, and hold no markup."""

import re
from pathlib import Path

import pytest

from tongbao.web.locale import ui as words
from tongbao.web.ui.kit import Kit

TEMPLATES = Path(words.__file__).parent.parent / "templates"


@pytest.mark.parametrize("key", sorted(words.TEXTS))
def test_text_stands_in_both_languages_with_the_same_values(key: str) -> None:
    english, chinese = words.TEXTS[key]
    assert english.strip()
    assert chinese.strip()
    assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", chinese))
    assert not re.search(r"[<>&]", english + chinese)


def test_every_key_that_templates_name_is_known() -> None:
    text = "".join(path.read_text() for path in (TEMPLATES / "ui").glob("*.html"))
    named = set(re.findall(r"ui\.(?:t|plural)\('(\w+)'", text))
    assert len(named) > 40
    assert {key for key in named if not key.endswith("_")} <= set(words.TEXTS)


@pytest.mark.parametrize(
    ("language", "number", "said"),
    [
        ("en", 1, "1 row"),
        ("en", 0, "0 rows"),
        ("en", 1200, "1,200 rows"),
        ("zh-CN", 1, "1 行"),
        ("zh-CN", 3, "3 行"),
    ],
)
def test_plural_follows_the_language(language: str, number: int, said: str) -> None:
    assert Kit(language).plural("rows", number) == said


def test_values_are_escaped_into_texts() -> None:
    assert Kit("en").t("copy_it", what="<b>") == "Copy &lt;b&gt;"
