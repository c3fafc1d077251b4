"""Our own routing as a player of the worlds: the product's learned strategy, hundreds of seeds side by side."""

from collections import deque

import numpy as np

from tongbao.bench.routing_play import Feedback, Moment
from tongbao.bench.routing_world_draws import FloatArray, IntArray
from tongbao.bench.routing_worlds import DELAY_MAX, Outcome
from tongbao.routing.service.simulating import ISSUER_DECLINED, NEUTRAL, TECHNICAL, Simulated

_ENDS = np.zeros(len(Outcome), dtype=np.int64)
_ENDS[[Outcome.ISSUER_DECLINED, Outcome.TECHNICAL, Outcome.UNRESOLVED, Outcome.NEUTRAL]] = (
    ISSUER_DECLINED,
    TECHNICAL,
    TECHNICAL,
    NEUTRAL,
)


class Routed:
    """The learned strategy; ``by_value`` ranks by earnings, otherwise by approvals."""

    name = "tongbao"

    def __init__(self, simulated: Simulated, *, by_value: bool = False) -> None:
        self._simulated = simulated
        self._by_value = by_value
        self._sent_s: deque[FloatArray] = deque(maxlen=DELAY_MAX + 2)
        self._first_sent = 0

    def choose(self, moment: Moment) -> IntArray:
        """Return the channel of each seed's payment."""
        self._sent_s.append(moment.now_s)
        self._first_sent = moment.t + 1 - len(self._sent_s)
        gain = np.ones_like(moment.cost_bps)
        if self._by_value:
            gain = (moment.margin_bps - moment.cost_bps) / 1e4
        return self._simulated.choose(moment.group, moment.now_s, gain, moment.uniforms[:, 0])

    def second(self, moment: Moment, first: IntArray) -> IntArray:
        """Return the best of the other channels, -1 where none is left."""
        del moment
        return self._simulated.second(first)

    def learn(self, feedback: Feedback) -> None:
        """Fold the answers in."""
        if len(feedback.row):
            self._simulated.learn(
                feedback.row,
                feedback.arm,
                feedback.group,
                feedback.now_s,
                self._sent(feedback.t0, feedback.row),
                _ENDS[feedback.seen],
                again=feedback.is_second,
            )

    def _sent(self, t0: IntArray, rows: IntArray) -> FloatArray:
        if (t0 == t0[0]).all():
            return self._sent_s[int(t0[0]) - self._first_sent][rows]
        pairs = zip(t0, rows, strict=True)
        return np.array([self._sent_s[t - self._first_sent][row] for t, row in pairs])
