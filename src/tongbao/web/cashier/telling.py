"""What the pages of the checkout tell beside the sum: what was tried, how an unknown outcome stands, whom to ask.

Pure: documents in, texts by key and figures out. Channels are never named: a payer knows its bank, not our routes.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tongbao.channels.schema import kind_of
from tongbao.parties.schema import Merchant
from tongbao.payments.schema.attempts import DEAD, HOLDING, PAID, Attempt, AttemptState
from tongbao.payments.schema.checkout import CheckoutSession
from tongbao.payments.schema.intents import Certainty, Intent, IntentState
from tongbao.web.cashier import faces

TRIED_MAX = 3
"""So many tries are told of, the newest ones."""
_MAIL = re.compile(r"[^@\s<>\"]{1,64}@[a-z0-9.-]{3,180}", re.IGNORECASE)
_PHONE = re.compile(r"\+?[0-9][0-9 ()-]{4,24}")


class Contact(NamedTuple):
    """Where the merchant can be reached, as far as it says so."""

    email: str | None
    phone: str | None
    url: str | None

    def __bool__(self) -> bool:
        return any(self)


class Tried(NamedTuple):
    """One try of the payer: with what, over how many routes, until when."""

    attempt: Attempt
    route_count: int
    at: datetime

    @property
    def ended(self) -> str:
        """How it ended: ``once`` or ``routes`` for a no, ``lost`` where it never arrived."""
        if is_lost(self.attempt):
            return "lost"
        return "routes" if self.route_count > 1 else "once"


class Part(NamedTuple):
    """A part of the sum beside the items: the merchant's own word or ours, and an amount with its sign."""

    kind: str
    label: str | None
    amount_minor: int


def contact(merchant: Merchant) -> Contact:
    """Return where a merchant wants to be asked: ``support_email``, ``_phone`` and ``_url`` of its metadata.

    What is no address or number is left out: it would become a link.
    """
    said: Mapping[str, str] = merchant.metadata
    email, phone = said.get("support_email", "").strip(), said.get("support_phone", "").strip()
    return Contact(
        email if _MAIL.fullmatch(email) else None,
        phone if _PHONE.fullmatch(phone) else None,
        faces.web_url(said.get("support_url")),
    )


def parts(session: CheckoutSession) -> list[Part]:
    """Return what stands in the sum beside the items, in the merchant's order; nothing for an amount of 0."""
    return [
        Part(each.kind.value, each.label, each.amount_minor) for each in session.extras if each.amount_minor
    ]


def tried(attempts: Sequence[Attempt]) -> list[Tried]:
    """Return the newest tries that came to nothing, newest first; ``attempts`` are newest first.

    Attempts that went on over another route after a no are one try of the payer.
    """
    found: list[Tried] = []
    for attempt in reversed(attempts):
        if attempt.state not in DEAD:
            continue
        at = attempt.ended_at or attempt.sent_at
        if attempt.is_cascade and found:
            found[-1] = Tried(attempt, found[-1].route_count + 1, at)
        else:
            found.append(Tried(attempt, 1, at))
    return found[: -TRIED_MAX - 1 : -1]


def is_lost(attempt: Attempt) -> bool:
    """Return whether an attempt never arrived, as is known by now."""
    return attempt.state is AttemptState.NOT_FOUND


def refused_kinds(attempts: Sequence[Attempt]) -> list[str]:
    """Return the kinds of method that came to nothing, the newest first."""
    return list(dict.fromkeys(kind_of(each.method) for each in attempts if each.state in DEAD))


def last_paid_kind(attempts: Sequence[Attempt]) -> str | None:
    """Return the kind of the newest attempt that brought money."""
    return next((kind_of(each.method) for each in attempts if each.state in PAID | HOLDING), None)


def waiting(intent: Intent, attempt: Attempt | None) -> str:
    """Return what is known of an outcome that is not: ``asked``, ``pending``, ``unknown`` or ``lapsed``."""
    if intent.state is IntentState.REQUIRES_ACTION:
        return "lapsed"
    state = None if attempt is None else attempt.state
    if state is AttemptState.UNRESOLVED or intent.certainty is not Certainty.KNOWN:
        return "unknown"
    return "pending" if state is AttemptState.PENDING else "asked"
