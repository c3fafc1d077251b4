"""Decisions: the log and its outcomes, policies with versions and roll-outs, replays, experiments."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the decisions schema."""
    op.execute("CREATE SCHEMA decisions")
    # Cut by the time in the id (UUIDv7), like the journal; outcomes lie in the month of their decision.
    op.execute(
        """
        CREATE TABLE decisions.decision (
            book_id bigint NOT NULL,
            id uuid NOT NULL,
            subject_id uuid NOT NULL,
            effect_id uuid,
            decided_at timestamptz NOT NULL,
            propensity double precision NOT NULL CHECK (propensity > 0 AND propensity <= 1),
            version integer NOT NULL,
            latency_us integer NOT NULL,
            live boolean NOT NULL,
            kind text NOT NULL,
            policy text NOT NULL,
            arm text NOT NULL,
            chosen text NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, id)
        ) PARTITION BY RANGE (id)
        """
    )
    op.execute("CREATE TABLE decisions.decision_default PARTITION OF decisions.decision DEFAULT")
    op.execute("CREATE INDEX decision_subject ON decisions.decision (book_id, subject_id)")
    # What replays and exports walk along, over all books.
    op.execute("CREATE INDEX decision_time ON decisions.decision (id, book_id)")
    op.execute(
        """
        CREATE TABLE decisions.outcome (
            book_id bigint NOT NULL,
            decision_id uuid NOT NULL,
            key uuid NOT NULL,
            occurred_at timestamptz NOT NULL,
            recorded_at timestamptz NOT NULL,
            value double precision,
            name text NOT NULL,
            label text NOT NULL,
            source text NOT NULL,
            PRIMARY KEY (book_id, decision_id, key)
        ) PARTITION BY RANGE (decision_id)
        """
    )
    op.execute("CREATE TABLE decisions.outcome_default PARTITION OF decisions.outcome DEFAULT")
    op.execute(
        """
        -- reference table: the few policies of a house, read by every process
        CREATE TABLE decisions.policy_version (
            policy text NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            created_at timestamptz NOT NULL,
            replay_id uuid,
            state text NOT NULL,
            digest text NOT NULL,
            note text NOT NULL,
            created_by text NOT NULL,
            spec jsonb NOT NULL,
            PRIMARY KEY (policy, version)
        )
        """
    )
    op.execute(
        """
        -- reference table: every roll-out there was; the highest epoch is in force
        CREATE TABLE decisions.rollout (
            policy text NOT NULL,
            epoch integer NOT NULL CHECK (epoch > 0),
            champion integer NOT NULL,
            challenger integer,
            share_bps integer NOT NULL CHECK (share_bps BETWEEN 0 AND 10000),
            shadow integer,
            started_at timestamptz NOT NULL,
            salt text NOT NULL,
            started_by text NOT NULL,
            note text NOT NULL,
            guardrails jsonb NOT NULL,
            PRIMARY KEY (policy, epoch)
        )
        """
    )
    op.execute(
        """
        -- reference table: the audit trail of policies
        CREATE TABLE decisions.policy_change (
            policy text NOT NULL,
            change_no integer NOT NULL CHECK (change_no > 0),
            version integer,
            at timestamptz NOT NULL,
            actor text NOT NULL,
            action text NOT NULL,
            details jsonb NOT NULL,
            PRIMARY KEY (policy, change_no)
        )
        """
    )
    op.execute(
        """
        -- reference table: replays of drafts on the log
        CREATE TABLE decisions.replay (
            id uuid PRIMARY KEY,
            made_at timestamptz NOT NULL,
            version integer NOT NULL,
            policy text NOT NULL,
            digest text NOT NULL,
            verdict text NOT NULL,
            body jsonb NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX replay_policy ON decisions.replay (policy, version)")
    op.execute(
        """
        CREATE TABLE decisions.experiment (
            book_id bigint NOT NULL,
            name text NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            state text NOT NULL,
            layer text,
            body jsonb NOT NULL,
            PRIMARY KEY (book_id, name)
        )
        """
    )
    # The first exposure of a unit, and its latest measured value; one row a unit.
    op.execute(
        """
        CREATE TABLE decisions.exposure (
            book_id bigint NOT NULL,
            experiment text NOT NULL,
            unit text NOT NULL,
            epoch integer NOT NULL,
            exposed_at timestamptz NOT NULL,
            arm text NOT NULL,
            PRIMARY KEY (book_id, experiment, unit)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE decisions.measurement (
            book_id bigint NOT NULL,
            experiment text NOT NULL,
            unit text NOT NULL,
            outcome text NOT NULL,
            measured_at timestamptz NOT NULL,
            value double precision NOT NULL,
            PRIMARY KEY (book_id, experiment, unit, outcome)
        )
        """
    )


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA decisions CASCADE")
