"""Simulating: the learned strategy over many worlds side by side, by the very lines that decide a payment.

For benchmarks and for trying settings out. Nothing is reimplemented: beliefs, breakers, probabilities and the draw are
those of the router; what is added is the numbering of rows, one pool a world. Arrays have the worlds (n) as first axis.
"""

import numpy as np
from numpy.typing import NDArray

from tongbao.decisions.models.choosing import draw
from tongbao.routing.models.beliefs import Floats, Ints
from tongbao.routing.models.board import Board, BoardTuning
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
        shape = (count, channels, issuers)
        pool = 1 + np.arange(count)
        channel = 1 + count + np.arange(count * channels).reshape(count, channels)
        issuer = 1 + count * (1 + channels) + np.arange(count * channels * issuers).reshape(shape)
        levels = (
            np.broadcast_to(pool[:, None, None], shape),
            np.broadcast_to(channel[..., None], shape),
            issuer,
        )
        self._path: Ints = np.stack(levels, axis=-1)
        self._board.hold(int(issuer.max()) + 1)
        self._board.beliefs.members = {
            int(pool[world]): [*channel[world].tolist(), *issuer[world].ravel().tolist()]
            for world in range(count)
        }
        self._board.issuers = {
            int(row): own.tolist()
            for row, own in zip(channel.ravel(), issuer.reshape(-1, issuers), strict=True)
        }
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
        path = self._path[self._worlds, :, issuer]
        prospect = ranking.prospect(self._board.read(path, at_s, None, self._pending))
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
        left = ranking.without(self._gate, first)
        usable = left.traffic | left.probes
        bold = np.where(usable, ranking.bold(self._value), -np.inf)
        return np.where(usable.any(axis=1), bold.argmax(axis=1), -1)

    def learn(
        self,
        worlds: Ints,
        channel: Ints,
        issuer: Ints,
        at_s: Floats,
        sent_s: Floats,
        ends: Ints,
        *,
        again: bool = False,
    ) -> None:
        """Fold in one end for each of m different worlds; all (m,), ``ends`` as named above.

        ``again``: of attempts that followed another channel's no.
        """
        self._pending[worlds, channel] = np.maximum(self._pending[worlds, channel] - 1, 0)
        self._board.learn_many(self._path[worlds, channel, issuer], at_s, sent_s, ends, again=again)
