"""The folders and files of one embedded server: where they are, who owns them, who may start it.

Under ``home``, which belongs to the caller::

    lock          held while somebody starts or stops the server
    moved_to      only for root, where the server's user cannot enter home: the folder that holds all the rest
    data/         the cluster; 0700, of the server's user
    socket/       the Unix socket; 0700, of the server's user
    socket_dir    only where that path is too long for a socket: the short folder used instead
    running.lock  held by every process of the running server, whichever container it is in
    pg_hba.conf, pg_ident.conf    who may connect; outside data, so the server's user cannot change them
    log/          postgres.log and one older part; 0700, of the caller
    binaries/     only where the server's user cannot reach the wheel: a copy

Invariant: only folders made here change their mode or owner.
"""

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tongbao.core.embedded.identity import ServerUser, name_of_root
from tongbao.core.errors import NotFound, NotPermitted, Unavailable

if sys.platform != "win32":
    import fcntl

ROLE = "tongbao"
PORT = 5432
SEATS = Path("/var/lib/tongbao")
SHORT_SOCKET_PARENTS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - the folders are private
SOCKET_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
LOG_BYTES_MAX = 16 * 1024 * 1024
LOCK_POLL_S = 0.02


@dataclass(frozen=True)
class Place:
    """The paths of one server; ``seat`` equals ``home`` unless the server's user cannot enter it."""

    home: Path
    seat: Path
    socket_dir: Path

    @property
    def data(self) -> Path:
        """Return the folder of the cluster."""
        return self.seat / "data"

    @property
    def log(self) -> Path:
        """Return the file that takes the server's messages."""
        return self.seat / "log" / "postgres.log"

    @property
    def running_lock(self) -> Path:
        """Return the file that every process of the running server keeps locked."""
        return self.seat / "running.lock"

    @property
    def notes(self) -> list[str]:
        """Return sentences about what lies elsewhere than expected, for people."""
        notes = []
        if self.seat != self.home:
            notes.append(f"The data are in {self.seat}, because the server's user cannot enter {self.home}.")
        if self.socket_dir.parent != self.seat:
            notes.append(
                f"The socket is in {self.socket_dir}, because {self.seat} is unfit for a socket's path."
            )
        return notes


def find_place(home: Path) -> Place:
    """Return the recorded place of the server of ``home`` without making anything."""
    seat = _recorded(home / "moved_to") or home
    return Place(home, seat, _recorded(seat / "socket_dir") or seat / "socket")


def make_place(home: Path, user: ServerUser) -> Place:
    """Return the place of the server of ``home`` with its folders made, except the cluster.

    Raise NotPermitted where ``user`` cannot reach existing data or no folder fits, NotFound where data that were kept
    elsewhere are gone. The caller holds the start lock.
    """
    seat = _make_seat(home, user)
    owner = seat.stat()
    _make_private(seat / "log", owner.st_uid, owner.st_gid)
    return Place(home, seat, _make_socket_dir(seat, user))


def make_home(home: Path) -> None:
    """Make ``home`` and its missing parents, passable for the server's user where that is not the caller."""
    missing = [folder for folder in (home, *home.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            folder.chmod(0o755)


def write_access_rules(place: Place, user: ServerUser) -> dict[str, str]:
    """Write who may connect - root and the server's own user, over the socket - and return the settings that say so."""
    rules = f"local all all peer map={ROLE}\nlocal replication all peer map={ROLE}\n"
    users = "".join(f'{ROLE} "{name}" {ROLE}\n' for name in sorted({name_of_root(), user.name}))
    hba_file, ident_file = place.seat / "pg_hba.conf", place.seat / "pg_ident.conf"
    _replace(hba_file, rules)
    _replace(ident_file, users)
    return {"hba_file": str(hba_file), "ident_file": str(ident_file)}


def give(path: Path, user: ServerUser) -> None:
    """Give ``path``, made by the caller, to the server's user."""
    if user.dropped:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def open_log(place: Place) -> int:
    """Return a descriptor that appends to the server's log."""
    return _open_private(place.log, os.O_WRONLY | os.O_APPEND)


def trim_log(place: Place) -> None:
    """Move the log's content to ``postgres.log.1`` once it is larger than ``LOG_BYTES_MAX``; the server may run."""
    if not place.log.exists() or place.log.stat().st_size <= LOG_BYTES_MAX:
        return
    with os.fdopen(_open_private(place.log, os.O_RDWR), "r+b") as log:
        descriptor, draft = tempfile.mkstemp(dir=place.log.parent)
        with os.fdopen(descriptor, "wb") as older:
            shutil.copyfileobj(log, older)
        os.replace(draft, place.log.with_suffix(".log.1"))
        # The server appends, so it goes on at the new end.
        log.truncate(0)


@contextmanager
def exclusive(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock file ``path`` against other processes and threads; raise Unavailable after ``timeout_s``."""
    lock = take(path, timeout_s)
    try:
        yield
    finally:
        os.close(lock)


def take(path: Path, timeout_s: float) -> int:
    """Return a descriptor that holds the lock file ``path`` until all its copies are closed.

    Programs that inherit it hold the lock too, until the last of them ends. Raise Unavailable after ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    lock = _open_private(path, os.O_RDWR)
    while not _try_lock(lock):
        if time.monotonic() >= deadline:
            os.close(lock)
            detail = f"another process has held {path} for {timeout_s:.0f} s"
            raise Unavailable("postgres_lock_busy", detail, path=str(path))
        time.sleep(LOCK_POLL_S)
    return lock


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_seat(home: Path, user: ServerUser) -> Path:
    pointer = home / "moved_to"
    moved_to = _recorded(pointer)
    if moved_to is not None:
        if not moved_to.is_dir():
            detail = f"the data were in {moved_to}, which is gone: bring it back, or remove {pointer} to begin empty"
            raise NotFound("postgres_data_missing", detail, folder=str(moved_to))
        return moved_to
    if not user.dropped or user.can_enter(home):
        return home
    if (home / "data").exists():
        detail = (
            f"user {user.name}, as whom the server runs, cannot enter {home} any more: give it passage (chmod o+x) on "
            "that folder and its parents, or move the folder"
        )
        raise NotPermitted("postgres_data_unreachable", detail, home=str(home))
    make_home(SEATS)
    seat = Path(tempfile.mkdtemp(prefix="postgres-", dir=SEATS))
    seat.chmod(0o755)
    if not user.can_enter(seat):
        seat.rmdir()
        detail = (
            f"user {user.name}, as whom the server runs, can enter neither {home} nor {SEATS}: set TONGBAO_DATA_DIR to "
            "a folder open to it, start Tongbao as an ordinary user, or set TONGBAO_DATABASE_URL"
        )
        raise NotPermitted("postgres_data_unreachable", detail, home=str(home))
    _replace(pointer, f"{seat}\n")
    return seat


def _make_socket_dir(seat: Path, user: ServerUser) -> Path:
    near, record = seat / "socket", seat / "socket_dir"
    if _fits_socket(near):
        record.unlink(missing_ok=True)
        _make_private(near, user.uid, user.gid)
        return near
    recorded = _recorded(record)
    if recorded is not None and _is_own_socket_dir(recorded, seat, user):
        return recorded
    parents = [Path(tempfile.gettempdir()), *SHORT_SOCKET_PARENTS]
    for parent in parents:
        if parent.is_dir() and _fits_socket(parent / "tongbao-12345678") and user.can_enter(parent):
            folder = Path(tempfile.mkdtemp(prefix="tongbao-", dir=parent))
            (folder / "seat").write_text(f"{seat}\n")
            give(folder, user)
            _replace(record, f"{folder}\n")
            return folder
    detail = (
        f"no folder for a Unix socket: {near} is too long, and none of {', '.join(map(str, parents))} fits"
    )
    raise NotPermitted("postgres_socket_folder", detail, seat=str(seat))


def _fits_socket(folder: Path) -> bool:
    """Tell whether a socket in ``folder`` has a path short enough and free of what separates lists of folders."""
    path = str(folder / f".s.PGSQL.{PORT}")
    return len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX and not set(path) & set(',"\\\n')


def _is_own_socket_dir(folder: Path, seat: Path, user: ServerUser) -> bool:
    """Tell whether ``folder`` still is what was made for ``seat``: temporary folders are cleaned, homes are copied."""
    try:
        found = folder.lstat()
        return (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == user.uid
            and not found.st_mode & 0o077
            and _recorded(folder / "seat") == seat
        )
    except OSError:
        return False


def _make_private(folder: Path, uid: int, gid: int) -> None:
    """Make ``folder`` where missing, for its owner ``uid`` alone."""
    if not folder.exists():
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, uid, gid, follow_symlinks=False)
    found = folder.lstat()
    if found.st_uid != uid or not stat.S_ISDIR(found.st_mode):
        detail = f"{folder} is not the private folder that was made there: remove it and start again"
        raise NotPermitted("postgres_folder_foreign", detail, folder=str(folder))
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def _open_private(path: Path, flags: int) -> int:
    """Open ``path``, made for its folder's owner alone where missing, never through a symbolic link."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _recorded(path: Path) -> Path | None:
    """Return the path written in file ``path``; None where there is no such file."""
    try:
        return Path(path.read_text().rstrip("\n"))
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step, readable for the server's user; readers see the old or the new."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(descriptor, 0o644)
    os.replace(draft, path)
