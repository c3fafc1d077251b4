"""Alembic over the migrations of this program; loaded by ``core.migrate`` where there is something to migrate."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def config(dsn: str) -> Config:
    """Return Alembic's settings for the database behind ``dsn``."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent))
    found.attributes["dsn"] = dsn
    return found


def upgrade(dsn: str) -> None:
    """Run all migrations that the database behind ``dsn`` lacks. Blocks; call it in a thread where a loop runs."""
    command.upgrade(config(dsn), "head")


def revisions() -> list[str]:
    """Return all revisions as Alembic reads them, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(config("")).walk_revisions()]
