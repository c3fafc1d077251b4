"""Worlds of several regimes as one: their rows stand side by side, so that one player walks all of them at once.

A step costs about the same for four rows as for forty. The worlds must agree in payments, channels and groups of issuers;
in what else they differ, each row keeps its own way, and what a row meets does not depend on its neighbors.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from tongbao.bench.routing_world_draws import FloatArray, IntArray, Regime
from tongbao.bench.routing_worlds import Block, Luck, World
from tongbao.core.errors import InvalidRequest

WORLDS_MAX = 64


class Together:
    """The rows (n,) of all worlds, in their order; ``places`` are the stretches of rows of each.

    ``mislabel`` (n,): share of wrong labels; ``counts_value`` (n,): rows that are judged by earnings; ``delayed``,
    ``prompt`` and ``loaded``: rows whose answers come late, come at once, and whose technical rate follows their traffic.
    Raises InvalidRequest ``worlds_count_invalid`` (1 to ``WORLDS_MAX``) and ``worlds_differ`` (in their sizes).
    """

    def __init__(self, worlds: Sequence[World]) -> None:
        if not 0 < len(worlds) <= WORLDS_MAX:
            raise InvalidRequest("worlds_count_invalid", f"1 to {WORLDS_MAX} worlds are walked at once.")
        specs = [world.spec for world in worlds]
        if len({(spec.payments, spec.channels, spec.groups) for spec in specs}) > 1:
            raise InvalidRequest(
                "worlds_differ", "Worlds walked at once have equal payments, channels and groups."
            )
        self.worlds = tuple(worlds)
        self.payments, self.channels, self.groups = specs[0].payments, specs[0].channels, specs[0].groups
        self.seeds = tuple(seed for world in worlds for seed in world.seeds)
        edges = np.cumsum([0, *(world.count for world in worlds)]).tolist()
        self.places = tuple(slice(*ends) for ends in pairwise(edges))
        self.cost_bps: FloatArray = np.concatenate([world.cost_bps for world in worlds])
        counts = [world.count for world in worlds]
        self.mislabel: FloatArray = np.repeat([spec.mislabel for spec in specs], counts)
        self.counts_value = np.repeat([spec.regime is Regime.COST_SPREAD for spec in specs], counts)
        is_delayed = np.repeat([spec.regime is Regime.DELAYED for spec in specs], counts)
        self.delayed: IntArray = np.flatnonzero(is_delayed)
        self.prompt: IntArray = np.flatnonzero(~is_delayed)
        self.loaded: IntArray = np.flatnonzero(np.repeat([world.is_loaded for world in worlds], counts))
        self._under_load = [pair for pair in zip(worlds, self.places, strict=True) if pair[0].is_loaded]

    @property
    def count(self) -> int:
        """How many rows are played side by side."""
        return len(self.seeds)

    def technical_under(self, load: FloatArray) -> FloatArray:
        """Return the technical rates of the ``loaded`` rows (m, K) for the shares of recent traffic of all (n, K)."""
        rates = [world.technical_under(load[place]) for world, place in self._under_load]
        return rates[0] if len(rates) == 1 else np.concatenate(rates)

    def blocks(self) -> Iterator[Block]:
        """Walk all worlds from their first payment to their last."""
        for parts in zip(*(world.blocks() for world in self.worlds), strict=True):
            yield parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: Sequence[Block]) -> Block:
    """Return the blocks of the same payments as one, rows behind rows."""
    lucks = [part.luck for part in parts]
    return Block(
        start=parts[0].start,
        group=np.concatenate([part.group for part in parts], axis=1),
        now_s=np.concatenate([part.now_s for part in parts], axis=1),
        acceptance=np.concatenate([part.acceptance for part in parts], axis=1),
        technical=np.concatenate([part.technical for part in parts], axis=1),
        luck=Luck(
            np.concatenate([luck.technical for luck in lucks], axis=1),
            np.concatenate([luck.accept for luck in lucks], axis=1),
            np.concatenate([luck.neutral for luck in lucks], axis=1),
        ),
        mislabel=np.concatenate([part.mislabel for part in parts], axis=1),
        delay=np.concatenate([part.delay for part in parts], axis=1),
        draws=np.concatenate([part.draws for part in parts], axis=1),
    )
