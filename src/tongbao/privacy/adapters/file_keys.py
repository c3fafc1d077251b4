"""Wrapping keys in a file of this machine, readable by its owner alone.

The file is JSON and is made on first start with one random key of 256 bits. Every change writes a new file,
brings it to disk and puts it in the old one's place, so a crash leaves the one or the other; a lock beside it
keeps two processes from rotating at once. Other processes see a rotation before they next wrap a key.

Whoever loses this file loses every card: back it up apart from the database. Whoever has both has everything.
"""

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.errors import InvalidRequest
from tongbao.privacy.adapters.key_ring import KeyRing, RandomBytes, RingKey
from tongbao.privacy.errors import KeysUnusable
from tongbao.privacy.schema import Hidden, KeyHealth, KeyVersion, WrappedKey
from tongbao.privacy.sealing import KEY_BYTES

if sys.platform != "win32":
    import fcntl

FORMAT = 1
FILE_BYTES_MAX = 1_000_000
RETIRE_AFTER = timedelta(days=30)
"""How long the versions before stay open after a rotation, unless told otherwise: time for the rewrap."""
_Stamp = tuple[int, int, int]


class _KeyFile(Hidden, frozen=True):
    """What the file holds."""

    format: int
    keys: list[RingKey]


class FileKeys:
    """A ``ports.KeySource`` over a key file, which it makes where there is none.

    Raises KeysUnusable ``key_file_exposed`` where others than its owner may read or write it, or where it belongs
    to somebody else or is a link, and ``key_file_unreadable`` where it is no key file.
    """

    def __init__(self, path: Path, clock: Clock, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        self._path = path
        self._clock = clock
        self._random_bytes = random_bytes
        if sys.platform == "win32":
            raise KeysUnusable("key_file_unsupported", "key files need POSIX modes: use EnvironmentKeys")
        if not os.path.lexists(path):
            self._create()
        self._keys, self._stamp = _read(path)
        self._ring = KeyRing(self._keys, clock, random_bytes)

    def __repr__(self) -> str:
        return f"FileKeys({str(self._path)!r})"

    async def wrap(self, key: bytes, context: bytes) -> WrappedKey:
        """Return ``key`` wrapped under the current version; raise KeysUnusable where the file is lost or exposed.

        A key wrapped without the file would be lost with this process.
        """
        self._refresh()
        return self._ring.wrap(key, context)

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> bytes:
        """Return the key; raise SealBroken or KeyRefused."""
        if wrapped.version not in self._ring:
            self._refresh()
        return self._ring.unwrap(wrapped, context)

    async def current_version(self) -> int:
        """Return the highest version in the file."""
        self._refresh()
        return self._ring.current

    async def versions(self) -> list[KeyVersion]:
        """Return all versions, oldest first."""
        self._refresh()
        return self._ring.versions()

    async def health(self) -> KeyHealth:
        """Return whether the file is there, whole, and for its owner alone."""
        try:
            self._refresh()
        except KeysUnusable as error:
            return KeyHealth(healthy=False, current_version=self._ring.current, detail=error.detail)
        return KeyHealth(healthy=True, current_version=self._ring.current)

    def rotate(self, retire_after: timedelta = RETIRE_AFTER) -> KeyVersion:
        """Add a version and make it the current one; return it.

        Versions before retire ``retire_after`` from now, if they do not retire earlier: until then every data key
        must have been wrapped again (``Vault.rewrap``).
        """
        if retire_after < timedelta(0):
            raise InvalidRequest("retire_after_invalid", "a version cannot retire before it is replaced")
        with self._locked():
            self._refresh()
            retire_at = self._clock.now() + retire_after
            keys = [_retired(key, retire_at) for key in self._keys]
            self._write([*keys, self._new_key(self._ring.current + 1)])
        self._refresh()
        return self._ring.versions()[-1]

    def _create(self) -> None:
        with _explained(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            # Another process may have made it while this one waited for the lock.
            if not os.path.lexists(self._path):
                self._write([self._new_key(1)])

    def _new_key(self, version: int) -> RingKey:
        return RingKey(version=version, key=self._random_bytes(KEY_BYTES), created_at=self._clock.now())

    def _refresh(self) -> None:
        """Read the file again where it is not the one that was read last."""
        with _explained(self._path):
            stamp = _stamp(os.lstat(self._path))
        if stamp != self._stamp:
            self._keys, self._stamp = _read(self._path)
            self._ring = KeyRing(self._keys, self._clock, self._random_bytes)

    def _write(self, keys: list[RingKey]) -> None:
        """Put a new file in the place of the old one, on disk before anybody can see it."""
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        with _explained(self._path):
            try:
                _write_through(draft, msgspec.json.format(msgspec.json.encode(_KeyFile(FORMAT, keys))))
                draft.replace(self._path)
            except OSError:
                draft.unlink(missing_ok=True)
                raise
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing the file until the block ends."""
        with _explained(self._path):
            lock = os.open(
                self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _write_through(path: Path, content: bytes) -> None:
    """Write a new file, for its owner alone, and bring it to disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _retired(key: RingKey, at: datetime) -> RingKey:
    if key.retire_at is not None and key.retire_at <= at:
        return key
    return RingKey(version=key.version, key=key.key, created_at=key.created_at, retire_at=at)


def _read(path: Path) -> tuple[list[RingKey], _Stamp]:
    """Return the keys of a file and its stamp; raise KeysUnusable."""
    if path.is_symlink():
        raise KeysUnusable("key_file_exposed", f"{path} is a link: name the file itself")
    with _explained(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            _check_owner(path, status)
            text = file.read(FILE_BYTES_MAX)
    try:
        content = msgspec.json.decode(text, type=_KeyFile)
    except msgspec.MsgspecError:
        # Without the cause: what stands in the file is secret even where it is malformed.
        raise KeysUnusable("key_file_unreadable", f"{path} is not a key file") from None
    if content.format != FORMAT:
        raise KeysUnusable("key_file_unreadable", f"{path} has format {content.format}, not {FORMAT}")
    return content.keys, _stamp(status)


def _check_owner(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeysUnusable(
            "key_file_exposed", f"{path} has mode {mode:04o}; others can read it: chmod 600 {path}"
        )
    if status.st_uid != os.geteuid():
        raise KeysUnusable("key_file_exposed", f"{path} belongs to another user ({status.st_uid})")


def _stamp(status: os.stat_result) -> _Stamp:
    """Return what changes with the file or its protection."""
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise KeysUnusable for what the operating system says of the file."""
    try:
        yield
    except OSError as error:
        raise KeysUnusable("key_file_unreadable", f"{path}: {error.strerror}", file=str(path)) from error
