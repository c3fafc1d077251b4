"""HTTP to the outside. It makes the one distinction that money needs: whether anything was sent.

``NotSent``: the connection was never made, so nothing happened there; repeating is safe. ``NoAnswer``: bytes left,
and no whole answer came back in time; it may have happened. Redirects are not followed, answers are cut at a
maximum, every call has a deadline.
"""

import asyncio
from collections.abc import Mapping

import aiohttp
import msgspec

TIMEOUT_S = 10.0
CONNECT_S_MAX = 3.0
ANSWER_BYTES_MAX = 1_048_576
CONNECTIONS_MAX = 200


class NotSent(Exception):
    """No connection was made: nothing reached the other side."""


class NoAnswer(Exception):
    """The request may have been received, and no whole answer came back."""


class HttpAnswer(msgspec.Struct, frozen=True):
    """A whole answer; header names in lower case, of repeated headers the last."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """A pool of connections to any hosts. One object per process and purpose; close it.

    ``resolver`` and ``ssl`` are aiohttp's, for callers that must choose where a name may lead
    (``payments`` webhooks) or which certificates count.
    """

    def __init__(
        self,
        *,
        connections_max: int = CONNECTIONS_MAX,
        resolver: aiohttp.abc.AbstractResolver | None = None,
        ssl: object = True,
    ) -> None:
        self._connections_max = connections_max
        self._resolver = resolver
        self._ssl = ssl
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = TIMEOUT_S,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> HttpAnswer:
        """Send a request and return the answer, whatever its status.

        Raises NotSent or NoAnswer, the latter also for an answer longer than ``answer_bytes_max``.
        """
        session = self._open()
        limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S_MAX, timeout_s))
        try:
            async with session.request(
                method, url, headers=headers, data=body, timeout=limits, allow_redirects=False
            ) as response:
                content = await response.content.read(answer_bytes_max + 1)
                while len(content) <= answer_bytes_max and not response.content.at_eof():
                    content += await response.content.read(answer_bytes_max + 1 - len(content))
                if len(content) > answer_bytes_max:
                    raise NoAnswer(f"an answer of more than {answer_bytes_max} bytes")
                lowered = {name.lower(): value for name, value in response.headers.items()}
                return HttpAnswer(response.status, lowered, content)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise NotSent(type(error).__name__) from error
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise NoAnswer(type(error).__name__) from error

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                limit=self._connections_max,
                limit_per_host=0,
                resolver=self._resolver,
                ssl=self._ssl,  # type: ignore[arg-type]  # object keeps aiohttp's own union out of callers
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        return self._session
