"""The contracts on a fork, as they would be tried on HyperEVM's testnet; upstream is an anvil of our own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from local_chain import ADMIN, ROOT, LocalChain, address_of, artifact

BALANCE = 123_456_789
BLOCKS = 5

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def upstream() -> Iterator[LocalChain]:
    chain = LocalChain().start()
    yield chain
    chain.stop()


def test_the_venue_works_on_a_fork(upstream: LocalChain, tmp_path: Path) -> None:
    upstream.fund(ADMIN)
    created = upstream.do(ADMIN, None, bytes.fromhex(artifact("TestUSDC")["bytecode"]["object"][2:]), 2_500_000)
    holder = address_of("holder upstream")
    upstream.rpc("anvil_setBalance", holder, hex(BALANCE))
    upstream.mine(BLOCKS)
    height = upstream.head()

    ape = [str(Path(sys.executable).parent / "ape"), "test", "tests/chainfork/on_fork.py"]
    ran = subprocess.run(
        [*ape, "--network", "hyperliquid:testnet-fork:foundry", "-q", "--tb=line"],
        cwd=ROOT,
        env=os.environ
        | {
            "HYPEREVM_RPC": upstream.url,
            "APE_DATA_FOLDER": str(tmp_path),
            "HOOATS_FORK_HOLDER": holder,
            "HOOATS_FORK_BALANCE": str(BALANCE),
            "HOOATS_FORK_TOKEN": created["contractAddress"],
            "HOOATS_FORK_HEIGHT": str(height),
        },
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:] + ran.stderr[-2_000:]
    assert "4 passed" in ran.stdout, ran.stdout[-2_000:]
    # What happens on the fork stays there.
    assert upstream.head() == height
