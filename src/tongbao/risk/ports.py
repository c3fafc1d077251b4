"""What risk control asks of others: where a code goes, who carries it, who checks a passkey."""

from typing import Protocol

from tongbao.risk.schema.challenges import Challenge, CodeFacts, Destination


class CodeSender(Protocol):
    """Carries codes to one kind of address."""

    async def send(self, destination: Destination, code: str, locale: str, facts: CodeFacts) -> None:
        """Hand a message with ``code`` over, in the language of ``locale`` (``en``, ``zh-CN``; others are told in English).

        Raises Unavailable ``code_not_sent`` where nobody took it, InvalidRequest ``destination_refused`` where
        the address can take none.
        """
        ...


class Destinations(Protocol):
    """Knows the addresses of payers. Only one that was confirmed before the payment proves anything."""

    async def find(self, book_id: int, reference: str, *, live: bool) -> Destination | None:
        """Return the address behind a reference of a merchant's book; None where there is none any more."""
        ...


class PasskeyProver(Protocol):
    """Checks assertions of passkeys (WebAuthn level 3, 7.2) that are bound to the digest of a challenge's purpose."""

    async def proves(self, challenge: Challenge, response: bytes) -> bool:
        """Return whether an authenticator's answer proves the payer of this challenge; a foreign or broken one does not.

        What the authenticator signed must be bound to ``challenge.digest``, which tells payment, payee, amount and
        currency. Raises Unavailable where nobody can tell.
        """
        ...
