"""Sending one webhook: what came back, as a value, whatever went wrong."""

import asyncio
import socket
from collections.abc import Mapping

import aiohttp
import msgspec

from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.payments.adapters.web_addresses import AddressRefused
from tongbao.payments.schema.webhooks import DeliveryFailure

USER_AGENT = "Tongbao-Webhooks/1"
TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 65_536


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of sending: a status with a body, or why there was none."""

    took_ms: int
    status: int | None = None
    failure: DeliveryFailure | None = None
    body: bytes = b""


class WebSender:
    """Posts bodies. Redirects are not followed; answers are cut off at 64 KiB and ten seconds."""

    def __init__(self, client: HttpClient, *, timeout_s: float = TIMEOUT_S) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Post ``body`` and return what came of it; raises nothing that the other side could cause."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        # Uncompressed answers only: what is read is then what was sent, and small.
        sent = {**headers, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        try:
            answer = await self._client.request(
                "POST",
                url,
                headers=sent,
                body=body,
                timeout_s=self._timeout_s,
                answer_bytes_max=ANSWER_BYTES_MAX,
            )
        except (NotSent, NoAnswer) as error:
            return Reply(took_ms=_ms(loop.time() - began), failure=_failure_of(error))
        return Reply(took_ms=_ms(loop.time() - began), status=answer.status, body=answer.body)


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _failure_of(error: NotSent | NoAnswer) -> DeliveryFailure:
    """Tell by the client's own exception what went wrong."""
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return DeliveryFailure.TIMED_OUT
    if isinstance(error, NoAnswer):
        return DeliveryFailure.ANSWER_TOO_LARGE if cause is None else DeliveryFailure.NO_ANSWER
    if isinstance(cause, aiohttp.ClientSSLError):
        return DeliveryFailure.TLS_FAILED
    reason = getattr(cause, "os_error", None)
    if isinstance(reason, AddressRefused):
        return DeliveryFailure.ADDRESS_REFUSED
    return (
        DeliveryFailure.NAME_UNKNOWN if isinstance(reason, socket.gaierror) else DeliveryFailure.NOT_CONNECTED
    )
