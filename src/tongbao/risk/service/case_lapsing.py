"""Cases about which nobody decided in time: what was held ended by itself, and with the last of it ends the case.

A projection: the payments, the cases and the place of the subscription are one commit. Such a case is closed as
inconclusive, by nobody: it labels nothing, releases and rejects nothing, and its trail says ``lapsed``. One that was
opened for another reason, or still holds a payment, stays open and has a line less to decide.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection
from tongbao.core.events.facts import Delivered
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.subscriptions import Projection
from tongbao.risk.policy.case_opening import absorbed
from tongbao.risk.policy.case_trail import line_of
from tongbao.risk.schema.cases import (
    CaseAct,
    CaseDecided,
    CaseFile,
    CaseState,
    Cause,
    Disposition,
    Lapsed,
)
from tongbao.risk.service import case_setting
from tongbao.risk.store import cases as store

SUBSCRIPTION = "risk.lapses"
ACTOR = "risk"
"""Who closes cases about which nobody decided."""
NOTE = "review_expired: what was held ended before anybody had decided"


def lapse_projection(clock: Clock, outbox: Outbox) -> Projection:
    """Return the subscription that closes cases that lapsed, each fact exactly once. Publishes ``CaseDecided``."""
    return Projection(SUBSCRIPTION, (Lapsed,), partial(_write, clock, outbox))


async def _write(
    clock: Clock, outbox: Outbox, connection: Connection, delivered: Sequence[Delivered]
) -> None:
    """Take in a batch; joins the transaction."""
    looks = sorted({each.fact.signals_id for each in delivered if isinstance(each.fact, Lapsed)})
    if not looks:
        return
    cases = await store.lock_of_events(connection, looks)
    known = await store.payments(connection, [case.id for case in cases])
    spec = await case_setting.in_force(connection)
    now = clock.now()
    for case in cases:
        payments = known[case.id]
        gone = {
            look: msgspec.structs.replace(payments[look], is_held=False)
            for look in looks
            if look in payments and payments[look].is_held
        }
        if not gone:
            continue
        left = payments | gone
        await store.put_payments(connection, [(case.id, each) for each in gone.values()])
        after = absorbed(case, list(left.values()), (), now, spec)
        after = msgspec.structs.replace(after, version=case.version + 1)
        act, note = CaseAct.LEARNED, ""
        if case.kind is Cause.HELD and not any(each.is_held for each in left.values()):
            act, note, after = CaseAct.LAPSED, NOTE, _closed(after, now)
        await store.write(connection, [after])
        await store.add_events(connection, [line_of(case, after, act, ACTOR, note)])
        if act is CaseAct.LAPSED:
            await outbox.publish(connection, [_decided(after, now)])


def _closed(case: CaseFile, now: datetime) -> CaseFile:
    """Return a case closed by nobody; whoever had it gets the time counted, and a request for a second person falls."""
    worked = max(now - case.assigned_at, timedelta()) if case.assigned_at else timedelta()
    return msgspec.structs.replace(
        case,
        state=CaseState.CLOSED,
        disposition=Disposition.INCONCLUSIVE,
        request=None,
        assigned_at=None,
        worked_ms=case.worked_ms + worked // timedelta(milliseconds=1),
        closed_at=now,
    )


def _decided(case: CaseFile, now: datetime) -> CaseDecided:
    return CaseDecided(
        occurred_at=now,
        case_id=case.id,
        book_id=case.book_id,
        live=case.live,
        disposition=Disposition.INCONCLUSIVE,
        actor=ACTOR,
    )
