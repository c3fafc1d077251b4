"""What the end of an attempt teaches: its mark, and the news of it that routing and the decision log get.

Every end comes through here, whoever brought it (the answer to the call, a notification, an inquiry) and whoever chose
the channel. An attempt remembers what was told of it, so a later end takes the earlier one back by name.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from tongbao.channels.schema import Card, Fault, Method, Reason, kind_of
from tongbao.channels.service.codes import reason_info
from tongbao.core.ids import derive
from tongbao.decisions.schema.log import Outcome
from tongbao.payments.schema.attempts import OPEN, Attempt, AttemptState, Told
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import Intent, RiskState
from tongbao.payments.schema.refunds import FRAUDULENT, Dispute, DisputeState, Refund
from tongbao.risk.schema.cases import Lapsed
from tongbao.risk.schema.challenges import Means
from tongbao.risk.schema.facts import Ended, Labelled, LabelSource, Proved
from tongbao.routing.schema.payments import UNKNOWN, Attempted, Mark

ISSUER_DIGITS = 6
"""Cards of one issuer share their first digits; six are what every channel and vault may show (PCI DSS 4.0, 3.4.1)."""
APPROVED = "approved"
"""The outcome that decisions about channels are judged by: 1 for a yes, 0 for any kind of no."""
_YES = frozenset(
    {
        AttemptState.AUTHORIZED,
        AttemptState.CHARGED,
        AttemptState.CAPTURED_PARTIAL,
        AttemptState.CAPTURED,
    }
)
_MARK_OF_FAULT = {
    Fault.ISSUER: Mark.ISSUER_DECLINED,
    Fault.NETWORK: Mark.TECHNICAL,
    Fault.CHANNEL: Mark.TECHNICAL,
    Fault.CUSTOMER: Mark.NEUTRAL,
    Fault.MERCHANT: Mark.NEUTRAL,
    Fault.RISK: Mark.NEUTRAL,
    Fault.INTERNAL: Mark.NEUTRAL,
}


class News(NamedTuple):
    """An attempt that remembers what is told of it now, the facts for routing and risk, and its decision's outcome."""

    attempt: Attempt
    fact: Attempted | None = None
    ended: Ended | None = None
    outcome: Outcome | None = None
    proved: Proved | None = None


def news_of(attempt: Attempt, at: datetime, source: str) -> News | None:
    """Return what the attempt's state tells that has not been told yet; None while there is nothing new."""
    proved = _proved(attempt, at)
    if proved is not None:
        attempt = msgspec.structs.replace(attempt, is_proof_told=True)
    news = _ended_news(attempt, at, source)
    if news is None:
        return None if proved is None else News(attempt, proved=proved)
    return news._replace(proved=proved)


def lapsed_of(documents: Sequence[Document | None], at: datetime) -> list[Lapsed]:
    """Return which held payments among documents ended before anybody had decided about them."""
    return [
        Lapsed(
            occurred_at=at,
            signals_id=each.judged.look_id,
            book_id=each.book_id,
            live=each.live,
            subject_id=each.id,
        )
        for each in documents
        if isinstance(each, Intent)
        and each.risk_state is RiskState.UNDECIDED
        and each.judged is not None
        and each.judged.look_id is not None
    ]


def _ended_news(attempt: Attempt, at: datetime, source: str) -> News | None:
    """Return the news of an end, or of the correction of one."""
    mark, code = _mark(attempt)
    before = attempt.told
    if mark is None or (before is not None and before.mark is mark):
        return None
    took_ms = max(0, (at - attempt.sent_at) // timedelta(milliseconds=1))
    fact = Attempted(
        occurred_at=at,
        attempt_id=attempt.id,
        decision_id=attempt.decision_id,
        book_id=attempt.book_id,
        live=attempt.live,
        channel=attempt.channel,
        method=kind_of(attempt.method),
        issuer=issuer_of(attempt.method),
        currency=attempt.currency,
        amount_minor=attempt.amount_minor,
        mark=mark,
        is_cascade=attempt.is_cascade,
        before=before.mark if before else None,
        before_code=before.code if before else "",
        before_at=before.at if before else None,
        before_took_ms=before.took_ms if before else 0,
        code=code,
        took_ms=took_ms,
        source=source,
    )
    told = msgspec.structs.replace(attempt, told=Told(mark, code, at, took_ms))
    return News(told, fact, _ended(attempt, mark, code, at), _outcome(attempt, mark, code, at, source))


def labels_of(documents: Sequence[Document | None], at: datetime) -> list[Labelled]:
    """Return what disputes and refunds among documents say of fraud: the payer's bank, or the merchant, calls it so."""
    return [label for each in documents if (label := _label(each, at)) is not None]


def issuer_of(method: Method) -> str:
    """Return the group of a method's issuer; empty where all are one issuer, as with wallets."""
    return method.card_bin[:ISSUER_DIGITS] if isinstance(method, Card) else UNKNOWN


def _mark(attempt: Attempt) -> tuple[Mark | None, str]:
    if attempt.state in _YES:
        return Mark.APPROVED, ""
    if attempt.state is AttemptState.UNRESOLVED:
        return Mark.UNRESOLVED, ""
    if attempt.state is AttemptState.NOT_FOUND:
        # It was sent, and never arrived: the way there is at fault.
        return Mark.TECHNICAL, "not_found"
    if attempt.state is AttemptState.DECLINED:
        reason = attempt.reason or Reason.OTHER
        return _MARK_OF_FAULT[reason_info(reason).fault], reason.value
    return None, ""


def _ended(attempt: Attempt, mark: Mark, code: str, at: datetime) -> Ended | None:
    """Return the fact for risk control; what is unresolved has not ended."""
    if attempt.signals_id is None or mark is Mark.UNRESOLVED:
        return None
    return Ended(
        occurred_at=at,
        signals_id=attempt.signals_id,
        book_id=attempt.book_id,
        live=attempt.live,
        subject_id=attempt.intent_id,
        is_approved=mark is Mark.APPROVED,
        code=code,
    )


def _proved(attempt: Attempt, at: datetime) -> Proved | None:
    """Return what the issuer's check came to, once it is over and as long as nobody was told."""
    if (
        not attempt.authenticates
        or attempt.is_proof_told
        or attempt.signals_id is None
        or attempt.state in OPEN
    ):
        return None
    is_refused = attempt.reason is Reason.AUTHENTICATION_FAILED
    if attempt.authentication is None and not is_refused and attempt.state is not AttemptState.REVERSING:
        return None
    return Proved(
        occurred_at=at,
        signals_id=attempt.signals_id,
        book_id=attempt.book_id,
        live=attempt.live,
        subject_id=attempt.intent_id,
        means=Means.THREE_DS.value,
        is_passed=not is_refused and attempt.authentication is not None and attempt.authentication.is_good,
    )


def _label(document: Document | None, at: datetime) -> Labelled | None:
    """Return a label; a dispute about fraud counts when it is opened, and is taken back when the merchant wins it."""
    if isinstance(document, Dispute) and document.is_about_fraud:
        is_news = document.version == 1 or document.state is DisputeState.WON
        is_fraud, source = document.state is not DisputeState.WON, LabelSource.DISPUTE
    elif isinstance(document, Refund) and document.cause == FRAUDULENT:
        is_news, is_fraud, source = document.version == 1, True, LabelSource.REFUND
    else:
        return None
    if not is_news or document.signals_id is None:
        return None
    return Labelled(
        occurred_at=at,
        signals_id=document.signals_id,
        book_id=document.book_id,
        live=document.live,
        subject_id=document.intent_id,
        is_fraud=is_fraud,
        source=source,
    )


def _outcome(attempt: Attempt, mark: Mark, code: str, at: datetime, source: str) -> Outcome | None:
    """Return the news for the decision log; what is unresolved has no value yet."""
    if attempt.decision_id is None:
        return None
    value = None if mark is Mark.UNRESOLVED else float(mark is Mark.APPROVED)
    return Outcome(
        book_id=attempt.book_id,
        decision_id=attempt.decision_id,
        key=derive(attempt.id, f"outcome.{attempt.version}"),
        name=APPROVED,
        value=value,
        label=code or mark.value,
        source=source,
        occurred_at=at,
        recorded_at=at,
    )
