"""Who a story is told to: a language, whether it is the house, and where things of the story have pages of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from markupsafe import Markup

from tongbao.channels.schema import Card, Method, Reason, kind_of
from tongbao.channels.service.codes import reason_info
from tongbao.web import wording
from tongbao.web.locale import stories
from tongbao.web.ui.kit import Kit


class Links(NamedTuple):
    """Where parts of a story have pages, ``{id}`` in the place of the id; empty: nowhere."""

    refund: str = ""
    dispute: str = ""
    batch: str = ""
    payout: str = ""
    transfer: str = ""
    endpoint: str = ""

    def to(self, kind: str, reference: str) -> str:
        """Return the address of a thing of a kind; empty where it has none."""
        return str(getattr(self, kind)).replace("{id}", reference)


NO_LINKS = Links()


@dataclass(frozen=True)
class Reader:
    """``for_house``: the reader is an operator and is told with numbers and by names of parts of the house."""

    language: str
    for_house: bool = False
    links: Links = NO_LINKS

    @cached_property
    def ui(self) -> Kit:
        """Amounts, shares and instants of the language."""
        return Kit(self.language)

    @property
    def is_chinese(self) -> bool:
        """Whether the language is Chinese."""
        return self.language.startswith("zh")

    def t(self, key: str, **values: object) -> Markup:
        """Return a text by its key, with values escaped into it; raise KeyError for an unknown key."""
        return wording.text(self.language, (stories.TEXTS,), key, values)

    def known(self, key: str, otherwise: str) -> str | Markup:
        """Return the text of a key that a later version may not have; then ``otherwise``."""
        return self.t(key) if key in stories.TEXTS else otherwise

    def money(self, minor: int, currency: str) -> str:
        """Return an amount."""
        return self.ui.money(minor, currency)

    def why(self, reason: Reason) -> str:
        """Return what a channel's no means, in the words for whoever runs a business."""
        info = reason_info(reason)
        return info.engineer_zh if self.is_chinese else info.engineer_en

    def method(self, method: Method | None) -> str | Markup:
        """Return a method in words: of a card its brand and last digits."""
        if method is None:
            return self.t("method_none")
        if isinstance(method, Card):
            return self.t("card_ending", brand=brand(method.brand), last4=method.last4)
        return self.method_kind(kind_of(method))

    def method_short(self, method: Method) -> str | Markup:
        """Return a method for a cell of a table: ``Visa •4242``."""
        if isinstance(method, Card):
            return f"{brand(method.brand)}\u00a0•{method.last4}"
        return self.method_kind(kind_of(method))

    def method_kind(self, kind: str) -> str | Markup:
        """Return a kind of method in words."""
        return self.known(f"method_{kind}", kind)

    def facts(self, pairs: Sequence[tuple[str, object]]) -> Markup:
        """Return pairs of a key and a value as a list; empty values are left out."""
        rows = [
            Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(self.t(key), value)
            for key, value in pairs
            if value not in ("", None)
        ]
        return Markup('<dl class="facts">{}</dl>').format(Markup().join(rows)) if rows else Markup()


_BRANDS = {
    "visa": "Visa",
    "mastercard": "Mastercard",
    "amex": "American Express",
    "unionpay": "UnionPay",
    "jcb": "JCB",
    "discover": "Discover",
    "diners": "Diners Club",
}


def brand(name: str) -> str:
    """Return the brand of a card as it writes itself."""
    return _BRANDS.get(name, name.replace("_", " ").title())
