"""The vault: wrapped keys, encrypted items, blind indexes, and the record of every reveal."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the privacy schema."""
    op.execute("CREATE SCHEMA privacy")


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA privacy CASCADE")
