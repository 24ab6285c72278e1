"""A tiny HTTP listener beside a daemon's work: /livez, /readyz and /metrics.

Invariant: it answers from a thread of its own, so that it can say that the work stands still; it only reads; one
connection at a time, each for a second at most. Deliberately no HTTP library: nothing here makes reference cycles (the
sequencer runs without a collector), and nothing but GET of three paths is understood.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from offchain.domain.errors import ConfigurationError

REQUEST_BYTES_MAX = 4 * 1024
REQUEST_SECONDS = 1.0
OFF = -1
"""The port that means: no listener."""

_log = structlog.get_logger()
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class Check(NamedTuple):
    """`reason` says why it fails, and what would help."""

    is_ok: bool
    reason: str = ""


Checks = Mapping[str, Check]


class Progress:
    """When the daemon's loop went round last."""

    def __init__(self, seconds_max: float, now: Callable[[], float] = time.monotonic) -> None:
        """Live while the last round is not older than `seconds_max`."""
        self._seconds_max, self._now = seconds_max, now
        self._at = now()

    def note(self) -> None:
        self._at = self._now()

    @property
    def age(self) -> float:
        """Seconds since the last round."""
        return self._now() - self._at

    def check(self) -> Check:
        age = self.age
        is_live = age <= self._seconds_max
        return Check(is_live, "" if is_live else f"the loop has not gone round for {age:.0f} s; restart the process")


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


class Probes:
    """What is asked of one daemon. `ready` may be slow and may raise: then the daemon is not ready."""

    def __init__(
        self, process: str, live: Callable[[], Checks], ready: Callable[[], Checks], metrics: CollectorRegistry
    ) -> None:
        self._process, self._live, self._ready, self._metrics = process, live, ready, metrics

    def answer(self, path: str) -> Answer:
        match path.partition("?")[0]:
            case "/livez":
                return self._checked("live", self._live)
            case "/readyz":
                return self._checked("ready", self._ready)
            case "/metrics":
                return Answer(200, CONTENT_TYPE_LATEST, generate_latest(self._metrics))
            case _:
                return _json(404, {"error": "no such path", "known": ["/livez", "/readyz", "/metrics"]})

    def _checked(self, word: str, ask: Callable[[], Checks]) -> Answer:
        try:
            checks = ask()
        except Exception as error:
            _log.warning("probe", probe=word, reason=str(error))
            checks = {"probe": Check(False, type(error).__name__)}
        failing = {name: check.reason for name, check in checks.items() if not check.is_ok}
        names = {name: check.is_ok for name, check in checks.items()}
        body = {word: not failing, "process": self._process, "checks": names, "reasons": failing}
        return _json(503 if failing else 200, body)


class Listener:
    """Serves probes until `close`. ConfigurationError if the port is taken."""

    def __init__(self, probes: Probes, host: str, port: int) -> None:
        self._probes = probes
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="probes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Idempotent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(2 * REQUEST_SECONDS)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._socket.fileno() < 0:
                    return
                time.sleep(0.05)  # out of descriptors, or being closed
                continue
            with connection, contextlib.suppress(OSError):
                self._exchange(connection)

    def _exchange(self, connection: socket.socket) -> None:
        request = _read_request(connection)
        if request is None:
            return
        answer = _dispatch(self._probes, request)
        head = f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\ncontent-type: {answer.content_type}\r\n"
        connection.sendall(f"{head}content-length: {len(answer.body)}\r\nconnection: close\r\n\r\n".encode())
        connection.sendall(answer.body)


def listen(probes: Probes, host: str, port: int, port_file: Path | None = None) -> Listener | None:
    """None if `port` is OFF. The port that was bound goes to `port_file`."""
    if port == OFF:
        return None
    listener = Listener(probes, host, port)
    if port_file is not None:
        staging = port_file.with_name(f".{port_file.name}.{os.getpid()}")
        staging.write_text(f"{listener.port}\n")
        staging.replace(port_file)
    return listener


def _dispatch(probes: Probes, request: bytes) -> Answer:
    method, _, rest = request.split(b"\r\n", 1)[0].partition(b" ")
    path, _, version = rest.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not path.startswith(b"/"):
        return _json(400, {"error": "not an HTTP/1.1 request"})
    if method != b"GET":
        return _json(405, {"error": "only GET"})
    return probes.answer(path.decode("ascii", "replace"))


def _read_request(connection: socket.socket) -> bytes | None:
    """Up to the end of the head; None if it does not come in time."""
    deadline, content = time.monotonic() + REQUEST_SECONDS, b""
    while b"\r\n\r\n" not in content:
        left = deadline - time.monotonic()
        if left <= 0 or len(content) > REQUEST_BYTES_MAX:
            return None
        connection.settimeout(left)
        part = connection.recv(REQUEST_BYTES_MAX)
        if not part:
            return None
        content += part
    connection.settimeout(REQUEST_SECONDS)
    return content


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(16)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise ConfigurationError(
            f"cannot listen on {host}:{port} for metrics: {reason}", remedy="Choose another --metrics-port, or 0"
        ) from None
    return listener


def _json(status: int, body: object) -> Answer:
    return Answer(status, "application/json", json.dumps(body).encode())
