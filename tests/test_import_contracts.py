"""The import contracts of pyproject.toml, tried on a small house: clean it passes, with a seeded import it fails."""

import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
CLEAN = {
    "__init__.py": "",
    "core/__init__.py": "",
    "core/money.py": "from tongbao.core import errors",
    "core/errors.py": "",
    "core/clock.py": "",
    "core/ids.py": "from tongbao.core import clock",
    "core/db.py": "import asyncpg",
    "fx/__init__.py": "",
    "ledger/__init__.py": "",
    "parties/__init__.py": "",
    "privacy/__init__.py": "",
    "channels/__init__.py": "",
    "routing/__init__.py": "",
    "risk/__init__.py": "",
    "decisions/__init__.py": "",
    "payments/__init__.py": "",
    "clearing/__init__.py": "",
    "ledger/errors.py": "from tongbao.core import errors",
    "ledger/schema.py": "from tongbao.core import ids, money\nfrom tongbao.ledger import errors",
    "ledger/policy.py": "from tongbao.ledger import schema",
    "ledger/store.py": "from tongbao.core import db\nfrom tongbao.ledger import schema",
    "ledger/seal.py": "from tongbao.ledger import store",
    "ledger/service.py": "from tongbao.ledger import policy, seal, store",
    "ledger/api.py": "import fastapi\nfrom tongbao.ledger import service",
    "bench/__init__.py": "",
    "bench/ledger.py": "from tongbao.ledger import service",
    "simulator/__init__.py": "",
    "web/__init__.py": "",
    "web/app.py": "from tongbao.bench import ledger\nfrom tongbao.ledger import api",
}


def lint(folder: Path, seeded: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Write the small house with the seeded files and run the real contracts over it."""
    for name, text in {**CLEAN, **seeded}.items():
        path = folder / "tongbao" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "pyproject.toml").write_text(PYPROJECT.read_text())
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "seeded",
    [
        {},
        {"__main__.py": "from tongbao.web import app"},
        {"risk/policy.py": "from tongbao.ledger import schema"},
        {"ledger/tasks.py": "from tongbao.ledger import service"},
        {"ledger/schema.py": "from tongbao.core import ids"},
    ],
)
def test_contracts_on_a_clean_house_are_kept(tmp_path: Path, seeded: dict[str, str]) -> None:
    done = lint(tmp_path, seeded)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("seeded", "contract", "named"),
    [
        ({"core/errors.py": "from tongbao.ledger import schema"}, "Rooms", "tongbao.core.errors"),
        ({"bench/ledger.py": "from tongbao.web import app"}, "Rooms", "tongbao.bench.ledger"),
        ({"cellar/__init__.py": ""}, "Rooms", "tongbao.cellar"),
        (
            {"risk/__init__.py": "from tongbao import routing", "routing/__init__.py": ""},
            "Rooms",
            "tongbao.routing",
        ),
        ({"ledger/store.py": "from tongbao.ledger import policy"}, "Inside a room", "tongbao.ledger.store"),
        (
            {"ledger/schema.py": "from tongbao.ledger import service"},
            "Inside a room",
            "tongbao.ledger.schema",
        ),
        (
            {
                "risk/__init__.py": "",
                "risk/errors.py": "from tongbao.risk import schema",
                "risk/schema.py": "",
            },
            "Inside a room",
            "tongbao.risk.errors",
        ),
        ({"core/money.py": "import httpx"}, "no input or output", "tongbao.core.money"),
        ({"ledger/policy.py": "from tongbao.core import db"}, "no input or output", "tongbao.core.db"),
        (
            {
                "fx/__init__.py": "",
                "fx/schema.py": "from tongbao.core import text",
                "core/text.py": "import fastapi",
            },
            "no input or output",
            "tongbao.fx.schema",
        ),
        ({"ledger/policy.py": "from tongbao.core import clock"}, "read no clock", "tongbao.ledger.policy"),
        ({"ledger/seal.py": "import starlette.requests"}, "web framework", "tongbao.ledger.seal"),
    ],
)
def test_contracts_on_a_seeded_import_are_broken(
    tmp_path: Path, seeded: dict[str, str], contract: str, named: str
) -> None:
    done = lint(tmp_path, seeded)
    assert done.returncode == 1, done.stdout
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(contract in line for line in broken)
    assert named in done.stdout
