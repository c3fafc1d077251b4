"""Routing: tallies of attempts, announcements, and snapshots of what was learned."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the routing schema."""
    op.execute("CREATE SCHEMA routing")
    # Attempts by minute and everything that a drop is explained by. ``took_ms`` is the sum over the attempts.
    op.execute(
        """
        CREATE TABLE routing.tally (
            book_id bigint NOT NULL,
            minute_at timestamptz NOT NULL,
            channel text NOT NULL,
            method text NOT NULL,
            issuer text NOT NULL,
            currency text NOT NULL,
            mark text NOT NULL,
            code text NOT NULL,
            live boolean NOT NULL,
            count bigint NOT NULL CHECK (count >= 0),
            amount_minor bigint NOT NULL,
            took_ms bigint NOT NULL,
            PRIMARY KEY (book_id, minute_at, live, channel, method, issuer, currency, mark, code)
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX tally_minute ON routing.tally (minute_at)")
    op.execute(
        """
        -- reference table: what routing announced to people, across all books
        CREATE TABLE routing.notice (
            id uuid PRIMARY KEY,
            at timestamptz NOT NULL,
            kind text NOT NULL,
            channel text NOT NULL,
            live boolean NOT NULL,
            body jsonb NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX notice_at ON routing.notice (at)")
    op.execute(
        """
        -- reference table: the learned state at a position of the facts; a process starts from the newest
        CREATE TABLE routing.snapshot (
            position bigint PRIMARY KEY,
            taken_at timestamptz NOT NULL,
            digest text NOT NULL,
            body bytea NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA routing CASCADE")
