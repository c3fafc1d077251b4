"""Webhook endpoints, events and deliveries."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the webhooks schema."""
    op.execute("CREATE SCHEMA webhooks")
    # position and place: of the fact in the order of commits, and of the event in its fact.
    op.execute(
        """
        CREATE TABLE webhooks.event (
            book_id bigint NOT NULL,
            event_id uuid NOT NULL,
            position bigint NOT NULL,
            place smallint NOT NULL,
            sequence integer NOT NULL,
            live boolean NOT NULL,
            created_at timestamptz NOT NULL,
            object_id uuid NOT NULL,
            object_kind text NOT NULL,
            type text NOT NULL,
            snapshot text NOT NULL,
            previous text,
            request_id text,
            idempotency_key text,
            PRIMARY KEY (book_id, event_id)
        )
        """
    )
    op.execute("CREATE INDEX event_time ON webhooks.event (book_id, created_at, position, place)")
    op.execute("CREATE INDEX event_object ON webhooks.event (book_id, object_id, position, place)")
    op.execute("CREATE INDEX event_created ON webhooks.event (created_at)")
    # A deleted endpoint has no slot; two with the same slot cannot be, which bounds their number in a book.
    op.execute(
        """
        CREATE TABLE webhooks.endpoint (
            book_id bigint NOT NULL,
            endpoint_id uuid NOT NULL,
            slot smallint,
            version integer NOT NULL CHECK (version > 0),
            consecutive_failures integer NOT NULL,
            live boolean NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            failing_since timestamptz,
            previous_until timestamptz,
            state text NOT NULL,
            url text NOT NULL,
            description text NOT NULL,
            api_version text,
            disabled_reason text,
            enabled_events text[] NOT NULL,
            metadata jsonb NOT NULL,
            secret bytea NOT NULL,
            previous_secret bytea,
            PRIMARY KEY (book_id, endpoint_id),
            UNIQUE (book_id, slot)
        ) WITH (fillfactor = 50)
        """
    )
    # due_at is NULL where nothing more is to be done; round_start counts the attempts before the last resend.
    op.execute(
        """
        CREATE TABLE webhooks.delivery (
            book_id bigint NOT NULL,
            endpoint_id uuid NOT NULL,
            event_id uuid NOT NULL,
            position bigint NOT NULL,
            place smallint NOT NULL,
            attempt_count integer NOT NULL,
            round_start integer NOT NULL,
            occurred_at timestamptz NOT NULL,
            due_at timestamptz,
            ended_at timestamptz,
            object_id uuid NOT NULL,
            state text NOT NULL,
            PRIMARY KEY (book_id, endpoint_id, event_id)
        ) WITH (fillfactor = 70)
        """
    )
    op.execute(
        """
        CREATE INDEX delivery_due ON webhooks.delivery (book_id, endpoint_id, due_at, position, place)
        WHERE due_at IS NOT NULL
        """
    )
    op.execute(
        """
        CREATE INDEX delivery_object ON webhooks.delivery (book_id, endpoint_id, object_id, position, place)
        WHERE due_at IS NOT NULL
        """
    )
    op.execute(
        "CREATE INDEX delivery_time ON webhooks.delivery (book_id, endpoint_id, occurred_at, position, place)"
    )
    op.execute("CREATE INDEX delivery_event ON webhooks.delivery (book_id, event_id)")
    op.execute(
        """
        CREATE TABLE webhooks.attempt (
            book_id bigint NOT NULL,
            endpoint_id uuid NOT NULL,
            event_id uuid NOT NULL,
            attempt_no integer NOT NULL,
            took_ms integer NOT NULL,
            attempted_at timestamptz NOT NULL,
            status smallint,
            failure text,
            answer text NOT NULL,
            PRIMARY KEY (book_id, endpoint_id, event_id, attempt_no)
        )
        """
    )
    op.execute("CREATE INDEX attempt_time ON webhooks.attempt (book_id, endpoint_id, attempted_at)")


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA webhooks CASCADE")
