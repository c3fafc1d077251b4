"""Requests that are good but for whose things they name: bodies and parameters by the document of the interface itself."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tests.web.security.town import Town

DEPTH_MAX = 6
BY_PATTERN = {"^[A-Z]{3}$": "CNY", "^[A-Za-z]{3}$": "CNY", "^([A-Za-z]{2})?$": "", "^[A-Za-z]{2}$": "CN"}


class Samples:
    """Makes requests from a document; ``ids`` are values by the name of a field, where a field names a thing."""

    def __init__(self, document: Mapping[str, Any], town: Town, ids: Mapping[str, str]) -> None:
        self._document = document
        self._ids = ids
        self._now = town.whole.clock.now()

    def request(self, method: str, path: str) -> dict[str, Any]:
        """What a route wants beside its address: ``params`` and ``json``, as far as they are required."""
        told = self._document["paths"].get(path, {}).get(method.lower(), {})
        params = {
            each["name"]: self._value(each["name"], each["schema"], 0)
            for each in told.get("parameters", [])
            if each["in"] == "query" and each.get("required")
        }
        content = told.get("requestBody", {}).get("content", {}).get("application/json")
        body = {"json": self._value("", content["schema"], 0)} if content else {}
        return {"params": params} | body

    def _value(self, name: str, schema: Mapping[str, Any], depth: int) -> Any:
        schema = self._resolved(schema)
        if name in self._ids:
            return self._ids[name]
        if depth > DEPTH_MAX:
            return None
        for key in ("const", "default"):
            if schema.get(key) is not None:
                return schema[key]
        if "enum" in schema:
            return schema["enum"][0]
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                return self._value(name, schema[key][0], depth + 1)
        return self._plain(name, schema, depth)

    def _plain(self, name: str, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object":
            wanted = schema.get("required", [])
            return {each: self._value(each, schema["properties"][each], depth + 1) for each in wanted}
        if kind == "array":
            return [self._value(name, schema["items"], depth + 1)] * schema.get("minItems", 1)
        if kind in {"integer", "number"}:
            return max(1, schema.get("minimum", 1))
        return kind == "boolean" or self._text(name, schema)

    def _text(self, name: str, schema: Mapping[str, Any]) -> str:
        form = schema.get("format")
        if form == "date-time":
            at = self._now + timedelta(hours=1 if name in {"to", "until"} else -1)
            return str(at.isoformat())
        if form == "date":
            return str(self._now.date().isoformat())
        padded = "word".ljust(int(schema.get("minLength", 0)), "x")
        return BY_PATTERN.get(schema.get("pattern", ""), padded)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            found: Any = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema
