"""Pages as a browser gets them: bytes, requests, time to the largest thing, jumps, and what axe finds against WCAG 2.2.

Needs chromium on the path, and Playwright and axe of the development environment; ``missing`` says what is not there.
"""

import importlib
import importlib.util
import shutil
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from tongbao.bench.web_house import Served

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
MODULES = ("playwright.async_api", "axe_playwright_python.async_playwright")
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
MODES = ("light", "dark", "elder")
LANGUAGES = ("en", "zh-CN")
PLACES_MAX = 80
SETTLED_MS = 300
PAINTED = f"""() => new Promise((done) => {{
  let moved = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((each) => {{ moved += each.value; }}))
    .observe({{ type: 'layout-shift', buffered: true }});
  new PerformanceObserver((list) => {{
    const last = list.getEntries().at(-1);
    setTimeout(() => done({{ lcp: last.startTime, moved }}), {SETTLED_MS});
  }}).observe({{ type: 'largest-contentful-paint', buffered: true }});
}})"""
PLACES = "() => [...document.querySelectorAll('nav a[href^=\"/\"]')].map((each) => each.getAttribute('href'))"
Say = Callable[[str], None]
T = TypeVar("T")


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a page cost a browser that was never here: kilobytes (1,024 bytes) on the wire, milliseconds, shift score."""

    kb: float
    js_kb: float
    requests: int
    lcp_ms: float
    cls: float
    errors: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser found: the checkout, the heaviest page of the consoles, and violations over all pages and modes."""

    cashier: Cost
    consoles: dict[str, Cost]
    looked: int
    violations: dict[str, list[str]]


class Sizes(NamedTuple):
    """How many cold loads of the checkout, and in which modes and languages every page is examined."""

    loads: int
    places_max: int = PLACES_MAX
    modes: Sequence[str] = MODES
    languages: Sequence[str] = LANGUAGES


def missing() -> str:
    """Return why no browser can look, empty where one can."""
    if binary() is None:
        return "no chromium on the path"
    lacking = [name for name in MODULES if importlib.util.find_spec(name.partition(".")[0]) is None]
    return f"not installed: {', '.join(lacking)} (pip install 'tongbao[dev]')" if lacking else ""


def binary() -> str | None:
    """Return where chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


async def look(served: Served, sizes: Sizes, say: Say) -> Seen:
    """Look at the house with a browser; call only where nothing is ``missing``."""
    # Development tools: the program runs without them, so they are loaded when they are called for.
    api: Any = importlib.import_module(MODULES[0])
    axe: Any = importlib.import_module(MODULES[1])
    async with api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary(), args=list(FLAGS))
        try:
            return await _Looking(served, browser, axe.Axe(), sizes, say).all()
        finally:
            await browser.close()


class _Looking:
    def __init__(self, served: Served, browser: Any, axe: Any, sizes: Sizes, say: Say) -> None:
        self._served = served
        self._browser = browser
        self._axe = axe
        self._sizes = sizes
        self._say = say

    async def all(self) -> Seen:
        """Weigh the checkout and the consoles, then examine every page."""
        served = self._served
        loads = [await self._cost(served.checkout, "") for _ in range(self._sizes.loads)]
        # What else the machine does is no fault of the page: the quickest load counts.
        cashier = min(loads, key=lambda cost: cost.lcp_ms)
        self._say(f"checkout: {cashier.kb:.1f} KB, {cashier.requests} requests, LCP {cashier.lcp_ms:.0f} ms")
        faces = {served.operator: "/ops/routing", served.owner: f"/merchant/{served.merchant}"}
        places = {
            place: cookie for cookie, home in faces.items() for place in await self._places(home, cookie)
        }
        consoles = {place: await self._cost(place, cookie) for place, cookie in places.items()}
        self._say(
            f"{len(consoles)} pages of the consoles, at most {max(c.kb for c in consoles.values()):.1f} KB"
        )
        looked, violations = await self._examined({served.checkout: "", **places})
        self._say(f"axe: {sum(map(len, violations.values()))} violations in {looked} looks")
        return Seen(cashier=cashier, consoles=consoles, looked=looked, violations=violations)

    async def _cost(self, path: str, cookie: str) -> Cost:
        """Open a page cold in a browser of its own."""

        async def weigh(page: Any) -> Cost:
            session = await page.context.new_cdp_session(page)
            await session.send("Network.enable")
            kinds: dict[str, str] = {}
            sizes: dict[str, int] = {}
            errors: list[str] = []
            page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
            session.on(
                "Network.requestWillBeSent", lambda told: kinds.update({told["requestId"]: told["type"]})
            )
            session.on(
                "Network.loadingFinished",
                lambda told: sizes.update({told["requestId"]: int(told["encodedDataLength"])}),
            )
            await page.goto(self._served.base + path, wait_until="load")
            painted = await page.evaluate(PAINTED)
            scripts = sum(size for number, size in sizes.items() if kinds.get(number) == "Script")
            return Cost(
                kb=round(sum(sizes.values()) / 1024, 2),
                js_kb=round(scripts / 1024, 2),
                requests=len(kinds),
                lcp_ms=round(painted["lcp"], 1),
                cls=round(painted["moved"], 4),
                errors=len(errors),
            )

        return await self._with_page("light", "en", cookie, weigh)

    async def _places(self, home: str, cookie: str) -> list[str]:
        """Return the addresses that the navigation of a console leads to."""

        async def read(page: Any) -> list[str]:
            answer = await page.goto(self._served.base + home, wait_until="load")
            found: list[str] = [home] if answer.status == 200 else []
            own = [each for each in await page.evaluate(PLACES) if each.startswith(("/ops", "/merchant"))]
            return list(dict.fromkeys([*found, *own]))[: self._sizes.places_max]

        return await self._with_page("light", "en", cookie, read)

    async def _examined(self, places: dict[str, str]) -> tuple[int, dict[str, list[str]]]:
        looked, found = 0, dict[str, list[str]]()
        for mode in self._sizes.modes:
            for language in self._sizes.languages:
                for place, cookie in places.items():
                    wrong = await self._with_page(mode, language, cookie, self._axe_of(place))
                    looked += 1
                    if wrong:
                        found[f"{place} {mode} {language}"] = wrong
        return looked, found

    def _axe_of(self, place: str) -> Callable[[Any], Awaitable[list[str]]]:
        async def examine(page: Any) -> list[str]:
            await page.goto(self._served.base + place, wait_until="load")
            asked = {"runOnly": {"type": "tag", "values": list(WCAG)}, "resultTypes": ["violations"]}
            result = await self._axe.run(page, options=asked)
            return [
                f"{each['id']}: {node['html'][:120]}"
                for each in result.response["violations"]
                for node in each["nodes"]
            ]

        return examine

    async def _with_page(
        self, mode: str, language: str, cookie: str, act: Callable[[Any], Awaitable[T]]
    ) -> T:
        """Return what an act finds on a page of a fresh browser, which somebody is signed in with where a cookie is given."""
        context = await self._browser.new_context(
            color_scheme="dark" if mode == "dark" else "light", locale=language, reduced_motion="reduce"
        )
        try:
            pairs = [pair.partition("=")[::2] for pair in cookie.split("; ") if pair]
            chosen = [("lang", language), ("theme", "dark" if mode == "dark" else "light")]
            chosen.append(("elder", str(int(mode == "elder"))))
            await context.add_cookies(
                [
                    {"name": name, "value": value, "url": self._served.base}
                    for name, value in (*pairs, *chosen)
                ]
            )
            return await act(await context.new_page())
        finally:
            await context.close()
