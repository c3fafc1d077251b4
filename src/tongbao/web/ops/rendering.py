"""How pages of the ops console are made: the frame of the explorer with words, figures and drawings of their own."""

from collections.abc import Callable, Mapping
from datetime import datetime

from fastapi import Request, Response
from markupsafe import Markup

from tongbao.core.errors import AppError, InvalidRequest
from tongbao.core.money import Money, format_money
from tongbao.web import errors, pages
from tongbao.web.locale import ledger
from tongbao.web.locale import ops as words
from tongbao.web.ops import drawing
from tongbao.web.ops.entering import names_of
from tongbao.web.signing.refusing import refusal

QUERY_CHARS_MAX = 200
_LOCALES = {"en": "en_GB", "zh-CN": "zh_Hans_CN"}


def render(
    request: Request, template: str, room: str, context: Mapping[str, object], status: int = 200
) -> Response:
    """Return a page in the reader's language; ``room`` is marked in the navigation."""
    language = pages.preferences(request).language
    frame: dict[str, object] = {
        "t": translator(language),
        "language": language,
        "room": room,
        "percent": percent,
        "points": points,
        "spread": spread,
        "tenths": tenths,
        "clock_time": clock_time,
        "draw": drawing,
        "who": lambda actor: names_of(request).get(actor, actor),
        "csrf": getattr(getattr(request.state, "visitor", None), "csrf", ""),
        "visitor": getattr(request.state, "visitor", None),
        "money": lambda minor, currency: money(minor, currency, language),
    }
    return pages.render(request, f"ops/{template}", {**frame, **context}, status)


def error_page(request: Request, error: AppError) -> Response:
    """Return the page for an error, in the same design, with the status of its kind."""
    refused = refusal(request, error)
    if refused is not None:
        return refused
    status = errors.answer(error).status
    key = {404: "e_unknown", 400: "e_invalid"}.get(
        status, "e_busy" if status in {429, 503, 504} else "e_failed"
    )
    return render(request, "error.html", "", {"key": key, "status": status}, status)


def translator(language: str) -> Callable[..., Markup]:
    """Return the function that gives a text by its key, with values escaped into it."""

    def translate(key: str, **values: object) -> Markup:
        known = words.TEXTS if key in words.TEXTS else ledger.TEXTS
        # The catalogue is part of the program; only the values come from outside.
        return Markup(known[key][ledger.LANGUAGES.index(language)]).format(**values)  # noqa: S704 - our own catalogue

    return translate


def query(request: Request, name: str) -> str:
    """Return a parameter of the address, cut to a sane length and without what no text column can hold."""
    return request.query_params.get(name, "")[:QUERY_CHARS_MAX].replace("\0", "").strip()


def choice(request: Request, name: str, known: Mapping[str, object], otherwise: str) -> str:
    """Return a parameter that is one of ``known``, or the usual one; raise InvalidRequest ``choice_unknown``."""
    asked = query(request, name)
    if asked and asked not in known:
        raise InvalidRequest("choice_unknown", f"{name} is none of {', '.join(known)}")
    return asked or otherwise


def percent(share: float, places: int = 1) -> str:
    """Return a share in percent."""
    return f"{share * 100:.{places}f}%".replace("-", "−")


def spread(low: float, high: float) -> str:
    """Return an interval of shares in percent, as short as can be."""
    return f"{low * 100:.1f}–{high * 100:.1f}%"


def points(change: float) -> str:
    """Return a difference of shares in points, with its sign."""
    return f"{change * 100:+.1f}".replace("-", "−")


def tenths(share: float) -> str:
    """Return a share in hundredths to one place, without a sign for what is not negative."""
    return f"{share * 100:.1f}".replace("-", "−")


def clock_time(at: datetime) -> str:
    """Return the time of day of an instant, in UTC."""
    return at.strftime("%H:%M:%S")


def money(minor: float, currency: str, language: str) -> str:
    """Return an amount of minor units as the language writes it; an unknown currency stands behind its number."""
    try:
        return format_money(Money(round(minor), currency), _LOCALES[language])
    except AppError:
        return f"{round(minor):,} {currency}"
