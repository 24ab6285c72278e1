"""A chain and a venue for tests: anvil with HyperEVM's parameters, the real contracts, traders, and real batches.

The contracts are deployed once per test session; every test gets a chain of its own with that state.
"""

import json
import os
import platform
import socket
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from eth_abi.abi import encode
from eth_account import Account

from offchain.chain.abi import Function
from offchain.chain.contracts import AmmFactory, Settlement, SynthFactory, Token, Vault
from offchain.chain.registry import Contract, MarketEntry, Registry
from offchain.domain.batch import AMM_MAKER, BatchFill, SettlementBatch, SignedOrder
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.keccak import keccak
from offchain.domain.order import Flags, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks

ROOT = Path(__file__).resolve().parents[1]
CHAIN_ID = 998
BASE_FEE = 100_000_000
BLOCK_GAS = 3_000_000
MARKET = 1
BASE_PER_LOT = 10**13
CREATION_GAS = 8_000_000


def key_of(name: str) -> bytes:
    return keccak(f"HOOATS test {name}".encode())


@cache
def address_of(name: str) -> Address:
    return Address(Account.from_key(key_of(name)).address.lower())


def sign_digest(digest: bytes, name: str) -> str:
    signed = Account.unsafe_sign_hash(digest, key_of(name))
    return "0x" + (signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes((signed.v,))).hex()


def artifact(name: str, file: str = "") -> dict[str, Any]:
    """What forge compiled; compiles if there is nothing yet."""
    path = ROOT / ".build" / "forge" / "out" / f"{file or name}.sol" / f"{name}.json"
    if not path.exists():
        subprocess.run([str(ROOT / "toolchain" / "forge"), "build", "--silent"], cwd=ROOT, check=True, timeout=600)
    return json.loads(path.read_text())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def anvil_binary() -> str:
    if named := os.environ.get("HOOATS_FOUNDRY_BIN"):
        return str(Path(named) / "anvil")
    system = {"Linux": "linux", "Darwin": "darwin"}[platform.system()]
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    return str(ROOT / "node_modules" / "@foundry-rs" / f"anvil-{system}-{machine}" / "bin" / "anvil")


class LocalChain:
    """One anvil. `block_seconds` 0: blocks only by `mine`. `fork_of` is the URL of a chain to fork."""

    def __init__(self, *, block_seconds: float = 0, chain_id: int = CHAIN_ID, port: int = 0, fork_of: str = "") -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        mode = [f"--block-time={block_seconds}"] if block_seconds else ["--no-mining"]
        self._command = [
            anvil_binary(),
            f"--port={self.port}",
            f"--chain-id={chain_id}",
            f"--gas-limit={BLOCK_GAS}",
            f"--block-base-fee-per-gas={BASE_FEE}",
            "--hardfork=cancun",
            "--order=fifo",
            "--accounts=2",
            "--silent",
            *mode,
            *([f"--fork-url={fork_of}"] if fork_of else []),
        ]
        self._client = httpx.Client(timeout=20)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "LocalChain":
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.rpc("eth_chainId")
                return self
            except httpx.HTTPError:
                time.sleep(0.02)
        raise TimeoutError("anvil does not answer")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def rpc(self, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._client.post(self.url, json=body).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def send_many(self, sends: Sequence[tuple[str, str, bytes]]) -> None:
        """(sender, to, calldata) of accounts that it impersonates already, in one request; not mined yet."""
        fees = {"gas": hex(300_000), "maxFeePerGas": hex(10 * BASE_FEE), "maxPriorityFeePerGas": "0x0"}
        bodies = [
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": "eth_sendTransaction",
                "params": [{"from": sender, "to": to, "data": "0x" + calldata.hex()} | fees],
            }
            for number, (sender, to, calldata) in enumerate(sends)
        ]
        for answer in self._client.post(self.url, json=bodies).json():
            assert "error" not in answer, answer

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.rpc("evm_mine")

    def head(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def fund(self, *addresses: str) -> None:
        for address in addresses:
            self.rpc("anvil_setBalance", address, hex(10**21))

    def send(self, sender: str, to: str | None, calldata: bytes, gas: int = 1_000_000) -> str:
        """From an account that the chain may impersonate; not mined yet."""
        self.rpc("anvil_impersonateAccount", sender)
        request = {"from": sender, "data": "0x" + calldata.hex(), "gas": hex(gas), "maxFeePerGas": hex(10 * BASE_FEE)}
        request |= {"maxPriorityFeePerGas": "0x0"} | ({"to": to} if to else {})
        return str(self.rpc("eth_sendTransaction", request))

    def do(self, sender: str, to: str | None, calldata: bytes, gas: int = 1_000_000) -> dict[str, Any]:
        """Sent, mined, and successful."""
        transaction = self.send(sender, to, calldata, gas)
        self.mine()
        receipt: dict[str, Any] = self.rpc("eth_getTransactionReceipt", transaction)
        assert receipt is not None and receipt["status"] == "0x1", receipt
        return receipt


class Venue(NamedTuple):
    """The deployed venue. `state` is anvil's dump."""

    registry: Registry
    state: str

    @property
    def vault(self) -> Address:
        return self.registry.address("Vault")

    @property
    def settlement(self) -> Address:
        return self.registry.address("Settlement")

    @property
    def commitment(self) -> Address:
        return self.registry.address("OrderbookCommitment")

    @property
    def fee_account(self) -> Address:
        return self.registry.account("feeAccount")

    @property
    def usdc(self) -> Address:
        return self.registry.quote_token

    @property
    def synth(self) -> Address:
        return self.registry.synth("hBTC")


ADMIN = address_of("admin")
TRADERS = 18
DEPOSIT = 10**12


def deploy(chain: LocalChain) -> Venue:
    """The contracts, wired; traders 0 to 17 with USDC and synths in the Vault."""
    chain.rpc("evm_setBlockGasLimit", hex(30_000_000))
    chain.fund(ADMIN, *(address_of(name) for name in ("settler", "committer", "relay")))
    contracts: dict[str, Contract] = {}

    def create(name: str, label: str = "", kinds: Sequence[str] = (), *arguments: object) -> Address:
        code = bytes.fromhex(artifact(name)["bytecode"]["object"][2:])
        receipt = chain.do(ADMIN, None, code + encode(list(kinds), list(arguments)), CREATION_GAS)
        return record(label or name, Address(receipt["contractAddress"].lower()), receipt)

    def record(label: str, address: Address, receipt: Any) -> Address:
        found = "0x" + keccak(bytes.fromhex(chain.rpc("eth_getCode", address, "latest")[2:])).hex()
        contracts[label] = Contract(address=address, bytecode_hash=found, block=int(receipt["blockNumber"], 16))
        return address

    def create_synth(name: str, symbol: str) -> Address:
        receipt = chain.do(ADMIN, synth_factory, SynthFactory.create_synth.encode(name, symbol))
        created = receipt["logs"][0]["topics"][1]
        return record(f"SynthERC20:{symbol}", Address("0x" + created[-40:]), receipt)

    usdc = create("TestUSDC")
    cxpt = create("CXPT", "", ["address"], ADMIN)
    implementation = create("Vault", "VaultImplementation")
    initialize = Function("initialize(address,address,address,address,address,address,address,uint128)").encode(
        ADMIN, usdc, cxpt, *(address_of(name) for name in ("cosigner", "fees", "treasury", "insurance")), 0
    )
    vault = create("VaultProxy", "Vault", ["address", "bytes"], implementation, initialize)
    synth_implementation = create("SynthERC20", "SynthImplementation", ["address"], vault)
    synth_factory = create("SynthFactory", "", ["address", "address"], ADMIN, synth_implementation)
    pair = create("AmmPair", "AmmPairImplementation")
    factory = create("AmmFactory", "", ["address", "address"], vault, pair)
    create("AmmRouter", "", ["address"], factory)
    settlement = create("Settlement", "", ["address", "address", "address"], ADMIN, vault, factory)
    commitment = create("OrderbookCommitment", "", ["address"], ADMIN)
    grant = Function("grantRole(bytes32,address)")
    for contract, role, holder in (
        (vault, "SETTLEMENT_ROLE", settlement),
        (vault, "CORE_ROLE", ADMIN),
        (vault, "REGISTRAR_ROLE", synth_factory),
        (cxpt, "MINTER_ROLE", vault),
        (settlement, "SETTLER_ROLE", address_of("settler")),
        (settlement, "LISTER_ROLE", ADMIN),
        (commitment, "COMMITTER_ROLE", address_of("committer")),
        (synth_factory, "CREATOR_ROLE", ADMIN),
    ):
        chain.do(ADMIN, contract, grant.encode(keccak(role.encode()), holder))
    synth = create_synth("Bitcoin", "hBTC")
    chain.do(ADMIN, synth_factory, SynthFactory.register_synth.encode(synth))
    chain.do(ADMIN, settlement, Settlement.list_market.encode(MARKET, synth, BASE_PER_LOT, 1, "hBTC-USDC"))
    chain.do(ADMIN, usdc, Token.mint.encode(ADMIN, 10**18))
    chain.do(ADMIN, usdc, Token.approve.encode(vault, 2**256 - 1))
    for number in range(TRADERS):
        trader = address_of(f"trader {number}")
        chain.send(ADMIN, vault, Vault.deposit_for.encode(trader, DEPOSIT))
        mint = Function("mintSynth(address,address,uint256)").encode(synth, trader, 10**21)
        chain.send(ADMIN, vault, mint)
    chain.mine()
    chain.rpc("evm_setBlockGasLimit", hex(BLOCK_GAS))
    chain.mine()
    market = MarketEntry(market=MARKET, base_token=synth)
    registry = Registry(
        chain_id=CHAIN_ID,
        quote_token=usdc,
        contracts=contracts,
        markets={"hBTC-USDC": market},
        accounts={"feeAccount": address_of("fees")},
        permit_name="HOOATS Test USDC",
        permit_version="1",
    )
    return Venue(registry, chain.rpc("anvil_dumpState"))


def open_pool(chain: LocalChain, venue: Venue) -> Address:
    """The AMM pair of the venue's market, with 10**8 lots at 10,000 units each."""
    factory = venue.registry.address("AmmFactory")
    chain.do(ADMIN, factory, AmmFactory.create_pair.encode(venue.synth))
    answer = chain.rpc(
        "eth_call", {"to": factory, "data": "0x" + AmmFactory.pair_of.encode(venue.synth).hex()}, "latest"
    )
    pair = Address("0x" + answer[-40:])
    chain.fund(venue.vault)
    chain.do(venue.vault, venue.synth, Token.mint.encode(pair, 10**8 * BASE_PER_LOT))
    chain.do(ADMIN, venue.usdc, Token.mint.encode(pair, 10**12))
    chain.do(ADMIN, pair, Function("mint(address)").encode(ADMIN))
    return pair


class Matcher:
    """Stands in for the engine: batches of real, signed orders that the contract settles."""

    def __init__(self, venue: Venue) -> None:
        self._separator = domain_separator(CHAIN_ID, venue.settlement)
        self._fill = 0
        self._batch = 0
        self._sequence = 1_000

    def batch(self, fills: int = 1, *, spoiled: int | None = None) -> SettlementBatch:
        """Trader 0 sells one lot to each of traders 1 to `fills`; fill number `spoiled` has a crossed limit."""
        self._batch += 1
        first = self._fill + 1
        self._fill += fills
        maker = self._sign(0, Side.SELL, TimeInForce.GTC, 100, 10**6, make_nonce(1, self._next()))
        takers = [
            self._sign(
                1 + number, Side.BUY, TimeInForce.IOC, 90 if number == spoiled else 100, 1, make_nonce(0, self._next())
            )
            for number in range(fills)
        ]
        made = tuple(BatchFill(0, 1 + number, 1, 0, 0) for number in range(fills))
        return SettlementBatch(self._batch, first, (maker, *takers), made)

    def fok_batch(self, fills: int, *, spoiled: bool = False) -> SettlementBatch:
        """A batch of two fills, then a fill-or-kill order of trader 17 with `fills` of them, against traders 10 and on;
        if it is spoiled, the last of those makers wants more than it gives."""
        book = self.batch(2)
        self._fill += fills
        makers = [
            self._sign(
                10 + number,
                Side.SELL,
                TimeInForce.GTC,
                101 if spoiled and number == fills - 1 else 100,
                1,
                make_nonce(1, self._next()),
            )
            for number in range(fills)
        ]
        taker = self._sign(17, Side.BUY, TimeInForce.FOK, 100, fills, make_nonce(0, self._next()))
        first = len(book.orders)
        made = tuple(BatchFill(first + number, first + fills, 1, 0, 0) for number in range(fills))
        return SettlementBatch(book.batch, book.first, (*book.orders, *makers, taker), (*book.fills, *made))

    def amm_batch(self, quote: int, *, price: int = 11_000, fills: int = 1) -> SettlementBatch:
        """A batch of `fills` fills of the book, and trader 17, who buys 100 lots from the pool for `quote` units."""
        book = self.batch(fills)
        self._fill += 1
        taker = self._sign(17, Side.BUY, TimeInForce.IOC, price, 100, make_nonce(0, self._next()), Flags.AMM)
        leg = BatchFill(AMM_MAKER, len(book.orders), 100, 0, 0)
        return SettlementBatch(book.batch, book.first, (*book.orders, taker), (*book.fills, leg), (quote,))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _sign(
        self, trader: int, side: Side, tif: TimeInForce, price: int, size: int, nonce: int, flags: int = 0
    ) -> SignedOrder:
        name = f"trader {trader}"
        order = Order(
            address_of(name),
            0,
            MARKET,
            side,
            Kind.LIMIT,
            tif,
            flags,
            Ticks(price),
            Lots(size),
            Ticks(0),
            10_000,
            nonce,
            0,
        )
        return SignedOrder(order, sign_digest(order_digest(self._separator, order), name))
