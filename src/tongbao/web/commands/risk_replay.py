"""``tongbao risk replay``: a file of payments through the real risk control, in the order of time."""

import contextlib
import importlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from tongbao.core.errors import InvalidRequest

SPEC_BYTES_MAX = 1_000_000
_LATER = "Days after a payment at which {what}."


def replay(
    events: Annotated[
        Path, typer.Argument(metavar="FILE", help="Payments in the order of time: CSV (UTF-8) or Parquet.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Where to write score, tier and reasons: .csv or .parquet.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="Labels: id or row, is_fraud, known_at. Else a column of FILE is taken."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="FIELD=NAME", help="Name a column of FILE: time=booked_at."),
    ] = None,
    label_column: Annotated[
        list[str] | None,
        typer.Option("--label-column", metavar="FIELD=NAME", help="Name a column of the labels: id=payment."),
    ] = None,
    label_delay: Annotated[
        float,
        typer.Option(min=0, max=365, help=_LATER.format(what="a label without an instant becomes known")),
    ] = 7.0,
    maturity: Annotated[
        float,
        typer.Option(min=0, max=365, help=_LATER.format(what="it counts as good unless known to be fraud")),
    ] = 7.0,
    history: Annotated[float, typer.Option(min=1, max=365, help="Days of payments to train on.")] = 28.0,
    retrain: Annotated[float, typer.Option(min=0, max=365, help="Days between trainings; 0 for none.")] = 7.0,
    currency: Annotated[str, typer.Option(help="Currency where FILE has no column for it.")] = "EUR",
    policy: Annotated[
        Path | None,
        typer.Option("--policy", dir_okay=False, help="JSON file with the specification of a risk policy."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 20_000, help="Seed of training and exploration.")
    ] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the report, as one JSON object.")
    ] = False,
) -> None:
    """Judge every payment of FILE by what was known at its time, learning on the way, and write what was decided."""
    # What learns takes seconds to import; no other command is to wait for it.
    replaying: Any = importlib.import_module("tongbao.risk.service.replaying_files")
    plan = replaying.Plan(
        events=events,
        out=out,
        labels=labels,
        columns=_pairs(column),
        label_columns=_pairs(label_column),
        currency=currency,
        label_delay=timedelta(days=label_delay),
        maturity=timedelta(days=maturity),
        history=timedelta(days=history),
        retrain_every=timedelta(days=retrain),
        policy={} if policy is None else _spec(policy),
        seed=seed,
    )
    begun = time.perf_counter()
    with _bar(Console(stderr=True), hidden=as_json) as tell:
        report = replaying.replay(plan, tell)
    seconds = time.perf_counter() - begun
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(report) | {"seconds": round(seconds, 1)}))
        return
    _print(report, out, seconds)


def _pairs(given: list[str] | None) -> dict[str, str]:
    """Return columns by field from ``FIELD=NAME``."""
    found = {}
    for each in given or ():
        field, is_pair, name = each.partition("=")
        if not is_pair or not field or not name:
            raise InvalidRequest("column_invalid", f'"{each[:80]}" is not FIELD=NAME, such as time=booked_at')
        found[field] = name
    return found


def _spec(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > SPEC_BYTES_MAX:
            raise InvalidRequest(
                "policy_file_invalid", f"{path.name} is larger than {SPEC_BYTES_MAX:,} bytes"
            )
        spec: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidRequest(
            "policy_file_invalid", f"{path.name} is no readable JSON object: {error}"
        ) from error
    return spec


@contextlib.contextmanager
def _bar(console: Console, *, hidden: bool) -> Iterator[Callable[[Any], None]]:
    """Show what is being done, how many payments are done, and the time that is left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    with Bar(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bar:
        task = bar.add_task("opening", total=None, rate="")
        begun = time.perf_counter()

        def tell(progress: Any) -> None:
            rate = f"{progress.done / max(time.perf_counter() - begun, 1e-9):,.0f}/s"
            bar.update(
                task,
                description=progress.doing,
                total=progress.total or None,
                completed=progress.done,
                rate=rate if progress.total else "",
            )

        yield tell


def _print(report: Any, out: Path, seconds: float) -> None:
    console = Console(highlight=False)
    tiers = ", ".join(f"{name} {share:.2%}" for name, share in report.tiers.items())
    console.print(
        f"{report.payments:,} payments from {report.from_at:%Y-%m-%d} to {report.to_at:%Y-%m-%d}, "
        f"{report.payments / seconds:,.0f}/s, written to {out.name}",
        soft_wrap=True,
    )
    console.print(f"Tiers: {tiers}", soft_wrap=True)
    for what, found in (("All payments", report.precision), ("Judged by trained models", report.trained)):
        if found is not None:
            console.print(
                f"{what}: average precision {found.ap:.4f}, AUC {found.auc:.4f}, "
                f"{found.frauds:,} frauds among {found.payments:,}",
                soft_wrap=True,
            )
    _print_periods(console, report)
    for period in report.periods:
        for alarm in period.alarms:
            console.print(f"{period.model.trained_at:%Y-%m-%d}: {alarm}", markup=False, soft_wrap=True)
    for at, why in report.skipped:
        console.print(f"{at:%Y-%m-%d}: nothing trained: {why}", markup=False, soft_wrap=True)
    if report.strangers:
        console.print(f"{report.strangers:,} labels are of payments that the file does not have.")
    if report.unused_columns:
        console.print(f"Columns not used: {', '.join(report.unused_columns)}", markup=False, soft_wrap=True)


def _print_periods(console: Console, report: Any) -> None:
    table = Table("Judged by", "Trained", "On", "Frauds", "Payments", "Frictionless", "AP", "AUC")
    for period in report.periods:
        model, precision = period.model, period.precision
        told = ("scorecard", "", "", "")
        if model is not None:
            told = (model.digest[:12], f"{model.trained_at:%Y-%m-%d}", f"{model.rows:,}", f"{model.frauds:,}")
        judged = ("", "") if precision is None else (f"{precision.ap:.3f}", f"{precision.auc:.3f}")
        table.add_row(*told, f"{period.payments:,}", f"{period.frictionless_share:.1%}", *judged)
    console.print(table)
