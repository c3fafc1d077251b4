"""Risk control: lists of entities that are blocked or let through."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        -- reference table: one row, locked by whoever changes a list; it numbers the changes in the order of commits
        CREATE TABLE risk.list_head (
            name text PRIMARY KEY,
            change_no bigint NOT NULL CHECK (change_no > 0)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE risk.list (
            book_id bigint NOT NULL,
            live boolean NOT NULL,
            name text NOT NULL,
            effect text NOT NULL,
            note text NOT NULL,
            declared_at timestamptz NOT NULL,
            declared_by text NOT NULL,
            change_no bigint NOT NULL,
            PRIMARY KEY (book_id, live, name)
        )
        """
    )
    op.execute("CREATE INDEX list_change ON risk.list (change_no)")
    # Rows of entries and removals are written once and never changed; what stands is an entry without a removal.
    op.execute(
        """
        CREATE TABLE risk.list_entry (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            live boolean NOT NULL,
            list_name text NOT NULL,
            kind text NOT NULL,
            value text NOT NULL,
            reason text NOT NULL,
            added_at timestamptz NOT NULL,
            added_by text NOT NULL,
            expires_at timestamptz,
            change_no bigint NOT NULL,
            PRIMARY KEY (book_id, id)
        )
        """
    )
    op.execute("CREATE INDEX list_entry_value ON risk.list_entry (book_id, live, list_name, kind, value)")
    op.execute("CREATE INDEX list_entry_page ON risk.list_entry (book_id, live, list_name, id)")
    op.execute("CREATE INDEX list_entry_change ON risk.list_entry (change_no, id)")
    op.execute(
        """
        CREATE TABLE risk.list_removal (
            book_id bigint NOT NULL,
            entry_id uuid NOT NULL,
            removed_at timestamptz NOT NULL,
            removed_by text NOT NULL,
            reason text NOT NULL,
            change_no bigint NOT NULL,
            PRIMARY KEY (book_id, entry_id)
        )
        """
    )
    op.execute("CREATE INDEX list_removal_change ON risk.list_removal (change_no, entry_id)")


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE risk.list_removal")
    op.execute("DROP TABLE risk.list_entry")
    op.execute("DROP TABLE risk.list")
    op.execute("DROP TABLE risk.list_head")
