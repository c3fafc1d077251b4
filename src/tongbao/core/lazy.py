"""Modules that are loaded when they are first used: heavy libraries that most processes never need.

    metrics = Lazily("sklearn.metrics")  # at the top of a file, where imports stand
    metrics.roc_auc_score(...)           # loads it, the first time

Loading scikit-learn takes about as long as starting the whole house without it.
"""

from importlib import import_module
from typing import Any


class Lazily:
    """Stands for a module. What the module lacks raises AttributeError, a module that is not there ImportError, at first use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"Lazily({self._name!r})"
