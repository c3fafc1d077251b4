"""What the pages about routing print is what the code has, and what they say of rules is what reading them says."""

import re

import msgspec
import pytest
from tests.routing_reference import POLICY_PAGE, RULES_PAGE, Part, parts, standing

from tongbao.core.errors import InvalidRequest
from tongbao.routing.service.compiling import canonical_rules, compile_rules, compile_spec

CHANNELS = frozenset({"card_east", "card_west", "card_north"})
DOCS = POLICY_PAGE.parents[1]


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.name)
def test_printed_part_is_what_the_code_has(part: Part) -> None:
    assert standing(part) == part.text, "print it again: python -m tests.routing_reference"


def _blocks(language: str, page: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_rules_of_the_page_are_canonical() -> None:
    blocks = _blocks("rules", "howto/write-routing-rules.md")
    assert blocks
    for block in blocks:
        assert canonical_rules(compile_rules(block, CHANNELS)) == block


def test_errors_of_the_page_are_what_reading_says() -> None:
    table = re.findall(
        r"^\| `(.+?)` \| `(rules_invalid: .+?)` \|$", RULES_PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert table
    for text, printed in table:
        with pytest.raises(InvalidRequest) as refused:
            compile_rules(text, CHANNELS)
        assert f"{refused.value.code}: {refused.value.detail}" == printed


def test_specifications_of_the_pages_compile() -> None:
    blocks = _blocks("toml", "howto/route-payments.md") + _blocks("toml", "reference/routing-policy.md")
    specs = [each for block in blocks if "strategy" in (each := msgspec.toml.decode(block))]
    assert specs
    for spec in specs:
        compile_spec(spec, CHANNELS)
