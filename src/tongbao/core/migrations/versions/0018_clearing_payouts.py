"""Clearing: accounts that money may go to, payouts, messages of banks."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    # The number of the account is sealed; the fingerprint finds the same account again within a book.
    op.execute(
        """
        CREATE TABLE clearing.destination (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            version integer NOT NULL,
            usable_at timestamptz,
            updated_at timestamptz NOT NULL,
            state text NOT NULL,
            currency text NOT NULL,
            fingerprint bytea NOT NULL,
            sealed bytea NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id)
        )
        """
    )
    op.execute("CREATE INDEX destination_currency ON clearing.destination (book_id, currency, state)")
    # One account in use at a time, whoever takes it into use.
    op.execute(
        """
        CREATE UNIQUE INDEX destination_active ON clearing.destination (book_id, currency) WHERE state = 'active'
        """
    )
    op.execute(
        """
        CREATE TABLE clearing.destination_act (
            book_id bigint NOT NULL,
            destination_id uuid NOT NULL,
            version integer NOT NULL,
            at timestamptz NOT NULL,
            state text NOT NULL,
            actor text NOT NULL,
            note text NOT NULL,
            PRIMARY KEY (book_id, destination_id, version)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE clearing.payout (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            batch_id uuid NOT NULL,
            destination_id uuid NOT NULL,
            amount_minor bigint NOT NULL CHECK (amount_minor > 0),
            version integer NOT NULL,
            live boolean NOT NULL,
            due_on date NOT NULL,
            due_at timestamptz,
            sent_at timestamptz,
            ended_at timestamptz,
            updated_at timestamptz NOT NULL,
            state text NOT NULL,
            currency text NOT NULL,
            bank text NOT NULL,
            end_to_end text NOT NULL,
            message_id text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, end_to_end)
        )
        """
    )
    op.execute("CREATE INDEX payout_batch ON clearing.payout (book_id, batch_id)")
    op.execute("CREATE INDEX payout_due ON clearing.payout (due_at, book_id) WHERE due_at IS NOT NULL")
    op.execute("CREATE INDEX payout_bank ON clearing.payout (bank, state, due_on)")
    # What a bank names is found over all books: by transfer, and by message.
    op.execute("CREATE INDEX payout_end_to_end ON clearing.payout (end_to_end)")
    op.execute("CREATE INDEX payout_message ON clearing.payout (message_id) WHERE message_id <> ''")
    # What was said to banks and by them, as it went over the wire, sealed: it names people and their accounts. Book 0 is the
    # house's, which is who speaks.
    op.execute(
        """
        CREATE TABLE clearing.bank_message (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            at timestamptz NOT NULL,
            is_outgoing boolean NOT NULL,
            bank text NOT NULL,
            kind text NOT NULL,
            message_id text NOT NULL,
            state text NOT NULL,
            attempts integer NOT NULL,
            due_at timestamptz,
            digest bytea NOT NULL,
            content bytea NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, bank, digest)
        )
        """
    )
    op.execute("CREATE INDEX bank_message_id ON clearing.bank_message (book_id, bank, message_id)")
    op.execute(
        "CREATE INDEX bank_message_due ON clearing.bank_message (book_id, due_at) WHERE due_at IS NOT NULL"
    )


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE clearing.bank_message")
    op.execute("DROP TABLE clearing.payout")
    op.execute("DROP TABLE clearing.destination_act")
    op.execute("DROP TABLE clearing.destination")
