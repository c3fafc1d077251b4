"""Whole numbers divided with a named rounding. Integers only; nothing here is negative, so up and ceiling are one."""

from tongbao.core.money import Rounding

OFFSETS: dict[Rounding, tuple[int, int]] = {
    Rounding.HALF_UP: (1, 0),
    Rounding.HALF_DOWN: (1, -1),
    Rounding.UP: (2, -2),
    Rounding.CEILING: (2, -2),
    Rounding.DOWN: (0, 0),
    Rounding.FLOOR: (0, 0),
}
"""By rounding (a, b): n/d rounded is ``(2n + a·d + b) // 2d``. Half to even is no such line and stands apart."""


def divided(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Return ``numerator / denominator`` rounded; the first is not negative, the second positive."""
    if rounding is Rounding.HALF_EVEN:
        whole, rest = divmod(numerator, denominator)
        return whole + (2 * rest > denominator or (2 * rest == denominator and whole & 1))
    factor, shift = OFFSETS[rounding]
    return (2 * numerator + factor * denominator + shift) // (2 * denominator)
