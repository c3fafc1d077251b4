"""The rules of the migration lint: what SQL to leave out so that one schema runs on several engines.

The engines are PostgreSQL, Citus (sharded by book) and YugabyteDB (replicated; each row operation is a remote
call). Every rule carries lines that pass and lines that fail; ``tests/core/test_migration_lint.py`` runs them.

Three comments in a statement speak to the rules, each with a reason:

- ``-- reference table: <reason>``  a small table that is copied to every shard, so its keys need no book;
- ``-- local table: <reason>``      bookkeeping of one database, never sharded (a cursor, a lock row);
- ``-- per-engine: <reason>``       a piece written again for each engine, as the sealer's watermark is.
"""

import re
from dataclasses import dataclass

from tongbao.core.migrations import lint_checks as checks
from tongbao.core.migrations.lint_checks import Check
from tongbao.core.migrations.sql_text import Statement

REFERENCE = "reference table"
LOCAL = "local table"
PER_ENGINE = "per-engine"
_NOTE = re.compile(rf"^--\s*({REFERENCE}|{LOCAL}|{PER_ENGINE}):\s*\S")
_PHYSICAL = r"CTID|XMIN|XMAX|CMIN|CMAX|TABLEOID|XID|XID8|PG_SNAPSHOT"
_PHYSICAL_CALLS = r"PG_CURRENT_XACT_ID\w*|PG_CURRENT_SNAPSHOT|PG_SNAPSHOT_\w+|PG_VISIBLE_IN_SNAPSHOT|TXID_\w+"
_SERVER_CALLS = r"PG_READ_\w+|PG_STAT_FILE|PG_LS_\w+|PG_FILE_\w+|LO_IMPORT|LO_EXPORT|PG_RELOAD_CONF|DBLINK\w*"
_CRYPTO_CALLS = r"DIGEST|HMAC|CRYPT|GEN_SALT|ENCRYPT\w*|DECRYPT\w*|PGP_\w+|GEN_RANDOM_BYTES|ARMOR|DEARMOR"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to leave out; ``waiver`` is the comment that lifts the rule for a statement, if any does."""

    code: str
    reason: str
    hint: str
    check: Check
    passes: tuple[str, ...]
    fails: tuple[str, ...]
    waiver: str | None = None


def notes_of(statement: Statement) -> frozenset[str]:
    """Return the kinds of notes that the statement carries; a note without a reason does not count."""
    matches = (_NOTE.match(note) for note in statement.notes)
    return frozenset(match.group(1) for match in matches if match)


RULES: tuple[Rule, ...] = (
    Rule(
        "tenant_key",
        "A sharded engine checks a key inside one shard, and finds the shard by the book.",
        "lead the table and its keys with book_id, or give the reason in '-- reference table:' or '-- local table:'",
        checks.tenant_key,
        passes=(
            "CREATE TABLE t (book_id bigint, id bigint, PRIMARY KEY (book_id, id), UNIQUE (book_id, code))",
            "CREATE TABLE IF NOT EXISTS s.book (book_id bigint PRIMARY KEY, name text)",
            "-- reference table: a few hundred rows\nCREATE TABLE asset (code text PRIMARY KEY)",
            "-- local table: one row a database\nCREATE TABLE cursor_of (name text PRIMARY KEY)",
            "CREATE UNIQUE INDEX ON t (book_id, code)",
            "CREATE INDEX hold_due ON hold (expires_at)",
            "CREATE TABLE e (book_id bigint, t bigint, FOREIGN KEY (book_id, t) REFERENCES t (book_id, id))",
            "-- reference table: small\nCREATE TABLE asset (code text PRIMARY KEY);\n"
            "CREATE TABLE a (book_id bigint, asset text REFERENCES asset (code))",
            "CREATE TABLE t_2025 PARTITION OF t FOR VALUES FROM (1) TO (2)",
            "ALTER TABLE t ADD COLUMN note text, ADD CONSTRAINT u UNIQUE NULLS NOT DISTINCT (book_id, code)",
            "ALTER TABLE t ADD CONSTRAINT t_pk PRIMARY KEY USING INDEX t_pk",
        ),
        fails=(
            "CREATE TABLE t (book_id bigint, id bigint PRIMARY KEY)",
            "CREATE TABLE t (book_id bigint, id bigint, PRIMARY KEY (id, book_id))",
            "CREATE TABLE t (book_id bigint, code text CONSTRAINT one UNIQUE)",
            "CREATE TABLE t (id bigint, amount bigint)",
            "CREATE UNIQUE INDEX t_code ON s.t USING btree (code)",
            "ALTER TABLE ONLY t ADD CONSTRAINT t_code UNIQUE (code)",
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS code text UNIQUE",
            "CREATE TABLE e (book_id bigint, t bigint REFERENCES t (id))",
            "CREATE TABLE e (book_id bigint, t bigint, FOREIGN KEY (t) REFERENCES t)",
            "-- reference table:\nCREATE TABLE asset (code text PRIMARY KEY)",
            "-- reference table: small\nCREATE TABLE r (code text PRIMARY KEY, b bigint REFERENCES t (book_id))",
        ),
    ),
    Rule(
        "sequence",
        "A counter over all shards is a bottleneck, has gaps, and its order is not the order of commits.",
        "take ids from the client (UUIDv7 or 63-bit) and order from the seals",
        checks.either(
            checks.matches("GENERATED (?:ALWAYS|BY DEFAULT) AS IDENTITY|ADD GENERATED"),
            checks.serial_column,
            checks.heads("(?:CREATE|ALTER) (?:(?:TEMP|TEMPORARY|UNLOGGED) )?SEQUENCE"),
            checks.calls("NEXTVAL|SETVAL|CURRVAL|LASTVAL"),
        ),
        passes=(
            "CREATE TABLE t (book_id bigint NOT NULL, id bigint NOT NULL, PRIMARY KEY (book_id, id))",
            "ALTER TABLE device ADD COLUMN serial text",
        ),
        fails=(
            "CREATE TABLE t (book_id bigint, id bigint GENERATED ALWAYS AS IDENTITY)",
            "CREATE TABLE t (book_id bigint, id bigint GENERATED BY DEFAULT AS IDENTITY)",
            "CREATE TABLE t (book_id bigint, id bigserial)",
            "CREATE TABLE t (book_id bigint, id serial4)",
            "CREATE SEQUENCE order_no",
            "ALTER TABLE t ALTER COLUMN id SET DEFAULT nextval('order_no')",
        ),
    ),
    Rule(
        "advisory_lock",
        "Advisory locks are missing, or local to one node, in sharded engines.",
        "lock a row of the book with SELECT … FOR NO KEY UPDATE",
        checks.calls(r"PG_(?:TRY_)?ADVISORY_\w+"),
        passes=("SELECT 1 FROM book_head WHERE book_id = 1 FOR NO KEY UPDATE",),
        fails=("SELECT pg_advisory_xact_lock(7001, 1)", "SELECT pg_catalog.pg_try_advisory_lock(1)"),
    ),
    Rule(
        "notify",
        "Notifications do not cross nodes, and they serialize commits.",
        "poll the outbox from its cursor",
        checks.either(checks.heads("LISTEN|UNLISTEN|NOTIFY"), checks.calls("PG_NOTIFY")),
        passes=("CREATE TABLE n (book_id bigint, notify boolean, listen boolean)",),
        fails=(
            "LISTEN outbox",
            "NOTIFY outbox, 'x'",
            "SELECT pg_notify('outbox', '')",
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF a THEN NOTIFY x; END IF; END $$",
        ),
    ),
    Rule(
        "lock_table",
        "A table lock stops every book on every shard.",
        "lock the rows of one book, in ascending order of account",
        checks.heads("LOCK"),
        passes=("CREATE TABLE l (book_id bigint, lock text)",),
        fails=("LOCK TABLE t IN EXCLUSIVE MODE", "LOCK t"),
    ),
    Rule(
        "inheritance",
        "Sharded engines do not distribute inherited tables.",
        "write the columns out, or partition",
        checks.matches(r"INHERITS(?= \()|(?<!NO )INHERIT"),
        passes=("ALTER TABLE t ADD CONSTRAINT c CHECK (x > 0) NO INHERIT",),
        fails=("CREATE TABLE c (book_id bigint) INHERITS (t)", "ALTER TABLE c INHERIT t"),
    ),
    Rule(
        "sub_partition",
        "Partitions of partitions are not supported everywhere, and they multiply planning time.",
        "partition once, at the top",
        checks.matches("PARTITION OF .*? (PARTITION) BY"),
        passes=(
            "CREATE TABLE t (book_id bigint, at timestamptz) PARTITION BY RANGE (at)",
            "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (1) TO (2)",
        ),
        fails=("CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (1) TO (2) PARTITION BY LIST (kind)",),
    ),
    Rule(
        "rewrite_rule",
        "Query rewriting hides writes from the router of a sharded engine.",
        "write the second statement in the store",
        checks.heads("(?:CREATE (?:OR REPLACE )?|ALTER )RULE"),
        passes=("CREATE TABLE rule (book_id bigint, rule text)",),
        fails=("CREATE OR REPLACE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",),
    ),
    Rule(
        "exclusion",
        "Exclusion constraints need GiST and are not supported by sharded engines.",
        "lock the owner's row and check in the service",
        checks.matches(r"EXCLUDE(?= (?:USING|\())"),
        passes=(
            "SELECT sum(x) OVER (ORDER BY y ROWS UNBOUNDED PRECEDING EXCLUDE TIES) FROM unnest($1) t(x, y)",
        ),
        fails=("CREATE TABLE t (book_id bigint, r int8range, EXCLUDE USING gist (r WITH &&))",),
    ),
    Rule(
        "index_method",
        "Only B-tree indexes exist on every engine.",
        "use a B-tree index",
        checks.matches(r"(?<=^ )CREATE (?:UNIQUE )?INDEX .*?USING ((?!BTREE |BRIN )\S+)"),
        passes=("CREATE INDEX ON t USING btree (book_id, x)", "CREATE INDEX i ON t (book_id, x) INCLUDE (y)"),
        fails=(
            "CREATE INDEX ON t USING gist (r)",
            "CREATE INDEX ON t USING spgist (r)",
            "-- per-engine: no waiver for this one\nCREATE INDEX ON t USING gin (tags)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t USING hash (x)",
        ),
    ),
    Rule(
        "brin",
        "BRIN is PostgreSQL's own.",
        "use a B-tree index, or say '-- per-engine: <what the others do>'",
        checks.matches(r"(?<=^ )CREATE INDEX .*?USING (BRIN)"),
        passes=("-- per-engine: others take a plain index\nCREATE INDEX ON t USING brin (x)",),
        fails=("CREATE INDEX ON t USING brin (x)", "-- per-engine:\nCREATE INDEX ON t USING brin (x)"),
        waiver=PER_ENGINE,
    ),
    Rule(
        "deferrable",
        "Constraints are checked at once on sharded engines.",
        "order the writes so that every statement leaves the constraint true",
        checks.matches("(?<!NOT )DEFERRABLE|INITIALLY DEFERRED|SET CONSTRAINTS"),
        passes=(
            "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (book_id, a) REFERENCES u (book_id, a) NOT DEFERRABLE",
        ),
        fails=(
            "ALTER TABLE t ADD FOREIGN KEY (book_id, a) REFERENCES u (book_id, a) DEFERRABLE",
            "SET CONSTRAINTS ALL DEFERRED",
        ),
    ),
    Rule(
        "generated_column",
        "Generated columns are missing or differ from engine to engine.",
        "compute the value in the store, or in a view",
        checks.matches(r"GENERATED ALWAYS AS(?= \()"),
        passes=("CREATE VIEW v AS SELECT book_id, a - b AS net FROM t",),
        fails=("CREATE TABLE t (book_id bigint, a int, b int GENERATED ALWAYS AS (a * 2) STORED)",),
    ),
    Rule(
        "trigger",
        "Triggers that touch other rows break on shards and hide money from the reader.",
        "write the second statement in the store",
        checks.heads("(?:CREATE (?:OR REPLACE )?(?:CONSTRAINT )?|ALTER )TRIGGER"),
        passes=("DROP TRIGGER IF EXISTS x ON t", "CREATE TABLE t (book_id bigint, trigger text)"),
        fails=(
            "CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
            "CREATE CONSTRAINT TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        ),
    ),
    Rule(
        "event_trigger",
        "Event triggers need a superuser and exist on PostgreSQL alone.",
        "check the schema in a migration or in a test",
        checks.heads("(?:CREATE|ALTER) EVENT TRIGGER"),
        passes=("CREATE TABLE event (book_id bigint)",),
        fails=("CREATE EVENT TRIGGER no_drop ON sql_drop EXECUTE FUNCTION f()",),
    ),
    Rule(
        "column_type",
        "Changing the type rewrites a big table under a lock that stops every book.",
        "add a column, fill it in batches, read the new one, drop the old one",
        checks.matches(r"ALTER (?:(?:COLUMN|ATTRIBUTE) \S+|(?!COLUMN |TABLE )\S+) (?:SET DATA )?(TYPE)"),
        passes=(
            "ALTER TABLE t ADD COLUMN type text",
            "ALTER TABLE t ALTER COLUMN type SET NOT NULL",
            "ALTER TABLE t RENAME COLUMN kind TO type",
        ),
        fails=("ALTER TABLE t ALTER COLUMN a TYPE bigint", "ALTER TABLE t ALTER a SET DATA TYPE bigint"),
    ),
    Rule(
        "temp_table",
        "Temporary tables bloat the catalog on every use and live on one node.",
        "pass arrays and unnest them",
        checks.matches(
            "CREATE (?:(?:GLOBAL|LOCAL) )?(?:TEMP|TEMPORARY) (?:TABLE|VIEW)|INTO (?:TEMP|TEMPORARY)"
        ),
        passes=("SELECT u.key FROM unnest($1::uuid[]) u (key)",),
        fails=("CREATE TEMP TABLE x (a int, book_id bigint)", "SELECT 1 AS a INTO TEMPORARY x"),
    ),
    Rule(
        "extension",
        "Managed servers and other engines do not carry the extension, and the embedded one has few.",
        "use what PostgreSQL has built in (sha256, gen_random_uuid), or do it in Python",
        checks.heads("(?:CREATE|ALTER) EXTENSION"),
        passes=("SELECT sha256('x'::bytea)",),
        fails=("CREATE EXTENSION IF NOT EXISTS pgcrypto",),
    ),
    Rule(
        "writing_cte",
        "A WITH query that writes cannot touch two sharded tables.",
        "send two statements in one transaction",
        checks.writing_cte,
        passes=(
            "WITH w AS (INSERT INTO t (book_id, a) VALUES (1, 2) RETURNING a) SELECT a FROM w",
            "WITH w AS (SELECT a FROM unnest($1) u (a)) INSERT INTO t SELECT 1, a FROM w",
        ),
        fails=(
            "WITH w AS (INSERT INTO t SELECT 1 RETURNING a) INSERT INTO e SELECT a FROM w",
            "WITH w AS (DELETE FROM t WHERE book_id = 1 RETURNING a), u AS (UPDATE e SET n = 1) SELECT a FROM w",
            "WITH w AS (UPDATE t SET n = 1 RETURNING a) SELECT * FROM w JOIN e USING (a)",
        ),
    ),
    Rule(
        "open_subquery",
        "A subquery that does not pin the book is asked of every shard, or refused.",
        "name book_id in the subquery",
        checks.open_subquery,
        passes=(
            "SELECT a, (SELECT count(*) FROM e WHERE e.book_id = t.book_id) FROM t WHERE book_id = 1",
            "INSERT INTO t (book_id, a) SELECT u.book_id, u.a FROM unnest($1, $2) u (book_id, a)",
            "INSERT INTO t (book_id, a) SELECT book_id, a FROM e WHERE book_id = 1",
            "SELECT EXISTS (SELECT FROM generate_series(1, 2))",
            "WITH w AS (INSERT INTO t (book_id) VALUES (1)) SELECT n FROM e WHERE a = 1",
        ),
        fails=(
            "SELECT a, (SELECT count(*) FROM e WHERE e.a = t.a) FROM t WHERE book_id = 1",
            "INSERT INTO t (book_id, a) SELECT 1, a FROM e",
            "WITH u AS (SELECT 1) INSERT INTO t (book_id, a) SELECT 1, a FROM e",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1 WHERE EXISTS (SELECT FROM e)'",
        ),
    ),
    Rule(
        "open_row_lock",
        "A row lock that does not pin the book reaches over shards.",
        "name book_id in the locking query",
        checks.open_row_lock,
        passes=(
            "SELECT 1 FROM balance WHERE book_id = $1 AND account_id = ANY ($2) ORDER BY 1 FOR NO KEY UPDATE",
            "-- local table: one row\nCREATE TABLE c (id int PRIMARY KEY); SELECT id FROM c FOR UPDATE",
            "CREATE POLICY p ON t FOR UPDATE USING (true)",
        ),
        fails=(
            "SELECT 1 FROM balance WHERE account_id = 7 FOR UPDATE",
            "SELECT a FROM (SELECT a FROM hold ORDER BY a FOR SHARE) h",
        ),
    ),
    Rule(
        "serializable",
        "Row locks in one order under READ COMMITTED are enough, cheaper and the same on every engine.",
        "lock the rows in ascending order instead",
        checks.either(checks.matches("SERIALIZABLE"), checks.isolation_setting),
        passes=("COMMENT ON TABLE t IS 'serializable'",),
        fails=(
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "ALTER ROLE app SET default_transaction_isolation = 'serializable'",
        ),
    ),
    Rule(
        "server_file",
        "Files and programs of the server, its settings and its languages need a superuser.",
        "stream through the client (COPY … FROM STDIN) and configure outside of migrations",
        checks.either(
            checks.matches(r"(?<=^ )COPY .*?(?:FROM|TO) (PROGRAM|'')"),
            checks.matches(
                r"(?<=^ )(?:CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE)|DO) .*?[^(,] (LANGUAGE) (?!SQL |PLPGSQL )\S+"
            ),
            checks.heads("ALTER SYSTEM|(?:CREATE|ALTER|DROP) TABLESPACE|LOAD"),
            checks.calls(_SERVER_CALLS),
        ),
        passes=(
            "COPY t (book_id, a) FROM STDIN",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
            "CREATE TABLE customer (book_id bigint, language text)",
        ),
        fails=(
            "COPY t FROM '/tmp/rows.csv'",
            "COPY t TO PROGRAM 'gzip'",
            "SELECT pg_read_file('x')",
            "SELECT lo_import('x')",
            "ALTER SYSTEM SET fsync = off",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS 'return 1'",
        ),
    ),
    Rule(
        "physical",
        "Row addresses and transaction numbers mean something on PostgreSQL alone.",
        "order by keys or seals; the sealer's watermark says '-- per-engine: <reason>'",
        checks.either(checks.matches(_PHYSICAL), checks.calls(_PHYSICAL_CALLS)),
        passes=(
            "SELECT a.key FROM t a WHERE book_id = 1",
            "-- per-engine: the watermark of the sealer\nSELECT pg_snapshot_xmin(pg_current_snapshot())",
        ),
        fails=(
            "DELETE FROM t WHERE book_id = 1 AND ctid = '(0,1)'",
            "SELECT t.xmin FROM t WHERE book_id = 1",
            "CREATE TABLE t (book_id bigint, x bigint DEFAULT txid_current())",
        ),
        waiver=PER_ENGINE,
    ),
    Rule(
        "new_uuid",
        "uuidv7() and uuidv4() exist from PostgreSQL 18 only, uuid_generate_* in an extension only.",
        "make ids in Python (core.ids)",
        checks.calls(r"UUIDV7|UUIDV4|UUID_GENERATE_\w+"),
        passes=("CREATE TABLE t (book_id bigint, key uuid DEFAULT gen_random_uuid())",),
        fails=("CREATE TABLE t (book_id bigint, key uuid DEFAULT uuidv7())", "SELECT uuid_generate_v4()"),
    ),
    Rule(
        "pgcrypto",
        "The functions of pgcrypto are not in every server.",
        "use sha256(), or do it in Python",
        checks.calls(_CRYPTO_CALLS),
        passes=("CREATE TABLE digest (book_id bigint, digest bytea)", "SELECT sha256(body) FROM t"),
        fails=("SELECT digest(body, 'sha256') FROM t", "SELECT encode(gen_random_bytes(8), 'hex')"),
    ),
    Rule(
        "volatile_update",
        "Inside an UPDATE every node would answer differently, and a repeat would not equal the first try.",
        "pass the instant, the id or the random number as a parameter",
        checks.volatile_update,
        passes=(
            "UPDATE t SET at = $1 WHERE book_id = 1",
            "INSERT INTO t (book_id, at) VALUES (1, now())",
            "SELECT now() FROM t WHERE book_id = 1 FOR UPDATE",
        ),
        fails=(
            "UPDATE t SET at = now() WHERE book_id = 1",
            "UPDATE t SET at = CURRENT_TIMESTAMP WHERE book_id = 1",
            "INSERT INTO t (book_id, a) VALUES (1, 2) ON CONFLICT (book_id) DO UPDATE SET k = gen_random_uuid()",
            "UPDATE t SET a = 1 WHERE book_id = 1 AND random() < 0.5",
        ),
    ),
    Rule(
        "held_cursor",
        "A cursor held across commits pins a snapshot and one connection.",
        "read pages by key",
        checks.matches("WITH HOLD"),
        passes=("DECLARE c CURSOR FOR SELECT 1",),
        fails=("DECLARE c CURSOR WITH HOLD FOR SELECT 1",),
    ),
)
