"""The migration lint: keeps the schema inside the SQL that PostgreSQL, Citus and YugabyteDB all run.

``python -m tongbao.core.migrations.lint`` reads the version files (or the ``.py`` and ``.sql`` files named as
arguments), prints ``file:line: rule: hint`` for each finding, and exits 1 where there is any. From a version
file it takes the text passed to ``op.execute``; a call that it cannot read is a finding too, so that nothing
slips past. The rules, with their reasons and examples, are in ``lint_rules.py``.
"""

import ast
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tongbao.core.migrations import sql_tables
from tongbao.core.migrations.lint_checks import Catalog
from tongbao.core.migrations.lint_rules import LOCAL, REFERENCE, RULES, notes_of
from tongbao.core.migrations.sql_text import EXCERPT_CHARS, Statement, statements

VERSIONS = Path(__file__).parent / "versions"
_OPAQUE_HINT = "pass plain SQL to op.execute as a literal, so that the lint can read it"
_CONTINUED = re.compile(r"""[uU]?("{3}|'{3})\\$""")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to change: the code of the rule, the line, the statement's beginning, what to do instead."""

    rule: str
    line: int
    statement: str
    hint: str


@dataclass(frozen=True, slots=True)
class Snippet:
    """SQL taken from a version file, and the line on which it starts there."""

    text: str
    line: int


def lint_sql(text: str, catalog: Catalog | None = None) -> list[Finding]:
    """Return the findings of every rule in ``text``, by line.

    ``catalog`` names the tables of other texts that are not sharded; those of this text are read from it.
    """
    parsed = list(statements(text))
    return _lint(parsed, catalog_of(parsed, catalog))


def catalog_of(parsed: Sequence[Statement], known: Catalog | None = None) -> Catalog:
    """Return ``known`` with the tables that the statements declare as reference or local tables."""
    known = known or Catalog()
    marked = [(notes_of(statement), sql_tables.table_of(statement)) for statement in parsed]
    reference = {table for notes, table in marked if table and REFERENCE in notes}
    local = {table for notes, table in marked if table and LOCAL in notes}
    return Catalog(known.reference | reference, known.local | local)


def read_versions(source: str) -> tuple[list[Snippet], list[Finding]]:
    """Return the SQL that a version file passes to ``op.execute``, and what could not be read."""
    tree = ast.parse(source)
    values, lines = _values(tree), source.splitlines()
    snippets: list[Snippet] = []
    findings: list[Finding] = []
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        if ast.unparse(call.func.value) != "op" or call.func.attr == "get_context":
            continue
        literals = _all_literals(call.args[:1], values) if call.func.attr == "execute" else None
        if literals:
            snippets += [Snippet(str(node.value), _first_line(node, lines)) for node in literals]
        else:
            findings.append(Finding("opaque", call.lineno, ast.unparse(call)[:EXCERPT_CHARS], _OPAQUE_HINT))
    return snippets, findings


def lint_files(paths: Sequence[Path]) -> list[tuple[Path, Finding]]:
    """Return the findings of all files together, by file and line; tables declared in one are known in all."""
    parsed: dict[Path, list[Statement]] = {}
    found: list[tuple[Path, Finding]] = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        snippets, findings = ([Snippet(text, 1)], []) if path.suffix == ".sql" else read_versions(text)
        parsed[path] = [one for snippet in snippets for one in statements(snippet.text, snippet.line)]
        found += [(path, finding) for finding in findings]
    catalog = catalog_of([one for each in parsed.values() for one in each])
    for path, each in parsed.items():
        found += [(path, finding) for finding in _lint(each, catalog)]
    return sorted(found, key=lambda item: (str(item[0]), item[1].line, item[1].rule))


def main(arguments: Sequence[str] | None = None) -> int:
    """Lint the files named, or all version files; print the findings and return 1 where there are any."""
    named = [Path(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    paths = named or sorted(VERSIONS.glob("*.py"))
    found = lint_files(paths)
    for path, finding in found:
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        sys.stdout.write(f"{shown}:{finding.line}: {finding.rule}: {finding.hint}\n    {finding.statement}\n")
    sys.stdout.write(f"migration lint: {len(paths)} files, {len(RULES)} rules, {len(found)} findings\n")
    return 1 if found else 0


def _lint(parsed: Sequence[Statement], catalog: Catalog) -> list[Finding]:
    found = {
        Finding(rule.code, statement.tokens[index].line, statement.excerpt, rule.hint)
        for statement in parsed
        for rule in RULES
        if rule.waiver not in notes_of(statement)
        for index in rule.check(statement, catalog)
    }
    return sorted(found, key=lambda finding: (finding.line, finding.rule))


def _values(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Return everything that each name of the module may stand for, loop variables included."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.For):
            targets, value = [node.target], node.iter
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                values.setdefault(target.id, []).append(value)
    return values


def _literals(node: ast.expr, values: dict[str, list[ast.expr]]) -> list[ast.Constant] | None:
    """Return the string literals that ``node`` stands for; None where one of them is anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node]
    if isinstance(node, ast.Name) and node.id in values:
        others = {name: value for name, value in values.items() if name != node.id}
        return _all_literals(values[node.id], others)
    if isinstance(node, ast.Tuple | ast.List):
        return _all_literals(node.elts, values)
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "text":
        return _all_literals(node.args, values)
    return None


def _all_literals(nodes: Sequence[ast.expr], values: dict[str, list[ast.expr]]) -> list[ast.Constant] | None:
    found: list[ast.Constant] = []
    for node in nodes:
        literals = _literals(node, values)
        if literals is None:
            return None
        found += literals
    return found


def _first_line(node: ast.Constant, source: Sequence[str]) -> int:
    """Return the line of the text's first character; a backslash after the quotes swallows a line end."""
    opening = source[node.lineno - 1].encode()[node.col_offset :].decode()
    return node.lineno + bool(_CONTINUED.match(opening))


if __name__ == "__main__":
    raise SystemExit(main())
