"""What every scorer of payments offers, whatever it learned with."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Scorer(Protocol):
    """Turns features into the chance of fraud. Scoring changes nothing.

    ``names`` are the features in the order of the columns. NaN stands for what is unknown. Results are calibrated
    probabilities in [0, 1]: of payments that score 0.02 one in fifty is fraud.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in the order in which they are given."""
        ...

    def score_one(self, features: Floats) -> float:
        """Return the chance of fraud of one payment, from features of shape (n_features,)."""
        ...

    def score(self, features: Floats) -> Floats:
        """Return the chances of many, shape (n,), from features of shape (n, n_features); bit for bit as ``score_one``."""
        ...
