"""GET /v1/openapi.json, made from the table of routes and the request schemas."""

import re
from functools import cache
from typing import Any

import msgspec

from offchain.gateway import failures, schema
from offchain.gateway.routes import ROUTES, Auth, Route

_PARAMETER = re.compile(r"\{(\w+)\}")
_SESSION_HEADERS = {
    "HOOATS-KEY": "apiKey of POST /v1/sessions",
    "HOOATS-TIMESTAMP": "unix milliseconds, at most 30 s off",
    "HOOATS-SIGN": "hex HMAC-SHA256(secret, timestamp + method + path?query + body)",
}
_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error", "requestId"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "data"],
            "properties": {
                "code": {"type": "string", "enum": sorted(failures.STATUS)},
                "message": {"type": "string"},
                "data": {"type": "object"},
            },
        },
        "requestId": {"type": "string"},
    },
}


@cache
def openapi_json() -> dict[str, Any]:
    requests = [route.request for route in ROUTES if route.request is not None]
    _, components = msgspec.json.schema_components(requests, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    for path, summary in (("/livez", "The process runs"), ("/readyz", "Orders are taken"), ("/metrics", "Prometheus")):
        paths[path] = {"get": {"summary": summary, "responses": {"200": {"description": "OK"}}}}
    upgrade = {"101": {"description": "OK"}}
    paths["/v1/ws"] = {"get": {"summary": "WebSocket: streams and order entry", "responses": upgrade}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "HOOATS", "version": "1", "description": "Decimals are strings, times unix milliseconds."},
        "paths": paths,
        "components": {
            "schemas": components | {"Error": _ERROR_SCHEMA},
            "securitySchemes": {
                name: {"type": "apiKey", "in": "header", "name": name, "description": words}
                for name, words in _SESSION_HEADERS.items()
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "responses": {
            "200": {"description": "OK"},
            "default": {"description": "Error", "content": _json({"$ref": "#/components/schemas/Error"})},
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.auth is Auth.SESSION:
        operation["security"] = [{name: [] for name in _SESSION_HEADERS}]
    elif route.auth is Auth.SESSION_OR_SIGNATURE:
        operation["security"] = [{name: [] for name in _SESSION_HEADERS}, {}]
    if route.request is not None:
        body: dict[str, Any] = {"$ref": f"#/components/schemas/{route.request.__name__}"}
        if route.request is schema.OrderRequest:
            body = {"oneOf": [body, {"type": "array", "items": body}]}
        required = route.auth is not Auth.SESSION_OR_SIGNATURE
        operation["requestBody"] = {"required": required, "content": _json(body)}
    return operation


def _json(value: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": value}}
