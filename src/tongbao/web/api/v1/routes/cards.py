"""How a request says with what to pay: a saved method, a token, or a card that goes straight into the vault.

In test mode the well-known names of Stripe's test methods (``pm_card_visa``) stand for their published test cards.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from tongbao.channels.schema import Alipay, Card, Method, Presentment, WechatPay
from tongbao.core.errors import InvalidRequest
from tongbao.privacy.schema import CardInput, CardToken
from tongbao.web.api.v1.fields import Choice, Field, Form, Id, Integer, Nested, Schema, Text
from tongbao.web.api.v1.forms import Value
from tongbao.web.api.v1.renderings.methods import TOKEN_PREFIX
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routes.parameters import BILLING, METADATA, METHOD, exclusive, missing

KINDS = ("card", "alipay", "wechat_pay")
"""What a caller may give details of; a wallet is charged through the cashier only, where its owner consents."""
TEST_CARDS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_visa_debit": "4000056655665556",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_discover": "6011111111111117",
    "pm_card_jcb": "3566002020360505",
    "pm_card_unionpay": "6200000000000005",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeDeclinedExpiredCard": "4000000000000069",
    "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
    "pm_card_chargeDeclinedProcessingError": "4000000000000119",
    "pm_card_threeDSecureRequired": "4000000000003220",
    "pm_card_authenticationRequired": "4000002760003184",
}
"""Source: docs.stripe.com/testing."""
TEST_YEARS_AHEAD = 3


class MethodName(Id, frozen=True, kw_only=True):
    """The id of a saved method, or the name of a test card."""

    def parse(self, value: Value, param: str) -> UUID | str:
        """Return the UUID, or the name as it is."""
        return value if isinstance(value, str) and value in TEST_CARDS else Id.parse(self, value, param)

    def schema(self) -> Schema:
        """Return the JSON schema of the value."""
        return {"type": "string", "anyOf": [METHOD.schema(), {"enum": list(TEST_CARDS)}]}


PAYMENT_METHOD = MethodName(prefixes=METHOD.prefixes, what=METHOD.what)
_CARD: Mapping[str, Field] = {
    "number": Text(chars_max=64),
    "exp_month": Integer(maximum=99),
    "exp_year": Integer(maximum=9_999),
    "cvc": Text(chars_max=8),
    "token": Id(prefixes=(TOKEN_PREFIX,), what="token"),
}
_PRESENTMENT = Choice(values=tuple(each.value for each in Presentment))
_PAYER_CODE = Text(chars_max=64, about="What was scanned from the payer's screen.")
METHOD_FIELDS: Mapping[str, Field] = {
    "alipay": Nested(fields={"payer_code": _PAYER_CODE, "presentment": _PRESENTMENT}),
    "billing_details": BILLING,
    "card": Nested(fields=_CARD),
    "type": Choice(values=KINDS, required=True),
    "wechat_pay": Nested(
        fields={"openid": Text(chars_max=128), "payer_code": _PAYER_CODE, "presentment": _PRESENTMENT}
    ),
}
METHOD_FORM = Form({**METHOD_FIELDS, "metadata": METADATA})
METHOD_DATA = Nested(fields={**METHOD_FIELDS, "metadata": METADATA})
TOKEN_FORM = Form(
    {
        "card": Nested(
            required=True,
            fields={
                "number": Text(chars_max=64, required=True),
                "exp_month": Integer(maximum=99, required=True),
                "exp_year": Integer(maximum=9_999, required=True),
                "cvc": Text(chars_max=8),
                "name": Text(chars_max=100),
            },
        )
    }
)


class Chosen(NamedTuple):
    """With what to pay: a saved method, or one that is used now; ``fingerprint`` is that of its card."""

    method_id: UUID | None = None
    method: Method | None = None
    fingerprint: str | None = None


async def chosen(call: Call) -> Chosen:
    """Return what ``payment_method`` or ``payment_method_data`` name; raise InvalidRequest for both."""
    name = call.got.get("payment_method")
    data = call.got.get("payment_method_data")
    if name is not None and data is not None:
        raise exclusive("payment_method_data", "payment_method")
    if data is not None:
        return await described(call, data, "payment_method_data")
    if isinstance(name, str):
        return await test_card(call, name)
    return Chosen(method_id=name)


async def described(call: Call, data: Mapping[str, Any], outer: str = "") -> Chosen:
    """Return the method that a request describes; a card is sealed first. ``outer``: where it stands."""
    kind: str = data["type"]
    for other in KINDS:
        if other != kind and other in data:
            raise exclusive(f"{outer}[{other}]" if outer else other, "another type")
    details: Mapping[str, Any] = data.get(kind, {})
    if kind == "card":
        return await _card(call, details, f"{outer}[card]" if outer else "card")
    shown = Presentment(details["presentment"]) if "presentment" in details else Presentment.MERCHANT_QR
    code = details.get("payer_code")
    if code is not None:
        shown = Presentment.PAYER_CODE
    if kind == "alipay":
        if "presentment" not in details and code is None and call.got.get("return_url"):
            shown = Presentment.PAGE
        return Chosen(method=Alipay(presentment=shown, payer_code=code))
    return Chosen(method=WechatPay(presentment=shown, payer_code=code, openid=details.get("openid")))


async def test_card(call: Call, name: str) -> Chosen:
    """Return a test card by its name; in live mode there is none."""
    if call.scope.live:
        raise InvalidRequest("resource_missing", "no such payment method", param="payment_method")
    year = call.services.clock.now().year + TEST_YEARS_AHEAD
    card = CardInput(number=TEST_CARDS[name], exp_month=12, exp_year=year, cvc=None)
    return _of(await call.services.cards.keep(call.scope, card))


async def saved(call: Call) -> UUID | None:
    """Return the id of the method that a request names, for what is paid later.

    One that the request describes, or that is a test card, is saved first.
    """
    with_what = await chosen(call)
    if with_what.method is None:
        return with_what.method_id
    done = await call.services.methods.create(
        call.scope,
        with_what.method,
        billing=call.got.get("payment_method_data", {}).get("billing_details"),
        fingerprint=with_what.fingerprint,
        metadata=None,
        ask=None,
    )
    assert done.view is not None
    return done.view.id


def card_of(token: CardToken) -> Card:
    """Return a vaulted card as channels know it."""
    return Card(
        token=token.token,
        exp_month=token.exp_month,
        exp_year=token.exp_year,
        brand=token.brand.value,
        card_bin=token.card_bin,
        last4=token.last4,
        funding=token.funding,
        fingerprint=token.fingerprint,
    )


def card_input(details: Mapping[str, Any], outer: str) -> CardInput:
    """Return a card as it was typed; raise InvalidRequest for a part that is missing."""
    for name in ("number", "exp_month", "exp_year"):
        if name not in details:
            raise missing(f"{outer}[{name}]")
    return CardInput(
        number=details["number"],
        exp_month=details["exp_month"],
        exp_year=details["exp_year"],
        cvc=details.get("cvc"),
        holder_name=details.get("name"),
    )


async def sealed(call: Call, details: Mapping[str, Any], outer: str) -> Chosen:
    """Return a card as it was typed, sealed."""
    return _of(await call.services.cards.keep(call.scope, card_input(details, outer)))


async def _card(call: Call, details: Mapping[str, Any], outer: str) -> Chosen:
    token = details.get("token")
    if token is None:
        return await sealed(call, details, outer)
    if len(details) > 1:
        raise exclusive(f"{outer}[token]", f"{outer}[number]")
    kept = await call.services.methods.get(call.scope, token)
    return Chosen(method=kept.method, fingerprint=kept.fingerprint)


def _of(token: CardToken) -> Chosen:
    return Chosen(method=card_of(token), fingerprint=token.fingerprint)
