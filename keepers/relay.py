"""The relay keeper: what owners signed goes on chain, so that they need no gas: countersigned withdrawals of the outbox
to `Vault.withdrawApproved`; and after them, within bounds, what `keepers.requests` has.

Invariants:
- what is sent is what the owner and the attestation key signed, unchanged; the Vault takes each nonce of an owner once,
  so that a second relay, or the owner's own sending, is harmless;
- nothing is sent that can no longer be mined before a deadline: the engine releases the hold then.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog

from keepers import requests
from keepers.lease import KeptLease
from keepers.trial import Trial, try_out
from offchain.chain.contracts import withdraw_approved_calldata
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.rpc import Rpc
from offchain.chain.transactions import Sender
from offchain.domain.eip712 import withdrawal_of
from offchain.domain.event import ApprovalGranted
from offchain.storage.ops import Ops, OutboxRow
from offchain.storage.transactions import TransactionState

KIND = "approval"
PURPOSE = "withdraw"
WINDOW = 64
DEADLINE_MARGIN_SECONDS = 5
"""A block or two before the deadline nothing is sent any more."""
REQUESTS_PER_HOUR = 120
"""Deposits and agents: at 150,000 gas each what a venue can give away."""
RETRY_SECONDS = 3
"""After a trial that reverted, by the chain's time: the balance may come with the next batch."""

_log = structlog.get_logger()
_decode = msgspec.json.Decoder(ApprovalGranted).decode


class Candidate(NamedTuple):
    """A countersigned withdrawal. `retry_at`: not before this chain time, in unix seconds."""

    approval: ApprovalGranted
    countersignature: str
    state: TransactionState | None
    is_used: bool
    retry_at: int


class Observation(NamedTuple):
    """`chain_time` in unix seconds, of the latest block."""

    chain_time: int
    candidates: tuple[Candidate, ...]
    room: int
    wishes: tuple[requests.Wish, ...] = ()
    budget: int = 0


class Relay(NamedTuple):
    candidate: Candidate


class Done(NamedTuple):
    """Nothing remains to be done: used, given up, or not the relay's business."""

    nonce: int
    why: str


Action = Relay | Done | requests.Carry | requests.Settled


def decide(observation: Observation) -> list[Action]:
    """What to do now: candidates are independent of each other."""
    actions: list[Action] = []
    room = observation.room
    for candidate in observation.candidates:
        approval = candidate.approval
        if candidate.state in (TransactionState.SIGNED, TransactionState.SENT, TransactionState.MINED):
            continue
        if reason := _why_done(candidate, observation.chain_time):
            actions.append(Done(approval.nonce, reason))
        elif room > 0 and candidate.retry_at <= observation.chain_time:
            actions.append(Relay(candidate))
            room -= 1
    return [*actions, *requests.decide(observation.wishes, observation.chain_time, room, observation.budget)]


def _why_done(candidate: Candidate, chain_time: int) -> str:
    approval = candidate.approval
    if candidate.state is TransactionState.FINAL:
        return "relayed"
    if candidate.is_used:
        return "used by another transaction"
    if approval.purpose != PURPOSE or approval.owner_signature in ("", "0x"):
        return "sent by its owner"
    if chain_time + DEADLINE_MARGIN_SECONDS >= min(approval.deadline, approval.owner_deadline):
        return "deadline passed"
    return ""


def calldata_of(candidate: Candidate) -> bytes:
    approval = candidate.approval
    return withdraw_approved_calldata(
        withdrawal_of(approval), approval.owner_signature, approval.nonce, approval.deadline, candidate.countersignature
    )


class Relayer:
    """A `cycle.Keeper`."""

    name = "relay"

    def __init__(
        self,
        rpc: Rpc,
        ops: Ops,
        sender: Sender,
        registry: Registry,
        lease: KeptLease,
        *,
        gas_max: int,
        requests_per_hour: int = REQUESTS_PER_HOUR,
    ) -> None:
        self._rpc, self._ops, self._sender = rpc, ops, sender
        self._registry, self._lease, self._gas_max = registry, lease, gas_max
        self._target = registry.address("Vault")
        self._requests = requests.Requests(rpc, ops, sender, registry, per_hour=requests_per_hour)
        self._cursor = 0
        self._done: set[int] = set()
        self._used: set[int] = set()
        self._retry_at: dict[int, int] = {}
        self._counts: dict[str, int] = {}

    async def prepare(self) -> None:
        await self._lease.acquire()
        await self._rpc.check_chain(self._registry.chain_id)
        await check_contracts(self._rpc, self._registry, ("Vault", "Settlement"))
        await self._requests.check_domain()
        await self._sender.start()

    async def observe(self) -> Observation:
        self._lease.check()
        for row in await self._sender.advance():
            is_final = row.state is TransactionState.FINAL
            _log.info("final" if is_final else "failed", job=row.job, hash=row.hash, reason=row.error)
        rows = self._ops.outbox_after(KIND, self._cursor, WINDOW)
        while rows and rows[0].key in self._done:
            self._cursor = rows[0].key
            self._forget(rows.pop(0).key)
        pending = [row for row in rows if row.key not in self._done]
        candidates = tuple(self._candidate(row) for row in pending)
        beside = self._requests.wishes(), self._requests.budget()
        return Observation(self._sender.chain_time, candidates, self._sender.room(), *beside)

    def decide(self, observation: Observation) -> Sequence[Action]:
        return decide(observation)

    async def act(self, action: Action) -> bool:
        match action:
            case Done(nonce, why):
                self._done.add(nonce)
                self._counts[why] = self._counts.get(why, 0) + 1
                (_log.warning if why == "deadline passed" else _log.info)("done", approval=nonce, why=why)
            case Relay(candidate):
                return await self._relay(candidate)
            case requests.Settled():
                self._requests.settle(action)
            case requests.Carry(wish):
                await self._requests.carry(wish)
        return False

    async def drain(self) -> int:
        self._lease.check()
        await self._sender.advance()
        return len(self._sender.open())

    async def close(self) -> None:
        self._lease.release()
        await self._rpc.aclose()

    def describe(self) -> dict[str, object]:
        told = {"inFlight": len(self._sender.open()), "done": {**self._counts}, "requests": self._rpc.requests}
        return told | {"relayed": {**self._requests.counts}, "left": self._requests.budget()}

    async def _relay(self, candidate: Candidate) -> bool:
        nonce = candidate.approval.nonce
        calldata = calldata_of(candidate)
        trial = await try_out(self._rpc, self._target, calldata, self._sender.address)
        if not trial.succeeds:
            self._note_refusal(nonce, trial)
            return trial.error == "NonceUsed"
        gas = min(self._gas_max, trial.gas * 13 // 10)
        row = await self._sender.send(f"{KIND}:{nonce}", self._target, calldata, gas)
        if row is not None:
            _log.info("sent", approval=nonce, account=candidate.approval.account, nonce=row.nonce, hash=row.hash)
        return False

    def _note_refusal(self, nonce: int, trial: Trial) -> None:
        if trial.error == "NonceUsed":
            self._used.add(nonce)
            return
        self._retry_at[nonce] = self._sender.chain_time + RETRY_SECONDS
        _log.warning("reverts", approval=nonce, reason=trial.reason)

    def _candidate(self, row: OutboxRow) -> Candidate:
        known = self._ops.transaction_of(f"{KIND}:{row.key}")
        state = known.state if known is not None and known.state is not TransactionState.FAILED else None
        return Candidate(
            _decode(row.payload), row.countersignature, state, row.key in self._used, self._retry_at.get(row.key, 0)
        )

    def _forget(self, nonce: int) -> None:
        self._done.discard(nonce)
        self._used.discard(nonce)
        self._retry_at.pop(nonce, None)
