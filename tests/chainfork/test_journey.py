"""The whole journey on a fork with chain id 998, by the commands and programs that a user has.

deploy → verify → create a market → trade (a batch that two traders signed, sent by the settle keeper) → schedule and
execute an upgrade → exit, with nobody's help. What needs a day is done by setting the fork's clock ahead.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_account import Account

sys.path.append(str(Path(__file__).resolve().parents[1]))

from local_chain import BLOCK_GAS, CHAIN_ID, ROOT, LocalChain, address_of, key_of, sign_digest

from offchain.chain.abi import Function
from offchain.chain.contracts import PriceOracle, Settlement, SynthIssuer, Token, Vault
from offchain.chain.registry import Registry, load_registry
from offchain.chain.wallet import Wallet
from offchain.domain.batch import BatchFill, SettlementBatch, SignedOrder
from offchain.domain.chainlog import BatchSettled
from offchain.domain.eip712 import approval_digest, domain_separator, order_digest
from offchain.domain.errors import TransactionFailed
from offchain.domain.keccak import keccak
from offchain.domain.limits import EXIT_DELAY_SECONDS, UPGRADE_DELAY_SECONDS_MIN
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.storage.ops import Ops, OutboxRow

MNEMONIC = "test test test test test test test test test test test junk"
SETTLER, COSIGNER, POSTER, PROPOSER, LISTER = 1, 3, 4, 8, 9
"""Places of the keys of deployment/local.yaml in the mnemonic."""
MARKET, BASE_PER_LOT = 3, 10**16
USDC, SYNTH = 10**6, 10**18
PRICE = 150 * USDC
LOTS, TICKS = 100, 150_000
"""One synth at 150: a lot is 0.01, a tick 0.001."""
VERSION = Function("version()", "uint256")

pytestmark = pytest.mark.timeout(900)


def public_key(place: int) -> bytes:
    Account.enable_unaudited_hdwallet_features()
    return bytes(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{place}").key)


class Journey:
    """A fork, the commands on it, and the wallets of a seller and a buyer."""

    def __init__(self, fork: LocalChain, folder: Path) -> None:
        self.fork, self.folder = fork, folder
        self.registry_file = folder / f"{CHAIN_ID}.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.seller, self.buyer = (Wallet(fork.url, key_of(name)) for name in ("seller", "buyer"))

    def ape(self, *arguments: str, fails: bool = False) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOATS_")}
        network = ["--network", f"hyperliquid:testnet:{self.fork.url}", "--registry", str(self.registry_file)]
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ape"), "run", *arguments, *network],
            cwd=ROOT,
            env=kept,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode != 0) is fails, done.stdout[-3_000:] + done.stderr[-3_000:]
        return done.stdout + done.stderr

    @property
    def registry(self) -> Registry:
        return load_registry(self.registry_file, CHAIN_ID)

    def now(self) -> int:
        return int(self.fork.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def pass_time(self, seconds: int) -> None:
        self.fork.rpc("evm_increaseTime", seconds)
        self.fork.mine()

    def vault_balance(self, wallet: Wallet, token: Address) -> int:
        return int(wallet.endpoint.call(self.registry.address("Vault"), Vault.balance_of, wallet.address, token)[0])

    def keeper(self, name: str, key: bytes = b"") -> None:
        settings = {
            "rpc": [self.fork.url],
            "registry": str(self.registry_file),
            "chain_id": CHAIN_ID,
            "ops": f"sqlite:///{self.folder / 'ops.sqlite'}",
            "keys": {name: key.hex()},
            "folder": str(self.folder),
        }
        file = self.folder / f"{name}.settings.json"
        file.write_text(json.dumps(settings))
        script = str(ROOT / "tests" / "keepers" / "keeper_process.py")
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen([sys.executable, script, name, str(file)], stdout=log, stderr=log, cwd=ROOT)
            )

    def until(self, what: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            logs = "\n".join(path.read_text()[-2_000:] for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            time.sleep(0.1)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def journey(tmp_path: Path) -> Iterator[Journey]:
    upstream = LocalChain().start()
    upstream.mine(5)
    fork = LocalChain(block_seconds=0.3, fork_of=upstream.url).start()
    fork.fund(*(Account.from_key(public_key(place)).address for place in (SETTLER, POSTER, PROPOSER, LISTER)))
    fork.fund(address_of("seller"), address_of("buyer"))
    journey = Journey(fork, tmp_path)
    yield journey
    journey.close()
    fork.stop()
    upstream.stop()


def test_from_deployment_to_exit(journey: Journey) -> None:
    deploy_and_verify(journey)
    synth = create_a_market(journey)
    fund(journey, synth)
    trade(journey, synth)
    upgrade(journey)
    leave(journey)
    assert "all as the registry says" in journey.ape("status")
    assert "holds nothing" in journey.ape("handover")


def deploy_and_verify(journey: Journey) -> None:
    assert "66 transactions" in journey.ape("deploy")
    assert "all 19 contracts are of these sources" in journey.ape("verify", "--output", str(journey.folder / "sources"))
    assert int(journey.fork.rpc("eth_getBlockByNumber", "latest", False)["gasLimit"], 16) == BLOCK_GAS


def create_a_market(journey: Journey) -> Address:
    """Twice: the second time there is nothing to do."""
    terms = ["--market", str(MARKET), "--symbol", "SOL-USDC", "--synth", "hSOL", "--name", "HOOATS Solana"]
    terms += ["--base-atoms-per-lot", str(BASE_PER_LOT), "--quote-atoms-per-tick-lot", "10", "--ceiling", "100000"]
    for gas in ("gas", " 0 gas"):
        assert gas in journey.ape("create_market", *terms, "--account", f"TEST::{LISTER}")
    registry = journey.registry
    assert registry.markets["SOL-USDC"].base_token == registry.synth("hSOL")
    return registry.synth("hSOL")


def fund(journey: Journey, synth: Address) -> None:
    """Both have USDC in the Vault; the seller has synths against a debt that the cosigner let it open."""
    registry, seller = journey.registry, journey.seller
    for wallet in (seller, journey.buyer):
        wallet.transact(registry.quote_token, Token.mint, wallet.address, 10_000 * USDC)
        wallet.transact(registry.quote_token, Token.approve, registry.address("Vault"), 10_000 * USDC)
        wallet.transact(registry.address("Vault"), Vault.deposit, 10_000 * USDC)
    Wallet(journey.fork.url, public_key(POSTER)).transact(
        registry.address("PriceOracle"), PriceOracle.post, [synth], [PRICE]
    )
    deadline = journey.now() + 100
    digest = approval_digest(
        domain_separator(CHAIN_ID, registry.address("Vault")),
        seller.address,
        registry.quote_token,
        3_000 * USDC,
        keccak(b"HOOATS.lock"),
        1,
        deadline,
    )
    signed = Account.unsafe_sign_hash(digest, public_key(COSIGNER))
    signature = signed.r.to_bytes(32) + signed.s.to_bytes(32) + bytes([signed.v])
    terms = (synth, 3_000 * USDC, 10 * SYNTH, (1, deadline, signature))
    seller.transact(registry.address("SynthIssuer"), SynthIssuer.open, *terms)
    assert journey.vault_balance(seller, synth) == 10 * SYNTH


def signed_order(registry: Registry, name: str, **fields: Any) -> SignedOrder:
    order = Order(
        account=address_of(name),
        subaccount=0,
        market=MARKET,
        kind=Kind.LIMIT,
        flags=0,
        price_ticks=Ticks(TICKS),
        size_lots=Lots(LOTS),
        trigger_ticks=Ticks(0),
        max_fee_ppm=10_000,
        expiry=0,
        **fields,
    )
    separator = domain_separator(CHAIN_ID, registry.address("Settlement"))
    return SignedOrder(order, sign_digest(order_digest(separator, order), name))


def trade(journey: Journey, synth: Address) -> None:
    """One synth for 150 USDC, by the keepers."""
    registry = journey.registry
    orders = (
        signed_order(registry, "seller", side=Side.SELL, time_in_force=TimeInForce.GTC, nonce=make_nonce(1, 1_000_000)),
        signed_order(registry, "buyer", side=Side.BUY, time_in_force=TimeInForce.IOC, nonce=make_nonce(0, 1_000_000)),
    )
    batch = SettlementBatch(1, 1, orders, (BatchFill(0, 1, LOTS, 0, 0),))
    ops = Ops(f"sqlite:///{journey.folder / 'ops.sqlite'}")
    try:
        ops.put_outbox([OutboxRow("batch", 1, msgspec.json.encode(batch).decode(), 1)], 1)
        journey.keeper("sync")
        journey.keeper("settle", public_key(SETTLER))
        journey.until(lambda: any(isinstance(log, BatchSettled) for log in ops.inbox_after(0)))
    finally:
        ops.close()
    assert journey.seller.endpoint.call(registry.address("Settlement"), Settlement.last_fill) == (1,)
    assert journey.vault_balance(journey.buyer, synth) == SYNTH
    assert journey.vault_balance(journey.buyer, registry.quote_token) == 10_000 * USDC - PRICE
    assert journey.vault_balance(journey.seller, registry.quote_token) == 7_000 * USDC + PRICE


def upgrade(journey: Journey) -> None:
    """Announced, refused a day too early, executed; nothing that was stored has moved."""
    proposer = ("--account", f"TEST::{PROPOSER}")
    before = journey.vault_balance(journey.seller, journey.registry.quote_token)
    assert "storage           fits" in journey.ape("upgrade", "--propose", "VaultTwo", *proposer)
    assert "executable from" in journey.ape("upgrade", "--propose", "VaultTwo", *proposer)
    assert "1 operations pending" in journey.ape("status")
    assert "not executable for another 2" in journey.ape("upgrade", "--execute", *proposer, fails=True)
    journey.pass_time(UPGRADE_DELAY_SECONDS_MIN)
    assert "Vault runs 0x" in journey.ape("upgrade", "--execute", *proposer)
    assert journey.seller.endpoint.call(journey.registry.address("Vault"), VERSION) == (2,)
    assert journey.vault_balance(journey.seller, journey.registry.quote_token) == before
    assert "all 21 contracts" in journey.ape("verify", "--output", str(journey.folder / "sources"))


def leave(journey: Journey) -> None:
    """The seller asks, waits E, and a stranger completes it: no key of the operator's is used."""
    registry, seller = journey.registry, journey.seller
    vault, token = registry.address("Vault"), registry.quote_token
    amount = journey.vault_balance(seller, token)
    seller.transact(vault, Vault.request_withdrawal, token, amount, seller.address)
    with pytest.raises(TransactionFailed, match="RequestNotMatured"):
        journey.buyer.transact(vault, Vault.complete_withdrawal, seller.address, token)
    journey.pass_time(EXIT_DELAY_SECONDS)
    journey.buyer.transact(vault, Vault.complete_withdrawal, seller.address, token)
    assert seller.endpoint.call(token, Token.balance_of, seller.address) == (amount,)
    assert journey.vault_balance(seller, token) == 0
