"""Acknowledgments: who has seen an alert, and what they said about it."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; rows are only ever added."""
    op.execute(
        """
        -- reference table: what people said about alerts, a few rows a day
        CREATE TABLE parties.acknowledgment (
            alert text NOT NULL CHECK (char_length(alert) BETWEEN 1 AND 200),
            since timestamptz NOT NULL,
            number integer NOT NULL CHECK (number > 0),
            actor text NOT NULL,
            note text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (alert, since, number)
        )
        """
    )
    op.execute("CREATE INDEX acknowledgment_at ON parties.acknowledgment (at)")


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP TABLE parties.acknowledgment")
