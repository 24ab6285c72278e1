"""A person's own transactions: sign, send, wait for the receipt. For commands and scripts that a human waits for.

Not for keepers: nothing is kept on disk here, nothing is bumped or re-sent (see `transactions.py`). The nonce is asked
once and then counted, so that several transactions can be sent in a row before the first is mined.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import httpx
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_account import Account

from offchain.domain.errors import ChainUnreachable, InvalidInput, TransactionFailed
from offchain.domain.keccak import keccak
from offchain.domain.units import Address

GAS_MAX = 2_500_000
"""Below the gas limit of a small HyperEVM block."""
FEE_HEADROOM = 3
"""maxFeePerGas as a multiple of the current base fee; what is not needed is not paid."""


class Receipt(NamedTuple):
    transaction: str
    block: int
    gas: int
    logs: list[dict[str, Any]]


def call_data(signature: str, *arguments: object) -> bytes:
    """ABI-encoded call: `call_data("deposit(uint256)", 5)`."""
    try:
        return keccak(signature.encode())[:4] + encode(_types(signature), arguments)
    except EncodingError as error:
        raise InvalidInput(f"{signature}: {error}") from error


def _types(signature: str) -> list[str]:
    inside, depth, parts = signature[signature.index("(") + 1 : -1], 0, [""]
    for letter in inside:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part]


class Wallet:
    """One key on one endpoint."""

    def __init__(self, rpc_url: str, key: bytes) -> None:
        self._account = Account.from_key(key)
        self.address = Address(self._account.address.lower())
        self._chain = Endpoint(rpc_url)
        self._chain_id: int | None = None
        self._nonce: int | None = None

    def send(self, to: str, data: bytes, gas: int | None = None) -> str:
        """Signs and sends; returns the transaction hash. `TransactionFailed` names the contract's reason."""
        if self._chain_id is None:
            self._chain_id = int(self._chain.ask("eth_chainId"), 16)
        if self._nonce is None:
            self._nonce = int(self._chain.ask("eth_getTransactionCount", self.address, "latest"), 16)
        request = {"from": self.address, "to": to, "data": "0x" + data.hex()}
        if gas is None:
            gas = min(int(self._chain.ask("eth_estimateGas", request), 16) * 13 // 10, GAS_MAX)
        base_fee = int(self._chain.ask("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        transaction = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": self._nonce,
            "to": bytes.fromhex(to[2:]),
            "value": 0,
            "data": data,
            "gas": gas,
            "maxFeePerGas": base_fee * FEE_HEADROOM + 1,
            "maxPriorityFeePerGas": 0,
        }
        raw = bytes(self._account.sign_transaction(transaction).raw_transaction)
        sent: str = self._chain.ask("eth_sendRawTransaction", "0x" + raw.hex())
        self._nonce += 1
        return sent

    def wait(self, transaction: str, seconds: float = 60) -> Receipt:
        """The receipt of a successful transaction; `TransactionFailed` if it reverted or does not appear."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            receipt = self._chain.ask("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                if int(receipt["status"], 16) != 1:
                    raise TransactionFailed(f"transaction {transaction} reverted")
                block, gas = int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)
                return Receipt(transaction, block, gas, receipt["logs"])
            time.sleep(0.1)
        raise TransactionFailed(f"no receipt of {transaction} after {seconds:.0f} s", remedy="It may still be mined")

    def transact(self, to: str, signature: str, *arguments: object) -> Receipt:
        """One call, waited for."""
        return self.wait(self.send(to, call_data(signature, *arguments)))

    def call(self, to: str, signature: str, returns: Sequence[str], *arguments: object) -> tuple[Any, ...]:
        return self._chain.call(to, signature, returns, *arguments)


class Endpoint:
    """Blocking JSON-RPC on one URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(timeout=15)

    def ask(self, method: str, *params: object) -> Any:
        """One request. `ChainUnreachable` if nobody answers, `TransactionFailed` if the node refuses."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            answer = self._client.post(self._url, json=body).json()
        except (httpx.HTTPError, ValueError) as error:
            remedy = "Check --rpc, and that the node is running"
            raise ChainUnreachable(f"no answer from {self._url}: {error}", remedy=remedy) from None
        if "error" in answer:
            raise TransactionFailed(f"{method} was refused: {self._reason(answer['error'])}")
        return answer["result"]

    def call(self, to: str, signature: str, returns: Sequence[str], *arguments: object) -> tuple[Any, ...]:
        """A view call, decoded."""
        data = "0x" + call_data(signature, *arguments).hex()
        raw = bytes.fromhex(self.ask("eth_call", {"to": to, "data": data}, "latest")[2:])
        try:
            return tuple(decode(list(returns), raw))
        except DecodingError as error:
            raise TransactionFailed(f"{signature} at {to} answered {len(raw)} bytes that do not decode") from error

    def _reason(self, error: dict[str, Any]) -> str:
        data = error.get("data")
        return f"{error.get('message', '')} {data if isinstance(data, str) else ''}".strip()[:300]
