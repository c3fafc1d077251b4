"""The object ``ui`` of every page: words, figures and drawings in the reader's language, as the macros take them."""

import json
from datetime import datetime

from babel.plural import PluralRule
from markupsafe import Markup

from tongbao.web import wording
from tongbao.web.figures import Figures
from tongbao.web.locale import ui as words
from tongbao.web.locale.ledger import LANGUAGES
from tongbao.web.ui import icons, money

JSON_CHARS_MAX = 200_000
_PLURALS = {"en": PluralRule({"one": "n is 1"}), "zh-CN": PluralRule({})}
_ORDER = ("one", "other")


class Kit:
    """What one reader's page is written with. Stateless but for ``now``; one per page, or one per language."""

    def __init__(self, language: str, now: datetime | None = None) -> None:
        self.language = language
        self.now = now
        self._place = LANGUAGES.index(language)
        self._figures = Figures(language)

    def t(self, key: str, **values: object) -> Markup:
        """Return a text of the kit by its key, with values escaped into it; raise KeyError for an unknown key."""
        return wording.text(self.language, (words.TEXTS,), key, values)

    def plural(self, key: str, number: int, **values: object) -> Markup:
        """Return a text with forms of number, by the plural rule of the language; ``count`` is filled in."""
        forms = words.text(key, self._place).split("|")
        at = _ORDER.index(_PLURALS[self.language](number)) if len(forms) > 1 else 0
        filled = {"count": self.count(number), **values}
        return Markup(forms[at]).format(**filled)  # noqa: S704 - our own catalogue

    def money(self, minor: int, currency: str, sign: bool = False) -> str:
        """Return minor units as the language writes them."""
        return money.amount(minor, currency, self.language, sign)

    def count(self, number: float) -> str:
        """Return a number with separators."""
        return money.count(number, self.language)

    def compact(self, number: float) -> str:
        """Return a large number in few characters."""
        return money.compact(number, self.language)

    @staticmethod
    def percent(share: float, places: int = 1, sign: bool = False) -> str:
        """Return a share in percent."""
        return money.percent(share, places, sign)

    @staticmethod
    def instant(at: datetime) -> str:
        """Return an instant to the second, in UTC."""
        return money.instant(at)

    def when(self, at: datetime, style: str = "instant") -> str:
        """Return an instant in a style of ``money.STYLES``, or its ``age`` where the page knows what time it is."""
        if style == "age":
            return self._figures.age(at, self.now) if self.now is not None else money.instant(at, "minute")
        return money.instant(at, style)

    @staticmethod
    def icon(name: str) -> Markup:
        """Return a drawing of the sprite; raise KeyError for an unknown name."""
        return icons.icon(name)

    @staticmethod
    def json(value: object) -> str:
        """Return a value as readable JSON, cut at ``JSON_CHARS_MAX`` characters; what JSON does not know is its text."""
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)[:JSON_CHARS_MAX]
