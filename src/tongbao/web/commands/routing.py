"""``tongbao routing``: how channels stand, how payments go and why that changed, rules, and what context foretells."""

from datetime import timedelta
from typing import Annotated, NamedTuple

import typer

from tongbao.decisions.policy.report_words import report_text
from tongbao.routing.schema.health import (
    SEGMENT_DIMENSIONS,
    Diagnosis,
    Dimension,
    Estimate,
    HealthScope,
    NoticePage,
    Period,
    RateRow,
)
from tongbao.routing.service import explaining
from tongbao.routing.service.compiling import POLICY
from tongbao.routing.service.refreshing import Refreshed
from tongbao.routing.service.showing import BoardRow, Segment, board_rows
from tongbao.web.commands import routing_rules
from tongbao.web.commands.at_desk import (
    Actor,
    From,
    Json,
    Live,
    To,
    actor_of,
    at_desk,
    instant,
    print_json,
    print_line,
    print_table,
    span_of,
    status,
)
from tongbao.web.commands.decisions import Language
from tongbao.web.desk import Desk

Lang = Annotated[Language, typer.Option("--lang", help="Language of the sentences.")]

app = typer.Typer(no_args_is_help=True, help="Which channel payments take: its state, its health, its rules.")
app.add_typer(routing_rules.app, name="rules")


class _Line(NamedTuple):
    """A line of the board with the attempts of the days that were asked for."""

    row: BoardRow
    attempts: int


@app.command("board")
def board(
    days: Annotated[
        int, typer.Option("--days", min=1, max=399, help="Channels with a payment in so many days.")
    ] = 7,
    live: Live = True,
    as_json: Json = False,
) -> None:
    """Show what the router believes of every channel now, folded from the facts of all attempts."""

    async def work(desk: Desk) -> list[_Line]:
        at = desk.runtime.clock.now()
        # Whole minutes are counted, and the one that runs is of interest, too.
        period = Period(at - timedelta(days=days), at + timedelta(minutes=1))
        by = (Dimension.METHOD, Dimension.CHANNEL)
        rates = await desk.routing.health.rates(HealthScope(live=live), period, by)
        await desk.routing.following.start()
        segments = {
            Segment(live, row.segment[Dimension.METHOD], row.segment[Dimension.CHANNEL]): row.counts.total
            for row in rates
        }
        rows = board_rows(desk.routing.following.board, sorted(segments), at)
        return [_Line(row, segments[Segment(row.live, row.method, row.channel)]) for row in rows]

    found = at_desk(work)
    if as_json:
        print_json([{"attempts": each.attempts, "line": each.row} for each in found])
        return
    if not found:
        print_line(f"No channel took a {'live' if live else 'test'} payment in the last {days} days.")
        return
    print_table(
        ("Method", "Channel", "Breaker", "Technical rate#", "Issuers say yes#", "Well#", "Attempts#"),
        [
            (
                each.row.method,
                each.row.channel,
                _breaker(each.row),
                f"{each.row.technical_rate:.1%}",
                _interval(each.row.acceptance),
                _interval(each.row.health),
                f"{each.attempts:,}",
            )
            for each in found
        ],
    )


@app.command("health")
def health(
    from_text: From = None,
    to_text: To = None,
    by: Annotated[
        list[Dimension] | None,
        typer.Option("--by", help="What to tell apart: channel, method, issuer, currency."),
    ] = None,
    live: Live = True,
    as_json: Json = False,
) -> None:
    """Show approval and completion rates of a time with intervals of 95 %, the busiest first."""
    period = Period(*span_of(from_text, to_text))
    wanted = by or [Dimension.CHANNEL]
    found = at_desk(lambda desk: desk.routing.health.rates(HealthScope(live=live), period, wanted))
    if as_json:
        print_json(found)
        return
    if not found:
        print_line("No attempts in this time.")
        return
    names = [each for each in SEGMENT_DIMENSIONS if each in wanted]
    print_table(
        (*(each.value.capitalize() for each in names), "Attempts#", "Approval#", "Completion#", "Mean ms#"),
        [(*(row.segment[each] for each in names), *_rates(row)) for row in found],
    )


@app.command("doctor")
def doctor(
    from_text: From = None,
    to_text: To = None,
    baseline_from: Annotated[
        str | None,
        typer.Option(help="Begin of what is compared with; right before, in equal length, without."),
    ] = None,
    baseline_to: Annotated[str | None, typer.Option(help="End of what is compared with.")] = None,
    live: Live = True,
    lang: Lang = Language.EN,
    as_json: Json = False,
) -> None:
    """Tell whether the approval rate changed, what it was down to, and what could be done."""
    period = Period(*span_of(from_text, to_text))
    if (baseline_from is None) is not (baseline_to is None):
        raise typer.BadParameter("a baseline has a begin and an end: --baseline-from and --baseline-to")
    baseline = None if baseline_from is None else Period(*span_of(baseline_from, baseline_to))

    async def work(desk: Desk) -> Diagnosis:
        return await desk.routing.health.doctor(HealthScope(live=live), period, baseline)

    with status("Comparing …", hidden=as_json):
        found = at_desk(work)
    if as_json:
        print_json(found)
        return
    print_line(explaining.verdict_text(found, lang), "bold")
    for number, cause in enumerate(found.causes, 1):
        print_line(f"{number}. {explaining.cause_text(cause, lang)}")
        for action in cause.actions:
            print_line(f"   → {explaining.action_text(action, lang)}")


@app.command("notices")
def notices(
    channel: Annotated[str | None, typer.Option("--channel", help="Only of this channel.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most notices to show.")] = 20,
    live: Live = True,
    lang: Lang = Language.EN,
    as_json: Json = False,
) -> None:
    """Show what routing announced by itself, newest first: channels out and back, rates that changed."""

    async def work(desk: Desk) -> NoticePage:
        return await desk.routing.health.notices(live=live, channel=channel, limit=limit)

    found = at_desk(work)
    if as_json:
        print_json(found)
        return
    if not found.items:
        print_line("Nothing was announced.")
    for each in found.items:
        print_line(f"{instant(each.at)} {explaining.notice_text(each, lang)}")


@app.command("refresh-prior")
def refresh_prior(
    from_text: From = None,
    to_text: To = None,
    policy: Annotated[str, typer.Option("--policy", help="Whose champion gets a draft.")] = POLICY,
    live: Live = True,
    lang: Lang = Language.EN,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Learn from the log of a time what context tells of issuers; where it tells something, draft and replay a version.

    Nothing is published. What is learned is compared with no context, and with gradient-boosted trees, on the last
    third of the time, which it has not seen.
    """
    span, actor = span_of(from_text, to_text), actor_of(by)
    with status("Reading the log …", hidden=as_json) as tell:

        async def work(desk: Desk) -> Refreshed:
            return await desk.refreshing.refresh(
                policy,
                span,
                actor,
                live=live,
                told=lambda step, count: tell(f"{step}: {count:,} decisions …"),
            )

        found = at_desk(work)
    if as_json:
        print_json(found)
        return
    _tell_refreshed(found, lang)


def _tell_refreshed(found: Refreshed, lang: Language) -> None:
    print_line(
        f"{found.count:,} answers of issuers; fitted until {instant(found.split_at)} UTC, compared on what came later"
    )
    print_table(
        (
            "Channel",
            "Fitted on#",
            "Compared on#",
            "No context#",
            "Context#",
            "Trees#",
            "Calibration#",
            "Kept",
        ),
        [
            (
                each.channel,
                f"{each.earlier_count:,}",
                f"{each.later_count:,}",
                *(
                    "" if score is None else f"{score.log_loss:.4f}"
                    for score in (each.no_context, each.context, each.trees)
                ),
                "" if each.context is None else f"{each.context.calibration_error:.2%}",
                "yes" if each.kept else f"no: {each.why}",
            )
            for each in found.channels
        ],
        title="log-loss on the later part, less is better",
    )
    print_line(f"{found.reason[0].upper()}{found.reason[1:]}.")
    if found.version is None:
        print_line("This is what is in force already: no draft was made.")
        return
    print_line(f"{found.policy} version {found.version} was drafted with it.")
    if found.replay is not None:
        print_line(report_text(found.replay, lang.value))
    else:
        print_line(f"It could not be replayed: {found.replay_refused}")


def _breaker(row: BoardRow) -> str:
    if row.waiting_s:
        return f"{row.breaker}, {row.waiting_s:.0f} s left"
    return row.breaker.replace("_", "-")


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def _rates(row: RateRow) -> tuple[str, str, str, str]:
    return (
        f"{row.counts.total:,}",
        "" if row.approval is None else _interval(row.approval),
        "" if row.completion is None else _interval(row.completion),
        f"{row.took_ms:,.0f}",
    )
