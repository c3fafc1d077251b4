"""Lazy modules: nothing is loaded before it is used, and errors are those of the module itself."""

import subprocess
import sys

import pytest

from tongbao.core.lazy import Lazily

PROGRAM = """
import sys
from tongbao.core.lazy import Lazily
colors = Lazily("colorsys")
before = "colorsys" in sys.modules
colors.rgb_to_hsv(0, 0, 0)
print(before, "colorsys" in sys.modules)
"""


def test_module_is_loaded_by_its_first_use() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["False", "True"]


def test_what_a_module_lacks_is_its_own_error() -> None:
    colors = Lazily("colorsys")
    assert repr(colors) == "Lazily('colorsys')"
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        colors.paint()
    with pytest.raises(ImportError):
        Lazily("tongbao_of_tomorrow").anything()
