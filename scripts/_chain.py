"""The target chain as a deployment sees it: a few reads, and transactions with fees of our own and few in flight.

Invariant: never more than IN_FLIGHT_MAX transactions of the deployer are unmined, and never a gap between their nonces;
HyperEVM's mempool takes no more. Every failure is one `HooatsError`. Deliberately no retry of a sent transaction: a
deployment that stops is run again and finds out from the chain what is done.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, cast

from web3 import Web3
from web3.exceptions import TransactionNotFound, Web3Exception

from offchain.chain.abi import Function
from offchain.chain.contracts import Token
from offchain.domain.eip712 import separator_of
from offchain.domain.errors import ChainError, ChainUnreachable, TransactionFailed
from offchain.domain.keccak import keccak
from offchain.domain.units import Address
from scripts._accounts import Signer

IN_FLIGHT_MAX: Final = 8
FEE_HEADROOM: Final = 3
"""maxFeePerGas as a multiple of the base fee; what is not needed is not paid."""
GAS_MARGIN: Final = (115, 100)
"""Gas limit over estimate: state may change between the two, by a few cold slots."""
RECEIPT_SECONDS: Final = 90
BIG_BLOCK_RECEIPT_SECONDS: Final = 300
"""HyperEVM makes one big block a minute."""
BIG_BLOCK_GAS: Final = 30_000_000
REMOTE_PAUSE_SECONDS: Final = 0.65
"""Between two requests to a public endpoint, which serves 100 a minute."""
READ_ATTEMPTS: Final = 4

LOG_BLOCKS: Final = 50
"""The range of eth_getLogs that HyperEVM's public endpoint serves."""
MULTICALL: Final = cast(Address, "0xca11bde05977b3631167028862be2a173976ca11")
"""Multicall3, at the same address wherever it is."""
MULTICALL_CALLS: Final = 100
AGGREGATE: Final = Function("aggregate3((address,bool,bytes)[])", "(bool,bytes)[]")

DEVELOPMENT_CLIENTS: Final = ("anvil", "hardhat", "ethereumtester")

Result = TypeVar("Result")


TOKEN_NAME: Final = Function("name()", "string")
PERMIT_VERSIONS: Final = ("1", "2")
"""OpenZeppelin's, and USDC's."""


class Mined(NamedTuple):
    """A transaction that succeeded."""

    transaction: str
    block: int
    gas: int


class Sent(NamedTuple):
    """A transaction on its way. `label` names it in messages."""

    label: str
    transaction: str
    done: Callable[[Mined], None]


class Chain:
    """Reads of one endpoint, through ape's connection to it."""

    def __init__(self, web3: Web3, pause: float = 0.0) -> None:
        self.web3 = web3
        self._pause = pause
        self._next = 0.0
        self._has_multicall: bool | None = None
        self.id: int = self._read(lambda: web3.eth.chain_id)
        client = self._read(lambda: str(web3.client_version))
        self.is_development = client.lower().startswith(DEVELOPMENT_CLIENTS)

    def code(self, address: Address, block: int | None = None) -> bytes:
        at: Any = "latest" if block is None else block
        return bytes(self._read(lambda: self.web3.eth.get_code(_checksum(address), at)))

    def call(self, to: Address, payload: bytes) -> bytes:
        return bytes(self._read(lambda: self.web3.eth.call({"to": _checksum(to), "data": payload})))

    def call_many(self, calls: Sequence[tuple[Address, bytes]]) -> list[bytes | None]:
        """View calls; None for one that reverted. In few requests where Multicall3 is, which public endpoints count."""
        if self._has_multicall is None:
            self._has_multicall = bool(self._pause) and bool(self.code(MULTICALL))
        if not self._has_multicall:
            return [self._try_call(to, payload) for to, payload in calls]
        answers: list[bytes | None] = []
        for start in range(0, len(calls), MULTICALL_CALLS):
            batch = [(to, True, payload) for to, payload in calls[start : start + MULTICALL_CALLS]]
            (results,) = AGGREGATE.decode(self.call(MULTICALL, AGGREGATE.encode(batch)))
            answers += [bytes(answer) if is_ok else None for is_ok, answer in results]
        return answers

    def _try_call(self, to: Address, payload: bytes) -> bytes | None:
        try:
            return self.call(to, payload)
        except ChainUnreachable:
            raise
        except ChainError:
            return None

    def storage(self, address: Address, slot: int) -> bytes:
        return bytes(self._read(lambda: self.web3.eth.get_storage_at(_checksum(address), slot))).rjust(32, b"\0")

    def logs(self, addresses: Sequence[Address], topics: list[Any], first: int, last: int) -> list[Any]:
        """Logs of the blocks `first` to `last`, as many a request as a public endpoint serves."""
        step = LOG_BLOCKS if self._pause else max(1, last - first + 1)
        found: list[Any] = []
        for low in range(first, last + 1, step):
            query: Any = {
                "address": [_checksum(address) for address in addresses],
                "topics": topics,
                "fromBlock": low,
                "toBlock": min(low + step - 1, last),
            }
            found += self._read(partial(self.web3.eth.get_logs, query))
        return found

    def balance(self, address: Address) -> int:
        return int(self._read(lambda: self.web3.eth.get_balance(_checksum(address))))

    def nonce(self, address: Address) -> int:
        """Transactions of the address that are mined, once none is on its way from an earlier run."""
        deadline = time.monotonic() + RECEIPT_SECONDS
        while True:
            mined, sent = (
                int(self._read(partial(self.web3.eth.get_transaction_count, _checksum(address), state)))
                for state in ("latest", "pending")
            )
            if sent <= mined:
                return mined
            if time.monotonic() > deadline:
                remedy = "Wait, or replace them with a higher fee"
                raise TransactionFailed(
                    f"{sent - mined} earlier transactions of {address} are not mined", remedy=remedy
                )
            time.sleep(0.2)

    def block(self, number: int | None = None, full: bool = False) -> Any:
        at: Any = "latest" if number is None else number
        return self._read(lambda: self.web3.eth.get_block(at, full_transactions=full))

    def estimate(self, fields: dict[str, Any]) -> int:
        return int(self._read(lambda: self.web3.eth.estimate_gas(fields)))  # type: ignore[arg-type]

    def receipt(self, transaction: str) -> Any | None:
        def ask() -> Any | None:
            try:
                return self.web3.eth.get_transaction_receipt(transaction)  # type: ignore[arg-type]
            except TransactionNotFound:
                return None

        return self._read(ask)

    def uses_big_blocks(self, address: Address) -> bool | None:
        """HyperEVM's account flag; None where the endpoint does not know it."""
        answer = self._raw("eth_usingBigBlocks", _checksum(address))
        return None if answer is None else bool(answer)

    def big_block_base_fee(self) -> int | None:
        answer = self._raw("eth_bigBlockGasPrice")
        return int(answer, 16) if isinstance(answer, str) else None

    def set_block_gas(self, limit: int) -> bool:
        """Development chains only: the gas limit of the blocks from now on; False where it cannot be set."""
        if not self.is_development or self._raw("evm_setBlockGasLimit", hex(limit)) is not True:
            return False
        self._raw("evm_mine")  # the limit shows, and binds what is sent, with the next block
        return True

    def send(self, raw: bytes) -> None:
        """Hands a signed transaction over; never repeated."""
        self._wait_turn()
        try:
            self.web3.eth.send_raw_transaction(raw)
        except (Web3Exception, OSError, ValueError) as error:
            raise TransactionFailed(f"the node refused a transaction: {reason_of(error)}") from None

    def ask(self, method: str, *params: Any) -> dict[str, Any]:
        """One request as it is, never repeated: {"result": …} or {"error": …}, also if nobody answers."""
        self._wait_turn()
        try:
            return dict(self.web3.provider.make_request(method, params))  # type: ignore[arg-type]
        except (Web3Exception, OSError, ValueError, NotImplementedError) as error:
            return {"error": {"message": reason_of(error)}}

    def _raw(self, method: str, *params: Any) -> Any | None:
        return self.ask(method, *params).get("result")

    def _read(self, ask: Callable[[], Result]) -> Result:
        for attempt in range(READ_ATTEMPTS):
            self._wait_turn()
            try:
                return ask()
            except Web3Exception as error:
                raise ChainError(reason_of(error)) from None
            except (OSError, ValueError) as error:  # includes the failures of requests: no answer, or 429
                if attempt == READ_ATTEMPTS - 1:
                    raise ChainUnreachable(f"the node does not answer: {reason_of(error)}") from None
            time.sleep(2**attempt if self._pause else 0.2)
        raise AssertionError("unreachable")

    def _wait_turn(self) -> None:
        if self._pause:
            now = time.monotonic()
            time.sleep(max(0.0, self._next - now))
            self._next = max(now, self._next) + self._pause


class Sender:
    """Sends the deployer's transactions in order, a bounded number ahead of the last one mined."""

    def __init__(self, chain: Chain, signer: Signer, nonce: int, big_blocks: bool) -> None:
        self.chain = chain
        self.address = signer.address
        self.sent = 0
        self.gas = 0
        self._signer = signer
        self._big_blocks = big_blocks
        self._nonce = nonce
        self._flight: list[Sent] = []

    def terms(self) -> tuple[int, int]:
        """(maxFeePerGas, the most gas that a transaction may have). No tip: on HyperEVM it would be burned."""
        block = self.chain.block()
        base_fee, limit = int(block.get("baseFeePerGas", 0)), int(block["gasLimit"])
        if self._big_blocks:
            base_fee, limit = self.chain.big_block_base_fee() or base_fee, BIG_BLOCK_GAS
        return base_fee * FEE_HEADROOM + 1, limit

    def send(
        self,
        label: str,
        to: Address,
        payload: bytes,
        done: Callable[[Mined], None],
        signed: Callable[[str], None] | None = None,
        value: int = 0,
    ) -> None:
        """Signs and sends. `signed` gets the hash before anything is sent; `done` the result when it is mined, which
        is awaited here only if too many are in flight."""
        while len(self._flight) >= IN_FLIGHT_MAX:
            self._await_first()
        max_fee, limit = self.terms()
        request = {"from": _checksum(self.address), "to": _checksum(to), "data": payload, "value": value}
        try:
            estimate = self.chain.estimate(request | {"maxFeePerGas": max_fee, "maxPriorityFeePerGas": 0})
        except ChainError as error:
            raise TransactionFailed(f"{label} would fail: {error.message}") from None
        fields = {
            "type": 2,
            "chainId": self.chain.id,
            "nonce": self._nonce,
            "to": _checksum(to),
            "value": value,
            "data": payload,
            "gas": min(estimate * GAS_MARGIN[0] // GAS_MARGIN[1], limit),
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": 0,
        }
        raw = self._signer.sign(fields)
        transaction = transaction_hash(raw)
        if signed is not None:
            signed(transaction)
        try:
            self.chain.send(raw)
        except TransactionFailed as error:
            raise TransactionFailed(f"{label}: {error.message}") from None
        self._nonce += 1
        self.sent += 1
        self._flight.append(Sent(label, transaction, done))

    def settle(self) -> None:
        """Waits until nothing is in flight."""
        while self._flight:
            self._await_first()

    def _await_first(self) -> None:
        label, transaction, done = self._flight.pop(0)
        mined = await_receipt(self.chain, label, transaction, self._big_blocks)
        self.gas += mined.gas
        done(mined)


def await_receipt(chain: Chain, label: str, transaction: str, big_blocks: bool) -> Mined:
    """The result of a transaction; `TransactionFailed` if it reverted or does not appear in time."""
    seconds = BIG_BLOCK_RECEIPT_SECONDS if big_blocks else RECEIPT_SECONDS
    deadline = time.monotonic() + seconds
    while True:
        receipt = chain.receipt(transaction)
        if receipt is not None:
            break
        if time.monotonic() > deadline:
            remedy = "Run the same command again: it goes on where this run stopped"
            raise TransactionFailed(f"no receipt of {label} ({transaction}) after {seconds} s", remedy=remedy)
        time.sleep(0.05)
    if receipt["status"] != 1:
        raise TransactionFailed(f"{label} reverted ({transaction})")
    return Mined(transaction, int(receipt["blockNumber"]), int(receipt["gasUsed"]))


def transaction_hash(raw: bytes) -> str:
    return "0x" + keccak(raw).hex()


def install_factory(sender: Sender, signer: Address, cost: int, transaction: str) -> None:
    """Sends the presigned transaction that creates the CREATE2 factory, after paying its signer."""
    missing = cost - sender.chain.balance(signer)
    if missing > 0:
        sender.send("the factory's deposit", signer, b"", lambda mined: None, value=missing)
        sender.settle()
    raw = bytes.fromhex(transaction)
    sender.chain.send(raw)
    await_receipt(sender.chain, "the CREATE2 factory", transaction_hash(raw), False)


def permit_domain(chain: Chain, token: Address) -> tuple[str, str]:
    """Name and version under which the token's permits are signed; empty if they are not to be found out."""
    (name, separator) = chain.call_many([(token, f.encode()) for f in (TOKEN_NAME, Token.domain_separator)])
    if not name or not separator:
        return "", ""
    (text,) = TOKEN_NAME.decode(name)
    for version in PERMIT_VERSIONS:
        if separator == separator_of(text, version, chain.id, token):
            return text, version
    return "", ""


def reason_of(error: BaseException) -> str:
    """One line, without the endpoint's address, which may hold a key."""
    text = " ".join(str(error).split())
    if "HTTPConnectionPool" in text or "HTTPSConnectionPool" in text or "Max retries" in text:
        return "connection refused or timed out"
    if "429" in text:
        return "too many requests"
    return text[:300] or type(error).__name__


def _checksum(address: Address) -> Any:
    return Web3.to_checksum_address(address)
