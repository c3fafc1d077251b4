"""A payment's story told: everything that was read, in words of one language and in the order of time. Pure."""

from collections.abc import Iterator

from markupsafe import Markup

from tongbao.channels.schema import Operation, Reason
from tongbao.payments.schema.attempts import Act, ActState, Attempt, AttemptState
from tongbao.payments.schema.refunds import FRAUD_CODES, Dispute, DisputeState, Refund, RefundState
from tongbao.web.stories import telling_choices, telling_money
from tongbao.web.stories.entries import Entry, Part
from tongbao.web.stories.payment_story import Story
from tongbao.web.stories.reader import Reader

_ENDED_TONES = {
    AttemptState.AUTHORIZED: "ok",
    AttemptState.CHARGED: "ok",
    AttemptState.DECLINED: "error",
    AttemptState.NOT_FOUND: "error",
    AttemptState.VOIDED: "plain",
    AttemptState.REVERSED: "plain",
    AttemptState.CONFLICTED: "review",
    AttemptState.UNRESOLVED: "review",
}
_AFTER_APPROVAL = {
    AttemptState.CAPTURED: AttemptState.AUTHORIZED,
    AttemptState.CAPTURED_PARTIAL: AttemptState.AUTHORIZED,
}
"""What an attempt ended as before something was done with it."""
_OBJECTIONS = {
    **dict.fromkeys(FRAUD_CODES, "fraudulent"),
    **dict.fromkeys(("12.6.1", "12.6.2", "4834"), "duplicate"),
    **dict.fromkeys(("13.1", "4855"), "product_not_received"),
    **dict.fromkeys(("13.3", "13.4", "13.5", "4853"), "product_unacceptable"),
    **dict.fromkeys(("13.6", "13.7", "4860"), "credit_not_processed"),
    **dict.fromkeys(("13.2", "4841"), "subscription_canceled"),
}
"""What the commonest codes of the networks say where a channel tells nothing but the code; from their public guides."""
_ACTS = (Operation.INCREMENT, Operation.CAPTURE, Operation.VOID)
_OPEN_ACTS = frozenset({ActState.SENT, ActState.PENDING, ActState.UNRESOLVED})


def timeline(story: Story, reader: Reader, part: Part | None = None) -> list[Entry]:
    """Return the story as lines, oldest first; ``part`` keeps those of one part.

    What happened at one instant stands in the order in which it must have happened.
    """
    told = [
        *_payment(story, reader),
        *telling_choices.judged(story, reader),
        *telling_choices.challenges(story, reader),
        *(entry for attempt in story.attempts for entry in _attempt(attempt, story, reader)),
        *(entry for refund in story.refunds for entry in refund_entries(refund, reader)),
        *(entry for dispute in story.disputes for entry in dispute_entries(dispute, reader)),
        *telling_money.booked(story, reader),
        *telling_money.settled(story, reader),
        *telling_money.hooks(story, reader),
    ]
    return sorted((each for each in told if part in (None, each.part)), key=lambda each: each.at)


def _payment(story: Story, reader: Reader) -> Iterator[Entry]:
    intent = story.intent
    line = [reader.t("created_line", amount=reader.money(intent.amount_minor, intent.currency))]
    if intent.merchant_reference:
        line.append(reader.t("order", reference=intent.merchant_reference))
    said = (" · " if not reader.is_chinese else "，").join(line)
    yield Entry(at=intent.created_at, part=Part.PAYMENT, title=reader.t("created"), line=said, glyph="plus")
    if intent.canceled_at is not None:
        why = reader.known(f"because_{intent.cancel_reason}", "") if intent.cancel_reason else ""
        yield Entry(
            at=intent.canceled_at, part=Part.PAYMENT, title=reader.t("canceled"), line=why, glyph="close"
        )


def _attempt(attempt: Attempt, story: Story, reader: Reader) -> Iterator[Entry]:
    yield from telling_choices.routed(attempt, story, reader)
    first = attempt is story.attempts[0]
    amount = reader.money(attempt.amount_minor, attempt.currency)
    kept = story.method
    shown = kept.method if kept is not None and kept.id == attempt.method_id else attempt.method
    yield Entry(
        at=attempt.sent_at,
        part=Part.PAYMENT,
        title=reader.t("tried" if first else "tried_next", channel=attempt.channel),
        line=reader.t("tried_line", amount=amount, method=reader.method(shown)),
        glyph="route",
    )
    ended = _AFTER_APPROVAL.get(attempt.state, attempt.state)
    if ended is not AttemptState.SENT:
        yield Entry(
            at=attempt.ended_at or attempt.sent_at,
            part=Part.PAYMENT,
            title=reader.t(f"ended_{ended}", channel=attempt.channel, amount=_ended_amount(attempt, reader)),
            line=_ended_line(attempt, ended, reader),
            tone=_ended_tone(ended),
            glyph={"ok": "check", "error": "alert", "review": "clock"}.get(_ended_tone(ended), "clock"),
            details=_attempt_facts(attempt, reader),
        )
    yield from (_act(each, attempt, reader) for each in attempt.acts if each.operation in _ACTS)


def _ended_tone(state: AttemptState) -> str:
    return _ENDED_TONES.get(state, "warn")


def _ended_amount(attempt: Attempt, reader: Reader) -> str:
    return reader.money(attempt.authorized_minor or attempt.amount_minor, attempt.currency)


def _ended_line(attempt: Attempt, ended: AttemptState, reader: Reader) -> str:
    if ended is AttemptState.UNRESOLVED:
        return reader.t("ended_unresolved_line")
    if attempt.authentication is not None and attempt.reason is None:
        return reader.t("issuer_knew" if attempt.authentication.is_good else "issuer_unsure")
    return _no(attempt.code, attempt.reason, reader)


def _no(code: str | None, reason: Reason | None, reader: Reader) -> str:
    """Return a channel's no with its code; empty for a yes."""
    if reason is None:
        return ""
    words = reader.why(reason)
    return reader.t("code_line", code=code, words=words) if code else words


def _attempt_facts(attempt: Attempt, reader: Reader) -> Markup:
    authentication = attempt.authentication
    checked = ""
    if authentication is not None:
        parts = (authentication.result.value, authentication.flow or "", authentication.version or "")
        checked = " · ".join(part for part in parts if part)
    return reader.facts(
        (
            ("f_attempt", attempt.reference),
            ("f_channel_reference", attempt.channel_reference),
            ("f_network_reference", attempt.network_reference),
            ("f_approval_code", attempt.approval_code),
            ("f_code", attempt.code),
            ("f_message", attempt.message),
            ("f_authentication", checked),
            ("f_inquiries", attempt.inquiry_count or None),
        )
    )


def _act(act: Act, attempt: Attempt, reader: Reader) -> Entry:
    title = reader.t(f"act_{act.operation}", amount=reader.money(act.amount_minor, attempt.currency))
    tone, line = "ok", ""
    if act.state in _OPEN_ACTS:
        tone, line = "warn", str(reader.t("act_open"))
    elif act.state is ActState.DECLINED:
        tone, line = "error", _no(act.code, act.reason, reader) or str(reader.t("act_declined"))
    glyph = "check" if act.operation is Operation.CAPTURE else "dot"
    return Entry(at=act.sent_at, part=Part.PAYMENT, title=title, line=line, tone=tone, glyph=glyph)


def refund_entries(refund: Refund, reader: Reader) -> Iterator[Entry]:
    """Return what happened to a refund."""
    amount = reader.money(refund.amount_minor, refund.currency)
    href = reader.links.to("refund", refund.reference)
    cause = reader.known(f"cause_{refund.cause or 'none'}", refund.cause or "")
    yield Entry(
        at=refund.sent_at,
        part=Part.PAYMENT,
        title=reader.t("refund_made", amount=amount),
        line=cause,
        glyph="refund",
        href=href,
    )
    ends = {
        RefundState.SUCCEEDED: ("refund_done", "ok"),
        RefundState.FAILED: ("refund_not_done", "error"),
        RefundState.CANCELED: ("refund_dropped", "plain"),
    }
    if refund.state in ends and refund.ended_at is not None:
        key, tone = ends[refund.state]
        failed = refund.state is RefundState.FAILED
        why = _no(refund.code, refund.reason, reader)
        line = f"{why} {reader.t('refund_not_done_line')}".strip() if failed else ""
        yield Entry(
            at=refund.ended_at,
            part=Part.PAYMENT,
            title=reader.t(key, amount=amount),
            line=line,
            tone=tone,
            glyph="refund",
            href=href,
        )


def dispute_entries(dispute: Dispute, reader: Reader) -> Iterator[Entry]:
    """Return what happened to a dispute."""
    amount = reader.money(dispute.amount_minor, dispute.currency)
    href = reader.links.to("dispute", dispute.reference)
    cause = objection(dispute, reader)
    moments = [(dispute.created_at, "dispute_opened", "error")]
    if dispute.evidence_submitted_at is not None:
        moments.append((dispute.evidence_submitted_at, "dispute_answered", "review"))
    if dispute.state in (DisputeState.WON, DisputeState.LOST):
        is_won = dispute.state is DisputeState.WON
        ended = ("dispute_is_won", "ok") if is_won else ("dispute_is_lost", "error")
        moments.append((dispute.updated_at, *ended))
    for at, key, tone in moments:
        yield Entry(
            at=at,
            part=Part.PAYMENT,
            title=reader.t(key, amount=amount),
            line=reader.t("dispute_line", cause=cause) if key == "dispute_opened" else "",
            tone=tone,
            glyph="flag",
            href=href,
        )


def objection(dispute: Dispute, reader: Reader) -> str:
    """Return what the payer says, with the network's code where it gave one."""
    code = dispute.network_reason_code
    cause = _OBJECTIONS.get(code or "", dispute.cause) if dispute.cause == "general" else dispute.cause
    words = reader.known(f"objection_{cause}", cause)
    return f"{words} ({code})" if code else str(words)
