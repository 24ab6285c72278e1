"""Keepers as processes: killed at the worst moments, started twice, started on the wrong chain, without a node."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from chaos_rpc import ChaosRpc
from local_chain import ADMIN, CHAIN_ID, LocalChain, Matcher, Venue, address_of, key_of

from keepers.cycle import CHAIN, OK, USAGE
from offchain.chain.contracts import Settlement, Vault
from offchain.chain.registry import write_registry
from offchain.domain.batch import SettlementBatch
from offchain.domain.chainlog import BatchSettled
from offchain.storage.ops import Ops, OutboxRow

SCRIPT = Path(__file__).with_name("keeper_process.py")


class Stage:
    """A chain with one-second blocks behind a proxy, an ops database, and keeper processes."""

    def __init__(self, folder: Path, chain: LocalChain, venue: Venue) -> None:
        self.folder, self.chain, self.venue = folder, chain, venue
        self.proxy = ChaosRpc(chain.url).start()
        self.ops = Ops(f"sqlite:///{folder / 'ops.sqlite'}")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.settings = {
            "rpc": [self.proxy.url],
            "registry": str(folder / "998.json"),
            "chain_id": CHAIN_ID,
            "ops": f"sqlite:///{folder / 'ops.sqlite'}",
            "keys": {"settle": key_of("settler").hex(), "commit": key_of("committer").hex()},
            "folder": str(folder),
        }
        write_registry(folder / "998.json", venue.registry)

    def start(self, name: str, **changes: object) -> subprocess.Popen[bytes]:
        file = self.folder / f"{name}-{len(self.processes)}.settings.json"
        file.write_text(json.dumps(self.settings | changes))
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, str(SCRIPT), name, str(file)], stderr=log, stdout=log)
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def put(self, *batches: SettlementBatch) -> None:
        rows = [OutboxRow("batch", item.batch, msgspec.json.encode(item).decode(), item.batch) for item in batches]
        self.ops.put_outbox(rows, max(item.batch for item in batches))

    def last_fill(self) -> int:
        asked = {"to": self.venue.settlement, "data": "0x" + Settlement.last_fill.encode().hex()}
        return int(self.chain.rpc("eth_call", asked, "latest"), 16)

    def until(self, what: Callable[[], bool], seconds: float = 25) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            logs = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            time.sleep(0.05)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.ops.close()
        self.proxy.stop()


@pytest.fixture
def stage(tmp_path: Path, timed_chain: Callable[..., LocalChain], venue: Venue) -> Iterator[Stage]:
    made = Stage(tmp_path, timed_chain(block_seconds=1), venue)
    yield made
    made.close()


def test_killed_with_sigkill_around_a_send_again_and_again(stage: Stage) -> None:
    """Before a node has the bytes, and right after: every fill settles once, every log arrives once."""
    matcher = Matcher(stage.venue)
    batches = [matcher.batch() for _ in range(24)]
    stage.start("sync")
    for killed, is_lost in enumerate((True, False, True)):
        settler = stage.start("settle")

        def kill(raw: str, victim: subprocess.Popen[bytes] = settler) -> None:
            victim.send_signal(signal.SIGKILL)
            victim.wait()

        stage.proxy.faults.lose_transactions = float(is_lost)
        stage.proxy.before_send = kill
        stage.put(*batches[: 6 * (killed + 1)])
        stage.until(lambda victim=settler: victim.poll() is not None)  # type: ignore[misc]
        stage.proxy.before_send, stage.proxy.faults.lose_transactions = None, 0
    stage.start("settle")
    stage.put(*batches)
    stage.until(lambda: stage.last_fill() == 24)
    stage.until(lambda: sum(isinstance(log, BatchSettled) for log in stage.ops.inbox_after(0)) == 24)
    logs = stage.ops.inbox_after(0)
    assert [log.event_sequence for log in logs] == list(range(1, len(logs) + 1))
    assert [log.first for log in logs if isinstance(log, BatchSettled)] == list(range(1, 25))
    assert int(stage.chain.rpc("eth_getTransactionCount", address_of("settler"), "latest"), 16) == 24
    assert key_of("settler").hex() not in stage.log("settle")


def test_the_syncer_killed_with_sigkill_misses_nothing(stage: Stage) -> None:
    for round_ in range(3):
        syncer = stage.start("sync")
        for trader in range(5):
            deposit = Vault.deposit_for.encode(address_of(f"trader {trader}"), 1 + round_)
            stage.chain.send(ADMIN, stage.venue.vault, deposit)
        time.sleep(0.9 + round_ * 0.3)
        syncer.send_signal(signal.SIGKILL)
        syncer.wait()
    stage.start("sync")
    stage.until(lambda: stage.ops.last_event() == 38 + 15)
    logs = stage.ops.inbox_after(0)
    assert [log.event_sequence for log in logs] == list(range(1, 54))


def test_a_second_process_with_the_same_key_is_refused(stage: Stage) -> None:
    first = stage.start("settle")
    stage.until(lambda: "ready" in stage.log("settle"))
    second = stage.start("settle")
    assert second.wait(15) == USAGE
    assert "holds key:0x" in stage.log("settle")
    assert first.poll() is None


def test_sigterm_leaves_nothing_in_flight(stage: Stage) -> None:
    settler = stage.start("settle")
    stage.until(lambda: "ready" in stage.log("settle"))
    matcher = Matcher(stage.venue)
    stage.put(*(matcher.batch() for _ in range(4)))
    stage.until(lambda: '"sent"' in stage.log("settle"))
    settler.send_signal(signal.SIGTERM)
    assert settler.wait(15) == OK
    assert stage.last_fill() == 4
    rows = [stage.ops.transaction_of(f"batch:{number}") for number in range(1, 5)]
    assert [str(row.state) for row in rows if row is not None] == ["FINAL"] * 4
    assert stage.start("settle").poll() is None, "the lease was given back"


def test_no_node_at_the_start_and_none_for_a_while(stage: Stage) -> None:
    matcher = Matcher(stage.venue)
    stage.proxy.faults.is_down = True
    settler, syncer = stage.start("settle"), stage.start("sync")
    stage.until(lambda: "no endpoint answers" in stage.log("settle") and "no endpoint answers" in stage.log("sync"))
    stage.put(matcher.batch(), matcher.batch())
    stage.proxy.faults.is_down = False
    stage.until(lambda: stage.last_fill() == 2)
    stage.proxy.faults.is_down = True
    stage.put(matcher.batch(), matcher.batch())
    time.sleep(1.5)
    stage.proxy.faults.is_down = False
    stage.until(lambda: stage.last_fill() == 4)
    stage.until(lambda: sum(isinstance(log, BatchSettled) for log in stage.ops.inbox_after(0)) == 4)
    assert settler.poll() is None and syncer.poll() is None
    assert json.loads((stage.folder / "keepers" / "settle.json").read_text())["state"] in ("running", "waiting")


def test_the_wrong_chain_ends_it_at_once(stage: Stage) -> None:
    other = LocalChain(chain_id=4242).start()
    try:
        assert stage.start("sync", rpc=[other.url]).wait(15) == CHAIN
        assert "serves chain 4242, not 998" in stage.log("sync")
    finally:
        other.stop()


def test_an_address_without_code_ends_it_at_once(stage: Stage) -> None:
    empty = LocalChain().start()
    try:
        assert stage.start("settle", rpc=[empty.url]).wait(15) == CHAIN
        assert "there is no code at" in stage.log("settle")
    finally:
        empty.stop()


def test_probes_of_a_keeper(stage: Stage) -> None:
    """Ready once it holds its lease and sees the chain; not ready, but alive, while no endpoint answers."""
    stage.start("settle")
    beat = stage.folder / "keepers" / "settle.json"

    def ask(path: str) -> httpx.Response:
        port = json.loads(beat.read_text())["metricsPort"]
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5)

    stage.until(lambda: beat.exists() and ask("/readyz").status_code == 200)
    metrics = ask("/metrics").text
    assert "hooats_keeper_is_leader 1.0" in metrics and "hooats_keeper_head_block " in metrics
    assert 'hooats_keeper_rpc_requests_total{method="eth_chainId",outcome="ok"} 1.0' in metrics
    stage.proxy.faults.is_down = True
    stage.until(lambda: "no endpoint answers" in ask("/readyz").json()["reasons"].get("working", ""))
    assert ask("/readyz").status_code == 503
    assert ask("/livez").status_code == 200
    assert key_of("settler").hex() not in stage.log("settle")
