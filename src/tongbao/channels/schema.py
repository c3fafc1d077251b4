"""What is said to a channel and what it answers: calls, answers, notifications, capabilities.

Amounts are integers of minor units (ISO 4217); an adapter turns them into its wire unit in one place. No type here
can hold a card number: a card is a vault token, which only an adapter reveals, inside its own call.
"""

import enum
from collections.abc import Mapping
from datetime import datetime

import msgspec


class Outcome(enum.StrEnum):
    """How a call ended, as far as it is known."""

    APPROVED = "approved"
    DECLINED = "declined"  # an explicit no, with a reason
    ACTION_REQUIRED = "action_required"  # the payer must do something first (``Answer.action``)
    PENDING = "pending"  # accepted, and explicitly not finished: it will be notified, or inquired
    NOT_FOUND = "not_found"  # inquiries only: the channel has never seen our reference
    NOT_SENT = "not_sent"  # nothing left this house: repeating or cascading is safe
    UNRESOLVED = "unresolved"  # it may or may not have happened: inquire, never repeat with another reference


FINAL = frozenset({Outcome.APPROVED, Outcome.DECLINED})
"""Outcomes after which nothing more is expected of a call."""


class Operation(enum.StrEnum):
    """What a channel can be asked to do."""

    AUTHORIZE = "authorize"
    INCREMENT = "increment"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    PAYOUT = "payout"


class Fault(enum.StrEnum):
    """Who is at fault for a no: what routing, risk and messages go by."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"
    ISSUER = "issuer"
    NETWORK = "network"
    CHANNEL = "channel"
    RISK = "risk"
    INTERNAL = "internal"


class Retry(enum.StrEnum):
    """What may be tried after a no."""

    NEVER = "never"
    SAME_CHANNEL = "same_channel"
    OTHER_CHANNEL = "other_channel"
    STEP_UP = "step_up"
    CLEAR_PAN = "clear_pan"
    LATER = "later"


class Reason(enum.StrEnum):
    """Standard reasons of a no. Every channel's own codes map to these (``channels.policy``)."""

    APPROVE_WITH_ID = "approve_with_id"
    AUTHENTICATION_REQUIRED = "authentication_required"
    AUTHENTICATION_FAILED = "authentication_failed"
    AMOUNT_TOO_SMALL = "amount_too_small"
    AMOUNT_TOO_LARGE = "amount_too_large"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    ACCOUNT_UNKNOWN = "account_unknown"
    CARD_BLOCKED = "card_blocked"
    CARD_EXPIRED = "card_expired"
    CARD_LOST = "card_lost"
    CARD_STOLEN = "card_stolen"
    CARD_NOT_SUPPORTED = "card_not_supported"
    CARD_NUMBER_INVALID = "card_number_invalid"
    CARD_VELOCITY_EXCEEDED = "card_velocity_exceeded"
    CHANNEL_ERROR = "channel_error"
    CHANNEL_RATE_LIMITED = "channel_rate_limited"
    CHANNEL_UNAVAILABLE = "channel_unavailable"
    CONFIGURATION_INVALID = "configuration_invalid"
    CURRENCY_NOT_SUPPORTED = "currency_not_supported"
    CVC_INCORRECT = "cvc_incorrect"
    DO_NOT_HONOR = "do_not_honor"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    EXPIRY_INVALID = "expiry_invalid"
    FRAUD_SUSPECTED = "fraud_suspected"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    ISSUER_ERROR = "issuer_error"
    ISSUER_UNAVAILABLE = "issuer_unavailable"
    LIMIT_EXCEEDED = "limit_exceeded"
    MANDATE_INVALID = "mandate_invalid"
    MERCHANT_INVALID = "merchant_invalid"
    NETWORK_ERROR = "network_error"
    NETWORK_TIMEOUT = "network_timeout"
    NOT_PERMITTED_TO_CARDHOLDER = "not_permitted_to_cardholder"
    NOT_PERMITTED_TO_MERCHANT = "not_permitted_to_merchant"
    OTHER = "other"
    PAYER_CANCELED = "payer_canceled"
    PIN_INCORRECT = "pin_incorrect"
    PIN_REQUIRED = "pin_required"
    PIN_TRIES_EXCEEDED = "pin_tries_exceeded"
    POSTAL_CODE_INCORRECT = "postal_code_incorrect"
    RECURRING_REVOKED = "recurring_revoked"
    REFERENCE_CONFLICT = "reference_conflict"
    REFUND_TOO_LARGE = "refund_too_large"
    REFUND_TOO_LATE = "refund_too_late"
    REQUEST_INVALID = "request_invalid"
    RISK_BLOCKED = "risk_blocked"
    SECURITY_VIOLATION = "security_violation"
    STATE_INVALID = "state_invalid"
    TRY_AGAIN_LATER = "try_again_later"


class Mode(enum.StrEnum):
    """Whose payments a channel takes: a test key never reaches an acquirer, and a live one never a sandbox."""

    TEST = "test"
    LIVE = "live"
    BOTH = "both"


class WireUnit(enum.StrEnum):
    """How a channel writes amounts; an adapter declares it once and a property test sends it round."""

    MINOR = "minor"  # 1999
    MAJOR_TEXT = "major_text"  # "19.99"


class Presentment(enum.StrEnum):
    """How the payer meets the channel."""

    DIRECT = "direct"  # nothing to show: cards, wallet
    MERCHANT_QR = "merchant_qr"  # the payer scans what the merchant shows
    PAYER_CODE = "payer_code"  # the merchant scans what the payer shows
    PAGE = "page"  # the payer is sent to a page
    IN_APP = "in_app"  # JSAPI, mini-program, app: parameters for the payer's client


class Card(msgspec.Struct, frozen=True, tag="card"):
    """A card by its vault token, and what may be known of it in clear.

    ``fingerprint`` is equal for equal numbers within one book and tells nothing across books; empty: not known.
    """

    token: str
    exp_month: int
    exp_year: int
    brand: str
    card_bin: str
    last4: str
    funding: str = "unknown"
    country: str | None = None
    fingerprint: str = ""


class Wallet(msgspec.Struct, frozen=True, tag="wallet"):
    """The balance of one of our own wallets: the number of its book."""

    book_id: int


class Alipay(msgspec.Struct, frozen=True, tag="alipay"):
    """Alipay; ``payer_code`` is what was scanned from the payer's screen (``Presentment.PAYER_CODE``)."""

    presentment: Presentment = Presentment.MERCHANT_QR
    payer_code: str | None = None


class WechatPay(msgspec.Struct, frozen=True, tag="wechat_pay"):
    """WeChat Pay; ``openid`` names the payer to JSAPI (``Presentment.IN_APP``)."""

    presentment: Presentment = Presentment.MERCHANT_QR
    payer_code: str | None = None
    openid: str | None = None


Method = Card | Wallet | Alipay | WechatPay
METHOD_KINDS = ("card", "wallet", "alipay", "wechat_pay")


def kind_of(method: Method) -> str:
    """Return the kind of a method as capabilities name it: ``card``, ``wallet``, ``alipay``, ``wechat_pay``."""
    return str(type(method).__struct_config__.tag)


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel may want to know of the merchant. ``mcc`` is four digits of ISO 18245."""

    name: str
    mcc: str = "5999"
    country: str = "CN"
    descriptor: str = ""
    sub_merchant_reference: str | None = None


class Initiator(enum.StrEnum):
    """Who starts a payment, as networks ask: the payer, or the merchant under a mandate."""

    PAYER = "payer"
    MERCHANT = "merchant"


class AuthenticationFlow(enum.StrEnum):
    """How the issuer knew the payer."""

    CHALLENGE = "challenge"  # the payer was asked
    FRICTIONLESS = "frictionless"  # the issuer knew without asking


class AuthenticationResult(enum.StrEnum):
    """What came of it, in the words of Stripe's ``three_d_secure.result``."""

    AUTHENTICATED = "authenticated"
    ATTEMPT_ACKNOWLEDGED = "attempt_acknowledged"  # the network answers for an issuer that could not be asked
    EXEMPTED = "exempted"
    FAILED = "failed"
    NOT_SUPPORTED = "not_supported"
    PROCESSING_ERROR = "processing_error"


class Authentication(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the issuer's own check of the payer came to (EMV 3-D Secure).

    ``version`` is that of the protocol (``2.2.0``), ``eci`` the network's two digits for who answers for fraud.
    """

    result: AuthenticationResult
    flow: AuthenticationFlow | None = None
    version: str | None = None
    eci: str | None = None

    @property
    def is_good(self) -> bool:
        """True where the payer was known, or the network answers as if: a step-up is met by nothing less."""
        return self.result in (
            AuthenticationResult.AUTHENTICATED,
            AuthenticationResult.ATTEMPT_ACKNOWLEDGED,
        )


class Authorize(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for money. ``reference`` (ours, at most 32 of ``[a-zA-Z0-9_]``) is the same in every repeat.

    ``capture``: claim the money at once. ``expires_at``: after it the channel should refuse the payer.
    ``network_reference``: the network's id of the payment under which a mandate was given. ``extended``: keep the
    authorization for longer than usual, where the channel can. ``authenticate``: let the issuer make sure of the payer
    first (3-D Secure); only a channel that says it can is asked for that.
    """

    reference: str
    amount_minor: int
    currency: str
    capture: bool
    method: Method
    merchant: Merchant
    description: str = ""
    expires_at: datetime | None = None
    notify_url: str | None = None
    return_url: str | None = None
    payer_address: str | None = None
    initiator: Initiator = Initiator.PAYER
    network_reference: str | None = None
    extended: bool = False
    authenticate: bool = False


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """Act on an authorization made earlier: increment, capture, void or refund.

    ``reference`` names this act and is the same in every repeat; ``authorization_reference`` is the one that
    ``Authorize`` carried, ``channel_reference`` what the channel called it then. ``amount_minor`` is how much to
    capture or refund, how much more to authorize, and what is still held for a void; ``total_minor`` the amount
    of the whole authorization, which Chinese channels ask for in refunds. ``final``: no capture follows this one.
    """

    reference: str
    authorization_reference: str
    channel_reference: str | None
    amount_minor: int
    total_minor: int
    currency: str
    method: Method
    final: bool = True
    captured: bool = False
    sequence: int = 0
    reason: str = ""
    notify_url: str | None = None


class Inquire(msgspec.Struct, frozen=True, kw_only=True):
    """Ask what became of an act, by our reference. For ``AUTHORIZE`` both references are the same."""

    operation: Operation
    reference: str
    authorization_reference: str
    channel_reference: str | None
    amount_minor: int
    currency: str
    method: Method
    sent_at: datetime
    sequence: int = 0


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """Send money out of the house to an account that the channel knows by ``destination_reference``."""

    reference: str
    amount_minor: int
    currency: str
    destination_reference: str
    description: str = ""


class ActionKind(enum.StrEnum):
    """What the payer has to do."""

    REDIRECT = "redirect"
    SHOW_QR = "show_qr"
    INVOKE_APP = "invoke_app"
    AWAIT_PAYER = "await_payer"


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What the payer has to do before the channel goes on. ``data`` is what an app's SDK is invoked with."""

    kind: ActionKind
    url: str | None = None
    qr_text: str | None = None
    data: dict[str, str] = {}
    expires_at: datetime | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended. What the channel did not say is None, and is never filled from the request.

    - ``amount_minor``, ``currency``: what the channel says it moved or reserved; the caller compares.
    - ``captured``: the money was claimed and not only reserved (authorize and inquiries of it).
    - ``voided``: an inquiry found an authorization that was given back or closed.
    - ``refunded_minor``: an inquiry says that so much of it went back already.
    - ``channel_reference``, ``network_reference``: their ids. ``approval_code``: the issuer's six characters.
    - ``code``, ``message``: the channel's own words, for engineers. ``reason``: the standard reason of a no.
    - ``authentication``: what the issuer's check of the payer came to, as far as it is over.
    """

    outcome: Outcome
    amount_minor: int | None = None
    currency: str | None = None
    captured: bool = False
    voided: bool = False
    refunded_minor: int | None = None
    channel_reference: str | None = None
    network_reference: str | None = None
    approval_code: str | None = None
    cvc_check: str | None = None
    code: str | None = None
    message: str | None = None
    reason: Reason | None = None
    action: Action | None = None
    authentication: Authentication | None = None
    occurred_at: datetime | None = None


class RawNotification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as it came in: header names in lower case, the body as raw bytes."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: str
    body: bytes
    received_at: datetime


class NotificationKind(enum.StrEnum):
    """What a notification is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    IGNORED = "ignored"  # genuine, and nothing that we act on


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A genuine notification: its signature was checked. ``event_id`` is equal in repeats of the same one.

    ``reference`` is ours: of the authorization, or of the refund. For disputes ``dispute_status`` is one of
    ``needs_response``, ``won``, ``lost``, ``withdrawn`` and ``reason_code`` the network's; the amount is in
    ``answer``.
    """

    kind: NotificationKind
    event_id: str
    reference: str
    answer: Answer
    authorization_reference: str | None = None
    dispute_reference: str | None = None
    dispute_status: str | None = None
    reason_code: str | None = None
    respond_by: datetime | None = None


class Acknowledgment(msgspec.Struct, frozen=True):
    """What a channel wants to hear after a notification."""

    status: int
    content_type: str
    body: bytes


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel can do. Amount limits are minor units of any of its currencies; None is no limit.

    ``inquires_by_our_reference``: an inquiry that says ``not_found`` is the truth ``settles_not_found_s`` seconds
    after sending; only then may an unresolved attempt be given up for another channel. ``authenticates``: it takes
    ``Authorize.authenticate`` and says what came of it.
    """

    adapter: str
    methods: frozenset[str]
    presentments: frozenset[Presentment]
    currencies: frozenset[str]
    wire_unit: WireUnit
    manual_capture: bool = False
    partial_capture: bool = False
    multiple_capture: bool = False
    void: bool = False
    void_after_capture: bool = False
    increment: bool = False
    refund: bool = False
    partial_refund: bool = False
    refund_inquiry: bool = False
    payout: bool = False
    mandates: bool = False
    authenticates: bool = False
    inquires_by_our_reference: bool = False
    settles_not_found_s: int = 60
    notifies: bool = False
    authorization_days: int = 7
    extended_authorization_days: int | None = None
    amount_minor_min: int = 1
    amount_minor_max: int | None = None
