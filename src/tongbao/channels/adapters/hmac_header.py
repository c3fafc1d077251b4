"""Signature headers of the form ``t=<seconds>,v1=<hex>[,v1=<hex>…]`` over the raw bytes of a notification.

Each v1 is an HMAC-SHA256 of ``t``, a dot and the body. Any of several may match (secrets are being rotated). A
message older than ``WINDOW_S`` is refused, one from the future is not: clocks differ, and only age helps a thief.
Source: Stripe's public page "Webhook signatures"; the form is used by others, too.
"""

import hashlib
import hmac
from datetime import datetime

from tongbao.channels.errors import NotificationForged

WINDOW_S = 300


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return the v1 signature of a body sent at ``timestamp`` (seconds since 1970), in hex."""
    return hmac.new(secret.encode(), b"%d.%s" % (timestamp, body), hashlib.sha256).hexdigest()


def check(channel: str, secret: str, header: str, body: bytes, received_at: datetime) -> None:
    """Raise NotificationForged unless the header signs these bytes and is recent. No secret believes nothing."""
    if not secret:
        raise NotificationForged(channel, "no secret is configured")
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t" and value.isascii() and value.isdigit()]
    if len(times) != 1 or len(times[0]) > 12:
        raise NotificationForged(channel, "no time of sending")
    sent_at = int(times[0])
    expected = signature(secret, sent_at, body).encode()
    given = [value.encode(errors="replace") for name, _, value in pairs if name == "v1"]
    if not any(hmac.compare_digest(expected, one) for one in given):
        raise NotificationForged(channel, "no signature matches")
    if received_at.timestamp() - sent_at > WINDOW_S:
        raise NotificationForged(channel, "it is too old")
