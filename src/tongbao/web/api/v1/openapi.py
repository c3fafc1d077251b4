"""The OpenAPI 3.1 document of ``/v1``, made of the table of routes and their forms."""

from collections.abc import Sequence

from tongbao.web.api.v1.expansion import EDGES
from tongbao.web.api.v1.fields import Schema
from tongbao.web.api.v1.renderings.events import API_VERSION
from tongbao.web.api.v1.requests import FORM_TYPE, JSON_TYPE
from tongbao.web.api.v1.routing import EXPAND, ID_SEGMENT, Route

ERROR_TYPES = ("api_error", "card_error", "idempotency_error", "invalid_request_error")
FAILURES = {
    "400": "The request can never succeed as it is, or the state forbids it.",
    "401": "No valid API key.",
    "402": "Declined.",
    "403": "The key lacks a permission.",
    "404": "There is no such object, or no such path.",
    "409": "A request with this idempotency key is under way.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "429": "Too many requests.",
    "500": "A fault of ours.",
    "503": "Busy: repeat later.",
    "504": "The outcome is not known: repeat with the same key.",
}
_TEXT: Schema = {"type": ["string", "null"]}


def document(routes: Sequence[Route]) -> Schema:
    """Return the document; equal tables give equal documents."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(f"/v1{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tongbao /v1",
            "version": API_VERSION,
            "description": "The Stripe-shaped interface of Tongbao.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
            "schemas": {"error": _error_schema(), **_object_schemas(routes)},
            "responses": {status: _failure(text) for status, text in FAILURES.items()},
        },
    }


def _operation(route: Route) -> Schema:
    operation: Schema = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": f"{_first_line(route)} Needs the permission `{route.permission.value}`.",
        "tags": [route.path.split("/")[1]],
        "parameters": _parameters(route),
        "responses": {
            "200": {"description": "Done.", "content": {JSON_TYPE: {"schema": _answer_schema(route)}}},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in FAILURES},
        },
    }
    if route.method == "POST":
        schema = _with_expand(route, route.form.schema())
        operation["requestBody"] = {
            "required": bool(schema.get("required")),
            "content": {
                FORM_TYPE: {"schema": schema, "encoding": _encodings(schema)},
                JSON_TYPE: {"schema": schema},
            },
        }
    return operation


def _parameters(route: Route) -> list[Schema]:
    parameters: list[Schema] = []
    if route.subject is not None:
        parameters.append(
            {
                "name": "id",
                "in": "path",
                "required": True,
                "schema": {**route.subject.schema(), "minLength": 1},
            }
        )
    if route.writes:
        schema: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema})
    if route.method != "POST":
        schema = _with_expand(route, route.form.schema())
        required = schema.get("required", [])
        properties = schema["properties"]
        assert isinstance(properties, dict)
        assert isinstance(required, list)
        parameters += [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                **_query_style(inner),
                "schema": inner,
            }
            for name, inner in properties.items()
        ]
    return parameters


def _query_style(schema: Schema) -> Schema:
    return {"style": "deepObject", "explode": True} if schema.get("type") in ("array", "object") else {}


def _encodings(schema: Schema) -> Schema:
    """Return how nested parameters are written in a form: ``name[key]``."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    nested = [name for name, inner in properties.items() if inner.get("type") in ("array", "object")]
    return {name: {"style": "deepObject", "explode": True} for name in nested}


def _with_expand(route: Route, schema: Schema) -> Schema:
    """Return the schema with ``expand`` where the answer has anything to expand."""
    fields = EDGES.get(route.answers)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    if not fields:
        return schema
    head = "data." if route.lists else ""
    names: Schema = {
        **EXPAND.schema(),
        "items": {"enum": [head + name for name in fields if name != "default_payment_method"]},
    }
    return {**schema, "properties": {**properties, "expand": names}}


def _answer_schema(route: Route) -> Schema:
    one: Schema = {"$ref": f"#/components/schemas/{route.answers}"}
    if not route.lists:
        return one
    return {
        "type": "object",
        "required": ["object", "data", "has_more", "url"],
        "properties": {
            "object": {"enum": ["list", "search_result"]},
            "data": {"type": "array", "items": one},
            "has_more": {"type": "boolean"},
            "url": {"type": "string"},
        },
    }


def _object_schemas(routes: Sequence[Route]) -> Schema:
    """Return a schema for each kind of object: what all of a kind have for certain."""
    kinds = sorted({route.answers for route in routes})
    return {kind: _object_schema(kind) for kind in kinds}


def _object_schema(kind: str) -> Schema:
    required = ["object"] if kind == "balance" else ["id", "object"]
    return {
        "type": "object",
        "required": required,
        "properties": {"id": {"type": "string"}, "object": {"const": kind}},
    }


def _error_schema() -> Schema:
    fields = ("code", "decline_code", "advice_code", "doc_url", "param", "request_log_url", "charge")
    ours = ("category", "retry", "standardised_code", "suggested_action")
    return {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["type", "message", "code", *ours],
                "properties": {
                    "type": {"enum": list(ERROR_TYPES)},
                    "message": {"type": "string"},
                    **dict.fromkeys(fields, _TEXT),
                    **{name: {"type": "string"} for name in ours},
                },
            }
        },
    }


def _failure(text: str) -> Schema:
    schema: Schema = {"$ref": "#/components/schemas/error"}
    return {"description": text, "content": {JSON_TYPE: {"schema": schema}}}


def _operation_id(route: Route) -> str:
    words = [part for part in route.path.split("/") if part and part != ID_SEGMENT]
    of_one = "_one" if ID_SEGMENT in route.path else ""
    return f"{route.method.lower()}_{'_'.join(words)}{of_one}"


def _first_line(route: Route) -> str:
    return (route.handler.__doc__ or "").strip().partition("\n")[0]
