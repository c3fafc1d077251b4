"""What each message does to an acquirer's book, and how it is answered. Field numbers are those of ISO 8583:1987.

Field 48 names the act (the merchant's reference), field 62 the authorization that is acted on. A second request of
the same act does nothing and is answered as the first was.
"""

from collections.abc import Callable

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.sandbox.behavior import Plan
from tongbao.simulator.sandbox.credentials import AcquirerMerchant
from tongbao.simulator.sandbox.declines import WORDS, Decline, passes_luhn
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.iso8583_wire import Message
from tongbao.simulator.sandbox.issuers import Issuers, is_asking
from tongbao.simulator.sandbox.payers import Payers
from tongbao.simulator.sandbox.schema import Act, Operation, Payment, Refusal, State

APPROVED, PENDING, APPROVED_FOR_LESS, UNKNOWN_ORIGINAL, BAD_FORMAT = "00", "09", "10", "25", "30"
BAD_MERCHANT, BAD_TRANSACTION, BAD_AMOUNT, CONFLICTING, NOT_REVERSED = "03", "12", "13", "94", "21"
REPEATED = ("3", "4", "7", "11", "37", "41", "42", "49", "70")
FINAL_CONDITION = "06"
REFUND_CODE = "20"
NETWORK_REFERENCE_CHARS = 15
AUTHENTICATE, AUTHENTICATING = "3DS", "3D"

_CODES = {
    Refusal.NOT_FOUND: UNKNOWN_ORIGINAL,
    Refusal.REFERENCE_CONFLICT: CONFLICTING,
    Refusal.STATE_INVALID: BAD_TRANSACTION,
    Refusal.AMOUNT_TOO_LARGE: BAD_AMOUNT,
    Refusal.EXPIRED: BAD_TRANSACTION,
}
_STATES = {
    Operation.INCREMENT: "authorized",
    Operation.CAPTURE: "captured",
    Operation.REFUND: "refunded",
    Operation.VOID: "voided",
}
_OPERATIONS = {
    "0100": Operation.AUTHORIZE,
    "0200": Operation.AUTHORIZE,
    "0220": Operation.CAPTURE,
    "0400": Operation.VOID,
    "0420": Operation.VOID,
    "0600": Operation.INQUIRE,
}


def operation_of(message: Message) -> Operation | None:
    """Return what a message asks for; None for network management and unknown types."""
    if message["t"] == "0100" and "62" in message:
        return Operation.INCREMENT
    if message["t"] == "0200" and message.get("3", "").startswith(REFUND_CODE):
        return Operation.REFUND
    return _OPERATIONS.get(message["t"])


def answer_to(message: Message, code: str, **more: str) -> Message:
    """Return the answer: type plus 10, repeated fields, response code, and ``f<number>`` for other fields."""
    answer = {name: message[name] for name in REPEATED if name in message}
    answer |= {name[1:]: value for name, value in more.items()}
    return answer | {"t": f"{int(message['t']) + 10:04d}", "39": code}


class AcquirerActs:
    """The book work of one acquirer."""

    def __init__(
        self, channel: str, desk: Desk, payers: Payers, issuers: Issuers, merchant: AcquirerMerchant
    ) -> None:
        self._channel = channel
        self._desk = desk
        self._world = desk.world
        self._payers = payers
        self._issuers = issuers
        self._merchant = merchant
        self._acts: dict[Operation, Callable[[Message, Plan], Message]] = {
            Operation.AUTHORIZE: self._authorize,
            Operation.INCREMENT: self._increment,
            Operation.CAPTURE: self._capture,
            Operation.VOID: self._void,
            Operation.REFUND: self._refund,
            Operation.INQUIRE: self._inquire,
        }

    def do(self, operation: Operation, message: Message, plan: Plan) -> Message:
        """Do the act and return the answer."""
        wrong = self._wrong(operation, message)
        return answer_to(message, wrong) if wrong else self._acts[operation](message, plan)

    def _wrong(self, operation: Operation, message: Message) -> str | None:
        """Return the response code for a message that cannot be acted on, or None."""
        if not message.get("48"):
            return BAD_FORMAT
        if operation is Operation.INQUIRE:
            return None
        if not message.get("4", "").isdecimal() or not _currency(message):
            return BAD_FORMAT
        if operation is not Operation.AUTHORIZE and not message.get("62"):
            return BAD_FORMAT
        terminal, merchant = message.get("41", "").strip(), message.get("42", "").strip()
        if (terminal, merchant) != (self._merchant.terminal_id, self._merchant.merchant_id):
            return BAD_MERCHANT
        return None

    def _authorize(self, message: Message, plan: Plan) -> Message:
        reference, amount_minor, currency = message["48"], int(message["4"]), _currency(message)
        known = self._world.payment(self._channel, reference)
        if known is not None and known.details.get("grave"):
            return answer_to(message, BAD_TRANSACTION)
        capture = message["t"] == "0200"
        details = {"capture": "yes" if capture else "no", "card": _masked(message.get("2", ""))}
        payment = self._world.ask(self._channel, reference, amount_minor, currency, details=details)
        if isinstance(payment, Refusal):
            return answer_to(message, _CODES[payment])
        if known is None:
            self._decide(payment, message, plan, capture=capture)
        return self._authorized(payment, message)

    def _decide(self, payment: Payment, message: Message, plan: Plan, *, capture: bool) -> None:
        decline = plan.decline or self._card_fault(message)
        if message.get("46") == AUTHENTICATE:
            # The issuer gets what it would have asked for.
            decline = None if decline is Decline.AUTHENTICATION_REQUIRED else decline
            if not self._issuers.begin(payment, message.get("2", ""), message.get("47", ""), decline):
                if is_asking(payment):
                    self._payers.expect(payment)
                return
        if plan.pending_ms is not None:
            self._world.postpone(payment, plan.pending_ms, decline)
            self._payers.decide_later(payment)
        elif decline is not None:
            self._world.decline(payment, decline)
        else:
            self._world.approve(
                payment,
                captured=capture,
                tampered_by_minor=plan.tampered_by_minor,
                approve_minor=plan.approve_minor,
            )
            if plan.disputed and not capture:
                self._world.note(payment, disputed="when captured")
            self._payers.paid(payment, disputed=plan.disputed and capture, tell=False)

    def _card_fault(self, message: Message) -> Decline | None:
        if not passes_luhn(message.get("2", "")):
            return Decline.CARD_NUMBER_INVALID
        this_month = self._desk.clock.now().strftime("%y%m")
        return Decline.CARD_EXPIRED if message.get("14", "9912") < this_month else None

    def _authorized(self, payment: Payment, message: Message) -> Message:
        """Return the answer to an authorization, first and repeated."""
        code = _code_of(payment)
        more: dict[str, str] = {}
        if message.get("61"):
            more["f44"] = "N" if payment.decline == Decline.CVC_INCORRECT else "M"
        if payment.approval_code is not None:
            more |= {
                "f4": f"{payment.said_minor:012d}",
                "f38": payment.approval_code,
                "f62": payment.channel_reference[:NETWORK_REFERENCE_CHARS],
            }
        return answer_to(message, code, **more, **self._authentication(payment))

    def _authentication(self, payment: Payment) -> dict[str, str]:
        """Return the fields of what the issuer made of the payer, or of where it asks."""
        if is_asking(payment):
            return {"f47": self._issuers.url(payment)}
        said = payment.details.get("authentication")
        return {"f46": said} if said else {}

    def _increment(self, message: Message, plan: Plan) -> Message:
        return self._follow(Operation.INCREMENT, message, plan, self._world.increment)

    def _capture(self, message: Message, plan: Plan) -> Message:
        def capture(payment: Payment, reference: str, amount_minor: int) -> Act | Refusal:
            final = message.get("25") == FINAL_CONDITION
            was_new = reference not in payment.acts
            act = self._world.capture(payment, reference, amount_minor, final=final)
            if was_new and isinstance(act, Act) and payment.details.pop("disputed", ""):
                self._payers.paid(payment, disputed=True, tell=False)
            return act

        return self._follow(Operation.CAPTURE, message, plan, capture)

    def _refund(self, message: Message, plan: Plan) -> Message:
        def refund(payment: Payment, reference: str, amount_minor: int) -> Act | Refusal:
            delay_ms = self._desk.behaviors.habits(self._channel).refund_ms
            was_new = reference not in payment.acts
            act = self._world.refund(payment, reference, amount_minor, delay_ms)
            if was_new and isinstance(act, Act) and not act.done:
                self._payers.finish_later(payment, act)
            return act

        return self._follow(Operation.REFUND, message, plan, refund)

    def _void(self, message: Message, plan: Plan) -> Message:
        payment = self._world.payment(self._channel, message["62"])
        if payment is None or payment.details.get("grave"):
            if payment is None:
                self._world.bury(self._channel, message["62"], _currency(message))
            return answer_to(message, UNKNOWN_ORIGINAL)
        if plan.decline is not None and message["48"] not in payment.acts:
            return answer_to(message, NOT_REVERSED)
        voided = self._world.void(payment, message["48"])
        if isinstance(voided, Refusal) and payment.taken_minor:
            return answer_to(message, NOT_REVERSED)
        # Nothing is held any more, whichever reversal did it.
        return answer_to(message, APPROVED)

    def _follow(
        self,
        operation: Operation,
        message: Message,
        plan: Plan,
        act: Callable[[Payment, str, int], Act | Refusal],
    ) -> Message:
        """Act on an authorization and answer; a scripted no is remembered like a yes."""
        payment = self._world.payment(self._channel, message["62"])
        if payment is None or payment.details.get("grave"):
            return answer_to(message, UNKNOWN_ORIGINAL)
        if _currency(message) != payment.currency:
            return answer_to(message, BAD_TRANSACTION)
        reference, amount_minor = message["48"], int(message["4"])
        if plan.decline is not None:
            done = self._world.refuse(payment, operation, reference, amount_minor, plan.decline)
        else:
            done = act(payment, reference, amount_minor)
        if isinstance(done, Refusal):
            return answer_to(message, _CODES[done])
        more = {"f38": payment.approval_code} if payment.approval_code and done.decline is None else {}
        return answer_to(message, _code_of_act(done), **more)

    def _inquire(self, message: Message, plan: Plan) -> Message:
        """Tell what became of an act: a payment, or something done to one."""
        reference = message["48"]
        payment = self._world.payment(self._channel, reference)
        if payment is not None and not payment.details.get("grave"):
            self._issuers.lapse(payment)
            state, amount_minor = _state_of(payment)
            told = _told(payment, state, amount_minor) | self._authentication(payment)
            return answer_to(message, _code_of(payment), **told)
        payment, act = self._world.by_act(self._channel, reference) or (None, None)
        if payment is None or act is None:
            return answer_to(message, UNKNOWN_ORIGINAL)
        state = _STATES[act.operation] if act.done else "declined" if act.decline else "pending"
        return answer_to(message, _code_of_act(act), **_told(payment, state, act.amount_minor))


def _told(payment: Payment, state: str, amount_minor: int) -> dict[str, str]:
    """Return the fields of an inquiry's answer."""
    told = {
        "f4": f"{amount_minor:012d}",
        "f49": currencies.currency(payment.currency).numeric,
        "f63": state,
        "f60": f"{payment.refunded_minor:012d}",
    }
    if payment.approval_code is not None:
        told |= {"f38": payment.approval_code, "f62": payment.channel_reference[:NETWORK_REFERENCE_CHARS]}
    return told


def _state_of(payment: Payment) -> tuple[str, int]:
    """Return the state in the dialect's words and the amount of the payment as it stands."""
    if payment.state is State.CAPTURED:
        amount_minor = payment.captured_minor + payment.tampered_minor
        return ("captured" if payment.taken_minor else "refunded"), amount_minor
    if is_asking(payment):
        return "authenticating", payment.amount_minor
    amounts = {State.AUTHORIZED: payment.said_minor}
    return payment.state.value, amounts.get(payment.state, payment.amount_minor)


def _code_of(payment: Payment) -> str:
    """Return the response code that a payment was answered with, or is by now."""
    if payment.state is State.DECLINED:
        return WORDS[Decline(payment.decline or Decline.DO_NOT_HONOR)].iso8583
    if payment.state is State.PENDING:
        return PENDING
    if is_asking(payment):
        return AUTHENTICATING
    return APPROVED_FOR_LESS if 0 < payment.approved_minor < payment.amount_minor else APPROVED


def _code_of_act(act: Act) -> str:
    if act.decline is not None:
        return WORDS[Decline(act.decline)].iso8583
    return APPROVED if act.done else PENDING


def _currency(message: Message) -> str:
    """Return the alphabetic code of field 49, empty for none of ISO 4217."""
    try:
        return currencies.currency_by_numeric(message.get("49", "")).code
    except InvalidRequest:
        return ""


def _masked(number: str) -> str:
    """Return the first six and last four digits, the most that may be kept."""
    return f"{number[:6]}…{number[-4:]}" if len(number) >= 12 else "…"
