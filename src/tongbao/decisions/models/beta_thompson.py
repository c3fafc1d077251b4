"""Arms of unknown success rate: one Beta belief an arm, with forgetting by the clock and by the count of facts.

- Features: none; the context is ignored, so nothing can be missing. An arm never seen has the prior.
- Output: expected success in [0, 1], higher is better, with the sd of the Beta; choosing takes it as normal, which is
  what the measured regret includes. Calibrated where the arm's rate is steady over the half-lives.
- Label: 1 success, 0 failure, or a share in between; its delay is bridged by ``begin`` and ``end``: an observation
  under way counts as ``in_flight_weight`` of a failure.
- Seed: none, there is no chance inside.
- Cost per event on one core: predict 8 arms 20 us, learn 4 us, choose 100 us.
- Baseline to beat: an even split for half of the time, then the winner. Lost conversions on three offers of 3.0, 3.3
  and 3.9 % over 40,000: Thompson half of it, see ``tests/decisions/test_learners_regret.py``.
- Reference: Chapelle and Li 2011; forgetting by Raj and Kalyani 2017. Exploration floors: ``Chooser``.

>>> from tongbao.decisions.models.base import NOWHERE
>>> learner = BetaThompson(Prior(mean=0.5, strength=2.0))
>>> for value in (1.0, 1.0, 0.0, 1.0):
...     learner.learn("acquirer_a", value, 0.0, NOWHERE)
>>> beliefs = learner.predict(("acquirer_a", "acquirer_b"), NOWHERE, 0.0)
>>> beliefs.mean.round(3).tolist(), beliefs.strength.tolist()
([0.667, 0.5], [6.0, 2.0])
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.base import Beliefs, Context, share
from tongbao.decisions.models.cells import Cells, Memory

KIND = "beta_thompson"


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of a rate before any fact: its mean in (0, 1), and how many trials that is worth.

    Raises InvalidRequest ``prior_invalid``.
    """

    mean: float = 0.5
    strength: float = 2.0

    def __post_init__(self) -> None:
        if not (0 < self.mean < 1 and 0 < self.strength < float("inf")):
            raise InvalidRequest("prior_invalid", f"no rate can be believed to be {self}")


class BetaThompson:
    """A Learner of success rates by arm. Values lie in 0 to 1."""

    def __init__(self, prior: Prior | None = None, memory: Memory | None = None) -> None:
        self.prior = prior or Prior()
        self._cells = Cells(memory or Memory(), width=2)  # successes, failures

    def predict(self, arms: Sequence[str], context: Context, at_s: float) -> Beliefs:
        """See ``Learner``."""
        keys = [(arm,) for arm in arms]
        seen = self._cells.read(keys, at_s)
        successes = seen[:, 0] + self.prior.mean * self.prior.strength
        strength = seen[:, 1] + (1 - self.prior.mean) * self.prior.strength
        strength += self._cells.in_flight(keys, at_s)
        strength += successes
        mean = successes / strength
        return Beliefs(tuple(arms), mean, np.sqrt(mean * (1 - mean) / (strength + 1)), strength)

    def learn(self, arm: str, value: float, at_s: float, context: Context) -> None:
        """See ``Learner``; ``value`` lies in 0 to 1."""
        share(value)
        self._cells.count_fact(((arm,),), at_s)
        row, weight = self._cells.touch((arm,), at_s)
        row[0] += weight * value
        row[1] += weight * (1 - value)

    def begin(self, arm: str, at_s: float, context: Context) -> None:
        """See ``Learner``."""
        self._cells.begin((arm,), at_s)

    def end(self, arm: str, begun_at_s: float, context: Context) -> None:
        """See ``Learner``."""
        self._cells.end((arm,), begun_at_s)

    def dump(self) -> bytes:
        """See ``Learner``."""
        return self._cells.dump(KIND, "")

    def load(self, data: bytes) -> None:
        """See ``Learner``."""
        self._cells.load(data, KIND, "")
