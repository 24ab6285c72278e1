"""Probes and metrics of a keeper, without a chain: its cycle, its questions, its lease, its transactions."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from keepers.cycle import Cycle, Heartbeat
from keepers.lease import KeptLease
from keepers.metrics import KeeperMetrics, watch_balance
from keepers.settings import KeeperSettings
from offchain.chain.registry import Registry
from offchain.chain.rpc import Rpc, latest_header
from offchain.domain.errors import ChainUnreachable
from offchain.domain.units import Address
from offchain.storage.ops import Ops

KEY = b"\x21" * 32
HEX = "0x" + "ab" * 32


class Node:
    """Answers `eth_getBlockByNumber` and `eth_getBalance`, or 429."""

    def __init__(self) -> None:
        self.is_throttled = False
        self.time = int(time.time())

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.is_throttled:
            return httpx.Response(429)
        asked = json.loads(request.content)
        block = {"number": "0x7", "hash": HEX, "parentHash": HEX, "timestamp": hex(self.time), "baseFeePerGas": "0x9"}
        result = block if asked["method"] == "eth_getBlockByNumber" else hex(10**18)
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": result})


class Bench:
    def __init__(self, ops: Ops) -> None:
        self.node = Node()
        self.rpc = Rpc(["http://node.example"], transport=httpx.MockTransport(self.node), requests_per_minute=0)
        registry = Registry(chain_id=998, quote_token=Address("0x" + "00" * 20), contracts={})
        settings = KeeperSettings(rpc_urls=(), registry=registry, ops_url="", key=KEY)
        keeper: Any = None
        self.tally = settings.tally
        self.cycle = Cycle(keeper, pause_seconds=1, drain_seconds=1, heartbeat=Heartbeat(None, "settle"))
        self.metrics = KeeperMetrics("settle", self.cycle, self.rpc, ops, settings)
        self.probes = self.metrics.probes()
        self.lease = KeptLease(ops, f"key:{self.metrics.address}", 15)

    def ready(self) -> dict[str, str]:
        reasons: dict[str, str] = json.loads(self.probes.answer("/readyz").body)["reasons"]
        return reasons

    def values(self) -> dict[str, float]:
        text = self.probes.answer("/metrics").body.decode()
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name.removeprefix("hooats_keeper_"): float(value) for name, value in lines}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Ops(f"sqlite:///{tmp_path / 'ops.sqlite'}"))


async def test_ready_only_with_chain_lease_and_work(bench: Bench) -> None:
    assert set(bench.ready()) == {"prepared", "lease", "head"}
    await bench.lease.acquire()
    await bench.rpc.read(latest_header())
    bench.cycle.status.is_prepared = True
    assert bench.ready() == {}
    bench.cycle.status.failures_in_a_row, bench.cycle.status.reason = 2, "no endpoint answers"
    assert bench.ready() == {"working": "no endpoint answers"}
    bench.cycle.status.failures_in_a_row = 0
    bench.lease.release()
    assert set(bench.ready()) == {"lease"}


async def test_an_old_head_is_not_ready(bench: Bench) -> None:
    bench.node.time -= 300
    await bench.rpc.read(latest_header())
    assert "300 s old" in bench.ready()["head"]


async def test_metrics_follow_the_parts(bench: Bench) -> None:
    await bench.lease.acquire()
    await bench.rpc.read(latest_header())
    watching = asyncio.create_task(watch_balance(bench.metrics, bench.rpc))
    await asyncio.sleep(0.2)
    watching.cancel()
    bench.node.is_throttled = True
    with pytest.raises(ChainUnreachable):
        await Rpc.read(bench.rpc, latest_header())
    bench.tally.spent_wei, bench.tally.reverted = 77, 2
    bench.cycle.status.figures = {"lastFill": 5, "waitingFor": "x"}
    values = bench.values()
    assert values["head_block"] == 7 and values["basefee_wei"] == 9 and values["is_leader"] == 1
    assert values["balance_wei"] == 10**18 and values["spend_wei_total"] == 77
    assert values['transactions_total{outcome="reverted"}'] == 2
    assert values['rpc_requests_total{method="eth_getBlockByNumber",outcome="ok"}'] == 1
    assert values['rpc_requests_total{method="eth_getBlockByNumber",outcome="rate_limited"}'] >= 1
    assert values["rate_limited_total"] >= 1 and values["pending_txs"] == 0 and values["halted"] == 0
    assert values['figure{figure="lastFill"}'] == 5 and 'figure{figure="waitingFor"}' not in values
    assert values['up{keeper="settle"}'] == 1


async def test_nothing_secret_in_any_answer(bench: Bench) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert KEY.hex().encode() not in bench.probes.answer(path).body
