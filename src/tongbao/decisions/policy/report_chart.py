"""A report of an evaluation as an SVG: what was seen and what each estimator says, with intervals. Pure text.

Takes its ink from ``currentColor`` and its accent from the style sheet's ``--primary``, ``--border`` and ``--muted`` with
fallbacks that carry on white and on black, so that it reads in light and dark without a style of its own. Everything
that comes from outside is escaped. Read aloud by its title and description.
"""

import math
import re
from html import escape

from tongbao.decisions.policy.report_words import (
    ESTIMATORS,
    chosen,
    column,
    figure,
    refusal_text,
    verdict_text,
)
from tongbao.decisions.schema.evaluation import Estimate, Report

WIDTH = 720
ROW_HEIGHT = 36
TOP = 18
FOOT = 34
PLOT_LEFT = 150
PLOT_RIGHT = 500
TICKS_MAX = 5
CAP = 5
_ACCENT = "var(--primary, #1f8a8c)"
_RULE = "var(--border, #8a9796)"
_QUIET = "var(--muted, currentColor)"
# XML 1.0 has no place for these, escaped or not.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_TITLE = (
    "Replay of version {version} of {policy} against {against}",
    "重放 {policy} 第 {version} 版，对比 {against}",
)
_DESCRIPTION = (
    "Mean of {outcome} with 95 % intervals. {rows}. {verdict}",
    "{outcome} 的均值与 95 % 区间。{rows}。{verdict}",
)
_REFERENCE = ("as logged", "实际水平")


def report_chart(report: Report, language: str) -> str:
    """Return the SVG. Raises InvalidRequest ``language_unknown``."""
    at = column(language)
    rows = (report.logged, *report.estimates)
    scale = _Scale(rows)
    bottom = TOP + ROW_HEIGHT * len(rows)
    height = bottom + FOOT + (0 if report.estimates else ROW_HEIGHT)
    name = f"replay-{report.id.hex}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="replay" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" font-family="inherit" font-size="14" fill="currentColor">',
        f'<title id="{name}-title">{_safe(_title(report, at))}</title>',
        f'<desc id="{name}-desc">{_safe(_description(report, rows, language))}</desc>',
        _axis(scale, bottom, report.is_share),
        _reference(scale.x(report.logged.value), bottom, at),
        *(
            _row(each, TOP + ROW_HEIGHT * (number + 0.5), scale, report, at)
            for number, each in enumerate(rows)
        ),
    ]
    if not report.estimates:
        parts.append(_text(PLOT_LEFT, bottom + FOOT + ROW_HEIGHT / 2, verdict_text(report, language)))
    return "".join([*parts, "</svg>"])


class _Scale:
    """Values to places on the plot, with a margin and round ticks."""

    def __init__(self, rows: tuple[Estimate, ...]) -> None:
        low, high = min(each.low for each in rows), max(each.high for each in rows)
        span = (high - low) or abs(high) or 1.0
        self.low, self.high = low - span * 0.05, high + span * 0.05

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        return PLOT_LEFT + (value - self.low) / (self.high - self.low) * (PLOT_RIGHT - PLOT_LEFT)

    def ticks(self) -> list[float]:
        """Return at most ``TICKS_MAX`` round values within the plot."""
        rough = (self.high - self.low) / TICKS_MAX
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [step * number for number in range(first, last + 1)][:TICKS_MAX]


def _title(report: Report, at: int) -> str:
    return _TITLE[at].format(version=report.version, policy=report.policy, against=report.against)


def _description(report: Report, rows: tuple[Estimate, ...], language: str) -> str:
    at = column(language)
    told = [f"{ESTIMATORS[each.estimator][at]}: {_numbers(each, report.is_share)}" for each in rows]
    verdict = f"{verdict_text(report, language)} {refusal_text(report, language)}".strip()
    return _DESCRIPTION[at].format(outcome=report.outcome, rows=("; ", "；")[at].join(told), verdict=verdict)


def _axis(scale: _Scale, bottom: float, is_share: bool) -> str:
    lines = []
    for tick in scale.ticks():
        x = scale.x(tick)
        lines.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{_RULE}" stroke-width="1" opacity="0.5"/>')
        label = figure(tick, is_share=is_share)
        lines.append(_text(x, bottom + 20, label, anchor="middle", fill=_QUIET, size=12))
    return "".join(lines)


def _reference(x: float, bottom: float, at: int) -> str:
    """Return the line at what was logged, which every estimate is held against."""
    line = (
        f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="currentColor" stroke-width="1.5" stroke-dasharray="4 4"/>'
    )
    return line + _text(x, TOP - 5, _REFERENCE[at], anchor="middle", size=12)


def _row(estimate: Estimate, y: float, scale: _Scale, report: Report, at: int) -> str:
    """Return the name, the interval with its caps and mean, and the numbers; the verdict's estimator is strongest."""
    decides = bool(report.estimates) and estimate is chosen(report)
    color = "currentColor" if estimate.estimator == "logged" else _ACCENT
    low, high, middle = scale.x(estimate.low), scale.x(estimate.high), scale.x(estimate.value)
    bar = (
        f"M{low:.1f} {y - CAP:.1f}v{2 * CAP}M{low:.1f} {y:.1f}H{high:.1f}M{high:.1f} {y - CAP:.1f}v{2 * CAP}"
    )
    weight = 600 if decides else 400
    numbers = _numbers(estimate, report.is_share)
    return (
        _text(0, y + 5, ESTIMATORS[estimate.estimator][at], weight=weight)
        + f'<path d="{bar}" fill="none" stroke="{color}" stroke-width="{3 if decides else 2}"/>'
        + f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="{6 if decides else 4.5}" fill="{color}"/>'
        + _text(WIDTH, y + 5, numbers, anchor="end", weight=weight, size=13)
    )


def _numbers(estimate: Estimate, is_share: bool) -> str:
    value, low, high = (
        figure(each, is_share=is_share) for each in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low.removesuffix(' %')} … {high.removesuffix(' %')})"


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    fill: str = "currentColor",
    size: int = 14,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}" '
        f'font-weight="{weight}">{_safe(words)}</text>'
    )


def _safe(words: str) -> str:
    return escape(_UNWRITABLE.sub("\ufffd", words), quote=True)
