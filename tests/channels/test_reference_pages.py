"""The reference pages say what the code says."""

import pytest
from tests.channels.reference_pages import FOLDER, PAGES, channels
from tests.contracts.cases import CASES


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_the_code_prints(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), (
        "print it again: python -m tests.channels.reference_pages"
    )


def test_matrix_has_a_column_for_every_adapter_that_is_checked() -> None:
    head = next(line for line in channels().splitlines() if line.startswith("| "))
    assert {case.name.removesuffix("_sandbox") for case in CASES} <= {
        column.strip().partition(",")[0] for column in head.split("|")
    }
