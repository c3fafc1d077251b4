"""Links whose payers choose what they pay: which bounds a merchant may set, and what a choice makes of the item."""

import msgspec

from tongbao.payments.errors import BadAmount, BadParameter
from tongbao.payments.policy import orders
from tongbao.payments.schema.checkout import LineItem, OpenAmount, PaymentLink

PARAM = "line_items[0][price_data][custom_unit_amount]"


def check(bounds: OpenAmount, items: tuple[LineItem, ...]) -> None:
    """Raise BadAmount or BadParameter unless there is one thing to pay for, once, within bounds that can be met."""
    if len(items) != 1 or items[0].quantity != 1:
        raise BadParameter(
            "parameter_invalid", "line_items", "a sum that payers choose is for one item, once"
        )
    orders.check_amount(bounds.least_minor, f"{PARAM}[minimum]")
    orders.check_amount(bounds.most_minor, f"{PARAM}[maximum]")
    if bounds.most_minor < bounds.least_minor:
        raise BadAmount("amount_invalid", f"{PARAM}[maximum]", "the largest sum is below the smallest")
    if bounds.preset_minor is not None and not _holds(bounds, bounds.preset_minor):
        raise BadAmount(
            "amount_invalid", f"{PARAM}[preset]", "the sum that is offered lies outside of the bounds"
        )


def chosen(link: PaymentLink, amount_minor: int | None) -> tuple[LineItem, ...]:
    """Return what somebody buys who follows a link, with the sum that they chose where it is theirs to choose.

    Raises BadAmount ``amount_missing``, ``amount_out_of_bounds``, and ``amount_fixed`` where it is not.
    """
    bounds = link.open_amount
    if bounds is None:
        if amount_minor is not None:
            raise BadAmount("amount_fixed", "amount", "the sum of this link is fixed")
        return link.items
    if amount_minor is None:
        raise BadAmount("amount_missing", "amount", "this link asks its payer for the sum")
    if not _holds(bounds, amount_minor):
        detail = f"{bounds.least_minor} to {bounds.most_minor} minor units"
        raise BadAmount(
            "amount_out_of_bounds", "amount", detail, minimum=bounds.least_minor, maximum=bounds.most_minor
        )
    return (msgspec.structs.replace(link.items[0], unit_minor=amount_minor),)


def _holds(bounds: OpenAmount, amount_minor: int) -> bool:
    return bounds.least_minor <= amount_minor <= bounds.most_minor
