"""What the step-up pages show, in the payer's language: payee and amount, where the code went, what went wrong."""

from collections.abc import Mapping

from fastapi import Request, Response

from tongbao.core.money import Money, format_money
from tongbao.risk.schema.challenges import (
    ATTEMPTS_MAX,
    CODE_DIGITS,
    Challenge,
    ChallengeState,
    Means,
    StepUpLink,
)
from tongbao.web import pages, wording
from tongbao.web.cashier import faces
from tongbao.web.cashier import views as checkout
from tongbao.web.locale import cashier as cashier_words
from tongbao.web.locale import step_up as words
from tongbao.web.wording import Say

PROBLEMS = (
    *("wrong", "form", "soon", "sends", "unsent", "busy"),
    *(
        "key",
        "key_unknown",
        "key_foreign",
        "key_stale",
        "key_unverified",
        "key_cloned",
        "key_taken",
        "key_full",
    ),
    "key_script",
)
"""Why a form was not taken; the words are under ``p_<problem>``."""
_OF_PASSKEYS = frozenset({ChallengeState.EXPIRED, ChallengeState.FAILED})
"""Ends that are told in other words where no code was asked for."""
_MONEY_LOCALES = {"en": "en_US", "zh-CN": "zh_Hans_CN"}


def page(request: Request, template: str, context: Mapping[str, object], status: int = 200) -> Response:
    """Return a page; size and language that were asked for in the address are remembered, as the checkout does."""
    wanted = checkout.wishes(request)
    shown = {
        "t": translator(wanted.language),
        "prefs": wanted,
        "path": request.url.path,
        "watch": None,
        "merchant": None,
        "live": True,
        "back_url": None,
        "is_minimal": checkout.is_minimal(request),
        "spoken": None,
        **context,
    }
    response = pages.render(request, f"step_up/{template}", shown, status)
    response.headers["Content-Language"] = wanted.language
    # The address is the capability: it goes into no other site's log, and no search engine's index.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Robots-Tag"] = "noindex"
    return checkout.keep_choices(request, response, wanted)


def translator(language: str) -> Say:
    """Return the function that gives a text by its key, of the checkout where there is none here."""
    return wording.translator(language, words.TEXTS, cashier_words.TEXTS)


def of_link(request: Request, link: StepUpLink) -> dict[str, object]:
    """Return what every page of a link shows: who is paid, how much, the way back."""
    language = checkout.wishes(request).language
    purpose = link.order.purpose
    total = Money(purpose.amount_minor, purpose.currency.upper())
    return {
        "merchant": link.order.payee,
        "payee": link.order.payee or words.text("the_merchant", language),
        "live": link.order.live,
        "total": format_money(total, _MONEY_LOCALES[language]),
        "spoken": checkout.spoken(
            total.amount_minor,
            total.currency,
            link.order.payee or words.text("the_merchant", language),
            language,
        ),
        "back_url": faces.web_url(link.return_url),
    }


def of_challenge(challenge: Challenge, wait_s: int) -> dict[str, object]:
    """Return what the page of an open challenge shows; ``wait_s``: seconds until another code may be sent."""
    return {
        "face": "code",
        "challenge": challenge,
        "digits": CODE_DIGITS,
        "tried": challenge.attempts_left < ATTEMPTS_MAX,
        "wait_s": wait_s,
    }


def of_passkey(challenge: Challenge, options: str | None) -> dict[str, object]:
    """Return what the page of an open challenge for a passkey shows; ``options`` None: no passkey counts any more."""
    return {
        "face": "passkey",
        "challenge": challenge,
        "tried": challenge.attempts_left < ATTEMPTS_MAX,
        "options": options,
    }


def face_of_end(challenge: Challenge, state: ChallengeState) -> str:
    """Return the face that tells of an end, in words that fit what was asked for."""
    of_passkey = challenge.means is Means.PASSKEY and state in _OF_PASSKEYS
    return f"{state.value}_key" if of_passkey else state.value
