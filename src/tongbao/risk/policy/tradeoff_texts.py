"""A trade-off of tiers as rows of a table and in sentences, in English and Chinese; amounts in major units of the costs."""

from collections.abc import Iterable
from typing import NamedTuple

from tongbao.decisions.policy.report_words import column
from tongbao.risk.policy.prices import Budgets, Point, Prices

HEADER = (
    (
        "Point",
        "Stepped up",
        "Reviewed",
        "Reviews a day",
        "Declined",
        "Cost of fraud",
        "Cost of friction",
        "Both",
    ),
    ("点位", "加强验证", "人工审核", "每日审核量", "拒绝", "欺诈成本", "打扰成本", "合计"),
)
_TODAY = ("policy of today", "当前策略")
_PRICED = ("with these prices", "采用新影子价格")
_STEP = ("trade-off {number}", "权衡点 {number}")
_PRICES = (
    "A step-up priced at {step_up}, a review at {review}: {share} of payments stepped up, {reviews} reviews a day.",
    "验证影子价格 {step_up}，审核影子价格 {review}：加强验证 {share}，每日审核 {reviews} 笔。",
)
_UNMET = (
    "No price meets both: rules and lists alone send more payments there.",
    "任何价格都无法同时满足：规则和名单本身就会送去更多付款。",
)
_FREE = ("What is wanted is more than is used at no price.", "所给容量已高于零价格时的用量。")
_AGAINST = (
    "Against today that is {change} a payment, about {day} a day.",
    "与当前相比每笔付款 {change}，每天约 {day}。",
)


class Placed(NamedTuple):
    """What a table tells of: the front, today, and what the prices lead to (None: none were asked for)."""

    points: tuple[Point, ...]
    today: Point
    priced: Point | None
    payments_per_day: float


class Row(NamedTuple):
    """A row of the table; ``is_marked``: it is a policy, not a point of the front."""

    cells: tuple[str, ...]
    is_marked: bool


def table(placed: Placed, language: str) -> list[Row]:
    """Return the rows below ``HEADER``: policies first, then the front. Raises InvalidRequest ``language_unknown``."""
    at = column(language)
    marked = [(_TODAY[at], placed.today)]
    if placed.priced is not None:
        marked.append((_PRICED[at], placed.priced))
    front = [(_STEP[at].format(number=number), each) for number, each in enumerate(placed.points, 1)]
    rows = [Row(_cells(name, point, placed.payments_per_day), True) for name, point in marked]
    return rows + [Row(_cells(name, point, placed.payments_per_day), False) for name, point in front]


def header(language: str) -> tuple[str, ...]:
    """Return the names of the columns; raise InvalidRequest ``language_unknown``."""
    return HEADER[column(language)]


def sentences(placed: Placed, prices: Prices, budgets: Budgets, language: str) -> list[str]:
    """Return what prices for a capacity come to; raise InvalidRequest ``language_unknown``."""
    at = column(language)
    told = [
        _PRICES[at].format(
            step_up=_major(prices.step_up),
            review=_major(prices.review),
            share=_percent(prices.step_up_share),
            reviews=f"{prices.reviews_per_day:,.1f}",
        )
    ]
    if not prices.is_met:
        told.append(_UNMET[at])
    elif not prices.step_up and not prices.review and any(each is not None for each in budgets):
        told.append(_FREE[at])
    if placed.priced is not None:
        change = (placed.priced.cost - placed.today.cost) / 100
        day = change * placed.payments_per_day
        told.append(_AGAINST[at].format(change=_signed(change, 4), day=_signed(day, 2)))
    return told


def _cells(name: str, point: Point, payments_per_day: float) -> tuple[str, ...]:
    reviews = point.review_share * payments_per_day
    costs: Iterable[float] = (point.fraud_cost, point.friction_cost, point.cost)
    shares = (_percent(point.step_up_share), _percent(point.review_share))
    return (
        name,
        *shares,
        f"{reviews:,.1f}",
        _percent(point.decline_share),
        *(f"{cost / 100:,.4f}" for cost in costs),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _major(price: float) -> str:
    return f"{price / 100:,.4f}"


def _signed(value: float, places: int) -> str:
    return f"{value:+,.{places}f}".replace("-", "\u2212")
