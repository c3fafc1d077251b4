"""Risk control: the journal that state is folded from, judged payments with their links, snapshots, models."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the risk schema."""
    op.execute("CREATE SCHEMA risk")
    op.execute(
        """
        -- reference table: the facts of risk control in the order of commits, across all books, kept beyond the outbox
        CREATE TABLE risk.journal (
            position bigint NOT NULL,
            id uuid NOT NULL,
            topic text NOT NULL,
            body bytea NOT NULL,
            PRIMARY KEY (position, id)
        ) PARTITION BY RANGE (id)
        """
    )
    op.execute("CREATE TABLE risk.journal_default PARTITION OF risk.journal DEFAULT")
    # One row a judged payment. What became known later (end, proof, label) is written into it: it is a view of the journal.
    op.execute(
        """
        CREATE TABLE risk.event (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            at timestamptz NOT NULL,
            live boolean NOT NULL,
            subject_id uuid NOT NULL,
            decision_id uuid,
            value bigint NOT NULL,
            currency char(3) NOT NULL,
            tier text NOT NULL,
            score double precision,
            reasons text[] NOT NULL,
            rules text[] NOT NULL,
            signals bytea NOT NULL,
            is_approved boolean,
            end_code text NOT NULL DEFAULT '',
            is_passed boolean,
            is_fraud boolean,
            label_source text NOT NULL DEFAULT '',
            labelled_at timestamptz,
            PRIMARY KEY (book_id, id)
        ) PARTITION BY RANGE (id)
        """
    )
    op.execute("CREATE TABLE risk.event_default PARTITION OF risk.event DEFAULT")
    op.execute("CREATE INDEX event_subject ON risk.event (book_id, subject_id)")
    op.execute("CREATE INDEX event_id ON risk.event (id)")
    op.execute(
        """
        -- reference table: which payments an entity took part in; cards, devices and people meet across books
        CREATE TABLE risk.link (
            entity smallint NOT NULL,
            key text NOT NULL,
            event_id uuid NOT NULL,
            book_id bigint NOT NULL,
            live boolean NOT NULL,
            PRIMARY KEY (entity, key, event_id)
        ) PARTITION BY RANGE (event_id)
        """
    )
    op.execute("CREATE TABLE risk.link_default PARTITION OF risk.link DEFAULT")
    op.execute(
        """
        -- reference table: the state at a position of the facts; a process starts from the newest
        CREATE TABLE risk.snapshot (
            position bigint PRIMARY KEY,
            taken_at timestamptz NOT NULL,
            digest text NOT NULL,
            body bytea NOT NULL
        )
        """
    )
    op.execute(
        """
        -- reference table: models of the house by the digest of their content, with the card that describes each
        CREATE TABLE risk.model (
            digest text PRIMARY KEY,
            made_at timestamptz NOT NULL,
            made_by text NOT NULL,
            kind text NOT NULL,
            body bytea NOT NULL,
            card jsonb NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA risk CASCADE")
