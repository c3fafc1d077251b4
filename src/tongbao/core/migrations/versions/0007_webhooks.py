"""Webhook endpoints, events and deliveries."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the webhooks schema."""
    op.execute("CREATE SCHEMA webhooks")


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA webhooks CASCADE")
