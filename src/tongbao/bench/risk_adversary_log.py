"""What the house remembers of its payments, what it may know of them on a day, and the chance of fraud learned from that.

All policies but the random one share this chance: a logistic regression on raw score, amount and history, so that none
wins by seeing more than the others. It is fitted by Newton steps with a weak pull to zero. Truth counts from its day on;
what a step-up or review stopped counts as fraud by the share that the known rates give it, for nobody tells; what was
declined or is not known yet is left out, which does not bias, for both depend on nothing but what the model sees.
"""

from typing import NamedTuple

import numpy as np

from tongbao.bench.risk_adversary_world import (
    FEES,
    NEW_BELOW,
    Asked,
    Codes,
    Floats,
    Mask,
    View,
    chances_to_end,
    harm_of,
    loss_of,
)

PULL = 1.0
NEWTON_STEPS = 8
LOG_ODDS_MAX = 9.0
WINDOW_DAYS = 120
"""Days of payments that are learned from."""


def features_of(view: View) -> Floats:
    """Return what is learned from, (n, 13): constant, score, amount, history and a few products, all of size one."""
    score, size = view.score, np.log(view.value) - 3.5
    is_new = (view.approved < NEW_BELOW).astype(np.float64)
    stops, today = np.minimum(view.stops, 3), np.minimum(view.today, 4)
    columns = (
        np.ones(len(score)),
        score,
        score**2 / 4,
        size,
        size**2,
        is_new,
        np.log1p(view.approved) / 2,
        view.proven,
        stops,
        today,
        view.age < 2,
        score * is_new,
        size * is_new,
    )
    return np.column_stack(columns).astype(np.float64)


class Batch(NamedTuple):
    """Payments in order of time, arrays (n,) but ``features``; ``truth`` is 1 fraud, 0 good, -1 not known on that day."""

    day: Codes
    pair: Codes
    features: Floats
    value: Floats
    approved: Codes
    tier: Codes
    is_stopped: Mask
    truth: Codes

    def following(self) -> Codes:
        """Return the row of the next payment of the same pair (n,), -1 where there is none."""
        order = np.argsort(self.pair, kind="stable")
        is_same = self.pair[order][1:] == self.pair[order][:-1]
        result = np.full(len(order), -1)
        result[order[:-1][is_same]] = order[1:][is_same]
        return result


class Log:
    """All payments of a run, and their truth with the day from which it may be read."""

    def __init__(self) -> None:
        self._parts: list[tuple[Batch, Mask, Codes]] = []

    def add(self, day: int, asked: Asked, tier: Codes, is_stopped: Mask) -> None:
        """Remember the payments of a quarter."""
        view = asked.view
        unknown = np.full(len(tier), -1)
        days = np.full(len(tier), day)
        batch = Batch(
            days, view.pair, features_of(view), view.value, view.approved, tier, is_stopped, unknown
        )
        self._parts.append((batch, asked.is_fraud, asked.known_day))

    def known(self, day: int, *, is_settled: bool = False) -> Batch:
        """Return the payments of the last ``WINDOW_DAYS`` before ``day``, with the truth that is known on that day.

        ``is_settled``: with all truth that ever comes, as after waiting for the longest delay.
        """
        parts = [part for part in self._parts if day - WINDOW_DAYS <= part[0].day[0] < day]
        columns = zip(*(batch for batch, _, _ in parts), strict=True)
        joined = Batch(*(np.concatenate(column) for column in columns))
        is_fraud = np.concatenate([fraud for _, fraud, _ in parts])
        is_due = is_settled | (np.concatenate([due for _, _, due in parts]) <= day)
        is_told = is_due & ~joined.is_stopped
        return joined._replace(truth=np.where(is_told, is_fraud, -1))


class ChanceModel:
    """The chance of fraud of a payment in (0, 1), calibrated on what it was fitted to."""

    def __init__(self) -> None:
        self._weights = np.zeros(0)

    def log_odds(self, features: Floats) -> Floats:
        """Return the log-odds of fraud (n,), within 9 of zero."""
        odds: Floats = np.clip(features @ self._weights, -LOG_ODDS_MAX, LOG_ODDS_MAX)
        return odds

    def chances(self, features: Floats) -> Floats:
        """Return the chances of fraud (n,)."""
        chances: Floats = 1.0 / (1.0 + np.exp(-self.log_odds(features)))
        return chances

    def fit(self, batch: Batch) -> None:
        """Learn from what is known; the shares of what was stopped come from the fit before, so a call is one step of them."""
        is_checked = batch.is_stopped & (batch.tier < 3)
        is_usable = is_checked | (batch.truth >= 0)
        target = np.where(is_checked, fraud_shares(batch, self._prior(batch)), batch.truth)[is_usable]
        rows = batch.features[is_usable]
        weights = self._weights if len(self._weights) else np.zeros(rows.shape[1])
        for _ in range(NEWTON_STEPS):
            fitted = 1.0 / (1.0 + np.exp(-np.clip(rows @ weights, -30, 30)))
            curvature = (rows * (fitted * (1.0 - fitted))[:, None]).T @ rows + PULL * np.eye(len(weights))
            step = np.linalg.solve(curvature, rows.T @ (target - fitted) - PULL * weights)
            weights = weights + np.clip(step, -2.0, 2.0)
            if np.abs(step).max() < 1e-4:
                break
        self._weights = weights

    def _prior(self, batch: Batch) -> Floats:
        return self.chances(batch.features) if len(self._weights) else np.full(len(batch.value), 0.02)


def fraud_shares(batch: Batch, chance: Floats) -> Floats:
    """Return how much of each payment (n,) is taken for fraud: its truth, else its chance given what became of it."""
    rows = np.arange(len(chance))
    caught = chances_to_end(np.ones(len(chance), dtype=bool), batch.approved)[rows, batch.tier]
    lost = chances_to_end(np.zeros(len(chance), dtype=bool), batch.approved)[rows, batch.tier]
    fraud = chance * np.where(batch.is_stopped, caught, 1 - caught)
    good = (1 - chance) * np.where(batch.is_stopped, lost, 1 - lost)
    shares = np.where(batch.truth >= 0, batch.truth, fraud / np.maximum(fraud + good, 1e-12))
    return np.asarray(shares, dtype=np.float64)


def costs_seen(batch: Batch, chance: Floats) -> Floats:
    """Return what each payment cost (n,) as far as the house can tell, in major units."""
    share = fraud_shares(batch, chance)
    ended = np.where(batch.is_stopped, (1 - share) * loss_of(batch.value), share * harm_of(batch.value))
    return np.asarray(FEES[batch.tier] + ended, dtype=np.float64)


def expected_costs(chance: Floats, value: Floats, approved: Codes) -> Floats:
    """Return what each tier is expected to cost (n, 4) by known rates, this payment alone."""
    everyone = np.ones(len(chance), dtype=bool)
    passed = 1 - chances_to_end(everyone, approved)
    lost = chances_to_end(~everyone, approved)
    harm, loss = (chance * harm_of(value))[:, None], ((1 - chance) * loss_of(value))[:, None]
    return np.asarray(FEES + passed * harm + lost * loss, dtype=np.float64)
