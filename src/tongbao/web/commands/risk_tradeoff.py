"""``tongbao risk tradeoff``: what reviews and step-ups buy, and at which prices a wanted capacity suffices."""

from typing import Annotated

import typer

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.log import Range
from tongbao.decisions.schema.policies import PolicyVersion
from tongbao.risk.service.pricing_capacity import Budgets, TradeOff
from tongbao.web.commands.at_desk import (
    Actor,
    From,
    Json,
    Live,
    To,
    actor_of,
    print_json,
    print_line,
    print_table,
    span_of,
)
from tongbao.web.commands.at_desk import status as shown_status
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import Book, RiskDesk, at_risk_desk, plain

Reviews = Annotated[
    float | None, typer.Option("--reviews", min=0, help="Reviews that there are people for, a day.")
]
Share = Annotated[
    float | None,
    typer.Option("--step-ups", min=0, max=1, help="Share of payments that may be stepped up, such as 0.02."),
]


def tradeoff(
    reviews: Reviews = None,
    step_ups: Share = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Keep the policy with these prices as a draft.")
    ] = False,
    from_text: From = None,
    to_text: To = None,
    book: Book = None,
    live: Live = True,
    lang: Annotated[Language, typer.Option("--lang", help="Language of the sentences.")] = Language.EN,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Show cost per payment against reviews a day and share stepped up, and prices for a wanted capacity.

    A draft decides nothing: it is replayed and published as every draft is.
    """
    begin, end = span_of(from_text, to_text)
    if draft and reviews is None and step_ups is None:
        raise InvalidRequest("tradeoff_capacity_missing", "a draft needs --reviews or --step-ups")
    actor = actor_of(by)

    async def work(desk: RiskDesk) -> tuple[TradeOff, PolicyVersion | None]:
        pricing, book_id = desk.hindsight.pricing, await desk.book(book)
        found = await pricing.trade_off(Range(begin, end, book_id, live=live), Budgets(reviews, step_ups))
        if not draft or found.spec_prices is None:
            return found, None
        return found, await pricing.draft(found.spec_prices, "", actor, book_id=book_id)

    with shown_status("Looking at the payments of then again …", hidden=as_json):
        found, drafted = at_risk_desk(work)
    if as_json:
        version = None if drafted is None else drafted.version
        print_json({"trade_off": plain(found), "drafted_version": version})
        return
    _tell(found, drafted, lang)


def _tell(found: TradeOff, drafted: PolicyVersion | None, lang: Language) -> None:
    print_line(
        f"{found.payment_count:,} payments of {found.days:,.2f} days, asked again under {found.policy} "
        f"version {found.version}; {found.left_out_count:,} could not be looked at again."
    )
    names = [name if place == 0 else f"{name}#" for place, name in enumerate(found.header(lang))]
    print_table(names, [each.cells for each in found.rows(lang)])
    for sentence in found.sentences(lang):
        print_line(sentence, "bold")
    if found.spec_prices is not None:
        step_up, review = found.spec_prices
        print_line(f"In a policy: step_up_price {step_up:g}, review_price {review:g} (hundredths).")
    if drafted is not None:
        print_line(
            f"{drafted.policy} version {drafted.version} is drafted; it decides nothing until it is replayed and published."
        )
