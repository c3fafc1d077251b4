"""The outbox, the order in which its facts were committed, and how far each consumer has read.

Nothing here is sharded: facts of all books stand in one order, that of the database which committed them.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the outbox."""
    op.execute("CREATE SCHEMA events")
    op.execute(
        """
        -- local table: each database delivers the facts that it committed
        -- per-engine: the transaction's number is how the relay finds what is new
        CREATE TABLE events.outbox (
            id uuid PRIMARY KEY,
            batch_xid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
            occurred_at timestamptz NOT NULL,
            recorded_at timestamptz NOT NULL,
            topic text NOT NULL,
            subject text NOT NULL,
            payload bytea NOT NULL
        )
        """
    )
    op.execute(
        """
        -- per-engine: the relay's way to what is new; engines without BRIN take a plain index
        CREATE INDEX outbox_batch ON events.outbox USING brin (batch_xid) WITH (pages_per_range = 32)
        """
    )
    op.execute(
        """
        -- local table: the order of one database's facts
        CREATE TABLE events.segment (
            first_position bigint PRIMARY KEY,
            fact_count integer NOT NULL CHECK (fact_count > 0),
            recorded_to timestamptz NOT NULL,
            topics text[] NOT NULL,
            ids uuid[] NOT NULL
        )
        """
    )
    op.execute(
        """
        -- local table: how far the relay of this database has read; one row
        CREATE TABLE events.relay (
            relay_id smallint PRIMARY KEY CHECK (relay_id = 1),
            next_position bigint NOT NULL,
            next_xid bigint NOT NULL,
            running_xids bigint[] NOT NULL,
            xid_offset bigint NOT NULL,
            native_xid bigint NOT NULL,
            system_identifier bigint,
            moved_at timestamptz NOT NULL
        ) WITH (fillfactor = 50)
        """
    )
    op.execute(
        """
        -- per-engine: everything published from now on is new to the relay
        INSERT INTO events.relay (relay_id, next_position, next_xid, running_xids, xid_offset, native_xid,
            system_identifier, moved_at)
        VALUES (1, 1, pg_snapshot_xmin(pg_current_snapshot())::text::bigint, '{}', 0, 0, NULL, now())
        """
    )
    op.execute(
        """
        -- local table: one row a consumer; also the lease that makes one process its active one
        CREATE TABLE events.cursor (
            consumer text PRIMARY KEY,
            position bigint NOT NULL,
            attempts integer NOT NULL,
            owner uuid,
            leased_until timestamptz NOT NULL,
            moved_at timestamptz NOT NULL
        ) WITH (fillfactor = 50)
        """
    )
    op.execute(
        """
        -- local table: what one consumer could not handle
        CREATE TABLE events.dead_letter (
            consumer text NOT NULL,
            position bigint NOT NULL,
            fact_id uuid NOT NULL,
            attempts integer NOT NULL,
            died_at timestamptz NOT NULL,
            replay_at timestamptz,
            error text NOT NULL,
            PRIMARY KEY (consumer, position)
        )
        """
    )


def downgrade() -> None:
    """Remove the outbox and everything in it."""
    op.execute("DROP SCHEMA events CASCADE")
