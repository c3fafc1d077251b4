"""Alerting: what rings goes into a case, each alert exactly once, and open cases learn what became of their payments.

A projection: alerts, cases, lines of the trail and the place of the subscription are one commit. A label names its payment
by id only; what is known of it comes from the same batch or from the rows that the journal keeps. Where those are not written
yet the batch is tried again for ``ROWS_WAIT``; a label of a payment that nobody ever judged rings nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection
from tongbao.core.errors import Unavailable
from tongbao.core.events.facts import Delivered
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.subscriptions import Projection
from tongbao.core.ids import IdFactory
from tongbao.risk.policy.case_opening import (
    absorbed,
    assessed_alert,
    is_joinable,
    labelled_alert,
    merged,
    opened,
)
from tongbao.risk.policy.case_trail import line_of
from tongbao.risk.schema.cases import (
    OPEN_CASES_MAX,
    Alert,
    CaseAct,
    CaseFile,
    CaseOpened,
    CasePayment,
    CaseSpec,
    Cause,
    Known,
    Severity,
)
from tongbao.risk.schema.facts import Assessed, Ended, Labelled
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import case_setting
from tongbao.risk.store import cases, neighbors

SUBSCRIPTION = "risk.cases"
TOPICS = (Assessed, Ended, Labelled)
ACTOR = "risk"
"""Who opens cases in the audit trail."""
ROWS_WAIT = timedelta(minutes=5)


@dataclass
class _Docket:
    """A case with what a batch makes of it; ``before`` is None for a new one."""

    case: CaseFile
    before: CaseFile | None
    payments: dict[UUID, CasePayment]
    alerts: list[Alert] = field(default_factory=list)
    touched: set[UUID] = field(default_factory=set)


class _News(NamedTuple):
    """What a batch tells of payments that rang before: how they ended and what they were labelled, by look."""

    ended: dict[UUID, bool]
    labels: dict[UUID, bool]


def alert_projection(
    clock: Clock, ids: IdFactory, outbox: Outbox, spec: CaseSpec | None = None
) -> Projection:
    """Return the subscription that opens cases and adds to them, each fact exactly once. Publishes ``CaseOpened``.

    ``spec``: fixed settings; None: those in force when a batch is taken in (``case_setting``).
    """
    return Projection(SUBSCRIPTION, TOPICS, partial(_write, (clock, ids, outbox), spec))


class _Desk(NamedTuple):
    clock: Clock
    ids: IdFactory
    outbox: Outbox
    spec: CaseSpec


async def _write(
    tools: tuple[Clock, IdFactory, Outbox],
    fixed: CaseSpec | None,
    connection: Connection,
    delivered: Sequence[Delivered],
) -> None:
    """Take in a batch; joins the transaction."""
    desk = _Desk(*tools, fixed or await case_setting.in_force(connection))
    alerts = await _fresh(desk, connection, delivered)
    news = _news(delivered)
    looks = [*news.ended, *news.labels]
    if not alerts and not looks:
        return
    locked = await cases.lock_of_keys(connection, list(dict.fromkeys(each.case_key for each in alerts)))
    locked += await cases.lock_of_events(connection, looks)
    known = await cases.payments(connection, list({case.id for case in locked}))
    dockets = {case.id: _Docket(case, case, known[case.id]) for case in locked}
    now = desk.clock.now()
    placed = await _place(desk, connection, alerts, dockets, now)
    for docket in dockets.values():
        _learn(docket, news)
        if docket.alerts or docket.touched:
            docket.case = absorbed(docket.case, list(docket.payments.values()), docket.alerts, now, desk.spec)
    if placed:
        await cases.add_alerts(connection, placed)
    await _store(desk, connection, [each for each in dockets.values() if each.alerts or each.touched])


async def _fresh(desk: _Desk, connection: Connection, delivered: Sequence[Delivered]) -> list[Alert]:
    """Return the alerts of a batch that did not ring before, in order."""
    known = await _known(desk, connection, delivered)
    found: dict[tuple[UUID, Cause], Alert] = {}
    for each in delivered:
        fact = each.fact
        alert = None
        if isinstance(fact, Assessed):
            alert = assessed_alert(fact, desk.spec)
        elif isinstance(fact, Labelled) and fact.signals_id in known:
            alert = labelled_alert(fact, known[fact.signals_id], desk.spec)
        if alert is not None:
            found.setdefault((alert.payment.event_id, alert.cause), alert)
    if not found:
        return []
    rung = await cases.rung(connection, list(found.values()))
    told = [key[0] for key in found if key[1] is Cause.FRAUD_KNOWN]
    called = await cases.called_fraud(connection, told) if told else set()
    rung |= {(event_id, Cause.FRAUD_KNOWN) for event_id in called}
    return [alert for key, alert in found.items() if key not in rung]


async def _known(desk: _Desk, connection: Connection, delivered: Sequence[Delivered]) -> Mapping[UUID, Known]:
    """Return what is known of the payments that the batch labels; raise Unavailable where that may still come."""
    labels = {each.fact.signals_id: each for each in delivered if isinstance(each.fact, Labelled)}
    if not labels:
        return {}
    known = {each.signals.id: each for each in await neighbors.known(connection, list(labels))}
    for each in delivered:
        fact = each.fact
        if isinstance(fact, Assessed) and fact.signals.id in labels:
            known.setdefault(fact.signals.id, _judged(fact))
    oldest = desk.clock.now() - ROWS_WAIT
    if any(each.recorded_at > oldest for signals_id, each in labels.items() if signals_id not in known):
        raise Unavailable("payment_not_written", "a label came before the row of its payment")
    return known


def _judged(fact: Assessed) -> Known:
    return Known(
        signals=fact.signals,
        tier=fact.tier,
        score=fact.score,
        decision_id=fact.decision_id,
        reasons=fact.reasons,
        rules=fact.rules,
    )


def _news(delivered: Sequence[Delivered]) -> _News:
    facts = [each.fact for each in delivered]
    return _News(
        {each.signals_id: each.is_approved for each in facts if isinstance(each, Ended)},
        {each.signals_id: each.is_fraud for each in facts if isinstance(each, Labelled)},
    )


async def _place(
    desk: _Desk,
    connection: Connection,
    alerts: Sequence[Alert],
    dockets: dict[UUID, _Docket],
    now: datetime,
) -> list[tuple[UUID | None, Alert]]:
    """Put each alert into its case, a new one where none fits; None where there is no room for one."""
    room = OPEN_CASES_MAX - await cases.open_count(connection, OPEN_CASES_MAX) if alerts else 0
    placed: list[tuple[UUID | None, Alert]] = []
    for alert in alerts:
        docket = _fitting(alert, dockets, desk.spec)
        if docket is None and room <= 0 and alert.severity is Severity.LOW:
            placed.append((None, alert))
            continue
        if docket is None:
            case_id = desk.ids.uuid()
            docket = dockets[case_id] = _Docket(opened(case_id, [alert], now, desk.spec), None, {})
            room -= 1
        docket.alerts.append(alert)
        docket.touched.add(alert.payment.event_id)
        docket.payments = merged(docket.payments, [alert])
        docket.case = msgspec.structs.replace(
            docket.case,
            payment_count=len(docket.payments),
            last_alert_at=max(docket.case.last_alert_at, alert.at),
        )
        placed.append((docket.case.id, alert))
    return placed


def _fitting(alert: Alert, dockets: Mapping[UUID, _Docket], spec: CaseSpec) -> _Docket | None:
    """Return the case that holds the payment already, otherwise one that the alert may join, the oldest first."""
    for docket in dockets.values():
        if alert.payment.event_id in docket.payments:
            return docket
    return next((each for each in dockets.values() if is_joinable(each.case, alert, spec)), None)


def _learn(docket: _Docket, news: _News) -> None:
    """Write into a case's payments how they ended and what they were labelled."""
    for event_id, payment in docket.payments.items():
        label = news.labels.get(event_id, payment.is_fraud)
        is_held = payment.is_held
        if event_id in news.ended and payment.tier is Tier.REVIEW:
            is_held = news.ended[event_id]
        if (label, is_held) != (payment.is_fraud, payment.is_held):
            changed = msgspec.structs.replace(payment, is_fraud=label, is_held=is_held)
            docket.payments[event_id] = changed
            docket.touched.add(event_id)


async def _store(desk: _Desk, connection: Connection, dockets: Sequence[_Docket]) -> None:
    """Write changed cases with their payments and lines, and publish those that are new."""
    if not dockets:
        return
    files, lines, facts = [], [], []
    for docket in dockets:
        if docket.before is None:
            act, after = CaseAct.OPENED, docket.case
            facts.append(_opened_fact(after))
        else:
            act = CaseAct.ALERTED if docket.alerts else CaseAct.LEARNED
            after = msgspec.structs.replace(docket.case, version=docket.before.version + 1)
        files.append(after)
        lines.append(line_of(docket.before, after, act, ACTOR))
    await cases.write(connection, files)
    await cases.put_payments(
        connection,
        [(each.case.id, each.payments[event_id]) for each in dockets for event_id in sorted(each.touched)],
    )
    await cases.add_events(connection, lines)
    await desk.outbox.publish(connection, facts)


def _opened_fact(case: CaseFile) -> CaseOpened:
    return CaseOpened(
        occurred_at=case.opened_at,
        case_id=case.id,
        book_id=case.book_id,
        live=case.live,
        severity=case.severity,
        kind=case.kind,
        due_at=case.due_at,
    )
