"""Checkout sessions and payment links: what a merchant sends a payer to.

A session holds one intent, made with it; it is complete when that intent is paid, and expires with it otherwise.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from tongbao.core.errors import NotFound
from tongbao.core.events.facts import Delivered
from tongbao.core.events.subscriptions import Consumer
from tongbao.core.ids import IdFactory, derive, parse_uuid, uuid_text
from tongbao.core.requests.asks import Ask
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadAmount, BadParameter, Missing, WrongState
from tongbao.payments.policy import acts, open_amounts, orders
from tongbao.payments.schema.checkout import (
    EXTRAS_MAX,
    LINE_ITEMS_MAX,
    QUANTITY_MAX,
    CheckoutSession,
    Extra,
    ExtraKind,
    LineItem,
    OpenAmount,
    PaymentLink,
    SessionState,
)
from tongbao.payments.schema.documents import Kind
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.intents import (
    DESCRIPTION_CHARS_MAX,
    CancelReason,
    CaptureMethod,
    Intent,
    IntentState,
)
from tongbao.payments.schema.orders import Done, IntentOrder, Page, PageOrder
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.service.intents import client_secret
from tongbao.payments.service.step_ups import abandon
from tongbao.payments.store import documents as store

SESSION_LIFE = timedelta(hours=24)
SESSION_LIFE_MIN = timedelta(minutes=30)
URL_CHARS_MAX = 2_048
NAME_CHARS_MAX = 250
EXTENSION = timedelta(minutes=20)
"""So much longer a session is open for a payer who needs more time."""
EXTENSIONS_MAX = 10
"""How often: what WCAG 2.2, 2.2.1, asks for at least."""


class SessionOrder(NamedTuple):
    """A session to be made; see ``CheckoutSession`` for the fields."""

    items: tuple[LineItem, ...]
    currency: str
    success_url: str | None = None
    cancel_url: str | None = None
    customer_id: UUID | None = None
    customer_email: str | None = None
    client_reference: str | None = None
    method_kinds: tuple[str, ...] = ()
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    locale: str = "auto"
    expires_at: datetime | None = None
    metadata: dict[str, str] | None = None
    link_id: UUID | None = None
    extras: tuple[Extra, ...] = ()


class SessionView(NamedTuple):
    """A session with its intent."""

    session: CheckoutSession
    intent: Intent | None


class Sessions:
    """The use cases around checkout sessions and payment links."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, scope: Scope, order: SessionOrder, *, ask: Ask | None = None) -> Done[SessionView]:
        """Make a session with its intent. Raises BadParameter, BadAmount."""
        return await self._create(scope.book_id, order, live=scope.live, ask=ask)

    async def followed(self, link_id: UUID) -> PaymentLink:
        """Return a link to a payer who followed it; raise Missing, WrongState ``payment_link_inactive``."""
        async with self._desk.database.connection() as connection:
            book_id = await store.book_of(connection, Kind.LINK, link_id)
        if book_id is None:
            raise Missing(PaymentLink.PREFIX, link_id)
        link = await self._desk.read(PaymentLink, book_id, link_id)
        used_up = link.completed_count_max is not None and link.completed_count >= link.completed_count_max
        if not link.active or used_up:
            raise WrongState(
                "payment_link_inactive",
                link.inactive_message or "this link is no longer active",
                message=link.inactive_message,
            )
        return link

    async def open_link(self, link_id: UUID, amount_minor: int | None = None) -> SessionView:
        """Make a session for a payer who followed a link, of the sum they chose where the link leaves it to them.

        Raises Missing, WrongState ``payment_link_inactive``, and what ``open_amounts.chosen`` raises.
        """
        link = await self.followed(link_id)
        order = SessionOrder(
            open_amounts.chosen(link, amount_minor),
            link.currency,
            success_url=link.redirect_url,
            method_kinds=link.method_kinds,
            capture_method=link.capture_method,
            metadata=link.metadata,
            link_id=link.id,
        )
        done: Done[SessionView] = await self._create(link.book_id, order, live=link.live)
        assert done.view is not None
        return done.view

    async def get(self, scope: Scope, session_id: UUID) -> SessionView:
        """Return a session with its intent; raise Missing."""
        return await self._view(await self._desk.read(CheckoutSession, scope.book_id, session_id))

    async def by_reference(self, reference: str) -> SessionView:
        """Return a session to the payer who was sent to its page; raise NotFound for anything else.

        It is in an address that people pass on, so a page shows of it no more than a receipt tells, and never
        the secrets of session or intent.
        """
        return await self._view(await self._anywhere(_parse(reference)))

    async def by_secret(self, secret: str) -> SessionView:
        """Return the session that a payer's page holds the secret of; raise Missing for anything else."""
        reference, _, _ = secret.partition("_secret_")
        session = await self._anywhere(_parse(reference))
        if not secrets.compare_digest(session.client_secret.encode(), secret.encode()):
            raise Missing(CheckoutSession.PREFIX, session.id)
        return await self._view(session)

    async def page(self, scope: Scope, order: PageOrder) -> Page[CheckoutSession]:
        """Return sessions, newest first; ``parent_id`` keeps those of one link."""
        return await self._desk.page(CheckoutSession, scope.book_id, order)

    async def expire(self, scope: Scope, session_id: UUID, *, ask: Ask | None = None) -> Done[SessionView]:
        """Expire an open session and cancel its intent; raise Missing, WrongState ``session_not_open``."""

        async def plan() -> Planned:
            view = await self.get(scope, session_id)
            if view.session.state is not SessionState.OPEN:
                raise WrongState("session_not_open", f"{view.session.reference} is {view.session.state}")
            if view.intent is not None and view.intent.state in (IntentState.PROCESSING, *_PAID):
                raise WrongState("session_being_paid", f"{view.session.reference} is being paid right now")
            return self._expired(view, ask)

        done = await self._desk.decide(
            plan, reference=uuid_text(CheckoutSession.PREFIX, session_id), asked=(scope.book_id, ask)
        )
        await self._ask_no_more(done)
        return done

    async def extend(self, session: CheckoutSession) -> SessionView:
        """Give the payer of a session twenty minutes more; return it as it is then.

        Raises Missing, WrongState ``session_not_open`` once it is over, ``session_extended_enough`` after ten times.
        """

        async def plan() -> Planned:
            view = await self._view(await self._desk.read(CheckoutSession, session.book_id, session.id))
            now = self._desk.clock.now()
            is_over = view.session.state is not SessionState.OPEN or now >= view.session.expires_at
            if is_over or view.intent is None or view.intent.state in (*_PAID, IntentState.CANCELED):
                raise WrongState("session_not_open", f"{session.reference} is over")
            if view.session.extension_count >= EXTENSIONS_MAX:
                raise WrongState("session_extended_enough", f"{session.reference} was extended often enough")
            return self._extended(view, view.intent, now)

        done: Done[SessionView] = await self._desk.decide(plan, reference=session.reference)
        assert done.view is not None
        return done.view

    def _extended(self, view: SessionView, intent: Intent, now: datetime) -> Planned:
        until = view.session.expires_at + EXTENSION
        longer = view.session.changed(
            now, expires_at=until, due_at=until, extension_count=view.session.extension_count + 1
        )
        # An intent that waits for something else is due by that, and by its own end afterwards.
        due_at = until if intent.due_at == intent.expires_at else intent.due_at
        kept = intent.changed(now, expires_at=until, due_at=due_at)
        change = self._desk.change(longer, now, updates=(longer, kept))
        return Planned(change, SessionView(longer, kept))

    async def resolve(self, session: CheckoutSession) -> None:
        """Bring a session up to date with its intent, or expire it when its time is over."""

        async def plan() -> Planned:
            view = await self._view(await self._desk.read(CheckoutSession, session.book_id, session.id))
            if view.session.state is not SessionState.OPEN:
                return Planned(None, view)
            if view.intent is not None and view.intent.state in _PAID:
                return await self._completed(view.session, view.intent)
            if self._desk.clock.now() < view.session.expires_at:
                return Planned(None, view)
            if view.intent is not None and view.intent.state is IntentState.PROCESSING:
                return Planned(None, view)
            return self._expired(view, None)

        await self._ask_no_more(await self._desk.decide(plan, reference=session.reference))

    async def _ask_no_more(self, done: Done[SessionView]) -> None:
        """Abandon the challenge of a payment that was canceled with its session."""
        intent = done.view.intent if done.view else None
        if intent is not None and intent.state is IntentState.CANCELED and intent.judged is not None:
            await abandon(self._desk, intent)

    def subscription(self) -> Consumer:
        """Return the reader of facts that completes the sessions of intents that were paid."""
        return Consumer("payments.sessions", (Happened,), handle=self._heard)

    async def _heard(self, facts: Sequence[Delivered]) -> None:
        for delivered in facts:
            if isinstance(delivered.fact, Happened):
                for document in delivered.fact.documents:
                    if isinstance(document, Intent):
                        await self.follow_intent(document)

    async def follow_intent(self, intent: Intent) -> None:
        """Complete the session of an intent that was paid, and count it on its link; repeats change nothing."""
        if intent.session_id is None or intent.state not in _PAID:
            return
        session_id = intent.session_id

        async def plan() -> Planned:
            session = await self._desk.read(CheckoutSession, intent.book_id, session_id)
            if session.state is not SessionState.OPEN:
                return Planned(None, session)
            return await self._completed(session, intent)

        await self._desk.decide(plan, reference=intent.reference)

    async def create_link(
        self,
        scope: Scope,
        items: tuple[LineItem, ...],
        currency: str,
        *,
        method_kinds: tuple[str, ...] = (),
        capture_method: CaptureMethod = CaptureMethod.AUTOMATIC,
        redirect_url: str | None = None,
        completed_count_max: int | None = None,
        inactive_message: str | None = None,
        open_amount: OpenAmount | None = None,
        metadata: dict[str, str] | None = None,
        ask: Ask | None = None,
    ) -> Done[PaymentLink]:
        """Make a link, for all kinds of method where none is named; raise BadParameter, BadAmount."""
        await self._desk.require(scope.book_id, "payment_links")
        _check_items(items)
        if open_amount is not None:
            open_amounts.check(open_amount, items)
        _check_url(redirect_url, "after_completion[redirect][url]")
        orders.check_metadata(metadata or {})
        now = self._desk.clock.now()
        link = PaymentLink(
            id=self._desk.ids.uuid(),
            book_id=scope.book_id,
            live=scope.live,
            created_at=now,
            updated_at=now,
            metadata=metadata or {},
            currency=orders.known_currency(currency),
            items=items,
            method_kinds=orders.shown_kinds(method_kinds),
            capture_method=capture_method,
            redirect_url=redirect_url,
            inactive_message=inactive_message,
            completed_count_max=completed_count_max,
            open_amount=open_amount,
        )

        async def plan() -> Planned:
            change = self._desk.change(
                link,
                now,
                claim=ask,
                ask=ask,
                view=link,
                inserts=(link,),
                events=(("payment_link.created", link),),
            )
            return Planned(change, link)

        return await self._desk.decide(plan, reference=link.reference)

    async def change_link(
        self,
        scope: Scope,
        link_id: UUID,
        *,
        active: bool | None = None,
        metadata: dict[str, str] | None = None,
        ask: Ask | None = None,
    ) -> Done[PaymentLink]:
        """Switch a link on or off, or merge metadata; raise Missing, BadParameter."""

        async def plan() -> Planned:
            link = await self._desk.read(PaymentLink, scope.book_id, link_id)
            after = link.changed(
                self._desk.clock.now(),
                active=link.active if active is None else active,
                metadata=orders.merged_metadata(link.metadata, metadata or {}),
            )
            change = self._desk.change(
                after,
                after.updated_at,
                claim=ask,
                ask=ask,
                view=after,
                updates=(after,),
                events=(("payment_link.updated", after),),
            )
            return Planned(change, after)

        return await self._desk.decide(
            plan, reference=uuid_text(PaymentLink.PREFIX, link_id), asked=(scope.book_id, ask)
        )

    async def link(self, scope: Scope, link_id: UUID) -> PaymentLink:
        """Return a link; raise Missing."""
        return await self._desk.read(PaymentLink, scope.book_id, link_id)

    async def links(self, scope: Scope, order: PageOrder) -> Page[PaymentLink]:
        """Return links, newest first."""
        return await self._desk.page(PaymentLink, scope.book_id, order)

    async def _create(
        self, book_id: int, order: SessionOrder, *, live: bool, ask: Ask | None = None
    ) -> Done[SessionView]:
        _check_items(order.items)
        _check_extras(order.extras)
        _check_url(order.success_url, "success_url")
        _check_url(order.cancel_url, "cancel_url")
        now = self._desk.clock.now()
        expires_at = order.expires_at or now + SESSION_LIFE
        if not now + SESSION_LIFE_MIN <= expires_at <= now + SESSION_LIFE:
            raise BadParameter("parameter_invalid", "expires_at", "between 30 minutes and 24 hours from now")
        session_id, intent_id = _ids(self._desk.ids)
        intent = orders.intent_from(
            _intent_order(order, expires_at, session_id),
            intent_id=intent_id,
            book_id=book_id,
            live=live,
            client_secret=client_secret(Intent.PREFIX, intent_id),
            now=now,
        )
        session = CheckoutSession(
            id=session_id,
            book_id=book_id,
            live=live,
            created_at=now,
            updated_at=now,
            due_at=expires_at,
            metadata=order.metadata or {},
            state=SessionState.OPEN,
            currency=intent.currency,
            items=order.items,
            intent_id=intent_id,
            link_id=order.link_id,
            customer_id=order.customer_id,
            customer_email=order.customer_email,
            client_reference=order.client_reference,
            success_url=order.success_url,
            cancel_url=order.cancel_url,
            locale=order.locale,
            method_kinds=intent.method_kinds,
            capture_method=order.capture_method,
            client_secret=client_secret(CheckoutSession.PREFIX, session_id),
            expires_at=expires_at,
            extras=order.extras,
        )
        view = SessionView(session, intent)

        async def plan() -> Planned:
            change = self._desk.change(
                session,
                now,
                claim=ask,
                ask=ask,
                view=view,
                inserts=(session, intent),
                events=(("payment_intent.created", intent),),
            )
            return Planned(change, view)

        return await self._desk.decide(plan, reference=session.reference)

    async def _anywhere(self, session_id: UUID) -> CheckoutSession:
        """Return a session of whichever book; raise Missing."""
        async with self._desk.database.connection() as connection:
            book_id = await store.book_of(connection, Kind.SESSION, session_id)
        if book_id is None:
            raise Missing(CheckoutSession.PREFIX, session_id)
        return await self._desk.read(CheckoutSession, book_id, session_id)

    async def _view(self, session: CheckoutSession) -> SessionView:
        if session.intent_id is None:
            return SessionView(session, None)
        return SessionView(session, await self._desk.read(Intent, session.book_id, session.intent_id))

    async def _completed(self, session: CheckoutSession, intent: Intent) -> Planned:
        now = self._desk.clock.now()
        done = session.changed(now, state=SessionState.COMPLETE, paid=True, due_at=None)
        counted = None
        if session.link_id is not None:
            link = await self._desk.read(PaymentLink, session.book_id, session.link_id)
            counted = link.changed(now, completed_count=link.completed_count + 1)
        events = (("checkout.session.completed", done),)
        change = self._desk.change(done, now, updates=(done, counted), events=events)
        return Planned(change, SessionView(done, intent))

    def _expired(self, view: SessionView, ask: Ask | None) -> Planned:
        now = self._desk.clock.now()
        gone = view.session.changed(now, state=SessionState.EXPIRED, due_at=None)
        canceled = None
        if view.intent is not None and view.intent.state not in (*_PAID, IntentState.CANCELED):
            canceled = acts.canceled(view.intent, CancelReason.EXPIRED, now)
        after = SessionView(gone, canceled or view.intent)
        told = (("payment_intent.canceled", canceled),) if canceled is not None else ()
        change = self._desk.change(
            gone,
            now,
            claim=ask,
            ask=ask,
            view=after,
            updates=(gone, canceled),
            events=(("checkout.session.expired", gone), *told),
        )
        return Planned(change, after)


_PAID = (IntentState.SUCCEEDED, IntentState.REQUIRES_CAPTURE)


def _intent_order(order: SessionOrder, expires_at: datetime, session_id: UUID) -> IntentOrder:
    """Return the intent that a session is paid with: of the sum of its items and of everything beside them."""
    return IntentOrder(
        amount_minor=sum(item.total_minor for item in order.items)
        + sum(each.amount_minor for each in order.extras),
        currency=order.currency,
        capture_method=order.capture_method,
        method_kinds=orders.shown_kinds(order.method_kinds),
        customer_id=order.customer_id,
        receipt_email=order.customer_email,
        description=", ".join(item.name for item in order.items)[:DESCRIPTION_CHARS_MAX],
        metadata=order.metadata or {},
        expires_at=expires_at,
        link_id=order.link_id,
        session_id=session_id,
    )


def _check_items(items: tuple[LineItem, ...]) -> None:
    if not 1 <= len(items) <= LINE_ITEMS_MAX:
        raise BadParameter("parameter_invalid", "line_items", f"1 to {LINE_ITEMS_MAX} items")
    for place, item in enumerate(items):
        if not 1 <= item.quantity <= QUANTITY_MAX:
            raise BadParameter("parameter_invalid", f"line_items[{place}][quantity]", f"1 to {QUANTITY_MAX}")
        if item.unit_minor < 0:
            raise BadAmount(
                "amount_too_small", f"line_items[{place}][unit_amount]", "a price is not negative"
            )
        if not 0 < len(item.name) <= NAME_CHARS_MAX:
            raise BadParameter(
                "parameter_invalid", f"line_items[{place}][name]", f"1 to {NAME_CHARS_MAX} characters"
            )


def _check_extras(extras: tuple[Extra, ...]) -> None:
    """Raise BadParameter or BadAmount unless what stands beside the items has its sign and a short name."""
    if len(extras) > EXTRAS_MAX:
        raise BadParameter("parameter_invalid", "extras", f"at most {EXTRAS_MAX} parts beside the items")
    for place, extra in enumerate(extras):
        is_discount = extra.kind is ExtraKind.DISCOUNT
        if (extra.amount_minor > 0) if is_discount else (extra.amount_minor < 0):
            wanted = "a discount takes away" if is_discount else "only a discount takes away"
            raise BadAmount("amount_invalid", f"extras[{place}][amount]", wanted)
        if extra.label is not None and not 0 < len(extra.label) <= NAME_CHARS_MAX:
            raise BadParameter(
                "parameter_invalid", f"extras[{place}][label]", f"1 to {NAME_CHARS_MAX} characters"
            )


def _check_url(url: str | None, param: str) -> None:
    """Raise BadParameter unless a payer may be sent there: http or https, a host, no credentials."""
    if url is None:
        return
    parts = urlsplit(url)
    if (
        len(url) > URL_CHARS_MAX
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in parts.netloc
    ):
        raise BadParameter("url_invalid", param, "an http or https address of at most 2048 characters")


def _ids(ids: IdFactory) -> tuple[UUID, UUID]:
    """Return the ids of a new session and of its intent.

    Ids that are made one after the other are neighbors, and a session's id opens its page: a receipt that names the
    intent must not tell it.
    """
    session_id = ids.uuid()
    return session_id, derive(session_id, "intent")


def _parse(reference: str) -> UUID:
    try:
        return parse_uuid(CheckoutSession.PREFIX, reference)
    except ValueError as error:
        raise NotFound("resource_missing", "No such checkout session") from error
