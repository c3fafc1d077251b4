"""Parameters that many routes share, and what becomes of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.payments.schema.checkout import QUANTITY_MAX, LineItem, OpenAmount
from tongbao.payments.schema.orders import Device, Page, PageOrder
from tongbao.web.api.v1.fields import (
    AMOUNT_MINOR_MAX,
    Boolean,
    Choice,
    CreatedRange,
    CurrencyCode,
    Email,
    Field,
    Form,
    Id,
    Instant,
    Integer,
    Many,
    Metadata,
    Nested,
    Text,
)
from tongbao.web.api.v1.renderings.bases import Tree, list_object
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routing import Reply

PAGE_SIZE = 10
PAGE_SIZE_MAX = 100
Item = TypeVar("Item")

INTENT = Id(prefixes=("pi",), what="payment intent")
CHARGE = Id(prefixes=("ch", "pa"), what="charge")
REFUND = Id(prefixes=("re",), what="refund")
DISPUTE = Id(prefixes=("dp",), what="dispute")
CUSTOMER = Id(prefixes=("cus",), what="customer")
METHOD = Id(prefixes=("pm",), what="payment method")
SETUP = Id(prefixes=("seti",), what="setup intent")
MANDATE = Id(prefixes=("mandate",), what="mandate")
LINK = Id(prefixes=("plink",), what="payment link")
SESSION = Id(prefixes=("cs",), what="checkout session")
EVENT = Id(prefixes=("evt",), what="event")
ENDPOINT = Id(prefixes=("we",), what="webhook endpoint")
TRANSACTION = Id(prefixes=("txn",), what="balance transaction")

METADATA = Metadata(about="Your own keys and texts; an empty value removes its key.")
AMOUNT = Integer(minimum=1, maximum=AMOUNT_MINOR_MAX, about="In minor units of the currency.")
NOTHING = Form()

_ADDRESS_PARTS: Mapping[str, Field] = {
    name: Text(chars_max=200, clears=True) for name in ("line1", "line2", "city", "state", "postal_code")
}
ADDRESS = Nested(
    clears=True, fields={**_ADDRESS_PARTS, "country": Text(chars_max=2, clears=True, about="ISO 3166-1.")}
)
SHIPPING = Nested(
    clears=True,
    fields={
        "address": Nested(fields=ADDRESS.fields, required=True),
        "name": Text(chars_max=200, required=True),
        "carrier": Text(chars_max=200),
        "phone": Text(chars_max=40),
        "tracking_number": Text(chars_max=200),
    },
)
BILLING = Nested(
    fields={
        "address": ADDRESS,
        "email": Email(clears=True),
        "name": Text(chars_max=200, clears=True),
        "phone": Text(chars_max=40, clears=True),
    }
)
_PRODUCT = Nested(
    required=True,
    fields={"name": Text(chars_max=200, required=True), "description": Text(chars_max=1_000)},
)
_PRICE = Nested(
    required=True,
    fields={
        "currency": CurrencyCode(required=True),
        "product_data": _PRODUCT,
        "unit_amount": Integer(minimum=1, maximum=AMOUNT_MINOR_MAX, required=True),
    },
)
_OPEN_PRICE = Nested(
    required=True,
    fields={
        **_PRICE.fields,
        "custom_unit_amount": Nested(
            about="The payer chooses the sum; instead of `unit_amount`, for one item of a link.",
            fields={
                "enabled": Boolean(required=True),
                "maximum": Integer(minimum=1, maximum=AMOUNT_MINOR_MAX, required=True),
                "minimum": Integer(minimum=1, maximum=AMOUNT_MINOR_MAX),
                "preset": Integer(minimum=1, maximum=AMOUNT_MINOR_MAX),
            },
        ),
        "unit_amount": Integer(minimum=1, maximum=AMOUNT_MINOR_MAX),
    },
)
_QUANTITY = Integer(minimum=1, maximum=QUANTITY_MAX, required=True)
LINK_ITEMS = Many(
    required=True, items_min=1, item=Nested(fields={"price_data": _OPEN_PRICE, "quantity": _QUANTITY})
)
LINE_ITEMS = Many(
    required=True,
    items_min=1,
    item=Nested(fields={"price_data": _PRICE, "quantity": _QUANTITY}),
)


ACCEPTANCE = Nested(
    about="How the payer agreed to be charged again.",
    fields={
        "customer_acceptance": Nested(
            required=True,
            fields={
                "accepted_at": Instant(),
                "offline": Nested(fields={}),
                "online": Nested(
                    fields={"ip_address": Text(chars_max=45), "user_agent": Text(chars_max=500)}
                ),
                "type": Choice(values=("online", "offline"), required=True),
            },
        )
    },
)


RADAR = Nested(
    about="What risk control may know of where the payer is.",
    fields={
        "ip_address": Text(chars_max=45, about="The payer's network address; an extension of ours."),
        "session": Text(chars_max=120, about="What the payer's client is known by to the merchant."),
    },
)


def device_of(got: Mapping[str, Any]) -> Device | None:
    """Return what the payer's client is known by; None where nobody says."""
    session: str | None = got.get("radar_options", {}).get("session")
    return Device(reference=session) if session else None


def accepted_address(got: Mapping[str, Any]) -> str | None:
    """Return the network address of a payer: where it is now, else from which it agreed."""
    given: str | None = got.get("radar_options", {}).get("ip_address")
    if given:
        return given
    accepted = got.get("mandate_data", {}).get("customer_acceptance", {})
    address: str | None = accepted.get("online", {}).get("ip_address")
    return address


async def customer_of(call: Call) -> UUID | None:
    """Return the customer that a request names.

    Raises InvalidRequest ``resource_missing`` for one that is not there: other people's, or deleted.
    """
    customer_id: UUID | None = call.got.get("customer")
    if customer_id is not None:
        try:
            found = await call.services.customers.get(call.scope, customer_id)
        except NotFound:
            found = None
        if found is None or found.deleted_at is not None:
            raise InvalidRequest("resource_missing", "no such customer", param="customer")
    return customer_id


def page_form(cursor: Id, *, created: bool = True, **fields: Field) -> Form:
    """Return the parameters of a list whose items have ids like ``cursor``."""
    when = CreatedRange(about="When it was created: seconds, or gt, gte, lt, lte.")
    return Form(
        {
            **fields,
            **({"created": when} if created else {}),
            "ending_before": cursor,
            "limit": Integer(minimum=1, maximum=PAGE_SIZE_MAX, about="How many, 1 to 100; 10 without."),
            "starting_after": cursor,
        }
    )


def page_order(
    got: Mapping[str, Any],
    *,
    owner_id: UUID | None = None,
    parent_id: UUID | None = None,
    state: str | None = None,
    containing: dict[str, object] | None = None,
) -> PageOrder:
    """Return which page is wanted; raise InvalidRequest ``parameters_exclusive`` for both cursors at once."""
    if "starting_after" in got and "ending_before" in got:
        raise exclusive("ending_before", "starting_after")
    since, until = got.get("created", (None, None))
    return PageOrder(
        limit=got.get("limit", PAGE_SIZE),
        after=got.get("starting_after"),
        before=got.get("ending_before"),
        owner_id=owner_id,
        parent_id=parent_id,
        state=state,
        containing=containing,
        created_from=since,
        created_to=until,
    )


def page_reply(call: Call, page: Page[Item], render: Callable[[Item], Tree]) -> Reply:
    """Return a page as a list object."""
    return Reply(list_object(url_of(call), [render(item) for item in page.items], has_more=page.has_more))


def url_of(call: Call) -> str:
    """Return the path that the caller asked for, as list objects name it."""
    return f"/v1{call.path}"


def filled(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return the metadata of something new: an empty value is no value."""
    return {key: value for key, value in (metadata or {}).items() if value}


def exclusive(param: str, other: str) -> InvalidRequest:
    """Return the error for two parameters that do not go together."""
    return InvalidRequest(
        "parameters_exclusive", f"{param} and {other} cannot be given together", param=param
    )


def missing(param: str) -> InvalidRequest:
    """Return the error for a parameter that is needed here."""
    return InvalidRequest("parameter_missing", f"{param} is required", param=param)


def line_items(entries: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[LineItem, ...]]:
    """Return the currency of line items, the same for all, and the items."""
    currency: str = entries[0]["price_data"]["currency"]
    items = []
    for at, entry in enumerate(entries):
        price = entry["price_data"]
        if price["currency"] != currency:
            param = f"line_items[{at}][price_data][currency]"
            raise InvalidRequest("currency_invalid", "all items have one currency", param=param)
        product = price["product_data"]
        opened = open_amount_of(price)
        param = f"line_items[{at}][price_data][unit_amount]"
        if opened is None and "unit_amount" not in price:
            raise missing(param)
        if opened is not None and "unit_amount" in price:
            raise InvalidRequest(
                "parameter_invalid", "the payer chooses the sum: it has no price", param=param
            )
        items.append(
            LineItem(
                name=product["name"],
                unit_minor=price["unit_amount"] if opened is None else opened.preset_minor or 0,
                quantity=entry["quantity"],
                description=product.get("description"),
            )
        )
    return currency, tuple(items)


def open_amount_of(price: Mapping[str, Any]) -> OpenAmount | None:
    """Return within which bounds the payer of a link chooses the sum; None where the merchant set it."""
    custom = price.get("custom_unit_amount", {})
    if not custom.get("enabled"):
        return None
    return OpenAmount(
        least_minor=custom.get("minimum", 1), most_minor=custom["maximum"], preset_minor=custom.get("preset")
    )
