"""The page of error codes, printed from the code. ``python -m tests.error_reference`` writes it.

Every place that makes an ``AppError`` is read from the syntax trees of the rooms, and the error is made here with
``<name>`` for whatever is known only when it happens. So the page holds what is raised, with the statuses that the
interfaces themselves choose.
"""

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NamedTuple
from uuid import UUID

from tongbao.core import errors
from tongbao.core.errors import AppError, InvariantBroken
from tongbao.ledger.schema import Refusal
from tongbao.payments.service import wallets
from tongbao.web.api.v1.errors import CODES, status_of
from tongbao.web.errors import answer

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tongbao"
PAGE = ROOT / "docs" / "reference" / "errors.md"
ROOMS = (
    "payments",
    "channels",
    "parties",
    "privacy",
    "ledger",
    "routing",
    "risk",
    "decisions",
    "fx",
    "core",
    "web",
)
AT_START = (
    *("core/embedded", "core/migrate.py", "core/copying.py", "core/events/delivery.py", "web/commands"),
    *("risk/service/event_files.py", "risk/service/label_files.py", "risk/service/table_files.py"),
    *("risk/service/replaying_files.py", "risk/service/scored_files.py"),
    *("fx/policy/ecb_lines.py", "fx/service/importing.py", "fx/service/rate_files.py"),
)
"""What these raise is met when the program is started or used at the command line, never over HTTP."""
UNNAMED = frozenset(
    {
        "risk/policy/language.py: InvalidRequest(error.code, _with_calls(error.detail), **error.facts)",
        "payments/service/wallets.py: WrongState(*codes.get(refusal, ('wallet_refused', detail)))",
        "web/api/channels.py: NotAuthenticated(error.code, f'this is not a notification of {channel}')",
        "web/api/v1/fields.py: InvalidRequest(code, detail, param=param)",
    }
)
"""Places whose code is chosen elsewhere: in a table that is read below (wallets), by whoever calls, or by what is told anew."""

Maker = Callable[..., AppError]
KINDS = frozenset(kind for kind in vars(errors).values() if inspect.isclass(kind))


class Raised(NamedTuple):
    """An error as one place of the code makes it."""

    place: str
    error: AppError

    @property
    def section(self) -> str:
        """Return the room, or ``start`` for what is never met over HTTP."""
        return "start" if self.place.startswith(AT_START) else self.place.partition("/")[0]


@functools.cache
def raised() -> tuple[list[Raised], set[str]]:
    """Return every error that the rooms make, and the places whose code cannot be read."""
    found: list[Raised] = []
    unreadable: set[str] = set()
    for site in _sites():
        try:
            found.append(Raised(site.place, _made(site)))
        except _Unreadable:
            unreadable.add(f"{site.place}: {ast.unparse(site.call)}")
    found += [Raised("payments/service/wallets.py", error) for error in _wallet_refusals()]
    return found, unreadable


def page() -> str:
    """Return the page."""
    found, _ = raised()
    parts = [_HEAD]
    for section in (*ROOMS, "start"):
        rows = _rows([each for each in found if each.section == section], over_http=section != "start")
        parts += [f"## {_TITLES[section]}\n", rows]
    return "\n".join(parts)


class _Site(NamedTuple):
    """A call that makes an error: its file, its module, and what its function has assigned to names before it."""

    place: str
    module: ModuleType
    call: ast.Call
    maker: Maker
    assigned: dict[str, ast.expr]


class _Unreadable(Exception):
    """The code of this error is known only when it happens."""


def _sites() -> Iterator[_Site]:
    """Yield every call, in the rooms, of a class of errors or of a function that makes one by its code."""
    for room in ROOMS:
        for path in sorted((SOURCE / room).rglob("*.py")):
            place = path.relative_to(SOURCE)
            if path.name == "__init__.py" or "migrations" in place.parts:
                continue
            module = importlib.import_module(".".join(("tongbao", *place.with_suffix("").parts)))
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = [
                node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            for node in map(_call, ast.walk(tree)):
                if node is not None and (maker := _maker(module, node.func)) is not None:
                    assigned = _assigned(functions, node)
                    for call in _alternatives(node, assigned):
                        yield _Site(place.as_posix(), module, call, maker, assigned)


def _call(node: ast.AST) -> ast.Call | None:
    """Return a call, or the one that ``raise Error`` without parentheses means."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name | ast.Attribute):
        return ast.copy_location(ast.Call(node.exc, [], []), node)
    return node if isinstance(node, ast.Call) else None


def _alternatives(call: ast.Call, assigned: dict[str, ast.expr]) -> Iterator[ast.Call]:
    """Yield a call once for each code that it may have: one that is chosen by a condition is two."""
    code = call.args[0] if call.args else None
    if isinstance(code, ast.Name):
        code = assigned.get(code.id, code)
    if not isinstance(code, ast.IfExp):
        yield call
        return
    for each in (code.body, code.orelse):
        yield ast.copy_location(ast.Call(call.func, [each, *call.args[1:]], call.keywords), call)


def _assigned(
    functions: Sequence[ast.FunctionDef | ast.AsyncFunctionDef], call: ast.Call
) -> dict[str, ast.expr]:
    """Return the last assignments above a call in the functions around it, by name."""
    around = [each for each in functions if each.lineno <= call.lineno <= (each.end_lineno or 0)]
    return {
        node.targets[0].id: node.value
        for each in around
        for node in ast.walk(each)
        if isinstance(node, ast.Assign)
        and node.lineno < call.lineno
        and isinstance(node.targets[0], ast.Name)
    }


def _maker(module: ModuleType, func: ast.expr) -> Maker | None:
    """Return what is called, where that makes an error."""
    if isinstance(func, ast.Name):
        known = vars(module).get(func.id)
    elif isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        known = getattr(vars(module).get(func.value.id), func.attr, None)
    else:
        return None
    if inspect.isclass(known) and issubclass(known, AppError):
        return known
    if isinstance(known, FunctionType) and next(iter(inspect.signature(known).parameters), "") == "code":
        made = known.__annotations__.get("return")
        return known if inspect.isclass(made) and issubclass(made, AppError) else None
    return None


def _wallet_refusals() -> list[AppError]:
    return [wallets._refusal(refusal, "the ledger refused the transfer") for refusal in Refusal]


def _made(site: _Site) -> AppError:
    """Return the error with names for what is not known yet."""
    parameters = [
        each for each in inspect.signature(site.maker).parameters.values() if each.kind in _POSITIONAL
    ]
    if any(isinstance(argument, ast.Starred) for argument in site.call.args):
        raise _Unreadable
    words: list[object] = []
    for number, each in enumerate(parameters):
        if number < len(site.call.args):
            words.append(_value(site, site.call.args[number], each.name))
        elif each.default is inspect.Parameter.empty:
            words.append(f"<{each.name}>")
        if each.name == "document_id":
            words[number] = UUID(int=0)
    error = site.maker(*words)
    if error.code == "<code>":
        raise _Unreadable
    return error


def _value(site: _Site, node: ast.expr, name: str) -> str:
    """Return the text of an argument; ``<name>`` where it is known only when it happens."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_value(site, part, "…").replace("<…>", "…") for part in node.values)
    if isinstance(node, ast.Name) and isinstance(known := vars(site.module).get(node.id), str | int):
        return str(known)
    if isinstance(node, ast.Name) and isinstance(
        told := site.assigned.get(node.id), ast.JoinedStr | ast.Constant
    ):
        return _value(site, told, name)
    if isinstance(node, ast.FormattedValue):
        return _value(site, node.value, name)
    return f"<{name}>"


def _rows(found: Sequence[Raised], *, over_http: bool) -> str:
    """Return a table of errors by their codes; of the same code and kind the first place that says much speaks."""
    first: dict[tuple[str, str], Raised] = {}
    for each in sorted(found, key=lambda each: _meaning(each.error).startswith(("–", "…"))):
        first.setdefault((each.error.code, _kind(each.error)), each)
    told = [each for _, each in sorted(first.items())]
    columns = ("`/v1`", "`/v2`") if over_http else ()
    head = ("code", "kind", *columns, "meaning")
    rows = [
        [*_named(each), *(_statuses(each.error) if over_http else ()), _meaning(each.error)] for each in told
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _named(each: Raised) -> list[str]:
    return [f"`{each.error.code}`", _kind(each.error)]


def _kind(error: AppError) -> str:
    """Return the name of the kind: what the caller can do about it."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind in KINDS)


def _statuses(error: AppError) -> list[str]:
    renamed = CODES.get(error.code)
    under_v1 = f"{status_of(error)}" + (f" `{renamed}`" if renamed else "")
    if isinstance(error, InvariantBroken):
        under_v1 += " `internal`"
    return [
        under_v1,
        str(answer(error).status) + (" `internal`" if isinstance(error, InvariantBroken) else ""),
    ]


def _meaning(error: AppError) -> str:
    """Return what an error says, as one cell; where every word of it is known only then, what its class says."""
    told = re.sub(r"<[a-z_…]+>", "…", error.detail)
    if not any(letter.isalpha() for letter in told):
        told = "" if type(error) in KINDS else (type(error).__doc__ or "").split("\n")[0]
    return told.rstrip(".").replace("|", "\\|").replace("<", "&lt;") or "–"


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_TITLES = {
    "payments": "Payments",
    "channels": "Channels",
    "parties": "Parties: merchants, people, keys",
    "privacy": "The vault",
    "ledger": "The ledger",
    "routing": "Routing",
    "risk": "Risk control",
    "decisions": "Decisions: policies, replays, experiments, conditions",
    "fx": "Exchange: reference rates, conversions",
    "core": "What all rooms share",
    "web": "The interfaces",
    "start": "At start and at the command line",
}
_HEAD = """# Errors

Printed from the places in the code that raise them; a test holds this page equal to them. To print it again:
`python -m tests.error_reference`.

An error is a broken precondition, a party that is away, or a bug. What is expected is no error: a decline is an answer
with a reason ([decline codes](decline-codes.md)), a transfer that the ledger does not take is a refusal
([refusals](../concepts/ledger.md#refusals)).

- `code` is stable: build on it. The text is for people and may change.
- `/v1` answers in Stripe's form (`error.code`, `error.message`, `error.retry`, `error.suggested_action`), `/v2` with
  `{"error": {"code", "detail", "facts"}}`.
- Statuses differ where clients of Stripe read another: they repeat every 409 by themselves, so under `/v1` a state that
  forbids an act is 400.
- `<name>` in a code is filled in, `…` in a meaning is an id, an amount or a name.
- Not every code can come from every interface; the statuses are those that it has where it does.

| kind | what to do |
| --- | --- |
| `InvalidRequest` | Change the request; it can never succeed as it is. |
| `NotFound` | Look at the id, and whose key you use: what belongs to another merchant or mode is unknown. |
| `NotPermitted` | Use a key, or a person, that may. |
| `Conflict` | Read the state again, then decide. |
| `LimitExceeded` | Ask for less, or later. |
| `Unavailable` | Repeat after `Retry-After`; nothing has happened. |
| `OutcomeUnknown` | Repeat with the same idempotency key, or inquire. Never repeat with a new key. |
| `InvariantBroken` | Ours to mend. It is logged whole and told as `internal` with status 500. |
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
