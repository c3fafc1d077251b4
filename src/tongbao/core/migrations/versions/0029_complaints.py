"""Complaints: what payers say is wrong with a payment from their wallet, and what its merchant answers."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the partition of complaints, and an index by the wallet whose payer complains."""
    # The number is that of ``payments.schema.documents.Kind``.
    op.execute(
        "CREATE TABLE payments.complaint PARTITION OF payments.document FOR VALUES IN (11) WITH (fillfactor = 70)"
    )
    op.execute(
        """
        CREATE INDEX complaint_wallet ON payments.complaint (((body ->> 'wallet_book_id')::bigint), id)
        """
    )


def downgrade() -> None:
    """Remove them with everything in them."""
    op.execute("DROP TABLE payments.complaint")
