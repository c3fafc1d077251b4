"""What scarce capacity costs: prices for a review and a step-up, so that budgets hold; and what friction buys. Pure numpy.

A budget (so many reviews a day, such a share stepped up) enters the choice of tiers as a price on top of the fee, its
Lagrange multiplier. For every price of reviews there is a least price of step-ups at which their budget holds; along
that line the use of reviews never grows with their price, for tiers are substitutes and both prices rise together. So
two nested bisections find the least pair. Raising prices in turns instead would end at the same pair, but after a war of
bids in tiny steps wherever both tiers want the same payment.

``front`` puts one price on both tiers and lets it fall from where nobody is bothered to zero. That gives the best
trade-offs between the share of payments bothered and the cost of fraud and friction, without the prices themselves.

Sources: Everett 1963 (Lagrange multipliers for allocation); Demange, Gale and Sotomayor 1986 (least prices of
substitutes). Cost: 350,000 payments 0.2 s.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.risk.policy.tiering import Floats, ManyRates, costs_of_many, terms_of
from tongbao.risk.schema.tiers import TIERS, Costs, Tier

PRICE_MAX = 1_000_000.0
PRICE_STEP = 0.01
"""Prices are told in hundredths of a hundredth, rounded up so that the budget still holds."""
PAYMENTS_MAX = 2_000_000
POINTS_MAX = 100
SCARCE = (Tier.STEP_UP, Tier.REVIEW)
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]


class Traffic(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Payments of the past: chance of fraud and value in hundredths (n,), rates, over how many days.

    ``allowed``: among which tiers the cheapest is sought, (n, 4) in the order of ``TIERS``; None: all. ``floor``: the place of
    the mildest tier that a payment may get, (n,): one whose cheapest is milder gets this one, whatever it costs, as
    ``tiering.weigh`` does; None: no floors.
    """

    chance: Floats
    value: Floats
    rates: ManyRates
    days: float
    allowed: Mask | None = None
    floor: Places | None = None


class Budgets(NamedTuple):
    """How much there is: reviews a day, and the share of payments that may be stepped up; None is no bound."""

    reviews_per_day: float | None = None
    step_up_share: float | None = None


class Prices(NamedTuple):
    """Prices in hundredths, what is used at them, and whether both budgets hold.

    They do not where rules send more payments to a tier than there is room; such payments answer to no price.
    """

    step_up: float
    review: float
    step_up_share: float
    reviews_per_day: float
    is_met: bool


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One trade-off: shares of payments, and costs in hundredths a payment, without prices.

    ``fraud_cost`` is what frauds that pass cost; ``friction_cost`` is everything else: fees and good payments lost.
    """

    price: float
    step_up_share: float
    review_share: float
    decline_share: float
    fraud_cost: float
    friction_cost: float

    @property
    def bothered_share(self) -> float:
        """The share stepped up or reviewed."""
        return self.step_up_share + self.review_share

    @property
    def cost(self) -> float:
        """The whole cost in hundredths a payment."""
        return self.fraud_cost + self.friction_cost


def solve(traffic: Traffic, costs: Costs, budgets: Budgets) -> Prices:
    """Return the least prices at which both budgets hold on ``traffic``.

    Raises InvalidRequest ``traffic_invalid`` and ``budget_invalid``, LimitExceeded ``traffic_too_long``.
    """
    table = _table(traffic, costs)
    most = _counts(budgets, traffic)
    demand = _Demand(table, traffic.floor)

    def step_up_price(review: float) -> float:
        return _least(lambda price: demand.step_ups(price, review) <= most[Tier.STEP_UP])

    review = _least(lambda price: demand.reviews(step_up_price(price), price) <= most[Tier.REVIEW])
    prices = {Tier.STEP_UP: step_up_price(review), Tier.REVIEW: review}
    used = np.bincount(_chosen(table, prices, traffic.floor), minlength=4)
    return Prices(
        step_up=prices[Tier.STEP_UP],
        review=prices[Tier.REVIEW],
        step_up_share=float(used[Tier.STEP_UP.strictness] / len(table)),
        reviews_per_day=float(used[Tier.REVIEW.strictness] / traffic.days),
        is_met=all(used[tier.strictness] <= most[tier] for tier in SCARCE),
    )


def front(traffic: Traffic, costs: Costs, points: int = 25) -> list[Point]:
    """Return at most ``points`` trade-offs, least bothered first: of any two one bothers less and the other costs less.

    Raises as ``solve``, InvalidRequest ``points_invalid`` for a count other than 2 to ``POINTS_MAX``.
    """
    if not 2 <= points <= POINTS_MAX:
        raise InvalidRequest("points_invalid", f"a front has 2 to {POINTS_MAX} points", points=points)
    table, leaks = _table(traffic, costs), _leaks(traffic, costs)
    # The gain of bothering somebody is the price from which on nobody does.
    with np.errstate(invalid="ignore"):  # where neither may be had there is no gain
        gain = np.minimum(table[:, 0], table[:, 3]) - np.minimum(table[:, 1], table[:, 2])
    gains = np.sort(gain[(gain > 0) & np.isfinite(gain)])[::-1]
    found: list[Point] = []
    for share in np.linspace(0, 1, points):
        rank = round(share * len(gains))
        price = float(gains[rank]) if rank < len(gains) else 0.0
        place = _chosen(table, {Tier.STEP_UP: price, Tier.REVIEW: price}, traffic.floor)
        point = _told(table, leaks, place, price)
        if not found or (point.bothered_share > found[-1].bothered_share and point.cost < found[-1].cost):
            found.append(point)
    return found


def at_prices(traffic: Traffic, costs: Costs, step_up_price: float, review_price: float) -> Point:
    """Return where a policy with these prices (hundredths) stands; ``price`` is the greater. Raises as ``solve``."""
    table = _table(traffic, costs)
    place = _chosen(table, {Tier.STEP_UP: step_up_price, Tier.REVIEW: review_price}, traffic.floor)
    return _told(table, _leaks(traffic, costs), place, max(step_up_price, review_price))


def _table(traffic: Traffic, costs: Costs) -> Floats:
    """Return expected costs without prices, (n, 4), infinite where a tier is not allowed."""
    count = len(traffic.chance)
    if count > PAYMENTS_MAX:
        raise LimitExceeded("traffic_too_long", f"{count} payments, more than {PAYMENTS_MAX}")
    sound = count > 0 and traffic.value.shape == traffic.chance.shape == (count,) and traffic.days > 0
    allowed = traffic.allowed
    if not sound or (allowed is not None and not (allowed.shape == (count, 4) and allowed.any(axis=1).all())):
        raise InvalidRequest("traffic_invalid", "prices need payments with a chance, a value and a tier each")
    floor = traffic.floor
    if floor is not None and not (floor.shape == (count,) and ((floor >= 0) & (floor < len(TIERS))).all()):
        raise InvalidRequest("traffic_invalid", "a floor is the place of a tier, one for each payment")
    table = costs_of_many(traffic.chance, traffic.value, traffic.rates, terms_of(costs))
    return table if allowed is None else np.where(allowed, table, np.inf)


def _counts(budgets: Budgets, traffic: Traffic) -> dict[Tier, int]:
    """Return how many payments of ``traffic`` each budget lets into its tier."""
    count = len(traffic.chance)
    reviews, share = budgets
    if (reviews is not None and not reviews >= 0) or (share is not None and not 0 <= share <= 1):
        raise InvalidRequest("budget_invalid", "a budget is a number of reviews a day, a share of step-ups")
    most = {Tier.STEP_UP: count, Tier.REVIEW: count}
    if share is not None:
        most[Tier.STEP_UP] = int(share * count)
    if reviews is not None:
        most[Tier.REVIEW] = int(min(reviews * traffic.days, count))
    return most


class _Demand:
    """How many payments use each scarce tier at which prices; what does not where both are free never will."""

    def __init__(self, table: Floats, floor: Places | None) -> None:
        is_bound = np.zeros(len(table), dtype=np.bool_) if floor is None else floor > 0
        self._bound = table[is_bound]
        self._floor = np.zeros(0, dtype=np.intp) if floor is None else floor[is_bound]
        open_ = table[~is_bound]
        wanting = open_[np.isin(open_.argmin(axis=1), [tier.strictness for tier in SCARCE])]
        self._free, self._step_up, self._review, self._decline = wanting.T

    def step_ups(self, step_up: float, review: float) -> int:
        """Return how many are stepped up; equal costs go to the tier that is less strict."""
        cost = self._step_up + step_up
        stricter = np.minimum(self._review + review, self._decline)
        wanted = np.count_nonzero((cost < self._free) & (cost <= stricter) & np.isfinite(cost))
        return int(wanted) + self._of_bound(Tier.STEP_UP, step_up, review)

    def reviews(self, step_up: float, review: float) -> int:
        """Return how many are reviewed."""
        cost = self._review + review
        laxer = np.minimum(self._free, self._step_up + step_up)
        wanted = np.count_nonzero((cost < laxer) & (cost <= self._decline))
        return int(wanted) + self._of_bound(Tier.REVIEW, step_up, review)

    def _of_bound(self, tier: Tier, step_up: float, review: float) -> int:
        """Return how many of the payments with a floor get ``tier``."""
        if not len(self._floor):
            return 0
        place = _chosen(self._bound, {Tier.STEP_UP: step_up, Tier.REVIEW: review}, self._floor)
        return int(np.count_nonzero(place == tier.strictness))


def _least(holds: Callable[[float], bool]) -> float:
    """Return the least price, in whole steps up to ``PRICE_MAX``, from which on a budget holds; the greatest if it never does."""
    if holds(0.0):
        return 0.0
    low, high = 0, round(PRICE_MAX / PRICE_STEP)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle * PRICE_STEP) else (middle, high)
    return high * PRICE_STEP


def _chosen(table: Floats, prices: dict[Tier, float], floor: Places | None) -> Places:
    priced = table.copy()
    for tier in SCARCE:
        priced[:, tier.strictness] += prices[tier]
    places: Places = priced.argmin(axis=1)
    return places if floor is None else np.maximum(places, floor)


def _leaks(traffic: Traffic, costs: Costs) -> Floats:
    """Return what fraud is expected to cost in each tier, (n, 4)."""
    harm = traffic.chance * (traffic.value + float(costs.fraud_fee))
    rates = traffic.rates
    shares = (np.ones(1), 1 - rates.step_up_caught, 1 - rates.review_caught, np.zeros(1))
    return np.stack([harm * share for share in shares], axis=1)


def _told(table: Floats, leaks: Floats, place: Places, price: float) -> Point:
    shares = np.bincount(place, minlength=4) / len(place)
    rows = np.arange(len(place))
    fraud_cost = float(leaks[rows, place].mean())
    return Point(
        price=price,
        step_up_share=float(shares[1]),
        review_share=float(shares[2]),
        decline_share=float(shares[3]),
        fraud_cost=fraud_cost,
        friction_cost=float(table[rows, place].mean()) - fraud_cost,
    )
