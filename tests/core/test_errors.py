"""The error tree: as drawn, as raised, and as it travels."""

import copy
import inspect
import pickle

import pytest

from tongbao.core import errors
from tongbao.core.errors import AppError, Conflict, Unavailable


def drawn_tree(docstring: str) -> set[tuple[str, str]]:
    """Return (child, parent) for every line that hangs in the drawing, by the column of its name."""
    pairs: set[tuple[str, str]] = set()
    above: list[tuple[int, str]] = []
    for line in docstring.splitlines():
        name = line.lstrip(" │├└─").split(" ")[0]
        hangs = any(mark in line for mark in "├└")
        if not hangs and name != "AppError":
            continue
        column = line.index(name)
        above = [(place, parent) for place, parent in above if place < column]
        if hangs:
            pairs.add((name, above[-1][1]))
        above.append((column, name))
    return pairs


def real_tree() -> set[tuple[str, str]]:
    classes = inspect.getmembers(errors, inspect.isclass)
    kinds = [kind for _, kind in classes if issubclass(kind, AppError) and kind is not AppError]
    return {(kind.__name__, kind.__mro__[1].__name__) for kind in kinds}


KINDS = [getattr(errors, name) for name, _ in sorted(real_tree())]


def test_tree_in_the_docstring_equals_the_classes() -> None:
    assert errors.__doc__ is not None
    drawn = drawn_tree(errors.__doc__)
    assert drawn == real_tree()
    assert len(drawn) == 8


def test_drawn_tree_with_grandchildren_names_their_parents() -> None:
    drawing = "AppError\n├── A      text\n│   └── B  text\n└── C\n"
    assert drawn_tree(drawing) == {("A", "AppError"), ("B", "A"), ("C", "AppError")}


def test_raise_with_facts_keeps_code_detail_and_facts() -> None:
    error = Conflict("key_reused", "another body under this key", key="k1", amount_minor=5)
    assert (error.code, error.detail) == ("key_reused", "another body under this key")
    assert error.facts == {"key": "k1", "amount_minor": 5}
    assert str(error) == "key_reused: another body under this key"


def test_unavailable_tells_when_to_come_back() -> None:
    assert Unavailable("queue_full", "too busy").retry_after_s == 1.0
    error = Unavailable("queue_full", "too busy", retry_after_s=2.5, queued=9)
    assert error.retry_after_s == 2.5
    assert error.facts == {"retry_after_s": 2.5, "queued": 9}


@pytest.mark.parametrize("kind", KINDS)
def test_copy_or_pickle_of_an_error_keeps_it_whole(kind: type[AppError]) -> None:
    error = kind("some_code", "one sentence", account="acct_1", retry_after_s=3.0)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert (twin.code, twin.detail, twin.facts) == (error.code, error.detail, error.facts)
        assert getattr(twin, "retry_after_s", 3.0) == 3.0
