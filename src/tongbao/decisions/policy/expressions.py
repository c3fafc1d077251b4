"""The language of conditions that people write: compared fields, joined by ``and``, ``or`` and ``not``.

    amount > 500 EUR and card_country != merchant_country and not starts_with(issuer, "4571")

Python's parser reads it after ``expression_source`` has let through plain tokens only; every node of the tree is then
either known here or refused, types are checked, and a new tree is built from the checked parts and compiled once. What
runs is a closure over the fields of one case: no builtins, no names but declared functions, no attribute but the two of
money, no loop. Laws:

- Money meets money. A comparison of two currencies is false whichever way it is put, ``!=`` included, never an error;
  amounts are minor units by the exponent of ISO 4217.
- A field that may be unknown (None) makes each comparison and each yes-or-no question it stands in false.
- ``text`` is the canonical form: compiling it gives an equal condition with the same ``text``.
"""

import ast
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money
from tongbao.decisions.policy.expression_language import FieldType, Language
from tongbao.decisions.policy.expression_source import (
    MONEY_NAME,
    SOURCE_CHARS_MAX,
    Place,
    Plain,
    Problem,
    nearest,
    plain,
    wrong,
)

DEPTH_MAX = 24
PRODUCTS_MAX = 8
"""Multiplications of one condition: with 19 digits a number no product leaves the range of a float."""
_CASE = "_case"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A checked condition. Two are equal where their canonical texts are.

    ``test`` takes the values of at least ``fields`` by name, each of its declared type, and returns True or False.
    """

    text: str
    fields: frozenset[str] = field(compare=False)
    test: Callable[[Mapping[str, object]], bool] = field(compare=False, repr=False)


def compile_condition(source: str, language: Language) -> Compiled:
    """Return the compiled condition.

    Raises InvalidRequest ``expression_invalid`` with the facts ``problem`` (of ``Problem``), ``line`` and ``column`` from 1,
    and ``suggestion`` where a name looks like a misspelt one.
    """
    readable = plain(source)
    root = _Checker(readable, language)
    part = root.condition(_parsed(readable.text))
    if len(part.text) > SOURCE_CHARS_MAX:  # the canonical text must be readable again
        raise wrong(Problem.TOO_LONG, "the condition is too long once it is written out", Place(1, 1))
    one = ast.arguments(posonlyargs=[], args=[ast.arg(_CASE)], kwonlyargs=[], kw_defaults=[], defaults=[])
    tree = ast.fix_missing_locations(ast.Expression(ast.Lambda(one, part.code)))
    names = {name: each.call for name, each in language.function_of.items()}
    # Nothing of the source reaches this but constants and declared names: the tree was built by the checker.
    test = eval(compile(tree, "<condition>", "eval"), {"__builtins__": {}, **names})  # noqa: S307 - as said
    return Compiled(part.text, frozenset(root.fields), test)


def _parsed(text: str) -> ast.expr:
    """Parse inside brackets of its own lines, so that a condition may span lines and columns stay."""
    try:
        return ast.parse(f"(\n{text}\n)", mode="eval").body
    except SyntaxError as error:
        lines = text.count("\n") + 1
        line = min(max((error.lineno or 2) - 1, 1), lines)
        column = error.offset or 1 if (error.lineno or 2) - 1 <= lines else len(text.split("\n")[-1]) + 1
        raise wrong(Problem.SYNTAX, "this cannot be read", Place(line, max(column, 1))) from None
    except (ValueError, MemoryError, RecursionError):
        raise wrong(Problem.TOO_DEEP, "the condition is too deep", Place(1, 1)) from None


class _Level(enum.IntEnum):
    """How tightly a part binds, for brackets in the canonical text."""

    OR = 1
    AND = 2
    NOT = 3
    COMPARE = 4
    SUM = 5
    PRODUCT = 6
    SIGN = 7
    ATOM = 8


class _Part(NamedTuple):
    """A checked part: its type, the code that gives its value, its canonical text.

    ``unknowns``: fields in it that may be None and that nothing has asked about yet; ``money``: the literal it is.
    """

    type: FieldType
    code: ast.expr
    text: str
    level: _Level = _Level.ATOM
    unknowns: frozenset[str] = frozenset()
    money: Money | None = None

    def within(self, level: _Level) -> str:
        """Return the text as an operand of ``level``, in brackets where it binds less."""
        return self.text if self.level >= level else f"({self.text})"


_ORDER = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_EQUAL = {ast.Eq: "==", ast.NotEq: "!="}
_MEMBER = {ast.In: "in", ast.NotIn: "not in"}
_SUMS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


class _Checker:
    """Checks one condition and builds its code."""

    def __init__(self, source: Plain, language: Language) -> None:
        self._source = source
        self._lines = source.text.split("\n")
        self._language = language
        self._products = 0
        self.fields: set[str] = set()

    def condition(self, node: ast.expr) -> _Part:
        """Return the whole checked; it has to be true or false."""
        return self._yes_or_no(node, 0)

    def part(self, node: ast.expr, depth: int) -> _Part:
        """Return ``node`` checked."""
        if depth >= DEPTH_MAX:
            raise self._wrong(Problem.TOO_DEEP, f"at most {DEPTH_MAX} parts lie inside one another", node)
        match node:
            case ast.BoolOp():
                return self._joined(node, depth + 1)
            case ast.UnaryOp():
                return self._signed(node, depth + 1)
            case ast.BinOp():
                return self._computed(node, depth + 1)
            case ast.Compare():
                return self._compared(node, depth + 1)
            case ast.Call():
                return self._called(node, depth + 1)
            case ast.Name():
                return self._named(node)
            case ast.Constant():
                return self._literal(node)
            case ast.Tuple() | ast.List():
                raise self._wrong(Problem.TYPE, "a list stands only after in", node)
            case ast.Subscript() | ast.Slice():
                raise self._wrong(Problem.SUBSCRIPT, "a field has no parts in brackets", node)
            case _:
                raise self._wrong(Problem.SYNTAX, "this is not part of the language", node)

    def _wrong(
        self, problem: Problem, detail: str, node: ast.expr, meant: str | None = None
    ) -> InvalidRequest:
        facts = {"suggestion": meant} if meant else {}
        hint = f"; did you mean {meant}?" if meant else ""
        if node.lineno == 1:  # the brackets that it is read inside of belong to nobody: the whole is meant
            return wrong(problem, detail + hint, Place(1, 1), **facts)
        # The parser counts bytes of UTF-8, people count characters.
        line = node.lineno - 1
        before = self._lines[line - 1].encode()[: node.col_offset].decode()
        return wrong(problem, detail + hint, Place(line, len(before) + 1), **facts)

    def _typed(self, node: ast.expr, wanted: FieldType, depth: int) -> _Part:
        part = self.part(node, depth)
        if part.type is not wanted:
            raise self._wrong(Problem.TYPE, f"{part.text} is a {part.type}, not a {wanted}", node)
        return part

    def _yes_or_no(self, node: ast.expr, depth: int) -> _Part:
        """Return a boolean part whose fields are asked about: it is false where one of them is unknown."""
        part = self._typed(node, FieldType.BOOLEAN, depth)
        return part._replace(code=_known(part.unknowns, [part.code]), unknowns=frozenset())

    def _joined(self, node: ast.BoolOp, depth: int) -> _Part:
        parts = [self._yes_or_no(each, depth) for each in node.values]
        level, word = (_Level.AND, " and ") if isinstance(node.op, ast.And) else (_Level.OR, " or ")
        # An operand of its own level keeps its brackets: the parser tells (a and b) and c from a and b and c.
        text = word.join(each.within(_Level(level + 1)) for each in parts)
        return _Part(FieldType.BOOLEAN, ast.BoolOp(node.op, [each.code for each in parts]), text, level)

    def _signed(self, node: ast.UnaryOp, depth: int) -> _Part:
        if isinstance(node.op, ast.Not):
            part = self._yes_or_no(node.operand, depth)
            text = f"not {part.within(_Level.NOT)}"
            return _Part(FieldType.BOOLEAN, ast.UnaryOp(node.op, part.code), text, _Level.NOT)
        if not isinstance(node.op, ast.USub):
            raise self._wrong(Problem.OPERATOR, "only minus stands before a number", node)
        part = self._typed(node.operand, FieldType.NUMBER, depth)
        code = ast.UnaryOp(node.op, part.code)
        return _Part(part.type, code, f"-{part.within(_Level.SIGN)}", _Level.SIGN, part.unknowns)

    def _computed(self, node: ast.BinOp, depth: int) -> _Part:
        sign = _SUMS.get(type(node.op))
        if sign is None:
            raise self._wrong(
                Problem.OPERATOR, "numbers are added, subtracted and multiplied, nothing else", node
            )
        left = self._typed(node.left, FieldType.NUMBER, depth)
        right = self._typed(node.right, FieldType.NUMBER, depth)
        level = _Level.SUM
        if isinstance(node.op, ast.Mult):
            level = _Level.PRODUCT
            self._products += 1
            if self._products > PRODUCTS_MAX:
                raise self._wrong(Problem.PRODUCTS, f"at most {PRODUCTS_MAX} multiplications", node)
        text = f"{left.within(level)} {sign} {right.within(_Level(level + 1))}"
        code = ast.BinOp(left.code, node.op, right.code)
        return _Part(FieldType.NUMBER, code, text, level, left.unknowns | right.unknowns)

    def _compared(self, node: ast.Compare, depth: int) -> _Part:
        if isinstance(node.ops[0], ast.In | ast.NotIn) and len(node.ops) == 1:
            return self._member(node, depth)
        sides = [node.left, *node.comparators]
        for op, side in zip(node.ops, sides[1:], strict=True):
            if type(op) not in _ORDER and type(op) not in _EQUAL:
                raise self._wrong(
                    Problem.OPERATOR, "in stands alone, outside of a chain of comparisons", side
                )
        parts = [self.part(each, depth) for each in sides]
        codes: list[ast.expr] = []
        text = parts[0].within(_Level.SUM)
        for index, op in enumerate(node.ops):
            left, right = parts[index], parts[index + 1]
            self._check_pair(left, op, right, sides[index + 1])
            codes += _pair(left, op, right)
            text += f" {(_ORDER | _EQUAL)[type(op)]} {right.within(_Level.SUM)}"
        unknowns = frozenset[str]().union(*(each.unknowns for each in parts))
        return _Part(FieldType.BOOLEAN, _known(unknowns, codes), text, _Level.COMPARE)

    def _check_pair(self, left: _Part, op: ast.cmpop, right: _Part, node: ast.expr) -> None:
        if left.type is not right.type:
            hint = (
                "; an amount names its currency: 500 EUR"
                if FieldType.MONEY in {left.type, right.type}
                else ""
            )
            detail = f"{left.text} is a {left.type}, {right.text} a {right.type}{hint}"
            raise self._wrong(Problem.TYPE, detail, node)
        if type(op) in _ORDER and left.type in {FieldType.TEXT, FieldType.BOOLEAN}:
            raise self._wrong(Problem.TYPE, f"a {left.type} has no order: use == or !=", node)

    def _member(self, node: ast.Compare, depth: int) -> _Part:
        part, rows = self.part(node.left, depth), node.comparators[0]
        if part.type not in {FieldType.NUMBER, FieldType.TEXT}:
            raise self._wrong(
                Problem.TYPE, f"{part.text} is a {part.type}; in takes a number or a text", node.left
            )
        if not isinstance(rows, ast.Tuple | ast.List) or not rows.elts:
            raise self._wrong(Problem.TYPE, 'after in stands a list of values, ["a", "b"]', rows)
        items = [self._typed(each, part.type, depth) for each in rows.elts]
        for item, each in zip(items, rows.elts, strict=True):
            plain_value = each.operand if isinstance(each, ast.UnaryOp) else each
            if not isinstance(plain_value, ast.Constant):
                raise self._wrong(
                    Problem.TYPE, f"{item.text} is not a plain value; a list holds nothing else", each
                )
        text = f"{part.within(_Level.SUM)} {_MEMBER[type(node.ops[0])]} [{', '.join(each.text for each in items)}]"
        code = ast.Compare(part.code, node.ops, [ast.Set([each.code for each in items])])
        return _Part(FieldType.BOOLEAN, _known(part.unknowns, [code]), text, _Level.COMPARE)

    def _called(self, node: ast.Call, depth: int) -> _Part:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        function = self._language.function_of.get(name or "")
        if name is None or function is None:
            meant = nearest(name or "", self._language.function_of)
            raise self._wrong(Problem.CALL, f"there is no function {name or 'of this kind'}", node, meant)
        if node.keywords or len(node.args) != len(function.parameters):
            values = ", ".join(function.parameters)
            raise self._wrong(
                Problem.ARGUMENTS, f"{name} takes {len(function.parameters)} values: {values}", node
            )
        pairs = zip(node.args, function.parameters, strict=True)
        parts = [self._typed(each, wanted, depth) for each, wanted in pairs]
        text = f"{name}({', '.join(each.text for each in parts)})"
        code: ast.expr = ast.Call(_load(name), [each.code for each in parts], [])
        unknowns = frozenset[str]().union(*(each.unknowns for each in parts))
        return _Part(function.result, code, text, unknowns=unknowns)

    def _named(self, node: ast.Name) -> _Part:
        if node.id.startswith(MONEY_NAME):
            money = self._source.money[node.id]
            return _Part(FieldType.MONEY, node, str(money), money=money)
        declared = self._language.field_of.get(node.id)
        if declared is None:
            if node.id in self._language.function_of:
                raise self._wrong(
                    Problem.ARGUMENTS, f"{node.id} is a function and takes values in brackets", node
                )
            meant = nearest(node.id, self._language.field_of)
            raise self._wrong(Problem.UNKNOWN_FIELD, f"there is no field {node.id}", node, meant)
        self.fields.add(declared.name)
        code = _value(declared.name)
        unknowns = frozenset({declared.name}) if declared.may_be_unknown else frozenset[str]()
        return _Part(declared.type, code, declared.name, unknowns=unknowns)

    def _literal(self, node: ast.Constant) -> _Part:
        value = node.value
        if isinstance(value, bool):
            return _Part(FieldType.BOOLEAN, ast.Constant(value), "true" if value else "false")
        if isinstance(value, str):
            quote = "'" if '"' in value else '"'
            return _Part(FieldType.TEXT, ast.Constant(value), f"{quote}{value}{quote}")
        if isinstance(value, int | float):
            return _Part(FieldType.NUMBER, ast.Constant(value), format(Decimal(repr(value)), "f"))
        raise self._wrong(Problem.SYNTAX, "this is not part of the language", node)


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _value(name: str) -> ast.expr:
    return ast.Subscript(_load(_CASE), ast.Constant(name), ast.Load())


def _known(unknowns: frozenset[str], codes: list[ast.expr]) -> ast.expr:
    """Return the conjunction of ``codes``, after a question for each field that may be None."""
    asked: list[ast.expr] = [
        ast.Compare(_value(name), [ast.IsNot()], [ast.Constant(None)]) for name in sorted(unknowns)
    ]
    every = asked + codes
    return every[0] if len(every) == 1 else ast.BoolOp(ast.And(), every)


def _pair(left: _Part, op: ast.cmpop, right: _Part) -> list[ast.expr]:
    """Return the comparison of two parts of one type; money compares its currency first."""
    if left.type is not FieldType.MONEY:
        return [ast.Compare(left.code, [op], [right.code])]
    currency, minor = partial(_of_money, "currency"), partial(_of_money, "amount_minor")
    return [
        ast.Compare(currency(left), [ast.Eq()], [currency(right)]),
        ast.Compare(minor(left), [op], [minor(right)]),
    ]


def _of_money(attribute: str, part: _Part) -> ast.expr:
    if part.money is not None:
        return ast.Constant(getattr(part.money, attribute))
    return ast.Attribute(part.code, attribute, ast.Load())
