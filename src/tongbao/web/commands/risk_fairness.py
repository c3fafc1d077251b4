"""``tongbao risk fairness``: whom risk control bothers, by country of the card, customers known or new, and amount."""

from typing import Annotated

import typer

from tongbao.risk.schema.fairness import Fairness, Group
from tongbao.risk.schema.models import Interval
from tongbao.risk.service.fairness import group_words, segment_words
from tongbao.web.commands.at_desk import Json, Live, instant, print_json, print_line, print_table
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import Book, RiskDesk, at_risk_desk


def fairness(
    book: Book = None,
    live: Live = True,
    lang: Annotated[Language, typer.Option("--lang", help="Language of the groups.")] = Language.EN,
    as_json: Json = False,
) -> None:
    """Show shares stepped up, held and declined, and false positives, by groups of the latest payments."""

    async def work(desk: RiskDesk) -> Fairness:
        return await desk.hindsight.fairness.look(live=live, book_id=await desk.book(book))

    found = at_risk_desk(work)
    if as_json:
        print_json(found)
        return
    print_line(
        f"{found.payment_count:,} payments since {instant(found.from_at)} UTC"
        f"{', the newest' if found.is_partial else ''}; {found.good_count:,} are known to have been good."
    )
    for of in found.segments:
        rows = [_row(each, group_words(each.group, lang), each.group in of.marked) for each in of.groups]
        names = ("Group", "Payments#", "Stepped up#", "Held#", "Declined#", "Good#", "False positives#", "")
        print_table(names, rows, title=segment_words(of.segment, lang))
        if of.ratio is not None:
            print_line(
                f"lowest over highest false positive rate: {of.ratio:.2f} (0.80 and more is even)", "dim"
            )


def _row(group: Group, name: str, is_marked: bool) -> tuple[str, ...]:
    if group.step_up is None:
        return name, f"{group.count:,}", "", "", "", "", "too few to tell", ""
    return (
        name,
        f"{group.count:,}",
        *(_share(each) for each in (group.step_up, group.review, group.decline)),
        f"{group.good_count:,}" if group.false is not None else "",
        _share(group.false) if group.false is not None else "too few to tell",
        "bothered more than others" if is_marked else "",
    )


def _share(found: Interval | None) -> str:
    return "" if found is None else f"{found.value:.2%} ({found.low:.2%} to {found.high:.2%})"
