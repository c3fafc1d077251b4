"""In which order ways to pay stand on the page: the first is chosen already, and a word says why.

Pure. After a no the ways that said none yet come first, unless the payer only has to type something again. Then comes what
this payer used last, then what routing believes in; where nothing is known the order of the catalog holds.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tongbao.channels.schema import Reason

CHANCE_STEP = 0.05
"""Chances that differ by less are one: the order of a page does not move with every payment."""
TYPOS = frozenset(
    {
        Reason.CARD_NUMBER_INVALID,
        Reason.CVC_INCORRECT,
        Reason.EXPIRY_INVALID,
        Reason.PIN_INCORRECT,
        Reason.POSTAL_CODE_INCORRECT,
    }
)
"""Reasons after which the same way is the best: something was typed wrong."""
ELDER_MAX, MINIMAL_MAX = 3, 1
"""So many ways at once with large text, and on a page that has one button."""


class Way(NamedTuple):
    """A way to pay; ``why`` it stands first: ``again``, ``next``, ``last``, ``reliable``, or None."""

    kind: str
    why: str | None = None


class Ways(NamedTuple):
    """The ways that are shown at once, and those behind "More"."""

    shown: tuple[Way, ...]
    more: tuple[Way, ...]


def ordered(
    chances: Mapping[str, float | None],
    last_used: str | None,
    refused: Collection[str] = (),
    reason: Reason | None = None,
) -> tuple[Way, ...]:
    """Return the ways, best first; ``refused``: kinds that said no here, the newest of them with ``reason``."""
    is_typo = reason in TYPOS and bool(refused)
    shunned = set() if is_typo else set(refused)
    catalog = {kind: place for place, kind in enumerate(chances)}

    def rank(kind: str) -> tuple[bool, bool, bool, float, int]:
        chance = chances[kind]
        return (
            is_typo and kind not in refused,
            kind in shunned,
            kind != last_used,
            0.0 if chance is None else -(chance // CHANCE_STEP),
            catalog[kind],
        )

    kinds = sorted(chances, key=rank)
    if not kinds:
        return ()
    return (
        Way(kinds[0], _why(kinds, chances, last_used, refused, is_typo=is_typo)),
        *map(Way, kinds[1:]),
    )


def split(ways: Sequence[Way], most: int | None) -> Ways:
    """Return the first ``most`` ways apart from the others; None: all of them."""
    return Ways(tuple(ways[:most]), tuple(ways[most:]) if most is not None else ())


def _why(
    kinds: Sequence[str],
    chances: Mapping[str, float | None],
    last_used: str | None,
    refused: Collection[str],
    *,
    is_typo: bool,
) -> str | None:
    first = kinds[0]
    if is_typo:
        return "again"
    if refused:
        return None if first in refused else "next"
    if first == last_used:
        return "last"
    others = [chance for kind in kinds[1:] if (chance := chances[kind]) is not None]
    own = chances[first]
    is_likelier = own is not None and bool(others) and own // CHANCE_STEP > max(others) // CHANCE_STEP
    return "reliable" if is_likelier else None
