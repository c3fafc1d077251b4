"""What conditions may speak of: declared fields with their types, and declared functions."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property


class FieldType(enum.StrEnum):
    """What a value is. Money is a ``core.money.Money``, a number an int or a finite float."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class Field:
    """A name that conditions may use. ``may_be_unknown``: its value may be None."""

    name: str
    type: FieldType
    description: str
    may_be_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function that conditions may call with one value per parameter. ``call`` is pure, total and quick."""

    name: str
    parameters: tuple[FieldType, ...]
    result: FieldType
    call: Callable[..., object]
    description: str


_TWO_TEXTS = (FieldType.TEXT, FieldType.TEXT)
TEXT_FUNCTIONS = (
    Function(
        "starts_with", _TWO_TEXTS, FieldType.BOOLEAN, str.startswith, "whether a text begins with another"
    ),
    Function("ends_with", _TWO_TEXTS, FieldType.BOOLEAN, str.endswith, "whether a text ends with another"),
    Function("contains", _TWO_TEXTS, FieldType.BOOLEAN, str.__contains__, "whether a text holds another"),
)


@dataclass(frozen=True)
class Language:
    """The fields and functions that conditions of one kind may use."""

    fields: tuple[Field, ...]
    functions: tuple[Function, ...] = TEXT_FUNCTIONS

    @cached_property
    def field_of(self) -> dict[str, Field]:
        """Fields by name."""
        return {each.name: each for each in self.fields}

    @cached_property
    def function_of(self) -> dict[str, Function]:
        """Functions by name."""
        return {each.name: each for each in self.functions}
