"""Risk control: what was seen of models in use, and the settings of cases."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        -- reference table: the latest look at a model in each mode; a row a model
        CREATE TABLE risk.model_watch (
            digest text NOT NULL,
            live boolean NOT NULL,
            looked_at timestamptz NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (digest, live)
        )
        """
    )
    # Versions are only ever added; what is asked of a second person is answered once.
    op.execute(
        """
        -- reference table: a few rows; how cases of all books are worked, version by version
        CREATE TABLE risk.case_setting (
            version integer PRIMARY KEY CHECK (version > 0),
            made_at timestamptz NOT NULL,
            made_by text NOT NULL,
            note text NOT NULL,
            spec jsonb NOT NULL,
            decided_at timestamptz,
            decided_by text NOT NULL,
            state text NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE risk.case_setting")
    op.execute("DROP TABLE risk.model_watch")
