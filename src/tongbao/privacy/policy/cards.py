"""Whether a card that somebody typed can exist and is not past its expiry.

Checked in this order: number, month, year, CVC, name. Codes and parameters are those that clients of Stripe know.
"""

import re
from datetime import date

from tongbao.privacy.errors import CardDataRefused, CardInvalid
from tongbao.privacy.policy import brands, scanner
from tongbao.privacy.schema import HOLDER_NAME_CHARS_MAX, Brand, CardInput, ValidCard

YEARS_AHEAD_MAX = 50
NUMBER_CHARS_MAX = 64
_SEPARATORS = str.maketrans("", "", " -")
_CVC = re.compile(r"[0-9]{3,4}\Z")


def check_card(card: CardInput, today: date) -> ValidCard:
    """Return the card in its normal form.

    Raises CardInvalid ``invalid_number`` (not a number of this brand's length), ``incorrect_number`` (the check
    digit is wrong), ``invalid_expiry_month``, ``invalid_expiry_year``, ``invalid_cvc``, ``invalid_holder_name``,
    and CardDataRefused where the name holds a card number. No message repeats what was typed.
    """
    number = check_number(card.number)
    brand = brands.brand_of(number)
    return ValidCard(
        number=number,
        exp_month=card.exp_month,
        exp_year=_check_expiry(card.exp_month, card.exp_year, today),
        cvc=_check_cvc(card.cvc, brand),
        holder_name=_check_name(card.holder_name),
        brand=brand,
    )


def check_number(text: str) -> str:
    """Return the digits of a card number written with spaces or dashes; raise CardInvalid."""
    number = text[:NUMBER_CHARS_MAX].translate(_SEPARATORS)
    is_number = len(text) <= NUMBER_CHARS_MAX and number.isascii() and number.isdecimal()
    if not is_number or len(number) not in brands.lengths_of(number):
        raise CardInvalid("invalid_number", "the card number is not a valid card number", "number")
    if not brands.is_luhn_valid(number):
        raise CardInvalid("incorrect_number", "the card number is incorrect", "number")
    return number


def _check_expiry(month: int, year: int, today: date) -> int:
    """Return the year with its century; a card is good until its month has ended."""
    if not 1 <= month <= 12:
        raise CardInvalid("invalid_expiry_month", "the expiration month is 1 to 12", "exp_month")
    if 0 <= year < 100:
        year += today.year // 100 * 100
    if not today.year <= year <= today.year + YEARS_AHEAD_MAX:
        raise CardInvalid("invalid_expiry_year", "the expiration year is past or too far ahead", "exp_year")
    if (year, month) < (today.year, today.month):
        raise CardInvalid("invalid_expiry_month", "the expiration month is past", "exp_month")
    return year


def _check_cvc(cvc: str | None, brand: Brand) -> str | None:
    if cvc is None:
        return None
    lengths = brands.CVC_DIGITS.get(brand, brands.CVC_DIGITS_USUAL)
    if not _CVC.match(cvc) or len(cvc) not in lengths:
        raise CardInvalid("invalid_cvc", "the security code has the wrong number of digits", "cvc")
    return cvc


def _check_name(name: str | None) -> str | None:
    """Return the name as it is kept; an empty one is none."""
    if name is None or not name.strip():
        return None
    if scanner.find_card_number(name) is not None:
        raise CardDataRefused("name")
    if len(name) > HOLDER_NAME_CHARS_MAX or not name.isprintable():
        raise CardInvalid(
            "invalid_holder_name",
            f"the name has at most {HOLDER_NAME_CHARS_MAX} printable characters",
            "name",
        )
    return name.strip()
