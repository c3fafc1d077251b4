"""Documents for the tests of pure policies: an intent that waits for one attempt, and what a channel may say of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from tests.payments.scripted import capabilities

from tongbao.channels.schema import Answer, Card, Fault, Operation, Outcome, Reason, Retry
from tongbao.ledger.schema import AccountId, BookId, Transfer
from tongbao.ledger.schema import Kind as Row
from tongbao.payments.policy import postings
from tongbao.payments.policy.outcomes import Explain, Standing, Step
from tongbao.payments.policy.postings import Money
from tongbao.payments.schema.attempts import Act, ActState, Attempt, AttemptState, HoldPart
from tongbao.payments.schema.intents import Certainty, Intent, IntentState

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AMOUNT = 1000
BOOK = 7
MONEY = Money(
    book_id=BookId(BOOK),
    asset_id=156,
    receivable=AccountId(1),
    in_transit=AccountId(2),
    refund_clearing=AccountId(3),
    dispute_reserve=AccountId(4),
    suspense=AccountId(5),
)
CARD = Card(
    token="tok",
    exp_month=12,
    exp_year=2030,
    brand="visa",
    card_bin="424242",
    last4="4242",
)
INTENT_ID = UUID(int=0x01990000_0000_7000_8000_000000000001)
ATTEMPT_ID = UUID(int=0x01990000_0000_7000_8000_000000000002)
ACT_ID = UUID(int=0x01990000_0000_7000_8000_000000000003)
HELD = AttemptState.AUTHORIZED, AttemptState.CAPTURED_PARTIAL

_INTENT_STATES = {
    AttemptState.SENT: IntentState.PROCESSING,
    AttemptState.ACTION_REQUIRED: IntentState.REQUIRES_ACTION,
    AttemptState.PENDING: IntentState.PROCESSING,
    AttemptState.UNRESOLVED: IntentState.PROCESSING,
    AttemptState.AUTHORIZED: IntentState.REQUIRES_CAPTURE,
    AttemptState.CAPTURED_PARTIAL: IntentState.REQUIRES_CAPTURE,
    AttemptState.CHARGED: IntentState.SUCCEEDED,
    AttemptState.CAPTURED: IntentState.SUCCEEDED,
    AttemptState.CONFLICTED: IntentState.PROCESSING,
    AttemptState.VOIDED: IntentState.CANCELED,
}
_CAPTURED = {
    AttemptState.CHARGED: AMOUNT,
    AttemptState.CAPTURED: AMOUNT,
    AttemptState.CAPTURED_PARTIAL: 400,
    AttemptState.REVERSING: AMOUNT,
    AttemptState.REVERSED: AMOUNT,
}


def intent(state: IntentState = IntentState.PROCESSING, **fields: object) -> Intent:
    """An intent of 10.00 CNY that waits for the attempt."""
    values: dict[str, object] = {
        "id": INTENT_ID,
        "book_id": BOOK,
        "live": False,
        "created_at": NOW,
        "updated_at": NOW,
        "state": state,
        "amount_minor": AMOUNT,
        "currency": "CNY",
        "client_secret": "secret",
        "attempt_id": ATTEMPT_ID,
        "expires_at": NOW + timedelta(hours=24),
    }
    return Intent(**(values | fields))  # type: ignore[arg-type]


def attempt(state: AttemptState = AttemptState.SENT, **fields: object) -> Attempt:
    """The attempt in a state, its amounts as that state has them."""
    values: dict[str, object] = {
        "id": ATTEMPT_ID,
        "book_id": BOOK,
        "live": False,
        "created_at": NOW,
        "updated_at": NOW,
        "state": state,
        "intent_id": INTENT_ID,
        "channel": "one",
        "method": CARD,
        "amount_minor": AMOUNT,
        "currency": "CNY",
        "capture": True,
        "sent_at": NOW,
        "captured_minor": _CAPTURED.get(state, 0),
        "authorized_minor": AMOUNT if state in _CAPTURED or state in HELD else 0,
    }
    made = Attempt(**(values | fields))  # type: ignore[arg-type]
    if state in HELD and not made.holds:
        left = made.authorized_minor - made.captured_minor
        made = msgspec.structs.replace(made, holds=(HoldPart(postings.hold_key(made), left),))
    return made


def act(operation: Operation = Operation.CAPTURE, amount_minor: int = AMOUNT, **fields: object) -> Act:
    """An act that was just sent."""
    values: dict[str, object] = {
        "id": ACT_ID,
        "operation": operation,
        "amount_minor": amount_minor,
        "state": ActState.SENT,
        "final": True,
        "sent_at": NOW,
    }
    return Act(**(values | fields))  # type: ignore[arg-type]


def standing(
    tried: Attempt | None = None, wanted: Intent | None = None, /, *, after_s: float = 0, **can: object
) -> Standing:
    """Everything that an answer's meaning depends on, ``after_s`` seconds after sending."""
    tried = tried or attempt()
    if wanted is None:
        state = _INTENT_STATES.get(tried.state, IntentState.REQUIRES_PAYMENT_METHOD)
        certainty = Certainty.UNKNOWN if tried.state is AttemptState.UNRESOLVED else Certainty.KNOWN
        wanted = intent(state, amount_received_minor=tried.captured_minor, certainty=certainty)
    explain = Explain(Fault.ISSUER, Retry.NEVER)
    now = NOW + timedelta(seconds=after_s)
    return Standing(wanted, tried, MONEY, capabilities(**can), explain, now)


def yes(amount_minor: int | None = AMOUNT, *, captured: bool = True, **fields: object) -> Answer:
    """An approval."""
    values: dict[str, object] = {"amount_minor": amount_minor, "currency": "CNY", "captured": captured}
    return Answer(outcome=Outcome.APPROVED, **(values | fields))  # type: ignore[arg-type]


def no(reason: Reason = Reason.DO_NOT_HONOR, *, voided: bool = False) -> Answer:
    """An explicit no."""
    return Answer(outcome=Outcome.DECLINED, reason=reason, code="05", voided=voided)


def said(outcome: Outcome) -> Answer:
    """An answer that is nothing but its outcome."""
    return Answer(outcome=outcome)


def applied(before: Standing, step: Step) -> Standing:
    """What stands after a step."""
    return before._replace(intent=step.intent or before.intent, attempt=step.attempt or before.attempt)


def legs(transfers: tuple[Transfer, ...]) -> list[tuple[str, int]]:
    """Code and amount of each transfer, as tables of cases name them."""
    return [(transfer.code, transfer.amount_minor) for transfer in transfers]


class Books:
    """The five accounts of a payment as plain sums: posts what the ledger would, each key once."""

    def __init__(self) -> None:
        self.balances = dict.fromkeys(
            ("receivable", "in_transit", "refund_clearing", "dispute_reserve", "suspense"), 0
        )
        self.holds: dict[UUID, int] = {}
        self.keys: set[UUID] = set()
        self._names = {getattr(MONEY, name): name for name in self.balances}

    def post(self, transfers: tuple[Transfer, ...]) -> None:
        """Post; a capture or void of what is not held, or of more, is a failure."""
        for transfer in transfers:
            if transfer.key in self.keys:
                continue
            self.keys.add(transfer.key)
            self._post(transfer)

    def _post(self, transfer: Transfer) -> None:
        match transfer.kind:
            case Row.HOLD:
                self.holds[transfer.key] = transfer.amount_minor
            case Row.VOID:
                assert transfer.refers_to is not None
                del self.holds[transfer.refers_to]
            case Row.CAPTURE:
                assert transfer.refers_to is not None
                left = self.holds.pop(transfer.refers_to) - transfer.amount_minor
                assert left >= 0
                if not transfer.final:
                    self.holds[transfer.refers_to] = left
                self._move("receivable", "in_transit", transfer.amount_minor)
            case _:
                debit, credit = transfer.debit_account_id, transfer.credit_account_id
                self._move(self._names[debit], self._names[credit], transfer.amount_minor)

    def _move(self, debit: str, credit: str, amount_minor: int) -> None:
        assert amount_minor > 0
        self.balances[debit] -= amount_minor
        self.balances[credit] += amount_minor
