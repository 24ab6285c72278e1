"""Log lines: JSON, with the process, from both logging libraries, and never with a secret."""

import json
import logging
import os
import socket
import subprocess
import sys

import pytest
import structlog

from offchain.telemetry.logs import configure_logs

SECRET = bytes.fromhex("c0ffee" + "5e" * 29)


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_both_libraries_write_the_same_shape(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("gateway")
    structlog.get_logger().info("epoch closed", epoch=3, sequence=17)
    logging.getLogger("x").error("internal error in %s", "orders", extra={"request_id": "ab-1"})
    first, second = lines(capfd)
    assert first["process"] == second["process"] == "gateway"
    assert (first["event"], first["epoch"], first["sequence"], first["level"]) == ("epoch closed", 3, 17, "info")
    assert (second["event"], second["request_id"]) == ("internal error in orders", "ab-1")
    assert "timestamp" in first and "timestamp" in second


SAYS = """
import logging, structlog
from offchain.telemetry.logs import configure_logs
configure_logs("x")
structlog.get_logger().info("of one")
logging.getLogger("x").warning("of the other")
"""


def test_a_line_is_one_write() -> None:
    """Children of a node write to one pipe: a line whose end comes later is cut in two by another's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps the writes apart
    with ours, theirs:
        unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
        subprocess.run([sys.executable, "-c", SAYS], stderr=theirs.fileno(), env=unbuffered, check=True, timeout=60)
        ours.settimeout(10)
        written = [ours.recv(65_536).decode() for _ in range(2)]
    assert [json.loads(line)["event"] for line in written] == ["of one", "of the other"]
    assert all(line.endswith("\n") for line in written)


def test_an_exception_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("x")
    try:
        raise ValueError("what")
    except ValueError:
        logging.getLogger("x").exception("broke")
        structlog.get_logger().exception("broke")
    assert all("ValueError: what" in str(line["exception"]) for line in lines(capfd))


@pytest.mark.parametrize(
    "value",
    [
        SECRET.hex(),
        "0x" + SECRET.hex().upper(),
        SECRET,
        {"key": [SECRET.hex()]},
        repr(SECRET),
        int.from_bytes(SECRET),
        f"a url?key={SECRET.hex()}&x",
        ValueError(SECRET),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_secret_in_any_form(capfd: pytest.CaptureFixture[str], value: object) -> None:
    configure_logs("x", [SECRET])
    structlog.get_logger().info("said", value=value)
    logging.getLogger("x").warning("said %s", value)
    try:
        raise RuntimeError(value)
    except RuntimeError:
        structlog.get_logger().exception("said")
    written = capfd.readouterr().err
    assert len(written.splitlines()) == 3
    for form in (SECRET.hex(), str(int.from_bytes(SECRET)), "^^^^^^^^", repr(SECRET)[2:-1]):
        assert form.lower() not in written.lower()
    assert all(json.loads(line) for line in written.splitlines())


def test_a_short_key_does_not_cut_into_everything(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("x", [bytes(31) + b"\1", b""])
    structlog.get_logger().info("batch 1 of 11")
    assert lines(capfd)[0]["event"] == "batch 1 of 11"
