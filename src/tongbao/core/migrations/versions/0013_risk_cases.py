"""Risk control: cases with their alerts, payments and audit trail."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    # The body is the whole case; the columns beside it are what is searched and ordered by.
    op.execute(
        """
        -- reference table: cases are few, and analysts work them across all books
        CREATE TABLE risk.case_file (
            id uuid PRIMARY KEY,
            book_id bigint NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            entity smallint NOT NULL,
            live boolean NOT NULL,
            last_alert_at timestamptz NOT NULL,
            due_at timestamptz NOT NULL,
            closed_at timestamptz,
            saving double precision NOT NULL,
            worked_ms bigint NOT NULL,
            state text NOT NULL,
            kind text NOT NULL,
            key text NOT NULL,
            assignee text NOT NULL,
            disposition text NOT NULL,
            body jsonb NOT NULL
        )
        """
    )
    op.execute(
        "CREATE INDEX case_file_entity ON risk.case_file (key, entity, book_id) WHERE closed_at IS NULL"
    )
    op.execute("CREATE INDEX case_file_open ON risk.case_file (live, state) WHERE closed_at IS NULL")
    op.execute("CREATE INDEX case_file_closed ON risk.case_file (closed_at) WHERE closed_at IS NOT NULL")
    op.execute("CREATE INDEX case_file_book ON risk.case_file (book_id, id)")
    op.execute(
        """
        -- reference table: the payments of cases
        CREATE TABLE risk.case_payment (
            case_id uuid NOT NULL,
            event_id uuid NOT NULL,
            body jsonb NOT NULL,
            PRIMARY KEY (case_id, event_id)
        )
        """
    )
    op.execute("CREATE INDEX case_payment_event ON risk.case_payment (event_id)")
    # A payment rings once for each cause. Without a case: too many were open for one of low severity.
    op.execute(
        """
        -- reference table: what rang, and in which case it lies
        CREATE TABLE risk.alert (
            event_id uuid NOT NULL,
            cause text NOT NULL,
            case_id uuid,
            book_id bigint NOT NULL,
            at timestamptz NOT NULL,
            severity text NOT NULL,
            PRIMARY KEY (event_id, cause)
        )
        """
    )
    op.execute("CREATE INDEX alert_case ON risk.alert (case_id, at)")
    op.execute(
        """
        -- reference table: the audit trail of cases, only ever added to
        CREATE TABLE risk.case_event (
            case_id uuid NOT NULL,
            version integer NOT NULL CHECK (version > 0),
            at timestamptz NOT NULL,
            actor text NOT NULL,
            act text NOT NULL,
            note text NOT NULL,
            before jsonb NOT NULL,
            after jsonb NOT NULL,
            PRIMARY KEY (case_id, version)
        )
        """
    )


def downgrade() -> None:
    """Remove them."""
    for statement in (
        "DROP TABLE risk.case_event",
        "DROP TABLE risk.alert",
        "DROP TABLE risk.case_payment",
        "DROP TABLE risk.case_file",
    ):
        op.execute(statement)
