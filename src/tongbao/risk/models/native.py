"""Native code: loops over numbers that Python would be too slow for, compiled once a machine and kept beside the source.

One compiled function serves the single payment and the file of a million, so what was trained on is what is scored with.
Arithmetic is that of IEEE 754 in the order written: nothing is reassociated or fused.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def native(function: F) -> F:
    """Return ``function`` compiled for the types that it is first called with; it runs without the interpreter's lock."""
    return cast(F, numba.njit(cache=True, nogil=True, fastmath=False)(function))
