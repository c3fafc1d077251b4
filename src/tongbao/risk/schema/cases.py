"""Cases for analysts: what rang, what is known of each payment, states with their moves, how a case is closed."""

import enum
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from tongbao.core.events.facts import Fact
from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.risk.schema.signals import KEY_CHARS_MAX, Entity, Signals
from tongbao.risk.schema.tiers import Hundredths, Tier

CASE_PAYMENTS_MAX = 200
"""Of one case; what rings beyond it opens the next case."""
OPEN_CASES_MAX = 20_000
"""Beyond it alerts of low severity are kept without a case: nobody would come to look at them."""
NOTE_CHARS_MAX = 4_000
SUMMARY_CHARS_MAX = 8_000
ACTOR_CHARS_MAX = 120
WATCHED_RULES_MAX = 200
CURRENCIES_MAX = 200


class CaseState(enum.StrEnum):
    """Where a case stands; ``MOVES`` says what may follow."""

    OPEN = "open"  # nobody has it
    ASSIGNED = "assigned"
    WAITING = "waiting"  # for a second pair of eyes
    CLOSED = "closed"


MOVES: dict[CaseState, frozenset[CaseState]] = {
    CaseState.OPEN: frozenset({CaseState.ASSIGNED}),
    CaseState.ASSIGNED: frozenset({CaseState.OPEN, CaseState.ASSIGNED, CaseState.WAITING, CaseState.CLOSED}),
    CaseState.WAITING: frozenset({CaseState.ASSIGNED, CaseState.CLOSED}),
    CaseState.CLOSED: frozenset(),
}


class Severity(enum.StrEnum):
    """How soon somebody has to look; from the least to the most."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def weight(self) -> int:
        """0 for low to 3 for critical."""
        return _WEIGHTS[self]


_WEIGHTS = {severity: place for place, severity in enumerate(Severity)}


class Cause(enum.StrEnum):
    """Why an alert rang; the cause of the first alert is the kind of a case, whose minutes are learned."""

    HELD = "held"  # the payment waits for a person
    DECLINED = "declined"
    WATCHED_RULE = "watched_rule"
    FRAUD_KNOWN = "fraud_known"  # a label says so


class Disposition(enum.StrEnum):
    """What a case came to."""

    FRAUD = "fraud"
    GENUINE = "genuine"
    INCONCLUSIVE = "inconclusive"


class HeldAct(enum.StrEnum):
    """What is done with a held payment."""

    RELEASE = "release"
    REJECT = "reject"


class CaseAct(enum.StrEnum):
    """What a line of the audit trail tells."""

    OPENED = "opened"
    ALERTED = "alerted"  # more payments rang
    LEARNED = "learned"  # a payment of the case ended, or got a label from elsewhere
    TAKEN = "taken"  # from the queue
    ASSIGNED = "assigned"
    UNASSIGNED = "unassigned"
    NOTED = "noted"
    INCLUDED = "included"  # an analyst added payments
    SIGNED = "signed"  # a summary; its text is the note
    ASKED = "asked"  # for a second person
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"  # by whoever asked
    CLOSED = "closed"
    LAPSED = "lapsed"  # held payments ended before anybody had decided


Worth = Annotated[float, Meta(gt=0, le=1_000_000)]
RuleName = Annotated[str, Meta(min_length=1, max_length=120)]


class CaseSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What rings, and how cases are worked.

    Payments that are held for review ring, declined ones from ``declined_value_min`` hundredths, and any that one of the
    watched ``rules`` matched. With ``is_across_books`` cards, people, devices and addresses have one case in the
    house (book 0); otherwise one in each book. A case takes in alerts until ``fresh_h`` hours after its latest one.
    ``sla_h`` are the hours within which a case is to be closed. Releasing more than ``release_alone_max``
    needs a second person. ``worth`` is what one unit of a currency counts for in that of the house, 1 where it is
    not named.
    """

    declined_value_min: Hundredths = 0
    rules: Annotated[tuple[RuleName, ...], Meta(max_length=WATCHED_RULES_MAX)] = ()
    is_across_books: bool = False
    fresh_h: Annotated[float, Meta(gt=0, le=720)] = 24.0
    sla_h: dict[Severity, Annotated[float, Meta(gt=0, le=8_760)]] = msgspec.field(default_factory=dict)
    release_alone_max: Hundredths = 100_000
    worth: Annotated[dict[str, Worth], Meta(max_length=CURRENCIES_MAX)] = msgspec.field(default_factory=dict)


class EntityKey(NamedTuple):
    """Somebody or something that takes part in payments, by kind and pseudonym."""

    entity: Entity
    key: str


class Tally(msgspec.Struct, frozen=True):
    """Payments of an entity: how many, how many of them known frauds, money in hundredths by currency.

    With ``is_partial`` there may be more: only the latest were counted.
    """

    count: int = 0
    fraud_count: int = 0
    values: tuple[tuple[str, int], ...] = ()
    is_partial: bool = False


class CaseScope(NamedTuple):
    """Whose cases: live or test, of one book (0: those across books) or of all (None)."""

    live: bool
    book_id: int | None = None


class CaseKey(NamedTuple):
    """What makes two alerts belong together. ``entity`` is None where only the payment itself is known; ``key``: its id."""

    live: bool
    book_id: int
    entity: Entity | None
    key: str


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A judged payment with everything that became known of it; None: nothing yet."""

    signals: Signals
    tier: Tier
    score: float | None = None
    decision_id: UUID | None = None
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    is_approved: bool | None = None
    end_code: str = ""
    is_passed: bool | None = None
    is_fraud: bool | None = None
    label_source: str = ""
    labelled_at: datetime | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that rang: a payment, why, how badly, and which case it belongs to."""

    cause: Cause
    severity: Severity
    at: datetime
    case_key: CaseKey
    payment: "CasePayment"


class CasePayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment of a case, by the look (``event_id``) that rang; ``value`` in hundredths, ``score`` a chance in [0, 1].

    ``is_held``: it waits for the case. ``ruling`` is what the case said of it in the end.
    """

    event_id: UUID
    book_id: int
    subject_id: UUID
    at: datetime
    value: int
    currency: str
    tier: Tier
    score: float | None = None
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    is_held: bool = False
    is_fraud: bool | None = None
    ruling: HeldAct | None = None


class Stake(NamedTuple):
    """Money of a case in one currency, in hundredths; ``held`` is the part that waits."""

    currency: str
    value: int
    held: int


class Disposal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a case is to be closed.

    ``fraud`` and ``genuine`` are the payments (by look) that get those labels; where both are None the disposition goes
    for every payment of the case. ``on_held`` says what is done with held payments that get no label; it is needed where
    there are such. With ``freeze``, which needs fraud, the entity of the case is to be frozen.
    """

    disposition: Disposition
    fraud: Annotated[tuple[UUID, ...], Meta(max_length=CASE_PAYMENTS_MAX)] | None = None
    genuine: Annotated[tuple[UUID, ...], Meta(max_length=CASE_PAYMENTS_MAX)] | None = None
    on_held: HeldAct | None = None
    freeze: bool = False
    note: Annotated[str, Meta(max_length=NOTE_CHARS_MAX)] = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A closing that waits for a second person; the payments in ``disposal`` are named."""

    disposal: Disposal
    by: str
    at: datetime


class CaseFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A case. ``book_id`` 0: across books; ``entity`` None: only the payment ``key`` itself is known.

    ``version`` counts the lines of its audit trail. ``saving`` is the expected money that a look saves, in hundredths of
    the house's currency; ``worked_ms`` how long analysts had it, ``assigned_at`` since when the present one has.
    """

    id: UUID
    book_id: int
    live: bool
    version: int
    state: CaseState
    severity: Severity
    kind: Cause
    entity: Entity | None
    key: Annotated[str, Meta(max_length=KEY_CHARS_MAX)]
    opened_at: datetime
    updated_at: datetime
    last_alert_at: datetime
    due_at: datetime
    payment_count: int
    saving: float
    chance_max: float
    stakes: tuple[Stake, ...]
    assignee: str = ""
    assigned_at: datetime | None = None
    worked_ms: int = 0
    request: Request | None = None
    disposition: Disposition | None = None
    closed_at: datetime | None = None

    @property
    def name(self) -> str:
        """The id as people see it."""
        return case_text(self.id)

    @property
    def case_key(self) -> CaseKey:
        """What alerts are gathered by."""
        return CaseKey(self.live, self.book_id, self.entity, self.key)


class CaseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a case's audit trail; ``before`` and ``after`` hold what it changed. Lines are never changed."""

    case_id: UUID
    version: int
    at: datetime
    actor: str
    act: CaseAct
    note: str = ""
    before: dict[str, Any] = msgspec.field(default_factory=dict)
    after: dict[str, Any] = msgspec.field(default_factory=dict)


class PaymentRef(NamedTuple):
    """A payment intent."""

    book_id: int
    subject_id: UUID


class CaseOpened(Fact, frozen=True, kw_only=True, tag="risk.case_opened"):
    """Fact: a case waits for an analyst."""

    case_id: UUID
    book_id: int
    live: bool
    severity: Severity
    kind: Cause
    due_at: datetime

    @property
    def subject(self) -> str:
        """Return the case."""
        return case_text(self.case_id)


class CaseDecided(Fact, frozen=True, kw_only=True, tag="risk.case_decided"):
    """Fact: a case was closed. Held payments are to be released or rejected; with ``freeze_key`` its entity to be frozen.

    ``actor`` closed it, ``approver`` is the second person where one was needed, otherwise empty.
    """

    case_id: UUID
    book_id: int
    live: bool
    disposition: Disposition
    actor: str
    approver: str = ""
    release: tuple[PaymentRef, ...] = ()
    reject: tuple[PaymentRef, ...] = ()
    freeze_entity: Entity | None = None
    freeze_key: str = ""

    @property
    def subject(self) -> str:
        """Return the case."""
        return case_text(self.case_id)


class Lapsed(Fact, frozen=True, kw_only=True, tag="risk.review_lapsed"):
    """Fact: a payment that was held for a review ended before anybody had decided about it."""

    signals_id: UUID
    book_id: int
    live: bool
    subject_id: UUID

    @property
    def subject(self) -> str:
        """Return the payment intent."""
        return uuid_text("pi", self.subject_id)


def case_text(case_id: UUID) -> str:
    """Return the id of a case as people see it."""
    return uuid_text("case", case_id)


def parse_case(text: str) -> UUID:
    """Read back what ``case_text`` wrote; raise ValueError for anything else."""
    return parse_uuid("case", text)
