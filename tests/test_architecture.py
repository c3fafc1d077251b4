"""The rules of the house that a machine checks on the source, beside the import contracts in pyproject.toml.

Each rule is a small function over one parsed file and carries sources that pass and sources that fail, so the
rules are tested as well as the house.
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import grimp
import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tongbao"
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
DOORS = {"service", "schema", "errors", "ports", "api"}
SHARED = {"decisions": DOORS | {"models", "policy"}, "risk": DOORS | {"models", "policy"}}
"""Rooms that exist to be built upon: learners and evaluation are what the rooms above use of ``decisions`` (0009);
benchmarks measure the features, models and tiers of ``risk`` by themselves (0010)."""
OPEN_ROOMS = {
    "core",
    "bench",
    "simulator",
    "web",
}  # who may import these at all is told by the layers contract
DOCUMENTED = {"service", "policy", "store", "models", "ports"}
VAGUE = re.compile(r"(utils?|helpers?|common|misc|managers?)(\.py)?$")
IMPURE = {
    "http",
    "io",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "time",
    "urllib",
}
FENCED = {"anthropic": "assistants/", "openai": "assistants/", "stripe": "channels/adapters/"}
SQL = re.compile(
    r"\b(?:FROM|WHERE|AND|OR|SET|VALUES|JOIN|ORDER BY|GROUP BY|LIMIT|RETURNING|FOR UPDATE)\b"
    r"|(?i:\bselect\b.+\bfrom\b|\binsert\s+into\b|\bupdate\b.+\bset\b|\bdelete\s+from\b)",
    re.DOTALL,
)
REASONED = re.compile(r"# built SQL: \S")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file: its path below ``src/tongbao`` and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def lines(self) -> list[str]:
        """The text by lines, after an empty one: the first line has number 1."""
        return ["", *self.text.splitlines()]

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders and the file's name without its ending: ``("ledger", "service", "posting")``."""
        return PurePosixPath(self.path).with_suffix("").parts

    def functions(self) -> Iterator[Function]:
        """Every function and method."""
        return (node for node in self.nodes if isinstance(node, Function))

    def is_part_of(self, name: str) -> bool:
        """Return whether the file is ``<room>/<name>.py`` or lies in ``<room>/<name>/``."""
        return len(self.parts) > 1 and self.parts[1] == name

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full name of everything imported; ``from a import b`` gives ``a.b``."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


Check = Callable[[Source], Iterator[tuple[int, str]]]


def entered_by_a_door(source: Source) -> Iterator[tuple[int, str]]:
    """Another room is entered only through its doors, never through its root or its inner files."""
    for line, name in source.imports():
        package, _, rest = name.partition(".")
        room, _, inside = rest.partition(".")
        if package != "tongbao" or not (SOURCE / room).is_dir() or room == source.parts[0]:
            continue
        doors = DOORS | {"tasks"} if source.parts[0] == "web" else DOORS  # web starts the background jobs
        if not inside or (
            room not in OPEN_ROOMS and inside.partition(".")[0] not in SHARED.get(room, set()) | doors
        ):
            yield line, f"{name}: enter a room through {', '.join(sorted(DOORS))}"


def imports_stand_at_the_top(source: Source) -> Iterator[tuple[int, str]]:
    """No import hides inside a function; TYPE_CHECKING blocks of a module are at the top too."""
    for function in source.functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield node.lineno, f"import inside {function.name}"


def room_files_open_with_words_only(source: Source) -> Iterator[tuple[int, str]]:
    """An ``__init__.py`` holds one docstring; ``service/__init__.py`` may keep the public names together."""
    if source.parts[-1] != "__init__" or source.parts[-2:-1] == ("service",):
        return
    if ast.get_docstring(source.tree) is None or len(source.tree.body) != 1:
        yield 1, "hold one docstring and nothing else"


def names_say_what_is_inside(source: Source) -> Iterator[tuple[int, str]]:
    """No file or folder is named after nothing in particular."""
    for part in source.parts:
        if VAGUE.match(part):
            yield 1, f"{part!r} says nothing; name the file after what it holds"


def everything_public_is_documented(source: Source) -> Iterator[tuple[int, str]]:
    """Every module has a docstring, and so has every public name of the files that others call."""
    if ast.get_docstring(source.tree) is None:
        yield 1, "the module has no docstring"
    if source.parts[0] != "core" and not any(source.is_part_of(name) for name in DOCUMENTED):
        return
    yield from _undocumented(source.tree)


def _undocumented(owner: ast.Module | ast.ClassDef) -> Iterator[tuple[int, str]]:
    for node in owner.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and not _is_overload(node):
            yield node.lineno, f"{node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node)


def _is_overload(node: Function | ast.ClassDef) -> bool:
    marks = {ast.unparse(decorator) for decorator in node.decorator_list}
    return any(mark.endswith(("overload", ".setter")) for mark in marks)


def instants_have_a_zone(source: Source) -> Iterator[tuple[int, str]]:
    """No call makes an instant without a time zone."""
    for line, called, arguments in _calls(source):
        if called.endswith(("datetime.utcnow", "datetime.utcfromtimestamp", "datetime.today", "date.today")):
            yield line, f"{called}() has no time zone"
        elif called.endswith("datetime.now") and not arguments:
            yield line, "datetime.now() has no time zone"


def time_is_passed_in(source: Source) -> Iterator[tuple[int, str]]:
    """Only the real clock, and benchmarks, ask the machine for the time of day."""
    if source.path == "core/clock.py" or source.parts[0] == "bench":
        return
    for line, called, _ in _calls(source):
        if called in {"time.time", "time.time_ns"} or called.endswith("datetime.now"):
            yield line, f"{called}(): take a Clock"
    for line, name in source.imports():
        if name in {"time.time", "time.time_ns"}:
            yield line, f"{name}: take a Clock"


def money_is_never_a_float(source: Source) -> Iterator[tuple[int, str]]:
    """Files about money make no float, neither by call nor by literal."""
    if "money" not in source.parts[-1]:
        return
    for line, called, _ in _calls(source):
        if called == "float":
            yield line, "float() in a money file"
    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node.lineno, f"the float {node.value} in a money file"


def policies_are_pure(source: Source) -> Iterator[tuple[int, str]]:
    """A policy reads no clock, no chance, no file and no network."""
    if not source.is_part_of("policy"):
        return
    for line, name in source.imports():
        makes_ids = re.match(r"uuid\.uuid\d", name)
        if (
            name.partition(".")[0] in IMPURE
            or makes_ids
            or name.startswith(("tongbao.core.clock", "numpy.random"))
        ):
            yield line, f"{name} in a policy: pass the fact in"


def statements_are_written_out(source: Source) -> Iterator[tuple[int, str]]:
    """SQL in a store is never put together from strings.

    Constants of the module may be added to each other. What takes no parameters (a name or a bound in DDL) says
    so in its own line or up to two above: ``# built SQL: <reason>``.
    """
    if not source.is_part_of("store"):
        return
    named: set[str] = set()
    fixed: set[ast.AST] = set()
    for node in source.nodes:
        if isinstance(node, ast.Assign) and (_is_sql(node.value, named) or _is_sum_of(node.value, named)):
            named |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            if node in source.tree.body and not isinstance(node.value, ast.JoinedStr):
                fixed |= set(ast.walk(node.value))
    for node in source.nodes:
        how = _put_together(node, named)
        line = getattr(node, "lineno", 1)
        if (
            how
            and node not in fixed
            and not any(REASONED.search(text) for text in source.lines[max(line - 2, 0) : line + 1])
        ):
            yield line, f"SQL put together with {how}"


def _put_together(node: ast.AST, named: set[str]) -> str | None:
    """Return by which means ``node`` makes new SQL from strings; None where it does not."""
    if isinstance(node, ast.JoinedStr):
        return "an f-string" if _is_sql(node, named) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return "+ or %" if _is_sql(node.left, named) or _is_sql(node.right, named) else None
    if isinstance(node, ast.AugAssign):
        return "+=" if _is_sql(node.target, named) or _is_sql(node.value, named) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        method = node.func.attr
        found = method in {"format", "join", "replace"} and _is_sql(node.func.value, named)
        return f".{method}()" if found else None
    return None


def _is_sum_of(node: ast.expr, named: set[str]) -> bool:
    """Return whether ``node`` adds literals and names of SQL, and nothing else."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_sum_of(node.left, named) and _is_sum_of(node.right, named)
    return _is_sql(node, named) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_sql(node: ast.expr, named: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in named
    if isinstance(node, ast.JoinedStr):
        return bool(
            SQL.search(" ".join(str(p.value) if isinstance(p, ast.Constant) else "x" for p in node.values))
        )
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(SQL.search(node.value))


def sizes_stay_readable(source: Source) -> Iterator[tuple[int, str]]:
    """No function is longer than 70 lines, no file longer than 600; a migration is a list, not a function."""
    if (lines := len(source.lines) - 1) > FILE_LINES_MAX:
        yield 1, f"{lines} lines; split the file"
    is_migration = source.path.startswith("core/migrations/versions/")
    for function in () if is_migration else source.functions():
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield function.lineno, f"{function.name} has {lines} lines; split it"


def vendors_stay_behind_their_fence(source: Source) -> Iterator[tuple[int, str]]:
    """Clients of channels live in channel adapters, clients of language models in assistants."""
    for line, name in source.imports():
        fence = FENCED.get(name.partition(".")[0])
        if fence and not source.path.startswith(fence):
            yield line, f"{name} outside of {fence}"


def _calls(source: Source) -> Iterator[tuple[int, str, int]]:
    """Line, dotted name and number of arguments of every call."""
    for node in source.nodes:
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), len(node.args) + len(node.keywords)


@dataclass(frozen=True)
class Rule:
    """A check with sources (path and text) that pass and that fail."""

    check: Check
    passes: tuple[tuple[str, str], ...]
    fails: tuple[tuple[str, str], ...]


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX

RULES = (
    Rule(
        entered_by_a_door,
        passes=(
            ("bench/x.py", "from tongbao.ledger import service, schema"),
            ("bench/x.py", "from tongbao.ledger.service.posting import Ledger"),
            ("bench/x.py", "import tongbao.core.ids"),
            ("web/app.py", "from tongbao.ledger.tasks import seal"),
            ("web/app.py", "from tongbao.bench import ledger"),
            ("ledger/service.py", "from tongbao.ledger.store import rows"),
            ("ledger/service.py", "from tongbao.core.money import Money"),
            ("bench/x.py", "from tongbao import __doc__"),
        ),
        fails=(
            ("bench/x.py", "from tongbao.ledger.store import rows"),
            ("bench/x.py", "from tongbao.ledger import store"),
            ("bench/x.py", "from tongbao.ledger.tasks import seal"),
            ("web/app.py", "import tongbao.ledger.policy"),
            ("web/app.py", "from tongbao import ledger"),
            ("web/app.py", "import tongbao.core"),
        ),
    ),
    Rule(
        imports_stand_at_the_top,
        passes=(
            ("core/a.py", "import os\ndef f(): return os"),
            ("core/a.py", "if TYPE_CHECKING:\n    import os"),
        ),
        fails=(
            ("core/a.py", "def f():\n    import os"),
            ("core/a.py", "class A:\n    async def f(self):\n        if x:\n            from os import path"),
        ),
    ),
    Rule(
        room_files_open_with_words_only,
        passes=(
            ("ledger/__init__.py", '"""The books."""'),
            (
                "ledger/service/__init__.py",
                '"""Use cases."""\nfrom tongbao.ledger.service.posting import post',
            ),
            ("ledger/errors.py", "X = 1"),
        ),
        fails=(
            ("ledger/__init__.py", ""),
            ("ledger/__init__.py", "# The books."),
            ("ledger/__init__.py", '"""The books."""\nimport os'),
            ("web/commands/__init__.py", '"""Commands."""\nX = 1'),
        ),
    ),
    Rule(
        names_say_what_is_inside,
        passes=(("core/amount_text.py", ""), ("core/commons_licence.py", "")),
        fails=(
            ("core/utils.py", ""),
            ("core/helper.py", ""),
            ("ledger/common/x.py", ""),
            ("risk/manager.py", ""),
        ),
    ),
    Rule(
        everything_public_is_documented,
        passes=(
            ("ledger/store.py", '"""Rows."""\ndef read():\n    """Return."""\ndef _inner(): ...'),
            ("ledger/api.py", '"""Routes."""\ndef read(): ...'),
            ("core/a.py", '"""A."""\nclass _A:\n    def f(self): ...'),
            (
                "core/a.py",
                '"""A."""\n@overload\ndef f(): ...\ndef f():\n    """Return."""\n    def inner(): ...',
            ),
        ),
        fails=(
            ("ledger/api.py", "def read(): ..."),
            ("ledger/store.py", '"""Rows."""\ndef read(): ...'),
            ("ledger/store/rows.py", '"""Rows."""\nasync def read(): ...'),
            ("core/a.py", '"""A."""\nclass A:\n    """An A."""\n    def f(self): ...'),
        ),
    ),
    Rule(
        instants_have_a_zone,
        passes=(("bench/a.py", "datetime.now(UTC)"), ("bench/a.py", "datetime.now(tz=UTC)")),
        fails=(
            ("bench/a.py", "datetime.now()"),
            ("bench/a.py", "datetime.datetime.utcnow()"),
            ("bench/a.py", "date.today()"),
        ),
    ),
    Rule(
        time_is_passed_in,
        passes=(
            ("core/clock.py", "datetime.now(UTC)"),
            ("bench/a.py", "time.time()"),
            ("core/a.py", "time.monotonic(); clock.now()"),
        ),
        fails=(
            ("core/a.py", "time.time()"),
            ("core/a.py", "datetime.now(UTC)"),
            ("core/a.py", "from time import time"),
        ),
    ),
    Rule(
        money_is_never_a_float,
        passes=(("core/money.py", "Decimal('0.5'); isinstance(x, float)"), ("core/clock.py", "float(1)")),
        fails=(("core/money.py", "float(x)"), ("fx/money_text.py", "x * 0.5")),
    ),
    Rule(
        policies_are_pure,
        passes=(
            ("risk/policy.py", "from datetime import datetime\nfrom uuid import UUID"),
            ("risk/store.py", "import time"),
        ),
        fails=(
            ("risk/policy.py", "import random"),
            ("risk/policy/tiers.py", "from time import monotonic"),
            ("risk/policy.py", "from uuid import uuid4"),
            ("risk/policy.py", "from tongbao.core.clock import Clock"),
        ),
    ),
    Rule(
        statements_are_written_out,
        passes=(
            ("ledger/store.py", 'READ = "SELECT a FROM t WHERE b = $1"'),
            ("ledger/store.py", 'f"account {x} not found"\n"a" + "b"\n", ".join(x)'),
            ("ledger/service.py", 'f"SELECT a FROM {t}"'),
            (
                "ledger/store.py",
                '# built SQL: names take no parameters\nf"ALTER TABLE {t} ALTER a SET DEFAULT 1"',
            ),
            ("ledger/store.py", 'ALL = "SELECT a FROM t "\nONE = ALL + "WHERE b = $1 " + "LIMIT 1"'),
        ),
        fails=(
            ("ledger/store.py", 'f"SELECT a FROM {t}"'),
            ("ledger/store.py", '# built SQL:\nf"SELECT a FROM {t}"'),
            ("ledger/store.py", 'f"insert into {t} values (1)"'),
            ("ledger/store.py", '"SELECT a FROM t WHERE " + clause'),
            ("ledger/store/rows.py", '"SELECT a FROM %s" % t'),
            ("ledger/store.py", '"UPDATE t SET a = {}".format(1)'),
            ("ledger/store.py", '" AND ".join(clauses)'),
            ("ledger/store.py", 'READ = "SELECT a FROM t"\nREAD += clause'),
            ("ledger/store.py", 'READ = "SELECT a FROM t"\nx = READ + clause'),
            ("ledger/store.py", 'READ = "SELECT a FROM t"\ndef f(): return READ + " WHERE b = 1"'),
            ("ledger/store.py", 'READ = "SELECT a FROM t"\nx = READ.replace("t", t)'),
        ),
    ),
    Rule(
        sizes_stay_readable,
        passes=(
            ("core/a.py", "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)),
            ("core/migrations/versions/0001_ledger.py", LONG_FUNCTION),
        ),
        fails=(("core/a.py", LONG_FUNCTION), ("core/a.py", "x = 1\n" * (FILE_LINES_MAX + 1))),
    ),
    Rule(
        vendors_stay_behind_their_fence,
        passes=(
            ("channels/adapters/card.py", "import stripe"),
            ("assistants/nlu.py", "from openai import X"),
        ),
        fails=(("payments/service.py", "import stripe"), ("web/app.py", "from anthropic import Client")),
    ),
)


def examples(kind: str) -> list[object]:
    """Return every rule with each of its ``passes`` or ``fails``."""
    return [
        pytest.param(rule.check, Source(*example), id=f"{rule.check.__name__}-{number}")
        for rule in RULES
        for number, example in enumerate(getattr(rule, kind))
    ]


@pytest.mark.parametrize(("check", "source"), examples("passes"))
def test_rule_on_a_passing_source_finds_nothing(check: Check, source: Source) -> None:
    assert list(check(source)) == []


@pytest.mark.parametrize(("check", "source"), examples("fails"))
def test_rule_on_a_failing_source_finds_something(check: Check, source: Source) -> None:
    assert list(check(source)) != []


@pytest.fixture(scope="module")
def house() -> list[Source]:
    """Every source file of the package."""
    paths = sorted(SOURCE.rglob("*.py"))
    return [Source(path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


@pytest.mark.parametrize("check", [rule.check for rule in RULES], ids=lambda check: check.__name__)
def test_house_keeps_the_rule(check: Check, house: list[Source]) -> None:
    found = [f"{source.path}:{line}: {what}" for source in house for line, what in check(source)]
    assert not found, "\n".join([str(check.__doc__), *found])


def test_every_room_has_a_place_in_the_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "rooms")
    listed = {name for layer in layers for name in re.findall(r"\w+", layer)}
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= listed
    built = {name for layer in layers for name in re.findall(r"(?<!\()\b\w+\b(?!\))", layer)}
    assert built == rooms, "a room in parentheses exists, or one without does not"


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in SOURCE.rglob("*.py")} - {SOURCE / "core" / "migrations" / "versions"}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_no_import_cycle_anywhere() -> None:
    graph = grimp.build_graph("tongbao", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert find_cycle(imports) == []


def find_cycle(imports: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import cycle; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_find_cycle_names_its_modules() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert sorted(set(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}))) == ["a", "b", "c"]
