"""As which operating-system user the server runs.

PostgreSQL refuses to run as root and needs a name for its user. Invariant: only existing users are taken; none is
created.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tongbao.core.errors import NotFound, NotPermitted

if sys.platform != "win32":
    import pwd

UNPRIVILEGED = ("postgres", "nobody")
COMMAND_S = 300.0


class Ids(TypedDict):
    """The arguments of ``subprocess`` that choose a user; None keeps the caller's."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


@dataclass(frozen=True)
class ServerUser:
    """A named user; ``dropped`` when the caller is root and becomes that user only for the server's programs."""

    name: str
    uid: int
    gid: int
    dropped: bool

    @property
    def ids(self) -> Ids:
        """Return the arguments that make ``subprocess`` run a program as this user, without other groups."""
        if not self.dropped:
            return {"user": None, "group": None, "extra_groups": None}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Tell whether this user can enter ``folder`` through all its parents, access lists included."""
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder]).returncode == 0

    def can_run(self, program: Path) -> bool:
        """Tell whether this user can run ``program``, which must know ``--version``."""
        return self.run(["/bin/sh", "-c", '"$1" --version', "sh", program]).returncode == 0

    def run(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` as this user to its end, output captured.

        Raise NotPermitted where the system does not let the caller become this user.
        """
        try:
            return subprocess.run(  # noqa: S603 - callers pass programs of PostgreSQL and the shell
                command, env=env, cwd="/", capture_output=True, text=True, timeout=COMMAND_S, **self.ids
            )
        except OSError as error:
            if not self.dropped:
                raise
            detail = (
                f"root cannot become user {self.name} here ({error.strerror}): start Tongbao as an ordinary user, "
                "or set TONGBAO_DATABASE_URL"
            )
            raise NotPermitted("postgres_user_refused", detail, user=self.name) from error


def choose_user(data: Path) -> ServerUser:
    """Return the user to run the server of data folder ``data`` as.

    Existing data keep their owner. For new data: the caller, or when that is root the first of ``UNPRIVILEGED`` that
    exists. Raise NotPermitted where no user fits and say what to do.
    """
    if sys.platform == "win32":
        detail = "the embedded server needs Linux or macOS: set TONGBAO_DATABASE_URL to any PostgreSQL >= 15"
        raise NotFound("postgres_binaries_missing", detail, system=sys.platform)
    uid = os.geteuid()
    owner = _owner_uid(data)
    if uid != 0:
        if owner is not None and owner != uid:
            detail = f"{data} belongs to user {_name_of(owner)}: run as that user or as root"
            raise NotPermitted("postgres_data_foreign", detail, data=str(data))
        return _existing(uid, dropped=False)
    if owner is None:
        return _first_unprivileged()
    if owner == 0:
        detail = (
            f"{data} belongs to root, as whom PostgreSQL does not run: give the folder to an ordinary user"
        )
        raise NotPermitted("postgres_data_foreign", detail, data=str(data))
    return _existing(owner, dropped=True)


def name_of_root() -> str:
    """Return what user id 0 is called here."""
    return _name_of(0)


def name_of_owner(path: Path) -> str | None:
    """Return the name of the owner of ``path``; None where it does not exist, or not for the caller."""
    uid = _owner_uid(path)
    return None if uid is None else _name_of(uid)


def _owner_uid(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def _existing(uid: int, *, dropped: bool) -> ServerUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        detail = (
            f"user id {uid} has no name on this system and PostgreSQL needs one: run as a named user, add the id to "
            "/etc/passwd of the container image, or set TONGBAO_DATABASE_URL"
        )
        raise NotPermitted("postgres_user_unnamed", detail, uid=uid) from None
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid, dropped)


def _first_unprivileged() -> ServerUser:
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid, dropped=True)
    detail = (
        f"PostgreSQL does not run as root and there is neither of the users {' and '.join(UNPRIVILEGED)}: "
        "start Tongbao as an ordinary user, or set TONGBAO_DATABASE_URL"
    )
    raise NotPermitted("postgres_user_missing", detail)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"id {uid}"
