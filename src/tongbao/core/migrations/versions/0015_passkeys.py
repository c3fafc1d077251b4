"""Passkeys of merchants' customers: who holds one is told with the book, as everything that a merchant owns."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the book of a customer's passkey; people and payers hold theirs in no book."""
    op.execute(
        """
        ALTER TABLE parties.passkey ADD COLUMN book_id bigint
            CONSTRAINT passkey_book CHECK ((holder_kind = 'customer') = (book_id IS NOT NULL))
        """
    )


def downgrade() -> None:
    """Remove the passkeys of customers, which the column before knew nothing of, and their book."""
    op.execute("DELETE FROM parties.passkey WHERE holder_kind = 'customer'")
    op.execute("ALTER TABLE parties.passkey DROP COLUMN book_id")
