"""Passkeys of a step-up: which payer a challenge asks, what its browser is asked, what the answer is worth.

A payer is the merchant's customer who was there before the payment; only passkeys from before the payment count, so that
whoever came with it cannot bring one. This joins risk control, which knows challenges, with parties, who hold passkeys.
"""

import ipaddress
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.logs import get_logger
from tongbao.parties.schema import PasskeyVerdict, RelyingParty
from tongbao.parties.service.passkey_ceremonies import PasskeyCeremonies, Payer, Proof
from tongbao.risk.schema.challenges import Challenge, ChallengeState, Means, StepUpLink

HOUSE_NAME = "Tongbao"
SAVE_WITHIN = timedelta(minutes=10)
"""So long after a code was right a passkey may be saved."""

_LOCAL = "localhost"
_PORTS = {"https": 443, "http": 80}

_log = get_logger("passkeys")


class Payers(Protocol):
    """Knows whose payment is whose, and who could be sent a code."""

    async def payer(self, book_id: int, intent_id: UUID) -> Payer | None:
        """Return the customer behind a payment, known before it; None where there is none."""
        ...


class PayerPasskeys:
    """Asks payers for passkeys and judges what comes (``risk.ports.PasskeyProver``). One object a process."""

    def __init__(
        self, database: Database, clock: Clock, payers: Payers, *, secret: bytes, base_url: str
    ) -> None:
        party = relying_party(base_url)
        self._ceremonies = PasskeyCeremonies(database, clock, party, secret=secret)
        self._is_open = party is not None
        self._payers = payers
        self._clock = clock

    async def proves(self, challenge: Challenge, response: bytes) -> bool:
        """See ``risk.ports.PasskeyProver``; what is refused is logged with its reason."""
        payer = await self._payer(challenge)
        verdict = PasskeyVerdict.UNKNOWN
        if payer is not None:
            verdict = await self._ceremonies.prove(payer, _proof(challenge), response)
        if verdict is not PasskeyVerdict.GOOD:
            _log.warning("passkey_refused", challenge=challenge.reference, verdict=verdict.value)
        return verdict is PasskeyVerdict.GOOD

    async def verdict(self, challenge: Challenge, response: bytes) -> PasskeyVerdict:
        """Return what an answer is worth; changes nothing, so that it can tell why ``proves`` said no."""
        payer = await self._payer(challenge)
        if payer is None:
            return PasskeyVerdict.UNKNOWN
        return await self._ceremonies.judge(payer, _proof(challenge), response)

    async def first_means(self, link: StepUpLink) -> Means:
        """Return what the payer of a link is asked for first: a passkey where one of its own counts, or a code."""
        if not self._is_open:
            return Means.CODE
        purpose = link.order.purpose
        payer = await self._payers.payer(purpose.book_id, purpose.subject_id)
        counting = [] if payer is None else await self._ceremonies.counting(payer)
        return Means.PASSKEY if counting else Means.CODE

    async def question(self, challenge: Challenge) -> str | None:
        """Return what the browser is asked, as JSON; None where no passkey counts any more."""
        payer = await self._payer(challenge)
        return None if payer is None else await self._ceremonies.question(payer, _proof(challenge))

    async def offer(self, challenge: Challenge) -> str | None:
        """Return what saves a passkey in the browser, as JSON; None where this proof cannot save one.

        A code does, while it is fresh: who answers with a passkey has one.
        """
        payer = await self._payer(challenge)
        if payer is None or not self._is_fresh(challenge):
            return None
        name = " · ".join(each for each in (challenge.masked, challenge.payee) if each) or HOUSE_NAME
        return await self._ceremonies.offer(payer, _proof(challenge), name, challenge.payee)

    async def save(self, challenge: Challenge, response: bytes) -> PasskeyVerdict:
        """Register the passkey of an answer to ``offer``; ``STALE`` where the code was too long ago."""
        payer = await self._payer(challenge)
        if challenge.ended_at is None or not self._is_fresh(challenge):
            return PasskeyVerdict.STALE
        if payer is None:
            return PasskeyVerdict.UNKNOWN
        verdict = await self._ceremonies.save(payer, _proof(challenge), challenge.ended_at, response)
        _log.info("passkey_registration", challenge=challenge.reference, verdict=verdict.value)
        return verdict

    def _is_fresh(self, challenge: Challenge) -> bool:
        is_passed = challenge.state is ChallengeState.PASSED and challenge.means is Means.CODE
        ended_at = challenge.ended_at
        return is_passed and ended_at is not None and self._clock.now() < ended_at + SAVE_WITHIN

    async def _payer(self, challenge: Challenge) -> Payer | None:
        if not self._is_open:
            return None
        return await self._payers.payer(challenge.book_id, challenge.subject_id)


def _proof(challenge: Challenge) -> Proof:
    return Proof(challenge.id, challenge.digest)


def relying_party(base_url: str) -> RelyingParty | None:
    """Return for whom browsers make passkeys under a public address; None where they make none.

    They ask for a name, not a number (WebAuthn level 3, 5.1.2), and for TLS, but for ``localhost`` and what is below it.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    is_local = host == _LOCAL or host.endswith(f".{_LOCAL}")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local)
    if not host or not is_safe or _is_number(host):
        return None
    shown = "" if port in {None, _PORTS[parts.scheme]} else f":{port}"
    return RelyingParty(host, f"{parts.scheme}://{host}{shown}", HOUSE_NAME)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
