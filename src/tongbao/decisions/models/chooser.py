"""One choice: a learner's beliefs, made into probabilities, floored, and drawn from.

Features, units and missing values are the learner's. Output: one arm and the probabilities in [0, 1] it was drawn
with, exact by construction, so calibrated as propensities. There is no seed: the uniform is passed in, and equal
state, time and uniform give an equal choice. Baseline to beat: an equal split, which needs no learner. Cost per
choice among 8 arms: 100 us with ``BetaThompson``. Sources: see ``choosing``. Example:

>>> from tongbao.decisions.models.base import NOWHERE
>>> from tongbao.decisions.models.beta_thompson import BetaThompson
>>> learner = BetaThompson()
>>> for value in (1.0, 1.0, 1.0, 0.0):
...     learner.learn("acquirer_a", value, 0.0, NOWHERE)
>>> chooser = Chooser(learner, floor=0.02)
>>> chosen = chooser.choose(("acquirer_a", "acquirer_b"), (True, True), NOWHERE, 60.0, uniform=0.5)
>>> chosen.arm, chosen.propensities.round(2).tolist()
('acquirer_a', [0.68, 0.32])
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.base import Beliefs, Context, Floats, Learner
from tongbao.decisions.models.choosing import draw, floored, thompson_propensities, top_two
from tongbao.decisions.schema.log import CANDIDATES_MAX


class Choice(enum.StrEnum):
    """How beliefs become probabilities: to earn while learning, or to find the best arm with certainty."""

    THOMPSON = "thompson"
    TOP_TWO = "top_two"


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """An arm with the probabilities it was drawn with, shape ``(k,)``, and the beliefs behind them."""

    arm: str
    propensities: Floats
    beliefs: Beliefs


class Chooser:
    """Joins a learner with a way of choosing. ``floor``: least probability of each allowed arm."""

    def __init__(self, learner: Learner, floor: float = 0.0, choice: Choice = Choice.THOMPSON) -> None:
        if not 0 <= floor <= 1:
            raise InvalidRequest("floor_invalid", f"a floor lies in 0 to 1, unlike {floor}", floor=floor)
        self.learner = learner
        self.floor = floor
        self.choice = choice

    def choose(
        self, arms: Sequence[str], allowed: Sequence[bool], context: Context, at_s: float, uniform: float
    ) -> Chosen:
        """Return the arm that ``uniform`` in [0, 1) falls on; changes nothing, not even by ``begin``.

        Raises InvalidRequest ``arms_invalid`` (not 1 to 64 different names with a mark each), ``no_arm_allowed``,
        ``floor_invalid`` (too many allowed arms for the floor) and ``uniform_invalid``.
        """
        usable = np.asarray(allowed, dtype=np.bool_)
        if not 0 < len(set(arms)) == len(arms) == len(usable) <= CANDIDATES_MAX:
            raise InvalidRequest(
                "arms_invalid", f"arms are 1 to {CANDIDATES_MAX} different names, marked each"
            )
        beliefs = self.learner.predict(arms, context, at_s)
        propensities = thompson_propensities(beliefs.mean, beliefs.sd, usable)
        if self.choice is Choice.TOP_TWO:
            propensities = top_two(propensities)
        propensities = floored(propensities, usable, self.floor)
        return Chosen(arms[int(draw(propensities, uniform))], propensities, beliefs)
