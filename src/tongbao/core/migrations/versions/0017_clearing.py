"""Clearing: prices, agreements, movements, batches."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the clearing schema."""
    op.execute("CREATE SCHEMA clearing")
    op.execute(
        """
        -- reference table: the few price lists of a house, read by every process
        CREATE TABLE clearing.schedule_version (
            name text NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            state text NOT NULL CHECK (state IN ('draft', 'published', 'withdrawn')),
            effective_at timestamptz,
            spec jsonb NOT NULL,
            simulation jsonb,
            note text NOT NULL,
            made_by text NOT NULL,
            made_at timestamptz NOT NULL,
            published_by text,
            published_at timestamptz,
            history jsonb NOT NULL,
            PRIMARY KEY (name, version)
        )
        """
    )
    # Book 0 is the house: what holds where a merchant agreed on nothing of its own.
    op.execute(
        """
        CREATE TABLE clearing.agreement (
            book_id bigint NOT NULL,
            currency text NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            effective_at timestamptz NOT NULL,
            made_at timestamptz NOT NULL,
            made_by text NOT NULL,
            note text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, currency, version)
        )
        """
    )
    # Cut by the time in the id, which is that of the document it is derived from.
    op.execute(
        """
        CREATE TABLE clearing.movement (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            transfer_key uuid NOT NULL,
            source_id uuid NOT NULL,
            intent_id uuid,
            batch_id uuid,
            amount_minor bigint NOT NULL,
            occurred_at timestamptz NOT NULL,
            recorded_at timestamptz NOT NULL,
            cut_at timestamptz NOT NULL,
            payout_on date NOT NULL,
            kind smallint NOT NULL,
            live boolean NOT NULL,
            currency text NOT NULL,
            channel text NOT NULL,
            method text NOT NULL,
            brand text NOT NULL,
            funding text NOT NULL,
            card_country text NOT NULL,
            store text NOT NULL,
            reference text NOT NULL,
            channel_reference text,
            PRIMARY KEY (book_id, id)
        ) PARTITION BY RANGE (id)
        """
    )
    op.execute("CREATE TABLE clearing.movement_default PARTITION OF clearing.movement DEFAULT")
    # What is due, over all books; and what one batch takes.
    op.execute(
        """
        CREATE INDEX movement_waiting ON clearing.movement (cut_at, book_id, currency, live, payout_on)
        WHERE batch_id IS NULL
        """
    )
    op.execute(
        """
        CREATE INDEX movement_taking ON clearing.movement (book_id, currency, live, cut_at)
        WHERE batch_id IS NULL
        """
    )
    op.execute("CREATE INDEX movement_batch ON clearing.movement (book_id, batch_id, id)")
    op.execute("CREATE INDEX movement_intent ON clearing.movement (book_id, intent_id)")
    # What a reconciliation of one channel walks along, over all books.
    op.execute("CREATE INDEX movement_channel ON clearing.movement (channel, occurred_at, book_id)")
    op.execute(
        """
        CREATE TABLE clearing.priced (
            book_id bigint NOT NULL,
            movement_id uuid NOT NULL,
            batch_id uuid NOT NULL,
            fee_minor bigint NOT NULL,
            tax_minor bigint NOT NULL,
            cost_minor bigint NOT NULL,
            agent_minor bigint NOT NULL,
            reserve_minor bigint NOT NULL,
            net_minor bigint NOT NULL,
            schedule_version integer NOT NULL,
            schedule text NOT NULL,
            parts jsonb NOT NULL,
            PRIMARY KEY (book_id, movement_id)
        ) PARTITION BY RANGE (movement_id)
        """
    )
    op.execute("CREATE TABLE clearing.priced_default PARTITION OF clearing.priced DEFAULT")
    op.execute("CREATE INDEX priced_batch ON clearing.priced (book_id, batch_id, movement_id)")
    op.execute(
        """
        CREATE TABLE clearing.batch (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            live boolean NOT NULL,
            currency text NOT NULL,
            cut_at timestamptz NOT NULL,
            payout_on date NOT NULL,
            state text NOT NULL,
            version integer NOT NULL,
            payout_id uuid,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id),
            UNIQUE (book_id, currency, live, cut_at)
        )
        """
    )
    op.execute("CREATE INDEX batch_state ON clearing.batch (state, payout_on, book_id)")
    # Whether an earlier batch of the same money is still to be priced.
    op.execute(
        "CREATE INDEX batch_cut ON clearing.batch (book_id, currency, live, cut_at) WHERE state = 'cut'"
    )
    # What is withheld of a batch, until when, and whether it was given back.
    op.execute(
        """
        CREATE TABLE clearing.reserve (
            book_id bigint NOT NULL,
            batch_id uuid NOT NULL,
            currency text NOT NULL,
            live boolean NOT NULL,
            held_minor bigint NOT NULL CHECK (held_minor > 0),
            until_on date NOT NULL,
            released_by uuid,
            PRIMARY KEY (book_id, batch_id)
        )
        """
    )
    op.execute(
        "CREATE INDEX reserve_due ON clearing.reserve (until_on, book_id, currency, live) WHERE released_by IS NULL"
    )
    # One row a book, currency and mode: locked by whoever cuts or prices, so that batches follow each other. carried_minor is
    # what the last priced batch left for the next one, negative where the merchant owes; what it sold in a month, to
    # find its tier, is counted beside it.
    op.execute(
        """
        CREATE TABLE clearing.position (
            book_id bigint NOT NULL,
            currency text NOT NULL,
            live boolean NOT NULL,
            last_cut_at timestamptz NOT NULL,
            carried_minor bigint NOT NULL,
            PRIMARY KEY (book_id, currency, live)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE clearing.volume (
            book_id bigint NOT NULL,
            currency text NOT NULL,
            live boolean NOT NULL,
            month_on date NOT NULL,
            sold_minor bigint NOT NULL,
            PRIMARY KEY (book_id, currency, live, month_on)
        )
        """
    )


def downgrade() -> None:
    """Remove everything."""
    op.execute("DROP SCHEMA clearing CASCADE")
