"""The reference page of ``/v1``, made of the same tables as the interface.

``python -m tongbao.web.api.v1.reference`` prints it; a test keeps ``docs/reference/api-v1.md`` equal to it.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence

from tongbao.web.api.v1.error_texts import KINDS, TEXTS
from tongbao.web.api.v1.expansion import EDGES
from tongbao.web.api.v1.fields import Choice, Field, Integer, Many, Nested, Text
from tongbao.web.api.v1.openapi import FAILURES
from tongbao.web.api.v1.renderings.events import API_VERSION
from tongbao.web.api.v1.routing import Route
from tongbao.web.api.v1.table import ROUTES

_INTRODUCTION = f"""# API reference: `/v1`

Made of the tables of the interface by `python -m tongbao.web.api.v1.reference`; do not edit.

The shapes are those of Stripe's API {API_VERSION}; the official `stripe` clients work unchanged with the address of
this house. Parameters come as `application/x-www-form-urlencoded` with bracketed keys or as `application/json`; both
read the same. The API key is a Bearer token, or the user of Basic. Every answer has a `Request-Id`.

- `Idempotency-Key` (1 to 255 printable ASCII characters) on POST and DELETE: a repeat with the same parameters gets the
  same answer and `Idempotent-Replayed: true`, one with others 400 `idempotency_error`, one while the first is under way
  409. Answers are kept for a day, where money moves for a week. What is refused before anything is done is not kept.
- `expand[]` replaces ids by their objects, up to four levels deep, where the key may read them.
- Lists take `limit` (1 to 100), `starting_after` or `ending_before`, and most `created`.
- A card number may stand in `card[number]` only; anywhere else the request is refused.
- In test mode `pm_card_visa` and its like stand for Stripe's published test cards.
- Metadata is merged: an empty value removes its key. It cannot be emptied as a whole.
"""


def markdown(routes: Sequence[Route]) -> str:
    """Return the page; equal tables give equal pages."""
    return "\n".join([_INTRODUCTION, *_routes(routes), *_expansions(), *_errors()]) + "\n"


def _routes(routes: Sequence[Route]) -> Iterator[str]:
    family = ""
    for route in routes:
        if (name := route.path.split("/")[1]) != family:
            family = name
            yield f"## {family.replace('_', ' ').capitalize()}\n"
        answers = f"a list of `{route.answers}`" if route.lists else f"`{route.answers}`"
        yield f"### `{route.method} /v1{route.path}`\n"
        yield f"{route.summary}. Answers with {answers}; needs `{route.permission.value}`.\n"
        lines = list(_fields(route.form.fields, ""))
        if lines:
            yield "\n".join(["| parameter | | |", "|---|---|---|", *lines]) + "\n"


def _fields(fields: Mapping[str, Field], outer: str) -> Iterator[str]:
    for name, field in sorted(fields.items()):
        shown = f"{outer}[{name}]" if outer else name
        need = "required" if field.required else "may be emptied" if field.clears else ""
        yield f"| `{shown}` | {_kind(field)}{f', {need}' if need else ''} | {field.about} |"
        inner = field.item if isinstance(field, Many) else field
        if isinstance(inner, Nested):
            yield from _fields(inner.fields, f"{shown}[0]" if isinstance(field, Many) else shown)


def _kind(field: Field) -> str:
    if isinstance(field, Choice):
        return "one of " + ", ".join(f"`{value}`" for value in field.values)
    if isinstance(field, Integer) and type(field) is Integer:
        return f"integer, {field.minimum} to {field.maximum}"
    if isinstance(field, Text) and type(field) is Text:
        return f"text, at most {field.chars_max}"
    if isinstance(field, Many):
        return f"list, at most {field.items_max}"
    return _WORDS[type(field).__name__]


_WORDS = {
    "Boolean": "`true` or `false`",
    "CreatedRange": "seconds, or `gt` `gte` `lt` `lte`",
    "CurrencyCode": "currency",
    "Email": "e-mail address",
    "Id": "id",
    "Instant": "seconds of Unix time",
    "Metadata": "metadata",
    "MethodName": "id, or the name of a test card",
    "Nested": "object",
    "Url": "address",
}


def _expansions() -> Iterator[str]:
    yield "## What can be expanded\n"
    yield "| object | fields |\n|---|---|"
    for kind, fields in EDGES.items():
        yield f"| `{kind}` | {', '.join(f'`{name}`' for name in fields)} |"
    yield ""


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield "| status | |\n|---|---|"
    yield from (f"| {status} | {text} |" for status, text in FAILURES.items())
    yield (
        "\nAn error object has Stripe's fields and four of ours: `category` (whose fault: `customer`, `merchant`, "
        "`issuer`, `network`, `channel`, `risk`, `internal`), `standardised_code`, `retry` (`never`, `same_channel`, "
        "`other_channel`, `step_up`, `clear_pan`, `later`) and `suggested_action`. With `Accept-Language: zh` the "
        "message is Chinese. Codes of this interface, beside those of declines:\n"
    )
    yield ", ".join(f"`{code}`" for code in sorted(TEXTS)) + f".\n\nKinds: {', '.join(sorted(KINDS))}."


if __name__ == "__main__":
    sys.stdout.write(markdown(ROUTES))
