"""Payments and everything around them."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the payments schema."""
    op.execute("CREATE SCHEMA payments")


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA payments CASCADE")
