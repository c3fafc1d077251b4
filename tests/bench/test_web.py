"""``bench web``: what its load counts, and what is told where there is no browser."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tongbao.bench import web, web_browser
from tongbao.bench.web_load import Load, Spec

PAGE = b"<html>tea</html>"
PARTS = 3


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a page for every request, in two pieces; after ``/stream`` events that everybody gets."""
    with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/stream" in head:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                for number in range(PARTS):
                    writer.write(b"id: run-%d\ndata: x\n\n" % number)
                    await asyncio.sleep(0.05)
                await reader.read()
                return
            status = b"200 OK" if b"/tea" in head else b"500 Broken"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n<html>" % len(PAGE))
            await asyncio.sleep(0.001)
            writer.write(PAGE.removeprefix(b"<html>"))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.start_server(_page, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_load_counts_whole_pages_and_tells_what_else_came(port: int) -> None:
    spec = Spec(port=port, path="/tea", connections=2, seconds=0.3, expect="</html>")
    good = await Load(spec).run()
    assert good.good > 4
    assert good.bad == {}
    assert good.p50_ms <= good.p99_ms
    spec = Spec(port=port, path="/milk", connections=1, seconds=0.1)
    bad = await Load(spec).run()
    assert (bad.good, list(bad.bad)) == (0, ["500 <html>tea</html>"])


async def test_load_holds_streams_and_tells_who_had_an_event_last(port: int) -> None:
    spec = Spec(port=port, path="/stream", connections=5, seconds=0.6, holds=True)
    held = await Load(spec).run()
    assert (held.good, held.events, held.bad) == (5, PARTS, {})
    assert 0 < held.spread_ms <= held.spread_ms_max < 500


def test_browser_that_is_missing_is_told_and_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_browser, "binary", lambda: None)
    assert web_browser.missing() == "no chromium on the path"
    monkeypatch.setattr(web_browser, "binary", lambda: "/usr/bin/chromium")
    monkeypatch.setattr(web_browser, "MODULES", ("nowhere_to_be_found.async_api",))
    assert web_browser.missing().startswith("not installed: nowhere_to_be_found")


async def test_figures_of_a_missing_browser_are_empty_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_browser, "binary", lambda: None)
    said: list[str] = []
    figures = await web._browser(None, web.QUICK, said.append)  # type: ignore[arg-type]  # nothing is looked at
    assert figures["browser"] == "no chromium on the path"
    assert figures["cashier_kb"] is None
    assert figures["axe_violations"] is None
    assert said == ["No browser: no chromium on the path"]
