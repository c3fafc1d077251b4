"""``tongbao risk freeze``, ``release``, ``approve``, ``freezes``: who may not pay until two people have let go."""

import enum
from typing import Annotated

import typer

from tongbao.risk.schema.freezes import (
    FREEZE_PREFIX,
    Freeze,
    FreezeOrder,
    FreezePage,
    FreezeQuery,
    FreezeState,
)
from tongbao.risk.schema.signals import Entity
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
from tongbao.web.commands.risk_desk import RiskDesk, at_risk_desk, id_of

FreezeId = Annotated[str, typer.Argument(metavar="FREEZE", help="Id of a freeze: frz_…")]


class Kind(enum.StrEnum):
    """Who can be frozen."""

    CUSTOMER = "customer"
    CARD = "card"
    DEVICE = "device"
    MERCHANT = "merchant"
    ADDRESS = "address"
    EMAIL_DOMAIN = "email_domain"
    BENEFICIARY = "beneficiary"


def freeze(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="Who: customer, card, device, …")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The pseudonym, as 'risk explain' tells it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept for good.")],
    live: Live = True,
    by: Actor = None,
) -> None:
    """Freeze somebody at once, in the payments of every merchant; two people are needed to let go."""
    order = FreezeOrder(live=live, entity=Entity[kind.name], key=key, reason=reason)
    actor = actor_of(by)
    made = at_risk_desk(lambda desk: desk.risk.freezing.freeze(order, actor))
    print_line(f"{made.reference}: {kind} {key} is frozen.")
    print_line(
        f"to let go: tongbao risk release {made.reference} --why …, then somebody else: approve", "dim"
    )


def release(
    freeze_id: FreezeId,
    why: Annotated[str, typer.Option("--why", help="Why; kept for good.")],
    refuse: Annotated[
        bool,
        typer.Option("--refuse", help="Refuse a release that is asked for, or take the own request back."),
    ] = False,
    by: Actor = None,
) -> None:
    """Ask for the release of a freeze, which stands until somebody else approves; or refuse it."""
    found, actor = id_of(FREEZE_PREFIX, freeze_id), actor_of(by)

    async def work(desk: RiskDesk) -> Freeze:
        freezing = desk.risk.freezing
        act = freezing.refuse_release if refuse else freezing.request_release
        return await act(found, actor, why)

    _tell(at_risk_desk(work))


def approve(
    freeze_id: FreezeId,
    why: Annotated[str, typer.Option("--why", help="Why; kept for good.")] = "approved",
    by: Actor = None,
) -> None:
    """Let go of a freeze, as the second person."""
    found, actor = id_of(FREEZE_PREFIX, freeze_id), actor_of(by)
    _tell(at_risk_desk(lambda desk: desk.risk.freezing.approve_release(found, actor, why)))


def freezes(
    state: Annotated[FreezeState | None, typer.Option("--state", help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most to show.")] = 50,
    live: Live = True,
    as_json: Json = False,
) -> None:
    """List freezes, newest first."""
    query = FreezeQuery(live=live, state=state, limit=limit)

    async def work(desk: RiskDesk) -> FreezePage:
        return await desk.risk.freezing.page(query)

    found = at_risk_desk(work).items
    if as_json:
        print_json(found)
        return
    print_table(
        ("Freeze", "Who", "Key", "State", "Why", "Since (UTC)", "By", "Asked to let go"),
        [
            (
                each.reference,
                each.entity.name.lower(),
                each.key,
                each.state.value,
                each.reason,
                instant(each.frozen_at),
                each.frozen_by,
                each.requested_by,
            )
            for each in found
        ],
    )


def _tell(found: Freeze) -> None:
    said = {
        FreezeState.FROZEN: "stays frozen",
        FreezeState.REQUIRES_APPROVAL: f"waits for a second person; {found.requested_by} asked to let go",
        FreezeState.RELEASED: "is released",
    }
    print_line(f"{found.reference}: {found.entity.name.lower()} {found.key} {said[found.state]}.")
