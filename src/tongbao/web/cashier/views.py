"""What the pages of the checkout show, in the payer's language: amounts, items, receipt, code, reasons."""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import segno
from babel.numbers import format_currency
from fastapi import Request, Response
from markupsafe import Markup

from tongbao.channels.schema import Card, Method, Reason, kind_of
from tongbao.channels.service.codes import reason_info
from tongbao.core.money import Money, format_money
from tongbao.parties.schema import Merchant
from tongbao.payments.schema.checkout import CheckoutSession
from tongbao.payments.schema.intents import Intent, IntentState, RiskState
from tongbao.payments.schema.orders import IntentView
from tongbao.payments.service.step_ups import is_waiting
from tongbao.risk.service.payer_words import payer_sentence
from tongbao.web import pages, wording
from tongbao.web.cashier import faces, telling
from tongbao.web.figures import Figures
from tongbao.web.locale import cashier as words
from tongbao.web.wording import Say

ITEMS_SHOWN = 5
"""More items than these are folded away."""
PERIOD_S = 2
CODE_BORDER = 3
CLOSES_SOON = timedelta(minutes=10)
"""So long before its end a page asks whether its payer needs more time."""
_MODES = {"elder": True, "standard": False}
FIGURES_KEPT = 4_096
"""Amounts in words are made once: the same prices are shown again and again, and CLDR is slow."""
_MINIMAL = "minimal"
_LOCALES = {"en": "en_US", "zh-CN": "zh_Hans_CN"}
_BRANDS = {
    "visa": "Visa",
    "mastercard": "Mastercard",
    "amex": "American Express",
    "discover": "Discover",
    "jcb": "JCB",
    "diners": "Diners Club",
    "unionpay": "UnionPay",
}
_SESSION_ID = "{CHECKOUT_SESSION_ID}"


class Line(NamedTuple):
    """One item as it is shown; ``each`` is the price of one where there are several."""

    name: str
    description: str | None
    quantity: int
    each: str | None
    total: str


def wishes(request: Request, session: CheckoutSession | None = None) -> pages.Preferences:
    """Return how a payer wants the page: asked for now, chosen before, wished by the merchant, said by the browser."""
    wanted = pages.preferences(request)
    mode = request.query_params.get("mode", "")
    chosen = request.query_params.get("lang") or request.cookies.get("lang")
    if session is not None and chosen not in words.LANGUAGES:
        ours = [
            each for each in words.LANGUAGES if each.partition("-")[0] == session.locale.partition("-")[0]
        ]
        wanted = wanted._replace(language=ours[0]) if ours else wanted
    theme = request.query_params.get("theme", "")
    return wanted._replace(
        elder=_MODES.get(mode, wanted.elder), theme=theme if theme in pages.THEMES else wanted.theme
    )


def is_minimal(request: Request) -> bool:
    """Return whether the page has one way to pay and one button: asked for now, or before in this browser."""
    mode = request.query_params.get("mode", "")
    return mode == _MINIMAL or (mode != "standard" and request.cookies.get(_MINIMAL) == "1")


def page(
    request: Request,
    template: str,
    context: Mapping[str, object],
    status: int = 200,
    session: CheckoutSession | None = None,
) -> Response:
    """Return a page of the checkout; size and language that were asked for in the address are remembered."""
    wanted = wishes(request, session)
    figures = Figures(wanted.language)
    shown = {
        "t": translator(wanted.language),
        "prefs": wanted,
        "figures": figures,
        "path": request.url.path,
        "period_s": PERIOD_S,
        "watch": None,
        "merchant": None,
        "live": True,
        "is_minimal": is_minimal(request),
        **context,
    }
    response = pages.render(request, f"cashier/{template}", shown, status)
    response.headers["Content-Language"] = wanted.language
    # The address opens the session: it goes into no other site's log, and no search engine's index.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Robots-Tag"] = "noindex"
    return keep_choices(request, response, wanted)


def keep_choices(request: Request, response: Response, wanted: pages.Preferences) -> Response:
    """Return the page, with the size, the mode and the colors that its address asked for to keep."""
    mode, kept = request.query_params.get("mode"), {}
    if mode in _MODES:
        kept["elder"] = "1" if wanted.elder else "0"
    if mode in ("standard", _MINIMAL):
        kept[_MINIMAL] = "1" if mode == _MINIMAL else "0"
    if request.query_params.get("theme") in pages.THEMES:
        kept["theme"] = wanted.theme
    for name, value in kept.items():
        response.set_cookie(name, value, max_age=pages.YEAR_S, path="/", httponly=True, samesite="lax")
    return response


def translator(language: str) -> Say:
    """Return the function that gives a text by its key, with values escaped into it."""
    return wording.translator(language, words.TEXTS)


def of_session(
    request: Request, session: CheckoutSession, intent: Intent, merchant: Merchant
) -> dict[str, object]:
    """Return what every page of a session shows: who is paid, what for, how much."""
    language = wishes(request, session).language
    return {
        "merchant": merchant.display_name,
        "live": session.live,
        "session": session,
        "items": _lines(session, language),
        "items_shown": ITEMS_SHOWN,
        "parts": _parts(session, language),
        "subtotal": money(session.subtotal_minor, session.currency, language),
        "total": money(intent.amount_minor, intent.currency, language),
        "spoken": spoken(intent.amount_minor, intent.currency, merchant.display_name, language),
        "cancel_url": faces.web_url(session.cancel_url),
        "contact": telling.contact(merchant),
        "reference": intent.reference,
    }


def tried_texts(found: Sequence[telling.Tried], language: str) -> list[tuple[str, str, datetime]]:
    """Return what was tried: with what, how that ended, when."""
    return [
        (
            method_text(each.attempt.method, language),
            words.text(f"tried_{each.ended}", language).format(n=each.route_count),
            each.at,
        )
        for each in found
    ]


@lru_cache(maxsize=FIGURES_KEPT)
def spoken(amount_minor: int, currency: str, payee: str, language: str) -> str:
    """Return what is read aloud: the amount with the name of its currency, and who gets it."""
    amount = format_currency(
        Money(amount_minor, currency).major, currency, locale=_LOCALES[language], format_type="name"
    )
    return words.text("speak", language).format(amount=amount, merchant=payee)


def declined(intent: Intent, language: str, *, is_lost: bool = False) -> str | None:
    """Return why the last attempt ended in a no, for its payer; None where there was none.

    ``is_lost``: it never arrived, as is known by now, so there is nothing to wait for any more.
    """
    if intent.last_error is None:
        return None
    if is_lost:
        return words.text("never_made", language)
    if intent.last_error.reason is Reason.RISK_BLOCKED and intent.judged is not None:
        return payer_sentence(intent.judged.tier, intent.judged.reasons, language)
    info = reason_info(intent.last_error.reason)
    return info.payer_zh if language == "zh-CN" else info.payer_en


def tells_of_money(sentence: str) -> bool:
    """Return whether a sentence says already that nothing was charged: the page does not say it twice."""
    return "charged" in sentence or "扣款" in sentence


def asked(view: IntentView, language: str) -> str | None:
    """Return what a payer who has to prove who it is reads; None where the channel asks for itself."""
    intent, attempt, _ = view
    if not is_waiting(intent, attempt) or intent.judged is None:
        return None
    return payer_sentence(intent.judged.tier, intent.judged.reasons, language)


def receipt(view: IntentView, language: str) -> dict[str, object]:
    """Return the facts of a payment that was made."""
    intent, attempt, _ = view
    return {
        "reference": intent.reference,
        "method": None if attempt is None else method_text(attempt.method, language),
        "paid_at": intent.updated_at if attempt is None else attempt.ended_at or attempt.sent_at,
        "refunded": money(intent.amount_refunded_minor, intent.currency, language)
        if intent.amount_refunded_minor
        else None,
    }


def end_text(intent: Intent) -> str:
    """Return the key of what a payer is told of a payment that was made: taken, reserved, or held to be looked at."""
    if intent.state is IntentState.SUCCEEDED:
        return "paid"
    return "held" if intent.risk_state is RiskState.REVIEW else "reserved"


def success_url(session: CheckoutSession) -> str | None:
    """Return where the merchant wants its payers to go afterwards, with the session's id where it asks for it."""
    url = faces.web_url(session.success_url)
    return None if url is None else url.replace(_SESSION_ID, session.reference)


def method_text(method: Method, language: str) -> str:
    """Return a method as its payer knows it: ``Visa •••• 4242``."""
    name = words.text(f"m_{kind_of(method)}", language)
    if isinstance(method, Card):
        return f"{_BRANDS.get(method.brand, name)} •••• {method.last4}"
    return name


@lru_cache(maxsize=FIGURES_KEPT)
def money(amount_minor: int, currency: str, language: str) -> str:
    """Return an amount with the mark and the decimals of its currency."""
    return format_money(Money(amount_minor, currency), _LOCALES[language])


def code(text: str) -> Markup:
    """Return a text as a QR code: one path in an SVG without style."""
    drawn = segno.make(text, error="m", micro=False)
    # The library draws squares; the text itself is not part of what it writes.
    return Markup(drawn.svg_inline(border=CODE_BORDER, omitsize=True, svgclass="code"))  # noqa: S704


def code_file(text: str) -> bytes:
    """Return a text as a QR code, in a file of its own: SVG, black on white, with the quiet zone that readers need."""
    drawn = io.BytesIO()
    segno.make(text, error="m", micro=False).save(drawn, kind="svg", border=4, scale=10, light="#fff")
    return drawn.getvalue()


def _lines(session: CheckoutSession, language: str) -> list[Line]:
    currency = session.currency
    return [
        Line(
            item.name,
            item.description,
            item.quantity,
            money(item.unit_minor, currency, language) if item.quantity > 1 else None,
            money(item.total_minor, currency, language),
        )
        for item in session.items
    ]


def _parts(session: CheckoutSession, language: str) -> list[tuple[str, str, str]]:
    """Return kind, label and amount of what stands in the sum beside the items; a discount has a true minus sign."""
    return [
        (
            each.kind,
            each.label or words.text(f"part_{each.kind}", language),
            money(each.amount_minor, session.currency, language).replace("-", "−"),
        )
        for each in telling.parts(session)
    ]
