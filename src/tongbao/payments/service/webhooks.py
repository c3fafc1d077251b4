"""Webhook endpoints: where a merchant is told of which events, and the secrets that prove who tells."""

import secrets
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import UNSET
from pydantic import SecretStr

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import LimitExceeded
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter, Missing
from tongbao.payments.policy import web_addresses
from tongbao.payments.policy import webhooks as policy
from tongbao.payments.ports import SecretBox
from tongbao.payments.schema.documents import (
    METADATA_KEY_CHARS_MAX,
    METADATA_KEYS_MAX,
    METADATA_VALUE_CHARS_MAX,
)
from tongbao.payments.schema.webhooks import (
    DESCRIPTION_CHARS_MAX,
    ENABLED_EVENTS_MAX,
    ENDPOINT_PREFIX,
    ENDPOINTS_MAX,
    OVERLAP_S_MAX,
    SECRET_BYTES,
    DisabledReason,
    Endpoint,
    EndpointChange,
    EndpointDraft,
    EndpointHealth,
    EndpointState,
    IssuedEndpoint,
    UrlFault,
    UrlRules,
)
from tongbao.payments.store import webhooks as store

HEALTH_ATTEMPTS = 100
_URL_RULES = {
    UrlFault.TOO_LONG: "a webhook URL has at most 2,048 characters",
    UrlFault.MALFORMED: "this is not a URL",
    UrlFault.SCHEME: "a webhook URL begins with https:// (in test mode also http://)",
    UrlFault.HTTPS_REQUIRED: "in live mode a webhook URL begins with https://",
    UrlFault.CREDENTIALS: "a webhook URL holds no user name or password: events are signed instead",
    UrlFault.HOST_NOT_PUBLIC: "a webhook URL names a host on the public internet",
}


class WebhookEndpoints:
    """The endpoints of one book at a time. What changes something joins the caller's transaction.

    An endpoint of another book is Missing. Who may do this is checked at the door.
    """

    def __init__(
        self, database: Database, box: SecretBox, rules: UrlRules, clock: Clock, ids: IdFactory
    ) -> None:
        self._database = database
        self._box = box
        self._rules = rules
        self._clock = clock
        self._ids = ids

    async def create(self, connection: Connection, scope: Scope, draft: EndpointDraft) -> IssuedEndpoint:
        """Create an endpoint and return it with its secret, which is never shown again; joins the transaction.

        Raises BadParameter ``url_invalid`` (``fault`` says why), ``enabled_events_invalid``, ``description_invalid``,
        ``metadata_invalid``; LimitExceeded ``webhook_endpoints_too_many`` from the 17th on.
        """
        now = self._clock.now()
        endpoint = Endpoint(
            id=self._ids.uuid(),
            book_id=scope.book_id,
            live=scope.live,
            url=draft.url,
            enabled_events=draft.enabled_events,
            description=draft.description,
            metadata=draft.metadata,
            api_version=draft.api_version,
            created_at=now,
            updated_at=now,
        )
        self._check(endpoint)
        text = policy.secret_text(secrets.token_bytes(SECRET_BYTES))
        sealed = self._box.seal(text.encode(), secret_context(endpoint.book_id, endpoint.id))
        # A slot that somebody else takes meanwhile is theirs: the next try finds another one.
        for _ in range(ENDPOINTS_MAX):
            if await store.insert_endpoint(connection, endpoint, sealed):
                return IssuedEndpoint(endpoint, SecretStr(text))
            if await store.endpoint_count(connection, scope.book_id) >= ENDPOINTS_MAX:
                break
        raise LimitExceeded(
            "webhook_endpoints_too_many", f"at most {ENDPOINTS_MAX} webhook endpoints in each mode"
        )

    async def get(self, scope: Scope, endpoint_id: UUID) -> Endpoint:
        """Return an endpoint; raise Missing."""
        async with self._database.connection() as connection:
            return _found(await store.endpoint(connection, scope.book_id, endpoint_id), endpoint_id)

    async def list(self, scope: Scope) -> list[Endpoint]:
        """Return all endpoints, at most 16, newest first."""
        async with self._database.connection() as connection:
            return await store.endpoints(connection, scope.book_id)

    async def health(self, scope: Scope, endpoint_id: UUID) -> EndpointHealth:
        """Return how an endpoint did over its last 100 attempts; raise Missing."""
        async with self._database.connection() as connection:
            row = await store.health(connection, scope.book_id, endpoint_id, HEALTH_ATTEMPTS)
        if row is None:
            raise Missing(ENDPOINT_PREFIX, endpoint_id)
        return EndpointHealth(
            state=policy.health_state(row.state, row.consecutive_failures),
            attempt_count=row.attempt_count,
            success_share=row.success_count / row.attempt_count if row.attempt_count else None,
            p95_ms=row.p95_ms,
            consecutive_failures=row.consecutive_failures,
            failing_since=row.failing_since,
        )

    async def update(
        self, connection: Connection, scope: Scope, endpoint_id: UUID, change: EndpointChange
    ) -> Endpoint:
        """Change what is set in ``change``, for deliveries from now on; joins the transaction.

        Raises Missing and what ``create`` raises for its fields.
        """
        fields = {
            name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not UNSET
        }
        changed = await self._next(connection, scope, endpoint_id, **fields)
        self._check(changed)
        await store.update_endpoint(connection, changed)
        return changed

    async def enable(self, connection: Connection, scope: Scope, endpoint_id: UUID) -> Endpoint:
        """Send again to an endpoint, what waited included, and forget that it failed; joins the transaction.

        Events from while it was disabled are not sent by themselves: replay them. Raises Missing, and BadParameter
        ``url_invalid`` where its URL is refused by now.
        """
        changed = await self._next(
            connection, scope, endpoint_id, state=EndpointState.ENABLED, disabled_reason=None
        )
        self._check(changed)
        await store.update_endpoint(connection, changed)
        return changed

    async def disable(self, connection: Connection, scope: Scope, endpoint_id: UUID) -> Endpoint:
        """Send nothing to an endpoint until it is enabled again; joins the transaction. Raises Missing."""
        changed = await self._next(
            connection,
            scope,
            endpoint_id,
            state=EndpointState.DISABLED,
            disabled_reason=DisabledReason.REQUESTED,
        )
        await store.update_endpoint(connection, changed)
        return changed

    async def rotate_secret(
        self, connection: Connection, scope: Scope, endpoint_id: UUID, *, overlap_s: int = OVERLAP_S_MAX
    ) -> IssuedEndpoint:
        """Give an endpoint a new secret and return it, this one time; joins the transaction.

        For ``overlap_s`` seconds (at most 24 hours, 0 for none) attempts are signed with both. A third secret does
        not count: rotating again within that time ends the oldest. Raises Missing, BadParameter ``overlap_invalid``.
        """
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise BadParameter("overlap_invalid", "overlap_s", f"0 to {OVERLAP_S_MAX} seconds")
        changed = await self._next(connection, scope, endpoint_id)
        text = policy.secret_text(secrets.token_bytes(SECRET_BYTES))
        sealed = self._box.seal(text.encode(), secret_context(changed.book_id, changed.id))
        until = changed.updated_at + timedelta(seconds=overlap_s) if overlap_s else None
        await store.rotate(connection, changed, sealed, until)
        return IssuedEndpoint(changed, SecretStr(text))

    async def delete(self, connection: Connection, scope: Scope, endpoint_id: UUID) -> None:
        """Delete an endpoint with its secrets; what waits for it is never sent. Joins the transaction.

        Raises Missing, also for one that was deleted before.
        """
        await self._next(connection, scope, endpoint_id)
        await store.delete_endpoint(connection, scope.book_id, endpoint_id, self._clock.now())

    async def _next(
        self, connection: Connection, scope: Scope, endpoint_id: UUID, **changes: object
    ) -> Endpoint:
        """Lock an endpoint and return its next version."""
        found = await store.endpoint(connection, scope.book_id, endpoint_id, lock=True)
        endpoint = _found(found, endpoint_id)
        now: datetime = self._clock.now()
        return msgspec.structs.replace(
            endpoint,
            version=endpoint.version + 1,
            updated_at=now,
            **changes,
        )

    def _check(self, endpoint: Endpoint) -> None:
        """Raise BadParameter for the first field that cannot be accepted."""
        fault = web_addresses.url_fault(endpoint.url, live=endpoint.live, rules=self._rules)
        if fault is not None:
            raise BadParameter("url_invalid", "url", _URL_RULES[fault], fault=fault.value)
        patterns = endpoint.enabled_events
        if not 1 <= len(patterns) <= ENABLED_EVENTS_MAX or not all(map(policy.is_pattern, patterns)):
            raise BadParameter(
                "enabled_events_invalid",
                "enabled_events",
                f"1 to {ENABLED_EVENTS_MAX} of: an event type, payment_intent.* or *",
            )
        if len(endpoint.description) > DESCRIPTION_CHARS_MAX or "\x00" in endpoint.description:
            raise BadParameter(
                "description_invalid", "description", f"at most {DESCRIPTION_CHARS_MAX} characters"
            )
        if not _metadata_fits(endpoint.metadata):
            raise BadParameter(
                "metadata_invalid", "metadata", f"at most {METADATA_KEYS_MAX} keys of limited length"
            )


def secret_context(book_id: int, endpoint_id: UUID) -> bytes:
    """Return what an endpoint's secret is bound to, so that it opens for this endpoint only."""
    return f"webhooks.endpoint|{book_id}|{endpoint_id}".encode()


def _found(endpoint: Endpoint | None, endpoint_id: UUID) -> Endpoint:
    if endpoint is None:
        raise Missing(ENDPOINT_PREFIX, endpoint_id)
    return endpoint


def _metadata_fits(metadata: dict[str, str]) -> bool:
    return len(metadata) <= METADATA_KEYS_MAX and all(
        0 < len(key) <= METADATA_KEY_CHARS_MAX
        and len(value) <= METADATA_VALUE_CHARS_MAX
        and "\x00" not in key + value
        for key, value in metadata.items()
    )
