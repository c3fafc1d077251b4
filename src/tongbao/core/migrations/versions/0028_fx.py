"""Reference rates of exchange with the files that they came from; holidays that authorities announce, with who entered them."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; rates, files and acts are only ever added."""
    op.execute("CREATE SCHEMA fx")
    op.execute(
        """
        -- reference table: some forty rates a working day
        CREATE TABLE fx.rate (
            source text NOT NULL,
            base text NOT NULL,
            quote text NOT NULL,
            published_on date NOT NULL,
            revision integer NOT NULL CHECK (revision > 0),
            rate numeric NOT NULL CHECK (rate > 0),
            imported_at timestamptz NOT NULL,
            file_digest text NOT NULL,
            PRIMARY KEY (source, base, quote, published_on, revision)
        )
        """
    )
    # The newest day of a source, whatever the pair.
    op.execute("CREATE INDEX rate_newest ON fx.rate (source, published_on)")
    op.execute(
        """
        -- reference table: one row a file
        CREATE TABLE fx.rate_file (
            source text NOT NULL,
            digest text NOT NULL,
            imported_at timestamptz NOT NULL,
            imported_by text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (source, digest)
        )
        """
    )
    op.execute(
        """
        -- reference table: a few announcements a year
        CREATE TABLE clearing.announcement (
            id uuid NOT NULL,
            calendar text NOT NULL,
            year integer NOT NULL,
            state text NOT NULL,
            version integer NOT NULL,
            decided_at timestamptz,
            body jsonb NOT NULL,
            PRIMARY KEY (id)
        )
        """
    )
    op.execute("CREATE INDEX announcement_year ON clearing.announcement (calendar, year, decided_at)")
    op.execute(
        """
        -- reference table: a few acts a year
        CREATE TABLE clearing.announcement_act (
            announcement_id uuid NOT NULL,
            version integer NOT NULL,
            at timestamptz NOT NULL,
            act text NOT NULL,
            actor text NOT NULL,
            note text NOT NULL,
            PRIMARY KEY (announcement_id, version)
        )
        """
    )
    op.execute("CREATE INDEX announcement_act_at ON clearing.announcement_act (at)")


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE clearing.announcement_act")
    op.execute("DROP TABLE clearing.announcement")
    op.execute("DROP SCHEMA fx CASCADE")
