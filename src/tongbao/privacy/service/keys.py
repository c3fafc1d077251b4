"""Where the vault's wrapping keys come from, chosen by configuration."""

from collections.abc import Mapping
from pathlib import Path

from tongbao.core.clock import Clock
from tongbao.privacy.adapters.environment_keys import VARIABLE, EnvironmentKeys
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.ports import KeySource


def open_keys(path: Path, environment: Mapping[str, str], clock: Clock) -> KeySource:
    """Return the keys of the environment where it holds some, else those of a file, made there at first use.

    Raises KeysUnusable where the file is exposed to others, or either is malformed.
    """
    if environment.get(VARIABLE):
        return EnvironmentKeys.from_environment(environment, clock)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return FileKeys(path, clock)


def add_version(keys: KeySource) -> None:
    """Make a new version of a file's key the current one; where keys come from elsewhere, so do their versions."""
    if isinstance(keys, FileKeys):
        keys.rotate()
