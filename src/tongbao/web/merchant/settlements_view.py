"""Settlements as they are read: how batches stand, the way from gross to net, fees by their part. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from tongbao.clearing.schema.batches import Batch, BatchState, Step, Totals
from tongbao.clearing.schema.bills import BillLine, BillTotal
from tongbao.clearing.schema.fees import Bearer
from tongbao.clearing.schema.movements import KIND_NAMES, PricedMovement
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.intents import Intent
from tongbao.web.merchant.office import Office
from tongbao.web.merchant.payments_view import named
from tongbao.web.merchant.portal import short
from tongbao.web.stories.entries import Entry, Part
from tongbao.web.ui import charts_bars, figure
from tongbao.web.ui.figure import Axis
from tongbao.web.ui.money import plain_amount
from tongbao.web.ui.tables import Column, Filter, Row, Table

STEPS = (
    "gross",
    "refunds",
    "disputes",
    "adjustments",
    "fees",
    "reserve_held",
    "reserve_released",
    "brought",
)
"""From gross to net, in the order in which they are drawn."""
ALWAYS = frozenset({"gross", "fees"})
"""Steps that are drawn also where they are nothing."""
TONES: Mapping[BatchState, str] = {
    BatchState.PAID: "ok",
    BatchState.RECONCILED: "ok",
    BatchState.FAILED: "error",
    BatchState.PRICED: "warn",
    BatchState.CUT: "warn",
}
GLYPHS = {BatchState.PAID: "bank", BatchState.FAILED: "alert", BatchState.RECONCILED: "check"}
MONEY_TONES = {"paid": "ok", "failed": "error", "carried": "plain", "waiting": "plain"}
Amounts = Mapping[str, int]


def state(batch: Batch, office: Office) -> Markup:
    """Return how a batch stands, as a tag."""
    return office.tag(f"batch_{batch.state}", TONES.get(batch.state, "plain"))


def amounts(totals: Totals) -> Amounts:
    """Return the steps of a batch, minor units."""
    return {step: getattr(totals, f"{step}_minor") for step in STEPS}


def running(total: BillTotal | None, carried_minor: int) -> Amounts:
    """Return the steps of what waits for its cut, minor units; fees and reserve are estimates."""
    if total is None:
        return {"brought": carried_minor}
    return {
        "gross": total.sales_minor,
        "refunds": total.refunds_minor,
        "disputes": total.disputes_minor,
        "adjustments": total.adjustments_minor,
        "fees": -total.fee_minor,
        "reserve_held": -total.reserve_minor,
        "brought": carried_minor,
    }


def waterfall(steps: Amounts, currency: str, office: Office, caption: str) -> figure.Figure:
    """Return the way from gross to net as a drawing with its table."""
    parts = []
    for step in STEPS:
        amount = steps.get(step, 0)
        if amount or step in ALWAYS:
            parts.append(charts_bars.Part(str(office.t(f"step_{step}")), amount, total=step == "gross"))
    net = sum(steps.values())
    parts.append(charts_bars.Part(str(office.t("step_net")), net, total=True))
    axis = Axis(caption, str(office.t("c_step")), lambda value: office.ui.money(round(value), currency))
    return charts_bars.waterfall(parts, axis, (str(office.t("c_change")), str(office.t("c_after"))))


def batches_table(office: Office) -> Table:
    """Return what the list of batches is."""
    t = office.t
    states = tuple(
        (each.value, str(t(f"batch_{each}"))) for each in BatchState if each is not BatchState.OPEN
    )
    return Table(
        "batches",
        str(t("batches")),
        (
            Column("cut", str(t("c_cut")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("payout_on", str(t("c_payout_on"))),
            Column("count", str(t("c_count")), number=True),
            Column("gross", str(t("c_gross")), number=True),
            Column("fees", str(t("c_fees")), number=True),
            Column("net", str(t("c_net")), number=True),
            Column("paid", str(t("c_paid")), number=True),
            Column("carried", str(t("c_carried")), number=True, shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        (Filter("state", str(t("c_state")), states),),
    )


def batch_row(batch: Batch, office: Office) -> Row:
    """Return a batch as a row; its cut leads to it."""
    totals, is_priced = batch.totals, batch.state is not BatchState.CUT

    def money(minor: int) -> str:
        return office.ui.money(minor, batch.currency) if is_priced else ""

    return Row(
        {
            "cut": office.link(f"/settlements/{batch.reference}", office.written(batch.cut_at)),
            "state": state(batch, office),
            "payout_on": office.day(batch.payout_on),
            "count": office.ui.count(totals.count) if is_priced else "",
            "gross": money(totals.gross_minor),
            "fees": money(totals.fees_minor),
            "net": money(totals.net_minor),
            "paid": money(batch.paid_minor),
            "carried": money(batch.carried_minor) if batch.carried_minor else "",
            "id": Markup('<code class="mono">{}</code>').format(batch.reference),
        }
    )


def batch_plain(batch: Batch, office: Office) -> dict[str, str]:
    """Return a batch as a row of a file."""
    amount = {
        "gross": batch.totals.gross_minor,
        "fees": batch.totals.fees_minor,
        "net": batch.totals.net_minor,
        "paid": batch.paid_minor,
        "carried": batch.carried_minor,
    }
    return {
        "cut": office.written(batch.cut_at),
        "state": str(office.t(f"batch_{batch.state}")),
        "payout_on": office.day(batch.payout_on),
        "count": str(batch.totals.count),
        "id": batch.reference,
    } | {key: plain_amount(minor, batch.currency) for key, minor in amount.items()}


def history(batch: Batch, office: Office) -> list[Entry]:
    """Return what happened to a batch, oldest first."""
    return [_moved(step, batch, office) for step in batch.history]


def fees(
    found: Iterable[PricedMovement], currency: str, office: Office
) -> list[tuple[str | Markup, str, str, str]]:
    """Return the charges of movements that the merchant bears, by their part: how many, how much, the tax in it."""
    counts: dict[str, int] = defaultdict(int)
    sums: dict[str, int] = defaultdict(int)
    taxes: dict[str, int] = defaultdict(int)
    for priced in found:
        for part in priced.parts:
            if part.bearer is Bearer.MERCHANT:
                counts[part.name] += 1
                sums[part.name] += part.amount_minor
                taxes[part.name] += part.tax_minor
    return [
        (
            office.known(f"charge_{name}", name.replace("_", " ").capitalize()),
            office.ui.count(counts[name]),
            office.ui.money(taxes[name], currency),
            office.ui.money(minor, currency),
        )
        for name, minor in sorted(sums.items(), key=lambda each: -abs(each[1]))
    ]


def movement_cells(line: BillLine, office: Office) -> dict[str, str | Markup]:
    """Return a movement as the cells that bills and batches show."""
    movement, cost = line.movement, line.cost
    currency = movement.currency
    payment: str | Markup = ""
    if movement.intent_id is not None:
        reference = uuid_text(Intent.PREFIX, movement.intent_id)
        payment = office.link(
            f"/payments/{reference}", Markup('<span class="mono">{}</span>').format(short(reference))
        )
    method = office.reader.method_kind(movement.method) if movement.method else ""
    cells: dict[str, str | Markup] = {
        "at": office.written(movement.occurred_at),
        "kind": office.t(f"kind_{KIND_NAMES[movement.kind]}"),
        "payment": payment,
        "method": method,
        "channel": movement.channel,
        "store": named(movement.store),
        "amount": office.ui.money(movement.amount_minor, currency),
        "id": Markup('<code class="mono">{}</code>').format(movement.text_id),
    }
    if cost is not None:
        about = "~" if cost.is_estimated else ""
        cells["fee"] = about + office.ui.money(cost.fee_minor, currency)
        cells["net"] = about + office.ui.money(cost.net_minor, currency)
    return cells


def movements(lines: Sequence[BillLine], office: Office) -> list[tuple[str | Markup, ...]]:
    """Return the movements of a batch as rows of a plain table."""
    keys = ("at", "kind", "payment", "method", "amount", "fee", "net")
    found = [movement_cells(line, office) for line in lines]
    return [tuple(cells.get(key, "") for key in keys) for cells in found]


def movement_heads(office: Office) -> tuple[str | tuple[str, str], ...]:
    """Return the heads of that table."""
    words = {key: str(office.t(f"c_{key}")) for key in ("at", "kind", "payment", "method")}
    numbers = ((str(office.t(f"c_{key}")), "num") for key in ("amount", "fee", "net"))
    return (*words.values(), *numbers)


def _moved(step: Step, batch: Batch, office: Office) -> Entry:
    approved = step.state is BatchState.APPROVED and not step.actor.startswith("job:")
    return Entry(
        at=step.at,
        part=Part.MONEY,
        title=office.t(f"batch_is_{step.state}"),
        line=office.t("approved_by_people", count=len(batch.approvals)) if approved else "",
        tone=TONES.get(step.state, "plain") if step.state is batch.state else "plain",
        glyph=GLYPHS.get(step.state, "dot"),
    )
