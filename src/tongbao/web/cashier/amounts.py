"""The page of a link whose payer chooses the sum: what is asked, and what was typed, read with the bounds of the link."""

from collections.abc import Mapping

from fastapi import Request

from tongbao.parties.schema import Merchant
from tongbao.payments.schema.checkout import PaymentLink
from tongbao.web.cashier import views
from tongbao.web.ui.forms import Form
from tongbao.web.ui.kit import Kit
from tongbao.web.ui.money import plain_amount

FIELD = "amount"
SHORTCUTS = 3
"""So many sums are offered to be tapped, besides the one that is preset."""


class AmountForm(Form):
    """The one field of the page."""

    def chosen(self, link: PaymentLink) -> int | None:
        """Return the sum in minor units; None, with the words of why, for one that cannot be."""
        bounds = link.open_amount
        assert bounds is not None, "only links with bounds ask"
        return self.amount(FIELD, link.currency, bounds.least_minor, bounds.most_minor)


def blank(request: Request, link: PaymentLink) -> AmountForm:
    """Return the form before anything was typed, with the sum that the merchant offers."""
    bounds = link.open_amount
    preset = None if bounds is None else bounds.preset_minor
    return read(request, link, {} if preset is None else {FIELD: plain_amount(preset, link.currency)})


def read(request: Request, _link: PaymentLink, fields: Mapping[str, str]) -> AmountForm:
    """Return the form as it was sent."""
    return AmountForm(fields, Kit(views.wishes(request).language))


def shown(request: Request, link: PaymentLink, merchant: Merchant, form: AmountForm) -> dict[str, object]:
    """Return what the page shows: who is paid, what for, from how much to how much."""
    bounds = link.open_amount
    assert bounds is not None, "only links with bounds ask"
    language = views.wishes(request).language
    return {
        "merchant": merchant.display_name,
        "live": link.live,
        "face": "amount",
        "link": link,
        "what": link.items[0],
        "form": form,
        "least": views.money(bounds.least_minor, link.currency, language),
        "most": views.money(bounds.most_minor, link.currency, language),
    }
