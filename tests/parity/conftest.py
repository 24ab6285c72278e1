"""One anvil with the harness contract, for a few calls that each carry a batch of cases."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from offchain.chain.abi import Function

ROOT = Path(__file__).parents[2]
HARNESS = "0x" + "00" * 18 + "cafe"
ARTIFACT = ROOT / ".build" / "forge" / "out" / "ParityHarness.sol" / "ParityHarness.json"

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def ask() -> Iterator[Ask]:
    """`ask(function, *arguments)`: the harness's answer, decoded."""
    subprocess.run([ROOT / "toolchain" / "forge", "build", "--skip", "*.t.sol"], cwd=ROOT, check=True, timeout=300)
    code = json.loads(ARTIFACT.read_text())["deployedBytecode"]["object"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = [f"--port={port}", "--silent", "--hardfork=cancun", "--gas-limit=100000000000", "--no-request-size-limit"]
    anvil = subprocess.Popen([ROOT / "toolchain" / "anvil", *flags])
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)

    def rpc(method: str, *parameters: object) -> Any:
        answer = client.post("", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).json()
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def call(function: Function, *arguments: object) -> Any:
        data = "0x" + function.encode(*arguments).hex()
        raw = rpc("eth_call", {"to": HARNESS, "data": data, "gas": hex(90_000_000_000)}, "latest")
        return function.decode(bytes.fromhex(raw[2:]))[0]

    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                rpc("anvil_setCode", HARNESS, code)
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield call
    finally:
        anvil.kill()
        anvil.wait()
