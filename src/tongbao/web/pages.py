"""How pages are made: templates with autoescape, the reader's preferences, hashed assets, small forms.

Preferences (language, light or dark, large text) are cookies without personal data, set by a plain form; the
language is negotiated by ``?lang=``, cookie, then ``Accept-Language``. Nothing here needs JavaScript, and no page
carries inline style or script, so that the strictest content policy holds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tongbao.core.errors import InvalidRequest
from tongbao.web import figures, wording
from tongbao.web.figures import Figures
from tongbao.web.locale import ledger as words
from tongbao.web.ui import assets
from tongbao.web.ui.kit import Kit
from tongbao.web.wording import Say

HERE = Path(__file__).parent
STATIC_PREFIX = assets.PREFIX
ADDRESSES = assets.ADDRESSES
ASSETS = assets.ASSETS
YEAR_S = 365 * 24 * 3600
FORM_BYTES_MAX = 4_096
THEMES = ("auto", "light", "dark")


class Preferences(NamedTuple):
    """What one reader wants."""

    language: str
    theme: str
    elder: bool


_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_templates.globals.update(
    asset=assets.address,
    account_text=figures.account_text,
    transfer_text=figures.transfer_text,
    short_hash=figures.short_hash,
)


def preferences(request: Request) -> Preferences:
    """Return what the reader asked for in this request, chose before, or what the browser says."""
    asked = request.query_params.get("lang") or request.cookies.get("lang") or ""
    theme = request.cookies.get("theme", "auto")
    return Preferences(
        asked if asked in words.LANGUAGES else _negotiated(request.headers.get("accept-language", "")),
        theme if theme in THEMES else "auto",
        request.cookies.get("elder") == "1",
    )


def render(request: Request, template: str, context: Mapping[str, object], status: int = 200) -> Response:
    """Return a page in the reader's language. A language asked for in the address is remembered."""
    wanted = preferences(request)
    figure = Figures(wanted.language)
    body = _templates.get_template(template).render(
        {
            "t": translator(wanted.language),
            "prefs": wanted,
            "figures": figure,
            "ui": Kit(wanted.language),
            "amount": figure.amount,
            "here": _address(request),
            "account_name": lambda name: words.account_name(name, wanted.language),
            **context,
        }
    )
    response = HTMLResponse(body, status, {"Cache-Control": "no-store", "Content-Language": wanted.language})
    if request.query_params.get("lang") in words.LANGUAGES:
        _remember(response, "lang", wanted.language)
    return response


def part(language: str, template: str, context: Mapping[str, object]) -> str:
    """Return a part of a page in a language, for whoever sends it alone: it knows no request and no reader."""
    shown = {"ui": Kit(language), "figures": Figures(language), "t": translator(language), **context}
    return _templates.get_template(template).render(shown)


def translator(language: str) -> Say:
    """Return the function that gives a text by its key, with values escaped into it."""
    return wording.translator(language, words.TEXTS)


def finding_key(what: str) -> str:
    """Return the key of the words for a finding of a verification."""
    return f"f_{what}" if f"f_{what}" in words.TEXTS else "f_other"


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a small form; raise InvalidRequest ``form_invalid`` for a large or foreign one.

    A browser tells where a form was sent from; one that stands on another site is not obeyed.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise InvalidRequest("form_invalid", "the form is too large")
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise InvalidRequest("form_invalid", "the form stands on another site")
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=20))
    except ValueError as error:
        raise InvalidRequest("form_invalid", "the form has too many fields") from error


async def change_preferences(request: Request) -> Response:
    """Remember the choices of the form and go back to where it was sent from."""
    fields = await form(request)
    response = RedirectResponse(own_path(fields.get("back", "/")), 303)
    for name, allowed in (("lang", words.LANGUAGES), ("theme", THEMES), ("elder", ("0", "1"))):
        if fields.get(name) in allowed:
            _remember(response, name, fields[name])
    return response


def own_path(back: str) -> str:
    """Return an address of this house that a form names to go back to, or ``/`` for any other."""
    # "//host" and "/\\host" lead to another one.
    safe = back.startswith("/") and back[1:2] not in {"/", "\\"} and back.isprintable()
    return back if safe else "/"


def _remember(response: Response, name: str, value: str) -> None:
    response.set_cookie(name, value, max_age=YEAR_S, path="/", httponly=True, samesite="lax")


def _address(request: Request) -> str:
    """Return the address of this page without what only this request meant; forms are answered at their page."""
    if request.method == "POST":
        return request.url.path.removesuffix("/verify")
    kept = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in {"lang", "fragment"}
    ]
    return request.url.path + ("?" + urlencode(kept) if kept else "")


def _negotiated(header: str) -> str:
    """Return the language that a browser prefers among ours: English unless it names Chinese before."""
    ranked = []
    for place, item in enumerate(header[:500].split(",")):
        tag, _, quality = item.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        ranked.append((-weight, place, tag.strip().lower()))
    for _, _, tag in sorted(ranked):
        for language in words.LANGUAGES:
            if tag.partition("-")[0] == language.partition("-")[0]:
                return language
    return words.LANGUAGES[0]
