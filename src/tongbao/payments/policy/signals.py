"""From a payment to the signals that risk control judges: everybody involved by a pseudonym, nothing in clear."""

import hashlib
import hmac
import ipaddress
from datetime import datetime
from uuid import UUID

from tongbao.channels.schema import Card, Initiator, kind_of
from tongbao.core import currencies
from tongbao.payments.ports import RiskQuestion
from tongbao.payments.schema.intents import Intent
from tongbao.risk.schema.signals import KEY_CHARS_MAX, DeviceSign, Signals

PSEUDONYM_BYTES = 16
IPV6_PREFIX = 64
"""The part of an IPv6 address that names a connection; the rest is the client's to change at will."""


class Pseudonyms:
    """Turns what names somebody into a key that names nobody: equal for equal texts, useless without the secret."""

    def __init__(self, secret: bytes) -> None:
        # A key of its own: nothing else that the secret is used for can be compared with a pseudonym.
        self._key = hmac.digest(secret, b"tongbao/pseudonym/v1", hashlib.sha256)

    def of(self, kind: str, text: str) -> str:
        """Return the pseudonym of ``text`` among things of this kind; empty for an empty text."""
        if not text:
            return ""
        data = f"{kind}\0{text}".encode()
        return hashlib.blake2b(data, key=self._key, digest_size=PSEUDONYM_BYTES).hexdigest()


def signals_of(question: RiskQuestion, signals_id: UUID, at: datetime, pseudonyms: Pseudonyms) -> Signals:
    """Return what risk control may know of a payment."""
    intent, method = question.intent, question.method
    card = method if isinstance(method, Card) else None
    customer = _customer(intent, pseudonyms)
    device = pseudonyms.of("device", question.device.reference) if question.device else ""
    return Signals(
        id=signals_id,
        at=at,
        book_id=intent.book_id,
        live=intent.live,
        subject_id=intent.id,
        value=hundredths(intent.amount_minor, intent.currency),
        currency=intent.currency,
        method=kind_of(method),
        customer=customer,
        card=_card(intent, card, customer or device) if card else "",
        device=device,
        merchant=str(intent.book_id),
        address=pseudonyms.of("address", network_of(question.payer_address)),
        email_domain=domain_of(intent.receipt_email),
        beneficiary="" if intent.wallet_book_id is None else f"wallet:{intent.wallet_book_id}",
        card_country=(card.country or "") if card else "",
        merchant_country=question.merchant.country,
        mcc=question.merchant.mcc,
        funding="" if card is None or card.funding == "unknown" else card.funding,
        is_recurring=question.initiator is Initiator.MERCHANT,
        device_signs=question.device.signs if question.device else DeviceSign.NONE,
    )


def hundredths(amount_minor: int, currency: str) -> int:
    """Return an amount in hundredths of the major unit, cut towards zero where the currency has smaller units."""
    exponent = currencies.currency(currency).exponent
    scale: int = 10 ** abs(2 - exponent)
    return amount_minor * scale if exponent <= 2 else amount_minor // scale


def network_of(address: str | None) -> str:
    """Return what of a network address names a connection; empty for none and for what is no address."""
    if not address:
        return ""
    try:
        found = ipaddress.ip_address(address.strip())
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)


def domain_of(email: str | None) -> str:
    """Return the domain of an e-mail address in lower case; empty where there is none."""
    _, at, domain = (email or "").rpartition("@")
    return domain.strip().lower()[:KEY_CHARS_MAX] if at else ""


def _card(intent: Intent, card: Card, holder: str) -> str:
    """Return the key of a card; in test mode, where everybody pays with the same few cards, that of its holder's card."""
    if intent.live or not card.fingerprint:
        return card.fingerprint[:KEY_CHARS_MAX]
    return f"{holder}:{card.fingerprint}"[:KEY_CHARS_MAX] if holder else ""


def _customer(intent: Intent, pseudonyms: Pseudonyms) -> str:
    """Return the key of whoever pays: the merchant's customer, else the address that receipts go to."""
    if intent.customer_id is not None:
        return intent.customer_id.hex
    return pseudonyms.of("email", (intent.receipt_email or "").strip().lower())
