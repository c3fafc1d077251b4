"""Payments: one table of versioned documents, a partition for each kind, and outside ids that are unique."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the payments schema."""
    op.execute("CREATE SCHEMA payments")
    op.execute(
        """
        CREATE TABLE payments.document (
            book_id bigint NOT NULL,
            kind smallint NOT NULL,
            id uuid NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            state text NOT NULL,
            parent_id uuid,
            owner_id uuid,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            due_at timestamptz,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, kind, id)
        ) PARTITION BY LIST (kind)
        """
    )
    # The numbers are those of ``payments.schema.documents.Kind``.
    op.execute(
        "CREATE TABLE payments.intent PARTITION OF payments.document FOR VALUES IN (1) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.attempt PARTITION OF payments.document FOR VALUES IN (2) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.refund PARTITION OF payments.document FOR VALUES IN (3) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.dispute PARTITION OF payments.document FOR VALUES IN (4) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.payment_method PARTITION OF payments.document FOR VALUES IN (5) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.setup_intent PARTITION OF payments.document FOR VALUES IN (6) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.mandate PARTITION OF payments.document FOR VALUES IN (7) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.payment_link PARTITION OF payments.document FOR VALUES IN (8) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.checkout_session PARTITION OF payments.document FOR VALUES IN (9) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE TABLE payments.wallet_transfer PARTITION OF payments.document FOR VALUES IN (10) WITH (fillfactor = 70)"
    )
    op.execute(
        "CREATE INDEX document_parent ON payments.document (book_id, parent_id) WHERE parent_id IS NOT NULL"
    )
    op.execute(
        "CREATE INDEX document_owner ON payments.document (book_id, owner_id) WHERE owner_id IS NOT NULL"
    )
    op.execute("CREATE INDEX document_due ON payments.document (due_at) WHERE due_at IS NOT NULL")
    # Notifications name an attempt or a refund without its book.
    op.execute("CREATE INDEX attempt_id ON payments.attempt (id)")
    # What people paste from a channel's console.
    op.execute(
        """
        CREATE INDEX attempt_channel_reference ON payments.attempt ((body ->> 'channel_reference'), book_id)
        WHERE body ->> 'channel_reference' IS NOT NULL
        """
    )
    op.execute("CREATE INDEX refund_id ON payments.refund (id)")
    op.execute("CREATE INDEX checkout_session_id ON payments.checkout_session (id)")
    op.execute("CREATE INDEX payment_link_id ON payments.payment_link (id)")
    op.execute(
        """
        CREATE TABLE payments.reference (
            book_id bigint NOT NULL,
            kind smallint NOT NULL,
            value text NOT NULL,
            subject_id uuid NOT NULL,
            PRIMARY KEY (book_id, kind, value)
        )
        """
    )


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA payments CASCADE")
