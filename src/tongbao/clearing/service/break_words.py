"""What a break is called, in English and Chinese: for faces, which know no policies."""

from tongbao.clearing.policy.break_texts import CAUSES, HOWS, KINDS, LEGS, STATES, Pair
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, How

Words = dict[str, str]
"""A text by language: ``en`` and ``zh``."""


def words_of(of: Break) -> dict[str, Words]:
    """Return the words of a break's ``kind``, ``state`` and ``leg``, and of its ``cause`` where its kind has several."""
    found = {"kind": KINDS[of.found.kind], "state": STATES[of.state], "leg": LEGS[of.leg]}
    cause = CAUSES.get(of.found.facts.get("cause", ""))
    if cause is not None:
        found["cause"] = cause
    return {name: _both(pair) for name, pair in found.items()}


def kinds() -> dict[BreakKind, Words]:
    """Return what every kind of break is called."""
    return {kind: _both(pair) for kind, pair in KINDS.items()}


def states() -> dict[BreakState, Words]:
    """Return what every state of a break is called."""
    return {state: _both(pair) for state, pair in STATES.items()}


def hows() -> dict[How, Words]:
    """Return in words by what a pair was found."""
    return {how: _both(pair) for how, pair in HOWS.items()}


def _both(pair: Pair) -> Words:
    return {"en": pair[0], "zh": pair[1]}
