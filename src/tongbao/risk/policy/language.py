"""What conditions of risk control may speak of: features, signals, the score, and lists.

The language is that of ``decisions.policy.expressions``. Fields are every feature of the registry, the signals below and
``score``; ``listed("vip cards")`` asks whether anything of the payment is on a list. Laws:

- What is unknown (a feature that is NaN, an empty country, a score that failed) makes each comparison that it stands in
  false, ``!=`` included. A list that is declared nowhere has nobody on it.
- ``amount`` is rebuilt from hundredths: of a currency with three decimals the last one is 0.
- ``hour`` and ``weekday`` are those of UTC.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money
from tongbao.decisions.policy.expression_language import Field, FieldType, Language
from tongbao.decisions.policy.expression_source import (
    SOURCE_CHARS_MAX,
    Place,
    Problem,
    nearest,
    place_of,
    wrong,
)
from tongbao.decisions.policy.expressions import Compiled, compile_condition
from tongbao.risk.models.base import Floats
from tongbao.risk.models.registry import FEATURES
from tongbao.risk.schema.lists import LIST_NAME, LIST_NAME_CHARS_MAX
from tongbao.risk.schema.signals import Signals

_TEXT, _NUMBER, _BOOLEAN = FieldType.TEXT, FieldType.NUMBER, FieldType.BOOLEAN
_PREFIX = "listed_"
_LISTED = re.compile(
    r"""\"[^"\n]*"|'[^'\n]*'
    |(?<![A-Za-z_0-9])(?P<word>listed)(?![A-Za-z_0-9])(?P<call>[ ]*\([ ]*(?P<quote>["'])(?P<name>[^"'\n]*)(?P=quote)[ ]*\))?""",
    re.VERBOSE,
)
# The field behind a question for a list, outside of quoted text.
_FIELD = re.compile(r"""\"[^"\n]*"|'[^'\n]*'|\blisted_(?P<name>[a-z0-9_]+)""")


def money_of(value: int, currency: str) -> Money:
    """Return ``value`` hundredths of the major unit as money, cut towards zero where the currency has no hundredths.

    Raises InvalidRequest ``currency_unknown`` or ``currency_without_minor_unit``.
    """
    exponent = currencies.currency(currency).exponent
    minor = value * 10 ** (exponent - 2) if exponent >= 2 else value // 10 ** (2 - exponent)
    return Money(minor, currency)


_SIGNALS: dict[str, tuple[Field, Callable[[Signals], object]]] = {
    field.name: (field, read)
    for field, read in (
        (
            Field("amount", FieldType.MONEY, "the amount to be paid, with its currency"),
            lambda of: money_of(of.value, of.currency),
        ),
        (Field("currency", _TEXT, "ISO 4217 code of the amount"), lambda of: of.currency),
        (Field("method", _TEXT, "kind of payment method"), lambda of: of.method),
        (
            Field("card_country", _TEXT, "ISO 3166 country of the card's issuer", may_be_unknown=True),
            lambda of: of.card_country or None,
        ),
        (
            Field("address_country", _TEXT, "ISO 3166 country of the network address", may_be_unknown=True),
            lambda of: of.address_country or None,
        ),
        (
            Field("merchant_country", _TEXT, "ISO 3166 country of the merchant", may_be_unknown=True),
            lambda of: of.merchant_country or None,
        ),
        (
            Field("mcc", _TEXT, "merchant category, four digits as text", may_be_unknown=True),
            lambda of: of.mcc or None,
        ),
        (
            Field("funding", _TEXT, "credit, debit or prepaid", may_be_unknown=True),
            lambda of: of.funding or None,
        ),
        (
            Field("email_domain", _TEXT, "domain of the payer's e-mail address", may_be_unknown=True),
            lambda of: of.email_domain or None,
        ),
        (
            Field("is_recurring", _BOOLEAN, "asked by the merchant under a mandate"),
            lambda of: of.is_recurring,
        ),
        (Field("hour", _NUMBER, "hour of the day in UTC, 0 to 23"), lambda of: of.at.hour),
        (Field("weekday", _NUMBER, "day of the week in UTC, 0 is Monday"), lambda of: of.at.weekday()),
    )
}
SCORE = Field("score", _NUMBER, "calibrated chance of fraud, 0 to 1", may_be_unknown=True)


def language_of(features: Mapping[str, str]) -> Language:
    """Return the language over ``features``, names with what each is; a signal goes before a feature of its name."""
    signals = tuple(field for field, _ in _SIGNALS.values())
    numbers = tuple(
        Field(name, _NUMBER, meaning, may_be_unknown=True)
        for name, meaning in features.items()
        if name not in _SIGNALS and name != SCORE.name
    )
    return Language((*signals, SCORE, *numbers))


LANGUAGE = language_of({each.name: each.description for each in FEATURES})


def compile_when(
    source: str, language: Language = LANGUAGE, lists: Collection[str] | None = None
) -> Compiled:
    """Return a condition that may ask for lists; where ``lists`` are given, for these and no others.

    Raises InvalidRequest ``expression_invalid`` as ``compile_condition`` does, with the places of ``source``.
    """
    readable, names = _with_fields(source, lists)
    asked = tuple(Field(field_of_list(name), _BOOLEAN, f"whether it is on {name}") for name in sorted(names))
    try:
        whole = Language((*language.fields, *asked), language.functions) if asked else language
        compiled = compile_condition(readable, whole)
    except InvalidRequest as error:
        raise InvalidRequest(error.code, _with_calls(error.detail), **error.facts) from None
    text = _with_calls(compiled.text)
    if len(text) > SOURCE_CHARS_MAX:  # the canonical text must be readable again
        raise wrong(Problem.TOO_LONG, "the condition is too long once it is written out", Place(1, 1))
    return Compiled(text, compiled.fields, compiled.test)


def field_of_list(name: str) -> str:
    """Return the name under which values hold whether the payment is on the list ``name``."""
    return _PREFIX + name.replace(" ", "_")


def list_of_field(field: str) -> str | None:
    """Return the list that a field asks for; None for any other field."""
    return field.removeprefix(_PREFIX).replace("_", " ") if field.startswith(_PREFIX) else None


class ValuesReader:
    """Reads from a payment what conditions use of it, and nothing else.

    ``fields`` are those of the conditions, ``names`` the features in the order in which they are given. A field that is no
    feature of these and no signal is unknown; so a rule over a feature that is gone matches nothing.
    """

    def __init__(self, fields: Collection[str], names: Sequence[str]) -> None:
        place_of_feature = {name: place for place, name in enumerate(names)}
        self._signals = [(name, _SIGNALS[name][1]) for name in sorted(fields) if name in _SIGNALS]
        others = [name for name in sorted(fields) if name not in _SIGNALS]
        self._features = [name for name in others if name in place_of_feature and name != SCORE.name]
        self._places = np.array([place_of_feature[name] for name in self._features], dtype=np.intp)
        self._lists = [(name, asked) for name in others if (asked := list_of_field(name)) is not None]
        read = {*self._features, *(name for name, _ in self._lists)}
        self._unknown: dict[str, object] = {name: None for name in others if name not in read}

    def read(
        self, signals: Signals, features: Floats, score: float | None = None, lists: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return the values of the fields, NaN as None.

        ``features``: shape (n_features,); ``score`` in [0, 1], None where scoring failed; ``lists``: names of those that the
        payment is on. Raises InvalidRequest for a currency that is none, where the amount is asked for.
        """
        values = self._unknown.copy()
        values["score"] = score
        for name, number in zip(self._features, features[self._places].tolist(), strict=True):
            values[name] = number if number == number else None  # NaN differs from itself
        for name, read in self._signals:
            values[name] = read(signals)
        for name, asked in self._lists:
            values[name] = asked in lists
        return values


def _with_fields(source: str, lists: Collection[str] | None) -> tuple[str, set[str]]:
    """Return ``source`` with each question for a list as a field of the same width, and the names of the lists.

    The width keeps every other place where it was written: ``listed("a")`` is always longer than ``listed_a``.
    """
    pieces: list[str] = []
    names: set[str] = set()
    at = 0
    for match in _LISTED.finditer(source):
        if match["word"] is None:
            continue
        name = _list_name(source, match, lists)
        names.add(name)
        pieces += (source[at : match.start()], field_of_list(name).ljust(len(match.group())))
        at = match.end()
    return "".join(pieces) + source[at:], names


def _list_name(source: str, match: re.Match[str], lists: Collection[str] | None) -> str:
    place = place_of(source, match.start())
    if match["call"] is None:
        detail = 'listed takes the name of a list in quotes: listed("vip cards")'
        raise wrong(Problem.ARGUMENTS, detail, place)
    name, place = match["name"], place_of(source, match.start("name"))
    if len(name) > LIST_NAME_CHARS_MAX or not LIST_NAME.fullmatch(name):
        detail = "the name of a list is small letters and digits, words apart by one space"
        raise wrong(Problem.ARGUMENTS, detail, place)
    if lists is not None and name not in lists:
        meant = nearest(name, lists)
        facts = {"suggestion": meant} if meant else {}
        hint = f"; did you mean {meant}?" if meant else ""
        raise wrong(Problem.UNKNOWN_FIELD, f"there is no list {name}{hint}", place, **facts)
    return name


def _with_calls(text: str) -> str:
    """Return a canonical text with the questions for lists as people write them."""
    return _FIELD.sub(
        lambda found: (
            found.group() if found["name"] is None else f'listed("{found["name"].replace("_", " ")}")'
        ),
        text,
    )
