"""Clearing: runs of the reconciliation, matches and breaks."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; book 0 is the house, which reconciles for all."""
    op.execute(
        """
        CREATE TABLE clearing.run (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            leg text NOT NULL,
            source text NOT NULL,
            until_on date NOT NULL,
            started_at timestamptz NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id)
        )
        """
    )
    op.execute("CREATE INDEX run_source ON clearing.run (book_id, leg, source, started_at)")
    # Insert-only: a match of several stands as a star around its first record. Who undid one stands beside it.
    op.execute(
        """
        CREATE TABLE clearing.matched (
            book_id bigint NOT NULL,
            line_id bigint NOT NULL,
            expected_id uuid NOT NULL,
            run_id uuid NOT NULL,
            confidence real NOT NULL,
            how smallint NOT NULL,
            leg smallint NOT NULL,
            PRIMARY KEY (book_id, leg, line_id, expected_id)
        )
        """
    )
    op.execute("CREATE INDEX matched_expected ON clearing.matched (book_id, leg, expected_id)")
    op.execute(
        """
        CREATE TABLE clearing.break (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            owner_book_id bigint,
            opened_on date NOT NULL,
            opened_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            difference_minor bigint NOT NULL,
            version integer NOT NULL,
            leg text NOT NULL,
            source text NOT NULL,
            kind text NOT NULL,
            state text NOT NULL,
            currency text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id)
        )
        """
    )
    op.execute("CREATE INDEX break_state ON clearing.break (book_id, state, opened_on, id)")
    op.execute("CREATE INDEX break_source ON clearing.break (book_id, leg, source, state)")
    op.execute(
        """
        CREATE TABLE clearing.break_act (
            book_id bigint NOT NULL,
            break_id uuid NOT NULL,
            version integer NOT NULL,
            at timestamptz NOT NULL,
            state text NOT NULL,
            actor text NOT NULL,
            note text NOT NULL,
            PRIMARY KEY (book_id, break_id, version)
        )
        """
    )


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE clearing.break_act")
    op.execute("DROP TABLE clearing.break")
    op.execute("DROP TABLE clearing.matched")
    op.execute("DROP TABLE clearing.run")
