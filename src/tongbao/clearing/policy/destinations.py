"""Accounts that money may go to: whether a number can be one, and who may move an account on.

Sources: ISO 13616-1 and the IBAN registry (lengths), ISO 7064 MOD 97-10; the 12 digits of a Chinese bank's line number
(CNAPS) end with a check digit of ISO 7064 MOD 11,10; ISO 9362 (BIC); the ABA's routing number (weights 3, 7, 1).
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from tongbao.clearing.schema.payouts import Destination, DestinationState
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted

HOLDER_CHARS_MAX = 140
_LENGTHS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22
GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22
MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29
VA22 VG24 XK20
"""
IBAN_CHARS: Mapping[str, int] = {each[:2]: int(each[2:]) for each in _LENGTHS.split()}
"""Length of an IBAN by country."""
_BIC = re.compile(r"[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
_LOCAL = re.compile(r"[A-Z0-9][A-Z0-9-]{2,32}[A-Z0-9]")
MOVES: Mapping[DestinationState, frozenset[DestinationState]] = {
    DestinationState.PROPOSED: frozenset({DestinationState.COOLING, DestinationState.RETIRED}),
    DestinationState.COOLING: frozenset(
        {DestinationState.ACTIVE, DestinationState.PAUSED, DestinationState.RETIRED}
    ),
    DestinationState.ACTIVE: frozenset({DestinationState.PAUSED, DestinationState.RETIRED}),
    # Mended: confirmed and cooled down anew, as if somebody had proposed it.
    DestinationState.PAUSED: frozenset({DestinationState.PROPOSED, DestinationState.RETIRED}),
    DestinationState.RETIRED: frozenset(),
}
"""From each state, where an account may go."""


class AccountNumber(NamedTuple):
    """A checked account: the number without spaces, the bank's code and the country, in capitals."""

    scheme: str
    number: str
    agent_code: str
    country: str

    @property
    def last4(self) -> str:
        """What people see of it."""
        return self.number[-4:]


def account_number(scheme: str, number: str, agent_code: str, country: str) -> AccountNumber:
    """Return an account that can exist.

    Raises InvalidRequest ``account_scheme_unknown``, ``iban_invalid``, ``account_number_invalid``, ``agent_code_invalid``
    or ``account_country_invalid``; no message repeats the number.
    """
    number = re.sub(r"\s", "", number).upper()
    agent_code = re.sub(r"\s", "", agent_code).upper()
    country = country.upper()
    if scheme == "iban":
        if not is_iban(number):
            raise InvalidRequest("iban_invalid", "not an IBAN: its length or its check digits do not fit")
        if agent_code and not _BIC.fullmatch(agent_code):
            raise InvalidRequest(
                "agent_code_invalid", "beside an IBAN a bank is named by its BIC, or not at all"
            )
        if country not in ("", number[:2]):
            raise InvalidRequest("account_country_invalid", "the IBAN is of another country")
        return AccountNumber(scheme, number, agent_code, number[:2])
    if scheme != "local":
        raise InvalidRequest("account_scheme_unknown", "an account is written as iban or local")
    if not _LOCAL.fullmatch(number):
        raise InvalidRequest(
            "account_number_invalid", "an account number is 4 to 34 letters, digits and dashes"
        )
    if len(country) != 2 or not (country.isascii() and country.isalpha()):
        raise InvalidRequest("account_country_invalid", "a country is two letters of ISO 3166")
    checks = {"CN": is_cnaps, "US": is_aba}
    is_known = checks.get(country, _is_bic)(agent_code)
    if not is_known:
        raise InvalidRequest(
            "agent_code_invalid",
            "a local account needs its bank: 12 digits in China, 9 in the US, else a BIC",
        )
    return AccountNumber(scheme, number, agent_code, country)


def is_iban(number: str) -> bool:
    """Return whether ``number``, in capitals without spaces, is an IBAN by length and check digits."""
    if IBAN_CHARS.get(number[:2]) != len(number) or not (number.isascii() and number.isalnum()):
        return False
    if number != number.upper() or not number[2:4].isdigit() or not 2 <= int(number[2:4]) <= 98:
        return False
    return int("".join(str(int(each, 36)) for each in number[4:] + number[:4])) % 97 == 1


def is_cnaps(code: str) -> bool:
    """Return whether ``code`` is a line number of a bank in China: 12 digits, the last one fits the others."""
    if len(code) != 12 or not (code.isascii() and code.isdigit()):
        return False
    product = 10
    for digit in code[:-1]:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return (product + int(code[-1])) % 10 == 1


def is_aba(code: str) -> bool:
    """Return whether ``code`` is a routing number of a bank in the US: 9 digits, weighed 3, 7, 1."""
    if len(code) != 9 or not (code.isascii() and code.isdigit()):
        return False
    return sum(int(digit) * (3, 7, 1)[place % 3] for place, digit in enumerate(code)) % 10 == 0


def _is_bic(code: str) -> bool:
    return _BIC.fullmatch(code) is not None


def holder_name(text: str) -> str:
    """Return the name of an account's holder; raise InvalidRequest ``holder_invalid``."""
    name = " ".join(text.split())
    if not 2 <= len(name) <= HOLDER_CHARS_MAX or not any(each.isalpha() for each in name):
        raise InvalidRequest("holder_invalid", f"a holder is a name of 2 to {HOLDER_CHARS_MAX} characters")
    if not name.isprintable():
        raise InvalidRequest("holder_invalid", "a holder's name has no control characters")
    return name


def moved(account: Destination, state: DestinationState, at: datetime, **changes: Any) -> Destination:
    """Return the next version of an account; raise Conflict ``destination_state`` for a move that does not exist."""
    if state not in MOVES[account.state]:
        raise Conflict(
            "destination_state", f"{account.reference} is {account.state} and cannot become {state}"
        )
    return msgspec.structs.replace(
        account, state=state, version=account.version + 1, updated_at=at, **changes
    )


def confirmed(
    account: Destination, at: datetime, actor: str, cooling: timedelta, *, has_second_factor: bool
) -> Destination:
    """Return an account that was proposed, confirmed, cooling down until ``at`` plus ``cooling``.

    Raises NotPermitted ``confirmation_by_proposer`` where the same person comes without a second factor.
    """
    if actor == account.proposed_by and not has_second_factor:
        raise NotPermitted(
            "confirmation_by_proposer",
            f"you proposed {account.reference} yourself; somebody else, or a second factor, has to confirm it",
        )
    return moved(
        account,
        DestinationState.COOLING,
        at,
        confirmed_by=actor,
        usable_at=at + cooling,
        paused_reason="",
    )
