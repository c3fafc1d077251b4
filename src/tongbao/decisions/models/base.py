"""What every learner is: beliefs about arms, before an outcome and after it.

An arm is anything that can be chosen: a channel, an offer, a text. Invariants of every ``Learner``:

- ``predict`` changes nothing, and needs no fact: an arm never seen gets the prior.
- Time is passed in, seconds as float UTC epoch; there is no chance inside, so equal facts give equal beliefs.
- Memory is bounded: past a named maximum the least recently seen cell goes, and its arm falls back to the prior.
- ``dump`` of equal states gives equal bytes; ``load`` of anything else than a whole dump of a learner of the same
  layout raises InvalidRequest ``learner_state_invalid`` and changes nothing.

An observation under way (``begin`` to ``end``) counts as a fraction of a bad trial, so that a burst of choices does
not pile on one arm while its outcomes are still out; past a horizon it is given up and counts no more (Chapelle and
Li 2011, section 4, show what delay does; Desautels, Krause and Burdick 2014 for counting what is under way).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest

SEGMENT_DEPTH_MAX = 8
Floats = NDArray[np.float64]
Segment = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """What is known when an arm is chosen.

    ``segment``: where it happens, widest group first (``("card", "issuer_x")``). ``features``: named numbers; None, NaN
    or absence is missing. A learner reads what it knows of and nothing else.
    """

    segment: Segment = ()
    features: Mapping[str, float | None] = field(default_factory=dict)


NOWHERE = Context()
"""The context of which nothing is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Beliefs:
    """What a learner holds of each arm, arrays of shape ``(k,)`` in the order of ``arms``.

    ``mean``: expected value in the outcome's unit, higher is better. ``sd``: standard deviation of that mean, not of
    single values; the mean is held to be normal. ``strength``: how many trials the belief is worth, the prior included.
    """

    arms: tuple[str, ...]
    mean: Floats
    sd: Floats
    strength: Floats


class Learner(Protocol):
    """Beliefs about arms. Not safe for use by two threads at once."""

    def predict(self, arms: Sequence[str], context: Context, at_s: float) -> Beliefs:
        """Return the beliefs about ``arms`` as of ``at_s``; change nothing."""
        ...

    def learn(self, arm: str, value: float, at_s: float, context: Context) -> None:
        """Take in one outcome that happened at ``at_s``; a late one weighs what it would weigh had it come in time.

        Raises InvalidRequest ``value_invalid`` for a value that the learner cannot take.
        """
        ...

    def begin(self, arm: str, at_s: float, context: Context) -> None:
        """Note that an outcome of ``arm`` is under way since ``at_s``."""
        ...

    def end(self, arm: str, begun_at_s: float, context: Context) -> None:
        """Note that what began at ``begun_at_s`` is no longer under way; nothing happens where it was given up."""
        ...

    def dump(self) -> bytes:
        """Return the state as bytes."""
        ...

    def load(self, data: bytes) -> None:
        """Take over a state. Raises InvalidRequest ``learner_state_invalid``."""
        ...


def finite(value: float) -> float:
    """Return ``value``. Raises InvalidRequest ``value_invalid`` for NaN and the infinities."""
    if not math.isfinite(value):
        raise InvalidRequest("value_invalid", f"an outcome is a finite number, not {value}", value=value)
    return value


def share(value: float) -> float:
    """Return ``value``. Raises InvalidRequest ``value_invalid`` outside of 0 to 1."""
    if not 0 <= value <= 1:
        raise InvalidRequest("value_invalid", f"an outcome lies in 0 to 1, unlike {value}", value=value)
    return value
