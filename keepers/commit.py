"""The commit keeper: epoch headers of the outbox to `OrderbookCommitment.commit`, in order.

Invariant: an epoch is committed at most once and only on top of its own parent; the contract enforces both, and this
keeper looks first. If the chain has another epoch than the journal, it halts: two venues would be writing one chain of
epochs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog

from keepers.lease import KeptLease
from keepers.trial import Trial, try_out
from offchain.chain import rpc as questions
from offchain.chain.contracts import OrderbookCommitment, commit_calldata
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.roles import check_roles
from offchain.chain.rpc import Query, Rpc
from offchain.chain.transactions import Sender
from offchain.domain.batch import EpochHeader
from offchain.domain.errors import TransactionFailed
from offchain.domain.units import Address
from offchain.storage.ops import Ops
from offchain.storage.transactions import TransactionState

KIND = "epoch"
WINDOW = 16
COMMIT_GAS = 130_000
"""A header costs about 80,000: two new words and an event of ten."""
TRIES = 4

_log = structlog.get_logger()
_decode = msgspec.json.Decoder(EpochHeader).decode


class Candidate(NamedTuple):
    """An epoch that is not committed as far as the chain says. `state`: of its transaction, if any."""

    header: EpochHeader
    state: TransactionState | None

    @property
    def is_in_flight(self) -> bool:
        return self.state in (TransactionState.SIGNED, TransactionState.SENT, TransactionState.MINED)


class Observation(NamedTuple):
    """`last_hash` is the committed header's hash, 0x00… before the first; `failures`: trials in a row that reverted."""

    last_epoch: int
    last_hash: str
    candidates: tuple[Candidate, ...]
    room: int
    trial: Trial | None
    failures: int


class TryOut(NamedTuple):
    header: EpochHeader


class Send(NamedTuple):
    header: EpochHeader


class Wait(NamedTuple):
    reason: str


class Halt(NamedTuple):
    reason: str
    remedy: str


Action = TryOut | Send | Wait | Halt


def decide(observation: Observation) -> list[Action]:
    """What to do now."""
    candidates = observation.candidates
    if not candidates:
        return []
    first = candidates[0].header
    if first.epoch != observation.last_epoch + 1:
        return [Halt(f"the outbox goes on with epoch {first.epoch} after {observation.last_epoch}", "Check --ops-url")]
    if observation.last_epoch and not int(observation.last_hash, 16):
        return [Wait(f"the node that was asked second does not know epoch {observation.last_epoch} yet")]
    if first.parent != observation.last_hash:
        reason = f"epoch {observation.last_epoch} on chain is not the parent of epoch {first.epoch}"
        return [Halt(reason, "Another venue commits to this contract, or the journal was replaced")]
    in_flight = [candidate for candidate in candidates if candidate.is_in_flight]
    if candidates[: len(in_flight)] != tuple(in_flight):
        return [Wait("an epoch before those in flight failed: they will revert, and go out again")]
    unsent = candidates[len(in_flight) :]
    if unsent and unsent[0].state is TransactionState.FINAL:
        return [Wait(f"epoch {unsent[0].header.epoch} is final, but the node does not know it: it lags")]
    if unsent and not in_flight:
        trial = observation.trial
        if observation.failures >= TRIES and trial is not None:
            return [Halt(f"epoch {unsent[0].header.epoch} cannot be committed: {trial.reason}", "Mend the cause")]
        if trial is None or not trial.succeeds:
            return [TryOut(unsent[0].header)]
    return [Send(candidate.header) for candidate in unsent[: observation.room]]


class Committer:
    """A `cycle.Keeper`."""

    name = "commit"

    def __init__(self, rpc: Rpc, ops: Ops, sender: Sender, registry: Registry, lease: KeptLease) -> None:
        self._rpc, self._ops, self._sender, self._registry, self._lease = rpc, ops, sender, registry, lease
        self._target = registry.address("OrderbookCommitment")
        self._last_epoch = 0
        self._trial: tuple[int, Trial] | None = None
        self._failures = 0

    async def prepare(self) -> None:
        await self._lease.acquire()
        await self._rpc.check_chain(self._registry.chain_id)
        await check_contracts(self._rpc, self._registry, ("OrderbookCommitment",))
        await check_roles(self._rpc, self._registry, self.name, self._sender.address)
        await self._sender.start()

    async def observe(self) -> Observation:
        self._lease.check()
        for row in await self._sender.advance():
            is_final = row.state is TransactionState.FINAL
            _log.info("final" if is_final else "failed", job=row.job, hash=row.hash, reason=row.error)
        last_epoch = await self._rpc.read(_last_epoch(self._target))
        last_hash = await self._rpc.read(_header_hash(self._target, last_epoch))
        self._last_epoch = last_epoch
        states = {row.job: row.state for row in self._sender.open()}
        candidates = tuple(
            Candidate(_decode(row.payload), self._state(row.key, states))
            for row in self._ops.outbox_after(KIND, last_epoch, WINDOW)
        )
        trial = None
        if self._trial is not None and candidates and self._trial[0] == candidates[0].header.epoch:
            trial = self._trial[1]
        return Observation(last_epoch, last_hash, candidates, self._sender.room(), trial, self._failures)

    def decide(self, observation: Observation) -> Sequence[Action]:
        return decide(observation)

    async def act(self, action: Action) -> bool:
        match action:
            case TryOut(header):
                trial = await try_out(self._rpc, self._target, commit_calldata(header), self._sender.address)
                self._trial = header.epoch, trial
                self._failures = 0 if trial.succeeds else self._failures + 1
                if not trial.succeeds:
                    _log.error("reverts", epoch=header.epoch, reason=trial.reason)
                return trial.succeeds
            case Send(header):
                await self._send(header)
            case Wait(reason):
                _log.info("wait", reason=reason)
            case Halt(reason, remedy):
                raise TransactionFailed(reason, remedy=remedy)
        return False

    async def drain(self) -> int:
        self._lease.check()
        await self._sender.advance()
        return len(self._sender.open())

    async def close(self) -> None:
        self._lease.release()
        await self._rpc.aclose()

    def describe(self) -> dict[str, object]:
        return {
            "lastEpoch": self._last_epoch,
            "inFlight": len(self._sender.open()),
            "requests": self._rpc.requests,
        }

    async def _send(self, header: EpochHeader) -> None:
        measured = self._trial[1].gas * 115 // 100 if self._trial and self._trial[0] == header.epoch else 0
        job = f"{KIND}:{header.epoch}"
        row = await self._sender.send(job, self._target, commit_calldata(header), max(COMMIT_GAS, measured))
        self._trial = None
        if row is not None:
            _log.info("sent", epoch=header.epoch, last=header.last, nonce=row.nonce, hash=row.hash)

    def _state(self, key: int, open_rows: dict[str, TransactionState]) -> TransactionState | None:
        job = f"{KIND}:{key}"
        if job in open_rows:
            return open_rows[job]
        row = self._ops.transaction_of(job)
        return row.state if row is not None and row.state is TransactionState.FINAL else None


def _last_epoch(target: Address) -> Query[int]:
    asked = questions.call(target, OrderbookCommitment.last_epoch.encode())
    decode = OrderbookCommitment.last_epoch.decode
    return Query(asked.method, asked.params, lambda value: int(decode(asked.parse(value))[0]))


def _header_hash(target: Address, epoch: int) -> Query[str]:
    asked = questions.call(target, OrderbookCommitment.header_hash.encode(epoch))
    decode = OrderbookCommitment.header_hash.decode
    return Query(asked.method, asked.params, lambda value: "0x" + decode(asked.parse(value))[0].hex())
