"""Idempotent requests: who asked what under which key, and what the answer was."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the requests schema."""
    op.execute("CREATE SCHEMA requests")
    op.execute(
        """
        CREATE TABLE requests.claim (
            book_id bigint NOT NULL,
            key_digest bytea NOT NULL,
            fingerprint bytea NOT NULL,
            subject_id uuid,
            claimed_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            status smallint,
            answer bytea,
            PRIMARY KEY (book_id, key_digest)
        ) WITH (fillfactor = 70)
        """
    )
    op.execute(
        """
        -- per-engine: only the sweeper of old answers looks here; engines without BRIN take a plain index
        CREATE INDEX claim_expires ON requests.claim USING brin (expires_at) WITH (pages_per_range = 32)
        """
    )


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA requests CASCADE")
