"""What the documentation states about the code is true."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from tests.error_reference import PAGE, ROOMS, UNNAMED, page, raised

from tongbao.core.config import Settings
from tongbao.ledger.schema import Refusal

ROOT = Path(__file__).parent.parent
NEVER_RAISED = frozenset({"BooksBroken", "UnknownHold"})
"""Classes of the ledger that nothing raises: what they would tell is a finding of ``verify`` or a refusal."""


def test_settings_page_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text()
    for name, field in Settings.model_fields.items():
        default = "unset" if field.default is None else field.default
        assert f"| `TONGBAO_{name.upper()}` | `{default}` | {field.description} |" in page
    assert page.count("| `TONGBAO_") == len(Settings.model_fields)


def test_ledger_page_explains_every_refusal_in_order() -> None:
    page = (ROOT / "docs/concepts/ledger.md").read_text()
    table = page[page.index("## Refusals") : page.index("## When something breaks")]
    assert re.findall(r"`([a-z]+_[a-z_]+)`", table) == [refusal.value for refusal in Refusal]


def test_error_page_is_what_the_code_raises() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "print it again: python -m tests.error_reference"


def test_places_whose_error_code_cannot_be_read_are_known() -> None:
    assert raised()[1] == UNNAMED


@pytest.mark.parametrize("room", ROOMS[:6])
def test_error_page_misses_no_class_of_a_room(room: str) -> None:
    errors = importlib.import_module(f"tongbao.{room}.errors")
    defined = {
        kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    parents = {kind for kind in defined if any(kind in other.__mro__[1:] for other in defined)}
    missing = {kind.__name__ for kind in defined - parents - {type(each.error) for each in raised()[0]}}
    assert missing <= NEVER_RAISED


def test_every_error_that_can_be_read_has_a_code_of_plain_words() -> None:
    codes = {each.error.code for each in raised()[0]}
    assert {code for code in codes if not re.fullmatch(r"[a-z0-9_<>]+", code)} == set()
    assert {"resource_missing", "no_channel", "wallet_full", "card_data_not_allowed_here"} <= codes


def test_map_of_the_docs_names_every_page() -> None:
    listed = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"]({page})" not in listed] == []


def test_front_pages_tell_of_the_same_commands_and_pictures() -> None:
    english, chinese = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
    )
    for pattern in (r"^\| `(.+?)` \|", r"!\[.*?\]\((.+?)\)", r"^  ([a-z]+)/ "):
        assert re.findall(pattern, english, re.MULTILINE) == re.findall(pattern, chinese, re.MULTILINE)


def test_relative_links_of_every_page_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
