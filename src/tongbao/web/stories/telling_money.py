"""Where a payment's money went, told: the lines of the ledger, the way to the merchant's bank, and who was told of it. Pure."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from itertools import groupby
from urllib.parse import urlsplit

from markupsafe import Markup

from tongbao.clearing.schema.tracing import Stage, TraceStep
from tongbao.core.ids import uuid_text
from tongbao.ledger.schema import TRANSFER_PREFIX
from tongbao.payments.schema.webhooks import DeliveryState
from tongbao.web.locale import ledger as ledger_words
from tongbao.web.stories.entries import Entry, Part
from tongbao.web.stories.payment_story import Hook, LedgerLine, Story
from tongbao.web.stories.reader import Reader

_STAGE_TONES = {
    Stage.PAYOUT_PAID: "ok",
    Stage.STATED: "ok",
    Stage.FAILED: "error",
    Stage.PAYOUT_REJECTED: "error",
    Stage.PAYOUT_RETURNED: "error",
}
HOOK_TONES = {
    DeliveryState.DELIVERED: "ok",
    DeliveryState.DEAD: "error",
    DeliveryState.PENDING: "warn",
    DeliveryState.SENDING: "warn",
}


def booked(story: Story, reader: Reader) -> Iterator[Entry]:
    """Return the lines of the ledger, those that were booked at one instant together."""
    for at, group in groupby(story.ledger, key=lambda line: line.row.recorded_at):
        lines = list(group)
        words = dict.fromkeys(str(transfer_words(line.row.code, reader)) for line in lines)
        yield Entry(
            at=at,
            part=Part.MONEY,
            title=reader.t("booked", what=("、" if reader.is_chinese else ", ").join(words)),
            glyph="book",
            details=ledger_table(lines, reader),
        )


def transfer_words(code: str, reader: Reader) -> str | Markup:
    """Return what a transfer of a payment is; the code itself where it is unknown here."""
    return reader.known(f"t_{code.replace('.', '_')}", code)


def ledger_table(lines: Sequence[LedgerLine], reader: Reader) -> Markup:
    """Return lines of the ledger as a table: what, from which account to which, how much."""
    rows = []
    for line in lines:
        debited, credited = (
            ledger_words.account_name(each.name, reader.language) for each in (line.debited, line.credited)
        )
        amount = reader.money(line.row.amount_minor, line.debited.asset)
        key = uuid_text(TRANSFER_PREFIX, line.row.key)
        what: str | Markup = transfer_words(line.row.code, reader)
        if href := reader.links.to("transfer", key):
            what = Markup('<a href="{}">{}</a>').format(href, what)
        rows.append(
            Markup('<tr><th scope="row">{}</th><td>{}</td><td>{}</td><td class="num">{}</td></tr>').format(
                what, debited, credited, amount
            )
        )
    heads = Markup().join(
        Markup('<th scope="col"{}>{}</th>').format(
            Markup(' class="num"') if key == "amount" else "", reader.t(key)
        )
        for key in ("transfer", "account_from", "account_to", "amount")
    )
    label = reader.t("transfer")
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{0}"><table class="plain">'
        '<caption class="vh">{0}</caption><thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>'
    ).format(label, heads, Markup().join(rows))


def settled(story: Story, reader: Reader) -> Iterator[Entry]:
    """Return the way of the money from its capture to the merchant's bank, as far as it has gone."""
    for step in story.trace.steps if story.trace is not None else ():
        at = step.at or (None if step.on is None else datetime.combine(step.on, time(), UTC))
        if step.stage is Stage.CREATED or at is None:
            continue
        yield Entry(
            at=at,
            part=Part.MONEY,
            title=reader.t(f"stage_{step.stage}", channel=step.facts.get("channel", "")),
            line=_stage_line(step, reader),
            tone=_STAGE_TONES.get(step.stage, "plain"),
            glyph="bank",
            href=_stage_href(step, reader),
        )


def hooks(story: Story, reader: Reader) -> Iterator[Entry]:
    """Return how each event about the payment reached each address."""
    for hook in story.hooks:
        delivery = hook.delivery
        yield Entry(
            at=delivery.ended_at or delivery.occurred_at,
            part=Part.WEBHOOK,
            title=reader.t(f"hook_{delivery.state}", type=breakable(delivery.type)),
            line=reader.t(
                "hook_line", host=host_of(hook) or reader.t("hook_gone"), count=delivery.attempt_count
            ),
            tone=HOOK_TONES[delivery.state],
            glyph="webhook",
            href=reader.links.to("endpoint", hook.endpoint.reference) if hook.endpoint else "",
        )


def breakable(text: str) -> Markup:
    """Return a long name with places at which a narrow page may break it."""
    return Markup("<wbr>").join(re.split(r"(?<=[._])", text))


def host_of(hook: Hook) -> str:
    """Return where a delivery goes, without paths that may be secret; empty where the endpoint is gone."""
    return "" if hook.endpoint is None else urlsplit(hook.endpoint.url).hostname or ""


def _stage_line(step: TraceStep, reader: Reader) -> str:
    facts = step.facts
    if step.stage is Stage.MOVED and "fee_minor" in facts:
        currency = facts["currency"]
        key = "stage_moved_estimate" if facts.get("is_estimated") == "true" else "stage_moved_line"
        fee, net = (reader.money(int(facts[name]), currency) for name in ("fee_minor", "net_minor"))
        return reader.t(key, fee=fee, net=net)
    return ""


def _stage_href(step: TraceStep, reader: Reader) -> str:
    kinds = {"bat": "batch", "po": "payout"}
    kind = kinds.get(step.reference.partition("_")[0])
    return reader.links.to(kind, step.reference) if kind else ""
