"""Clearing: which sources are of one channel, and what each of them tells."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the view: the newest version of every source."""
    op.execute(
        """
        CREATE VIEW clearing.source_now AS
        SELECT DISTINCT ON (s.source) s.source, coalesce(nullif(s.body ->> 'channel', ''), s.source) AS channel,
            coalesce(s.body ->> 'tells', 'payments') AS tells, s.body ->> 'bank' AS bank
        FROM clearing.source AS s ORDER BY s.source, s.version DESC
        """
    )


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP VIEW clearing.source_now")
