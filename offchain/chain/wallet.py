"""A person's own transactions: sign, send, wait for the receipt. For commands and scripts that a human waits for.

Not for keepers: nothing is kept on disk here, nothing is bumped or re-sent (see `transactions.py`). The nonce is asked
once and then counted, so that several transactions can be sent in a row before the first is mined.
"""

import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from offchain.chain.abi import Function
from offchain.chain.explanations import explain
from offchain.chain.signing import Fees, SigningKey
from offchain.domain.errors import ChainUnreachable, MissingContract, TransactionFailed
from offchain.domain.units import Address

GAS_MAX = 2_500_000
"""Below the gas limit of a small HyperEVM block."""
FEE_HEADROOM = 3
"""maxFeePerGas as a multiple of the current base fee; what is not needed is not paid."""
POLL_SECONDS = 0.1


class Receipt(NamedTuple):
    transaction: str
    block: int
    gas: int


class Endpoint:
    """Blocking JSON-RPC on one URL, which may hold a provider's key: messages name its `host` only."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.host = _host_of(url)
        self._client = httpx.Client(timeout=15)

    def ask(self, method: str, *params: object) -> Any:
        """One request. `ChainUnreachable` if nobody answers, `TransactionFailed` with the contract's reason."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            answer = self._client.post(self._url, json=body).json()
            error = answer.get("error")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError) as failure:
            remedy = "Check --rpc, and that the node is running"
            raise ChainUnreachable(f"no answer from {self.host}: {failure}", remedy=remedy) from None
        if error:
            raise TransactionFailed(f"{method} was refused: {_reason(error)}")
        return answer["result"]

    def call(self, to: Address, function: Function, *arguments: object) -> tuple[Any, ...]:
        """A view call, decoded. `MissingContract` if nothing that answers is there."""
        data = "0x" + function.encode(*arguments).hex()
        answer: str = self.ask("eth_call", {"to": to, "data": data}, "latest")
        if answer == "0x" and function.returns:
            remedy = "Check that --registry is of the chain at --rpc"
            raise MissingContract(f"there is no contract at {to} that knows {function.name}", remedy=remedy)
        return function.decode(bytes.fromhex(answer[2:]))


class Wallet:
    """One key on one endpoint."""

    def __init__(self, url: str, secret: bytes) -> None:
        self.endpoint = Endpoint(url)
        self._key = SigningKey(secret, int(self.endpoint.ask("eth_chainId"), 16))
        self.address = self._key.address
        self._nonce: int | None = None

    def send(self, to: Address, function: Function, *arguments: object, gas: int | None = None) -> str:
        """Signs and sends; returns the hash. Without `gas` it is estimated, which names a revert's reason first."""
        calldata = function.encode(*arguments)
        if self._nonce is None:
            self._nonce = int(self.endpoint.ask("eth_getTransactionCount", self.address, "latest"), 16)
        if gas is None:
            request = {"from": self.address, "to": to, "data": "0x" + calldata.hex()}
            gas = min(int(self.endpoint.ask("eth_estimateGas", request), 16) * 13 // 10, GAS_MAX)
        base_fee = int(self.endpoint.ask("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        signed = self._key.sign(self._nonce, to, calldata, gas, Fees(base_fee * FEE_HEADROOM + 1, 0))
        sent: str = self.endpoint.ask("eth_sendRawTransaction", "0x" + signed.raw.hex())
        self._nonce += 1
        return sent

    def wait(self, transaction: str, seconds: float = 60) -> Receipt:
        """The receipt of a successful transaction; `TransactionFailed` if it reverted or does not appear."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            receipt = self.endpoint.ask("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                if int(receipt["status"], 16) != 1:
                    raise TransactionFailed(f"transaction {transaction} reverted")
                return Receipt(transaction, int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16))
            time.sleep(POLL_SECONDS)
        raise TransactionFailed(f"no receipt of {transaction} after {seconds:.0f} s", remedy="It may still be mined")

    def transact(self, to: Address, function: Function, *arguments: object) -> Receipt:
        """One call, waited for."""
        return self.wait(self.send(to, function, *arguments))

    def call(self, to: Address, function: Function, *arguments: object) -> tuple[Any, ...]:
        return self.endpoint.call(to, function, *arguments)

    def sign_digest(self, digest: bytes) -> tuple[int, bytes, bytes]:
        """(v, r, s) of an EIP-712 digest."""
        return self._key.sign_digest(digest)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "an endpoint without a host"
    except ValueError:
        return "an endpoint whose URL is malformed"


def _reason(error: Any) -> str:
    """A node's error in words; the contract's own error if there is one."""
    if not isinstance(error, dict):
        return str(error)[:200]
    data = error.get("data")
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        return explain(bytes.fromhex(data[2:]))
    return str(error.get("message", error))[:200]
