"""What the chaos drills found, in words for whoever runs the house: an experiment in a few lines, a drill in a table."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tongbao.bench.chaos_experiment import ExperimentReport
from tongbao.bench.chaos_measures import WELL, Degraded, Outcome, Phase
from tongbao.bench.chaos_watch import Alerts
from tongbao.bench.chaos_world import HEALTHY, UNKNOWN

SHOWN_MAX = 3
"""Counters and warnings that are named; all of them stand in the report."""
_COLUMNS = "{:<15}{:>12}{:>30}{:>16}{:>12}{:>14}"
_HEADINGS = ("experiment", "worse", "p95 ms before/during/after", "recovered", "all told", "money errors")
_OUTCOMES = {
    Outcome.WAITING: "left waiting for the channel",
    Outcome.UNREACHABLE: "told that no channel can be reached",
    Outcome.REFUSED: "refused",
    Outcome.UNANSWERED: "never answered",
}
_REPEATS = {"NotSent": "nobody listened", "NoAnswer": "no answer came", "409": "the key was in use"}


def told(report: ExperimentReport) -> str:
    """Return an experiment in lines: what became of it, what got worse, and what was to be seen from outside."""
    if report.degraded is None:
        return f"{report.name}: left out, {report.skipped}"
    recovered = f"recovered after {report.recovered_s} s" if report.recovered else "NOT RECOVERED"
    caught_up = (
        "" if report.caught_up_s is None else f", the shop knew everything after {report.caught_up_s} s"
    )
    lines = [f"{report.name}: {recovered}{caught_up}, money errors {report.money_errors}"]
    if not report.steady_before:
        lines.append("the machine was too busy for a steady state before: read the times with care")
    lines.append(_worse(report.degraded))
    lines.append(f"p95 {_p95(report.degraded)} ms before / during / after")
    if report.alerts is not None:
        lines.append(f"to be seen: {'; '.join(_seen(report.alerts)) or 'nothing, neither health nor logs'}")
    left = "; ".join(_left(report))
    if left:
        lines.append(left)
    return "\n    ".join(lines)


def table(reports: Sequence[ExperimentReport]) -> list[str]:
    """Return a line of headings and one for each experiment; "busy before" marks those without a steady state to compare with."""
    return [_COLUMNS.format(*_HEADINGS), *(_row(each) for each in reports)]


def _row(report: ExperimentReport) -> str:
    if report.degraded is None:
        return f"{report.name:<15}left out: {report.skipped}"
    found = report.degraded
    columns = _COLUMNS.format(
        report.name,
        f"{found.worse} of {found.during.orders}",
        _p95(found),
        f"{report.recovered_s} s" if report.recovered else "NOT RECOVERED",
        "never" if report.caught_up_s is None else f"{report.caught_up_s} s",
        report.money_errors,
    )
    return columns if report.steady_before else f"{columns}  busy before"


def _p95(found: Degraded) -> str:
    return " / ".join(f"{phase.p95_ms:,.0f}" for phase in (found.before, found.during, found.after))


def _worse(found: Degraded) -> str:
    """Return how many orders were worse, and in which ways; one may be so in several."""
    ways = "; ".join(_ways(found.during, found.slow_ms))
    return f"worse: {found.worse} of {found.during.orders} orders{f' ({ways})' if ways else ''}"


def _ways(phase: Phase, slow_ms: float) -> Iterator[str]:
    for outcome, count in phase.outcomes.items():
        if outcome not in WELL:
            yield f"{count} {_OUTCOMES[Outcome(outcome)]}"
    if phase.repeats:
        why = _counted({_REPEATS.get(each, each): count for each, count in phase.repeats.items()})
        yield f"asked again because {why}"
    slow = round(phase.slow_share * phase.orders)
    if slow:
        yield f"{slow} slower than {slow_ms:,.0f} ms"


def _seen(alerts: Alerts) -> Iterator[str]:
    """Return what a monitor would have shown."""
    for name, count in alerts.healthz_silent.items():
        yield f"{name} silent in {count} of {alerts.looks} looks"
    for name, count in alerts.readyz_unready.items():
        unready = count - alerts.healthz_silent.get(name, 0)
        if unready > 0:
            yield f"{name} not ready in {unready} of {alerts.looks} looks"
    if alerts.endpoint not in (HEALTHY, UNKNOWN):
        yield f"the shop's receiver {alerts.endpoint}"
    if alerts.logged:
        yield f"logged {_counted(_of_all(alerts.logged))}"
    if alerts.counters:
        yield f"counted {_counted(_of_all(alerts.counters))}"


def _left(report: ExperimentReport) -> Iterator[str]:
    """Return what did not end by itself in the time of the drill, or did not end at all."""
    if report.settled_late:
        yield f"{report.settled_late} open whose next inquiry was moved up"
    if report.passed_s:
        yield f"{report.passed_s:,} s were let pass"
    if report.events_repeated:
        yield f"{report.events_repeated} webhooks came twice"
    if report.processes_ended:
        yield f"ended by themselves: {', '.join(report.processes_ended)}"
    wrong = {
        "unanswered": report.unanswered,
        "without an end": report.unresolved,
        "never told of by webhook": report.events_missing,
    }
    yield from (f"{count} {what}" for what, count in wrong.items() if count)


def _of_all(counts: Mapping[str, float]) -> Counter[str]:
    """Return counts that begin with the name of a process, summed over all processes."""
    summed: Counter[str] = Counter()
    for name, count in counts.items():
        summed[name.partition(" ")[2]] += round(count)
    return summed


def _counted(counts: Mapping[str, float]) -> str:
    """Return the largest of some counts in words."""
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    more = f" and {len(ordered) - SHOWN_MAX} more" if len(ordered) > SHOWN_MAX else ""
    return ", ".join(f"{what} × {count:,.0f}" for what, count in ordered[:SHOWN_MAX]) + more
