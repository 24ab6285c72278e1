"""Probes over real sockets: what they answer, what they refuse, and that nothing they do piles up."""

import gc
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from offchain.domain.errors import ConfigurationError
from offchain.telemetry.probes import OFF, Check, Listener, Probes, Progress, listen


class Daemon:
    def __init__(self) -> None:
        self.now = 0.0
        self.progress = Progress(5, lambda: self.now)
        self.reason = ""
        self.is_broken = False

    def ready(self) -> dict[str, Check]:
        if self.is_broken:
            raise RuntimeError("the database is gone")
        return {"rpc": Check(not self.reason, self.reason), "lease": Check(True)}


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def listener(daemon: Daemon) -> Iterator[Listener]:
    registry = CollectorRegistry()
    Counter("hooats_test", "A counter", registry=registry).inc(3)
    found = Listener(Probes("test", lambda: {"loop": daemon.progress.check()}, daemon.ready, registry), "127.0.0.1", 0)
    yield found
    found.close()


def get(listener: Listener, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{listener.port}{path}", timeout=5)


def test_live_until_the_loop_stands_still(daemon: Daemon, listener: Listener) -> None:
    assert get(listener, "/livez").json() == {"live": True, "process": "test", "checks": {"loop": True}, "reasons": {}}
    daemon.now = 6
    answer = get(listener, "/livez")
    assert answer.status_code == 503 and "6 s" in answer.json()["reasons"]["loop"]
    daemon.progress.note()
    assert get(listener, "/livez").status_code == 200


def test_ready_says_why_not(daemon: Daemon, listener: Listener) -> None:
    assert get(listener, "/readyz").status_code == 200
    daemon.reason = "no endpoint answers"
    answer = get(listener, "/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"rpc": False, "lease": True}
    assert answer.json()["reasons"] == {"rpc": "no endpoint answers"}
    daemon.is_broken = True
    assert get(listener, "/readyz").json()["reasons"] == {"probe": "RuntimeError"}


def test_metrics(listener: Listener) -> None:
    answer = get(listener, "/metrics?x=1")
    assert "hooats_test_total 3.0" in answer.text and answer.headers["content-type"].startswith("text/plain")


def test_what_it_does_not_understand(listener: Listener) -> None:
    assert get(listener, "/").status_code == 404
    assert httpx.post(f"http://127.0.0.1:{listener.port}/livez").status_code == 405
    for rubbish, status in ((b"\r\n\r\n", b"400"), (b"GET livez HTTP/1.1\r\n\r\n", b"400"), (b"x" * 9_000, b"")):
        with socket.create_connection(("127.0.0.1", listener.port), 5) as connection:
            connection.sendall(rubbish)
            try:
                assert status in connection.recv(100)
            except ConnectionResetError:
                assert not status
    assert get(listener, "/livez").status_code == 200


def test_a_silent_client_holds_it_up_for_a_second_only(listener: Listener) -> None:
    with socket.create_connection(("127.0.0.1", listener.port), 5):
        began = time.monotonic()
        assert get(listener, "/livez").status_code == 200
    assert time.monotonic() - began < 3


def test_scrapes_leave_nothing_to_collect(listener: Listener) -> None:
    """The sequencer runs without a collector."""
    for _ in range(3):
        get(listener, "/metrics")
    probes = listener._probes
    gc.collect()
    gc.disable()
    try:
        for _ in range(200):
            probes.answer("/metrics")
            probes.answer("/readyz")
        assert gc.collect() < 50
    finally:
        gc.enable()


def test_ports(daemon: Daemon, listener: Listener, tmp_path: Path) -> None:
    probes = Probes("test", daemon.ready, daemon.ready, CollectorRegistry())
    assert listen(probes, "127.0.0.1", OFF) is None
    with pytest.raises(ConfigurationError, match="--metrics-port"):
        listen(probes, "127.0.0.1", listener.port)
    second = listen(probes, "127.0.0.1", 0, tmp_path / "x.port")
    assert second is not None and (tmp_path / "x.port").read_text() == f"{second.port}\n"
    second.close()
    second.close()
    with pytest.raises(httpx.ConnectError):
        get(second, "/livez")
