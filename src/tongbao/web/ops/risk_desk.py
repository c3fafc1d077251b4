"""What the pages of risk control share: which mode, forms whose typing is never lost, errors in words.

Whoever acts is signed in (``entering``); their id stands in every trail, four eyes compares ids, and pages show the names
behind them. An act asks for the permission that the same act of ``/v2`` asks for.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from babel.dates import format_timedelta
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from tongbao.core.errors import AppError, InvariantBroken
from tongbao.parties.schema import OperatorPermission
from tongbao.parties.service.access import require_operator
from tongbao.risk.service import wording
from tongbao.risk.service.hindsight import Hindsight
from tongbao.risk.service.overviewing import Overviewing
from tongbao.risk.service.rule_drafting import RuleDrafting
from tongbao.web import errors, pages
from tongbao.web.house import House
from tongbao.web.ops.entering import names_of, visitor_of
from tongbao.web.ops.rendering import choice, percent, query, spread
from tongbao.web.ops.risk_words import TEXTS, translator
from tongbao.web.signing import frames
from tongbao.web.signing.guarding import OperatorVisitor
from tongbao.web.signing.refusing import error_page as plain_error_page
from tongbao.web.signing.refusing import refusal
from tongbao.web.signing.rooms import guards_of
from tongbao.web.ui.kit import Kit
from tongbao.web.wording import Say

MODES = {"live": True, "test": False}
FORM_BYTES_MAX = 300_000
"""Rules have 60,000 characters at most, and a form writes each of three bytes in nine."""
FIELDS_MAX = 300
_ERROR_KEYS = {404: "e_unknown", 400: "e_invalid", 429: "e_busy", 503: "e_busy", 504: "e_busy"}
_LOCALES = {"en": "en_GB", "zh-CN": "zh_Hans_CN"}


class Typed(NamedTuple):
    """What a form said: which form of the page, its fields, and who sent it."""

    form: str
    fields: Mapping[str, str]
    visitor: OperatorVisitor

    @property
    def actor(self) -> str:
        """Who sent it, as trails name them."""
        return self.visitor.actor

    def require(self, permission: OperatorPermission) -> None:
        """Raise PermissionMissing where who sent it may not do this."""
        require_operator(self.visitor.operator, permission)

    def text(self, name: str) -> str:
        """Return a field without blanks around it; empty where it was not filled in."""
        return self.fields.get(name, "").strip()


class Failed(NamedTuple):
    """An act that was refused: what was typed, and why."""

    typed: Typed
    error: AppError


class Shown(NamedTuple):
    """A page to be answered: its template, its place, what it shows, and the act that was refused, where one was."""

    template: str
    place: str
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
        self._guards = guards_of(house)
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
        """Return what a form of these pages says, and who sent it.

        Raises NotPermitted ``origin_foreign``, SessionRefused ``csrf_invalid``, InvalidRequest ``form_invalid``.
        """
        visitor = visitor_of(request)
        fields = await self._guards.form(request, visitor, FORM_BYTES_MAX, FIELDS_MAX)
        return Typed(fields.get("form", ""), fields, visitor)

    async def act(self, typed: Typed, act: Act, again: Again) -> Response:
        """Do what a form asks for and go to where that is shown; where it is refused, show the form as it was typed."""
        try:
            address = await act(typed)
        except InvariantBroken:
            raise
        except AppError as error:
            return await again(Failed(typed, error))
        return RedirectResponse(address, 303, {"Cache-Control": "no-store"})

    def page(self, request: Request, shown: Shown) -> Response:
        """Return a page in the console's frame."""
        failed, language = shown.failed, language_of(request)
        now, visitor = self.clock.now(), visitor_of(request)
        say, named = translator(language), names_of(request)
        problem = problem_text(failed.error, language) if failed else ""
        frame: dict[str, object] = {
            "t": say,
            "ui": Kit(language, now),
            "language": language,
            "actor": visitor.actor,
            "may": lambda permission: visitor.may(OperatorPermission(permission)),
            "who": lambda actor: named.get(actor, actor),
            "flash": _flash(request, say, failed, problem),
            "failed_form": failed.typed.form if failed else "",
            "problem": problem,
            "was": _was(failed),
            "now": now,
            "percent": percent,
            "spread": spread,
            "due": lambda at: due_text(at, now, language),
            "value_of": value_text,
            "reason_text": lambda code: wording.reason_text(code, language),
            "tier_text": lambda tier: words_of(wording.TIERS, tier, language),
            "entity_text": lambda entity: words_of(wording.ENTITIES, entity, language),
        }
        status = 200 if failed is None else errors.answer(failed.error).status
        # The frame has a switch of modes of its own, for merchants; these pages name theirs in the address.
        context = {"which" if key == "mode" else key: value for key, value in shown.context.items()}
        page = frames.Page(f"ops/{shown.template}", shown.place, {**frame, **context}, status)
        return frames.operator(request, visitor, page)


def error_page(request: Request, error: AppError) -> Response:
    """Return the page for an error: in the console's frame for whoever was let in, with the status of its kind."""
    refused = refusal(request, error)
    visitor = getattr(request.state, "visitor", None)
    if refused is not None or not isinstance(visitor, OperatorVisitor):
        return refused or plain_error_page(request, error)
    status = errors.answer(error).status
    language = language_of(request)
    key = _ERROR_KEYS.get(status, "e_failed")
    context = {"t": translator(language), "key": key, "status": status}
    return frames.operator(request, visitor, frames.Page("ops/risk_error.html", "", context, status))


def language_of(request: Request) -> str:
    """Return the reader's language."""
    return pages.preferences(request).language


def problem_text(error: AppError, language: str) -> Markup:
    """Return why an act was refused, in the reader's words where there are some."""
    say = translator(language)
    key = f"x_{error.code}"
    return say(key if key in TEXTS else "x_other", detail=error.detail)


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


def _flash(request: Request, say: Say, failed: Failed | None, problem: str) -> tuple[Markup, str] | None:
    """Return what is told at the head of a page: what was refused, with the way to the form, or what was done."""
    if failed is not None:
        form = failed.typed.form.replace(" ", "-")
        link = Markup(' <a href="#form-{}">{}</a>').format(form, say("see_form")) if form else Markup()
        return Markup("<b>{}.</b> {}{}").format(say("refused"), problem, link), "error"
    said = f"said_{query(request, 'said')}"
    return (say(said), "ok") if said in TEXTS else None


def _was(failed: Failed | None) -> Callable[..., str]:
    """Return what was typed into a field of a form, or what it holds otherwise."""

    def was(form: str, name: str, otherwise: str = "") -> str:
        if failed is None or failed.typed.form != form:
            return otherwise
        return failed.typed.fields.get(name, "")

    return was
