"""``tongbao vault``: every data key is wrapped anew under a new version of the key, and cards still open."""

from pathlib import Path

import pytest
from tests.privacy.conftest import VISA, card
from tests.web.desk_calls import parsed, shown

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.privacy.adapters.file_keys import FileKeys
from tongbao.privacy.service.vault import Vault


async def test_rotated_key_holds_every_data_key_and_cards_still_open(
    dsn: str, database: Database, ids: IdFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "vault"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("TONGBAO_DATABASE_URL", dsn)
    monkeypatch.setenv("TONGBAO_VAULT_DIR", str(folder))
    monkeypatch.delenv("TONGBAO_VAULT_KEYS", raising=False)
    monkeypatch.chdir(tmp_path)
    clock = RealClock()

    def opened() -> Vault:
        return Vault(database, FileKeys(folder / "keys.json", clock), clock, ids, Metrics())

    async with opened() as vault, database.transaction() as connection:
        token = await vault.tokenize_card(connection, ids.int63(), card())
    assert await shown("vault", "keys") == "version 1: 2 data keys, current"
    assert await parsed("vault", "rotate") == {"current": 2, "data_keys": {"2": 2}, "wrapped": 2}
    assert await shown("vault", "keys") == "version 2: 2 data keys, current"
    async with opened() as vault:
        revealed = await vault.reveal_card(
            token.token, purpose="authorize", actor="channel:cards", subject="pa_1"
        )
    assert revealed.number == VISA
