"""What ``expand[]`` loads, by kind of object, in the scope of the caller. Permissions were checked before."""

from collections.abc import Mapping
from uuid import UUID

from tongbao.core.errors import NotFound
from tongbao.core.ids import parse_uuid
from tongbao.payments.schema.orders import PageOrder
from tongbao.web.api.v1.expansion import Loader
from tongbao.web.api.v1.renderings.attempts import charge_object
from tongbao.web.api.v1.renderings.bases import Tree, list_object
from tongbao.web.api.v1.renderings.checkout import line_items_object, link_object
from tongbao.web.api.v1.renderings.events import transaction_object
from tongbao.web.api.v1.renderings.intents import intent_object
from tongbao.web.api.v1.renderings.methods import mandate_object, method_object
from tongbao.web.api.v1.renderings.parties import customer_object
from tongbao.web.api.v1.renderings.refunds import refund_object
from tongbao.web.api.v1.requests import Call

REFUNDS_SHOWN_MAX = 100


class Loading:
    """Loads objects for one request."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._services = call.services
        self.loaders: Mapping[str, Loader] = {
            "balance_transaction": self._transaction,
            "charge": self._charge,
            "charge.refunds": self._refunds,
            "checkout.session.line_items": self._session_items,
            "customer": self._customer,
            "mandate": self._mandate,
            "payment_intent": self._intent,
            "payment_link": self._link,
            "payment_link.line_items": self._link_items,
            "payment_method": self._method,
            "source": self._source,
        }

    async def _intent(self, text: str) -> Tree:
        return intent_object(await self._services.intents.get(self._call.scope, _id(text)))

    async def _charge(self, text: str) -> Tree:
        return charge_object(await self._services.intents.attempt(self._call.scope, _id(text)))

    async def _refunds(self, charge: str) -> Tree:
        """Return the newest refunds of a charge."""
        order = PageOrder(limit=REFUNDS_SHOWN_MAX, containing={"attempt_id": str(_id(charge))})
        page = await self._services.refunds.page(self._call.scope, order)
        url = f"/v1/refunds?charge={charge}"
        return list_object(url, [refund_object(each) for each in page.items], has_more=page.has_more)

    async def _customer(self, text: str) -> Tree:
        scope = self._call.scope
        return customer_object(await self._services.customers.get(scope, _id(text)), live=scope.live)

    async def _method(self, text: str) -> Tree:
        return method_object(await self._services.methods.get(self._call.scope, _id(text)))

    async def _mandate(self, text: str) -> Tree:
        return mandate_object(await self._services.setups.mandate(self._call.scope, _id(text)))

    async def _link(self, text: str) -> Tree:
        link = await self._services.sessions.link(self._call.scope, _id(text))
        return link_object(link, self._services.cashier_url)

    async def _link_items(self, text: str) -> Tree:
        link = await self._services.sessions.link(self._call.scope, _id(text))
        url = f"/v1/payment_links/{text}/line_items"
        return line_items_object(text, url, link.items, link.currency)

    async def _session_items(self, text: str) -> Tree:
        session = (await self._services.sessions.get(self._call.scope, _id(text))).session
        url = f"/v1/checkout/sessions/{text}/line_items"
        return line_items_object(text, url, session.items, session.currency)

    async def _transaction(self, text: str) -> Tree:
        return transaction_object(await self._services.balances.get(self._call.scope, _id(text)))

    async def _source(self, text: str) -> Tree:
        """Return what a balance transaction came from."""
        if text.startswith("re_"):
            return refund_object(await self._services.refunds.get(self._call.scope, _id(text)))
        return await self._charge(text)


def _id(text: str) -> UUID:
    """Return the UUID of a text id of ours; raise NotFound for one that is not (an imported reference)."""
    try:
        return parse_uuid(text.rpartition("_")[0], text)
    except ValueError:
        raise NotFound("resource_missing", "the object to expand is not there") from None
