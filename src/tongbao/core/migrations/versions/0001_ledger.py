"""Books, accounts, balances, the journal, holds, seals and checkpoints.

Every key leads with ``book_id``, so a sharded engine keeps one book on one shard (design, section 6).
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the ledger."""
    op.execute("CREATE SCHEMA ledger")
    op.execute(
        """
        -- reference table: a few hundred currencies and point kinds, read by every book
        CREATE TABLE ledger.asset (
            asset_id integer PRIMARY KEY,
            code text NOT NULL UNIQUE,
            scale smallint NOT NULL CHECK (scale BETWEEN 0 AND 18)
        )
        """
    )
    op.execute(
        """
        -- reference table: the list of books is what shards are found by
        CREATE TABLE ledger.book (
            book_id bigint PRIMARY KEY,
            code text NOT NULL UNIQUE,
            template text NOT NULL,
            name text NOT NULL,
            created_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE ledger.account (
            book_id bigint NOT NULL,
            account_id bigint NOT NULL,
            asset_id integer NOT NULL,
            normal_side smallint NOT NULL,
            striped boolean NOT NULL,
            code text NOT NULL,
            name text NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (book_id, account_id),
            UNIQUE (book_id, code, asset_id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE ledger.account_change (
            book_id bigint NOT NULL,
            account_id bigint NOT NULL,
            change_no integer NOT NULL,
            changed_at timestamptz NOT NULL,
            state smallint NOT NULL,
            floor_minor bigint,
            ceiling_minor bigint,
            actor text NOT NULL,
            reason text NOT NULL,
            PRIMARY KEY (book_id, account_id, change_no)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE ledger.balance (
            book_id bigint NOT NULL,
            account_id bigint NOT NULL,
            debits_minor bigint NOT NULL,
            credits_minor bigint NOT NULL,
            debits_held_minor bigint NOT NULL CHECK (debits_held_minor >= 0),
            credits_held_minor bigint NOT NULL CHECK (credits_held_minor >= 0),
            floor_minor bigint,
            ceiling_minor bigint,
            asset_id integer NOT NULL,
            state smallint NOT NULL,
            PRIMARY KEY (book_id, account_id)
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)
        """
    )
    op.execute(
        """
        CREATE TABLE ledger.balance_stripe (
            book_id bigint NOT NULL,
            account_id bigint NOT NULL,
            stripe smallint NOT NULL,
            debits_minor bigint NOT NULL,
            credits_minor bigint NOT NULL,
            debits_held_minor bigint NOT NULL,
            credits_held_minor bigint NOT NULL,
            asset_id integer NOT NULL,
            state smallint NOT NULL,
            PRIMARY KEY (book_id, account_id, stripe)
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)
        """
    )
    op.execute(
        """
        -- per-engine: batch_xid is the sealer's watermark; other engines fill it with their commit time
        CREATE TABLE ledger.transfer (
            book_id bigint NOT NULL,
            debit_account_id bigint NOT NULL,
            credit_account_id bigint NOT NULL,
            amount_minor bigint NOT NULL CHECK (amount_minor > 0),
            occurred_at timestamptz NOT NULL,
            recorded_at timestamptz NOT NULL,
            batch_xid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
            key uuid NOT NULL,
            asset_id integer NOT NULL,
            batch_index integer NOT NULL,
            kind smallint NOT NULL,
            group_size smallint,
            released_minor bigint,
            requested_minor bigint,
            expires_at timestamptz,
            group_key uuid,
            refers_to uuid,
            code text NOT NULL,
            reference text,
            PRIMARY KEY (book_id, key),
            CHECK (debit_account_id <> credit_account_id)
        ) PARTITION BY RANGE (key)
        """
    )
    op.execute("CREATE TABLE ledger.transfer_default PARTITION OF ledger.transfer DEFAULT")
    op.execute(
        """
        -- per-engine: the sealer's way to rows in commit order; engines without BRIN take a plain index
        CREATE INDEX transfer_batch ON ledger.transfer USING brin (batch_xid) WITH (pages_per_range = 32)
        """
    )
    op.execute(
        """
        CREATE TABLE ledger.hold (
            book_id bigint NOT NULL,
            debit_account_id bigint NOT NULL,
            credit_account_id bigint NOT NULL,
            amount_minor bigint NOT NULL,
            remaining_minor bigint NOT NULL CHECK (remaining_minor >= 0),
            captured_minor bigint NOT NULL,
            expires_at timestamptz,
            key uuid NOT NULL,
            asset_id integer NOT NULL,
            state smallint NOT NULL,
            PRIMARY KEY (book_id, key)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX hold_due ON ledger.hold (expires_at) WHERE state = 0 AND expires_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE ledger.seal (
            book_id bigint NOT NULL,
            seal_no bigint NOT NULL,
            first_seq bigint NOT NULL,
            transfer_count integer NOT NULL,
            sealed_at timestamptz NOT NULL,
            recorded_from timestamptz NOT NULL,
            recorded_to timestamptz NOT NULL,
            root bytea NOT NULL,
            previous_hash bytea NOT NULL,
            seal_hash bytea NOT NULL,
            keys bytea NOT NULL,
            leaves bytea NOT NULL,
            PRIMARY KEY (book_id, seal_no)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE ledger.checkpoint (
            book_id bigint NOT NULL,
            account_id bigint NOT NULL,
            last_seq bigint NOT NULL,
            debits_minor bigint NOT NULL,
            credits_minor bigint NOT NULL,
            debits_held_minor bigint NOT NULL,
            credits_held_minor bigint NOT NULL,
            entry_count bigint NOT NULL,
            recorded_from timestamptz NOT NULL,
            recorded_to timestamptz NOT NULL,
            occurred_from timestamptz NOT NULL,
            occurred_to timestamptz NOT NULL,
            seqs bigint[] NOT NULL,
            keys uuid[] NOT NULL,
            PRIMARY KEY (book_id, account_id, last_seq)
        )
        """
    )
    op.execute(
        """
        -- local table: what the sealer of this database has read, all below end_xid but running_xids; one row
        CREATE TABLE ledger.seal_cursor (
            cursor_id smallint PRIMARY KEY CHECK (cursor_id = 1),
            next_xid bigint NOT NULL,
            end_xid bigint NOT NULL,
            running_xids bigint[] NOT NULL,
            xid_offset bigint NOT NULL,
            system_identifier bigint,
            moved_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        -- per-engine: where the sealer begins to read, in the engine's own order of transactions
        INSERT INTO ledger.seal_cursor (cursor_id, next_xid, end_xid, running_xids, xid_offset, system_identifier,
            moved_at)
        SELECT 1, s.xmin, s.xmin, '{}', 0, NULL, now()
        FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin) AS s
        """
    )


def downgrade() -> None:
    """Remove the ledger and everything in it."""
    op.execute("DROP SCHEMA ledger CASCADE")
