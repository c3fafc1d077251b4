"""The vault: wrapped keys, encrypted items, blind indexes, and the record of every reveal.

No column holds a card number in clear, or anything from which one is computed without a wrapping key.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the privacy schema."""
    op.execute("CREATE SCHEMA privacy")
    op.execute(
        """
        CREATE TABLE privacy.person_key (
            book_id bigint NOT NULL,
            person_id uuid NOT NULL,
            region text NOT NULL CHECK (region <> ''),
            wrapped_key bytea CHECK (octet_length(wrapped_key) BETWEEN 40 AND 4096),
            key_version integer NOT NULL CHECK (key_version > 0),
            created_at timestamptz NOT NULL,
            destroyed_at timestamptz,
            PRIMARY KEY (book_id, person_id),
            CHECK ((wrapped_key IS NULL) = (destroyed_at IS NOT NULL))
        )
        """
    )
    op.execute("CREATE INDEX person_key_person ON privacy.person_key (person_id)")
    op.execute(
        "CREATE INDEX person_key_version ON privacy.person_key (key_version) WHERE wrapped_key IS NOT NULL"
    )
    op.execute(
        """
        CREATE TABLE privacy.item (
            book_id bigint NOT NULL,
            token_id uuid NOT NULL,
            person_id uuid NOT NULL,
            kind text NOT NULL CHECK (kind IN ('card')),
            key_version integer NOT NULL CHECK (key_version > 0),
            nonce bytea NOT NULL CHECK (octet_length(nonce) = 12),
            ciphertext bytea NOT NULL CHECK (octet_length(ciphertext) BETWEEN 17 AND 4096),
            created_at timestamptz NOT NULL,
            expires_at timestamptz CHECK (expires_at > created_at),
            PRIMARY KEY (book_id, token_id)
        )
        """
    )
    op.execute("CREATE INDEX item_person ON privacy.item (book_id, person_id)")
    op.execute("CREATE INDEX item_expires ON privacy.item (expires_at) WHERE expires_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE privacy.blind_index (
            book_id bigint NOT NULL,
            digest bytea NOT NULL CHECK (octet_length(digest) = 16),
            token_id uuid NOT NULL,
            PRIMARY KEY (book_id, digest, token_id)
        )
        """
    )
    op.execute("CREATE INDEX blind_index_token ON privacy.blind_index (book_id, token_id)")
    op.execute(
        """
        CREATE TABLE privacy.reveal (
            book_id bigint NOT NULL,
            reveal_id uuid NOT NULL,
            token_id uuid NOT NULL,
            purpose text NOT NULL CHECK (purpose IN
                ('authorize', 'increment', 'capture', 'void', 'verify', 'refund', 'legal')),
            actor text NOT NULL CHECK (actor LIKE 'channel:%' OR actor LIKE 'legal:%'),
            subject text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 200),
            revealed_at timestamptz NOT NULL,
            PRIMARY KEY (book_id, reveal_id)
        )
        """
    )
    op.execute("CREATE INDEX reveal_token ON privacy.reveal (book_id, token_id, reveal_id)")


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA privacy CASCADE")
