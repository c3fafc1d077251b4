"""What a change of the settings of cases is: which fields differ, whether one person may make it, and words for both."""

from typing import NamedTuple

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy.case_opening import SLA_H
from tongbao.risk.policy.case_texts import SEVERITIES, column
from tongbao.risk.schema.case_settings import NOTE_CHARS_MAX
from tongbao.risk.schema.cases import ACTOR_CHARS_MAX, CaseSpec

FIELDS: dict[str, tuple[str, str]] = {
    "declined_value_min": ("Declined payments ring from", "拒绝付款告警起点"),
    "rules": ("Watched rules", "关注的规则"),
    "is_across_books": ("One case across merchants", "跨商户合并案件"),
    "fresh_h": ("A case takes in alerts for, h", "案件继续吸收告警，小时"),
    "sla_h": ("To be closed within, h", "结案时限，小时"),
    "release_alone_max": ("One person releases up to", "单人可放行上限"),
    "worth": ("Worth of currencies", "货币折算"),
}
_YES_NO = (("yes", "no"), ("是", "否"))


class Difference(NamedTuple):
    """A field that differs, in words: what it is, what it was, what it becomes."""

    field: str
    name: str
    before: str
    after: str


def check(spec: CaseSpec, note: str, actor: str) -> None:
    """Raise InvalidRequest ``case_settings_invalid`` for what cannot be kept; the struct's own bounds hold already."""
    for text, chars_max, what in ((note, NOTE_CHARS_MAX, "a note"), (actor, ACTOR_CHARS_MAX, "an actor")):
        if not 0 < len(text.strip()) <= len(text) <= chars_max or not text.isprintable():
            raise InvalidRequest("case_settings_invalid", f"{what} has 1 to {chars_max} visible characters")
    if len(set(spec.rules)) != len(spec.rules) or not all(each.isprintable() for each in spec.rules):
        raise InvalidRequest(
            "case_settings_invalid", "a rule is named once, in visible characters", field="rules"
        )
    if any(not (len(code) == 3 and code.isascii() and code.isupper()) for code in spec.worth):
        raise InvalidRequest(
            "case_settings_invalid", "a currency is three capitals, such as JPY", field="worth"
        )


def read(given: object) -> CaseSpec:
    """Return settings from plain data; raise InvalidRequest ``case_settings_invalid`` with the path of what is wrong."""
    try:
        return msgspec.convert(given, CaseSpec)
    except msgspec.ValidationError as error:
        raise InvalidRequest("case_settings_invalid", str(error)) from error


def needs_second(before: CaseSpec, after: CaseSpec) -> bool:
    """Return whether a second person has to agree: to whatever lets one person release more money than before.

    That is a greater amount, and any other worth of a currency, by which that amount is measured.
    """
    return after.release_alone_max > before.release_alone_max or after.worth != before.worth


def differences(before: CaseSpec, after: CaseSpec, language: str) -> list[Difference]:
    """Return what differs, in words; raise InvalidRequest ``language_unknown``."""
    at = column(language)
    return [
        Difference(
            name, words[at], said(name, getattr(before, name), at), said(name, getattr(after, name), at)
        )
        for name, words in FIELDS.items()
        if getattr(before, name) != getattr(after, name)
    ]


def said(name: str, value: object, at: int) -> str:
    """Return the value of a field as people read it; ``at``: 0 English, 1 Chinese."""
    if isinstance(value, bool):
        return _YES_NO[at][not value]
    if name in ("declined_value_min", "release_alone_max") and isinstance(value, int):
        return f"{value / 100:,.2f}"
    if name == "sla_h" and isinstance(value, dict):
        return ", ".join(
            f"{SEVERITIES[each][at]} {value.get(each, usual):g}" for each, usual in SLA_H.items()
        )
    if isinstance(value, dict):
        return ", ".join(f"{code} {worth:g}" for code, worth in sorted(value.items())) or "–"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "–"
    return f"{value:g}" if isinstance(value, float) else str(value)
