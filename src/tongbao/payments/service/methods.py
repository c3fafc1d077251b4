"""Payment methods: made from a vault token, kept for a customer, let go of."""

from uuid import UUID

import msgspec

from tongbao.channels.schema import Method
from tongbao.core.requests.asks import Ask
from tongbao.parties.schema import Scope
from tongbao.payments.errors import WrongState
from tongbao.payments.policy import orders
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import Done, Page, PageOrder
from tongbao.payments.service.desk import Desk, Planned


class Methods:
    """The use cases around saved payment methods."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(
        self,
        scope: Scope,
        method: Method,
        *,
        billing: dict[str, object] | None = None,
        fingerprint: str | None = None,
        metadata: dict[str, str] | None = None,
        ask: Ask | None = None,
    ) -> Done[PaymentMethod]:
        """Keep a method; cards have been turned into tokens before (``privacy``). Raises BadParameter."""
        orders.check_metadata(metadata or {})
        now = self._desk.clock.now()
        made = PaymentMethod(
            id=self._desk.ids.uuid(),
            book_id=scope.book_id,
            live=scope.live,
            created_at=now,
            updated_at=now,
            metadata=metadata or {},
            method=method,
            billing=billing or {},
            fingerprint=fingerprint,
        )

        async def plan() -> Planned:
            return Planned(self._desk.change(made, now, claim=ask, ask=ask, view=made, inserts=(made,)), made)

        return await self._desk.decide(plan, reference=made.reference)

    async def get(self, scope: Scope, method_id: UUID) -> PaymentMethod:
        """Return a method; raise Missing."""
        return await self._desk.read(PaymentMethod, scope.book_id, method_id)

    async def page(self, scope: Scope, order: PageOrder) -> Page[PaymentMethod]:
        """Return methods, newest first; ``owner_id`` keeps those of one customer."""
        return await self._desk.page(PaymentMethod, scope.book_id, order)

    async def attach(
        self, scope: Scope, method_id: UUID, customer_id: UUID, *, ask: Ask | None = None
    ) -> Done[PaymentMethod]:
        """Give a method to a customer, who exists; raise Missing, WrongState ``payment_method_attached``."""

        async def plan() -> Planned:
            method = await self._desk.read(PaymentMethod, scope.book_id, method_id)
            if method.customer_id not in (None, customer_id):
                raise WrongState("payment_method_attached", f"{method.reference} belongs to another customer")
            now = self._desk.clock.now()
            kept = method.changed(now, customer_id=customer_id)
            return self._planned(kept, ask, "payment_method.attached")

        return await self._desk.decide(plan, reference="the payment method", asked=(scope.book_id, ask))

    async def detach(self, scope: Scope, method_id: UUID, *, ask: Ask | None = None) -> Done[PaymentMethod]:
        """Take a method from its customer; raise Missing, WrongState ``payment_method_not_attached``."""

        async def plan() -> Planned:
            method = await self._desk.read(PaymentMethod, scope.book_id, method_id)
            if method.customer_id is None:
                raise WrongState("payment_method_not_attached", f"{method.reference} belongs to nobody")
            freed = method.changed(self._desk.clock.now(), customer_id=None)
            return self._planned(freed, ask, "payment_method.detached")

        return await self._desk.decide(plan, reference="the payment method", asked=(scope.book_id, ask))

    async def change(
        self,
        scope: Scope,
        method_id: UUID,
        *,
        billing: dict[str, object] | None = None,
        exp_month: int | None = None,
        exp_year: int | None = None,
        metadata: dict[str, str] | None = None,
        ask: Ask | None = None,
    ) -> Done[PaymentMethod]:
        """Change billing details, metadata, or a card's expiry; raise Missing, BadParameter."""

        async def plan() -> Planned:
            before = await self._desk.read(PaymentMethod, scope.book_id, method_id)
            method = before.method
            if before.kind == "card" and (exp_month is not None or exp_year is not None):
                changes = {"exp_month": exp_month, "exp_year": exp_year}
                given = {name: value for name, value in changes.items() if value is not None}
                method = msgspec.structs.replace(method, **given)
            after = before.changed(
                self._desk.clock.now(),
                method=method,
                billing=before.billing if billing is None else before.billing | billing,
                metadata=orders.merged_metadata(before.metadata, metadata or {}),
            )
            return self._planned(after, ask, "payment_method.updated")

        return await self._desk.decide(plan, reference="the payment method", asked=(scope.book_id, ask))

    def _planned(self, after: PaymentMethod, ask: Ask | None, told: str) -> Planned:
        change = self._desk.change(
            after, after.updated_at, claim=ask, ask=ask, view=after, updates=(after,), events=((told, after),)
        )
        return Planned(change, after)
