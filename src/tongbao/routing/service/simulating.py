"""Simulating: the learned strategy over many worlds side by side, by the very lines that decide a payment.

For benchmarks and for trying settings out. Nothing is reimplemented: beliefs, breakers, probabilities and the draw are
those of the router; what is added is the numbering of rows, one pool a world. Arrays have the worlds (n) as first axis.
"""

import numpy as np
from numpy.typing import NDArray

from tongbao.decisions.models.choosing import draw
from tongbao.routing.models.acceptance import Path
from tongbao.routing.models.board import Board, BoardTuning
from tongbao.routing.models.cells import Floats, Ints
from tongbao.routing.policy import ranking
from tongbao.routing.schema.spec import RoutingSpec

PENDING_KEPT = 0.998
"""An answer that never comes is forgotten at this rate a payment, as the router forgets its open calls by the clock."""
APPROVED, ISSUER_DECLINED, TECHNICAL, NEUTRAL = range(4)
"""How an attempt ended, as ``Simulated.learn`` takes it; what is unresolved counts as technical."""


class Simulated:
    """n routers of ``channels`` channels and ``issuers`` groups of issuers each."""

    def __init__(
        self,
        count: int,
        channels: int,
        issuers: int,
        *,
        tuning: BoardTuning | None = None,
        floor: float | None = None,
    ) -> None:
        self._board = Board(tuning)
        self._floor = RoutingSpec().explore_floor if floor is None else floor
        first = 1 + count
        self._pool: Ints = 1 + np.arange(count)
        self._channel: Ints = (first + np.arange(count * channels)).reshape(count, channels)
        first += count * channels
        self._issuer: Ints = (first + np.arange(count * channels * issuers)).reshape(count, channels, issuers)
        self._board.hold(first + count * channels * issuers)
        self._worlds = np.arange(count)
        self._allowed = np.ones((count, channels), dtype=np.bool_)
        self._pending = np.zeros((count, channels))
        self._value = ranking.Worth(np.zeros((0, 0)), np.zeros((0, 0)))
        self._gate = ranking.Gates(self._allowed, self._allowed, self._allowed)
        self.shares: Floats = np.zeros((count, channels))

    def choose(self, issuer: Ints, at_s: Floats, gain: Floats, uniform: Floats) -> NDArray[np.intp]:
        """Return the channel of each world's payment (n,).

        ``issuer`` (n,): group of the payment, ``at_s`` (n,), ``gain`` (n, k): what an approval is worth over each channel,
        ``uniform`` (n,) in [0, 1). The probabilities that the draw was made from stand in ``shares``.
        """
        path = Path(self._pool, self._channel, self._issuer[self._worlds, :, issuer])
        prospect = ranking.prospect(self._board.read(path, at_s, 0.0, self._pending))
        self._value = ranking.worth(prospect, gain, 0.0)
        self._gate = ranking.gates(prospect, self._allowed)
        wanted = ranking.thompson(self._value, self._gate)
        self.shares = ranking.shared(wanted, prospect, self._gate, self._floor)
        arm = draw(self.shares, uniform)
        self._pending *= PENDING_KEPT
        self._pending[self._worlds, arm] += 1
        return arm

    def second(self, first: Ints) -> Ints:
        """Return where each payment goes on after a no from ``first`` (n,), -1 where nothing is left."""
        value = np.where(self._gate.traffic | self._gate.probes, self._value.mean, -np.inf)
        value[self._worlds, first] = -np.inf
        return np.where(np.isfinite(value.max(axis=1)), value.argmax(axis=1), -1)

    def learn(
        self, worlds: Ints, channel: Ints, issuer: Ints, at_s: Floats, sent_s: Floats, ends: Ints
    ) -> None:
        """Fold in one end for each of m different worlds; all (m,), ``ends`` as named above."""
        path = Path(
            self._pool[worlds],
            self._channel[worlds, channel][:, None],
            self._issuer[worlds, channel, issuer][:, None],
        )
        self._pending[worlds, channel] = np.maximum(self._pending[worlds, channel] - 1, 0)
        self._board.learn_many(path, at_s, sent_s, ends)
