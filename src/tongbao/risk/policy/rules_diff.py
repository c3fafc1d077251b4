"""What differs between two sets of rules, as values and in words.

Rules are compared by name. Their order and their comments do nothing and are not compared; a rule under a new name is
one removed and one added, for its share draws other payments.
"""

import enum
from typing import NamedTuple

from tongbao.risk.policy.rules import Rule, Rules
from tongbao.risk.policy.rules_tests import format_test
from tongbao.risk.policy.rules_text import rule_text


class Part(enum.StrEnum):
    """What of a rule may differ."""

    CONDITION = "condition"
    ACT = "act"
    BECAUSE = "because"
    OWNER = "owner"
    UNTIL = "until"
    SHARE = "share"
    DRAFT = "draft"
    TESTS = "tests"


class PartChange(NamedTuple):
    """One part before and after, as text; ``until`` is empty where there is none, ``share`` is in percent."""

    part: Part
    before: str
    after: str


class RuleChange(NamedTuple):
    """A rule that both have and that differs, with its changed parts in the order of ``Part``."""

    name: str
    parts: tuple[PartChange, ...]


class RulesDiff(NamedTuple):
    """Rules of the new set that the old has not, of the old that are gone, and those that changed; in written order."""

    added: tuple[Rule, ...]
    removed: tuple[Rule, ...]
    changed: tuple[RuleChange, ...]

    @property
    def is_empty(self) -> bool:
        """Whether both sets do the same."""
        return not (self.added or self.removed or self.changed)


def diff(old: Rules, new: Rules) -> RulesDiff:
    """Return what leads from ``old`` to ``new``."""
    before = {rule.name: rule for rule in old.rules}
    after = {rule.name: rule for rule in new.rules}
    changes = (
        RuleChange(name, _changes(before[name], rule)) for name, rule in after.items() if name in before
    )
    return RulesDiff(
        added=tuple(rule for name, rule in after.items() if name not in before),
        removed=tuple(rule for name, rule in before.items() if name not in after),
        changed=tuple(change for change in changes if change.parts),
    )


def sentences(found: RulesDiff, language: str) -> tuple[str, ...]:
    """Return a diff in words, a sentence a change, in Chinese where ``language`` begins with zh, else in English."""
    is_chinese = language.startswith("zh")
    words = _CHINESE if is_chinese else _ENGLISH
    said = [f"{words['added']}{rule_text(rule)}" for rule in found.added]
    said += [f"{words['removed']}{rule_text(rule)}" for rule in found.removed]
    for change in found.changed:
        parts = words["join"].join(_part_text(part, is_chinese=is_chinese) for part in change.parts)
        said.append(f"{words['changed'].format(name=change.name)}{parts}{words['end']}")
    return tuple(said) or (words["same"],)


_ENGLISH = {
    "added": "added – ",
    "removed": "removed – ",
    "changed": "changed – {name}: ",
    "join": "; ",
    "end": "",
    "same": "nothing that rules do has changed",
}
_CHINESE = {
    "added": "新增：",
    "removed": "删除：",
    "changed": "修改“{name}”：",
    "join": "；",
    "end": "。",
    "same": "规则的作用没有变化。",
}
_NAMES = {
    Part.CONDITION: ("condition", "条件"),
    Part.ACT: ("act", "动作"),
    Part.BECAUSE: ("reason", "理由"),
    Part.OWNER: ("owner", "负责人"),
    Part.UNTIL: ("end", "失效日"),
    Part.SHARE: ("share", "生效比例"),
}


def _part_text(change: PartChange, *, is_chinese: bool) -> str:
    if change.part is Part.DRAFT:
        if is_chinese:
            return "改为草稿，不再起作用" if change.after == "true" else "不再是草稿，开始起作用"
        return (
            "is a draft now and does nothing" if change.after == "true" else "is no draft any more and acts"
        )
    if change.part is Part.TESTS:
        return "其测试有改动" if is_chinese else "its tests differ"
    unit = "%" if change.part is Part.SHARE else ""
    none = "无" if is_chinese else "none"
    before, after = f"{change.before or none}{unit}", f"{change.after or none}{unit}"
    name = _NAMES[change.part][is_chinese]
    return f"{name}由 {before} 改为 {after}" if is_chinese else f"{name} from {before} to {after}"


def _changes(before: Rule, after: Rule) -> tuple[PartChange, ...]:
    pairs = zip(Part, _parts(before), _parts(after), strict=True)
    return tuple(PartChange(part, one, other) for part, one, other in pairs if one != other)


def _parts(rule: Rule) -> tuple[str, ...]:
    """Return the parts of a rule as text, in the order of ``Part``."""
    return (
        rule.when.text,
        rule.act.value,
        rule.because,
        rule.owner,
        "" if rule.until is None else rule.until.isoformat(),
        str(rule.share),
        "true" if rule.is_draft else "false",
        "\n".join(format_test(test) for test in rule.tests),
    )
