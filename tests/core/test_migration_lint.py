"""The migration lint: tokens, tables and keys, every rule's own examples, version files and the real ones."""

import textwrap
from io import StringIO
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.migrations import lint
from tongbao.core.migrations.lint_checks import Catalog
from tongbao.core.migrations.lint_rules import RULES, Rule
from tongbao.core.migrations.sql_tables import cte_names, keys_of, table_of, tables_read, tables_written
from tongbao.core.migrations.sql_text import Statement, statements, tokenize

SOUP = (
    "( ) , ; . ' \" $$ $a$ -- /* */ a t book_id 1 :: = * E' ''"
    " create alter table add column constraint primary key unique foreign references index on using only if not"
    " exists select from where join with as insert into update set delete returning for share of do values"
    " function language plpgsql begin end partition by generated always identity exclude type unlogged temp"
)

BEGINNINGS = (
    "", "create table t (", "alter table t add", "create unique index", "create unique index on t",
    "create function f as", "insert into", "update", "with a as (", "alter table t", "create index i on t using",
)  # fmt: skip


def one(text: str) -> Statement:
    """Return the only statement of ``text``."""
    (statement,) = statements(text)
    return statement


def codes(text: str) -> set[str]:
    """Return the rules that ``text`` breaks."""
    return {finding.rule for finding in lint.lint_sql(text)}


# Rules


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule in RULES for text in rule.passes])
def test_rule_on_its_passing_line_finds_nothing(rule: Rule, text: str) -> None:
    assert rule.code not in codes(text)


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule in RULES for text in rule.fails])
def test_rule_on_its_failing_line_finds_it(rule: Rule, text: str) -> None:
    assert rule.code in codes(text)


def test_rules_each_have_reason_hint_and_both_kinds_of_lines() -> None:
    assert all(rule.reason and rule.hint and rule.passes and rule.fails for rule in RULES)
    assert len({rule.code for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_failing_lines_inside_comments_and_strings_are_not_findings(rule: Rule) -> None:
    text = rule.fails[0]
    line_comment = "\n".join(f"-- {line}" for line in text.splitlines())
    quoted = text.replace("'", "''")
    for hidden in (line_comment, f"/* {text} /* nested */ */", f"COMMENT ON TABLE t IS '{quoted}'"):
        assert codes(f"SELECT 1;\n{hidden}") == set()
    assert codes(f"SELECT $note${text}$note$") == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_lower_and_upper_case_are_the_same(rule: Rule) -> None:
    for text in rule.fails:
        if "--" not in text:
            assert rule.code in codes(text.upper())
            assert rule.code in codes(text.lower())


def test_findings_carry_the_line_of_the_offending_word() -> None:
    text = """
    SELECT 1;
    -- a comment; with a semicolon
    UPDATE t
       SET a = 'x;
    y',
           at = now()
     WHERE book_id = 1;
    CREATE TABLE t (
        book_id bigint,
        id bigserial
    )
    """
    found = [(finding.line, finding.rule) for finding in lint.lint_sql(text)]
    assert found == [(7, "volatile_update"), (11, "sequence")]


def test_body_of_a_routine_is_linted_with_the_lines_of_the_file() -> None:
    text = textwrap.dedent(
        """\
        CREATE FUNCTION f(v_book bigint) RETURNS void LANGUAGE plpgsql AS $body$
        BEGIN
          -- pg_advisory_lock(1) is not used here
          PERFORM pg_advisory_xact_lock(1);
          UPDATE t SET at = clock_timestamp() WHERE book_id = v_book;
        END
        $body$;
        SELECT pg_notify('x', '')
        """
    )
    found = [(finding.line, finding.rule) for finding in lint.lint_sql(text)]
    assert found == [(4, "advisory_lock"), (5, "volatile_update"), (8, "notify")]


def test_note_on_a_routine_covers_its_body() -> None:
    body = "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ SELECT txid_current() $$"
    assert codes(body) == {"physical"}
    assert codes(f"-- per-engine: the sealer's watermark\n{body}") == set()


def test_note_behind_the_semicolon_belongs_to_the_statement_before_it() -> None:
    text = "CREATE TABLE c (id int PRIMARY KEY); -- local table: one row\nCREATE TABLE d (id int PRIMARY KEY)"
    assert [(f.line, f.rule) for f in lint.lint_sql(text)] == [(2, "tenant_key")]


def test_note_without_a_reason_lifts_nothing() -> None:
    assert codes("-- local table:   \nCREATE TABLE c (id int PRIMARY KEY)") == {"tenant_key"}


def test_note_of_another_kind_lifts_nothing() -> None:
    assert codes("-- per-engine: because\nCREATE TABLE c (id int PRIMARY KEY)") == {"tenant_key"}
    assert codes("-- local table: because\nCREATE INDEX ON t USING brin (x)") == {"brin"}


def test_local_table_is_known_to_later_statements_and_may_not_be_referenced_by_a_sharded_one() -> None:
    local = "-- local table: bookkeeping\nCREATE TABLE c (id int PRIMARY KEY);"
    assert codes(f"{local} CREATE UNIQUE INDEX ON c (id); SELECT id FROM c FOR UPDATE") == set()
    assert codes(f"{local} CREATE TABLE t (book_id bigint, c int REFERENCES c (id))") == {"tenant_key"}


def test_catalog_passed_in_names_reference_tables_of_other_files() -> None:
    text = "CREATE TABLE t (book_id bigint, asset text REFERENCES asset (code))"
    assert codes(text) == {"tenant_key"}
    assert lint.lint_sql(text, Catalog(reference=frozenset({"asset"}))) == []


def test_table_of_alembic_itself_is_no_finding() -> None:
    assert codes("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)") == set()


# Tokens and statements


@given(st.text(alphabet=st.one_of(st.sampled_from("'\"$-/*;ae\n\\"), st.characters())))
def test_tokens_together_are_the_text_again(text: str) -> None:
    tokens = list(tokenize(text))
    assert "".join(token.text for token in tokens) == text
    assert all(token.line == 1 + text[: sum(len(t.text) for t in tokens[:n])].count("\n")
               for n, token in enumerate(tokens))  # fmt: skip


@given(st.sampled_from(BEGINNINGS), st.lists(st.sampled_from(SOUP.split()), max_size=25))
def test_any_soup_of_words_is_linted_without_an_exception(beginning: str, words: list[str]) -> None:
    lint.lint_sql(" ".join((beginning, *words)))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("select 'it''s; -- no comment' as a", " SELECT '' AS A "),
        ("SELECT E'a\\'; b', $$;$$, $q$ $$ ; $q$", " SELECT '' , $$ , $$ "),
        ('SELECT "Sel;ect" /* a /* b */ ; */ FROM t -- ;', ' SELECT "" FROM T '),
        ("SELECT $1::bigint[]", " SELECT $ 1 : : BIGINT [ ] "),
    ],
)
def test_statement_shape_hides_quoted_text(text: str, shape: str) -> None:
    assert one(text).shape == shape


def test_statements_are_split_at_semicolons_only() -> None:
    text = "SELECT 1;; SELECT ';' ; /* ; */ SELECT $$;$$"
    assert [statement.excerpt for statement in statements(text)] == ["SELECT 1", "SELECT ';'", "SELECT $$;$$"]


def test_long_statement_is_cut_in_the_excerpt() -> None:
    assert one("SELECT " + "a, " * 60 + "b").excerpt.endswith("…")


# Tables and keys


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("CREATE TABLE IF NOT EXISTS s.t (a int)", "t"),
        ('CREATE UNLOGGED TABLE "T" (a int)', "T"),
        ("ALTER TABLE IF EXISTS ONLY s.t ADD a int", "t"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON ONLY s.t (a)", "t"),
        ("DROP TABLE t", None),
    ],
)
def test_table_of_statement(text: str, table: str | None) -> None:
    assert table_of(one(text)) == table


@pytest.mark.parametrize(
    ("text", "read", "written"),
    [
        ("SELECT a FROM s.t x, u JOIN LATERAL (SELECT b FROM v) w ON true, ONLY z", ["t", "u", "v", "z"], []),
        ("SELECT extract(year FROM at) FROM t WHERE a IS DISTINCT FROM b", ["t"], []),
        ("SELECT a FROM unnest($1, $2) u (a, b), (t CROSS JOIN v)", ["t", "v"], []),
        ("WITH w (a) AS MATERIALIZED (SELECT 1) SELECT a FROM w", [], []),
        ("DELETE FROM t USING u WHERE t.a = u.a", ["t", "u"], ["t"]),
        ("INSERT INTO t SELECT 1 ON CONFLICT (a) DO UPDATE SET a = 1", [], ["t"]),
        ("UPDATE ONLY t SET a = u.a FROM u", ["u"], ["t"]),
        ("SELECT a FROM t FOR NO KEY UPDATE", ["t"], []),
    ],
)
def test_tables_read_and_written(text: str, read: list[str], written: list[str]) -> None:
    statement = one(text)
    assert (tables_read(statement), tables_written(statement)) == (read, written)


def test_names_of_with_queries() -> None:
    text = (
        "WITH RECURSIVE a AS (SELECT 1), b (x, y) AS NOT MATERIALIZED (VALUES (1, 2)) SELECT (SELECT 1) AS c"
    )
    assert cte_names(one(text)) == {"a", "b"}


def test_keys_of_a_table_in_every_form() -> None:
    text = """
    CREATE TABLE t (
        a numeric(10, 2) CHECK (a > 0) UNIQUE,
        b int CONSTRAINT c REFERENCES s.u (x, y) ON DELETE CASCADE,
        CONSTRAINT p PRIMARY KEY (book_id, a),
        FOREIGN KEY (book_id, b) REFERENCES u,
        CHECK (a <> b)
    )
    """
    found = [(key.kind, key.columns, key.target, key.target_columns) for key in keys_of(one(text))]
    assert found == [
        ("unique", ("a",), None, ()),
        ("foreign key", ("b",), "u", ("x", "y")),
        ("primary key", ("book_id", "a"), None, ()),
        ("foreign key", ("book_id", "b"), "u", ()),
    ]


# Version files


def test_version_file_is_read_with_its_own_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "0001_x.py"
    path.write_text(
        textwrap.dedent(
            '''\
            """Docstrings may say LOCK TABLE t."""
            import sqlalchemy as sa
            from alembic import op
            ONE = "LOCK TABLE a"
            MANY = ("LISTEN b", "LISTEN c")

            def upgrade():
                op.execute(
                    """
                    CREATE TABLE t (
                        book_id bigint,
                        id bigserial
                    )
                    """
                )
                op.execute("""\\
                    LOCK TABLE d""")
                op.execute(ONE)
                for text in MANY:
                    op.execute(text)
                op.execute(sa.text("LISTEN e"))
                with op.get_context().autocommit_block():
                    op.execute("CREATE INDEX CONCURRENTLY i ON t (book_id)")
            '''
        )
    )
    found = [(finding.line, finding.rule) for _, finding in lint.lint_files([path])]
    assert found == [(4, "lock_table"), (5, "notify"), (5, "notify"), (12, "sequence"), (17, "lock_table"),
                     (21, "notify")]  # fmt: skip


@pytest.mark.parametrize(
    "call",
    ["op.execute(f'DROP TABLE {t}')", "op.execute('DROP ' + t)", "op.execute(made())", "op.create_table('t')",
     "op.get_bind()", "op.execute(UNKNOWN)", "op.execute()"],
)  # fmt: skip
def test_version_file_call_that_cannot_be_read_is_a_finding(call: str) -> None:
    snippets, findings = lint.read_versions(f"def upgrade():\n    {call}\n")
    assert snippets == []
    assert [(finding.line, finding.rule) for finding in findings] == [(2, "opaque")]


def test_reference_table_of_one_file_is_known_in_the_next(tmp_path: Path) -> None:
    first, second = tmp_path / "0001.py", tmp_path / "0002.sql"
    first.write_text(
        'op.execute("""-- reference table: small\nCREATE TABLE asset (code text PRIMARY KEY)""")'
    )
    second.write_text("CREATE TABLE t (book_id bigint, asset text REFERENCES asset (code))")
    assert lint.lint_files([first, second]) == []


def test_main_prints_findings_and_returns_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.sql"
    path.write_text("SELECT 1;\nLOCK TABLE t;\n")
    assert lint.main([str(path)]) == 1
    printed = capsys.readouterr().out
    assert f"{path}:2: lock_table: lock the rows of one book" in printed
    assert printed.endswith("1 findings\n")


def test_real_migrations_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint.main([]) == 0, capsys.readouterr().out


def test_sql_that_alembic_prints_offline_is_clean() -> None:
    printed = StringIO()
    config = Config(output_buffer=printed)
    config.set_main_option("script_location", str(lint.VERSIONS.parent))
    command.upgrade(config, "head", sql=True)
    assert "CREATE TABLE ledger.transfer" in printed.getvalue()
    assert lint.lint_sql(printed.getvalue()) == []
