"""examples/deposit.py on a real chain."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from local_chain import ADMIN, LocalChain, Venue, address_of, key_of

from offchain.chain.contracts import Token
from offchain.chain.registry import write_registry

ROOT = Path(__file__).resolve().parents[3]


def test_deposit(timed_chain: Callable[..., LocalChain], venue: Venue, tmp_path: Path) -> None:
    chain = timed_chain(block_seconds=0.2)
    depositor, registry, key = address_of("newcomer"), tmp_path / "registry.json", tmp_path / "a.key"
    chain.fund(ADMIN, depositor)
    sent = chain.send(ADMIN, venue.usdc, Token.mint.encode(depositor, 10**9))
    assert sent
    write_registry(registry, venue.registry)
    key.write_text("0x" + key_of("newcomer").hex())
    command = [sys.executable, "examples/deposit.py", str(key), "250.5", chain.url, str(registry)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"the Vault holds 250.5 USDC for {depositor}" in done.stdout
