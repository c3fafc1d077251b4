"""The pace of a house that lives in simulated time: it follows nothing by itself, and its chance comes from a seed."""

import random
from dataclasses import dataclass, field

SALT_DIGITS = 24


@dataclass(frozen=True)
class Pace:
    """How a house is paced. Equal seeds draw equal numbers, for each purpose in an order of its own. Never for live money."""

    seed: str
    _salts: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_salts", self.chance("salts"))

    def chance(self, purpose: str) -> random.Random:
        """Return the numbers of a purpose, from their beginning."""
        return random.Random(f"{self.seed}/{purpose}")  # noqa: S311  # a city that is equal for equal seeds

    def new_salt(self) -> str:
        """Return the next salt of a policy: letters and digits."""
        return f"{self._salts.getrandbits(4 * SALT_DIGITS):0{SALT_DIGITS}x}"
