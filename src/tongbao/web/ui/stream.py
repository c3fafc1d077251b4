"""Live parts over HTTP: server-sent events (WHATWG HTML, 9.2), as ``live.js`` reads them.

The channels stand in the query (``?channels=today,payments``); a face says which of them its visitor may watch.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence

from fastapi import Request
from fastapi.responses import StreamingResponse

from tongbao.core.errors import NotFound
from tongbao.web import pages
from tongbao.web.ui.live import Channel, Hub, Message

RETRY_MS = 3_000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def wanted(request: Request, known: Mapping[str, Channel]) -> list[Channel]:
    """Return the channels that an address asks for; raise NotFound ``channel_unknown`` for none, or one that is not known."""
    names = [name for name in request.query_params.get("channels", "").split(",") if name]
    if not names or any(name not in known for name in names):
        raise NotFound("channel_unknown", f"the channels are {', '.join(sorted(known))}")
    return [known[name] for name in dict.fromkeys(names)]


def answer(
    request: Request, hub: Hub, channels: Sequence[Channel], names: Mapping[str, str] | None = None
) -> StreamingResponse:
    """Return the stream of channels in the reader's language, resumed after ``Last-Event-ID``.

    ``names`` give the name in the page (``data-channel``) by that of a channel, where they differ. Raises LimitExceeded.
    """
    hub.admit(channels)
    language = pages.preferences(request).language
    last = request.headers.get("last-event-id", "")[:64]
    told = names or {}

    async def body() -> AsyncIterator[str]:
        yield f"retry: {RETRY_MS}\n\n"
        async for message in hub.watch(channels, language, last):
            yield event(message, told)

    return StreamingResponse(body(), media_type="text/event-stream", headers=HEADERS)


def event(message: Message | None, names: Mapping[str, str]) -> str:
    """Return a message as it is sent; a heartbeat is a comment."""
    if message is None:
        return ": still here\n\n"
    data = json.dumps({"channel": names.get(message.channel, message.channel), "html": message.html})
    return f"id: {message.event_id}\nevent: part\ndata: {data}\n\n"
