"""Clearing: money that no payment moves, what is looked for among open payments, and how far old payments were gone through."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and indexes."""
    op.execute(
        """
        CREATE TABLE clearing.adjustment (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            reverses uuid,
            amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            version integer NOT NULL,
            live boolean NOT NULL,
            currency text NOT NULL,
            state text NOT NULL,
            reference text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, reference)
        )
        """
    )
    # The house lists them over all books; one is taken back once.
    op.execute("CREATE INDEX adjustment_state ON clearing.adjustment (state, id)")
    op.execute("CREATE INDEX adjustment_id ON clearing.adjustment (id)")
    op.execute(
        """
        CREATE UNIQUE INDEX adjustment_reverses ON clearing.adjustment (book_id, reverses)
        WHERE reverses IS NOT NULL AND state <> 'declined'
        """
    )
    op.execute(
        """
        CREATE TABLE clearing.demand (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            left_minor bigint NOT NULL CHECK (left_minor >= 0),
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            due_on date NOT NULL,
            version integer NOT NULL,
            live boolean NOT NULL,
            currency text NOT NULL,
            state text NOT NULL,
            reference text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, reference)
        )
        """
    )
    op.execute("CREATE INDEX demand_state ON clearing.demand (state, id)")
    op.execute("CREATE INDEX demand_id ON clearing.demand (id)")
    op.execute(
        """
        CREATE INDEX demand_standing ON clearing.demand (book_id, currency, live, due_on)
        WHERE state IN ('open', 'part_paid')
        """
    )
    # One reference of a bank pays once in a book.
    op.execute(
        """
        CREATE TABLE clearing.debt_receipt (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            demand_id uuid NOT NULL,
            amount_minor bigint NOT NULL CHECK (amount_minor > 0),
            line_id bigint,
            recorded_at timestamptz NOT NULL,
            received_on date NOT NULL,
            currency text NOT NULL,
            bank_reference text NOT NULL,
            actor text NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, bank_reference)
        )
        """
    )
    op.execute("CREATE INDEX debt_receipt_demand ON clearing.debt_receipt (book_id, demand_id, id)")
    op.execute(
        """
        CREATE INDEX position_debt ON clearing.position (book_id, currency, live) WHERE carried_minor < 0
        """
    )
    # How far the journal of each account was gone through for movements that nobody recorded: what comes next, and what was found.
    op.execute(
        """
        CREATE TABLE clearing.backfill (
            book_id bigint NOT NULL,
            account_id bigint NOT NULL,
            seen_count bigint NOT NULL,
            made_count bigint NOT NULL,
            unexplained_count bigint NOT NULL,
            updated_at timestamptz NOT NULL,
            is_done boolean NOT NULL,
            next_before text,
            unexplained uuid[] NOT NULL,
            PRIMARY KEY (book_id, account_id)
        )
        """
    )
    # Payments and refunds of which nobody asks any more although their end is unknown; those that are still asked about are
    # found by when they are due. On the way of a payment neither index is written.
    op.execute(
        """
        CREATE INDEX attempt_lost ON payments.attempt (id)
        WHERE due_at IS NULL AND state IN ('sent', 'action_required', 'pending', 'unresolved')
        """
    )
    op.execute(
        """
        CREATE INDEX refund_lost ON payments.refund (id)
        WHERE due_at IS NULL AND state IN ('sent', 'pending', 'unresolved')
        """
    )
    # Payouts that have no end yet, for the close of a day.
    op.execute(
        """
        CREATE INDEX payout_open ON clearing.payout (due_on)
        WHERE state IN ('created', 'sent', 'accepted', 'unresolved')
        """
    )
    # The newest payouts over all books.
    op.execute("CREATE INDEX payout_newest ON clearing.payout (id)")


def downgrade() -> None:
    """Remove everything."""
    op.execute("DROP INDEX clearing.payout_newest")
    op.execute("DROP INDEX clearing.payout_open")
    op.execute("DROP INDEX payments.refund_lost")
    op.execute("DROP INDEX payments.attempt_lost")
    op.execute("DROP TABLE clearing.backfill")
    op.execute("DROP INDEX clearing.position_debt")
    op.execute("DROP TABLE clearing.debt_receipt")
    op.execute("DROP TABLE clearing.demand")
    op.execute("DROP TABLE clearing.adjustment")
