"""``tongbao bench risk``: how well fraud is told, how fast, at what cost, and whether live and file agree.

Quality and cost come from the simulator of the Fraud Detection Handbook, a file that is not part of the program: without
``--data`` or ``TONGBAO_DATA`` their figures are null. A quick run measures one of the four folds with seven days of labels, and
neither cost nor what lies across a kill nor HTTP.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from tongbao.bench import risk_data, risk_equality, risk_http, risk_policy, risk_quality, risk_speed
from tongbao.bench.risk_data import Payments
from tongbao.bench.risk_protocol import DAYS, TEST_STARTS, Stream
from tongbao.bench.risk_quality import MONTH, PUBLISHED, Measured
from tongbao.core.errors import AppError

Say = Callable[[str], None]
Line = tuple[str, ...]
KEYS = (
    "ap_7d",
    "ap_28d",
    "cp100",
    "decision_p99_us",
    "decisions_per_s",
    "http_p99_ms",
    "policy_cost",
    "online_offline_equal",
)
PAIRED = ("gain_ap", "gain_cp100", "over_chance_ap", "over_chance_cp100")
NO_DATA = "no data: name a file with --data, or a folder with handbook_dev.parquet in TONGBAO_DATA"


class Sizes(NamedTuple):
    """How much is measured: decisions, the folds of seven days, and whether the rest is measured at all."""

    decisions: int
    starts: tuple[int, ...]
    is_quick: bool


FULL = Sizes(20_000, TEST_STARTS, is_quick=False)
QUICK = Sizes(4_000, TEST_STARTS[-1:], is_quick=True)
"""One fold instead of four: an average precision may lie .02 off the mean of four."""


def run(sizes: Sizes, say: Say, data: Path | None = None) -> dict[str, Any]:
    """Return the figures as one JSON-ready object; progress is told by the way.

    Raises NotFound ``data_missing`` where ``data`` is named and not there, and as ``risk_data.read``.
    """
    begun = time.perf_counter()
    path = risk_data.find(data)
    figures: dict[str, Any] = dict.fromkeys(KEYS)
    say("Speed of one decision …")
    figures |= _speed(sizes)
    say(f"  p99 {figures['decision_p99_us']:,.0f} us, {figures['decisions_per_s']:,}/s of a core")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        # Quality takes one processor for most of the time; what is left is measured on the other meanwhile.
        if path is None:
            say(f"Quality and cost: {NO_DATA}.")
            judging = None
        else:
            say(f"Quality on {path.name}, {len(sizes.starts)} folds …")
            judging = pool.submit(quality, path, sizes)
        say("One at a time against the file …")
        figures |= _equality(sizes, path)
        say(f"  equal: {figures['online_offline_equal']}")
        if judging is not None:
            figures |= judging.result()
    if not sizes.is_quick:
        figures |= _http(say)
    figures["data"] = NO_DATA if path is None else path.name
    figures["quick"] = sizes.is_quick
    figures["seconds"] = round(time.perf_counter() - begun, 1)
    return figures


def _speed(sizes: Sizes) -> dict[str, Any]:
    speed = risk_speed.measure(sizes.decisions)
    told = {name: None if value is None else round(value, 3) for name, value in speed._asdict().items()}
    return {
        "decision_p99_us": round(speed.p99_us, 1),
        "decisions_per_s": round(speed.decisions_per_s),
        "ratio_to_json": round(speed.ratio_to_json, 2),
        "speed": told,
    }


def _equality(sizes: Sizes, path: Path | None) -> dict[str, Any]:
    given = risk_equality.synthetic(risk_equality.EVENTS) if path is None else risk_data.read(path)
    found = risk_equality.measure(given, kills=not sizes.is_quick)
    told = found._asdict() | {"us_per_event": round(found.us_per_event, 1)}
    return {"online_offline_equal": found.live and found.rebuilt is not False, "equality": told}


def _http(say: Say) -> dict[str, Any]:
    """Return the figures over HTTP; what went wrong is told with the others, which took long, and not instead of them."""
    try:
        return risk_http.figures(say)
    except AppError as error:
        say(f"  not measured: {error}")
        return {"http_p99_ms": None, "http": str(error)}


def quality(path: Path, sizes: Sizes) -> dict[str, Any]:
    """Return the figures that need the file: precision, ablation, candidates and the cost of tiers.

    Meant for a process of its own.
    """
    payments = risk_data.read(path)
    if sizes.is_quick:
        # What comes after the last day that is judged need not be read.
        payments = payments.before(max(sizes.starts) + 3 * DAYS)
    given = risk_data.stream(payments, risk_data.features(payments))
    week = risk_quality.measure(given, sizes.starts)
    found: dict[str, Any] = {"ap_7d": round(week.ap, 4), "cp100": round(week.cp100, 4)}
    found["folds_7d"] = _told(week)
    return found if sizes.is_quick else found | _rest(given, payments, sizes.starts)


def _rest(given: Stream, payments: Payments, starts: Sequence[int]) -> dict[str, Any]:
    """Return what only a full run measures."""
    month = risk_quality.measure(given, starts, MONTH)
    cost = risk_policy.run(risk_quality.scored(given, payments))
    return {
        "ap_28d": round(month.ap, 4),
        "folds_28d": _told(month),
        "policy_cost": cost["policy_cost"],
        "policy": cost,
        "ablation": risk_quality.ablation(given, starts),
        "candidates": risk_quality.candidates(given, starts),
    }


def _told(measured: Measured) -> dict[str, float]:
    return {name: round(value, 4) for name, value in measured._asdict().items()}


def tables(figures: dict[str, Any]) -> list[tuple[str, Line, list[Line]]]:
    """Return what people read, for each table its title, heads and lines; only what was measured."""
    found: list[tuple[str, Line, list[Line]]] = []
    if figures["ap_7d"] is not None:
        found.append(
            (
                "Handbook protocol: published beside ours",
                ("model", "AP", "AUC", "CP@100"),
                _against_published(figures),
            )
        )
    for key, title in (
        ("ablation", "Ablation: 7 days, one bag, unless told"),
        ("candidates", "Candidates: 7 days"),
    ):
        if key in figures:
            found.append((title, *_qualities(figures[key])))
    if "policy" in figures:
        heads = (
            "policy",
            "cost a payment",
            "to none",
            "tiers %",
            "fraud value stopped",
            "off policy (95 %)",
        )
        found.append(("What tiers cost", heads, risk_policy.table(figures["policy"])))
    return found


def _against_published(figures: dict[str, Any]) -> list[Line]:
    lines = [(name, *(f"{value:.3f}" for value in values)) for name, *values in PUBLISHED]
    for days in ("7d", "28d"):
        if row := figures.get(f"folds_{days}"):
            name = f"ours, {days.removesuffix('d')} days of labels"
            lines.append((name, *(f"{row[key]:.3f}" for key in ("ap", "auc", "cp100"))))
    return lines


def _qualities(rows: Any) -> tuple[Line, list[Line]]:
    """Return heads and lines of a table of qualities, of a dictionary by name or of rows with names."""
    named = [{"name": name} | row for name, row in rows.items()] if isinstance(rows, dict) else rows
    is_timed = any("fit_s" in row for row in named)
    is_paired = any("gain_ap" in row for row in named)
    heads: Line = (
        *("name", "AP", "±", "AUC", "CP@100"),
        *(("fit s", "us a row") if is_timed else ()),
        *(("gain AP", "gain CP", "over chance AP", "over chance CP") if is_paired else ()),
    )
    lines: list[Line] = [
        (
            row["name"],
            *(f"{row[key]:.3f}" for key in ("ap", "ap_sd", "auc", "cp100")),
            *((f"{row['fit_s']:.1f}", f"{row['us_per_row']:.1f}") if is_timed else ()),
            *((_difference(row, key) for key in PAIRED) if is_paired else ()),
        )
        for row in named
    ]
    return heads, lines


def _difference(row: dict[str, Any], key: str) -> str:
    """Return a paired difference with its standard error, where the row has one."""
    if key not in row:
        return ""
    error = row[f"{key}_se"]
    return f"{row[key]:+.4f}" if error is None else f"{row[key]:+.4f} ± {error:.4f}"
