"""Clearing: money that channels paid, days and their close."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; book 0 is the house, whose days they are."""
    # A match names a movement by its id alone.
    op.execute("CREATE INDEX movement_id ON clearing.movement (id, book_id)")
    # What a channel paid, by its line, once the bank showed it. Each round posted more of what it paid for; it is open
    # as long as lines of its batch wait for their merchant, or do not come to what was paid.
    op.execute(
        """
        CREATE TABLE clearing.channel_transfer (
            book_id bigint NOT NULL,
            line_id bigint NOT NULL,
            settled_at timestamptz NOT NULL,
            rounds integer NOT NULL,
            is_open boolean NOT NULL,
            source text NOT NULL,
            batch text NOT NULL,
            PRIMARY KEY (book_id, line_id)
        )
        """
    )
    op.execute(
        "CREATE INDEX channel_transfer_open ON clearing.channel_transfer (book_id, settled_at) WHERE is_open"
    )
    # Lines whose money left the suspense of the house: to a merchant's book, or to its own costs.
    op.execute(
        """
        CREATE TABLE clearing.channel_line (
            book_id bigint NOT NULL,
            line_id bigint NOT NULL,
            transfer_id bigint NOT NULL,
            round integer NOT NULL,
            PRIMARY KEY (book_id, line_id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE clearing.day (
            book_id bigint NOT NULL,
            closed_on date NOT NULL,
            version integer NOT NULL,
            state text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, closed_on)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE clearing.day_act (
            book_id bigint NOT NULL,
            closed_on date NOT NULL,
            version integer NOT NULL,
            at timestamptz NOT NULL,
            act text NOT NULL,
            actor text NOT NULL,
            note text NOT NULL,
            report jsonb,
            PRIMARY KEY (book_id, closed_on, version)
        )
        """
    )
    # Up to this day nothing more is dated. Whoever dates something shares the row until the commit, so that no day is closed
    # meanwhile.
    op.execute(
        """
        CREATE TABLE clearing.locked_until (
            book_id bigint NOT NULL,
            locked_on date NOT NULL,
            PRIMARY KEY (book_id)
        )
        """
    )
    op.execute("INSERT INTO clearing.locked_until (book_id, locked_on) VALUES (0, DATE '0001-01-01')")


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE clearing.locked_until")
    op.execute("DROP TABLE clearing.day_act")
    op.execute("DROP TABLE clearing.day")
    op.execute("DROP TABLE clearing.channel_line")
    op.execute("DROP TABLE clearing.channel_transfer")
    op.execute("DROP INDEX clearing.movement_id")
