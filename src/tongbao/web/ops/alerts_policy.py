"""What is to be told to whoever runs the house: a pure judgement over one reading, the worst first.

Every alert has a key that stays while its cause does, since when it stands where that is known, and where to go. Its words are
those of ``locale.ops_alerts`` by its kind.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tongbao.clearing.schema.breaks import BreakKind
from tongbao.core.vitals import ConsumerVitals
from tongbao.risk.schema.models import Severity as DriftSeverity
from tongbao.web.ops.board_view import HALF_OPEN, OPEN, BoardView
from tongbao.web.ops.health_reading import Reading

UNRESOLVED_OLD = timedelta(minutes=15)
BEHIND_AFTER = timedelta(minutes=1)
BEHIND_FACTS = 10_000
"""So many facts behind is an alert even for a reader that moves."""
SEALING_LATE = timedelta(seconds=30)
SEALING_VERY_LATE = timedelta(minutes=5)
HOOKS_DEAD_SHARE = 0.1
HOOKS_DEAD_MANY = 10
TRANSACTION_LONG_S = 300.0
ALERTS_MAX = 100


class Severity(enum.StrEnum):
    """How bad: what costs money or truth now, and what will."""

    ERROR = "error"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. ``facts`` go into its words; ``href`` is where to do something about it."""

    kind: str
    severity: Severity
    subject: str = ""
    since: datetime | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)
    href: str = ""

    @property
    def key(self) -> str:
        """What stays the same while the cause does."""
        return f"{self.kind}:{self.subject}"[:200] if self.subject else self.kind


def alerts(reading: Reading) -> tuple[Alert, ...]:
    """Return everything that is wrong, errors before warnings, those that stand longest first; at most ``ALERTS_MAX``."""
    found = [
        *_books(reading),
        *_routing(reading.board),
        *_payments(reading),
        *_readers(reading),
        *_clearing(reading),
        *_risk(reading),
        *_machine(reading),
    ]

    def place(alert: Alert) -> tuple[bool, datetime, str]:
        return alert.severity is not Severity.ERROR, alert.since or reading.at, alert.key

    return tuple(sorted(found, key=place)[:ALERTS_MAX])


def _books(reading: Reading) -> Iterator[Alert]:
    for finding in dict.fromkeys(reading.findings):
        what, _, where = finding.partition(" ")
        facts = {"what": what, "where": where}
        yield Alert(
            kind="unbalanced", severity=Severity.ERROR, subject=finding, facts=facts, href="/ops/ledger"
        )
    oldest = reading.unsealed.oldest_at
    if oldest is not None and reading.at - oldest > SEALING_LATE:
        late = reading.at - oldest > SEALING_VERY_LATE
        yield Alert(
            kind="sealing_behind",
            severity=Severity.ERROR if late else Severity.WARN,
            since=oldest + SEALING_LATE,
            facts={"count": reading.unsealed.count},
            href="/ops/health",
        )


def _routing(board: BoardView) -> Iterator[Alert]:
    for group in board.methods:
        for row in group.rows:
            if row.state in (OPEN, HALF_OPEN):
                yield Alert(
                    kind="breaker_open" if row.state == OPEN else "breaker_half_open",
                    severity=Severity.ERROR if row.state == OPEN else Severity.WARN,
                    subject=f"{group.method}/{row.channel}",
                    since=row.since,
                    facts={"channel": row.channel, "method": group.method},
                    href="/ops/routing",
                )
    if board.standing.key in ("s_fell", "s_issuers"):
        for name in board.standing.names:
            yield Alert(
                kind="acceptance_fell" if board.standing.key == "s_fell" else "issuers_failing",
                severity=Severity.WARN,
                subject=name,
                since=next((each.at for each in board.notices if each.channel == name), None),
                facts={"channel": name},
                href="/ops/routing/doctor?period=1h",
            )


def _payments(reading: Reading) -> Iterator[Alert]:
    oldest = reading.waiting.oldest_at
    if oldest is not None and reading.at - oldest > UNRESOLVED_OLD:
        yield Alert(
            kind="unresolved_old",
            severity=Severity.ERROR,
            since=oldest + UNRESOLVED_OLD,
            facts={"count": reading.waiting.count},
            href="/ops/payments?state=unknown",
        )
    hooks = reading.hooks
    if hooks.dead_count:
        ended = hooks.dead_count + hooks.delivered_count
        many = hooks.dead_count >= HOOKS_DEAD_MANY and hooks.dead_count > HOOKS_DEAD_SHARE * ended
        yield Alert(
            kind="webhooks_dead",
            severity=Severity.ERROR if many else Severity.WARN,
            since=hooks.oldest_dead_at,
            facts={"count": hooks.dead_count, "all": ended},
            href="/ops/health",
        )


def _readers(reading: Reading) -> Iterator[Alert]:
    for each in reading.vitals.consumers:
        if is_behind(each, reading.at):
            yield Alert(
                kind="projection_behind",
                severity=Severity.ERROR if reading.at - each.moved_at > BEHIND_AFTER else Severity.WARN,
                subject=each.name,
                since=each.moved_at,
                facts={"name": each.name, "count": each.lag},
                href="/ops/health",
            )
        if each.dead_count:
            yield Alert(
                kind="dead_letters",
                severity=Severity.ERROR,
                subject=each.name,
                since=each.dead_since,
                facts={"name": each.name, "count": each.dead_count},
                href="/ops/health",
            )


def is_behind(consumer: ConsumerVitals, at: datetime) -> bool:
    """Return whether a reader of facts has stopped, or cannot keep up."""
    return consumer.lag > BEHIND_FACTS or (consumer.lag > 0 and at - consumer.moved_at > BEHIND_AFTER)


def _clearing(reading: Reading) -> Iterator[Alert]:
    gaps = sum(sum(each.counts) for each in reading.breaks if each.kind == BreakKind.STATEMENT_GAP)
    if gaps:
        facts = {"count": gaps}
        yield Alert(
            kind="statement_gaps", severity=Severity.WARN, facts=facts, href="/ops/breaks?kind=statement_gap"
        )
    old = sum(sum(each.counts[3:]) for each in reading.breaks if each.kind != BreakKind.STATEMENT_GAP)
    if old:
        yield Alert(kind="breaks_old", severity=Severity.WARN, facts={"count": old}, href="/ops/breaks")


def _risk(reading: Reading) -> Iterator[Alert]:
    due = reading.cases
    if due.overdue_count:
        yield Alert(
            kind="cases_overdue",
            severity=Severity.WARN,
            since=due.oldest_due_at,
            facts={"count": due.overdue_count},
            href="/ops/risk/cases",
        )
    for kept in reading.drift:
        yield Alert(
            kind="drift",
            severity=Severity.ERROR if kept.alarm.severity is DriftSeverity.CRITICAL else Severity.WARN,
            subject=f"{kept.alarm.kind}/{kept.alarm.subject}",
            since=kept.since,
            facts={"subject": kept.alarm.subject or str(kept.alarm.kind)},
            href="/ops/risk/models",
        )


def _machine(reading: Reading) -> Iterator[Alert]:
    for each in reading.workers:
        if each.failed_count:
            yield Alert(
                kind="worker_failing",
                severity=Severity.WARN,
                subject=each.name,
                facts={"name": each.name, "count": each.failed_count},
                href="/ops/health",
            )
    oldest_s = reading.vitals.database.oldest_s
    if oldest_s > TRANSACTION_LONG_S:
        facts = {"minutes": round(oldest_s / 60)}
        yield Alert(kind="transaction_long", severity=Severity.WARN, facts=facts, href="/ops/health")
