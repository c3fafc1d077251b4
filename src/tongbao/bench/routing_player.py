"""Our own routing as a player of the worlds: the product's board and ranking, hundreds of seeds side by side.

Nothing is reimplemented: beliefs, breakers, probabilities and the draw are the lines that decide a payment. What the
player adds is the numbering of rows and the times at which its attempts were sent.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from tongbao.bench.routing_play import Feedback, Moment
from tongbao.bench.routing_world_draws import FloatArray, IntArray
from tongbao.bench.routing_worlds import DELAY_MAX, Outcome
from tongbao.decisions.models.choosing import draw
from tongbao.routing.models.acceptance import Path
from tongbao.routing.models.board import Board, BoardTuning
from tongbao.routing.policy import ranking
from tongbao.routing.schema.spec import RoutingSpec

_MARKS = np.zeros(len(Outcome), dtype=np.int64)
_MARKS[[Outcome.ISSUER_DECLINED, Outcome.TECHNICAL, Outcome.UNRESOLVED, Outcome.NEUTRAL]] = (1, 2, 2, 3)


class Routed:
    """The learned strategy with the settings of a specification; ``by_value`` ranks by earnings, else by approvals."""

    name = "tongbao"

    def __init__(
        self,
        count: int,
        channels: int,
        groups: int,
        *,
        by_value: bool = False,
        tuning: BoardTuning | None = None,
        floor: float | None = None,
    ) -> None:
        self._board = Board(tuning)
        self._by_value = by_value
        self._floor = RoutingSpec().explore_floor if floor is None else floor
        first = 1 + count
        self._pool: IntArray = 1 + np.arange(count)
        self._channel: IntArray = (first + np.arange(count * channels)).reshape(count, channels)
        first += count * channels
        self._issuer: IntArray = (first + np.arange(count * channels * groups)).reshape(
            count, channels, groups
        )
        self._board.hold(first + count * channels * groups)
        self._seeds = np.arange(count)
        self._allowed = np.ones((count, channels), dtype=np.bool_)
        self._pending = np.zeros((count, channels))
        self._sent_s: deque[FloatArray] = deque(maxlen=DELAY_MAX + 2)
        self._first_sent = 0
        self._value = ranking.Worth(np.zeros(0), np.zeros(0))
        self._gate = ranking.Gates(self._allowed, self._allowed, self._allowed)

    def choose(self, moment: Moment) -> IntArray:
        """Return the channel of each seed's payment."""
        path = Path(self._pool, self._channel, self._issuer[self._seeds, :, moment.group])
        sight = self._board.read(path, moment.now_s, 0.0, self._pending)
        prospect = ranking.prospect(sight)
        gain = (moment.margin_bps - moment.cost_bps) / 1e4 if self._by_value else np.ones_like(prospect.mean)
        self._value = ranking.worth(prospect, gain, 0.0)
        self._gate = ranking.gates(prospect, self._allowed)
        wanted = ranking.thompson(self._value, self._gate)
        chances = ranking.shared(wanted, prospect, self._gate, self._floor)
        arm = draw(chances, moment.uniforms[:, 0])
        self._sent_s.append(moment.now_s)
        self._first_sent = max(0, moment.t + 1 - len(self._sent_s))
        self._pending[self._seeds, arm] += 1
        return arm

    def second(self, moment: Moment, first: IntArray) -> IntArray:
        """Return the best of the other channels, -1 where none is left."""
        del moment
        value = np.where(self._gate.traffic | self._gate.probes, self._value.mean, -np.inf)
        value[self._seeds, first] = -np.inf
        return np.where(np.isfinite(value.max(axis=1)), value.argmax(axis=1), -1)

    def learn(self, feedback: Feedback) -> None:
        """Fold the answers in."""
        rows, arm = feedback.row, feedback.arm
        path = Path(
            self._pool[rows],
            self._channel[rows, arm][:, None],
            self._issuer[rows, arm, feedback.group][:, None],
        )
        sent_s = self._sent(feedback.t0, rows)
        self._pending[rows, arm] = np.maximum(self._pending[rows, arm] - 1, 0)
        self._board.learn_many(path, feedback.now_s, sent_s, _MARKS[feedback.seen])

    def _sent(self, t0: IntArray, rows: IntArray) -> FloatArray:
        if len(t0) and (t0 == t0[0]).all():
            return self._sent_s[int(t0[0]) - self._first_sent][rows]
        return np.array([self._sent_s[t - self._first_sent][row] for t, row in zip(t0, rows, strict=True)])


def routed(seeds: Sequence[int], channels: int, groups: int, *, by_value: bool) -> Routed:
    """Return the player for these seeds with the product's settings."""
    return Routed(len(seeds), channels, groups, by_value=by_value)
