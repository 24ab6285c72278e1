"""A JSON-RPC proxy that behaves as badly as real endpoints do, and as strictly as HyperEVM's: seeded, on its own port.

Faults are fields of `Faults` and may be changed while it runs. Some are HyperEVM's rules, which anvil does not enforce:
at most `range_blocks` in eth_getLogs, a window of pending nonces, a replacement must pay 10 % more in both fees, and
two kinds of blocks: a transaction of more than `small_block_gas` is for those only whom `big_block_users` names.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import rlp
from eth_account import Account

from offchain.domain.keccak import keccak

BIG_BLOCK_GAS = 30_000_000


@dataclass
class Faults:
    """Probabilities from 0 to 1 per HTTP request, unless said otherwise."""

    is_down: bool = False
    http_429: float = 0
    http_502: float = 0
    drop_before: float = 0
    """The connection is cut before the node gets the request."""
    drop_after: float = 0
    """The node gets the request, the answer is lost."""
    wrong_id: float = 0
    truncated: float = 0
    omit_logs: float = 0
    """Per answer of eth_getLogs: one log is missing."""
    empty_logs: float = 0
    duplicate_logs: float = 0
    foreign_logs: float = 0
    """One log is of another block than the chain's."""
    lag_blocks: int = 0
    """`latest` is so many blocks old, for headers."""
    null_receipts: float = 0
    requests_per_minute: int = 0
    range_blocks: int = 0
    nonce_window: int = 0
    replacement_percent: int = 0
    delay_seconds: float = 0
    lose_transactions: float = 0
    """Accepted, hash returned, never seen again."""
    small_block_gas: int = 0
    """The gas limit of small blocks, where there are two kinds; 0 for one kind."""
    client_version: str = ""
    """What the node says it is; "" for what it is."""


@dataclass
class Record:
    """What went through."""

    methods: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    raw_transactions: list[str] = field(default_factory=list)
    ranges: list[int] = field(default_factory=list)


class ChaosRpc:
    """Listens on `url` while started; forwards to `upstream`."""

    def __init__(self, upstream: str, faults: Faults | None = None, seed: int = 1) -> None:
        self.upstream = upstream
        self.faults = faults or Faults()
        self.record = Record()
        self.before_send: Callable[[str], None] | None = None
        """Called with each raw transaction before it goes to the node."""
        self.after_send: Callable[[int], None] | None = None
        """Called with the number of raw transactions that the node has taken, before the caller is answered."""
        self.big_block_users: set[str] = set()
        """Lower-case addresses whose transactions go to big blocks."""
        self._taken = 0
        self._mining = threading.RLock()
        self._random = random.Random(seed)
        self._client = httpx.Client(timeout=20)
        self._lock = threading.Lock()
        self._minute: list[float] = []
        self._pending: dict[tuple[str, int], tuple[int, int]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> "ChaosRpc":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- one request ---

    def _happens(self, name: str) -> bool:
        with self._lock:
            probability = getattr(self.faults, name)
            if probability and self._random.random() < probability:
                self.record.faults[name] += 1
                return True
        return False

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer: two would wait for each other's acknowledgement

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = proxy._serve(body)
                if answer is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, content = answer
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                if status == 429:
                    self.send_header("retry-after", "0")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _serve(self, body: bytes) -> tuple[int, bytes] | None:
        """(status, content), or None to cut the connection."""
        if self.faults.delay_seconds:
            time.sleep(self.faults.delay_seconds)
        if self.faults.is_down or self._happens("drop_before"):
            return None
        if self._happens("http_502"):
            return 502, b"<html>Bad gateway</html>"
        asked = json.loads(body)
        requests = asked if isinstance(asked, list) else [asked]
        if self._happens("http_429") or self._is_over_limit(len(requests)):
            return 429, b"slow down"
        answers = [self.answer(request) for request in requests]
        if self._happens("drop_after"):
            return None
        if self._happens("wrong_id"):
            answers[0] = answers[0] | {"id": 10**9}
        content = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        if self._happens("truncated"):
            return 200, content[: len(content) // 2]
        return 200, content

    def _is_over_limit(self, requests: int) -> bool:
        if not self.faults.requests_per_minute:
            return False
        with self._lock:
            now = time.monotonic()
            self._minute = [at for at in self._minute if at > now - 60] + [now] * requests
            is_over = len(self._minute) > self.faults.requests_per_minute
            self.record.faults["over_limit"] += is_over
            return is_over

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One JSON-RPC request, also for callers in this process."""
        method, params = request["method"], request["params"]
        with self._lock:
            self.record.methods[method] += 1
        refusal = self._refuse(method, params)
        if refusal is not None:
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": refusal}}
        if method == "eth_sendRawTransaction":
            with self._lock:
                self.record.raw_transactions.append(params[0])
            if self.before_send is not None:
                self.before_send(params[0])
            if self._happens("lose_transactions"):
                return {"jsonrpc": "2.0", "id": request["id"], "result": hash_of(params[0])}
        if method == "eth_getBlockByNumber" and params[0] == "latest" and self.faults.lag_blocks:
            head = int(self._forward("eth_blockNumber", [])["result"], 16)
            params = [hex(max(0, head - self.faults.lag_blocks)), *params[1:]]
        answer = self._carry_out(method, params) | {"id": request["id"]}
        if method == "eth_sendRawTransaction" and "result" in answer:
            with self._lock:
                self._taken += 1
                taken = self._taken
            if self.after_send is not None:
                self.after_send(taken)
        if method == "eth_getLogs" and isinstance(answer.get("result"), list):
            answer["result"] = self._spoil(answer["result"])
        if method == "eth_getTransactionReceipt" and self._happens("null_receipts"):
            answer["result"] = None
        return answer

    def _forward(self, method: str, params: list[Any]) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer: dict[str, Any] = self._client.post(self.upstream, json=body).json()
        return answer

    def _spoil(self, logs: list[Any]) -> list[Any]:
        if self._happens("empty_logs"):
            return []
        if logs and self._happens("omit_logs"):
            logs = [*logs]
            logs.pop(self._random.randrange(len(logs)))
        if logs and self._happens("duplicate_logs"):
            logs = [*logs, self._random.choice(logs)]
        if logs and self._happens("foreign_logs"):
            logs = [*logs[:-1], logs[-1] | {"blockHash": "0x" + "f0" * 32}]
        return logs

    # --- HyperEVM's rules ---

    def _carry_out(self, method: str, params: list[Any]) -> dict[str, Any]:
        """As the node does, or as HyperEVM would."""
        if method == "web3_clientVersion" and self.faults.client_version:
            return {"jsonrpc": "2.0", "result": self.faults.client_version}
        if not self.faults.small_block_gas:
            return self._forward(method, params)
        if method == "eth_usingBigBlocks":
            return {"jsonrpc": "2.0", "result": params[0].lower() in self.big_block_users}
        if method == "eth_bigBlockGasPrice":
            return self._forward("eth_gasPrice", [])
        if method == "eth_sendRawTransaction" and gas_of(params[0]) > self.faults.small_block_gas:
            return self._in_a_big_block(method, params)
        answer = self._forward(method, params)
        if method == "eth_estimateGas" and "error" in answer and params[0]["from"].lower() in self.big_block_users:
            return self._in_a_big_block(method, params)
        return answer

    def _in_a_big_block(self, method: str, params: list[Any]) -> dict[str, Any]:
        """anvil has one kind of block: a big one is made around the request, and empty ones show their limits."""
        with self._mining:
            self._forward("evm_setBlockGasLimit", [hex(BIG_BLOCK_GAS)])
            self._forward("evm_mine", [])
            answer = self._forward(method, params)
            self._forward("evm_mine", [])
            self._forward("evm_setBlockGasLimit", [hex(self.faults.small_block_gas)])
            self._forward("evm_mine", [])
        return answer

    def _refuse(self, method: str, params: list[Any]) -> str | None:
        if method == "eth_getLogs" and "toBlock" in params[0]:
            blocks = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
            self.record.ranges.append(blocks)
            if self.faults.range_blocks and blocks > self.faults.range_blocks:
                return f"query exceeds max block range {self.faults.range_blocks}"
        limit = self.faults.small_block_gas
        is_large = method == "eth_sendRawTransaction" and limit and gas_of(params[0]) > limit
        if is_large and sender_of(params[0])[0] not in self.big_block_users:
            return "exceeds block gas limit"
        if method == "eth_sendRawTransaction" and (self.faults.nonce_window or self.faults.replacement_percent):
            return self._refuse_transaction(params[0])
        return None

    def _refuse_transaction(self, raw: str) -> str | None:
        sender, nonce, fees = sender_of(raw)
        mined = int(self._forward("eth_getTransactionCount", [sender, "latest"])["result"], 16)
        if self.faults.nonce_window and nonce >= mined + self.faults.nonce_window:
            return "nonce too high"
        known = self._pending.get((sender, nonce))
        percent = 100 + self.faults.replacement_percent
        if (
            known is not None
            and nonce >= mined
            and known != fees
            and any(new * 100 < old * percent or new <= old for new, old in zip(fees, known, strict=True))
        ):
            return "replacement transaction underpriced"
        self._pending[sender, nonce] = fees
        return None


def gas_of(raw: str) -> int:
    """The gas limit of a signed type-2 transaction; 0 of any other."""
    return int.from_bytes(rlp.decode(bytes.fromhex(raw[4:]))[4], "big") if raw[2:4] == "02" else 0


def hash_of(raw: str) -> str:
    return "0x" + keccak(bytes.fromhex(raw[2:])).hex()


def sender_of(raw: str) -> tuple[str, int, tuple[int, int]]:
    """(sender, nonce, (max fee, priority fee)) of a signed type-2 transaction."""
    fields = rlp.decode(bytes.fromhex(raw[4:]))
    number = [int.from_bytes(item, "big") if isinstance(item, bytes) else 0 for item in fields]
    return Account.recover_transaction(raw).lower(), number[1], (number[3], number[2])
