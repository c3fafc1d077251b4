"""A headless Chromium driven over the DevTools protocol through a pipe: no driver, no socket, no download.

Debian's browser is taken from the path; where there is none, the tests that need it are skipped and say so.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

ANSWER_S = 30.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
LOOKS_MAX = 300
LOOK_S = 0.1
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
    *("--hide-scrollbars", "--remote-debugging-pipe"),
)
BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_CHROMIUM = pytest.mark.skipif(BINARY is None, reason="no chromium on the path")

Json = dict[str, Any]


class Page:
    """One tab. ``complaints`` are what it wrote as errors: exceptions, and what its content policy refused."""

    def __init__(self, browser: "Chromium", session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []

    async def call(self, method: str, **params: Any) -> Json:
        """Call a method of the protocol for this tab."""
        return await self._browser.call(method, self._session, **params)

    async def run(self, script: str) -> Any:
        """Return the value of an expression, awaited where it promises one, as if the payer had touched the page."""
        told = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def go(self, url: str) -> None:
        """Open an address and wait until it is there."""
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    async def until(self, condition: str) -> None:
        """Wait until an expression holds; while a page changes there is nothing that could hold."""
        for _ in range(LOOKS_MAX):
            told = await self.call("Runtime.evaluate", expression=f"!!({condition})", returnByValue=True)
            if told["result"].get("value") is True:
                return
            await asyncio.sleep(LOOK_S)
        raise AssertionError(
            f"never: {condition}; {await self.run('location.href + document.body.innerText')}"
        )

    async def click(self, selector: str) -> None:
        """Click what a selector finds, if it can be seen."""
        found = json.dumps(selector)
        assert await self.run(f"document.querySelector({found})?.checkVisibility()"), selector
        await self.run(f"document.querySelector({found}).click()")

    async def picture(self) -> bytes:
        """Return what the tab shows, all of its length, as PNG."""
        told = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(told["data"])


class Chromium:
    """A browser of its own profile; ``open_chromium`` makes one."""

    def __init__(self, reader: asyncio.StreamReader, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self._pages: dict[str, Page] = {}

    async def call(self, method: str, session: str | None = None, **params: Any) -> Json:
        """Call a method of the protocol and return what it answers."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params}
        if session is not None:
            asked["sessionId"] = session
        self._waiting[number] = asyncio.get_running_loop().create_future()
        os.write(self._writer, json.dumps(asked).encode() + b"\0")
        told = await asyncio.wait_for(self._waiting[number], ANSWER_S)
        assert "error" not in told, (method, told)
        found: Json = told["result"]
        return found

    async def page(self) -> Page:
        """Open a tab that behaves as the one in front, with cookies of its own."""
        context = await self.call("Target.createBrowserContext", disposeOnDetach=True)
        target = await self.call("Target.createTarget", url="about:blank", **context)
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        return page

    async def listen(self) -> None:
        """Hand out what the browser says until it ends."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                told = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                if "id" in told:
                    self._waiting.pop(told["id"]).set_result(told)
                else:
                    self._hear(told)

    def _hear(self, told: Json) -> None:
        page, params = self._pages.get(told.get("sessionId", "")), told["params"]
        if page is None:
            return
        if told["method"] == "Runtime.exceptionThrown":
            page.complaints.append(json.dumps(params["exceptionDetails"])[:500])
        elif told["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            page.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")


@contextlib.asynccontextmanager
async def open_chromium() -> AsyncIterator[Chromium]:
    """A running browser, with a profile that is thrown away."""
    assert BINARY is not None
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    home = tempfile.mkdtemp(prefix="tongbao-chromium-")
    # The browser reads from the third and writes to the fourth file that it is given.
    program = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
    process = await asyncio.create_subprocess_exec(
        *("/bin/bash", "-c", program, BINARY, *FLAGS, f"--user-data-dir={home}", "about:blank"),
        pass_fds=(theirs_in, theirs_out),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    reader = asyncio.StreamReader(limit=ANSWER_BYTES_MAX)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb")
    )
    browser = Chromium(reader, ours_out)
    listening = asyncio.create_task(browser.listen())
    try:
        yield browser
    finally:
        with contextlib.suppress(TimeoutError, AssertionError):
            await browser.call("Browser.close")
        await asyncio.wait_for(process.wait(), ANSWER_S)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        transport.close()
        os.close(ours_out)
        shutil.rmtree(home, ignore_errors=True)
