"""Clearing: files of channels and banks, and their lines."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; book 0 is the house, to which files are sent."""
    op.execute(
        """
        -- reference table: the few channels and accounts that send files
        CREATE TABLE clearing.source (
            source text NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            made_at timestamptz NOT NULL,
            made_by text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (source, version)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE clearing.file (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            number bigint NOT NULL CHECK (number > 0),
            received_at timestamptz NOT NULL,
            until_on date,
            sequence bigint,
            source text NOT NULL,
            side text NOT NULL,
            state text NOT NULL,
            digest bytea NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, digest),
            UNIQUE (book_id, number)
        )
        """
    )
    op.execute("CREATE INDEX file_source ON clearing.file (book_id, source, received_at)")
    # The id is the number of the file times 2**24 and the number of the line.
    op.execute(
        """
        CREATE TABLE clearing.line (
            book_id bigint NOT NULL,
            id bigint NOT NULL,
            gross_minor bigint NOT NULL,
            fee_minor bigint NOT NULL,
            net_minor bigint NOT NULL,
            occurred_at timestamptz,
            business_on date NOT NULL,
            value_on date,
            count integer NOT NULL,
            source text NOT NULL,
            kind text NOT NULL,
            currency text NOT NULL,
            key text NOT NULL,
            reference text NOT NULL,
            channel_reference text NOT NULL,
            batch text NOT NULL,
            note text NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, source, key)
        )
        """
    )
    op.execute("CREATE INDEX line_day ON clearing.line (book_id, source, business_on)")
    op.execute(
        "CREATE INDEX line_reference ON clearing.line (book_id, source, reference) WHERE reference <> ''"
    )
    op.execute(
        """
        CREATE INDEX line_channel_reference ON clearing.line (book_id, source, channel_reference)
        WHERE channel_reference <> ''
        """
    )
    op.execute("CREATE INDEX line_batch ON clearing.line (book_id, source, batch) WHERE batch <> ''")


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE clearing.line")
    op.execute("DROP TABLE clearing.file")
    op.execute("DROP TABLE clearing.source")
