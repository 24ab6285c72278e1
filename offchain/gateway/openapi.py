"""GET /v1/openapi.json, made from the table of routes, the requests and the shapes of the answers.

Invariant: it is valid OpenAPI 3.1, lists every route with every query parameter, and real answers fit its schemas.
"""

import re
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from offchain.domain.limits import ORDERS_PER_REQUEST_MAX
from offchain.gateway import answers, failures, schema
from offchain.gateway.routes import ROUTES, Auth, Route

_PARAMETER = re.compile(r"\{(\w+)\}")
_TEMPLATE = "#/components/schemas/{name}"
_SESSION_HEADERS = {
    "HOOATS-KEY": "apiKey of POST /v1/sessions",
    "HOOATS-TIMESTAMP": "unix milliseconds, at most 30 s off",
    "HOOATS-SIGN": "hex HMAC-SHA256(secret, timestamp + method + path?query + body)",
}
_PATH_WORDS = {
    "symbol": "market, like BTC-USDC",
    "number": "epoch",
    "id": "the order's id: 0x and 64 digits; of by-client-id the clientOrderId",
    "key": "apiKey",
    "protection": "its number, from 0",
    "sequence": "of the order",
}
_QUERY_WORDS = {
    "depth": "levels of each side",
    "limit": "rows; of a quote the worst price",
    "side": "buy or sell; of a mass cancel that side only",
    "size": "of the base token",
    "amount": "of the settlement token, with fees",
    "status": "open (default) or closed",
    "symbol": "one market only",
    "cursor": "of the page before",
    "subaccount": "what this one has, 0 to 255",
    "id": "the order's id",
}
_NEEDED = ("id",)
"""Query parameters without which there is no answer."""
_PROBES = (("/livez", "The process runs", answers.Live), ("/readyz", "Orders are taken", answers.Ready))
DESCRIPTION = "Decimals are strings, times unix milliseconds unless a field says seconds. Errors have one shape."


@cache
def openapi_json() -> dict[str, Any]:
    kinds = [route.request for route in ROUTES if route.request] + list(answers.ANSWERS.values())
    kinds += [answers.Error, answers.Failed, answers.Changed, *(kind for _, _, kind in _PROBES)]
    _, components = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    for path, summary, kind in _PROBES:
        content = _json(_ref(kind))
        ok = {"description": "OK", "content": content}
        paths[path] = {"get": {"summary": summary, "operationId": path[1:], "responses": {"200": ok}}}
    paths["/readyz"]["get"]["responses"]["503"] = {"description": "Not now", "content": _json(_ref(answers.Ready))}
    text = {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}
    paths["/metrics"] = {"get": {"summary": "Prometheus", "operationId": "metrics", "responses": {"200": text}}}
    upgrade = {"101": {"description": "A WebSocket"}, "429": _error(429)}
    words = "WebSocket: streams and order entry"
    paths["/v1/ws"] = {"get": {"summary": words, "operationId": "stream", "responses": upgrade}}
    for name, kind in answers.BATCH_ITEMS.items():
        components["BatchOut"]["properties"][name]["items"] = {"oneOf": [_ref(kind), _ref(answers.Failed)]}
    components["BatchRequest"]["properties"]["orders"]["items"] = _ref(schema.OrderRequest)
    problem = components["Problem"]["properties"]["code"]
    problem |= {"enum": sorted(failures.STATUS), "x-ccxt": dict(sorted(failures.CCXT.items()))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "HOOATS", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
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
        "responses": _responses(route),
        "x-weight": route.weight,
    }
    parameters = [_parameter(name, "path", _PATH_WORDS[name], required=True) for name in _PARAMETER.findall(route.path)]
    parameters += [_parameter(name, "query", _QUERY_WORDS[name], required=name in _NEEDED) for name in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.auth is Auth.SESSION:
        operation["security"] = [{name: [] for name in _SESSION_HEADERS}]
        operation["x-agents"] = not route.is_owners
    elif route.auth in (Auth.SESSION_OR_SIGNATURE, Auth.SIGNATURE_BESIDE_SESSION):
        operation["security"] = [{name: [] for name in _SESSION_HEADERS}, {}]
    if route.request is not None:
        body = _ref(route.request)
        if route.handler.__name__ == "place":
            body = {"oneOf": [body, {"type": "array", "items": body, "maxItems": ORDERS_PER_REQUEST_MAX}]}
        required = route.auth is not Auth.SESSION_OR_SIGNATURE
        operation["requestBody"] = {"required": required, "content": _json(body)}
    return operation


def _responses(route: Route) -> dict[str, Any]:
    name = route.handler.__name__
    body = _ref(answers.ANSWERS[name])
    if route.request is schema.OrderRequest:
        item = {"oneOf": [_ref(answers.Placed), _ref(answers.Failed)]}
        body = {"oneOf": [body, {"type": "array", "items": item}]}
    statuses = (200, 201) if route.request is schema.OrderRequest else (201 if name in answers.CREATED else 200,)
    found = {str(status): {"description": HTTPStatus(status).phrase, "content": _json(body)} for status in statuses}
    found |= {str(status): _error(status) for status in _error_statuses(route)}
    return found


def _error_statuses(route: Route) -> Iterable[int]:
    """Those that every route of its kind can have; a handler gives no others."""
    found = {400, 404, 429, 503}
    if route.auth is not Auth.NONE:
        found.add(401)
    if route.method != "GET":
        found |= {403, 408, 409, 413, 415, 422}
    return sorted(found)


def _error(status: int) -> dict[str, Any]:
    codes = sorted(code for code, of in failures.STATUS.items() if of == status)
    return {"description": ", ".join(codes), "content": _json(_ref(answers.Error))}


def _parameter(name: str, place: str, words: str, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "description": words, "schema": {"type": "string"}}


def _ref(kind: Any) -> dict[str, Any]:
    """dict[str, Template] has no name of its own."""
    (found,), _ = msgspec.json.schema_components([kind], ref_template=_TEMPLATE)
    return found


def _json(value: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": value}}
