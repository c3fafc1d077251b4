"""Drawings of risk control, made of those of the kit: weights of reasons, trade-offs, drift, curves. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from tongbao.risk.schema.models import Shift
from tongbao.risk.service.model_curves import Curves
from tongbao.risk.service.pricing_capacity import Point
from tongbao.risk.service.wording import Said, feature_words
from tongbao.web.ops.rendering import percent
from tongbao.web.ui import charts_bars, charts_curves
from tongbao.web.ui.charts_curves import Curve
from tongbao.web.ui.figure import (
    WIDTH,
    Axis,
    Figure,
    Head,
    Scale,
    paths,
    plot,
    row,
    rows_list,
    scale_of,
    spread,
)
from tongbao.web.wording import Say

HEIGHT = 200
PSI_LOOK = 0.2
FEATURES_SHOWN = 12
X_STEPS = 5


def weights(said: Sequence[tuple[str, float]], say: Say) -> Figure:
    """Return reasons with what each added in log-odds, the heaviest first; below each other, for a narrow column."""
    ordered = sorted(said, key=lambda each: -abs(each[1]))
    axis = Axis(say("reasons_line"), say("reasons"), lambda value: f"{value:+.2f}".replace("-", "−"))
    return replace(charts_bars.bars(ordered, axis, say("weight")), kind="bars narrow")


def weighed(reasons: Sequence[Said]) -> list[tuple[str, float]]:
    """Return the reasons of a decision that have a weight."""
    return [(each.text, each.log_odds) for each in reasons if each.log_odds is not None]


def drift(shifts: Sequence[Shift], language: str, say: Say) -> Figure:
    """Return how far features moved, the farthest first, against the value from which somebody should look."""
    moved = sorted(shifts, key=lambda each: -each.psi)[:FEATURES_SHOWN]
    scale = scale_of([PSI_LOOK, *(each.psi for each in moved)], 0.0)
    look = scale.share(PSI_LOOK) * 100
    drawn, rows = [], []
    for each in moved:
        name, at, css = feature_words(each.name, language), scale.share(each.psi) * 100, "s1"
        if each.psi >= PSI_LOOK and each.psi > each.noise:
            css = "s-error"
        marks = [("track", "M0 9H100"), (f"thick {css}", f"M0 9H{at:.2f}"), ("target", f"M{look:.2f} 0V18")]
        marks.append((f"point {css}", f"M{at:.2f} 9h.01"))
        drawn.append(row(name, paths(marks), f"{each.psi:.3f}"))
        rows.append((name, f"{each.psi:.3f}", f"{each.noise:.3f}", str(each.count)))
    heads: tuple[Head, ...] = (
        say("feature"),
        *((say(key), "num") for key in ("psi", "psi_noise", "payment_count")),
    )
    legend = (("s-plain dash", f"{say('drift_target')} {PSI_LOOK}"), ("s-error", str(say("drift_beyond"))))
    return Figure("dots", rows_list(drawn), say("drift_chart"), heads, tuple(rows), legend)


def groups(items: Sequence[tuple[str, float]], say: Say) -> Figure:
    """Return the shares of good payments that were bothered, by group."""
    axis = Axis(say("fair_chart"), say("fair_group"), percent, low=0.0)
    return charts_bars.bars(items, axis, say("fair_false"))


def front(points: Sequence[Point], today: Point, priced: Point | None, say: Say) -> Figure:
    """Return trade-offs: the cost of a payment in major units against the share of payers bothered."""
    shown = [*points, today, *([priced] if priced is not None else [])]
    across = _rooms([each.bothered_share for each in shown])
    up = scale_of([each.cost / 100 for each in shown])

    def place(point: Point) -> str:
        x, y = across.share(point.bothered_share), up.share(point.cost / 100)
        return f"{x * WIDTH:.1f} {HEIGHT * (1 - y):.1f}"

    line = "M" + "L".join(place(each) for each in points)
    marks = [("over s1", line), *(("point s1", f"M{place(each)}h.01") for each in points)]
    marks.append(("point s2", f"M{place(today)}h.01"))
    if priced is not None:
        marks.append(("point s3", f"M{place(priced)}h.01"))
    axis = Axis(say("front_chart"), say("front_x"), lambda value: f"{value:,.2f}")
    texts = spread([percent(each) for each in across.ticks])
    legend = [("s1 line", str(say("front_line"))), ("s2", str(say("front_today")))]
    if priced is not None:
        legend.append(("s3", str(say("front_priced"))))
    named = Markup('</ol><p class="axis" aria-hidden="true">{}</p></div>').format(say("front_x"))
    body = Markup(plot(paths(marks), axis, up, texts).replace(Markup("</ol></div>"), named))  # noqa: S704 - markup before
    return Figure("lines", body, axis.caption, legend=tuple(legend))


def roc(found: Curves, say: Say) -> Figure:
    """Return fraud caught against good payments bothered."""
    axis = Axis(say("roc"), say("roc_y"), lambda value: percent(value, 0))
    return charts_curves.curves([Curve(say("roc_y"), found.roc)], axis, say("roc_x"), diagonal=True)


def precision(found: Curves, say: Say) -> Figure:
    """Return precision against recall."""
    axis = Axis(say("pr"), say("pr_y"), lambda value: percent(value, 0))
    return charts_curves.curves([Curve(say("pr_y"), found.precision)], axis, say("pr_x"))


def calibration(found: Curves, say: Say) -> Figure:
    """Return what was said against what came true."""
    axis = Axis(say("calibration"), say("calibration_y"), lambda value: percent(value, 0))
    return charts_curves.calibration(found.bins, axis, say("calibration_x"), say("payment_count"))


def _rooms(shares: Sequence[float]) -> Scale:
    """Return the scale of shares, with a little room at both ends and ticks at equal distances."""
    low, high = min(shares), max(shares)
    room = (high - low) * 0.04 or 0.01
    start, end = max(low - room, 0.0), min(high + room, 1.0)
    ticks = tuple(start + (end - start) * step / (X_STEPS - 1) for step in range(X_STEPS))
    return Scale(start, end, ticks)
