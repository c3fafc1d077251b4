"""What the pages of risk control share: who acts, which mode, forms whose typing is never lost, errors in words.

There is no sign-in yet. Whoever acts types a name once; it is kept in a cookie and stands in every trail, and four eyes
compares such names. So these pages belong on loopback, and acts are refused where the house is asked by a strange name.
"""

import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from babel.dates import format_timedelta
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from tongbao.core.errors import AppError, InvalidRequest, InvariantBroken
from tongbao.risk.service import wording
from tongbao.risk.service.hindsight import Hindsight
from tongbao.risk.service.overviewing import Overviewing
from tongbao.risk.service.rule_drafting import RuleDrafting
from tongbao.web import errors, pages
from tongbao.web.house import House
from tongbao.web.locale import ops as words
from tongbao.web.ops.rendering import choice, query, render, translator
from tongbao.web.page_guard import guest, long_form, refuse_foreign, refuse_strange_host

MODES = {"live": True, "test": False}
ACTOR_COOKIE = "ops_actor"
ACTOR_CHARS_MAX = 60
FORM_BYTES_MAX = 300_000
"""Rules have 60,000 characters at most, and a form writes each of three bytes in nine."""
FIELDS_MAX = 300
RESERVED = frozenset({"risk", "console", "retraining", "drift watch", "tongbao"})
"""Names under which the house itself acts."""
_ACTOR = re.compile(r"\w(?:[\w .'@-]*[\w.])?")
_LOCALES = {"en": "en_GB", "zh-CN": "zh_Hans_CN"}


class Typed(NamedTuple):
    """What a form said: which form of the page, its fields, and who sent it (empty: nobody said)."""

    form: str
    fields: Mapping[str, str]
    actor: str

    def text(self, name: str) -> str:
        """Return a field without blanks around it; empty where it was not filled in."""
        return self.fields.get(name, "").strip()


class Failed(NamedTuple):
    """An act that was refused: what was typed, and why."""

    typed: Typed
    error: AppError


class Shown(NamedTuple):
    """A page to be answered: its template, its tab, what it shows, and the act that was refused, where one was."""

    template: str
    tab: str
    context: Mapping[str, object]
    failed: Failed | None = None


Act = Callable[[Typed], Awaitable[str]]
"""Does what a form asks for and returns the address to go to then."""
Again = Callable[[Failed], Awaitable[Response]]
"""Answers the page once more, with what went wrong."""


class Desk:
    """One per application."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.clock = house.runtime.clock
        self.overviewing = Overviewing(house.runtime.database, self.clock)
        policies, lists = house.decisions.policies, house.risk.lists
        runtime, log = house.runtime, house.decisions.log
        self.hindsight = Hindsight(
            runtime.database, self.clock, runtime.ledger.ids, (log, policies), house.risk
        )
        self.drafting = RuleDrafting(policies, lists, self.hindsight.backtesting, self.clock)

    async def mode(self, request: Request) -> str:
        """Return the mode that is asked for; otherwise live, unless there are payments in test mode only."""
        if asked := choice(request, "mode", MODES, ""):
            return asked
        if await self.overviewing.is_busy(True) or not await self.overviewing.is_busy(False):
            return "live"
        return "test"

    async def read(self, request: Request) -> Typed:
        """Return what a form of these pages says; ``actor`` is empty where nobody who can be named sent it.

        Raises NotPermitted ``origin_foreign`` and ``host_strange``, LimitExceeded, InvalidRequest ``form_invalid``.
        """
        refuse_strange_host(request, self.house.base_url)
        refuse_foreign(request)
        self.house.limits.take(guest(request), live=True, writes=True)
        fields = await long_form(request, FORM_BYTES_MAX, FIELDS_MAX)
        return Typed(fields.get("form", ""), fields, actor_of(request))

    async def act(self, typed: Typed, act: Act, again: Again) -> Response:
        """Do what a form asks for and go to where that is shown; where it is refused, show the form as it was typed."""
        try:
            typed = typed._replace(actor=typed.actor or checked_actor(typed.fields.get("actor", "")))
            address = await act(typed)
        except InvariantBroken:
            raise
        except AppError as error:
            return _remembered(await again(Failed(typed, error)), typed.actor)
        return _remembered(RedirectResponse(address, 303, {"Cache-Control": "no-store"}), typed.actor)

    async def who(self, request: Request) -> Response:
        """Answer the page on which somebody says a name; the form stands on every other page too."""
        return self.page(request, Shown("risk_actor.html", "", {"back": "/ops/risk"}))

    async def name(self, request: Request) -> Response:
        """Remember who acts, or forget it, and go back to where the form stands."""
        typed = await self.read(request)
        back = own_address(typed.fields.get("back", ""))
        if typed.fields.get("forget"):
            response: Response = RedirectResponse(back, 303)
            response.delete_cookie(ACTOR_COOKIE, path="/ops")
            return response
        try:
            name = checked_actor(typed.fields.get("actor", ""))
        except InvalidRequest as error:
            failed = Failed(typed._replace(form="actor", actor=""), error)
            return self.page(request, Shown("risk_actor.html", "", {"back": back}, failed))
        return _remembered(RedirectResponse(back, 303), name)

    def page(self, request: Request, shown: Shown) -> Response:
        """Return a page in the frame of risk control."""
        failed, language = shown.failed, language_of(request)
        now = self.clock.now()
        said = query(request, "said")
        frame: dict[str, object] = {
            "tab": shown.tab,
            "actor": failed.typed.actor if failed else actor_of(request),
            "said": said if f"said_{said}" in words.TEXTS else "",
            "failed_form": failed.typed.form if failed else "",
            "problem": problem_text(failed.error, language) if failed else "",
            "was": _was(failed),
            "now": now,
            "due": lambda at: due_text(at, now, language),
            "ends": lambda at: span_text(at, now, language),
            "value_of": lambda value, currency: value_text(value, currency),
            "reason_text": lambda code: wording.reason_text(code, language),
            "tier_text": lambda tier: words_of(wording.TIERS, tier, language),
            "entity_text": lambda entity: words_of(wording.ENTITIES, entity, language),
        }
        status = 200 if failed is None else errors.answer(failed.error).status
        return render(request, shown.template, "risk", {**frame, **shown.context}, status)


def language_of(request: Request) -> str:
    """Return the reader's language."""
    return pages.preferences(request).language


def actor_of(request: Request) -> str:
    """Return who acts, as the cookie says; empty where it says nothing that can be a name."""
    try:
        return checked_actor(unquote(request.cookies.get(ACTOR_COOKIE, "")))
    except InvalidRequest:
        return ""


def checked_actor(text: str) -> str:
    """Return a name in one form; raise InvalidRequest ``actor_missing``, ``actor_name_invalid``.

    The same letters written in another way are the same person: compatible forms are made one, blanks too.
    """
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if not name:
        raise InvalidRequest("actor_missing", "say who you are first")
    if len(name) > ACTOR_CHARS_MAX or not _ACTOR.fullmatch(name) or name.casefold() in RESERVED:
        raise InvalidRequest("actor_name_invalid", "this cannot be the name of a person")
    return name


def own_address(back: str) -> str:
    """Return an address of these pages, the first of them for any other."""
    is_own = back.startswith("/ops/") and back.isprintable() and "\\" not in back and len(back) <= 2_000
    return back if is_own else "/ops/risk"


def problem_text(error: AppError, language: str) -> Markup:
    """Return why an act was refused, in the reader's words where there are some."""
    say = translator(language)
    key = f"x_{error.code}"
    return say(key, detail=error.detail) if key in words.TEXTS else say("x_other", detail=error.detail)


def due_text(at: datetime, now: datetime, language: str) -> Markup:
    """Return how long something is still in time, or how long it is overdue."""
    return translator(language)("overdue_by" if at < now else "due_in", time=span_text(at, now, language))


def span_text(at: datetime, now: datetime, language: str) -> str:
    """Return the time between two instants in words, to the minute."""
    return str(
        format_timedelta(abs(at - now), granularity="minute", threshold=1.2, locale=_LOCALES[language])
    )


def value_text(value: int, currency: str) -> str:
    """Return hundredths as an amount; a currency that nobody knows stands behind the number."""
    try:
        return wording.money(value, currency)
    except AppError:
        return f"{value / 100:,.2f} {currency}"


def words_of(table: Mapping[Any, tuple[str, str]], key: object, language: str) -> str:
    """Return the words of a key in a language; the key itself where there are none."""
    pair = table.get(key)
    return str(key) if pair is None else pair[wording.column(language)]


def _was(failed: Failed | None) -> Callable[..., str]:
    """Return what was typed into a field of a form, or what it holds otherwise."""

    def was(form: str, name: str, otherwise: str = "") -> str:
        if failed is None or failed.typed.form != form:
            return otherwise
        return failed.typed.fields.get(name, "")

    return was


def _remembered(response: Response, actor: str) -> Response:
    """Return a response that keeps who acts until the browser is closed."""
    if actor:
        response.set_cookie(ACTOR_COOKIE, quote(actor), path="/ops", httponly=True, samesite="lax")
    return response
