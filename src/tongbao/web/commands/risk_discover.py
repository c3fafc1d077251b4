"""``tongbao risk discover``: rules that fraud seems to follow, kinds of customers, payments that people should label."""

import textwrap
from collections.abc import Sequence
from datetime import UTC
from typing import Annotated

import typer

from tongbao.risk.schema.discoveries import Discovery, Findings, FoundCluster, FoundRule, QueuedPayment
from tongbao.risk.service.discovering import Discovering
from tongbao.risk.service.wording import money
from tongbao.web.commands.at_desk import (
    Json,
    Live,
    instant,
    print_json,
    print_line,
    print_table,
    status,
)
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import RiskDesk, at_risk_desk

COMMENT_CHARS = 180
"""Of a line of comment in the rules that are printed; their language takes 200."""


def discover(
    days: Annotated[
        int, typer.Option("--days", min=1, max=365, help="Days of payments to learn from, ended a week ago.")
    ] = 56,
    count: Annotated[
        int, typer.Option("--queue", min=1, max=200, help="Most payments to show for labels.")
    ] = 20,
    live: Live = True,
    last: Annotated[
        bool, typer.Option("--last", help="Show what was discovered last, without looking again.")
    ] = False,
    lang: Annotated[Language, typer.Option("--lang", help="Language of the sentences.")] = Language.EN,
    as_json: Json = False,
) -> None:
    """Mine rules from labelled payments, tell kinds of customers apart, and rank the payments worth a label.

    Rules come as drafts to paste: they do nothing until somebody back-tests them and takes out the word draft. What was
    found is kept for the pages of operators.
    """
    with status("Reading the journal …", hidden=as_json) as tell:

        async def work(desk: RiskDesk) -> Discovery | None:
            runtime = desk.runtime
            own = Discovering(runtime.database, runtime.clock, runtime.ledger.ids, desk.risk.shelf)
            if last:
                return await own.newest(live=live)
            return await own.run(
                live=live, days=days, told=lambda step, number: tell(f"{step}: {number:,} …")
            )

        found = at_risk_desk(work)
    if as_json:
        print_json(found)
        return
    if found is None:
        print_line("Nothing has been discovered yet.")
        return
    _tell(found, count, lang)


def _tell(found: Discovery, count: int, lang: Language) -> None:
    findings = found.findings
    print_line(
        f"{instant(found.made_at)} UTC: {findings.payment_count:,} payments of {findings.days} days whose end is known, "
        f"{findings.fraud_count:,} of them fraud; {findings.recent_count:,} younger ones wait for labels"
    )
    print_line("")
    _tell_rules(findings, lang)
    _tell_clusters(findings, lang)
    _tell_queue(findings.queue[:count], lang)


def _tell_rules(findings: Findings, lang: Language) -> None:
    if not findings.rules:
        print_line("# No rule was found: too little fraud is known, or it follows none.")
    for rule in findings.rules:
        for line in textwrap.wrap(_said(rule, lang), COMMENT_CHARS):
            print_line(f"# {line}")
        print_line(rule.text)


def _tell_clusters(findings: Findings, lang: Language) -> None:
    if findings.silhouette is None:
        print_line("Customers are too few, or too much alike, to have kinds.")
        return
    print_line(
        f"kinds of customers, silhouette {findings.silhouette:.2f} (below 0.25 there are none to speak of)"
    )
    print_table(
        ("#", "Share#", "Customers#", "Payments#", "Fraud#"),
        [
            (
                str(number),
                f"{each.share:.1%}",
                f"{each.customer_count:,}",
                f"{each.payment_count:,}",
                _fraud(each),
            )
            for number, each in enumerate(findings.clusters, 1)
        ],
    )
    _tell_words(findings.clusters, lang)


def _tell_queue(queue: tuple[QueuedPayment, ...], lang: Language) -> None:
    if not queue:
        print_line("No payment waits for a label.")
        return
    print_table(
        ("#", "At (UTC)", "Amount#", "Tier", "Score#"),
        [
            (
                str(number),
                f"{each.at.astimezone(UTC):%Y-%m-%d %H:%M}",
                money(each.value, each.currency),
                each.tier.replace("_", "-"),
                f"{each.score:.2%}",
            )
            for number, each in enumerate(queue, 1)
        ],
        title="payments worth a label, the most wanted first",
    )
    _tell_words(queue, lang)


def _tell_words(told: Sequence[FoundCluster | QueuedPayment], lang: Language) -> None:
    """Print the sentences of numbered rows below their table: beside numbers they would fold the ids."""
    for number, each in enumerate(told, 1):
        name = f"{each.subject}: " if isinstance(each, QueuedPayment) else ""
        print_line(f"{number}. {name}{_said(each, lang)}")
    print_line("")


def _fraud(cluster: FoundCluster) -> str:
    share = cluster.fraud_share
    return "" if share is None else f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%})"


def _said(of: FoundRule | FoundCluster | QueuedPayment, lang: Language) -> str:
    """Return the sentence of a rule, cluster or payment in a language."""
    return of.zh if lang is Language.ZH else of.en
