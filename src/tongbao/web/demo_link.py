"""The payment link of the demonstration, for whoever wants to see the checkout: made once, found again at later starts."""

from tongbao.parties.schema import Permission
from tongbao.parties.service.demo import DEMO
from tongbao.payments.schema.checkout import LineItem
from tongbao.payments.schema.orders import PageOrder
from tongbao.web.house import House

JOB = "demo"
ITEMS = (
    LineItem(name="Longjing tea, 100 g 明前龙井", unit_minor=128_00),
    LineItem(name="Tea cups 茶杯", unit_minor=29_00, quantity=2),
)


async def open_link(house: House) -> str:
    """Return where a payer pays the first merchant of the demonstration: ``/l/plink_…``, with play money."""
    merchant = DEMO[0]
    scope = await house.parties.access.scope_of_job(
        merchant.merchant_id, live=False, job=JOB, permissions=frozenset(Permission)
    )
    sessions = house.payments.sessions
    found = await sessions.links(scope, PageOrder(limit=1, containing={"metadata": {"made_by": JOB}}))
    link = next((each for each in found.items if each.active), None)
    if link is None:
        made = await sessions.create_link(
            scope, ITEMS, merchant.draft.default_currency, metadata={"made_by": JOB}
        )
        assert made.view is not None
        link = made.view
    return f"/l/{link.reference}"
