"""A chain that settles whatever it is sent, in full: the logs of it come to the sequencer as if the syncer had found
them, so that a venue under load goes on matching; and what a real chain could carry instead.

It is only near enough: no gas is spent, no key signs, and nothing is ever refused.
"""

from __future__ import annotations

import asyncio
import time

from offchain.domain.chainlog import BatchSettled
from offchain.domain.command import Command, ObserveLog
from offchain.domain.errors import SequencerUnavailable
from offchain.engine.engine import Engine
from offchain.sequencer.sequencer import Sequencer

PAUSE_SECONDS = 0.02
BATCHES_MAX = 8
"""Of one look: as many as may be under way to the chain."""
TRANSACTION = "0x" + "00" * 32
GAS_A_SECOND = (2_000_000, 3_000_000)
"""What HyperEVM's blocks take."""
GAS_A_FILL = (49_896, 20_989)
"""One more fill of a batch, measured on the contracts: of two strangers, and of an immediate order with one more maker
(ARCHITECTURE.md, known issue 1)."""

_tasks: set[asyncio.Task[None]] = set()


def settleable() -> tuple[float, float]:
    """Fills a second that settlement can carry: the least and the most."""
    return GAS_A_SECOND[0] / GAS_A_FILL[0], GAS_A_SECOND[1] / GAS_A_FILL[1]


def settle_for_ever(sequencer: Sequencer) -> None:
    """To be called on the sequencer's loop."""
    _tasks.add(asyncio.get_running_loop().create_task(_settle(sequencer)))


async def _settle(sequencer: Sequencer) -> None:
    while True:
        await asyncio.sleep(PAUSE_SECONDS)
        try:
            if commands := _logs(sequencer.engine):
                await sequencer.submit(commands)
        except SequencerUnavailable:
            return


def _logs(engine: Engine) -> list[Command]:
    """Of the batches that come next."""
    backlog, number, found = engine.batches, engine.last_event_sequence, list[Command]()
    for at in range(backlog.decided_batch + 1, backlog.decided_batch + 1 + BATCHES_MAX):
        batch = backlog.batches.get(at)
        if batch is None:
            break
        number += 1
        log = BatchSettled(
            event_sequence=number,
            block_number=1,
            block_time=int(time.time()),
            transaction=TRANSACTION,
            first=batch.first,
            last=batch.last,
            refusals=(),
        )
        found.append(ObserveLog(log=log))
    return found
