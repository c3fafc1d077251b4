"""Native code: loops over numbers that Python would be too slow for, compiled once a machine and kept beside the source.

One compiled function serves the single payment and the file of a million, so what was trained on is what is scored with.
Arithmetic is that of IEEE 754 in the order written: nothing is reassociated or fused.

What is kept is good only for the sources it was compiled from. Numba looks at the file of a function alone, and a function
holds copies of those it calls from other files; so whenever any file here has changed, everything kept is let go.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])
STAMP = "native.stamp"


def native(function: F) -> F:
    """Return ``function`` compiled for the types that it is first called with; it runs without the interpreter's lock."""
    return cast(F, numba.njit(cache=True, nogil=True, fastmath=False)(function))


def let_go_of_stale(folder: Path) -> bool:
    """Delete what is kept of other sources than those now in ``folder``; return whether there was a change.

    Any number of processes may call at once: what one deletes too much, it or another compiles again.
    """
    sources = sorted(
        (each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in folder.glob("*.py")
    )
    stamp = hashlib.sha256(repr(sources).encode()).hexdigest()
    kept = folder / "__pycache__"
    with suppress(OSError):
        if (kept / STAMP).read_text() == stamp:
            return False
    # A folder that cannot be written has nothing kept in it.
    with suppress(OSError):
        for index in kept.glob("*.nbi"):
            index.unlink(missing_ok=True)
        kept.mkdir(exist_ok=True)
        (kept / STAMP).write_text(stamp)
    return True


let_go_of_stale(Path(__file__).parent)
