"""One anvil with the harness contracts, for a few calls that each carry a batch of cases."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from offchain.chain.abi import Function

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[2]
HARNESSES = {"ParityHarness": "0x" + "00" * 18 + "cafe", "AmmHarness": "0x" + "00" * 18 + "caff"}
ARTIFACTS = ROOT / ".build" / "forge" / "out"

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def ask(harnesses: Callable[[str], Ask]) -> Ask:
    """`ask(function, *arguments)`: ParityHarness's answer, decoded."""
    return harnesses("ParityHarness")


@pytest.fixture(scope="session")
def ask_pool(harnesses: Callable[[str], Ask]) -> Ask:
    """The same of AmmHarness."""
    return harnesses("AmmHarness")


@pytest.fixture(scope="session")
def harnesses() -> Iterator[Callable[[str], Ask]]:
    subprocess.run([ROOT / "toolchain" / "forge", "build", "--skip", "*.t.sol"], cwd=ROOT, check=True, timeout=300)
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

    def caller(name: str) -> Ask:
        code = json.loads((ARTIFACTS / f"{name}.sol" / f"{name}.json").read_text())["deployedBytecode"]["object"]
        rpc("anvil_setCode", HARNESSES[name], code)

        def call(function: Function, *arguments: object) -> Any:
            data = "0x" + function.encode(*arguments).hex()
            raw = rpc("eth_call", {"to": HARNESSES[name], "data": data, "gas": hex(90_000_000_000)}, "latest")
            return function.decode(bytes.fromhex(raw[2:]))[0]

        return call

    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                rpc("eth_chainId")
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield caller
    finally:
        anvil.kill()
        anvil.wait()
