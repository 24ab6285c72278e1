"""The commit keeper: what it decides, and epochs that are committed on a real chain."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from local_chain import CHAIN_ID, LocalChain, Venue, address_of, key_of

from keepers.commit import Candidate, Committer, Halt, Observation, Send, TryOut, Wait, decide
from keepers.lease import KeptLease
from keepers.trial import Trial
from offchain.chain.contracts import OrderbookCommitment, commit_calldata
from offchain.chain.fees import FeePolicy
from offchain.chain.rpc import Rpc
from offchain.chain.signing import SigningKey
from offchain.chain.transactions import Sender
from offchain.domain.batch import EpochHeader
from offchain.domain.errors import TransactionFailed
from offchain.storage.ops import Ops, OutboxRow
from offchain.storage.transactions import TransactionState as S

ZERO, WORD = "0x" + "00" * 32, "0x" + "11" * 32


def header(epoch: int, parent: str = ZERO, length: int = 10) -> EpochHeader:
    first = (epoch - 1) * length + 1
    return EpochHeader(epoch, parent, first, first + length - 1, WORD, WORD, WORD, 5, 1, WORD)


def chained(count: int) -> list[EpochHeader]:
    headers: list[EpochHeader] = []
    for epoch in range(1, count + 1):
        headers.append(header(epoch, "0x" + headers[-1].hash().hex() if headers else ZERO))
    return headers


def seen(*states: S | None, trial: Trial | None = None, failures: int = 0, room: int = 8, last: int = 0) -> Observation:
    candidates = tuple(Candidate(item, state) for item, state in zip(chained(len(states)), states, strict=True))
    return Observation(last, ZERO, candidates, room, trial, failures)


def test_decisions() -> None:
    fine = Trial(gas=80_000)
    one, two = chained(2)
    assert decide(seen()) == []
    assert decide(seen(None, None)) == [TryOut(one)]
    assert decide(seen(None, None, trial=fine)) == [Send(one), Send(two)]
    assert decide(seen(None, None, trial=fine, room=1)) == [Send(one)]
    assert decide(seen(S.SENT, None)) == [Send(two)]
    assert isinstance(decide(seen(None, S.SENT))[0], Wait)
    assert isinstance(decide(seen(S.FINAL, None))[0], Wait)
    assert decide(seen(None, trial=Trial(reason="ZeroRoot()"), failures=1)) == [TryOut(one)]
    assert isinstance(decide(seen(None, trial=Trial(reason="ZeroRoot()"), failures=4))[0], Halt)


def test_another_venues_epochs_halt() -> None:
    other = Observation(0, WORD, (Candidate(header(1), None),), 8, None, 0)
    assert isinstance(decide(other)[0], Halt)
    gap = Observation(0, ZERO, (Candidate(header(2), None),), 8, None, 0)
    assert isinstance(decide(gap)[0], Halt)


class Bench:
    def __init__(self, chain: LocalChain, venue: Venue, ops: Ops) -> None:
        self.chain, self.venue = chain, venue
        rpc = Rpc([chain.url])
        key = SigningKey(key_of("committer"), CHAIN_ID)
        lease = KeptLease(ops, f"key:{key.address}", 60)
        sender = Sender(rpc, ops, key, keeper="commit", fees=FeePolicy(), check_lease=lease.check)
        self.committer = Committer(rpc, ops, sender, venue.registry, lease)

    async def steps(self, number: int) -> None:
        for _ in range(number):
            for action in self.committer.decide(await self.committer.observe()):
                await self.committer.act(action)
            self.chain.mine()

    def last_epoch(self) -> int:
        asked = {"to": self.venue.commitment, "data": "0x" + OrderbookCommitment.last_epoch.encode().hex()}
        return int(self.chain.rpc("eth_call", asked, "latest"), 16)


def put(ops: Ops, headers: list[EpochHeader]) -> None:
    rows = [OutboxRow("epoch", item.epoch, msgspec.json.encode(item).decode(), item.last) for item in headers]
    ops.put_outbox(rows, headers[-1].last)


@pytest.fixture
async def bench(chain: LocalChain, venue: Venue, ops: Ops) -> AsyncIterator[Bench]:
    made = Bench(chain, venue, ops)
    await made.committer.prepare()
    yield made
    await made.committer.close()


async def test_epochs_are_committed_in_order(bench: Bench, ops: Ops) -> None:
    headers = chained(10)
    put(ops, headers)
    await bench.steps(8)
    assert bench.last_epoch() == 10
    row = ops.transaction_of("epoch:10")
    assert row is not None and row.state is S.FINAL


async def test_an_epoch_committed_by_an_earlier_process_is_not_sent_again(bench: Bench, ops: Ops) -> None:
    headers = chained(2)
    bench.chain.do(address_of("committer"), bench.venue.commitment, commit_calldata(headers[0]))
    put(ops, headers)
    await bench.steps(5)
    assert bench.last_epoch() == 2
    assert ops.transaction_of("epoch:1") is None


async def test_a_foreign_epoch_halts(bench: Bench, ops: Ops) -> None:
    foreign = header(1, length=11)
    bench.chain.do(address_of("committer"), bench.venue.commitment, commit_calldata(foreign))
    put(ops, chained(2))
    with pytest.raises(TransactionFailed, match="not the parent"):
        await bench.steps(2)


async def test_a_header_that_the_contract_refuses_halts(bench: Bench, ops: Ops) -> None:
    put(ops, [msgspec.structs.replace(header(1), state_root=ZERO)])
    with pytest.raises(TransactionFailed, match="ZeroRoot"):
        await bench.steps(8)
    await asyncio.sleep(0)
