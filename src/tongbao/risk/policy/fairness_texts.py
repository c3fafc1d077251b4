"""Groups of payments in words, in English and Chinese."""

from tongbao.decisions.policy.report_words import column
from tongbao.risk.schema.fairness import Segment

_SEGMENTS: dict[Segment, tuple[str, str]] = {
    Segment.CARD_COUNTRY: ("Country of the card", "发卡国家"),
    Segment.CUSTOMER: ("Customer", "客户"),
    Segment.AMOUNT: ("Amount", "金额"),
}
_GROUPS: dict[str, tuple[str, str]] = {
    "others": ("all others", "其他"),
    "unknown": ("not given", "未提供"),
    "known": ("seen before", "老客户"),
    "new": ("first payment", "新客户"),
    "below 20": ("below 20", "20 以下"),
    "20 to 100": ("20 to 100", "20 至 100"),
    "100 to 500": ("100 to 500", "100 至 500"),
    "500 and more": ("500 and more", "500 及以上"),
}


def segment_words(segment: Segment, language: str) -> str:
    """Return the name of a segment; raise InvalidRequest ``language_unknown``."""
    return _SEGMENTS[segment][column(language)]


def group_words(group: str, language: str) -> str:
    """Return the name of a group; a country is its code. Raises InvalidRequest ``language_unknown``."""
    at = column(language)
    return _GROUPS[group][at] if group in _GROUPS else group
