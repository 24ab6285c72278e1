"""However many logs strangers put into a range of blocks, the watcher gets past it, or says at which block it stands.

Found by attack: cheap logs in each of fifty blocks were more than an answer may hold, and the same fifty blocks were
asked for again, for ever.
"""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from eth_abi.abi import encode

from keepers.cycle import HALTED, exit_code
from offchain.chain import rpc as rpc_module
from offchain.chain.rpc import Rpc
from offchain.chain.watcher import RANGE_BLOCKS_MAX, Watcher
from offchain.domain.errors import BlockTooLarge, ChainError, ChainUnreachable
from offchain.domain.keccak import keccak
from offchain.domain.units import Address
from offchain.storage.ops import Ops

VAULT, SETTLEMENT = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
HEAD, FULL = 120, 60
"""Blocks 1 to FULL are full of cancels."""
MUCH = 500
"""Cancels of a block: 2.5M gas, at 4,977 each as measured. Fifty such blocks are 17.2 MB."""
TOPIC = "0x" + keccak(b"OrderCancelled(uint64,address,uint64,uint40)").hex()


def word(number: int) -> str:
    return f"0x{number:064x}"


def block_hash(number: int) -> str:
    return "0x" + keccak(number.to_bytes(32, "big")).hex()


def header(number: int) -> dict[str, str]:
    return {
        "number": hex(number),
        "hash": block_hash(number),
        "parentHash": block_hash(number - 1),
        "timestamp": hex(1_700_000_000 + number),
        "baseFeePerGas": "0x1",
        "gasLimit": hex(3_000_000),
    }


class Node:
    """Answers in process. `burden` gets the number of blocks of an eth_getLogs: a response instead of logs, or None."""

    def __init__(self, logs_per_block: int) -> None:
        self.logs_per_block = logs_per_block
        self.ranges: list[tuple[int, int]] = []
        self.burden: Callable[[int], httpx.Response | None] = lambda _: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if not isinstance(asked, list) and asked["method"] == "eth_getLogs":
            first, last = (int(asked["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
            instead = self.burden(last - first + 1)
            if instead is not None:
                self.ranges.append((first, last))
                return instead
        reply = [self._answer(one) for one in asked] if isinstance(asked, list) else self._answer(asked)
        return httpx.Response(200, content=json.dumps(reply, separators=(",", ":")))

    def _answer(self, question: dict[str, object]) -> dict[str, object]:
        params: list[object] = question["params"]  # type: ignore[assignment]
        result: object
        match question["method"]:
            case "eth_getBlockByNumber":
                result = header(HEAD if params[0] == "latest" else int(str(params[0]), 16))
            case "eth_call":
                kinds = ["uint256", "uint64", "(uint256,uint256,uint256,uint256,uint256,uint256)[]", "uint256[][]"]
                result = "0x" + encode(kinds, [HEAD - 2, FULL * self.logs_per_block, [], []]).hex()
            case "eth_getLogs":
                first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))  # type: ignore[index]
                self.ranges.append((first, last))
                blocks = range(max(1, first), min(last, FULL) + 1)
                result = [self._log(block, place) for block in blocks for place in range(self.logs_per_block)]
            case method:
                raise AssertionError(method)
        return {"jsonrpc": "2.0", "id": question["id"], "result": result}

    def _log(self, block: int, index: int) -> dict[str, object]:
        sequence = (block - 1) * self.logs_per_block + index + 1
        return {
            "address": SETTLEMENT,
            "topics": [TOPIC, word(sequence), word(0xBAD)],
            "data": word(1 << 48 | 1) + word(5)[2:],
            "blockHash": block_hash(block),
            "blockNumber": hex(block),
            "blockTimestamp": hex(1_700_000_000 + block),
            "transactionHash": word(block),
            "transactionIndex": "0x0",
            "logIndex": hex(index),
            "removed": False,
        }


async def no_wait(_: float) -> None:
    return None


async def look(
    folder: Path, node: Callable[[httpx.Request], httpx.Response], looks: int
) -> tuple[Watcher, int, list[ChainError]]:
    """(watcher, last event of the inbox, failures) after that many looks."""
    ops = Ops(f"sqlite:///{folder / 'ops.sqlite'}")
    failures = []
    async with Rpc(["http://one"], requests_per_minute=0, transport=httpx.MockTransport(node), sleep=no_wait) as rpc:
        watcher = Watcher(rpc, ops, VAULT, SETTLEMENT, first_block=1)
        for _ in range(looks):
            try:
                if (await watcher.look()).is_caught_up:
                    break
            except ChainError as failure:
                failures.append(failure)
        last = ops.last_event()
    ops.close()
    return watcher, last, failures


async def test_a_range_with_more_logs_than_an_answer_holds_is_read_in_parts(tmp_path: Path) -> None:
    node = Node(MUCH)
    watcher, last, failures = await look(tmp_path, node, 6)
    assert node.ranges[0] == (1, RANGE_BLOCKS_MAX) and node.ranges[1] == (1, RANGE_BLOCKS_MAX // 2)
    assert not failures and last == FULL * MUCH, "nobody waited, and nothing is missing"
    assert watcher.range_halvings >= 1


@pytest.mark.parametrize(
    "burden",
    [httpx.Response(504, text="<html>"), httpx.Response(413, text="<html>"), httpx.ReadTimeout("slow")],
    ids=["504", "413", "timeout"],
)
async def test_a_range_that_takes_too_long_is_read_in_parts(
    tmp_path: Path, burden: httpx.Response | httpx.ReadTimeout
) -> None:
    node = Node(2)

    def too_much(blocks: int) -> httpx.Response | None:
        if blocks <= 7:
            return None
        if isinstance(burden, httpx.ReadTimeout):
            node.ranges.append((1, blocks))
            raise burden
        return burden

    node.burden = too_much
    watcher, last, failures = await look(tmp_path, node, 20)
    assert not failures and last == FULL * 2
    assert watcher.range_halvings >= 3
    assert node.ranges.count((1, RANGE_BLOCKS_MAX)) == 1, "what may be asked in parts is not asked again as a whole"


async def test_a_block_that_is_too_large_alone_halts_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_module, "REPLY_BYTES_MAX", 5_000)
    node = Node(10)
    watcher, last, failures = await look(tmp_path, node, 10)
    assert last == 0 and isinstance(failures[0], BlockTooLarge)
    assert "block 1 alone" in str(failures[0]) and "5000 bytes" in str(failures[0])
    assert exit_code(failures[0]) == HALTED, "no loop that nobody hears of"
    assert node.ranges[:6] == [(1, 50), (1, 25), (1, 12), (1, 6), (1, 3), (1, 1)]
    assert watcher.range_halvings == 5


async def test_a_block_that_takes_too_long_alone_is_named_and_waited_for(tmp_path: Path) -> None:
    """A node that is overloaded, or gone: that passes, so nothing halts."""
    node = Node(2)
    node.burden = lambda _: httpx.Response(504, text="")
    _, last, failures = await look(tmp_path, node, 8)
    assert last == 0 and isinstance(failures[0], ChainUnreachable) and "block 1 alone" in str(failures[0])
    assert exit_code(failures[0]) is None
    node.burden = lambda _: None
    _, last, failures = await look(tmp_path, node, 20)
    assert not failures and last == FULL * 2
