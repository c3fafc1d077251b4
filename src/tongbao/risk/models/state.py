"""The streaming feature state of a stream of payments: what is known of everybody, folded from facts in commit order.

Equal facts in equal order give equal bits, on whatever machine of a kind, and so does ``batch.build`` over a file.
"""

from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models import folding, snapshot
from tongbao.risk.models.arena import Limits, empty, grown
from tongbao.risk.models.encoding import encode, id_numbers
from tongbao.risk.models.geo import place_of
from tongbao.risk.models.layout import (
    DROPPED_EARLY,
    EVICTED_EARLY,
    FIRST_SEQ,
    LIVE,
    NEXT_SEQ,
)
from tongbao.risk.models.reading import read
from tongbao.risk.models.readout import READ_WIDTH, TAKEN
from tongbao.risk.models.registry import NAMES
from tongbao.risk.schema.signals import Signals

Floats = NDArray[np.float64]


class FeatureState:
    """What ``features`` are computed from. Not for several writers at once; reading meanwhile needs a lock of the owner's.

    What is older than the longest window is forgotten by itself, and so is who was unseen for ``limits.idle_ms``. Late or
    repeated facts are safe: a payment that is known already changes nothing, a label of a forgotten one neither.

    >>> state = FeatureState()
    >>> state.counts()["events"]
    0
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._arena = empty(limits or Limits())

    @property
    def names(self) -> tuple[str, ...]:
        """The features in the order in which ``features`` gives them."""
        return NAMES

    def features(self, signals: Signals) -> Floats:
        """Return the features of a payment, shape (n_features,), as if it were the next event; changes nothing."""
        reading = np.empty(READ_WIDTH)
        read(self._arena, encode(signals), *place_of(signals), reading)
        return reading[TAKEN]

    def learn(self, signals: Signals) -> None:
        """Fold in a payment that was judged (fact ``risk.assessed``)."""
        need = folding.learn(self._arena, encode(signals), *place_of(signals))
        if need:
            self._arena = grown(self._arena, need)

    def label(self, event_id: UUID, is_fraud: bool, at_ms: int) -> bool:
        """Fold in whether a payment was fraud, known from now on (fact ``risk.labelled``); a later label replaces it.

        Return False where the payment is unknown, or at ``at_ms`` too old for any window.
        """
        seq = folding.seq_of(self._arena, *id_numbers(event_id), at_ms)
        if seq >= 0:
            folding.label(self._arena, seq, is_fraud)
        return bool(seq >= 0)

    def ended(self, event_id: UUID, is_approved: bool, at_ms: int) -> bool:
        """Fold in a channel's answer (fact ``risk.ended``); returns as ``label`` does."""
        seq = folding.seq_of(self._arena, *id_numbers(event_id), at_ms)
        if seq >= 0:
            folding.end(self._arena, seq, is_approved)
        return bool(seq >= 0)

    def proved(self, event_id: UUID, is_passed: bool, at_ms: int) -> bool:
        """Fold in that a payer proved, or did not prove, who it is (fact ``risk.proved``); returns as ``label`` does.

        It counts for the trust in this device with this card, or with this customer where there is no card.
        """
        seq = folding.seq_of(self._arena, *id_numbers(event_id), at_ms)
        if seq >= 0:
            folding.proved(self._arena, seq, is_passed, at_ms)
        return bool(seq >= 0)

    def counts(self) -> dict[str, int]:
        """Return how many payments, entities and pairs are kept, and how many left early for want of room."""
        arena = self._arena
        return {
            "events": int(arena.scalars[NEXT_SEQ] - arena.scalars[FIRST_SEQ]),
            "entities": int(arena.entities.meta[LIVE]),
            "pairs": int(arena.pairs.meta[LIVE]),
            "events_dropped_early": int(arena.scalars[DROPPED_EARLY]),
            "entities_evicted_early": int(arena.entities.meta[EVICTED_EARLY]),
            "pairs_evicted_early": int(arena.pairs.meta[EVICTED_EARLY]),
            "bytes": snapshot.size(arena),
        }

    def dump(self) -> bytes:
        """Return everything that is known, for ``load``."""
        return snapshot.dump(self._arena)

    @classmethod
    def load(cls, data: bytes) -> "FeatureState":
        """Return the state that was dumped. Raise ``InvalidRequest`` with codes of ``models.snapshot`` for anything else."""
        state = cls.__new__(cls)
        state._arena = snapshot.load(data)
        return state

    def digest(self) -> str:
        """Return 64 hexadecimal digits that are equal for equal knowledge."""
        return snapshot.digest(self._arena)
