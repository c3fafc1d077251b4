"""Clearing: receipts and invoices, and movements of a book by time."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the index that bills and statements walk along."""
    op.execute("CREATE INDEX movement_time ON clearing.movement (book_id, occurred_at, id)")
    # Locked by whoever numbers, so that numbers follow each other without gaps.
    op.execute(
        """
        CREATE TABLE clearing.receipt_series (
            book_id bigint NOT NULL,
            series text NOT NULL,
            year integer NOT NULL,
            last_number bigint NOT NULL,
            PRIMARY KEY (book_id, series, year)
        )
        """
    )
    # Of one payment there may be several: each holds what was claimed since the one before it.
    op.execute(
        """
        CREATE TABLE clearing.receipt (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            source_id uuid NOT NULL,
            number bigint NOT NULL CHECK (number > 0),
            issued_at timestamptz NOT NULL,
            year integer NOT NULL,
            part integer NOT NULL CHECK (part > 0),
            kind text NOT NULL,
            series text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, series, year, number),
            UNIQUE (book_id, kind, source_id, part)
        )
        """
    )


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE clearing.receipt")
    op.execute("DROP TABLE clearing.receipt_series")
    op.execute("DROP INDEX clearing.movement_time")
