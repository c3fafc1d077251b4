"""What the pages about risk control print is what the code has, and what they say of rules is what reading them says."""

import json
import re
from collections.abc import Iterator

import pytest
from tests.error_reference import SOURCE
from tests.risk_reference import RULES_PAGE, parts
from tests.routing_reference import DOCS, Part, standing

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import rules_tests, rules_text
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.spec import RiskSpec
from tongbao.risk.service.compiling import checker

PAGES = (
    "concepts/risk.md",
    "howto/freeze-and-release.md",
    "howto/retrain-the-risk-model.md",
    "howto/review-held-payments.md",
    "howto/set-up-step-up.md",
    "howto/write-risk-rules.md",
    "reference/risk-features.md",
    "reference/risk-policy.md",
    "reference/risk-reasons.md",
    "reference/risk-rules.md",
)


@pytest.mark.parametrize("part", parts(), ids=lambda part: f"{part.page.stem}-{part.name}")
def test_printed_part_is_what_the_code_has(part: Part) -> None:
    assert standing(part) == part.text, "print it again: python -m tests.risk_reference"


def _text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def _blocks(language: str, page: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _text(page), re.DOTALL)


def test_every_feature_and_reason_stands_on_its_page_once() -> None:
    features = re.findall(r"^\| `(\w+)` \|", _text("reference/risk-features.md"), re.MULTILINE)
    assert sorted(features) == sorted(NAMES)
    codes = re.findall(r"^\| `(\w+)` \|", _text("reference/risk-reasons.md"), re.MULTILINE)
    assert codes == [code.value for code in ReasonCode]


@pytest.mark.parametrize("page", PAGES)
def test_rules_of_the_page_are_read_and_pass_their_own_tests(page: str) -> None:
    for block in _blocks("rules", page):
        rules_tests.check_tests(rules_text.parse(block))


def test_rules_that_are_explained_are_canonical() -> None:
    explained = [
        *_blocks("rules", "howto/write-risk-rules.md"),
        _blocks("rules", "reference/risk-rules.md")[0],
    ]
    assert len(explained) > 1
    for block in explained:
        assert rules_text.format_rules(rules_text.parse(block)) == block


def test_errors_of_the_page_are_what_reading_says() -> None:
    table = re.findall(
        r"^\| `(.+?)` \| `(rules_invalid: .+?)` \|$", RULES_PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert table
    for text, printed in table:
        with pytest.raises(InvalidRequest) as refused:
            rules_text.parse(text)
        assert f"{refused.value.code}: {refused.value.detail}" == printed


def test_specifications_of_the_pages_may_be_drafted() -> None:
    found = [json.loads(block) for page in PAGES for block in _blocks("json", page)]
    specs = [each.get("spec", each) for each in found if "object" not in each]
    specs = [each for each in specs if set(each) <= set(RiskSpec.__struct_fields__)]
    assert len(specs) > 1
    for spec in specs:
        checker()(spec)


def test_routes_of_the_pages_are_those_of_the_interface() -> None:
    told = {
        found
        for page in PAGES
        for found in re.findall(r"`(GET|POST) (/v2/(?:operations/)?risk/[^`?]*)`", _text(page))
    }
    assert told
    routes = list(_routes())
    unknown = [each for each in told if not any(re.fullmatch(route, " ".join(each)) for route in routes)]
    assert unknown == []


def _routes() -> Iterator[str]:
    """Yield a pattern for each route of both sides, read from where it is declared."""
    for path in sorted(SOURCE.glob("web/api/risk_*.py")):
        declared = re.findall(
            r'routes\.(get|post)\(\s*f"\{side\.path\}(/[^"]+)"', path.read_text(encoding="utf-8")
        )
        for method, route in declared:
            # A place in the path is written with two braces there; one brace is a name that a loop puts in.
            place = re.sub(r"\{\{\w+\}\}", "<place>", route)
            pattern = re.sub(r"\{\w+\}", r"\\w+", place).replace("<place>", r"\{\w+\}")
            yield rf"{method.upper()} /v2/(operations/)?risk{pattern}"
