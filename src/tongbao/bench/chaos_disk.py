"""A small disk that can be filled: a file system in memory, mounted for one drill and given back at its end.

A disk that is full is an answer of the operating system (ENOSPC) that nothing but a full file system gives truthfully, and the
machine's own must not be filled by a drill. Mounting takes root on Linux; elsewhere the experiment is left out.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tongbao.core.errors import Unavailable

SIZE_BYTES = 400 * 1024 * 1024
LEFT_BYTES = 512 * 1024
"""What a filled disk has left: some pages of some tables."""
_CHUNK = bytes(1024 * 1024)


class SmallDisk:
    """A file system of ``size_bytes`` at ``folder``. ``mount`` before use, ``unmount`` always."""

    def __init__(self, folder: Path, size_bytes: int = SIZE_BYTES) -> None:
        self.folder = folder
        self._size_bytes = size_bytes
        self._filler = folder / "filler"

    def mount(self) -> None:
        """Make the file system; raise Unavailable ``mount_refused``."""
        self.folder.mkdir(mode=0o755)
        option = f"size={self._size_bytes},mode=755"
        done = _run("mount", "-t", "tmpfs", "-o", option, "tongbao-drill", str(self.folder))
        if done.returncode != 0:
            raise Unavailable("mount_refused", f"mount said: {done.stderr.strip()}")

    def unmount(self) -> None:
        """Give it back, with everything on it; nothing where it is not mounted."""
        if self.folder.is_mount():
            _run("umount", str(self.folder))

    def fill(self) -> None:
        """Leave ``LEFT_BYTES`` free."""
        with self._filler.open("ab", buffering=0) as filler:
            while (free := shutil.disk_usage(self.folder).free) > LEFT_BYTES:
                filler.write(_CHUNK[: free - LEFT_BYTES])

    def empty(self) -> None:
        """Delete what filled it."""
        self._filler.unlink(missing_ok=True)


def why_not() -> str | None:
    """Return why no disk can be mounted here; None where one can."""
    if sys.platform != "linux":
        return "mounting a file system in memory is done on Linux only"
    if os.geteuid() != 0:
        return "mounting a file system takes root"
    if shutil.which("mount") is None or shutil.which("umount") is None:
        return "the programs mount and umount are missing"
    return None


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - mount and umount
