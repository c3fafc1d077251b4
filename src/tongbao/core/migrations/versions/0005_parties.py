"""Merchants, stores, packages, people, keys, sessions, customers, payers, devices."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the parties schema."""
    op.execute("CREATE SCHEMA parties")


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA parties CASCADE")
