"""Live data: one rendering for all viewers, nothing lost on the way back, nobody held up by a slow reader."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.faces.browser import serving
from tests.faces.gallery_place import gallery_app

from tongbao.core.errors import LimitExceeded
from tongbao.web.ui import stream
from tongbao.web.ui.live import CHANNELS_MAX, Channel, Hub, Message

SOON_S = 5.0
TICK_S = 0.01


class Part:
    """A part whose every rendering is another text; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.still = False

    async def render(self, language: str) -> str:
        if self.fails:
            raise RuntimeError("no data")
        self.asked += 0 if self.still and self.asked else 1
        return f"{language} {self.asked}"

    def channel(self, name: str = "part") -> Channel:
        return Channel(name, self.render, TICK_S)


async def take(messages: AsyncIterator[Message | None], count: int) -> list[Message]:
    """The next messages, heartbeats left out."""
    found: list[Message] = []
    async with asyncio.timeout(SOON_S):
        while len(found) < count:
            message = await anext(messages)
            if message is not None:
                found.append(message)
    return found


@contextlib.asynccontextmanager
async def open_hub(**terms: float) -> AsyncIterator[Hub]:
    hub = Hub(**terms)  # type: ignore[arg-type]
    try:
        yield hub
    finally:
        await hub.close()


async def test_all_viewers_of_a_language_share_one_rendering() -> None:
    async with open_hub() as hub:
        part = Part()
        english = [hub.watch([part.channel()], "en") for _ in range(20)]
        chinese = hub.watch([part.channel()], "zh-CN")
        seen = await asyncio.gather(*(take(viewer, 3) for viewer in (*english, chinese)))
        assert hub.topics == 2
        assert hub.clients == 21
        assert {message.html.partition(" ")[0] for message in seen[-1]} == {"zh-CN"}
        # Twenty-one readers of three messages each were served by a handful of renderings.
        assert part.asked < 40


async def test_what_does_not_change_is_sent_once() -> None:
    async with open_hub(heartbeat_s=0.05) as hub:
        part = Part()
        part.still = True
        viewer = hub.watch([part.channel()], "en")
        assert [message.html for message in await take(viewer, 1)] == ["en 1"]
        assert await anext(viewer) is None


async def test_viewer_who_comes_back_gets_what_was_missed() -> None:
    async with open_hub() as hub:
        part = Part()
        viewer = hub.watch([part.channel()], "en")
        first, second = await take(viewer, 2)
        await viewer.aclose()  # type: ignore[attr-defined]
        again = hub.watch([part.channel()], "en", first.event_id)
        assert (await take(again, 1))[0] == second
        strange = hub.watch([part.channel()], "en", "00000000-7")
        assert int((await take(strange, 1))[0].html.split()[1]) >= 2


async def test_slow_reader_loses_the_oldest_and_ends_with_the_newest() -> None:
    async with open_hub() as hub:
        part = Part()
        slow, quick = hub.watch([part.channel()], "en"), hub.watch([part.channel()], "en")
        await take(slow, 1)
        latest = (await take(quick, 40))[-1]
        kept = await take(slow, 4)
        assert int(kept[0].html.split()[1]) > 30
        assert int(kept[-1].html.split()[1]) >= int(latest.html.split()[1]) - 1


async def test_part_that_fails_is_tried_again_and_stops_no_other() -> None:
    async with open_hub() as hub:
        broken, well = Part(), Part()
        broken.fails = True
        viewer = hub.watch([broken.channel("broken"), well.channel("well")], "en")
        assert {message.channel for message in await take(viewer, 3)} == {"well"}
        broken.fails = False
        async with asyncio.timeout(SOON_S):
            while (await take(viewer, 1))[0].channel != "broken":
                pass


async def test_rendering_ends_when_nobody_has_watched_for_a_while() -> None:
    async with open_hub(linger_s=0.0) as hub:
        part = Part()
        viewer = hub.watch([part.channel()], "en")
        await take(viewer, 1)
        await viewer.aclose()  # type: ignore[attr-defined]
        for _ in range(int(SOON_S / TICK_S)):
            await asyncio.sleep(TICK_S)
            if not hub.topics:
                break
        assert (hub.clients, hub.topics) == (0, 0)


async def test_streams_and_channels_have_a_most() -> None:
    async with open_hub(clients_max=1) as hub:
        part = Part()
        viewer = hub.watch([part.channel()], "en")
        await take(viewer, 1)
        with pytest.raises(LimitExceeded) as refused:
            hub.admit([part.channel()])
        assert refused.value.code == "live_clients"
    async with open_hub() as hub:
        with pytest.raises(LimitExceeded) as refused:
            hub.admit([part.channel()] * (CHANNELS_MAX + 1))
        assert refused.value.code == "live_channels"


async def test_closing_ends_every_stream() -> None:
    hub = Hub()
    viewer = hub.watch([Part().channel()], "en")
    await take(viewer, 1)
    ended = asyncio.create_task(_read_out(viewer))
    await hub.close()
    async with asyncio.timeout(SOON_S):
        await ended
    assert (hub.clients, hub.topics) == (0, 0)


async def _read_out(viewer: AsyncIterator[Message | None]) -> None:
    async for _ in viewer:
        pass


def test_event_is_one_line_of_data_however_the_part_looks() -> None:
    text = stream.event(Message("a-1", "payments:acct_1", "<b>1\n2</b>"), {"payments:acct_1": "payments"})
    head, data = text.split("data: ")
    assert head == "id: a-1\nevent: part\n"
    assert data.count("\n") == 2
    assert json.loads(data) == {"channel": "payments", "html": "<b>1\n2</b>"}
    assert stream.event(None, {}).startswith(":")


async def test_stream_is_sent_as_events_and_an_unknown_channel_is_not_found() -> None:
    hub = Hub()
    async with serving(gallery_app(hub)) as base, httpx.AsyncClient(base_url=base) as browser:
        assert (await browser.get("/ui/stream?channels=other")).status_code == 404
        async with browser.stream("GET", "/ui/stream?channels=gallery") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            async with asyncio.timeout(SOON_S):
                read = [line async for line in _some(lines, 6)]
        assert "event: part" in read
        await hub.close()


async def _some(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield await anext(lines)
