"""What the documentation states about the code is true."""

import re
from pathlib import Path

from tongbao.core.config import Settings
from tongbao.ledger.schema import Refusal

ROOT = Path(__file__).parent.parent


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


def test_relative_links_of_every_page_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
