"""The ASGI application: reads bodies, takes budgets, checks sessions, and gives every answer its one shape.

Invariant: every answer is JSON with a request id, every error has the shape of `failures`, and no input makes a 5xx;
what does is a bug, counted and logged. The handlers are in `rest`, the table in `routes`.
"""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as HttpRoute
from starlette.websockets import WebSocket

from offchain.domain.limits import BODY_BYTES_MAX
from offchain.gateway.bounds import BODY_SECONDS, DISCARDED_BYTES_MAX
from offchain.gateway.connection import DOORS
from offchain.gateway.context import Gateway
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.metrics import CONTENT_TYPE_LATEST
from offchain.gateway.rest import Call, Status
from offchain.gateway.routes import ROUTES, Auth, Route
from offchain.gateway.sessions import Session
from offchain.gateway.settings import GatewaySettings
from offchain.gateway.socket import EXTENSION, EntryProtocol
from offchain.gateway.stream import Connection

_encode = msgspec.json.Encoder().encode
_JSON = {"content-type": "application/json"}
_CLOSE = {"connection": "close"}
_REQUEST_PREFIX = os.urandom(4).hex()
_request_numbers = itertools.count(1)


def create_app(settings: GatewaySettings) -> Starlette:
    """ConfigurationError if a file of the settings cannot be read."""
    gateway = Gateway(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        await gateway.start()
        try:
            yield {DOORS: gateway.doors}
        finally:
            await gateway.close()

    async def websocket(socket: WebSocket) -> None:
        await _serve_socket(gateway, socket)

    routes: list[BaseRoute] = [
        HttpRoute(route.path, _endpoint(gateway, route), methods=[route.method]) for route in ROUTES
    ]
    routes += [
        HttpRoute("/livez", _livez, methods=["GET"]),
        HttpRoute("/readyz", _readyz(gateway), methods=["GET"]),
        HttpRoute("/metrics", _metrics(gateway), methods=["GET"]),
        WebSocketRoute("/v1/ws", websocket),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _unrouted})
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    return app


def _endpoint(gateway: Gateway, route: Route) -> Callable[[Request], Awaitable[Response]]:
    seconds = gateway.metrics.seconds.labels(route.path)

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        request_id = f"{_REQUEST_PREFIX}-{next(_request_numbers)}"
        try:
            call = await _checked(gateway, route, request)
            if route.is_read:
                status, content = 200, await gateway.publications.ask(route.name, call._replace(body=b""))
            else:
                answer = await route.handler(gateway, call)
                status, body = answer if isinstance(answer, Status) else (200, answer)
                content = _encode(body)
            response = Response(content, status, _JSON | {"hooats-request-id": request_id})
        except ApiError as error:
            response = _failure(error, request_id)
        except ClientDisconnect:
            response = Response(status_code=400)
        except Exception:
            gateway.bug(route.path, request_id)
            response = _failure(ApiError(Code.INTERNAL, "internal error"), request_id)
        gateway.metrics.requests.labels(route.path, route.method, response.status_code).inc()
        seconds.observe(time.perf_counter() - started)
        return response

    return endpoint


async def _checked(gateway: Gateway, route: Route, request: Request) -> Call:
    address = request.client.host if request.client else ""
    gateway.ingress.take_address(address, route.weight, is_cancel=route.is_cancel)
    if route.rate is not None:
        gateway.ingress.take_route(address, route.path, route.rate)
    query = _query(route, request.scope["query_string"])
    body = b"" if route.method == "GET" else await _body(request)
    if body or (route.request is not None and route.auth is not Auth.SESSION_OR_SIGNATURE):
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            message = "the body is not declared as application/json"
            raise ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message, {"contentType": content_type[:100]})
    now = time.time_ns() // 1_000_000
    session = None
    is_beside = route.auth is Auth.SIGNATURE_BESIDE_SESSION and "hooats-key" in request.headers
    if route.auth is Auth.SESSION or is_beside or (route.auth is Auth.SESSION_OR_SIGNATURE and not body):
        session = _session(gateway, route, request, body, now)
    return Call(request.path_params, query, body, session, now, address)


def _session(gateway: Gateway, route: Route, request: Request, body: bytes, now: int) -> Session:
    headers, scope = request.headers, request.scope
    key, timestamp, sign = (headers.get(f"hooats-{name}") for name in ("key", "timestamp", "sign"))
    if key is None or timestamp is None or sign is None:
        data = {"headers": ["HOOATS-KEY", "HOOATS-TIMESTAMP", "HOOATS-SIGN"], "remedy": "POST /v1/sessions"}
        raise ApiError(Code.UNAUTHENTICATED, "this needs a session", data)
    query: bytes = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    session = gateway.sessions.check(key, timestamp, sign, route.method.encode() + target + body, now)
    if route.is_owners:
        session.require_owner()
    if route.method != "GET":
        gateway.sessions.spend(sign, int(timestamp), now)
    return session


def _query(route: Route, raw: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise ApiError(Code.INVALID_FIELD, "the query does not decode", {"field": "query"}) from None
    for name, _ in pairs:
        if name not in route.query:
            data = {"field": name[:60], "known": list(route.query)}
            raise ApiError(Code.UNKNOWN_FIELD, f"unknown query parameter {name[:60]}", data)
    return dict(pairs)


async def _body(request: Request) -> bytes:
    """Never holds more than the limit. What is above it is read and dropped, so that the client sees the answer."""
    parts, length = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                length += len(part)
                if length <= BODY_BYTES_MAX:
                    parts.append(part)
                else:
                    parts.clear()
                if length > DISCARDED_BYTES_MAX:
                    break
    except TimeoutError:
        raise ApiError(Code.REQUEST_TIMEOUT, "the body did not arrive in time", None, _CLOSE) from None
    if length > BODY_BYTES_MAX:
        raise ApiError(Code.BODY_TOO_LARGE, "the body is too large", {"maximum": BODY_BYTES_MAX}, _CLOSE)
    return b"".join(parts)


async def _serve_socket(gateway: Gateway, socket: WebSocket) -> None:
    address = socket.client.host if socket.client else ""
    try:
        gateway.ingress.take_handshake(address)
        if gateway.is_draining or not gateway.sockets.enter(address):
            data = {"limit": "connections", "retryAfterMs": 1000}
            raise ApiError(Code.RATE_LIMITED, "too many connections", data, {"Retry-After": "1"})
    except ApiError as error:
        await socket.send_denial_response(_failure(error, f"{_REQUEST_PREFIX}-{next(_request_numbers)}"))
        return
    below, leave = socket.scope["extensions"].get(EXTENSION), partial(gateway.sockets.leave, address)
    try:
        await socket.accept()
        connection = Connection(gateway, socket)
        if isinstance(below, EntryProtocol):
            below.admit(gateway.entry, connection.limit, address, connection)
        await connection.run()
    finally:
        if isinstance(below, EntryProtocol):
            below.when_lost(leave)  # a client that does not read what is left holds its socket until then
        else:
            leave()


def _failure(error: ApiError, request_id: str) -> Response:
    body = {"ok": False, "error": error.body(), "requestId": request_id}
    return Response(_encode(body), error.status, _JSON | {"hooats-request-id": request_id} | error.headers)


async def _unrouted(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in our shape."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        data = {"allow": headers.get("Allow")}
        failure = ApiError(Code.METHOD_NOT_ALLOWED, "the route has other methods", data, headers)
    else:
        failure = ApiError(Code.NOT_FOUND, "no such route", {"remedy": "GET /v1/openapi.json lists them"}, headers)
    return _failure(failure, f"{_REQUEST_PREFIX}-{next(_request_numbers)}")


async def _livez(request: Request) -> Response:
    return Response(b'{"live":true}', 200, _JSON)


def _readyz(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def readyz(request: Request) -> Response:
        checks: dict[str, Any] = gateway.checks()
        is_ready = all(checks.values())
        body = {"ready": is_ready, "checks": checks, "seq": gateway.model.sequence}
        return Response(_encode(body), 200 if is_ready else 503, _JSON)

    return readyz


def _metrics(gateway: Gateway) -> Callable[[Request], Awaitable[Response]]:
    async def metrics(request: Request) -> Response:
        return Response(gateway.render_metrics(), 200, {"content-type": CONTENT_TYPE_LATEST})

    return metrics
