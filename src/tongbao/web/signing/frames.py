"""The frames around pages: the console of the house and of merchants, the wallet, and the plain one of sign-in.

``operator``, ``merchant`` and ``payer`` answer a page that extends ``frames/console.html`` or ``frames/wallet.html``; ``plain``
one that extends ``frames/plain.html``. A page gives its template, the key of its place and what it shows; ``flash`` in the
context is (message, tone). ``t`` knows the words of sign-in and frames; a face with words of its own gives its own ``t``.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fastapi import Request, Response
from markupsafe import Markup

from tongbao.core.ids import int_text, uuid_text
from tongbao.parties.schema import MERCHANT_PREFIX
from tongbao.web import pages, wording
from tongbao.web.locale import frames as frame_words
from tongbao.web.locale import ledger
from tongbao.web.locale import signing as words
from tongbao.web.signing import places
from tongbao.web.signing.addresses import FRONT
from tongbao.web.signing.guarding import MerchantVisitor, OperatorVisitor, PayerVisitor, Visitor
from tongbao.web.wording import Say


class Page(NamedTuple):
    """What is answered: a template, the place that is marked in the navigation, what it shows, and its status."""

    template: str
    place: str
    context: Mapping[str, object]
    status: int = 200


class Shown(NamedTuple):
    """A place as the navigation shows it."""

    key: str
    text: Markup
    address: str
    icon: str


def operator(request: Request, visitor: OperatorVisitor, page: Page) -> Response:
    """Answer a page of the house's console."""
    held = frozenset[str](visitor.operator.permissions)
    groups = places.shown(places.OPS, held, places.built(request.app))
    frame = {**_person(request, visitor), **_side(request, groups, "ops"), "face": "ops", "merchant": None}
    return _answer(request, page, {**frame, "finder": "/ops/payments", "home": "/ops", "mode": ""})


def merchant(request: Request, visitor: MerchantVisitor, page: Page) -> Response:
    """Answer a page of a merchant's portal."""
    reference = int_text(MERCHANT_PREFIX, visitor.merchant.merchant_id)
    groups = places.shown(places.MERCHANT, visitor.scope.permissions, places.built(request.app))
    home = f"/merchant/{reference}"
    frame = {
        **_person(request, visitor),
        **_side(request, groups, "merchant", reference),
        "face": "merchant",
        "merchant": visitor.merchant,
        "merchant_reference": reference,
        "others": [
            int_text(MERCHANT_PREFIX, each.merchant_id)
            for each in visitor.memberships
            if each.merchant_id != visitor.merchant.merchant_id
        ],
        "mode": "live" if visitor.scope.live else "test",
    }
    return _answer(request, page, {**frame, "finder": f"{home}/find", "home": home})


def person(request: Request, visitor: Visitor, page: Page) -> Response:
    """Answer a page about a person themselves, in the console's frame."""
    frame = {**_person(request, visitor), "groups": [], "palette_places": []}
    more = {"face": "me", "merchant": None, "finder": "", "home": "/me", "mode": ""}
    return _answer(request, page, {**frame, **more})


def payer(request: Request, visitor: PayerVisitor, page: Page) -> Response:
    """Answer a page of the wallet."""
    t = translator(pages.preferences(request).language)
    found = places.of(places.WALLET, frozenset(), places.built(request.app))
    doors = [_shown(t, "wallet", place) for place in found]
    return _answer(request, page, {"csrf": visitor.csrf, "payer": visitor.payer, "doors": doors})


def plain(request: Request, page: Page, csrf: str = "") -> Response:
    """Answer a page before which nobody need have signed in."""
    return _answer(request, page, {"csrf": csrf})


def translator(language: str) -> Say:
    """Return the function that gives a text of sign-in, frames or the explorer by its key, with values escaped into it."""
    return wording.translator(language, words.TEXTS, frame_words.TEXTS, ledger.TEXTS)


def _answer(request: Request, page: Page, frame: Mapping[str, object]) -> Response:
    language = pages.preferences(request).language
    base: dict[str, object] = {
        "t": translator(language),
        "front": FRONT,
        "uuid_text": uuid_text,
        "ft": translator(language),
        "place": page.place,
        "flash": None,
        "csrf": "",
    }
    return pages.render(request, page.template, {**base, **frame, **page.context}, page.status)


def _person(request: Request, visitor: Visitor) -> dict[str, object]:
    there = places.built(request.app)
    has_ops = bool(visitor.roles) and "/ops" in there
    return {
        "csrf": visitor.csrf,
        "person": visitor.person,
        "doors": [
            *([("/ops", "door_ops")] if has_ops else []),
            *(
                [
                    (
                        f"/merchant/{int_text(MERCHANT_PREFIX, visitor.memberships[0].merchant_id)}",
                        "door_merchant",
                    )
                ]
                if visitor.memberships and "/merchant/{merchant}" in there
                else []
            ),
        ],
    }


def _side(request: Request, groups: list[places.Group], face: str, reference: str = "") -> dict[str, object]:
    t = translator(pages.preferences(request).language)
    drawn = [
        (t(f"group_{group.key}"), [_shown(t, face, place, reference) for place in group.places])
        for group in groups
    ]
    listed = [(place.text, place.address) for _, found in drawn for place in found]
    return {"groups": drawn, "palette_places": listed}


def _shown(t: Callable[..., Markup], face: str, place: places.Place, reference: str = "") -> Shown:
    return Shown(place.key, t(f"place_{face}_{place.key}"), places.address(place, reference), place.icon)
