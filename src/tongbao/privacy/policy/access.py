"""Who may see a card in clear, and what for."""

import re

from tongbao.core.errors import InvalidRequest
from tongbao.privacy.errors import CardDataRefused, RevealNotPermitted
from tongbao.privacy.policy import scanner
from tongbao.privacy.schema import SUBJECT_CHARS_MAX, Purpose

_ACTOR = re.compile(r"(channel|legal):[a-zA-Z0-9_.:-]{1,100}\Z")


def check_reveal(purpose: str, actor: str, subject: str) -> Purpose:
    """Return the purpose where ``actor`` may see a card for it.

    Actors are ``channel:<name>`` and ``legal:<id>``; the purpose ``legal`` is for the latter alone, and is their
    only one. ``subject`` is our reference of the act. Raises InvalidRequest ``purpose_unknown`` and
    ``subject_invalid``, RevealNotPermitted, CardDataRefused.
    """
    try:
        known_purpose = Purpose(purpose)
    except ValueError:
        detail = f"a purpose is one of {', '.join(Purpose)}"
        raise InvalidRequest("purpose_unknown", detail, param="purpose") from None
    known = _ACTOR.match(actor)
    if known is None:
        raise RevealNotPermitted("only channels and legal officers see cards in clear")
    if (known[1] == "legal") != (known_purpose is Purpose.LEGAL):
        raise RevealNotPermitted(f"a {known[1]} actor does not see cards for the purpose {known_purpose}")
    if not 1 <= len(subject) <= SUBJECT_CHARS_MAX or not subject.isprintable():
        raise InvalidRequest(
            "subject_invalid",
            f"the subject is 1 to {SUBJECT_CHARS_MAX} printable characters",
            param="subject",
        )
    for param, text in (("actor", actor), ("subject", subject)):
        if scanner.find_card_number(text) is not None:
            raise CardDataRefused(param)
    return known_purpose
