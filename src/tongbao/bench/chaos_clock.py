"""The machine's clock, set wrong from outside: libfaketime between a process and the operating system.

The product has no switch for it. Processes are started with the library loaded (``LD_PRELOAD``), which adds to the wall clock what a
file says and looks at the file again and again, so a running process sees its clock jump. Time that only goes forward (the
monotonic clock, by which pauses and time-outs are measured) is left alone, as a machine's is when somebody sets its clock.
Source: libfaketime 0.9.10, README, ``FAKETIME_TIMESTAMP_FILE``; Debian and Ubuntu: package ``faketime``.
"""

import glob
import os
import sys
from pathlib import Path

from tongbao.core.errors import Unavailable

PLACES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)
LOOKS_S = 1
"""What a file said counts for so many whole seconds: a process sees a change within two."""


class MachineClock:
    """The clock of every process that is started with ``environment``. Raises Unavailable ``faketime_missing``."""

    def __init__(self, file: Path) -> None:
        library = find_library()
        if library is None:
            raise Unavailable("faketime_missing", "libfaketime is not installed (package faketime)")
        self._library = library
        self._file = file
        self._passed_s = 0
        self.set_off(0)

    def environment(self) -> dict[str, str]:
        """Return what a process is started with."""
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(LOOKS_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "0",
        }

    def set_off(self, seconds: int) -> None:
        """Let the clock be wrong by so many seconds, ahead where positive, within two seconds; 0 sets it right."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{self._passed_s + seconds:+d}\n")
        os.replace(draft, self._file)

    def let_pass(self, seconds: int) -> None:
        """Let time go on by so many seconds at once; from then on that is the right time."""
        self._passed_s += seconds
        self.set_off(0)


def find_library() -> str | None:
    """Return where libfaketime is; None where it is not installed."""
    if sys.platform != "linux":
        return None
    return next((found for place in PLACES for found in sorted(glob.glob(place))), None)
