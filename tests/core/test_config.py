"""Settings: defaults, the environment, bounds, secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tongbao.core.config import Settings

DSN = "postgresql://tongbao:hunter2@db.internal/tongbao"


@pytest.fixture(autouse=True)
def empty_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Run in an empty folder without ``TONGBAO_*`` variables; return the folder."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TONGBAO_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_read_of_an_empty_environment_gives_a_complete_system() -> None:
    settings = Settings()
    assert settings.data_dir == Path(".tongbao")
    assert settings.database_url is None
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8080)


def test_read_of_a_variable_overrides_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGBAO_HTTP_PORT", "0")
    monkeypatch.setenv("TONGBAO_LOG_JSON", "true")
    monkeypatch.setenv("TONGBAO_DATA_DIR", "/srv/books")
    settings = Settings()
    assert settings.http_port == 0
    assert settings.log_json is True
    assert settings.data_dir == Path("/srv/books")


def test_read_of_a_dotenv_file_yields_to_the_environment(
    monkeypatch: pytest.MonkeyPatch, empty_surroundings: Path
) -> None:
    (empty_surroundings / ".env").write_text("TONGBAO_POOL_SIZE=3\nTONGBAO_LANE_COUNT=4\nOTHER=1\n")
    monkeypatch.setenv("TONGBAO_POOL_SIZE", "5")
    settings = Settings()
    assert (settings.pool_size, settings.lane_count) == (5, 4)


@pytest.mark.parametrize("name", ["DATABASE_URL", "POSTGRES_BIN", "HTTP_PORT"])
def test_read_of_a_variable_set_to_nothing_gives_the_default(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"TONGBAO_{name}", "")
    assert Settings() == Settings.model_construct()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "65536"),
        ("HTTP_PORT", "http"),
        ("LOG_LEVEL", "loud"),
        ("POOL_SIZE", "0"),
        ("LANE_BATCH_MAX", "8001"),
        ("SEAL_INTERVAL_S", "0"),
        ("SEAL_INTERVAL_S", "nan"),
    ],
)
def test_read_of_a_value_out_of_bounds_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TONGBAO_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_print_of_settings_hides_the_database_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONGBAO_DATABASE_URL", DSN)
    settings = Settings()
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in text
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == DSN


def test_change_of_a_setting_after_start_is_refused() -> None:
    with pytest.raises(ValidationError):
        Settings().http_port = 1


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
