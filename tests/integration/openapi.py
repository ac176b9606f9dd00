"""docs/openapi.yaml: is it a description, and is an answer as it describes?"""

from __future__ import annotations

import json
import pathlib
import re

import yaml

DOCUMENT = yaml.safe_load((pathlib.Path(__file__).resolve().parents[2] / "docs/openapi.yaml").read_text())
METHODS = {"get", "put", "post", "patch", "delete"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
KNOWN = {"type", "pattern", "enum", "required", "properties", "additionalProperties", "items", "minLength", "maxLength",
         "minimum", "maximum", "minItems", "maxItems", "default", "description", "writeOnly", "$ref"}


def resolve(node: dict) -> dict:
    while "$ref" in node:
        assert set(node) == {"$ref"} and node["$ref"].startswith("#/")
        found = DOCUMENT
        for name in node["$ref"][2:].split("/"):
            found = found[name]
        node = found
    return node


def is_of(kind: str, value: object) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def check(value: object, schema: dict, where: str = "body") -> None:
    """By the words of JSON Schema that the document uses; another word is an error."""
    schema = resolve(schema)
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert any(is_of(kind, value) for kind in kinds), f"{where}: {value!r} is no {kinds}"
    assert "enum" not in schema or value in schema["enum"], f"{where}: {value!r}"
    if isinstance(value, str):
        assert re.search(schema.get("pattern", ""), value), f"{where}: {value!r}"
        assert schema.get("minLength", 0) <= len(value.encode()) <= schema.get("maxLength", 1 << 20), where
    if isinstance(value, int):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), where
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), where
        for i, item in enumerate(value):
            check(item, schema["items"], f"{where}[{i}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert set(schema.get("required", ())) <= value.keys(), f"{where}: {value.keys()}"
        assert schema.get("additionalProperties", True) or value.keys() <= properties.keys(), f"{where}: {value.keys()}"
        for name in value.keys() & properties.keys():
            check(value[name], properties[name], f"{where}.{name}")


def operation(method: str, target: str) -> dict | None:
    """None: it is not described."""
    path = target.split("?")[0]
    for pattern, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
            return item.get(method.lower())
    return None


def check_answer(method: str, target: str, status: int, headers, body: bytes) -> None:
    described = operation(method, target)
    problem = DOCUMENT["components"]["responses"]["Message" if target.startswith("/api/v2/") else "Problem"]
    responses = described["responses"] if described else {}
    assert status in (401, 404, 405, 413, 414, 429) or str(status) in responses, (method, target, status, body)
    response = resolve(responses.get(str(status), problem if status >= 400 else {}))
    assert set(response.get("headers", ())) <= set(headers.keys())
    if not response.get("content"):
        assert not body, (method, target, status)
        return
    [(kind, content)] = response["content"].items()
    assert headers["Content-Type"] == kind, (method, target, status, headers)
    if "schema" in content:
        check(json.loads(body), content["schema"])


def check_document() -> None:
    """What OpenAPI 3.1 asks of a document, as far as this one goes."""
    assert DOCUMENT["openapi"].startswith("3.1.") and {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT.keys() <= {"openapi", "info", "servers", "security", "paths", "components"}
    schemes = DOCUMENT["components"]["securitySchemes"].keys()
    assert all(set(row) <= schemes for row in DOCUMENT["security"])
    ids, used = [], set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                resolve(node)
                used.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(DOCUMENT)
    for path, item in DOCUMENT["paths"].items():
        assert path.startswith(("/v1/", "/api/v2/devices/")) and item.keys() <= METHODS | {"parameters"}
        given = {resolve(p)["name"] for p in item.get("parameters", ()) if resolve(p)["in"] == "path"}
        assert given == set(re.findall(r"\{(\w+)\}", path))
        for method in item.keys() & METHODS:
            described = item[method]
            assert described.keys() <= {"operationId", "summary", "x-roles", "parameters", "requestBody", "responses"}
            ids.append(described["operationId"])
            assert {"400", "401", "403", "429", "500", "503"} <= described["responses"].keys()
            for status, response in described["responses"].items():
                assert re.fullmatch(r"[2-5]\d\d", status) and resolve(response)["description"]
            for parameter in map(resolve, described.get("parameters", ())):
                assert {"name", "in", "schema"} <= parameter.keys() and parameter["in"] in ("query", "header")
    assert len(ids) == len(set(ids)) > 10
    for kind, things in DOCUMENT["components"].items():
        for name in things if kind != "securitySchemes" else ():
            assert f"#/components/{kind}/{name}" in used, f"nothing uses {kind}/{name}"
