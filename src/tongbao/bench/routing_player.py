"""Our own routing as a player of the worlds: the product's learned strategy, hundreds of seeds side by side."""

import numpy as np

from tongbao.bench.routing_play import Feedback, Moment
from tongbao.bench.routing_world_draws import IntArray
from tongbao.bench.routing_worlds import DELAY_MAX, BoolArray, Outcome
from tongbao.routing.service.simulating import ISSUER_DECLINED, NEUTRAL, TECHNICAL, Simulated

_ENDS = np.zeros(len(Outcome), dtype=np.int64)
_ENDS[[Outcome.ISSUER_DECLINED, Outcome.TECHNICAL, Outcome.UNRESOLVED, Outcome.NEUTRAL]] = (
    ISSUER_DECLINED,
    TECHNICAL,
    TECHNICAL,
    NEUTRAL,
)


class Routed:
    """The learned strategy; ``by_value`` (n,) tells which rows rank by earnings, the others by approvals."""

    name = "tongbao"

    def __init__(self, simulated: Simulated, by_value: BoolArray) -> None:
        self._simulated = simulated
        self._by_value = by_value[:, None]
        # An answer may come as late as DELAY_MAX payments: so far back the instants of sending are kept.
        self._sent_s = np.zeros((DELAY_MAX + 1, len(by_value)))

    def choose(self, moment: Moment) -> IntArray:
        """Return the channel of each row's payment."""
        self._sent_s[moment.t % len(self._sent_s)] = moment.now_s
        earned = (moment.margin_bps - moment.cost_bps) / 1e4
        gain = np.where(self._by_value, earned, 1.0)
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
                self._sent_s[feedback.t0 % len(self._sent_s), feedback.row],
                _ENDS[feedback.seen],
                again=feedback.is_second,
            )
