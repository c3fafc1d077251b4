"""Short ways to a saved method, and to the mandate that its payer gave with it."""

from uuid import UUID

from tests.payments.conftest import CARD, House

from tongbao.payments.schema.methods import Mandate, PaymentMethod
from tongbao.payments.schema.orders import ConfirmOrder, MandateTerms, PageOrder


async def saved_method(house: House, customer_id: UUID | None = None) -> PaymentMethod:
    """A saved card; with a customer it is that one's."""
    made = (await house.payments.methods.create(house.scope, CARD)).view
    assert made is not None
    if customer_id is None:
        return made
    attached = (await house.payments.methods.attach(house.scope, made.id, customer_id)).view
    assert attached is not None
    return attached


async def given_mandate(
    house: House, method: PaymentMethod, customer_id: UUID, terms: MandateTerms | None = None
) -> Mandate:
    """A mandate for a saved method, given in a set-up whose check leaves no call behind on the channel."""
    done = await house.payments.setups.create(
        house.scope, customer_id=customer_id, method_id=method.id, terms=terms, confirm=True
    )
    assert done.view is not None
    assert done.view.mandate is not None
    house.channel().calls.clear()
    return done.view.mandate


def absent(method_id: UUID, **fields: object) -> ConfirmOrder:
    """A confirmation with a saved method while its payer is not here."""
    values: dict[str, object] = {"method_id": method_id, "off_session": True}
    return ConfirmOrder(**(values | fields))  # type: ignore[arg-type]


async def mandates_of(house: House, customer_id: UUID | None) -> list[Mandate]:
    """The mandates of a customer, newest first."""
    page = await house.payments.setups.mandates(house.scope, PageOrder(limit=100, owner_id=customer_id))
    return page.items


async def methods_of(house: House, customer_id: UUID | None) -> list[PaymentMethod]:
    """The saved methods of a customer, newest first; without one those of everybody."""
    page = await house.payments.methods.page(house.scope, PageOrder(limit=100, owner_id=customer_id))
    return page.items
