"""kill -9 of every process in the middle of a flow: nothing acknowledged is lost, nothing settles twice.

The main job of the demo, with other interruptions: gateway, projector, every keeper and the node die by SIGKILL while
signed orders come in. The job's own claims are the assertions: every acknowledged order in the journal at its place, a
clean replay equal to every committed epoch, each fill settled once, ledger equal to the Vault to the atom.
"""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from demo.flow import generate
from demo.job import TRADERS, Job, Options
from demo.report import Report
from demo.stage import KEEPERS
from demo.traders import Traders

ORDERS = 700
SEED = 11


class KillingJob(Job):
    """Everything dies; whoever supervises it starts it again: the node its children, the test the keepers.

    The settle keeper and the node itself are killed by the job as it is.
    """

    killed: list[str]

    def interruptions(self, traders: Traders) -> dict[int, Callable[[], Awaitable[None]]]:
        self.killed = []
        kept = super().interruptions(traders)
        kills: dict[int, Callable[[], Awaitable[None]]] = {
            15: lambda: self._kill_child("gateway"),
            30: lambda: self._kill_child("projector"),
            65: lambda: self._kill_child("publisher"),
            80: lambda: self._kill_child("gateway"),
            85: lambda: self._kill_child("snapshotter"),
        }
        shares = {20: "sync", 40: "commit", 55: "relay", 60: "price", 70: "list", 75: "liquidate", 90: "sync"}
        for share, keeper in shares.items():
            kills[share] = lambda keeper=keeper: self._kill_and_restart(keeper)  # type: ignore[misc]
        return kept | kills

    async def _kill_child(self, name: str) -> None:
        """A child of the node that runs now: right after the node's own death the file names dead ones."""
        for _ in range(200):
            pid = json.loads((self._stage.data / "pids.json").read_text())[name]
            try:
                if b"offchain" in (Path("/proc") / str(pid) / "cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(name)
                    return
            except OSError:
                pass
            await asyncio.sleep(0.1)
        raise AssertionError(f"no {name} to kill")

    async def _kill_and_restart(self, keeper: str) -> None:
        self._stage.kill(keeper)
        self.killed.append(keeper)
        await asyncio.sleep(1)
        self._start_keeper(keeper)


@pytest.mark.timeout(280)
def test_kill_9_of_every_process(tmp_path: Path) -> None:
    flow = generate(SEED, ORDERS, 16_000, TRADERS)
    job = KillingJob(Options(folder=tmp_path, seed=SEED, stay=False), Report())
    assert asyncio.run(job.run(flow)) == 0
    assert {"settle", "node", *job.killed} == {"gateway", "publisher", "projector", "snapshotter", "node", *KEEPERS}
