"""Stripe's payment intents, and its older charges, as channels. Cards only, revealed inside the one call.

Every act carries our reference twice: as ``Idempotency-Key``, so that a repeat is the same act, and as
``metadata[reference]``, so that it can be found again. Inquiries by our reference read the list of what was
created around the time of sending: lists are consistent, Stripe's search is not.
"""

from collections.abc import Callable, Mapping

from tongbao.channels.adapters.card_reveal import reveal
from tongbao.channels.adapters.exclusions import refusal, refuse
from tongbao.channels.adapters.stripe import notifications, transform
from tongbao.channels.adapters.stripe.requests import StripeRequests, StripeSettings, amount_form
from tongbao.channels.adapters.stripe.transform import Json
from tongbao.channels.ports import CardVault
from tongbao.channels.schema import (
    Acknowledgment,
    Answer,
    Authorize,
    Capabilities,
    Follow,
    Initiator,
    Inquire,
    Notification,
    Operation,
    Outcome,
    Payout,
    Presentment,
    RawNotification,
    Reason,
    WireUnit,
)
from tongbao.core.http import HttpClient
from tongbao.privacy.schema import RevealedCard

DESCRIPTION_CHARS_MAX = 500
DESCRIPTOR_CHARS_MAX = 22
WIRE_AMOUNT_MAX = 99_999_999


class StripeChannel:
    """``channels.ports.Channel`` over payment intents. ``http`` is lent, and closed by who lent it."""

    ADAPTER = "stripe"

    def __init__(self, name: str, settings: StripeSettings, http: HttpClient, vault: CardVault) -> None:
        self._name = name
        self._settings = settings
        self._vault = vault
        self._requests = StripeRequests(settings, http)
        self._capabilities = _capabilities(self.ADAPTER, settings)

    @property
    def name(self) -> str:
        """Name of the route."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What this account can do."""
        return self._capabilities

    async def authorize(self, call: Authorize) -> Answer:
        """Make a payment method of the card, then an intent that is confirmed at once.

        The first request moves no money: where it fails, nothing of the payment was sent.
        """
        form = self._checked(Operation.AUTHORIZE, call, "amount")
        if isinstance(form, Answer):
            return form
        method = await self._payment_method(call)
        if method.outcome is not Outcome.APPROVED or method.channel_reference is None:
            return method
        return await self._requests.post(
            "/v1/payment_intents",
            {**form, **self._intent_form(call), "payment_method": method.channel_reference},
            key=call.reference,
            operation=Operation.AUTHORIZE,
            read=transform.read_intent,
        )

    async def increment(self, call: Follow) -> Answer:
        """Raise the intent to ``total_minor`` and ``amount_minor`` together: Stripe wants the new total."""
        excluded = self._excluded(Operation.INCREMENT, call)
        if excluded is not None:
            return excluded
        form = amount_form("amount", call.total_minor + call.amount_minor, call.currency)
        return await self._follow(
            Operation.INCREMENT, call, "increment_authorization", form, transform.read_intent
        )

    async def capture(self, call: Follow) -> Answer:
        """Claim ``amount_minor``; Stripe lets the rest go."""
        form = self._checked(Operation.CAPTURE, call, "amount_to_capture")
        return await self._follow(Operation.CAPTURE, call, "capture", form, transform.read_capture)

    async def void(self, call: Follow) -> Answer:
        """Cancel the intent."""
        excluded = self._excluded(Operation.VOID, call)
        return await self._follow(Operation.VOID, call, "cancel", excluded or {}, _read_canceled)

    async def refund(self, call: Follow) -> Answer:
        """Return ``amount_minor`` of the intent."""
        form = self._checked(Operation.REFUND, call, "amount")
        return await self._refund(call, form, "payment_intent")

    async def inquire(self, call: Inquire) -> Answer:
        """Read the intent, or the refund, by Stripe's id where we know it, else by our reference."""
        excluded = self._excluded(call.operation, call)
        if excluded is not None:
            return excluded
        if call.operation is Operation.REFUND:
            return await self._inquire_refund(call, "payment_intent")
        return await self._inquire_payment(call, "/v1/payment_intents", transform.read_intent)

    async def payout(self, call: Payout) -> Answer:
        """Refuse: no payouts over this adapter."""
        return refusal(self._capabilities, Operation.PAYOUT, call) or refuse("no payouts")

    def parse_notification(self, raw: RawNotification) -> Notification:
        """Check and read a webhook; raise NotificationForged or NotificationMalformed."""
        return notifications.parse(self._name, self._settings.webhook_secret.get_secret_value(), raw)

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        """Return 200; anything else makes Stripe send it again."""
        return Acknowledgment(200 if accepted else 503, "application/json", b"{}")

    async def close(self) -> None:
        """Do nothing: the connections belong to who lent the HTTP client."""

    async def _payment_method(self, call: Authorize) -> Answer:
        """Return an approval with the id of a payment method for the card, or why there is none."""
        card = await self._card(Operation.AUTHORIZE, call)
        if isinstance(card, Answer):
            return card
        answer = await self._requests.post(
            "/v1/payment_methods",
            transform.card_form(card),
            key=f"{call.reference}_pm",
            operation=Operation.AUTHORIZE,
            read=_read_method,
        )
        if answer.outcome is Outcome.UNRESOLVED:
            return Answer(outcome=Outcome.NOT_SENT, code=answer.code, message=answer.message)
        return answer

    def _intent_form(self, call: Authorize) -> dict[str, str]:
        form = {
            "currency": call.currency.lower(),
            "confirm": "true",
            "capture_method": "automatic" if call.capture else "manual",
            "payment_method_types[0]": "card",
            "metadata[reference]": call.reference,
        }
        if call.initiator is Initiator.MERCHANT:
            form["off_session"] = "true"
        if call.authenticate:
            form["payment_method_options[card][request_three_d_secure]"] = "any"
        return form if self._settings.plain else {**form, **_extras(call)}

    async def _follow(
        self,
        operation: Operation,
        call: Follow,
        verb: str,
        form: Mapping[str, str] | Answer,
        read: Callable[[Json], Answer],
    ) -> Answer:
        if isinstance(form, Answer):
            return form
        if not call.channel_reference:
            return _unknown_there()
        path = f"/v1/payment_intents/{call.channel_reference}/{verb}"
        return await self._requests.post(path, form, key=call.reference, operation=operation, read=read)

    async def _refund(self, call: Follow, form: Mapping[str, str] | Answer, owner: str) -> Answer:
        if isinstance(form, Answer):
            return form
        if not call.channel_reference:
            return _unknown_there()
        form = {
            **form,
            owner: call.channel_reference,
            "metadata[reference]": call.reference,
            "metadata[authorization_reference]": call.authorization_reference,
        }
        return await self._requests.post(
            "/v1/refunds", form, key=call.reference, operation=Operation.REFUND, read=transform.read_refund
        )

    async def _inquire_payment(self, call: Inquire, path: str, read: Callable[[Json], Answer]) -> Answer:
        # What the issuer's check came to stands in the charge only.
        is_wanted = self._capabilities.authenticates

        def read_act(thing: Json) -> Answer:
            return _of_act(call.operation, read(thing))

        if call.channel_reference:
            wanted = "?expand[0]=latest_charge" if is_wanted else ""
            return await self._requests.get(
                f"{path}/{call.channel_reference}{wanted}", read_act, Outcome.NOT_FOUND
            )
        filters = self._requests.around(call) | ({"expand[0]": "data.latest_charge"} if is_wanted else {})
        found = await self._requests.search(path, filters, call.authorization_reference)
        return found if isinstance(found, Answer) else read_act(found)

    async def _inquire_refund(self, call: Inquire, owner: str) -> Answer:
        if not call.channel_reference:
            return Answer(outcome=Outcome.UNRESOLVED, code="channel_reference_unknown")
        found = await self._requests.search("/v1/refunds", {owner: call.channel_reference}, call.reference)
        return found if isinstance(found, Answer) else transform.read_refund(found)

    async def _card(self, operation: Operation, call: Authorize) -> RevealedCard | Answer:
        return await reveal(
            self._vault, call.method, purpose=str(operation), actor=self._name, subject=call.reference
        )

    def _excluded(self, operation: Operation, call: Authorize | Follow | Inquire) -> Answer | None:
        return refusal(self._capabilities, operation, call)

    def _checked(self, operation: Operation, call: Authorize | Follow, name: str) -> dict[str, str] | Answer:
        """Return the amount as form field ``name``, or the refusal of a call that may not be sent."""
        return self._excluded(operation, call) or amount_form(name, call.amount_minor, call.currency)


class StripeChargesChannel(StripeChannel):
    """The same over charges (API of 2020 and before), for accounts and replicas that know no intents.

    ``source`` turns a card into the form field that names it; by default the card itself, as such accounts may.
    """

    ADAPTER = "stripe_charges"

    def __init__(
        self,
        name: str,
        settings: StripeSettings,
        http: HttpClient,
        vault: CardVault,
        *,
        source: Callable[[RevealedCard], Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(name, settings, http, vault)
        self._source = source or _card_source

    async def authorize(self, call: Authorize) -> Answer:
        """Create a charge, captured at once or not."""
        form = self._checked(Operation.AUTHORIZE, call, "amount")
        if isinstance(form, Answer):
            return form
        card = await self._card(Operation.AUTHORIZE, call)
        if isinstance(card, Answer):
            return card
        form |= {
            **self._source(card),
            "currency": call.currency.lower(),
            "capture": "true" if call.capture else "false",
            "metadata[reference]": call.reference,
        }
        return await self._requests.post(
            "/v1/charges", form, key=call.reference, operation=Operation.AUTHORIZE, read=transform.read_charge
        )

    async def capture(self, call: Follow) -> Answer:
        """Claim ``amount_minor`` of the charge."""
        form = self._checked(Operation.CAPTURE, call, "amount")
        if isinstance(form, Answer):
            return form
        if not call.channel_reference:
            return _unknown_there()
        return await self._requests.post(
            f"/v1/charges/{call.channel_reference}/capture",
            form,
            key=call.reference,
            operation=Operation.CAPTURE,
            read=transform.read_charge,
        )

    async def void(self, call: Follow) -> Answer:
        """Refund the whole charge before it was captured, which releases it."""
        answer = await self._refund(call, self._excluded(Operation.VOID, call) or {}, "charge")
        if answer.outcome is Outcome.APPROVED:
            return Answer(
                outcome=answer.outcome,
                voided=True,
                amount_minor=answer.amount_minor,
                currency=answer.currency,
                channel_reference=answer.channel_reference,
            )
        return answer

    async def refund(self, call: Follow) -> Answer:
        """Return ``amount_minor`` of the charge."""
        return await self._refund(call, self._checked(Operation.REFUND, call, "amount"), "charge")

    async def inquire(self, call: Inquire) -> Answer:
        """Read the charge, or the refund, by Stripe's id where we know it, else by our reference."""
        excluded = self._excluded(call.operation, call)
        if excluded is not None:
            return excluded
        if call.operation is Operation.REFUND:
            return await self._inquire_refund(call, "charge")
        return await self._inquire_payment(call, "/v1/charges", transform.read_charge)


def _capabilities(adapter: str, settings: StripeSettings) -> Capabilities:
    return Capabilities(
        adapter=adapter,
        methods=frozenset({"card"}),
        presentments=frozenset({Presentment.DIRECT}),
        currencies=settings.currencies,
        wire_unit=WireUnit.MINOR,
        manual_capture=True,
        partial_capture=True,
        void=True,
        increment=settings.increments and adapter == StripeChannel.ADAPTER,
        refund=True,
        partial_refund=True,
        refund_inquiry=True,
        mandates=adapter == StripeChannel.ADAPTER,
        # A plain replica takes the wish and does nothing about it.
        authenticates=adapter == StripeChannel.ADAPTER and not settings.plain,
        inquires_by_our_reference=True,
        notifies=bool(settings.webhook_secret.get_secret_value()),
        amount_minor_max=WIRE_AMOUNT_MAX,
    )


def _extras(call: Authorize) -> dict[str, str]:
    """Return what the original understands and plain replicas refuse."""
    extras = {"description": call.description[:DESCRIPTION_CHARS_MAX], "return_url": call.return_url or ""}
    # What the issuer's check came to stands in the charge only.
    extras["expand[0]"] = "latest_charge" if call.authenticate else ""
    descriptor = "".join(char for char in call.merchant.descriptor if char.isascii() and char.isprintable())
    extras["statement_descriptor_suffix"] = descriptor[:DESCRIPTOR_CHARS_MAX].strip()
    return {name: value for name, value in extras.items() if value}


def _card_source(card: RevealedCard) -> Mapping[str, str]:
    form = {name.replace("card[", "source["): value for name, value in transform.card_form(card).items()}
    del form["type"]
    return {**form, "source[object]": "card"}


def _read_method(method: Json) -> Answer:
    known = method.get("id")
    if not isinstance(known, str):
        return Answer(outcome=Outcome.UNRESOLVED, code="unreadable")
    return Answer(outcome=Outcome.APPROVED, channel_reference=known)


def _read_canceled(intent: Json) -> Answer:
    """Return an approval of the void where the intent is canceled now."""
    if intent.get("status") != "canceled":
        return Answer(outcome=Outcome.UNRESOLVED, code="unreadable")
    known = intent.get("id")
    return Answer(
        outcome=Outcome.APPROVED, voided=True, channel_reference=known if isinstance(known, str) else None
    )


def _of_act(operation: Operation, payment: Answer) -> Answer:
    """Return what the state of a payment says about one act on it.

    A payment that is still authorized never saw the capture or the void.
    """
    if operation is Operation.AUTHORIZE or payment.outcome in (Outcome.UNRESOLVED, Outcome.NOT_FOUND):
        return payment
    done = payment.captured if operation is Operation.CAPTURE else payment.voided
    if operation in (Operation.CAPTURE, Operation.VOID) and done:
        return payment
    if operation in (Operation.CAPTURE, Operation.VOID) and not (payment.captured or payment.voided):
        return Answer(outcome=Outcome.NOT_FOUND, code="still_authorized")
    if operation in (Operation.CAPTURE, Operation.VOID):
        return Answer(outcome=Outcome.DECLINED, reason=Reason.STATE_INVALID, code="state_invalid")
    return Answer(outcome=Outcome.UNRESOLVED, code="no_inquiry")


def _unknown_there() -> Answer:
    """Return the answer to an act on a payment whose id at the channel was never learnt."""
    return refuse("the channel's own reference of the payment is needed; inquire first")
