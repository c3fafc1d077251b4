"""``tongbao vault``: the key that wraps the vault's data keys: a new version, everything wrapped again, what each still holds.

Run it where the key file is; processes that serve see a new key file at once. No card is read: only the keys that seal cards are
wrapped anew. It may be stopped at any time and run again. With keys in ``TONGBAO_VAULT_KEYS`` a new version is added
there, the processes are started again, and ``rotate`` only wraps. See ``docs/reference/vault.md``.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import typer

from tongbao.core.config import Settings
from tongbao.privacy.ports import KeySource
from tongbao.privacy.service.keys import add_version, open_keys
from tongbao.privacy.service.vault import Vault
from tongbao.web.commands.at_desk import Json, print_json, print_line
from tongbao.web.runtime import open_runtime

BATCH = 1_000

app = typer.Typer(no_args_is_help=True, help="The vault's key: rotate it, see what it holds.")


class _Standing(NamedTuple):
    """How many data keys each version of the key holds, which one is current, and how many were wrapped again."""

    held: dict[int, int]
    current: int
    wrapped: int = 0


Work = Callable[[Vault, KeySource], Awaitable[_Standing]]


@app.command("keys")
def show_keys(as_json: Json = False) -> None:
    """Tell how many data keys each version of the key holds; change nothing."""
    _print(_at_vault(_looked), as_json)


@app.command("rotate")
def rotate(as_json: Json = False) -> None:
    """Add a version of the key and wrap every data key with it. An old version that holds nothing may be destroyed."""
    _print(_at_vault(_rotated), as_json)


def _at_vault(work: Work) -> _Standing:
    """Return what ``work`` makes of the vault that the settings name."""

    async def opened() -> _Standing:
        settings = Settings.model_validate({})
        path = (settings.vault_dir or settings.data_dir / "vault") / "keys.json"
        async with open_runtime(settings) as runtime:
            keys = open_keys(path, os.environ, runtime.clock)
            ids, metrics = runtime.ledger.ids, runtime.metrics
            async with Vault(runtime.database, keys, runtime.clock, ids, metrics) as vault:
                return await work(vault, keys)

    return asyncio.run(opened())


async def _looked(vault: Vault, keys: KeySource) -> _Standing:
    return _Standing(await vault.key_usage(), await keys.current_version())


async def _rotated(vault: Vault, keys: KeySource) -> _Standing:
    add_version(keys)
    wrapped = 0
    while done := await vault.rewrap(BATCH):
        wrapped += done
    return (await _looked(vault, keys))._replace(wrapped=wrapped)


def _print(found: _Standing, as_json: bool) -> None:
    versions = sorted({*found.held, found.current})
    if as_json:
        held = {str(version): found.held.get(version, 0) for version in versions}
        print_json({"current": found.current, "data_keys": held, "wrapped": found.wrapped})
        return
    if found.wrapped:
        print_line(f"wrapped again: {found.wrapped} data keys")
    for version in versions:
        mark = ", current" if version == found.current else ""
        print_line(f"version {version}: {found.held.get(version, 0)} data keys{mark}")
