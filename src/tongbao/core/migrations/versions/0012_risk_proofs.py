"""Risk control: challenges, freezes."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    # No address and no code: a reference to the one, a keyed digest of the other.
    op.execute(
        """
        CREATE TABLE risk.challenge (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            live boolean NOT NULL,
            subject_id uuid NOT NULL,
            signals_id uuid NOT NULL,
            amount_minor bigint NOT NULL,
            currency char(3) NOT NULL,
            payee text NOT NULL,
            digest bytea NOT NULL,
            means text NOT NULL,
            state text NOT NULL,
            destination text NOT NULL,
            masked text NOT NULL,
            code_digest bytea,
            attempts_left smallint NOT NULL CHECK (attempts_left >= 0),
            sends_left smallint NOT NULL CHECK (sends_left >= 0),
            opened_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            sent_at timestamptz,
            ended_at timestamptz,
            PRIMARY KEY (book_id, id)
        )
        """
    )
    # One open challenge a payment: two that are opened at once meet here.
    op.execute(
        "CREATE UNIQUE INDEX challenge_open ON risk.challenge (book_id, subject_id) WHERE state = 'open'"
    )
    op.execute("CREATE INDEX challenge_subject ON risk.challenge (book_id, subject_id, id)")
    op.execute("CREATE INDEX challenge_due ON risk.challenge (expires_at) WHERE state = 'open'")
    op.execute("CREATE INDEX challenge_id ON risk.challenge (id)")
    op.execute(
        """
        -- reference table: frozen entities meet payments of every book
        CREATE TABLE risk.freeze (
            id uuid PRIMARY KEY,
            live boolean NOT NULL,
            entity smallint NOT NULL,
            key text NOT NULL,
            reason text NOT NULL,
            frozen_by text NOT NULL,
            frozen_at timestamptz NOT NULL,
            requested_by text NOT NULL DEFAULT '',
            released_at timestamptz
        )
        """
    )
    op.execute(
        """
        -- reference table: one entity is frozen once at a time, across all books
        CREATE UNIQUE INDEX freeze_in_force ON risk.freeze (live, entity, key) WHERE released_at IS NULL
        """
    )
    op.execute(
        """
        -- reference table: what was done to each freeze by whom; rows are only ever added
        CREATE TABLE risk.freeze_act (
            freeze_id uuid NOT NULL REFERENCES risk.freeze (id),
            number integer NOT NULL,
            kind text NOT NULL,
            actor text NOT NULL,
            why text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (freeze_id, number)
        )
        """
    )
    op.execute(
        """
        -- reference table: one row; its version tells every process whether what is frozen has changed
        CREATE TABLE risk.freeze_head (
            place smallint PRIMARY KEY CHECK (place = 1),
            version bigint NOT NULL,
            in_force_count integer NOT NULL CHECK (in_force_count >= 0)
        )
        """
    )
    op.execute("INSERT INTO risk.freeze_head (place, version, in_force_count) VALUES (1, 0, 0)")


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE risk.freeze_act, risk.freeze_head, risk.freeze, risk.challenge")
