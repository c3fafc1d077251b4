"""What parameters may be: one small reader for each type, which also describes itself for OpenAPI.

A reader takes nested text (``forms``) and returns a typed value, or raises InvalidRequest whose fact ``param`` names
the parameter as the caller wrote it and whose message never repeats a value. Amounts are integers of minor units,
in ASCII digits. Empty text empties a parameter where that is allowed (``clears``), and is an error elsewhere.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import parse_uuid
from tongbao.payments.schema.documents import (
    METADATA_KEY_CHARS_MAX,
    METADATA_KEYS_MAX,
    METADATA_VALUE_CHARS_MAX,
)
from tongbao.web.api.v1.forms import Params, Value

TEXT_CHARS_MAX = 5_000
INTEGER_DIGITS_MAX = 18
AMOUNT_MINOR_MAX = 999_999_999_999
SECONDS_MAX = 253_402_300_799  # the last second of the year 9999
ITEMS_MAX = 100
NAME_CHARS_SHOWN_MAX = 100
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}\Z")
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*\Z")
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")

Schema = dict[str, object]


def refused(code: str, param: str, detail: str) -> InvalidRequest:
    """Return the error for one parameter."""
    return InvalidRequest(code, detail, param=param)


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter: whether it must be there, whether empty text empties it, and what it is for."""

    required: bool = False
    clears: bool = False
    about: str = ""

    def read(self, value: Value, param: str) -> Any:
        """Return the typed value; None for empty text where that empties."""
        if value == "":
            if self.clears:
                return None
            raise refused("parameter_invalid_empty", param, f"{param} must not be empty")
        return self.parse(value, param)

    def parse(self, value: Value, param: str) -> Any:
        """Return the typed value of what is not empty."""
        raise NotImplementedError

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        raise NotImplementedError


class Text(Field, frozen=True, kw_only=True):
    """Text of at most ``chars_max`` characters."""

    chars_max: int = TEXT_CHARS_MAX

    def parse(self, value: Value, param: str) -> str:
        """Return the text."""
        text = _scalar(value, param)
        if len(text) > self.chars_max:
            raise refused("parameter_too_long", param, f"{param} has at most {self.chars_max} characters")
        return text

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return {"type": "string", "maxLength": self.chars_max, "minLength": 0 if self.clears else 1}


class Email(Text, frozen=True, kw_only=True):
    """An e-mail address by its form."""

    chars_max: int = 254

    def parse(self, value: Value, param: str) -> str:
        """Return the address."""
        text = Text.parse(self, value, param)
        if not _EMAIL.match(text):
            raise refused("email_invalid", param, f"{param} is an e-mail address")
        return text

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return Text.schema(self) | {"pattern": r"^[^@\s]{1,64}@[^@\s]{1,255}$"}


class Url(Text, frozen=True, kw_only=True):
    """An address that begins with ``https://`` or ``http://``."""

    chars_max: int = 2_048

    def parse(self, value: Value, param: str) -> str:
        """Return the address."""
        text = Text.parse(self, value, param)
        if not _URL.match(text):
            raise refused("url_invalid", param, f"{param} is an address that begins with https:// or http://")
        return text

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return Text.schema(self) | {"pattern": r"^https?://[^\s/?#]+[^\s]*$"}


class Integer(Field, frozen=True, kw_only=True):
    """An integer in ASCII digits, both limits included."""

    minimum: int = 0
    maximum: int = 10**INTEGER_DIGITS_MAX - 1

    def parse(self, value: Value, param: str) -> int:
        """Return the number."""
        text = _scalar(value, param)
        if not _INTEGER.match(text):
            raise refused("parameter_invalid_integer", param, f"{param} is an integer")
        number = int(text)
        if not self.minimum <= number <= self.maximum:
            raise refused("parameter_out_of_range", param, f"{param} is {self.minimum} to {self.maximum}")
        return number

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


class Boolean(Field, frozen=True, kw_only=True):
    """``true`` or ``false``."""

    def parse(self, value: Value, param: str) -> bool:
        """Return the truth."""
        if value == "true":
            return True
        if value == "false":
            return False
        raise refused("parameter_invalid_boolean", param, f"{param} is true or false")

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return {"type": "boolean"}


class Choice(Field, frozen=True, kw_only=True):
    """One of a few words."""

    values: tuple[str, ...]

    def parse(self, value: Value, param: str) -> str:
        """Return the word."""
        text = _scalar(value, param)
        if text not in self.values:
            raise refused("parameter_invalid_enum", param, f"{param} is one of {', '.join(self.values)}")
        return text

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return {"type": "string", "enum": [*self.values, *([""] if self.clears else [])]}


class CurrencyCode(Field, frozen=True, kw_only=True):
    """A code of ISO 4217, in any case; capitals inside the house."""

    def parse(self, value: Value, param: str) -> str:
        """Return the code in capitals."""
        text = _scalar(value, param)
        code = text.upper()
        if len(text) != 3 or not text.isascii():
            raise refused("currency_invalid", param, f"{param} is a three-letter code of ISO 4217")
        try:
            return currencies.currency(code).code
        except InvalidRequest:
            raise refused("currency_invalid", param, f"{param} is a three-letter code of ISO 4217") from None

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return {"type": "string", "pattern": "^[A-Za-z]{3}$"}


class Id(Field, frozen=True, kw_only=True):
    """The id of an object, with one of these prefixes; ``what`` is the object's name in errors."""

    prefixes: tuple[str, ...]
    what: str

    def parse(self, value: Value, param: str) -> Any:
        """Return the UUID; raise InvalidRequest ``resource_missing`` for what can be no id of this kind."""
        text = _scalar(value, param)
        for prefix in self.prefixes:
            if text.startswith(prefix):
                try:
                    return parse_uuid(prefix, text)
                except ValueError:
                    continue
        raise refused("resource_missing", param, f"no such {self.what}")

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        heads = "|".join(self.prefixes)
        empty = "|^$" if self.clears else ""
        return {"type": "string", "pattern": f"^({heads})_[0-9a-hjkmnp-tv-z]{{26}}${empty}"}


class Instant(Integer, frozen=True, kw_only=True):
    """An instant in seconds of Unix time."""

    maximum: int = SECONDS_MAX

    def parse(self, value: Value, param: str) -> Any:
        """Return the instant, aware, in UTC."""
        return datetime.fromtimestamp(Integer.parse(self, value, param), UTC)


class Metadata(Field, frozen=True, kw_only=True):
    """Up to 50 keys of up to 40 characters with values of up to 500. An empty value removes its key."""

    def parse(self, value: Value, param: str) -> dict[str, str]:
        """Return the mapping, empty values included."""
        if isinstance(value, str):
            raise refused("parameter_invalid_object", param, f"{param} is an object; empty one key at a time")
        if len(value) > METADATA_KEYS_MAX:
            raise refused("metadata_too_large", param, f"{param} has at most {METADATA_KEYS_MAX} keys")
        found: dict[str, str] = {}
        for key, item in value.items():
            if isinstance(item, dict):
                raise refused("parameter_invalid_string", f"{param}[{key[:40]}]", "metadata holds plain text")
            if len(key) > METADATA_KEY_CHARS_MAX:
                raise refused(
                    "metadata_too_large", param, f"a key has at most {METADATA_KEY_CHARS_MAX} characters"
                )
            if len(item) > METADATA_VALUE_CHARS_MAX:
                raise refused(
                    "metadata_too_large",
                    f"{param}[{key}]",
                    f"a value has at most {METADATA_VALUE_CHARS_MAX} characters",
                )
            found[key] = item
        return found

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return {
            "type": "object",
            "maxProperties": METADATA_KEYS_MAX,
            "propertyNames": {"pattern": r"^[^\[\]\u0000]{1,40}$"},
            "additionalProperties": {"type": "string", "maxLength": METADATA_VALUE_CHARS_MAX},
        }


class Nested(Field, frozen=True, kw_only=True):
    """An object with fields of its own, nothing else among them."""

    fields: Mapping[str, Field]

    def parse(self, value: Value, param: str) -> dict[str, Any]:
        """Return the typed values of those fields that are there."""
        if isinstance(value, str):
            raise refused("parameter_invalid_object", param, f"{param} is an object")
        return _read_fields(self.fields, _required(self.fields), value, param)

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return object_schema(self.fields)


class Many(Field, frozen=True, kw_only=True):
    """A list, in a form ``name[0]``, ``name[1]`` … or ``name[]``."""

    item: Field
    items_max: int = ITEMS_MAX
    items_min: int = 0

    def read(self, value: Value, param: str) -> Any:
        """Return the items; an empty text is the empty list where the list may be empty."""
        return () if value == "" and not self.items_min else self.parse(value, param)

    def parse(self, value: Value, param: str) -> tuple[Any, ...]:
        """Return the items in order; the keys are 0 to n - 1, each once."""
        if isinstance(value, str):
            raise refused("parameter_invalid_array", param, f"{param} is a list")
        if not self.items_min <= len(value) <= self.items_max:
            raise refused(
                "parameter_invalid_array", param, f"{param} has {self.items_min} to {self.items_max} items"
            )
        names = [str(at) for at in range(len(value))]
        if any(name not in value for name in names):
            raise refused("parameter_invalid_array", param, f"{param} is a list with indexes from 0")
        return tuple(self.item.read(value[name], f"{param}[{name}]") for name in names)

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return {
            "type": "array",
            "items": self.item.schema(),
            "minItems": self.items_min,
            "maxItems": self.items_max,
        }


class CreatedRange(Field, frozen=True, kw_only=True):
    """When something was created: an instant, or ``gt``, ``gte``, ``lt``, ``lte``; read as a half-open interval."""

    def parse(self, value: Value, param: str) -> tuple[datetime | None, datetime | None]:
        """Return the first instant inside and the first one after; None where there is no limit."""
        if isinstance(value, str):
            second = _seconds(value, param)
            return _instant(second), _instant(second + 1)
        if unknown := value.keys() - {"gt", "gte", "lt", "lte"}:
            raise _unknown(f"{param}[{min(unknown)}]")
        edges = {name: _seconds(edge, f"{param}[{name}]") for name, edge in value.items()}
        lows = [edges[name] + plus for name, plus in (("gte", 0), ("gt", 1)) if name in edges]
        highs = [edges[name] + plus for name, plus in (("lt", 0), ("lte", 1)) if name in edges]
        return (
            _instant(max(lows)) if lows else None,
            _instant(min(highs)) if highs else None,
        )

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        second: Schema = {"type": "integer", "minimum": 0, "maximum": SECONDS_MAX - 1}
        names = ("gt", "gte", "lt", "lte")
        return {
            "type": "object",
            "properties": dict.fromkeys(names, second),
            "additionalProperties": False,
        }


class Form:
    """The parameters of one route."""

    def __init__(self, fields: Mapping[str, Field] | None = None) -> None:
        self.fields: Mapping[str, Field] = fields or {}
        self._required = _required(self.fields)

    def read(self, params: Params) -> dict[str, Any]:
        """Return the typed values of those parameters that are there.

        Raises InvalidRequest ``parameter_unknown``, ``parameter_missing`` and what the fields raise, whichever
        comes first in the request; missing ones last.
        """
        return _read_fields(self.fields, self._required, params, "")

    def schema(self) -> Schema:
        """Return the JSON schema of the parameters as one object."""
        return object_schema(self.fields)


def object_schema(fields: Mapping[str, Field]) -> Schema:
    """Return the JSON schema of an object with these fields."""
    properties: Schema = {
        name: field.schema() | ({"description": field.about} if field.about else {})
        for name, field in fields.items()
    }
    required = _required(fields)
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": list(required)} if required else {})


def _required(fields: Mapping[str, Field]) -> tuple[str, ...]:
    return tuple(name for name, field in fields.items() if field.required)


def _read_fields(
    fields: Mapping[str, Field], required: Sequence[str], params: Params, outer: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in params.items():
        field = fields.get(name)
        param = f"{outer}[{name}]" if outer else name
        if field is None:
            raise _unknown(param)
        found[name] = field.read(value, param)
    for name in required:
        if name not in found:
            param = f"{outer}[{name}]" if outer else name
            raise refused("parameter_missing", param, f"{param} is required")
    return found


def _scalar(value: Value, param: str) -> str:
    if isinstance(value, dict):
        raise refused("parameter_invalid_string", param, f"{param} is one value, not an object or a list")
    return value


def _unknown(param: str) -> InvalidRequest:
    shown = param[:NAME_CHARS_SHOWN_MAX]
    return refused("parameter_unknown", shown, f"received unknown parameter: {shown}")


def _seconds(value: Value, param: str) -> int:
    return Integer(maximum=SECONDS_MAX - 1).read(value, param)  # type: ignore[no-any-return]  # read is declared for all types


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
