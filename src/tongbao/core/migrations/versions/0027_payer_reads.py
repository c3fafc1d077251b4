"""Payers' own reads: what of all merchants' payments belongs to one wallet, without walking through the rest."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create two small indexes: over methods that are wallets, and over payments that wait for their payer."""
    op.execute(
        """
        CREATE INDEX payment_method_wallet ON payments.payment_method (((body #>> '{method,book_id}')::bigint), id)
        WHERE body #>> '{method,type}' = 'wallet'
        """
    )
    op.execute(
        """
        CREATE INDEX intent_waits ON payments.intent (book_id, ((body ->> 'method_id')::uuid))
        WHERE state = 'requires_action'
        """
    )


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP INDEX payments.payment_method_wallet, payments.intent_waits")
