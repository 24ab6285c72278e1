"""The process: its port, its drain, and what keeps it from starting."""

# ruff: noqa: ASYNC110  (other processes are waited for by looking)

import asyncio
import contextlib
import signal
import sys
import time

import httpx
import msgspec
import pytest
from conftest import KEYS, run_publisher_here, settings_for
from gateway_stub import StubSequencer
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from offchain.client.orders import Signer
from offchain.domain.errors import ConfigurationError
from offchain.gateway.serve import run_gateway


async def start(tmp_path, **changes):
    settings = settings_for(tmp_path, port_file=tmp_path / "port", **changes)
    file = tmp_path / "gateway.json"
    file.write_bytes(msgspec.json.encode(settings, enc_hook=str))
    command = (sys.executable, "-m", "offchain.gateway.serve", str(file))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        while not (tmp_path / "port").exists() and process.returncode is None:
            await asyncio.sleep(0.02)
    return process


async def test_sigterm_drains(tmp_path) -> None:
    """Streams end with 1012, the process with 0, and no child stays behind."""
    sequencer = StubSequencer(tmp_path / "s", [Signer(KEYS[0]).address])
    await sequencer.start()
    async with run_publisher_here(settings_for(tmp_path)):
        await drain(tmp_path)
    await sequencer.stop()


async def drain(tmp_path) -> None:
    process = await start(tmp_path)
    port = (tmp_path / "port").read_text().strip()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        async with asyncio.timeout(10):
            while (await http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
    async with connect(f"ws://127.0.0.1:{port}/v1/ws") as socket:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
    assert closed.value.rcvd.code == 1012
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert time.monotonic() - began < 5


async def test_a_damaged_session_key_keeps_it_from_starting(tmp_path) -> None:
    (tmp_path / "session.key").write_text("rubbish")
    process = await start(tmp_path)
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert b"session.key is malformed" in stderr
    assert b"Traceback" not in stderr


def test_a_taken_port_is_named(tmp_path) -> None:
    from offchain.gateway.serve import bind

    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        taken.listen()
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            run_gateway(settings_for(tmp_path, port=port))


async def raw(venue, *parts: bytes, pause: float = 0.0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(venue.url.rpartition(":")[2]))
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "request_", [b"rubbish\r\n\r\n", b"\x00" * 100, b"GET \xff HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_not_http(shared_venue, request_) -> None:
    answer = await raw(shared_venue, request_)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"MALFORMED_HTTP"' in answer


async def test_an_endless_head_is_cut(venue) -> None:
    answer = await raw(venue, b"GET /v1/markets HTTP/1.1\r\nx: ", *[b"y" * 4096] * 8, b"y" * 4096)
    assert b" 431 " in answer
    assert b'"code":"HEAD_TOO_LARGE"' in answer
    many = b"".join(b"x-%d: y\r\n" % n for n in range(5_000))
    assert b" 431 " in await raw(venue, b"GET /v1/markets HTTP/1.1\r\n", many[:40_000])


async def test_a_slow_head_is_cut(venue, monkeypatch) -> None:
    monkeypatch.setattr("offchain.gateway.connection.HEAD_SECONDS", 0.2)
    began = time.monotonic()
    assert await raw(venue) == b""
    assert await raw(venue, *[b"G", b"E", b"T"], pause=0.05) == b""
    assert time.monotonic() - began < 3


async def test_a_slow_body_is_cut(venue, monkeypatch) -> None:
    monkeypatch.setattr("offchain.gateway.app.BODY_SECONDS", 0.2)
    head = b"POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
    answer = await raw(venue, head)
    assert b" 408 " in answer
    assert b'"code":"REQUEST_TIMEOUT"' in answer


async def test_pipelined_requests_keep_their_order(venue) -> None:
    one = b"GET /v1/%s HTTP/1.1\r\nhost: a\r\n\r\n"
    last = b"GET /v1/venue HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    answer = await raw(venue, one % b"markets" + one % b"eip712" + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.index(b'"markets"') < answer.index(b'"Order"') < answer.index(b'"state":"ACTIVE","reason"')
