"""What people read of an announcement, in Chinese and English, made of its kind and its numbers.

A notice without facts, as merchants see it, is told without numbers: those are of the whole house.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tongbao.routing.schema.notices import Notice, NoticeKind


class _Text(NamedTuple):
    """A sentence without its end, and what the numbers add to it; both by language."""

    zh: str
    en: str
    zh_numbers: str = ""
    en_numbers: str = ""


_RATES = ("，由 {before:.1%} 变为 {after:.1%}", ", from {before:.1%} to {after:.1%}")
_TECHNICAL = ("，技术故障率 {technical_rate:.1%}", ", {technical_rate:.1%} technical failures")
_TEXTS: Mapping[NoticeKind, _Text] = {
    NoticeKind.OPENED: _Text(
        "{where}因技术故障暂停", "{where} is out of traffic for technical failures", *_TECHNICAL
    ),
    NoticeKind.CLOSED: _Text("{where}已恢复", "{where} is in traffic again", *_TECHNICAL),
    NoticeKind.TOGETHER: _Text(
        "{where}与其他通道同时故障", "{where} fails together with others", "：{channels}", ": {channels}"
    ),
    NoticeKind.ACCEPTANCE_FELL: _Text("{where}的通过率下降", "the approval rate of {where} fell", *_RATES),
    NoticeKind.ACCEPTANCE_ROSE: _Text("{where}的通过率上升", "the approval rate of {where} rose", *_RATES),
}


def notice_text(notice: Notice, language: str) -> str:
    """Return an announcement in one sentence."""
    chinese = language.startswith("zh")
    text = _TEXTS[notice.kind]
    words = (text.zh if chinese else text.en).format(where=_where(notice, chinese=chinese))
    words = words[0].upper() + words[1:] + _numbers(notice, text.zh_numbers if chinese else text.en_numbers)
    return words + ("。" if chinese else ".")


def _numbers(notice: Notice, words: str) -> str:
    try:
        return words.format_map(notice.facts)
    except (KeyError, ValueError):
        # Without its numbers, or with those of another version, a notice is told as it is.
        return ""


def _where(notice: Notice, *, chinese: bool) -> str:
    parts = [
        (("通道 {}", "channel {}"), notice.channel),
        (("支付方式 {}", "method {}"), notice.method),
        (("发卡行 {}", "issuer {}"), notice.issuer),
    ]
    named = [names[0 if chinese else 1].format(value) for names, value in parts if value]
    return ("、" if chinese else ", ").join(named)
