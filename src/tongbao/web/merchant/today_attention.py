"""What of a merchant's day needs somebody: disputes to answer, reservations to take, webhooks that fail, accounts that wait."""

from typing import NamedTuple

from markupsafe import Markup

from tongbao.clearing.schema.payouts import DestinationState
from tongbao.parties.schema import Permission
from tongbao.payments.schema.complaints import ComplaintState
from tongbao.payments.schema.orders import PageOrder
from tongbao.payments.schema.overviews import Wanted
from tongbao.payments.schema.refunds import DisputeState
from tongbao.payments.schema.standing import Standing
from tongbao.payments.schema.webhooks import EndpointState, HealthState
from tongbao.web.merchant import complaints
from tongbao.web.merchant.portal import Desk

COUNTED_MAX = 100
_ACCOUNTS = {
    DestinationState.PROPOSED: ("accounts_proposed", "warn"),
    DestinationState.COOLING: ("accounts_cooling", "plain"),
    DestinationState.PAUSED: ("accounts_paused", "error"),
}


class Need(NamedTuple):
    """One thing: in words, how pressing it is, and where it is seen to."""

    text: Markup
    tone: str
    href: str


async def attention(desk: Desk) -> list[Need]:
    """Return what needs somebody, as far as the visitor may see it, the most pressing first."""
    found = [
        *await _disputes(desk),
        *await _complaints(desk),
        *await _accounts(desk),
        *await _webhooks(desk),
        *await _payments(desk),
    ]
    return sorted(found, key=lambda need: ("error", "warn", "review", "plain").index(need.tone))


async def _disputes(desk: Desk) -> list[Need]:
    if not desk.visitor.may(Permission.DISPUTES_READ):
        return []
    state = DisputeState.NEEDS_RESPONSE.value
    order = PageOrder(limit=COUNTED_MAX, state=state)
    page = await desk.portal.house.payments.disputes.page(desk.visitor.scope, order)
    if not page.items:
        return []
    due = [each.respond_by for each in page.items if each.respond_by is not None]
    day = min(due).date().isoformat() if due else "—"
    text = desk.plural("disputes_due", len(page.items), day=day)
    return [Need(text, "error", desk.to("/disputes", state=state))]


async def _complaints(desk: Desk) -> list[Need]:
    if not desk.visitor.may(Permission.DISPUTES_READ):
        return []
    count = await complaints.waiting_count(desk)
    if not count:
        return []
    href = desk.to("/complaints", state=ComplaintState.OPEN.value)
    return [Need(desk.plural("complaints_due", count), "warn", href)]


async def _accounts(desk: Desk) -> list[Need]:
    if not desk.visitor.may(Permission.PAYOUTS_READ):
        return []
    accounts = await desk.portal.house.clearing.destinations.page(desk.visitor.scope.book_id)
    states = dict.fromkeys(each.state for each in accounts if each.state in _ACCOUNTS)
    return [Need(desk.t(_ACCOUNTS[state][0]), _ACCOUNTS[state][1], desk.to("/payouts")) for state in states]


async def _webhooks(desk: Desk) -> list[Need]:
    if not desk.visitor.may(Permission.WEBHOOKS_READ):
        return []
    endpoints, scope, found = desk.portal.house.endpoints, desk.visitor.scope, []
    for each in await endpoints.list(scope):
        health = await endpoints.health(scope, each.id)
        href = desk.to(f"/webhooks/{each.reference}")
        if each.state is EndpointState.DISABLED and each.disabled_reason != "requested":
            found.append(Need(desk.t("webhook_off", url=each.url), "error", href))
        elif health.state is HealthState.FAILING:
            found.append(Need(desk.t("webhook_failing", url=each.url), "warn", href))
    return found


async def _payments(desk: Desk) -> list[Need]:
    found = []
    kinds = (
        (Standing.REQUIRES_CAPTURE, "to_capture", "warn"),
        (Standing.UNKNOWN, "outcomes_unknown", "review"),
        (Standing.REVIEW, "under_review", "review"),
    )
    for standing, key, tone in kinds:
        page = await desk.portal.overviews.search(
            desk.visitor.scope, Wanted(limit=COUNTED_MAX, standing=standing)
        )
        if page.items:
            text = desk.plural(key, len(page.items))
            found.append(Need(text, tone, desk.to("/payments", state=standing.value)))
    return found
