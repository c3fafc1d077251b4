"""One payment as its page shows it: the figures beside the story, and what may be done with it now. Pure."""

from typing import NamedTuple

from markupsafe import Markup

from tongbao.channels.schema import Card
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import CUSTOMER_PREFIX, Permission
from tongbao.payments.schema.attempts import PAID
from tongbao.payments.schema.intents import CONFIRMABLE, IntentState
from tongbao.payments.schema.webhooks import DeliveryState
from tongbao.web.merchant.payments_view import named, tag, what_of
from tongbao.web.merchant.portal import Desk
from tongbao.web.stories import standing, telling, telling_money
from tongbao.web.stories.entries import Entry, Part
from tongbao.web.stories.payment_story import Hook, Story

Pair = tuple[str | Markup, str | Markup]
RESENDABLE = frozenset({DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.PENDING})


class Act(NamedTuple):
    """Something that may be done with a payment now: its key, and how much of it, minor units."""

    key: str
    most_minor: int


class HookRow(NamedTuple):
    """A webhook as the page lists it; ``form`` is what sends it again, empty where that makes no sense."""

    type: str
    host: str
    state: Markup
    at: Markup
    tries: int
    event: str
    endpoint: str
    can_resend: bool


def acts(story: Story, desk: Desk) -> list[Act]:
    """Return what the visitor may do with a payment as it stands, the likeliest first."""
    intent, found = story.intent, []
    if intent.state is IntentState.REQUIRES_CAPTURE and desk.visitor.may(Permission.PAYMENTS_WRITE):
        found.append(Act("capture", intent.amount_capturable_minor))
    refundable = refundable_minor(story)
    is_disputed = any(each.disputed_minor for each in story.attempts)
    if refundable and not is_disputed and desk.visitor.may(Permission.REFUNDS_WRITE):
        found.append(Act("refund", refundable))
    is_open = intent.state in CONFIRMABLE or intent.state is IntentState.REQUIRES_CAPTURE
    if is_open and desk.visitor.may(Permission.PAYMENTS_WRITE):
        found.append(Act("cancel", intent.amount_minor))
    return found


def refundable_minor(story: Story) -> int:
    """Return what may still be given back."""
    paid = story.paid_by
    return paid.refundable_minor if paid is not None and paid.state in PAID else 0


def about(story: Story, desk: Desk) -> list[Pair]:
    """Return what is known of a payment, without what is not."""
    intent, t = story.intent, desk.t
    customer = story.customer
    payer: str | Markup = named(intent.receipt_email)
    if intent.customer_id is not None:
        reference = uuid_text(CUSTOMER_PREFIX, intent.customer_id)
        name = (customer and (customer.name or customer.email)) or intent.receipt_email or reference
        payer = Markup('<a href="{}">{}</a>').format(desk.to(f"/customers/{reference}"), named(name))
    shown = story.method.method if story.method is not None else None
    tried = story.attempts[-1].method if story.attempts else shown
    method = desk.reader.method(shown or tried) if (shown or tried) else ""
    if isinstance(shown, Card):
        expiry = desk.reader.t("card_expires", month=f"{shown.exp_month:02}", year=shown.exp_year)
        method = Markup("{}<br>{}").format(method, expiry)
    pairs: list[Pair] = [
        (t("c_payer"), payer),
        (t("c_what"), named(what_of(intent))),
        (t("c_method"), method),
        (t("c_created"), desk.when(intent.created_at)),
    ]
    pairs += [(named(key), named(value)) for key, value in sorted(intent.metadata.items())]
    return [pair for pair in pairs if pair[1]]


def money(story: Story, desk: Desk) -> list[Pair]:
    """Return what became of the money: taken, given back, fees, what is left and when it comes."""
    intent, t = story.intent, desk.t
    amounts = [
        ("m_captured", intent.amount_received_minor),
        ("m_capturable", intent.amount_capturable_minor),
        ("m_refunded", -intent.amount_refunded_minor),
        ("m_disputed", -sum(each.disputed_minor for each in story.attempts)),
    ]
    pairs: list[Pair] = [(t(key), desk.ui.money(minor, intent.currency)) for key, minor in amounts if minor]
    costs = [line.cost for line in story.bill if line.cost is not None]
    if costs:
        estimated = any(cost.is_estimated for cost in costs)
        fee, net = sum(cost.fee_minor for cost in costs), sum(cost.net_minor for cost in costs)
        pairs.append((t("m_fee_estimated" if estimated else "m_fee"), desk.ui.money(-fee, intent.currency)))
        pairs.append((t("m_net"), desk.ui.money(net, intent.currency)))
    return pairs


def whereabouts(story: Story, desk: Desk) -> str:
    """Return where the money is, in one sentence; empty where none was taken."""
    if story.trace is None or not story.intent.amount_received_minor:
        return ""
    return story.trace.sentences.get(desk.language, "")


def entries(story: Story, desk: Desk, part: str) -> list[Entry]:
    """Return the story, or one part of it."""
    wanted = Part(part) if part in set(Part) else None
    return telling.timeline(story, desk.reader, wanted)


def parts(story: Story, desk: Desk, reference: str) -> list[tuple[str, str, str, int]]:
    """Return the parts of a story as tabs with their counts."""
    told = telling.timeline(story, desk.reader)
    counts = {"": len(told)} | {part.value: sum(each.part is part for each in told) for part in Part}
    path = f"/payments/{reference}"
    return [
        (key, str(desk.t(f"part_{key or 'all'}")), desk.to(path, **({"show": key} if key else {})), count)
        for key, count in counts.items()
        if count or not key
    ]


def hooks(story: Story, desk: Desk) -> list[HookRow]:
    """Return the webhooks of a payment, newest first."""
    can_send = desk.visitor.may(Permission.WEBHOOKS_WRITE)
    return [_hook(each, desk, can_send=can_send) for each in reversed(story.hooks)]


def _hook(hook: Hook, desk: Desk, *, can_send: bool) -> HookRow:
    delivery, endpoint = hook.delivery, hook.endpoint
    tone = telling_money.HOOK_TONES[delivery.state]
    return HookRow(
        type=delivery.type,
        host=telling_money.host_of(hook) or str(desk.reader.t("hook_gone")),
        state=Markup('<span class="tag {}">{}</span>').format(tone, desk.t(f"delivery_{delivery.state}")),
        at=desk.when(delivery.ended_at or delivery.occurred_at),
        tries=delivery.attempt_count,
        event=uuid_text("evt", delivery.event_id),
        endpoint="" if endpoint is None else endpoint.reference,
        can_resend=can_send and endpoint is not None and delivery.state in RESENDABLE,
    )


def state(story: Story, desk: Desk) -> Markup:
    """Return how the payment stands, as a tag."""
    return tag(
        *standing.of_payment(story.intent, story.attempts[-1] if story.attempts else None), desk.reader
    )


def documents(story: Story, desk: Desk) -> list[Pair]:
    """Return refunds and disputes: what leads there, how much and how it stands."""
    t, ui, reader = desk.t, desk.ui, desk.reader
    found: list[tuple[str, Markup, str, Markup]] = [
        (
            f"/refunds/{each.reference}",
            t("refund"),
            ui.money(-each.amount_minor, each.currency),
            tag(*standing.of_refund(each), reader),
        )
        for each in story.refunds
    ]
    found += [
        (
            f"/disputes/{each.reference}",
            t("dispute"),
            ui.money(-each.amount_minor, each.currency),
            tag(*standing.of_dispute(each), reader),
        )
        for each in story.disputes
    ]
    return [
        (
            Markup('<a href="{}">{}</a>').format(desk.to(path), words),
            Markup("{} {}").format(amount, state),
        )
        for path, words, amount, state in found
    ]
