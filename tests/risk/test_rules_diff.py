"""What differs between two sets of rules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.risk.policy.rules import Rules
from tongbao.risk.policy.rules_diff import Part, PartChange, diff, sentences
from tongbao.risk.policy.rules_text import parse
from tongbao.risk.policy.starter_rules import STARTER_RULES

OLD = parse(
    """\
caps: when card_count_1h > 5 then decline because "too many" owner mei
gone: when true then watch because "x" owner mei
tried: when true then watch because "x" owner mei draft
    test "always": -> matches
same: when hour < 6 then watch because "x" owner mei
"""
)
NEW = parse(
    """\
# A comment is no change, neither is the order.
same: when hour < 6 then watch because "x" owner mei
tried: when true then watch because "x" owner mei
caps: when card_count_1h > 6 then review because "many" owner ann until 2027-01-31 share 50 draft
come: when false then allow because "y" owner ann
"""
)


def test_diff_names_what_came_went_and_changed() -> None:
    found = diff(OLD, NEW)
    assert [rule.name for rule in found.added] == ["come"]
    assert [rule.name for rule in found.removed] == ["gone"]
    assert [change.name for change in found.changed] == ["tried", "caps"]


def test_diff_tells_every_part_before_and_after() -> None:
    tried, caps = diff(OLD, NEW).changed
    assert caps.parts == (
        PartChange(Part.CONDITION, "card_count_1h > 5", "card_count_1h > 6"),
        PartChange(Part.ACT, "decline", "review"),
        PartChange(Part.BECAUSE, "too many", "many"),
        PartChange(Part.OWNER, "mei", "ann"),
        PartChange(Part.UNTIL, "", "2027-01-31"),
        PartChange(Part.SHARE, "100", "50"),
        PartChange(Part.DRAFT, "false", "true"),
    )
    assert tried.parts == (
        PartChange(Part.DRAFT, "true", "false"),
        PartChange(Part.TESTS, 'test "always": -> matches', ""),
    )


def test_diff_ignores_how_a_condition_is_written() -> None:
    one = parse('a: when (card_count_1h>5) then watch because "x" owner mei share 100')
    other = parse('a: when card_count_1h > 5 then watch because "x" owner mei')
    assert diff(one, other).is_empty


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_sentences_are_one_a_change(language: str) -> None:
    said = sentences(diff(OLD, NEW), language)
    assert len(said) == 4
    assert 'when false then allow because "y" owner ann' in said[0]
    assert len(sentences(diff(OLD, OLD), language)) == 1


def test_sentences_speak_english() -> None:
    assert sentences(diff(OLD, NEW), "en")[2:] == (
        "changed – tried: is no draft any more and acts; its tests differ",
        "changed – caps: condition from card_count_1h > 5 to card_count_1h > 6; act from decline to review; "
        "reason from too many to many; owner from mei to ann; end from none to 2027-01-31; share from 100% to 50%; "
        "is a draft now and does nothing",
    )
    assert sentences(diff(OLD, OLD), "en") == ("nothing that rules do has changed",)


def test_sentences_speak_chinese() -> None:
    said = sentences(diff(OLD, NEW), "zh")
    assert said[1].startswith("删除：gone: when true")
    assert said[2] == "修改“tried”：不再是草稿，开始起作用；其测试有改动。"
    assert "失效日由 无 改为 2027-01-31；生效比例由 100% 改为 50%；改为草稿，不再起作用。" in said[3]


starter = parse(STARTER_RULES).rules
subsets = st.sets(st.sampled_from(range(len(starter)))).map(
    lambda places: Rules(tuple(starter[place] for place in places))
)


@settings(deadline=None)
@given(subsets, subsets)
def test_diff_turned_around_swaps_what_came_and_went(one: Rules, other: Rules) -> None:
    there, back = diff(one, other), diff(other, one)
    assert set(there.added) == set(back.removed)
    assert set(there.removed) == set(back.added)
    assert set(there.added) == set(other.rules) - set(one.rules)
    assert not there.changed
