"""The report of a city in words, Chinese or English: what a person reads after a run."""

from collections.abc import Mapping, Sequence

from tongbao.core.amount_text import format_minor
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.city.schema import School, Statistics

LANGUAGES = ("zh", "en")
_LOCALES = {"zh": "zh_CN", "en": "en"}
_NONE = {"zh": "无", "en": "none"}
_TEXTS: dict[str, tuple[str, str]] = {
    "visits": ("到访", "Visits"),
    "payments": ("支付单", "Payments"),
    "approval": ("支付成功率", "Approved"),
    "taken": ("实收", "Taken"),
    "refunded": ("退款", "Refunded"),
    "disputes": ("争议", "Disputes"),
    "fraud": ("欺诈到访", "Visits of thieves"),
    "stopped": ("拦下的欺诈", "Fraud stopped"),
    "step_ups": ("加强验证", "Step-ups"),
    "false_step_ups": ("诚实顾客被要求验证", "Honest visits stepped up"),
    "false_blocks": ("诚实顾客被误拦", "Honest visits turned away"),
    "settled": ("已结算", "Paid out"),
    "batches": ("结算批次", "Settlement batches"),
    "breaks": ("对账差异", "Reconciliation breaks"),
    "in_transit": ("在途未对账", "Still to be reported"),
    "unresolved": ("结果未明", "Unresolved"),
}
_SCHOOLS: dict[School, tuple[str, str]] = {
    School.STOLEN_CARD: ("盗卡", "stolen cards"),
    School.TAKEOVER: ("盗号", "account takeover"),
    School.CARD_TESTING: ("试卡", "card testing"),
    School.COLLUSION: ("商户串通", "collusion"),
    School.REFUND_ABUSE: ("恶意退款", "refund abuse"),
}
_OF = ("{} 次中拦下 {} 次", "{1} of {0} stopped")


def report_lines(found: Statistics, language: str) -> tuple[tuple[str, str], ...]:
    """Return the lines of a report, each a name and a text; raise InvalidRequest ``locale_unknown``."""
    if language not in LANGUAGES:
        raise InvalidRequest("locale_unknown", f"a report is in {' or '.join(LANGUAGES)}")
    place = LANGUAGES.index(language)
    lines = (
        ("visits", f"{found.visits:,}"),
        ("payments", f"{found.payments:,}"),
        ("approval", _percent(found.approval_share, language)),
        ("taken", _money(found.taken_minor, language)),
        ("refunded", _money(found.refunded_minor, language)),
        ("disputes", f"{found.disputes:,}"),
        ("fraud", f"{found.fraud_visits:,} ({_percent(found.fraud_share, language)})"),
        ("stopped", _percent(found.fraud_stopped_share, language)),
    )
    schools = tuple(
        (f"  {_SCHOOLS[school][place]}", _OF[place].format(*found.by_school[school]))
        for school in School
        if school in found.by_school
    )
    rest = (
        ("step_ups", f"{found.step_ups:,}"),
        ("false_step_ups", _percent(found.false_step_up_share, language)),
        ("false_blocks", _percent(found.false_block_share, language)),
        ("settled", _money(found.settled_minor, language)),
        ("batches", f"{found.batches:,}"),
        ("breaks", f"{found.breaks:,}"),
        ("in_transit", f"{found.in_transit:,}"),
        ("unresolved", f"{found.unresolved:,}"),
    )
    return (*_named(lines, place), *schools, *_named(rest, place))


def _named(lines: Sequence[tuple[str, str]], place: int) -> tuple[tuple[str, str], ...]:
    return tuple((_TEXTS[key][place], text) for key, text in lines)


def _percent(share: float | None, language: str) -> str:
    return _NONE[language] if share is None else f"{share:.1%}"


def _money(sums: Mapping[str, int], language: str) -> str:
    if not sums:
        return _NONE[language]
    return ", ".join(
        format_minor(amount_minor, currency, _LOCALES[language]) for currency, amount_minor in sums.items()
    )
