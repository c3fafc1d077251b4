"""The reference page is the one that the tables make, and the tables know every code that the sources raise."""

import ast
from pathlib import Path

from tongbao.web.api.v1 import reference
from tongbao.web.api.v1.error_texts import TEXTS
from tongbao.web.api.v1.table import ROUTES

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "src" / "tongbao" / "web" / "api" / "v1"
RAISERS = {"refused", "InvalidRequest", "NotFound", "LimitExceeded", "KeyRefused", "InvariantBroken"}


def test_page_in_the_docs_is_the_one_that_the_tables_make() -> None:
    page = (ROOT / "docs" / "reference" / "api-v1.md").read_text()
    assert page == reference.markdown(ROUTES), "run python -m tongbao.web.api.v1.reference"


def test_page_tells_every_route() -> None:
    page = reference.markdown(ROUTES)
    assert all(f"### `{route.method} /v1{route.path}`" in page for route in ROUTES)


def test_every_code_that_the_interface_raises_has_a_chinese_text() -> None:
    raised = {
        node.args[0].value
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in RAISERS
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(raised) > 20
    assert raised <= set(TEXTS)
