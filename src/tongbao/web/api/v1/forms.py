"""Parameters as nested text: forms with bracketed keys, JSON bodies and queries come to one form.

Everything is text or a mapping of it, as forms have it: a list is a mapping with the keys ``0``, ``1`` …, numbers
and booleans are their text, null is empty text, and what is empty altogether is left out. So the same parameters
have one fingerprint, however they came in. Types are the business of ``fields``.

Strict where tolerance would be a guess: a scalar given twice, a broken escape, text that is no UTF-8 and NUL are
refused.
"""

import json
import re
from typing import Any, NoReturn, TypeAlias
from urllib.parse import unquote

from tongbao.core.errors import InvalidRequest

BODY_BYTES_MAX = 64 * 1024
PAIRS_MAX = 500
DEPTH_MAX = 6
KEY_CHARS_MAX = 200

Value: TypeAlias = "str | dict[str, Value]"
Params: TypeAlias = dict[str, Value]

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def parse_form(raw: bytes) -> Params:
    """Return the parameters of a form body or a query; raise InvalidRequest (see ``malformed``)."""
    text = _utf8(raw)
    if not text:
        return {}
    if text.count("&") >= PAIRS_MAX:
        raise _too_many()
    if "\0" in text or "%00" in text:
        raise malformed("parameters hold no NUL character")
    if "%" in text and _BROKEN_ESCAPE.search(text):
        raise malformed("a percent sign is followed by two hexadecimal digits")
    # Spaces and brackets are most of what is escaped, and mean nothing to the splitting below.
    text = text.replace("+", " ").replace("%5B", "[").replace("%5D", "]").replace("%20", " ")
    root: Params = {}
    for pair in text.split("&"):
        if pair:
            key, _, value = pair.partition("=")
            if "%" in pair:
                key, value = _unescaped(key), _unescaped(value)
            if key.isidentifier() and key not in root:
                root[key] = value
            else:
                _put(root, key, value)
    return root


def parse_json(raw: bytes) -> Params:
    """Return the parameters of a JSON body, an object; raise InvalidRequest (see ``malformed``)."""
    text = _utf8(raw)
    if not text:
        return {}
    try:
        parsed = json.loads(
            text, object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=_constant
        )
    except (json.JSONDecodeError, RecursionError):
        raise malformed("the body is not valid JSON") from None
    if not isinstance(parsed, dict):
        raise malformed("the body is a JSON object")
    found = _plain(parsed, 0, [0])
    assert isinstance(found, dict)
    return found


def malformed(detail: str, param: str | None = None) -> InvalidRequest:
    """Return the error ``parameters_malformed``: the request cannot even be read."""
    return InvalidRequest("parameters_malformed", detail, **({"param": param} if param else {}))


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise malformed("parameters are UTF-8") from None


def _unescaped(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise malformed("parameters are UTF-8") from None


def _put(root: Params, key: str, value: str) -> None:
    """Put one value in its place: ``metadata[order]``, ``items[0][name]``, ``expand[]``."""
    if "[" not in key:
        if key in root:
            raise _given_twice(key)
        root[_name(key)] = value
        return
    if key[-1] != "]" or len(key) > KEY_CHARS_MAX:
        raise malformed("a nested parameter is written like a[b][c]", key[:KEY_CHARS_MAX])
    head, _, rest = key[:-1].partition("[")
    names = [head, *rest.split("][")]
    if len(names) > DEPTH_MAX:
        raise malformed(f"parameters nest at most {DEPTH_MAX} deep", head)
    last = names.pop()
    node = root
    for name in names:
        inner = node.setdefault(_name(name), {})
        if isinstance(inner, str):
            raise _given_twice(key)
        node = inner
    # ``a[]`` is the next item of a list.
    last = last if last else str(len(node))
    if last in node:
        raise _given_twice(key)
    node[_name(last)] = value


def _name(name: str) -> str:
    """Return one name of a key; brackets in it would read differently in a form and in JSON."""
    if not name or "[" in name or "]" in name or len(name) > KEY_CHARS_MAX:
        raise malformed("a nested parameter is written like a[b][c]", name[:KEY_CHARS_MAX] or None)
    return name


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, none of whose keys stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise _given_twice(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]  # add returns None
    return found


def _constant(_name: str) -> NoReturn:
    raise malformed("NaN and Infinity are not JSON")


def _plain(item: Any, depth: int, leaves: list[int]) -> Value:
    """Return a JSON value in the form's form; ``leaves`` counts the scalars so far."""
    if isinstance(item, dict | list):
        if depth >= DEPTH_MAX:
            raise malformed(f"parameters nest at most {DEPTH_MAX} deep")
        pairs = item.items() if isinstance(item, dict) else ((str(at), each) for at, each in enumerate(item))
        return {_name(key): value for key, each in pairs if (value := _plain(each, depth + 1, leaves)) != {}}
    leaves[0] += 1
    if leaves[0] > PAIRS_MAX:
        raise _too_many()
    if isinstance(item, bool):
        return "true" if item else "false"
    return _checked(item or "")


def _checked(text: str) -> str:
    """Return text that can be stored: JSON can spell NUL and half a surrogate pair."""
    if "\0" in text:
        raise malformed("parameters hold no NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise malformed("parameters are UTF-8") from None
    return text


def _given_twice(key: str) -> InvalidRequest:
    shown = key[:KEY_CHARS_MAX]
    return InvalidRequest("parameter_repeated", f"the parameter {shown} is given more than once", param=shown)


def _too_many() -> InvalidRequest:
    return malformed(f"a request has at most {PAIRS_MAX} parameters")
