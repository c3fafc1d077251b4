"""The data folder of a city: its own, never that of a house, and one city's at a time. Every run begins with it empty."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Conflict, InvalidRequest

MARK = "city.lock"
"""The file that makes a folder a city's; whoever holds its lock lives in it."""


@contextlib.contextmanager
def city_folder(home: Path) -> Iterator[Path]:
    """Lend an empty folder to one city; what an earlier one left is removed first.

    Raises InvalidRequest ``city_folder_foreign`` for a folder that holds other things, Conflict ``city_running`` while
    another city lives in it.
    """
    if home.exists() and not (home / MARK).is_file() and (not home.is_dir() or any(home.iterdir())):
        raise InvalidRequest(
            "city_folder_foreign", f"{home} is not a city's folder; name an empty one with --home"
        )
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                "city_running", f"another city lives in {home}; name another one with --home"
            ) from None
        _empty(home)
        yield home
    finally:
        os.close(lock)


def _empty(home: Path) -> None:
    """Stop what still runs over the folder, and remove everything but the mark."""
    if (home / "postgres").is_dir():
        server = EmbeddedServer(home / "postgres")
        data = server.status().data_dir
        server.stop()
        shutil.rmtree(data, ignore_errors=True)
    for path in home.iterdir():
        if path.name == MARK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
