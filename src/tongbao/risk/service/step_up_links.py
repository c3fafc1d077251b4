"""Addresses of step-up pages: each carries all that its page needs to know, so that making one writes nothing.

A token is its content (MessagePack) and an HMAC-SHA-256 (RFC 2104) over it under a key of the house, both in base64url.
Whoever has the address may answer the challenge; nobody can make or change one. It names no person: where a code goes is
a reference only.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import timedelta
from pathlib import Path

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.secret_file import open_secret
from tongbao.risk.schema.challenges import PAYEE_CHARS_MAX, ChallengeOrder, StepUpLink

SECRET_BYTES = 32
LINK_LIFE = timedelta(minutes=30)
"""Time for a first challenge of ten minutes and two more."""
PATH = "/step-up/"
RETURN_URL_CHARS_MAX = 2_048
TOKEN_CHARS_MAX = 6_000
_MAC_BYTES = 32
_DECODER = msgspec.msgpack.Decoder(StepUpLink)


class StepUpLinks:
    """Makes and reads addresses. ``base_url`` is how payers reach this house, without a slash at its end."""

    def __init__(self, secret: bytes, base_url: str, clock: Clock) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"the secret of step-up links has at least {SECRET_BYTES} bytes")
        # A key of its own: nothing else that the secret signs can be taken for a token.
        self._key = hmac.digest(secret, b"tongbao/step-up-link/v1", hashlib.sha256)
        self._base_url = base_url.rstrip("/")
        self._clock = clock

    def url(self, order: ChallengeOrder, return_url: str = "") -> str:
        """Return the address of the page for an order, good for half an hour; the payee's name is cut to 120 characters.

        Raises InvalidRequest ``return_url_too_long`` above 2,048 characters.
        """
        if len(return_url) > RETURN_URL_CHARS_MAX:
            raise InvalidRequest(
                "return_url_too_long", f"a way back has at most {RETURN_URL_CHARS_MAX} characters"
            )
        link = StepUpLink(
            order=msgspec.structs.replace(order, payee=order.payee[:PAYEE_CHARS_MAX]),
            return_url=return_url,
            expires_at=self._clock.now() + LINK_LIFE,
        )
        body = msgspec.msgpack.encode(link)
        token = base64.urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()
        return f"{self._base_url}{PATH}{token}"

    def read(self, token: str, *, is_late_allowed: bool = False) -> StepUpLink:
        """Return what a token says.

        Raises NotFound ``step_up_link_invalid`` for one that this house did not make, Conflict ``step_up_link_expired``
        after half an hour unless ``is_late_allowed``.
        """
        link = self._opened(token)
        if link is None:
            raise NotFound("step_up_link_invalid", "this address is not complete, or was never given out")
        if self.is_over(link) and not is_late_allowed:
            raise Conflict("step_up_link_expired", "this address is no longer good")
        return link

    def is_over(self, link: StepUpLink) -> bool:
        """Return whether the time of a link is over."""
        return self._clock.now() >= link.expires_at

    def _opened(self, token: str) -> StepUpLink | None:
        if len(token) > TOKEN_CHARS_MAX:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        try:
            return _DECODER.decode(body)
        except msgspec.MsgspecError:
            # Made by another version of this program: as good as unknown.
            return None

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)


def open_step_up_secret(path: Path) -> bytes:
    """Return the secret that links, codes and pseudonyms are made with; see ``core.secret_file.open_secret``."""
    return open_secret(path, SECRET_BYTES)
