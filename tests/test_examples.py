"""Examples are run, and what they print is what the documentation says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_ledger_tour_prints_what_is_documented() -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "examples/ledger_tour.py"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == (ROOT / "examples/ledger_tour.txt").read_text()


def test_ledger_page_holds_the_printed_tour() -> None:
    printed = (ROOT / "examples/ledger_tour.txt").read_text()
    assert printed in (ROOT / "docs/concepts/ledger.md").read_text()
