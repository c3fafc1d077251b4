import importlib
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from tongbao.web.cli import COMMANDS, app

runner = CliRunner()


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"run"}))
def test_door_line_is_the_line_of_the_group(name: str) -> None:
    group = importlib.import_module(f"tongbao.web.commands.{name}").app
    assert isinstance(group, typer.Typer)
    assert group.info.help == COMMANDS[name]


def test_door_entered_shows_what_stands_behind() -> None:
    shown = runner.invoke(app, ["routing", "--help"])
    assert shown.exit_code == 0
    assert "board" in shown.stdout
    assert "--install-completion" not in shown.stdout


def test_door_of_one_command_takes_its_options() -> None:
    shown = runner.invoke(app, ["run", "--help"])
    assert shown.exit_code == 0
    assert "--fresh" in shown.stdout


def test_door_unknown_is_refused() -> None:
    refused = runner.invoke(app, ["rooting"])
    assert refused.exit_code == 2


def test_help_loads_no_group() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from tongbao.web.cli import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "sys.exit(any(name.startswith(('tongbao.web.commands', 'numpy', 'fastapi')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_run_starts_a_server_before_the_house_is_loaded() -> None:
    code = (
        "import sys; import tongbao.web.commands.run; "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'fastapi', 'tongbao.web.house')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
