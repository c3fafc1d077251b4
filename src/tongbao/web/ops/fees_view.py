"""Price lists as they are read: versions, what one changes, what a past time would have cost by it. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from tongbao.clearing.schema.schedules import (
    ScheduleState,
    ScheduleVersion,
    SimulatedLine,
    Simulation,
    Sums,
)
from tongbao.web.ops.money_desk import Desk
from tongbao.web.ui.charts_bars import bars
from tongbao.web.ui.figure import Axis, Figure

PATH = "/ops/fees"
Cells = tuple[str | Markup, ...]
OWN_LISTS = frozenset({"house", "house_agents", "house_costs"})


def address(version: ScheduleVersion, act: str = "") -> str:
    """Return where a version is looked at, or where an act of it is sent; a list's name may hold slashes."""
    return f"{PATH}/{version.version}{act}?list={version.name}"


def versions(found: Sequence[ScheduleVersion], now: datetime, desk: Desk) -> list[Cells]:
    """Return versions as rows, newest first; the number leads to the version."""
    in_force = holding(found, now)
    return [
        (
            desk.link(address(each), desk.t("version_n", n=each.version)),
            tag(each, now, desk, is_holding=each is in_force),
            holds_from(each, desk),
            desk.who(each.made_by),
            desk.who(each.published_by) or "—",
            Markup("<bdi>{}</bdi>").format(each.note or "—"),
        )
        for each in found
    ]


def holds_from(version: ScheduleVersion, desk: Desk) -> str | Markup:
    """Return from when a version holds, in words where it has always held."""
    at = version.effective_at
    if at is None:
        return "—"
    return desk.t("always") if at.timestamp() <= 0 else desk.ui.when(at, "minute")


def list_text(name: str, desk: Desk) -> str | Markup:
    """Return what a price list is for, where the house has it from the beginning; its name for any other."""
    return desk.t(f"list_{name}") if name in OWN_LISTS else name


def holding(found: Sequence[ScheduleVersion], now: datetime) -> ScheduleVersion | None:
    """Return the version that holds now: of those published that took effect the last one."""
    effective = [
        each
        for each in found
        if each.state is ScheduleState.PUBLISHED
        and each.effective_at is not None
        and each.effective_at <= now
    ]
    return max(effective, key=lambda each: (each.effective_at or now, each.version), default=None)


def tag(version: ScheduleVersion, now: datetime, desk: Desk, *, is_holding: bool = False) -> Markup:
    """Return the state of a version as a tag; a published one holds now, is to come, or is over."""
    if version.state is not ScheduleState.PUBLISHED:
        return desk.tag("list", version.state.value)
    if is_holding:
        return desk.tag("list", "holds")
    return desk.tag("list", "to_come" if (version.effective_at or now) > now else "over")


def totals(simulation: Simulation, desk: Desk) -> list[Cells]:
    """Return what all movements of a currency cost by the old lists and by the draft."""
    return [
        (
            each.currency,
            desk.ui.count(each.count),
            desk.ui.money(each.amount_minor, each.currency),
            desk.ui.money(each.old.merchant_minor, each.currency),
            desk.ui.money(each.new.merchant_minor, each.currency),
            moved(each.new.merchant_minor - each.old.merchant_minor, each.currency, desk),
            moved(each.new.margin_minor - each.old.margin_minor, each.currency, desk),
        )
        for each in simulation.totals
    ]


def methods(simulation: Simulation, desk: Desk) -> list[Cells]:
    """Return the same by method."""
    return [(each.key or "—", *_line(each, desk)) for each in simulation.methods]


def merchants(simulation: Simulation, names: dict[str, str], desk: Desk) -> list[Cells]:
    """Return the merchants whose side moves most."""
    return [
        (Markup("<bdi>{}</bdi>").format(names.get(each.key, each.key)), *_line(each, desk))
        for each in simulation.moved
    ]


def charges(simulation: Simulation, desk: Desk) -> list[Cells]:
    """Return what each charge comes to."""
    return [
        (
            Markup("<bdi>{}</bdi>").format(each.name),
            desk.t(f"bearer_{each.bearer}"),
            desk.ui.money(each.old_minor, each.currency),
            desk.ui.money(each.new_minor, each.currency),
            moved(each.new_minor - each.old_minor, each.currency, desk),
        )
        for each in simulation.charges
    ]


def chart(simulation: Simulation, desk: Desk) -> Figure | None:
    """Return what merchants would have paid more or less, by method, in the currency with most movements."""
    if not simulation.totals:
        return None
    currency = max(simulation.totals, key=lambda each: each.count).currency
    items = [
        (each.key or "—", float(_paid(each.new) - _paid(each.old)))
        for each in simulation.methods
        if each.currency == currency
    ]
    if not items:
        return None
    axis = Axis(
        str(desk.t("moved_caption", currency=currency)),
        str(desk.t("c_method")),
        lambda minor: desk.ui.money(int(minor), currency, True),
    )
    return bars(items, axis, str(desk.t("c_change")))


def moved(minor: int, currency: str, desk: Desk) -> Markup:
    """Return a change with its sign."""
    return Markup('<span class="money">{}</span>').format(desk.ui.money(minor, currency, True))


def last_month(now: datetime) -> tuple[datetime, datetime]:
    """Return the last whole month, in UTC."""
    end = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (end - timedelta(days=1)).replace(day=1), end


def history(version: ScheduleVersion, desk: Desk) -> list[dict[str, object]]:
    """Return what was done with a version, newest first."""
    return [
        {
            "at": step.at,
            "title": desk.t(f"list_did_{step.act}"),
            "who": desk.who(step.actor),
            "line": step.note,
            "tone": {"published": "ok", "withdrawn": "error"}.get(step.act.value, "plain"),
        }
        for step in reversed(version.history)
    ]


def _line(each: SimulatedLine, desk: Desk) -> Cells:
    return (
        desk.ui.count(each.count),
        desk.ui.money(each.old.merchant_minor, each.currency),
        desk.ui.money(each.new.merchant_minor, each.currency),
        moved(each.new.merchant_minor - each.old.merchant_minor, each.currency, desk),
    )


def _paid(sums: Sums) -> int:
    return sums.merchant_minor
