"""The generated parts of the routing pages. ``python -m tests.routing_reference`` writes them.

Fields, bounds and defaults of a routing policy come from its structs, the words for reasons from the closed list, the
fields of rules from their language, the options of commands from the command line itself. What a field means is written
here: a field without a meaning, or a meaning without a field, fails.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import typer
from msgspec import inspect
from typer.core import TyperCommand, TyperGroup, TyperOption

from tongbao.decisions.policy.expression_language import TEXT_FUNCTIONS
from tongbao.routing.policy.reasons import CHOSEN, EXCLUDED, Text
from tongbao.routing.policy.rules import LANGUAGE
from tongbao.routing.schema.spec import Cap, Commitment, Cost, RoutingSpec, Row, Tier
from tongbao.web.commands import decisions, policies, routing

DOCS = Path(__file__).parents[1] / "docs"
POLICY_PAGE = DOCS / "reference" / "routing-policy.md"
RULES_PAGE = DOCS / "howto" / "write-routing-rules.md"
INT_MAX = (1 << 63) - 1

MEANINGS: Mapping[type[msgspec.Struct], Mapping[str, str]] = {
    RoutingSpec: {
        "strategy": "how channels are ranked that are left after filters and breakers",
        "order": "channels for `priority`, first to last; the others follow as configured",
        "weights": "shares for `split`, by channel; only their ratios count",
        "costs": "what each channel takes: a `Cost` by channel; one without costs nothing",
        "commitments": "volumes promised: a `Commitment` by channel",
        "caps": "hard limits: a `Cap` by channel",
        "upstreams": "channels that fail together because they share a processor, by its name",
        "rules": "the merchant's rules, as text: [the language](../howto/write-routing-rules.md)",
        "margin_bps": "what an approval earns before its cost, basis points of the amount",
        "retry_cost_minor": "what a failed attempt costs beyond fees, minor units of the payment's currency",
        "explore_floor": "least probability of each channel in traffic, under `learned` only",
        "prior": "log-odds that a feature of a payment adds to an issuer's yes, by channel and feature; "
        "written by `tongbao routing refresh-prior`",
    },
    Cost: {
        "currency": "of all minor amounts of this table; fixed parts are converted by rates of now",
        "bps": "base rate, basis points of the amount",
        "fixed_minor": "fixed part of an approval, minor units",
        "minimum_minor": "least fee of an approval, minor units",
        "maximum_minor": "greatest fee of an approval, minor units; none where left out",
        "declined_minor": "fee of each declined attempt, minor units",
        "tiers": "rates in place of the base from a month's volume on: `Tier`, ascending",
        "table": "lines that are added like those of interchange: `Row`; the most specific one counts",
        "settles": "currencies that are settled without conversion; empty: all",
        "conversion_bps": "added where the payment's currency is not among them, basis points",
    },
    Tier: {
        "from_volume_minor": "month-to-date volume of the channel from which it counts, minor units",
        "bps": "rate from there on, basis points",
        "fixed_minor": "fixed part from there on, minor units",
    },
    Row: {
        "brand": "network of the card; empty matches all, as below",
        "funding": "`credit`, `debit` or `prepaid`",
        "region": "`domestic`: card and merchant are of one country; `foreign`",
        "mcc": "merchant category, four digits as text",
        "bps": "added to the rate, or taken from it, basis points",
        "fixed_minor": "added to the fixed part, or taken from it, minor units",
    },
    Commitment: {
        "volume_minor": "promised for a calendar month of UTC, minor units",
        "currency": "of the volume",
        "shortfall_bps": "what is missing at the month's end costs so much of the gap, basis points",
    },
    Cap: {
        "currency": "of the amounts; a payment in a currency without a rate into it does not go there",
        "amount_minor_max": "greatest single payment, minor units",
        "day_minor_max": "greatest volume of a day of UTC, minor units",
        "month_minor_max": "greatest volume of a month of UTC, minor units",
        "day_count_max": "most payments of a day",
    },
}


class Part(NamedTuple):
    """A generated part of a page, between two marks that name it."""

    page: Path
    name: str
    text: str


def parts() -> list[Part]:
    """Return every generated part."""
    found = [Part(POLICY_PAGE, struct.__name__, _fields(struct)) for struct in MEANINGS]
    found += [
        Part(POLICY_PAGE, "CHOSEN", _words(CHOSEN)),
        Part(POLICY_PAGE, "EXCLUDED", _words(EXCLUDED)),
        Part(POLICY_PAGE, "commands", _commands()),
        Part(RULES_PAGE, "fields", _language()),
        Part(RULES_PAGE, "functions", _functions()),
    ]
    return found


def standing(part: Part) -> str:
    """Return what its page holds between the marks of a part; raise ValueError where the marks are missing."""
    found = re.search(_marked(part.name), part.page.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise ValueError(f"{part.page.name} has no marks for {part.name}")
    return found["text"]


def write(part: Part) -> None:
    """Put a part in its place."""
    page = part.page.read_text(encoding="utf-8")
    standing(part)
    new = re.sub(
        _marked(part.name), lambda found: f"{found['head']}{part.text}{found['foot']}", page, flags=re.DOTALL
    )
    part.page.write_text(new, encoding="utf-8")


def _marked(name: str) -> str:
    return rf"(?P<head><!-- printed: {name} -->\n)(?P<text>.*?)(?P<foot><!-- end -->)"


def _fields(struct: type[msgspec.Struct]) -> str:
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    meanings = MEANINGS[struct]
    if {each.name for each in described.fields} != set(meanings):
        raise ValueError(f"the meanings of {struct.__name__} are not those of its fields")
    rows = [
        (f"`{each.name}`", _kind(each.type), _default(each), meanings[each.name]) for each in described.fields
    ]
    return _table(("field", "type and bounds", "default", "meaning"), rows)


def _kind(kind: inspect.Type) -> str:
    """Return a type with its bounds in words."""
    match kind:
        case inspect.UnionType(types=types):
            return _kind(next(each for each in types if not isinstance(each, inspect.NoneType)))
        case inspect.IntType(ge=low, le=high):
            return f"integer, {_number(low)} to {_number(high)}"
        case inspect.FloatType(ge=low, le=high):
            return f"number, {_number(low)} to {_number(high)}"
        case inspect.StrType(pattern=pattern, max_length=most):
            if pattern:
                return f"text, `{pattern}`"
            return f"text, at most {_number(most)} characters" if most else "text"
        case inspect.EnumType(cls=choices):
            return ", ".join(f"`{each.value}`" for each in choices)
        case inspect.DictType(value_type=value, max_length=most):
            return f"{_kind(value)}, by name{_at_most(most)}"
        case inspect.VarTupleType(item_type=item, max_length=most):
            return f"list of {_kind(item)}{_at_most(most)}"
        case inspect.StructType(cls=struct):
            return f"`{struct.__name__}`"
    raise ValueError(f"nobody told how to write {kind}")


def _at_most(most: int | None) -> str:
    return f"; at most {most}" if most else ""


def _number(value: float | None) -> str:
    if value is None:
        return "any"
    if abs(value) >= INT_MAX:
        return "-2⁶³+1" if value < 0 else "2⁶³-1"
    return f"{value:,}"


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    value: Any = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    return "–" if value is None or value == "" else f"`{msgspec.json.encode(value).decode()}`"


def _words(texts: Mapping[str, Text]) -> str:
    return _table(
        ("code", "English", "中文"), [(f"`{code}`", text.en, text.zh) for code, text in texts.items()]
    )


def _language() -> str:
    rows = [(f"`{each.name}`", each.type.value, each.description) for each in LANGUAGE.fields]
    return _table(("field", "type", "is"), rows)


def _functions() -> str:
    rows = [
        (f"`{each.name}({', '.join(kind.value for kind in each.parameters)})`", each.description)
        for each in TEXT_FUNCTIONS
    ]
    return _table(("function", "is"), rows)


def _commands() -> str:
    """Return every command of the three groups with its options."""
    rows = []
    for name, app in (("decisions", decisions.app), ("policies", policies.app), ("routing", routing.app)):
        rows += [
            (f"`{path}`", (command.help or "").split("\n")[0], _options(command))
            for path, command in _under(f"tongbao {name}", typer.main.get_command(app))
        ]
    return _table(("command", "does", "options"), rows)


def _under(path: str, command: object) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            yield from _under(f"{path} {name}", each)
    elif isinstance(command, TyperCommand):
        arguments = [str(each.metavar) for each in command.params if not isinstance(each, TyperOption)]
        yield " ".join((path, *arguments)), command


def _options(command: TyperCommand) -> str:
    options = [each for each in command.params if isinstance(each, TyperOption)]
    names = [f"{each.opts[0]}{''.join(f'/{no}' for no in each.secondary_opts)}" for each in options]
    return " ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n" for cells in lines
    )


if __name__ == "__main__":
    for part in parts():
        write(part)
