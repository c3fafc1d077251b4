"""The form of the fields that parties carry, and what may never be stored in them."""

import re
from collections.abc import Mapping

from tongbao.core import currencies
from tongbao.parties.errors import BadField
from tongbao.parties.policy.countries import COUNTRIES
from tongbao.parties.schema import PAGE_SIZE_MAX, Address, Cursor, PageRequest

METADATA_KEYS_MAX = 50
METADATA_KEY_CHARS_MAX = 40
METADATA_VALUE_CHARS_MAX = 500
NAME_CHARS_MAX = 200
TEXT_CHARS_MAX = 500
EMAIL_CHARS_MAX = 254
_EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\]+\.[^\s@.<>,;:\"()\[\]\\]{2,}\Z")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{2,30}\Z")
_MCC = re.compile(r"[0-9]{4}\Z")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def check_text(field: str, text: str, *, chars_max: int = TEXT_CHARS_MAX, required: bool = False) -> None:
    """Raise BadField where a text is too long, holds control characters, or is empty though required."""
    if required and not text.strip():
        raise BadField(field, f"{field} may not be empty")
    if len(text) > chars_max:
        raise BadField(field, f"{field} has at most {chars_max} characters")
    if _CONTROL.search(text):
        raise BadField(field, f"{field} may not hold control characters")


def storable(text: str) -> str:
    """Return a text with a mark in place of what a database cannot hold (NUL, lone surrogates), to look it up."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def check_name(field: str, name: str) -> None:
    """Raise BadField for an empty or overlong name."""
    check_text(field, name, chars_max=NAME_CHARS_MAX, required=True)


def check_email(email: str) -> None:
    """Raise BadField for what cannot be an e-mail address; whether it is one only a message to it can tell."""
    if len(email) > EMAIL_CHARS_MAX or _CONTROL.search(email) or not _EMAIL.match(email):
        raise BadField("email", "an e-mail address has the form name@example.com")


def fold_email(email: str) -> str:
    """Return the form in which e-mail addresses are compared: without regard to case."""
    return storable(email.strip().casefold())


def check_phone(phone: str) -> None:
    """Raise BadField for what cannot be a telephone number."""
    if not _PHONE.match(phone):
        raise BadField("phone", "a telephone number has digits, and spaces, brackets, dots or dashes between")


def check_country(country: str) -> None:
    """Raise BadField for a code that is not in ISO 3166-1 alpha-2."""
    if country not in COUNTRIES:
        raise BadField("country", "a country is two capital letters of ISO 3166-1")


def check_currency(code: str) -> None:
    """Raise InvalidRequest ``currency_unknown``, or BadField for a code that nothing is priced in."""
    if currencies.currency(code).kind is not currencies.Kind.MONEY:
        raise BadField("default_currency", f"{code} is no currency that anybody pays in")


def check_mcc(mcc: str) -> None:
    """Raise BadField where a merchant category code is not four digits of text (ISO 18245)."""
    if not _MCC.match(mcc):
        raise BadField("mcc", "a merchant category code is four digits")


def check_locale(locale: str) -> None:
    """Raise BadField for what is no language tag such as ``en``, ``zh-Hans-CN``."""
    if not _LOCALE.match(locale):
        raise BadField("locale", "a locale is a language tag such as en or zh-Hans-CN")


def check_address(address: Address) -> None:
    """Raise BadField for an overlong line or an unknown country."""
    for line in (address.line1, address.line2, address.city, address.region, address.postal_code):
        check_text("address", line, chars_max=NAME_CHARS_MAX)
    if address.country:
        check_country(address.country)


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise BadField above 50 keys, 40 characters a key or 500 a value, or where one is empty."""
    if len(metadata) > METADATA_KEYS_MAX:
        raise BadField("metadata", f"metadata has at most {METADATA_KEYS_MAX} keys")
    for key, value in metadata.items():
        check_text("metadata", key, chars_max=METADATA_KEY_CHARS_MAX, required=True)
        check_text("metadata", value, chars_max=METADATA_VALUE_CHARS_MAX, required=True)


def merge_metadata(current: Mapping[str, str], change: Mapping[str, str]) -> dict[str, str]:
    """Return metadata after a change: keys given are set, keys with an empty value are gone."""
    return {key: value for key, value in {**current, **change}.items() if value}


def check_page(request: PageRequest[Cursor]) -> None:
    """Raise BadField for a page outside of 1 to 100 rows, or one that looks in both directions."""
    if not 1 <= request.limit <= PAGE_SIZE_MAX:
        raise BadField("limit", f"a page has 1 to {PAGE_SIZE_MAX} rows")
    if request.starting_after is not None and request.ending_before is not None:
        raise BadField("starting_after", "a page starts after one row or ends before one, not both")
