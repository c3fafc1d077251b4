"""Settlement batches as they are read: lists by state, the way from gross to net, who did what. Pure."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.core import currencies
from tongbao.web.ops.money_desk import Desk, book_text
from tongbao.web.ui import money
from tongbao.web.ui.charts_bars import Part, waterfall
from tongbao.web.ui.figure import Axis, Figure
from tongbao.web.ui.tables import Column, Filter, Row, Table

PATH = "/ops/batches"
STATES = tuple(
    each.value
    for each in (
        *(BatchState.PRICED, BatchState.FAILED, BatchState.APPROVED, BatchState.CUT),
        *(BatchState.PAID, BatchState.RECONCILED),
    )
)
"""In the order in which they are looked at: what waits for people first."""
FALLS = (
    *("gross", "refunds", "disputes", "adjustments", "fees", "reserve_held", "reserve_released", "brought"),
)


def table(desk: Desk) -> Table:
    """Return what the list is."""
    t = desk.t
    return Table(
        "batches",
        str(t("batches")),
        (
            Column("net", str(t("c_to_pay")), number=True, fixed=True),
            Column("merchant", str(t("c_merchant"))),
            Column("state", str(t("c_state"))),
            Column("on", str(t("c_pay_on"))),
            Column("count", str(t("c_payments")), number=True),
            Column("fees", str(t("c_fees")), number=True),
            Column("cut", str(t("c_cut"))),
            Column("approvals", str(t("c_approvals"))),
            Column("id", str(t("c_id")), shown=False),
        ),
        (
            Filter("mode", str(t("c_mode")), (("live", str(t("live_mode"))), ("test", str(t("test_mode"))))),
            Filter("currency", str(t("c_currency")), kind="text"),
        ),
    )


def address(batch: Batch) -> str:
    """Return where a batch is looked at."""
    return f"{PATH}/{book_text(batch.book_id)}/{batch.reference}"


def rows(batches: Sequence[Batch], desk: Desk, names: Mapping[int, str]) -> list[Row]:
    """Return batches as rows; the amount leads to the batch."""
    found = []
    for batch in batches:
        cells: dict[str, str | Markup] = dict(plain_row(batch, desk, names))
        cells["net"] = desk.link(address(batch), desk.ui.money(to_pay(batch), batch.currency)) + desk.mode(
            batch.live
        )
        cells["merchant"] = desk.book(batch.book_id, names)
        cells["state"] = desk.tag("batch", batch.state.value)
        cells["fees"] = desk.ui.money(batch.totals.fees_minor, batch.currency)
        cells["id"] = Markup('<code class="mono">{}</code>').format(batch.reference)
        found.append(Row(cells))
    return found


def plain_row(batch: Batch, desk: Desk, names: Mapping[int, str]) -> dict[str, str]:
    """Return a batch as a row of a file."""
    return {
        "net": money.plain_amount(to_pay(batch), batch.currency),
        "merchant": names.get(batch.book_id, ""),
        "state": str(desk.t(f"batch_{batch.state}")),
        "on": str(batch.payout_on),
        "count": desk.ui.count(batch.totals.count),
        "fees": money.plain_amount(batch.totals.fees_minor, batch.currency),
        "cut": desk.ui.when(batch.cut_at, "minute"),
        "approvals": approvals(batch, desk),
        "id": batch.reference,
    }


def to_pay(batch: Batch) -> int:
    """Return what goes to the merchant; of a batch that is not priced yet what it comes to so far."""
    is_priced = batch.state not in {BatchState.OPEN, BatchState.CUT}
    return batch.paid_minor if is_priced else batch.totals.net_minor


def approvals(batch: Batch, desk: Desk) -> str:
    """Return how many people approved a batch, of how many."""
    if batch.state not in {BatchState.PRICED, BatchState.FAILED}:
        return str(desk.t("done"))
    needed = 2 if batch.needs_two else 1
    return str(desk.t("approved_of", n=len(batch.approvals), of=needed))


def fall(batch: Batch, desk: Desk) -> Figure:
    """Return the way from gross to net as a waterfall; steps of nothing are left out."""
    parts = [
        Part(str(desk.t(f"fall_{name}")), amount, total=name == "gross")
        for name in FALLS
        if (amount := getattr(batch.totals, f"{name}_minor")) or name == "gross"
    ]
    parts.append(Part(str(desk.t("fall_net")), batch.totals.net_minor, total=True))
    axis = Axis(
        str(desk.t("fall_caption")),
        str(desk.t("c_step")),
        lambda minor: desk.ui.money(int(minor), batch.currency),
    )
    return waterfall(parts, axis, (str(desk.t("c_change")), str(desk.t("c_after"))))


def facts(batch: Batch, desk: Desk, names: Mapping[int, str]) -> list[tuple[Markup, object]]:
    """Return what a batch is."""
    t, ui = desk.t, desk.ui
    found: list[tuple[Markup, object]] = [
        (t("c_merchant"), desk.book(batch.book_id, names)),
        (t("c_to_pay"), ui.money(batch.paid_minor, batch.currency)),
        (t("c_pay_on"), str(batch.payout_on)),
        (t("c_cut"), ui.when(batch.cut_at, "minute")),
        (t("c_payments"), ui.count(batch.totals.count)),
        (t("c_currency"), f"{batch.currency} · {currencies.currency(batch.currency).exponent}"),
        (t("c_prices"), f"{batch.schedule} v{batch.schedule_version}" if batch.schedule else "—"),
        (t("c_approvals"), approvals(batch, desk)),
    ]
    if batch.carried_minor:
        found.append((t("c_carried"), ui.money(batch.carried_minor, batch.currency)))
    return [each for each in found if each[0] != t("c_currency")]


def costs(batch: Batch, desk: Desk) -> list[tuple[Markup, str]]:
    """Return what only the house sees: what channels and agents cost, and what is left of the fees."""
    totals, t = batch.totals, desk.t
    margin = -totals.fees_minor - totals.tax_minor - totals.cost_minor - totals.agent_minor
    lines = (
        ("c_fees", -totals.fees_minor),
        ("c_tax", -totals.tax_minor),
        ("c_channel_cost", -totals.cost_minor),
        ("c_agents", -totals.agent_minor),
        ("c_margin", margin),
    )
    return [(t(key), desk.ui.money(minor, batch.currency)) for key, minor in lines]


def history(batch: Batch, desk: Desk) -> list[dict[str, object]]:
    """Return what was done with a batch, newest first."""
    tones = {"failed": "error", "paid": "ok", "reconciled": "ok", "approved": "ok"}
    return [
        {
            "at": step.at,
            "title": desk.t(f"batch_{step.state}"),
            "who": desk.who(step.actor),
            "line": step.note,
            "tone": tones.get(step.state.value, "plain"),
            "glyph": {"ok": "check", "error": "alert"}.get(tones.get(step.state.value, ""), "dot"),
        }
        for step in reversed(batch.history)
    ]
