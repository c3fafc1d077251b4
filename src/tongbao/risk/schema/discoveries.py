"""What is discovered without being looked for: rules that fraud seems to follow, kinds of customers, payments to be labelled.

A discovery decides nothing. Shares and ranks are in [0, 1]; texts come in English and Chinese.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.risk.schema.models import Interval


class FoundRule(msgspec.Struct, frozen=True, kw_only=True):
    """A mined rule, measured on newer payments than those that it was found on.

    ``text`` is the whole rule as rules are written, a draft with its figures as comment; ``when`` its condition alone.
    ``support``: share of payments that match; ``recall``: share of all frauds that match; ``lift``: precision over the
    share of fraud among all. ``chance``: the probability of as many frauds if the rule meant nothing.
    """

    name: str
    text: str
    when: str
    count: int
    fraud_count: int
    support: float
    precision: Interval
    recall: float
    lift: Interval
    chance: float
    en: str
    zh: str


class FoundCluster(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of customers: their share of all, what sets them apart, and how much of what they paid was fraud.

    ``fraud_share`` is None where none of their payments is old enough for its label.
    """

    share: float
    customer_count: int
    payment_count: int
    fraud_share: Interval | None
    en: str
    zh: str


class QueuedPayment(msgspec.Struct, frozen=True, kw_only=True):
    """An unlabelled payment that is worth a person's look; ``value`` in hundredths.

    ``anomaly_rank``: the share of good payments that are less unusual; ``score``: the chance of fraud by the model in force;
    ``priority``: what the queue is ordered by, higher first.
    """

    id: UUID
    book_id: int
    subject: str
    at: datetime
    value: int
    currency: str
    tier: str
    score: float
    anomaly_rank: float
    priority: float
    en: str
    zh: str


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one look at the journal brought.

    Of ``payment_count`` payments of ``days`` days that are old enough for their labels ``fraud_count`` are fraud.
    ``silhouette`` tells in [-1, 1] how far apart the clusters are, None where there are none; ``cut`` is the chance of
    fraud at which the tier of an ordinary payment changes; ``detectors`` holds SHA-256 of each detector by name.
    """

    from_at: datetime
    to_at: datetime
    days: int
    payment_count: int
    fraud_count: int
    recent_count: int
    cut: float
    rules: tuple[FoundRule, ...]
    clusters: tuple[FoundCluster, ...]
    silhouette: float | None
    queue: tuple[QueuedPayment, ...]
    detectors: dict[str, str]


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """Findings as they are kept; ``digest`` is SHA-256 of them as JSON, hexadecimal."""

    id: UUID
    live: bool
    made_at: datetime
    digest: str
    findings: Findings
