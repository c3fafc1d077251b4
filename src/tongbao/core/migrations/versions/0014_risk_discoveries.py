"""Risk control: what was discovered without being looked for."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        -- reference table: a few rows; what the traffic of all books together taught
        CREATE TABLE risk.discovery (
            id uuid PRIMARY KEY,
            live boolean NOT NULL,
            made_at timestamptz NOT NULL,
            digest text NOT NULL,
            body bytea NOT NULL,
            detectors bytea NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP TABLE risk.discovery")
