"""The bill as it is read: its table, what an address asks of it, and the way of one payment's money. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from uuid import UUID

from markupsafe import Markup

from tongbao.clearing.schema.batches import BATCH_PREFIX
from tongbao.clearing.schema.bills import BillFilter, BillLine, BillTotal, MoneyState
from tongbao.clearing.schema.movements import KIND_NAMES
from tongbao.clearing.schema.tracing import Next, Place, Stage, Trace, TraceStep
from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.payments.schema.intents import Intent
from tongbao.web.merchant.office import Office
from tongbao.web.merchant.payments_view import METHODS
from tongbao.web.merchant.settlements_view import movement_cells
from tongbao.web.stories.entries import Entry, Part
from tongbao.web.ui.money import plain_amount
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table

KINDS = {name: kind for kind, name in KIND_NAMES.items()}
TONES: Mapping[str, str] = {"paid": "ok", "failed": "error", "sent": "warn", "approved": "warn"}
STAGE_TONES = {
    Stage.PAYOUT_PAID: "ok",
    Stage.STATED: "ok",
    Stage.FAILED: "error",
    Stage.PAYOUT_REJECTED: "error",
    Stage.PAYOUT_RETURNED: "error",
}
PAGES = {"bat": "/settlements/", "po": "/payouts/", "pi": "/payments/", "re": "/refunds/", "dp": "/disputes/"}


def table(office: Office, currencies: list[str]) -> Table:
    """Return what the table is."""
    t = office.t
    kinds = tuple((name, str(t(f"kind_{name}"))) for name in KINDS)
    states = tuple((each.value, str(t(f"money_{each}"))) for each in MoneyState)
    methods = tuple((each, str(office.reader.method_kind(each))) for each in METHODS)
    filters = [
        Filter("kind", str(t("c_kind")), kinds),
        Filter("state", str(t("c_money_state")), states),
        Filter("method", str(t("c_method")), methods),
        Filter("from", str(t("from_day")), kind="date"),
        Filter("to", str(t("to_day")), kind="date"),
    ]
    if len(currencies) > 1:
        filters.append(Filter("currency", str(t("c_currency")), tuple((each, each) for each in currencies)))
    return Table(
        "bill",
        str(t("bill")),
        (
            Column("at", str(t("c_at")), fixed=True),
            Column("kind", str(t("c_kind"))),
            Column("amount", str(t("c_amount")), number=True),
            Column("fee", str(t("c_fee")), number=True),
            Column("net", str(t("c_net")), number=True),
            Column("state", str(t("c_money_state"))),
            Column("expected", str(t("c_expected"))),
            Column("payment", str(t("c_payment"))),
            Column("method", str(t("c_method"))),
            Column("batch", str(t("c_batch")), shown=False),
            Column("channel", str(t("c_channel")), shown=False),
            Column("store", str(t("c_store")), shown=False),
            Column("currency", str(t("c_currency")), shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        tuple(filters),
        search=str(t("bill_search")),
    )


def asked(query: Query, office: Office) -> BillFilter:
    """Return which movements an address asks for; what cannot be read of it is passed over."""
    given = query.filters
    start, end = office.moment(given.get("from", "")), office.moment(given.get("to", ""), days=1)
    if start is not None and end is not None and start >= end:
        end = None
    return BillFilter(
        from_at=start,
        until_at=end,
        kinds=(KINDS[given["kind"]],) if "kind" in given else (),
        states=(MoneyState(given["state"]),) if "state" in given else (),
        methods=(given["method"],) if "method" in given else (),
        currencies=(given["currency"],) if "currency" in given else (),
        intent_id=payment_of(query.q),
    )


def payment_of(text: str) -> UUID | None:
    """Return the payment that a word names; None for what is no id of a payment."""
    try:
        return parse_uuid(Intent.PREFIX, text) if text else None
    except ValueError:
        return None


def row(line: BillLine, office: Office) -> Row:
    """Return a movement as a row."""
    where = line.where
    cells = movement_cells(line, office)
    reference = uuid_text(BATCH_PREFIX, where.batch_id) if where.batch_id is not None else ""
    more: dict[str, str | Markup] = {
        "state": office.tag(f"money_{where.state}", TONES.get(where.state, "plain")),
        "expected": _when(line, office),
        "batch": office.link(f"/settlements/{reference}", office.t("its_batch")) if reference else "",
        "currency": line.movement.currency,
    }
    return Row(cells | more)


def plain(line: BillLine, office: Office) -> dict[str, str]:
    """Return a movement as a row of a file; what is estimated says so."""
    movement, cost, where = line.movement, line.cost, line.where
    money = {"amount": plain_amount(movement.amount_minor, movement.currency)}
    if cost is not None:
        money["fee"] = plain_amount(cost.fee_minor, movement.currency)
        money["net"] = plain_amount(cost.net_minor, movement.currency)
    payment = uuid_text(Intent.PREFIX, movement.intent_id) if movement.intent_id is not None else ""
    return money | {
        "at": office.written(movement.occurred_at),
        "kind": str(office.t(f"kind_{KIND_NAMES[movement.kind]}")),
        "state": str(office.t(f"money_{where.state}")),
        "expected": str(_when(line, office)),
        "payment": payment,
        "method": str(office.reader.method_kind(movement.method)) if movement.method else "",
        "batch": uuid_text(BATCH_PREFIX, where.batch_id) if where.batch_id is not None else "",
        "channel": movement.channel,
        "store": movement.store,
        "currency": movement.currency,
        "id": movement.text_id,
    }


def totals(found: tuple[BillTotal, ...], office: Office) -> list[tuple[str, ...]]:
    """Return the sums of a bill, one line a currency; estimated ones are marked."""
    rows: list[tuple[str, ...]] = []
    for each in found:
        about = "~" if each.estimated_count else ""
        rows.append(
            (
                each.currency,
                office.ui.count(each.count),
                office.ui.money(each.amount_minor, each.currency),
                about + office.ui.money(each.fee_minor, each.currency),
                about + office.ui.money(each.reserve_minor, each.currency),
                about + office.ui.money(each.net_minor, each.currency),
            )
        )
    return rows


def way(trace: Trace, office: Office) -> list[Entry | Mapping[str, object]]:
    """Return the way of money as a timeline: what happened, oldest first, then what comes next."""
    found: list[Entry | Mapping[str, object] | None] = [_step(step, office) for step in trace.steps]
    found += [_to_come(place, office) for place in trace.places]
    return [entry for entry in found if entry is not None]


def _step(step: TraceStep, office: Office) -> Entry | None:
    at = step.at or (None if step.on is None else datetime.combine(step.on, time(), UTC))
    if at is None:
        return None
    prefix = step.reference.rpartition("_")[0]
    href = office.to(PAGES[prefix] + step.reference) if prefix in PAGES else ""
    title = (
        office.t("way_created")
        if step.stage is Stage.CREATED
        else office.reader.t(f"stage_{step.stage}", channel=step.facts.get("channel", ""))
    )
    return Entry(
        at=at,
        part=Part.MONEY,
        title=title,
        line=_line(step, office),
        tone=STAGE_TONES.get(step.stage, "plain"),
        glyph="card" if step.stage is Stage.CREATED else "bank",
        href=href,
    )


def _line(step: TraceStep, office: Office) -> str:
    currency = step.facts.get("currency", "")
    return office.ui.money(step.amount_minor, currency) if step.amount_minor and currency else ""


def _to_come(place: Place, office: Office) -> Mapping[str, object] | None:
    """Return what happens next to money in one place, which has no instant yet; None where nothing does."""
    if place.next is Next.DONE:
        return None
    line: str | Markup = ""
    if place.next_at is not None:
        line = office.t("next_at", at=office.written(place.next_at))
    elif place.next_on is not None:
        line = office.t("next_on", day=office.day(place.next_on))
    return {
        "at": None,
        "title": office.t(f"next_{place.next}"),
        "line": line,
        "glyph": "clock",
        "tone": "review",
    }


def _when(line: BillLine, office: Office) -> str | Markup:
    """Return when the money of a movement comes, or came."""
    where = line.where
    if where.paid_at is not None:
        return office.written(where.paid_at, "day")
    if where.state is MoneyState.CARRIED:
        return ""
    return office.day(where.payout_on)
