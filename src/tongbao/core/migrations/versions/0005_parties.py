"""Merchants, stores, packages, people, keys, sessions, customers, payers, devices.

What a merchant owns leads with ``book_id``: of its mode where live and test are apart (customers), of its live
book, which is the merchant's id, where they are not (stores, memberships). What must be found before the
merchant is known (keys, people, sessions) is small and stands whole on every shard.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the parties schema."""
    op.execute("CREATE SCHEMA parties")
    op.execute(
        """
        -- reference table: the list of merchants is what books are found by
        CREATE TABLE parties.merchant (
            merchant_id bigint PRIMARY KEY,
            test_book_id bigint NOT NULL UNIQUE,
            parent_id bigint REFERENCES parties.merchant (merchant_id),
            name text NOT NULL,
            display_name text NOT NULL,
            country char(2) NOT NULL,
            default_currency char(3) NOT NULL,
            mcc char(4) NOT NULL,
            package text NOT NULL,
            state text NOT NULL,
            timezone text NOT NULL,
            metadata jsonb NOT NULL,
            version integer NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE INDEX merchant_parent ON parties.merchant (parent_id, merchant_id) WHERE parent_id IS NOT NULL
        """
    )
    op.execute(
        """
        -- reference table: the history of each merchant's state, package and features, a few rows each
        CREATE TABLE parties.merchant_event (
            event_id uuid PRIMARY KEY,
            merchant_id bigint NOT NULL REFERENCES parties.merchant (merchant_id),
            act text NOT NULL,
            actor text NOT NULL,
            reason text NOT NULL,
            occurred_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX merchant_event_of ON parties.merchant_event (merchant_id, event_id)")
    op.execute(
        """
        CREATE TABLE parties.feature_override (
            book_id bigint NOT NULL,
            feature text NOT NULL,
            allowed boolean NOT NULL,
            PRIMARY KEY (book_id, feature)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE parties.store (
            book_id bigint NOT NULL,
            store_id uuid NOT NULL,
            name text NOT NULL,
            address jsonb NOT NULL,
            timezone text NOT NULL,
            state text NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (book_id, store_id)
        )
        """
    )
    op.execute(
        """
        -- reference table: a few keys a merchant, found by digest before the book is known
        CREATE TABLE parties.api_key (
            key_id uuid PRIMARY KEY,
            digest bytea NOT NULL UNIQUE,
            merchant_id bigint NOT NULL REFERENCES parties.merchant (merchant_id),
            book_id bigint NOT NULL,
            live boolean NOT NULL,
            kind text NOT NULL,
            label text NOT NULL,
            prefix text NOT NULL,
            last4 char(4) NOT NULL,
            permissions text[] NOT NULL,
            allowed_addresses text[] NOT NULL,
            created_by text NOT NULL,
            created_at timestamptz NOT NULL,
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used_at timestamptz,
            replaced_by uuid
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX api_key_book ON parties.api_key (book_id, key_id)")
    op.execute(
        """
        -- reference table: staff, found by e-mail address before any merchant is known
        CREATE TABLE parties.person (
            person_id uuid PRIMARY KEY,
            email text NOT NULL,
            email_folded text NOT NULL UNIQUE,
            name text NOT NULL,
            locale text NOT NULL,
            password_digest text,
            password_set_at timestamptz,
            created_at timestamptz NOT NULL,
            disabled_at timestamptz
        )
        """
    )
    op.execute(
        """
        CREATE TABLE parties.membership (
            book_id bigint NOT NULL,
            person_id uuid NOT NULL,
            role text NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (book_id, person_id)
        )
        """
    )
    op.execute("CREATE INDEX membership_person ON parties.membership (person_id)")
    op.execute(
        """
        -- reference table: staff of the house, a few dozen
        CREATE TABLE parties.operator_role (
            person_id uuid NOT NULL REFERENCES parties.person (person_id),
            role text NOT NULL,
            granted_by text NOT NULL,
            granted_at timestamptz NOT NULL,
            PRIMARY KEY (person_id, role)
        )
        """
    )
    op.execute(
        """
        -- reference table: signed-in staff, found by token before any merchant is known
        CREATE TABLE parties.session (
            session_id uuid PRIMARY KEY,
            token_digest bytea NOT NULL UNIQUE,
            person_id uuid NOT NULL REFERENCES parties.person (person_id),
            address text NOT NULL,
            agent text NOT NULL,
            created_at timestamptz NOT NULL,
            seen_at timestamptz NOT NULL,
            ended_at timestamptz
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX session_person ON parties.session (person_id, session_id)")
    op.execute(
        """
        -- reference table: wrong passwords of the last day, removed after it
        CREATE TABLE parties.sign_in_failure (
            email_digest bytea NOT NULL,
            address text NOT NULL,
            failure_count integer NOT NULL,
            last_at timestamptz,
            locked_until timestamptz,
            PRIMARY KEY (email_digest, address)
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX sign_in_failure_last ON parties.sign_in_failure (last_at)")
    op.execute(
        """
        -- reference table: found by credential before the holder is known
        CREATE TABLE parties.passkey (
            credential_id bytea PRIMARY KEY,
            holder_kind text NOT NULL,
            holder_id uuid NOT NULL,
            public_key bytea NOT NULL,
            sign_count bigint NOT NULL,
            transports text[] NOT NULL,
            label text NOT NULL,
            created_at timestamptz NOT NULL,
            last_used_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX passkey_holder ON parties.passkey (holder_id, holder_kind)")
    op.execute(
        """
        CREATE TABLE parties.customer (
            book_id bigint NOT NULL,
            customer_id uuid NOT NULL,
            email text,
            email_folded text,
            name text,
            phone text,
            description text,
            address jsonb,
            default_payment_method text,
            metadata jsonb NOT NULL,
            version integer NOT NULL,
            created_at timestamptz NOT NULL,
            deleted_at timestamptz,
            PRIMARY KEY (book_id, customer_id)
        )
        """
    )
    op.execute(
        """
        CREATE INDEX customer_email ON parties.customer (book_id, email_folded, customer_id)
        WHERE email_folded IS NOT NULL
        """
    )
    op.execute(
        """
        CREATE TABLE parties.customer_metadata (
            book_id bigint NOT NULL,
            key text NOT NULL,
            value text NOT NULL,
            customer_id uuid NOT NULL,
            PRIMARY KEY (book_id, customer_id, key)
        )
        """
    )
    op.execute(
        """
        CREATE INDEX customer_metadata_value ON parties.customer_metadata (book_id, key, value, customer_id)
        """
    )
    op.execute(
        """
        CREATE TABLE parties.payer (
            book_id bigint PRIMARY KEY,
            payer_id uuid NOT NULL,
            name text NOT NULL,
            locale text NOT NULL,
            created_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX payer_id ON parties.payer (payer_id)")
    op.execute(
        """
        CREATE TABLE parties.device (
            book_id bigint NOT NULL,
            owner_id uuid NOT NULL,
            device_id uuid NOT NULL,
            label text NOT NULL,
            public_key bytea NOT NULL,
            first_seen_at timestamptz NOT NULL,
            last_seen_at timestamptz NOT NULL,
            PRIMARY KEY (book_id, owner_id, device_id)
        )
        """
    )


def downgrade() -> None:
    """Remove it and everything in it."""
    op.execute("DROP SCHEMA parties CASCADE")
