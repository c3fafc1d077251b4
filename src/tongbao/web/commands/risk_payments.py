"""``tongbao risk explain``, ``label`` and ``models``: why a payment was judged so, what it was, and what scores."""

from typing import Annotated, NamedTuple

import typer

from tongbao.risk.schema.facts import Labelled
from tongbao.risk.schema.models import Severity
from tongbao.risk.schema.watches import Watch
from tongbao.risk.service import explaining, wording
from tongbao.risk.service.explaining import ModelRow
from tongbao.risk.service.looking import Judged
from tongbao.risk.service.recalling import Recalled
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    Live,
    actor_of,
    instant,
    print_json,
    print_line,
    print_table,
)
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import PAYMENT_PREFIX, RiskDesk, at_risk_desk, id_of, plain

PARTS_SHOWN = 12
_TONES = {Severity.NOTICE: "", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}
Payment = Annotated[str, typer.Argument(metavar="PAYMENT", help="Id of a payment: pi_…")]
Lang = Annotated[Language, typer.Option("--lang", help="Language of the sentences.")]


class _Model(NamedTuple):
    """A model, and the latest look at it."""

    row: ModelRow
    watch: Watch | None


class _Look(NamedTuple):
    """A look at a payment, and the account of its score."""

    judged: Judged
    recalled: Recalled | None


def explain(payment: Payment, lang: Lang = Language.EN, as_json: Json = False) -> None:
    """Tell every look at PAYMENT: tier, reasons, what each feature added to the score, and what became known."""
    subject_id = id_of(PAYMENT_PREFIX, payment)

    async def work(desk: RiskDesk) -> list[_Look]:
        looking = desk.hindsight.looking
        book_id = await looking.book_of(subject_id)
        looks = await looking.looks(book_id, subject_id)
        return [_Look(each, await _recalled(desk, each)) for each in looks]

    found = at_risk_desk(work)
    if as_json:
        print_json(plain(found))
        return
    for number, each in enumerate(found, 1):
        _tell(number, each, lang)


def label(
    payment: Payment,
    is_fraud: Annotated[bool, typer.Option("--fraud/--good", help="What it was.")],
    by: Actor = None,
) -> None:
    """Say what a payment was; saying it again, or otherwise, replaces what was said before."""
    subject_id, actor = id_of(PAYMENT_PREFIX, payment), actor_of(by)

    async def work(desk: RiskDesk) -> Labelled:
        book_id = await desk.hindsight.looking.book_of(subject_id)
        return await desk.risk.assessing.label(book_id, subject_id, is_fraud=is_fraud, actor=actor)

    made = at_risk_desk(work)
    print_line(f"{made.subject} was {'fraud' if made.is_fraud else 'good'}, says {made.actor}.")


def models(
    card: Annotated[
        str | None, typer.Option("--card", metavar="DIGEST", help="Print the card of this model instead.")
    ] = None,
    live: Live = True,
    lang: Lang = Language.EN,
    as_json: Json = False,
) -> None:
    """List the models of the house, newest first, with the latest look at each; policies name them by their digest."""
    if card is not None:
        typer.echo(at_risk_desk(lambda desk: desk.hindsight.cards.text(card, lang, live=live)), nl=False)
        return

    async def work(desk: RiskDesk) -> list[_Model]:
        watching = desk.risk.watching
        return [
            _Model(each, await watching.kept(each.digest, live=live))
            for each in await desk.risk.shelf.newest()
        ]

    found = at_risk_desk(work)
    if as_json:
        print_json([{**each.row._asdict(), "watch": each.watch} for each in found])
        return
    if not found:
        print_line("no model was kept yet; the scorecard that the house comes with scores")
        return
    rows = [
        (
            each.row.digest,
            each.row.kind,
            instant(each.row.made_at),
            each.row.made_by,
            f"{each.row.size_bytes:,}",
            "" if each.watch is None else instant(each.watch.facts.at),
            "" if each.watch is None else str(len(each.watch.alarms)),
        )
        for each in found
    ]
    print_table(("Digest", "Kind", "Made (UTC)", "By", "Bytes#", "Looked at (UTC)", "Alarms#"), rows)
    for each in found:
        if each.watch is not None:
            tell_alarms(each.row.digest[:12], each.watch, lang)


def tell_alarms(name: str, watch: Watch, language: str) -> None:
    """Print the alarms of a model, one a line."""
    for each in watch.alarms:
        said = wording.alarm_text(each.alarm, language)
        print_line(f"{name}, since {instant(each.since)} UTC: {said}", _TONES[each.alarm.severity])


async def _recalled(desk: RiskDesk, judged: Judged) -> Recalled | None:
    if judged.decision_id is None:
        return None
    return await desk.hindsight.recalling.decision(judged.book_id, judged.decision_id)


def _tell(number: int, look: _Look, language: str) -> None:
    judged, recalled = look.judged, look.recalled
    chance = "without a score" if judged.score is None else f"chance of fraud {judged.score:.2%}"
    print_line(f"{number}. {instant(judged.at)} UTC · {judged.tier} · {chance}", "bold")
    print_line(f"   {judged.value / 100:,.2f} {judged.currency}, {judged.signals.method}")
    if recalled is not None:
        decision = recalled.decision
        print_line(f"   {decision.reference} by {decision.policy} version {decision.version}, {decision.arm}")
        for why in decision.reasons:
            print_line(f"   - {explaining.said(why, language)}")
    print_line(f"   {_known(judged)}", "dim")
    if recalled is None or recalled.account is None:
        print_line("   the features of then cannot be found again", "dim")
        return
    account = recalled.account
    rows = [
        (each.name, "unknown" if each.value is None else f"{each.value:,.4g}", f"{each.log_odds:+.3f}")
        for each in account.parts[:PARTS_SHOWN]
    ]
    print_table(("Feature", "Value#", "Adds (log-odds)#"), rows)
    rest = sum(each.log_odds for each in account.parts[PARTS_SHOWN:])
    print_line(
        f"   every payment starts at {account.base:+.3f}; all others add {rest:+.3f}; together {account.raw:+.3f}",
        "dim",
    )


def _known(judged: Judged) -> str:
    """Return what became known of a payment."""
    told = []
    if judged.is_passed is not None:
        told.append("the payer proved who it is" if judged.is_passed else "the payer did not prove who it is")
    if judged.is_approved is not None:
        told.append("it went through" if judged.is_approved else f"it did not go through: {judged.end_code}")
    if judged.is_fraud is not None:
        told.append(f"{'fraud' if judged.is_fraud else 'good'}, says {judged.label_source}")
    return "; ".join(told) or "nothing became known of it yet"
