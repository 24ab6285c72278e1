"""The process: its port, its drain, and what keeps it from starting."""

import asyncio
import signal
import sys
import time

import httpx
import msgspec
import pytest
from conftest import KEYS, settings_for
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
    await sequencer.stop()


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
