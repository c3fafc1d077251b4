"""What the documentation shows of a first payment happens: its commands and the example are run against the house."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.scenarios.running_house import Shop

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/start/first-payment.md").read_text()
STEP = re.compile(r"^```sh\n(.+?)^```\n+```json\n(.+?)^```$", re.MULTILINE | re.DOTALL)


def differences(shown: Any, got: Any, path: str = "") -> list[str]:
    """Where an answer is not what the page shows of it; ``…`` stands for anything that begins so."""
    if isinstance(shown, dict):
        return [
            found
            for name, value in shown.items()
            for found in differences(
                value, got.get(name) if isinstance(got, dict) else None, f"{path}.{name}"
            )
        ]
    if isinstance(shown, str) and shown.endswith("…"):
        return [] if isinstance(got, str) and got.startswith(shown[:-1]) else [f"{path}: {got!r}"]
    return [] if shown == got else [f"{path}: {got!r}"]


def test_commands_of_the_page_answer_what_it_shows(tea: Shop) -> None:
    steps = STEP.findall(PAGE)
    assert len(steps) == 5
    known = {"BASE": tea.base_url, "KEY": tea.secret}
    for command, shown in steps:
        ran = subprocess.run(
            ["sh", "-c", command],
            env={"PATH": "/usr/bin:/bin", **known},
            capture_output=True,
            timeout=30,
            check=True,
        )
        got = json.loads(ran.stdout)
        assert differences(json.loads(shown), got) == [], command
        if got.get("object") == "payment_intent":
            known["PI"] = got["id"]


def test_differences_find_what_is_not_so() -> None:
    assert differences({"a": {"id": "pi_…"}, "b": 1}, {"a": {"id": "pi_1"}, "b": 1, "c": 2}) == []
    assert differences({"a": {"id": "pi_…"}, "b": 1}, {"a": {"id": "re_1"}}) == [".a.id: 're_1'", ".b: None"]


def test_first_payment_prints_what_is_documented(tea: Shop) -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "examples/first_payment.py", tea.base_url, tea.secret],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == (ROOT / "examples/first_payment.txt").read_text()
    assert ran.stdout in PAGE
