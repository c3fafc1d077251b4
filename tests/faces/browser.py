"""Faces looked at in Debian's chromium through Playwright: fixtures, and what every page must keep.

``browser`` runs for the whole session, ``page_in`` opens pages in a mode, a language and a width; both skip with a reason
where there is no chromium. Every error that a page writes to its console is kept: ``console_errors``.
"""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from weakref import WeakKeyDictionary

import pytest
import uvicorn
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, async_playwright, expect
from starlette.types import ASGIApp

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--in-process-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
MODES = ("light", "dark", "elder")
LANGUAGES = ("en", "zh-CN")
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
WIDE, PHONE, NARROW = 1280, 390, 320
HEIGHT = 900
ANSWER_MS = 15_000
LOOKS_MAX, LOOK_S = 500, 0.02
PageIn = Callable[..., Awaitable[Page]]
"""``await page_in(mode, language, width, base=…, script=True)`` opens a page whose cookies stand for ``base``."""

_errors: WeakKeyDictionary[Page, list[str]] = WeakKeyDictionary()
expect.set_options(timeout=ANSWER_MS)

COLOR_RULES = ("color-contrast", "link-in-text-block")
SIZE_RULES = ("target-size",)
WORD_RULES = (
    *("html-has-lang", "html-lang-valid", "valid-lang", "document-title", "page-has-heading-one"),
    *("button-name", "link-name", "label", "image-alt", "svg-img-alt", "select-name", "summary-name"),
    *(
        "aria-input-field-name",
        "aria-toggle-field-name",
        "aria-command-name",
        "input-button-name",
        "frame-title",
    ),
)
"""The rules of axe that see colors, sizes and words; where nothing else changes, no other can find something new."""
QUICK_AXE = """;(() => {
  const { Color } = axe.commons.color, parse = Color.prototype.parseString, known = new Map();
  Color.prototype.parseString = function (text) {
    const kept = known.get(text);
    if (kept) return Object.assign(this, kept);
    parse.call(this, text);
    const { r, g, b, alpha } = this;
    known.set(text, { r, g, b, alpha });
    return this;
  };
  axe.configure({ noHtml: true });
})()"""
"""Parsing colors takes axe a third of its time, and a page has a dozen of them: each is parsed once. What is wrong is written
out as text afterwards, not each element that is seen."""
AXE = """async ([runOnly, every]) => {
  const places = new Map(), hidden = [];
  for (const each of every ? [] : document.querySelectorAll('tr, li')) {
    const look = each.outerHTML.replace(/>\\s+(?=<)/g, '>').replace(/>[^<]+/g, '>_')
      .replace(/ (href|id|for|name|value|datetime|title|aria-label|aria-describedby|data-id|data-key|d)="[^"]+"/g, ' $1');
    places.set(look, (places.get(look) ?? 0) + 1);
    if (places.get(look) > 2) hidden.push([each, each.style.display]);
  }
  for (const [each] of hidden) each.style.display = 'none';
  const asked = { runOnly, resultTypes: ['violations'], preload: false, elementRef: true };
  try {
    const { violations } = await axe.run(document, asked);
    return violations.flatMap(({ id, nodes }) => nodes.slice(0, 5).map(({ element, target, any }) =>
      `${id}: ${(element?.outerHTML ?? `${target}`).slice(0, 160)} ${JSON.stringify(any.map(({ message }) => message)).slice(0, 200)}`));
  } finally {
    for (const [each, display] of hidden) each.style.display = display;
  }
}"""
"""Rows of tables and lists that repeat two others in everything but their texts and ids are left out, unless ``every`` is
asked for: axe would say the same of them again."""

ELDER_AUDIT = """() => {
  const seen = (each) => each.checkVisibility({ visibilityProperty: true }) && !each.closest('.vh, .skip, [aria-hidden="true"]');
  const wrong = [];
  for (const each of document.querySelectorAll('a[href], button, summary, input, select, textarea, [role="option"]')) {
    if (!seen(each) || each.type === 'hidden' || each.matches('.vh *')) continue;
    const target = (each.type === 'checkbox' || each.type === 'radio') && each.labels?.[0] || each;
    const box = target.getBoundingClientRect();
    const width = target === each ? box.width : box.width + each.getBoundingClientRect().width;
    if (!box.width || !box.height) continue;
    if (Math.round(width) < 60 || Math.round(box.height) < 60)
      wrong.push(`${each.tagName} ${Math.round(width)}x${Math.round(box.height)} ${each.textContent.trim().slice(0, 40) || each.name || each.ariaLabel}`);
  }
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode()); ) {
    const holder = node.parentElement;
    if (!node.data.trim() || holder.closest('option, optgroup, script, .vh, .skip, [aria-hidden="true"]') || !seen(holder)) continue;
    const size = parseFloat(getComputedStyle(holder).fontSize);
    if (size < 17.99) wrong.push(`${size}px ${node.data.trim().slice(0, 40)}`);
  }
  return wrong;
}"""

SWITCH = """(mode) => {
  document.documentElement.dataset.theme = mode === 'dark' ? 'dark' : 'light';
  document.documentElement.toggleAttribute('data-elder', mode === 'elder');
}"""
SIDEWAYS = """(modes) => (modes.length ? modes : ['']).flatMap((mode) => {
  if (mode) (SWITCH)(mode);
  const root = document.scrollingElement, room = root.clientWidth;
  if (root.scrollWidth <= room) return [];
  const beyond = [...document.body.querySelectorAll('*')].filter((each) => {
    for (let up = each.parentElement; up; up = up.parentElement) if (getComputedStyle(up).overflowX !== 'visible') return false;
    return each.getBoundingClientRect().right > room + 0.5;
  });
  return [`${mode} ${root.scrollWidth} > ${room}`, ...beyond.slice(0, 5).map((each) => each.outerHTML.slice(0, 120))];
})""".replace("SWITCH", SWITCH)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's browser, started once."""
    if BINARY is None:
        pytest.skip("no chromium on the path")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=BINARY, args=list(FLAGS))
        yield running
        await running.close()


@pytest.fixture
async def page_in(browser: Browser) -> AsyncIterator[PageIn]:
    """Opens pages; each has cookies of its own, and all are closed after the test."""
    opened = []

    async def open_page(
        mode: str = "light",
        language: str = "en",
        width: int = WIDE,
        base: str = "http://localhost",
        script: bool = True,
    ) -> Page:
        context = await browser.new_context(
            viewport={"width": width, "height": HEIGHT},
            java_script_enabled=script,
            color_scheme="dark" if mode == "dark" else "light",
            reduced_motion="reduce",
            locale=language,
        )
        opened.append(context)
        kept = {
            "lang": language,
            "theme": "dark" if mode == "dark" else "light",
            "elder": str(int(mode == "elder")),
        }
        await context.add_cookies(
            [{"name": name, "value": value, "url": base} for name, value in kept.items()]
        )
        page = await context.new_page()
        page.set_default_timeout(ANSWER_MS)
        errors = _errors[page] = []
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_page
    for context in opened:
        await context.close()


def console_errors(page: Page) -> list[str]:
    """Return what a page of ``page_in`` wrote as errors so far, refusals of its content policy among them."""
    return list(_errors[page])


async def violations(page: Page, rules: tuple[str, ...] = (), *, every: bool = False) -> list[str]:
    """Return what axe finds against WCAG 2.2 A and AA, each with the first places; ``rules``: by these only.

    ``every``: also in rows that look as others do.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT + QUICK_AXE)
    asked = list(rules) or {"type": "tag", "values": list(WCAG)}
    found: list[str] = await page.evaluate(AXE, [asked, every])
    return found


async def assert_accessible(page: Page) -> None:
    """Fail on any violation of WCAG 2.2 A or AA that axe can see."""
    assert not (found := await violations(page)), "\n".join(found)


async def too_small(page: Page) -> list[str]:
    """Return the targets below 60 by 60 px and the texts below 18 px: the numbers of the guideline for older users."""
    found: list[str] = await page.evaluate(ELDER_AUDIT)
    return found


async def assert_elder(page: Page) -> None:
    """Fail on what is too small for older users."""
    assert not (found := await too_small(page)), "\n".join(found)


async def sideways(
    page: Page, widths: tuple[int, ...] = (NARROW, WIDE // 2), modes: tuple[str, ...] = ()
) -> list[str]:
    """Return what makes a page scroll sideways at 320 px, or at 1,280 px with a zoom of 200 %.

    ``modes``: in each of these, of which the last stays; in the one that the page stands in where none is given.
    """
    before = page.viewport_size
    wrong: list[str] = []
    for width in widths:
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        wrong += await page.evaluate(SIDEWAYS, list(modes))
    if before is not None:
        await page.set_viewport_size(before)
    return wrong


async def assert_no_sideways(page: Page) -> None:
    """Fail where a page must be scrolled sideways."""
    assert not (found := await sideways(page)), "\n".join(found)


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a free port of this machine; gives its address."""
    place = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    )
    running = asyncio.create_task(server.serve(sockets=[place]))
    for _ in range(LOOKS_MAX):
        await asyncio.sleep(LOOK_S)
        if server.started:
            break
    try:
        yield f"http://localhost:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        place.close()
