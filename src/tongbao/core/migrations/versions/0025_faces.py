"""Faces: how payers sign in to their wallets, and how people come back who lost a password or a passkey."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; codes, tokens and links are kept as digests alone."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Remove them."""
    op.execute(
        "DROP TABLE parties.payer_recovery, parties.payer_device, parties.payer_session, parties.payer_code, "
        "parties.payer_contact, parties.recovery_code, parties.reset_link, parties.spent_challenge"
    )


_TABLES = (
    """
    -- reference table: payers are found by an address of theirs before their book is known
    CREATE TABLE parties.payer_contact (
        kind text NOT NULL,
        folded text NOT NULL,
        address text NOT NULL,
        payer_id uuid NOT NULL,
        confirmed_at timestamptz NOT NULL,
        PRIMARY KEY (kind, folded)
    )
    """,
    "CREATE INDEX payer_contact_payer ON parties.payer_contact (payer_id)",
    """
    -- reference table: codes of the last day, removed after it
    CREATE TABLE parties.payer_code (
        code_id uuid PRIMARY KEY,
        visit_digest bytea NOT NULL,
        kind text NOT NULL,
        folded text NOT NULL,
        address text NOT NULL,
        name text NOT NULL,
        locale text NOT NULL,
        code_digest bytea NOT NULL,
        attempts_left smallint NOT NULL CHECK (attempts_left >= 0),
        opened_at timestamptz NOT NULL,
        used_at timestamptz
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX payer_code_contact ON parties.payer_code (kind, folded, opened_at)",
    "CREATE INDEX payer_code_opened ON parties.payer_code (opened_at)",
    """
    -- reference table: signed-in payers, found by token before their book is known
    CREATE TABLE parties.payer_session (
        session_id uuid PRIMARY KEY,
        token_digest bytea NOT NULL UNIQUE,
        payer_id uuid NOT NULL,
        means text NOT NULL,
        address text NOT NULL,
        agent text NOT NULL,
        created_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        ended_at timestamptz
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX payer_session_payer ON parties.payer_session (payer_id, session_id)",
    "CREATE INDEX payer_session_created ON parties.payer_session (created_at)",
    """
    -- reference table: remembered browsers of payers, found by key before anybody has signed in
    CREATE TABLE parties.payer_device (
        device_id uuid PRIMARY KEY,
        key_digest bytea NOT NULL UNIQUE,
        payer_id uuid NOT NULL,
        label text NOT NULL,
        remembered_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        revoked_at timestamptz
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX payer_device_payer ON parties.payer_device (payer_id, device_id)",
    """
    -- reference table: one row for each payer who has lost all passkeys
    CREATE TABLE parties.payer_recovery (
        payer_id uuid PRIMARY KEY,
        begun_at timestamptz NOT NULL
    )
    """,
    """
    -- reference table: ten a person at most
    CREATE TABLE parties.recovery_code (
        person_id uuid NOT NULL REFERENCES parties.person (person_id),
        digest bytea NOT NULL,
        made_at timestamptz NOT NULL,
        used_at timestamptz,
        PRIMARY KEY (person_id, digest)
    )
    """,
    """
    -- reference table: one open link a person, found by its token
    CREATE TABLE parties.reset_link (
        person_id uuid PRIMARY KEY REFERENCES parties.person (person_id),
        token_digest bytea NOT NULL UNIQUE,
        made_by text NOT NULL,
        made_at timestamptz NOT NULL
    )
    """,
    """
    -- reference table: challenges of the last hour that were answered once
    CREATE TABLE parties.spent_challenge (
        digest bytea PRIMARY KEY,
        spent_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX spent_challenge_at ON parties.spent_challenge (spent_at)",
)
