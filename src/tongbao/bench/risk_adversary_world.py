"""A market of payers and card thieves, walked in quarters of a day, in which what is done today changes tomorrow.

A pair of card and device pays; the house sees the raw score of a noisy detector, the amount, and the history that its
own acts have made: how often the pair was approved, when it last passed a step-up, how often it was stopped since.
Thieves (``risk_adversary_gang``) give a card up after ``STOPS_MAX`` stops, when its limit is spent, or when its owner has
noticed. So a step-up on a cheap purchase can spare a dear one, which the cost of the single payment does not know of.

Money is in major units. What tiers do and cost is that of ``risk_policy_world``: the published comparison. Luck is drawn by
place and quarter before anybody decides, so all policies meet the same payers with the same scores and the same luck.
Simplified: every truth of a payment that went on, good or bad, is known ``DELAYS`` days later, evenly spread; payers who
were stopped come back as before; fraud is more frequent than in life, so that fewer payments tell something.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tongbao.bench.risk_adversary_gang import (
    STRATEGIES,
    WARM_UP_AMOUNT,
    WARM_UPS,
    Gang,
    income,
)
from tongbao.bench.risk_policy_world import (
    REVIEW_CAUGHT,
    REVIEW_LOST,
    STEP_UP_CAUGHT,
    STEP_UP_LOST,
    STEP_UP_LOST_NEW,
)
from tongbao.core.errors import InvalidRequest
from tongbao.risk.schema.tiers import Costs

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

QUARTERS = 4
DELAYS = (7, 30)
NEW_BELOW = 3
"""Approved payments of a pair, below which it counts as new."""
NEVER = -1_000
PAIRS_A_DAY_MAX = 1_000_000
"""Room between the pairs of worlds that begin on different days, so that one log may hold several."""
PAYS_A_DAY = 0.4
LEAVE_A_DAY = 0.03
"""Share of payers who leave in a day; each is followed by a new one."""
GOOD_MEDIAN, GOOD_SIGMA, THEFT_SIGMA = 35.0, 0.9, 0.2
SCORE_NEW, SCORE_THEFT = 0.3, 1.8
"""Mean raw score of new payers and of thieves, in standard deviations above that of known payers."""
SCORE_MIMICRY, SCORE_LARGE, SCORE_WARM_UP = -1.0, 0.3, -0.3
LIMIT_MEDIAN, LIMIT_SIGMA = 600.0, 0.6
STOPS_MAX = 3
STOLEN_DAYS_MAX = 30
MIMIC_AGE, MIMIC_APPROVED = 40, 12
"""History that a copied device seems to have."""
NOTICED_A_DAY = (0.06, 0.12)
"""Chance that the owner notices, once something passed: of small amounts, of others."""
SLOW_GAP, WARM_UP_GAP = 8, 4
"""Quarters between two purchases."""
_COSTS = Costs()
FEES = np.array([0.0, _COSTS.step_up_fee, _COSTS.review_fee, 0.0]) / 100


class Spec(NamedTuple):
    """How many payers there are at any time, cards stolen a day, and stolen cards in use at most."""

    payers: int = 1_200
    stolen_a_day: float = 4.0
    places: int = 250


class View(NamedTuple):
    """What the house knows of payments at the moment of deciding, arrays (n,).

    ``pair``: never used again for another; ``score``: higher is more suspicious; ``value`` in major units; ``age`` of the pair
    in days; ``approved``: payments so far; ``stops`` since the last approved; ``proven``: passed a step-up within 30 days;
    ``today``: attempts earlier this day.
    """

    pair: Codes
    score: Floats
    value: Floats
    age: Codes
    approved: Codes
    stops: Codes
    proven: Mask
    today: Codes


class Asked(NamedTuple):
    """Payments of one quarter: what is known, and what only the world knows.

    ``uniform`` in [0, 1) is for the policy's own draws. ``is_fraud`` (n,) and ``ends`` (n, 4), whether the payment would end in each tier,
    are there for what walks through a stream with delayed truth by itself; a policy does not look at them.
    """

    at_s: float
    view: View
    uniform: Floats
    is_fraud: Mask
    ends: Mask
    known_day: Codes
    rows: Codes


class Market:
    """The world of one seed, from ``first_day`` on."""

    def __init__(self, spec: Spec, seed: int, first_day: int = 0) -> None:
        if spec.payers < 1 or spec.places < 1 or spec.stolen_a_day < 0:
            raise InvalidRequest("market_invalid", "a market has payers, and places for stolen cards")
        self.gang, self.day, self.incomes = Gang(), first_day, list[tuple[int, int, float]]()
        self._spec, self._seed = spec, seed
        count = spec.payers + spec.places
        rng = np.random.default_rng((seed, 0))
        age = np.minimum(rng.geometric(LEAVE_A_DAY, count), 300)
        first_pair = first_day * PAIRS_A_DAY_MAX
        self._pair = np.arange(first_pair, first_pair + count)
        self._next_pair = first_pair + count
        self._born = first_day - age
        self._approved = rng.poisson(age * PAYS_A_DAY)
        self._stops = np.zeros(count, dtype=np.int64)
        self._proven = np.full(count, NEVER)
        self._today = np.zeros(count, dtype=np.int64)
        places = spec.places
        self._is_used, self._plan = np.zeros(places, dtype=bool), np.zeros(places, dtype=np.int64)
        self._passed, self._limit = np.zeros(places), np.zeros(places)
        self._warm, self._due, self._strikes = (np.zeros(places, dtype=np.int64) for _ in range(3))
        self._stolen_on = np.full(places, first_day)
        self._luck = np.random.default_rng(0)

    def open_day(self) -> None:
        """Begin a day: payers leave and come, owners notice, cards are stolen."""
        self._luck = np.random.default_rng((self._seed, 1, self.day))
        rng = np.random.default_rng((self._seed, 2, self.day))
        payers = self._spec.payers
        self._today[:] = 0
        self._renew(np.flatnonzero(rng.random(payers) < LEAVE_A_DAY))
        uniform = rng.random(self._spec.places)
        is_small = np.array([each.amount for each in STRATEGIES])[self._plan] < 50
        is_noticed = (self._passed > 0) & (uniform < np.where(is_small, *NOTICED_A_DAY))
        is_old = self.day - self._stolen_on >= STOLEN_DAYS_MAX
        for place in np.flatnonzero(self._is_used & (is_noticed | is_old)):
            self._end(int(place))
        free = np.flatnonzero(~self._is_used)
        for place in free[: rng.poisson(self._spec.stolen_a_day)]:
            self._steal(int(place), rng)

    def ask(self, quarter: int) -> Asked:
        """Return the payments that are tried in a quarter (0 to 3) of the day."""
        payers, count = self._spec.payers, len(self._pair)
        uniforms, normals = self._luck.random((5, count)), self._luck.standard_normal((2, count))
        is_due = np.concatenate(
            [
                uniforms[0, :payers] < PAYS_A_DAY / QUARTERS,
                self._is_used & (self._due <= self.day * QUARTERS + quarter),
            ]
        )
        rows = np.flatnonzero(is_due)
        is_fraud = rows >= payers
        value, mean = self._tried(rows, is_fraud, normals[0, rows])
        view = View(
            pair=self._pair[rows],
            score=mean + normals[1, rows],
            value=value,
            age=self.day - self._born[rows],
            approved=self._approved[rows],
            stops=self._stops[rows],
            proven=self.day - self._proven[rows] <= 30,
            today=self._today[rows],
        )
        low, high = DELAYS
        return Asked(
            at_s=(self.day + quarter / QUARTERS) * 86_400.0,
            view=view,
            uniform=uniforms[1, rows],
            is_fraud=is_fraud,
            ends=uniforms[2, rows, None] < chances_to_end(is_fraud, view.approved),
            known_day=self.day + low + (uniforms[3, rows] * (high - low + 1)).astype(np.int64),
            rows=rows,
        )

    def settle(self, asked: Asked, tier: Codes) -> Mask:
        """Let happen what the tiers (n,) do; return which payments were stopped (n,)."""
        rows = asked.rows
        is_stopped: Mask = asked.ends[np.arange(len(rows)), tier]
        went_on = rows[~is_stopped]
        self._today[rows] += 1
        self._approved[went_on] += 1
        self._stops[went_on] = 0
        self._stops[rows[is_stopped]] += 1
        self._proven[rows[~is_stopped & (tier == 1)]] = self.day
        stolen = np.flatnonzero(asked.is_fraud)
        for number in stolen.tolist():
            place = int(rows[number]) - self._spec.payers
            self._go_on(place, float(asked.view.value[number]), is_stopped=bool(is_stopped[number]))
        return is_stopped

    def _go_on(self, place: int, value: float, *, is_stopped: bool) -> None:
        plan = STRATEGIES[self._plan[place]]
        was_warming = self._warm[place] > 0
        gap = 1 if plan.is_burst else SLOW_GAP
        self._due[place] += WARM_UP_GAP if was_warming else gap
        if is_stopped:
            self._strikes[place] += 1
        else:
            self._passed[place] += value
            self._warm[place] -= was_warming
        if self._strikes[place] >= STOPS_MAX or self._passed[place] >= self._limit[place]:
            self._end(place)

    def _tried(self, rows: Codes, is_fraud: Mask, normal: Floats) -> tuple[Floats, Floats]:
        """Return the amounts that are tried, and the means of their scores, (n,)."""
        value = GOOD_MEDIAN * np.exp(GOOD_SIGMA * normal)
        mean = np.where(self._approved[rows] < NEW_BELOW, SCORE_NEW, 0.0)
        for number in np.flatnonzero(is_fraud).tolist():
            place = int(rows[number]) - self._spec.payers
            plan, is_warming = STRATEGIES[self._plan[place]], self._warm[place] > 0
            median = WARM_UP_AMOUNT if is_warming else plan.amount
            value[number] = median * np.exp(THEFT_SIGMA * normal[number])
            mean[number] = SCORE_THEFT + SCORE_MIMICRY * plan.is_mimic
            mean[number] += SCORE_WARM_UP if is_warming else SCORE_LARGE * (plan.amount > 200)
        return np.maximum(np.round(value, 2), 1.0), mean

    def _steal(self, place: int, rng: np.random.Generator) -> None:
        self._renew(np.array([self._spec.payers + place]))
        plan = self.gang.choose(rng)
        self._stolen_on[place] = self.day
        if STRATEGIES[plan].is_mimic:
            row = self._spec.payers + place
            self._born[row], self._approved[row] = self.day - MIMIC_AGE, MIMIC_APPROVED
        self._is_used[place], self._plan[place] = True, plan
        self._passed[place], self._strikes[place] = 0.0, 0
        self._limit[place] = LIMIT_MEDIAN * np.exp(LIMIT_SIGMA * rng.standard_normal())
        self._warm[place] = WARM_UPS if STRATEGIES[plan].is_warmed_up else 0
        self._due[place] = self.day * QUARTERS + int(rng.integers(QUARTERS))

    def _end(self, place: int) -> None:
        plan = int(self._plan[place])
        days = float(self.day - self._stolen_on[place])
        earned = income(STRATEGIES[plan], float(self._passed[place]), days)
        self.gang.learn(plan, earned)
        self.incomes.append((self.day, plan, earned))
        self._is_used[place] = False

    def _renew(self, rows: NDArray[np.intp]) -> None:
        """Give places to pairs that nobody has seen yet."""
        self._pair[rows] = np.arange(self._next_pair, self._next_pair + len(rows))
        self._next_pair += len(rows)
        self._born[rows] = self.day
        self._approved[rows] = self._stops[rows] = 0
        self._proven[rows] = NEVER


def chances_to_end(is_fraud: Mask, approved: Codes) -> Floats:
    """Return the chance (n, 4) that a payment ends in each tier."""
    lost = np.where(approved < NEW_BELOW, STEP_UP_LOST_NEW, STEP_UP_LOST)
    ends = np.zeros((len(lost), 4))
    ends[:, 1] = np.where(is_fraud, STEP_UP_CAUGHT, lost)
    ends[:, 2] = np.where(is_fraud, REVIEW_CAUGHT, REVIEW_LOST)
    ends[:, 3] = 1.0
    return ends


def harm_of(value: Floats) -> Floats:
    """Return what frauds of ``value`` (n,) cost that pass."""
    return value + _COSTS.fraud_fee / 100


def loss_of(value: Floats) -> Floats:
    """Return what good payments of ``value`` (n,) cost that are lost."""
    return value * _COSTS.margin_bps / 10_000 + _COSTS.goodwill / 100
