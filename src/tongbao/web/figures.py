"""Numbers, instants and ages as the pages write them, by language, through CLDR (Babel) and no float.

Amounts carry exactly the decimals of their asset and a true minus sign, as wide as a digit, so that columns
of tabular figures line up. Instants are UTC, year first, the same in every language.
"""

import hashlib
from datetime import datetime, timedelta
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from uuid import UUID

from babel import Locale
from babel.dates import format_date, format_timedelta
from babel.numbers import NumberPattern, format_decimal, parse_pattern

from tongbao.core.ids import int_text, uuid_text
from tongbao.ledger.schema import ACCOUNT_PREFIX, TRANSFER_PREFIX

_CONTEXT = Context(prec=60)
HASH_CHARS = 10


class Figures:
    """The way one language writes figures. Stateless; pages hold one."""

    def __init__(self, language: str) -> None:
        self._locale = _locale(language)

    def amount(self, amount_minor: int, scale: int) -> str:
        """Return minor units as a decimal with the asset's places: 1280 at scale 2 is ``12.80``."""
        with localcontext(_CONTEXT):
            number = Decimal(amount_minor).scaleb(-scale)
            written: str = format_decimal(number, format=_pattern(scale), locale=self._locale)
        return written.replace("-", "−")

    def change(self, amount_minor: int, scale: int) -> str:
        """Return a difference, always with its sign."""
        return ("+" if amount_minor > 0 else "") + self.amount(amount_minor, scale)

    def count(self, number: int) -> str:
        """Return a whole number with separators."""
        return str(format_decimal(number, locale=self._locale))

    def age(self, since: datetime, now: datetime) -> str:
        """Return how long ago an instant was; an instant in the future counts as now."""
        passed = max(now - since, timedelta(0))
        return str(
            format_timedelta(
                -passed, granularity="second", threshold=1.2, add_direction=True, locale=self._locale
            )
        )

    def day(self, at: datetime) -> str:
        """Return the date of an instant in words."""
        return str(format_date(at, "medium", locale=self._locale))

    @staticmethod
    def instant(at: datetime) -> str:
        """Return an instant to the second, in UTC."""
        return at.strftime("%Y-%m-%d %H:%M:%S")


def account_text(account_id: int) -> str:
    """Return the id of an account as people and addresses write it."""
    return int_text(ACCOUNT_PREFIX, account_id)


def transfer_text(key: UUID) -> str:
    """Return the key of a transfer as people and addresses write it."""
    return uuid_text(TRANSFER_PREFIX, key)


def short_hash(digest: bytes) -> str:
    """Return the first characters of a hash, for comparing by eye."""
    return digest.hex()[:HASH_CHARS]


def content_hash(data: bytes) -> str:
    """Return what tells one version of a file from another."""
    return hashlib.sha256(data).hexdigest()[:12]


@lru_cache
def _locale(language: str) -> Locale:
    return Locale.parse({"en": "en_GB", "zh-CN": "zh_Hans_CN"}[language])


@lru_cache
def _pattern(scale: int) -> NumberPattern:
    return parse_pattern("#,##0" + ("." + "0" * scale if scale else ""))
