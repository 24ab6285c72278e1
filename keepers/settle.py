"""The settle keeper: batches of the outbox to `Settlement.settle`, in order, several in flight.

Invariants:
- batches go out in the order of their fills, each at most once with effect: the contract itself takes only the batch
  that begins at `lastFill + 1`;
- while nothing is in flight the next batch is tried out first; one that keeps reverting for one reason is never
  sent, the fill that sinks it is looked for and named, and the keeper halts. Taking the fill back (RefuseFill) is the
  operator's decision, not made here;
- a pause of the guardian is nobody's fault: the next batch is tried out until it succeeds again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog

from keepers.lease import KeptLease
from keepers.trial import Trial, try_call, try_out
from offchain.chain import rpc as questions
from offchain.chain.contracts import Settlement, cut_batch, places_to_cut, settle_calldata
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.roles import check_roles
from offchain.chain.rpc import Query, Rpc
from offchain.chain.transactions import Sender
from offchain.domain.batch import AMM_MAKER, ITEMIZED_RULES, BatchItems, SettlementBatch
from offchain.domain.errors import InvalidInput, TransactionFailed
from offchain.domain.limits import BATCH_GAS_MAX
from offchain.domain.packed import canonical
from offchain.domain.units import Address
from offchain.storage.ops import Ops
from offchain.storage.transactions import Transaction, TransactionState

KIND = "batch"
WINDOW = 16
"""Outbox rows looked at in one cycle: twice what may be in flight."""
REVERTS_MAX = 3
"""So often may a batch that succeeded when tried out revert on chain before that is held to be no accident."""
TRIES = 4
"""So often must a batch revert for the same reason when tried out: one node may lag behind the others."""
WARY_BATCHES = 64
"""After one that reverted on chain so many get gas for the worst that their accounts can have done since the match."""
NOT_A_FILL = frozenset(("AccessControlUnauthorizedAccount", "MalformedBatch"))
"""Reverts that no fill is to blame for."""
OF_AN_ORDER = frozenset(("InvalidSigner", "Overfilled", "MalformedOrder"))
"""Reverts whose first argument is an order's place in the packed batch."""
PAUSED = "IsPaused"
"""What `settle` reverts with while the guardian's pause lasts."""

_log = structlog.get_logger()
_decode = msgspec.json.Decoder(SettlementBatch).decode


class Candidate(NamedTuple):
    """A batch of the outbox that is not settled as far as the chain says. `state`: of its transaction, if any."""

    batch: SettlementBatch
    revision: int
    state: TransactionState | None

    @property
    def is_in_flight(self) -> bool:
        return self.state in (TransactionState.SIGNED, TransactionState.SENT, TransactionState.MINED)


class Tried(NamedTuple):
    """The last trial of a batch; `repeats` counts those before it that failed for the same reason."""

    batch: int
    revision: int
    trial: Trial
    repeats: int


class Observation(NamedTuple):
    """`candidates` ascend and begin with the batch that holds fill `last_fill + 1`. `reverts` of the first of them."""

    last_fill: int
    candidates: tuple[Candidate, ...]
    room: int
    tried: Tried | None
    reverts: int


class TryOut(NamedTuple):
    candidate: Candidate


class Send(NamedTuple):
    candidate: Candidate


class Blame(NamedTuple):
    """The batch can never succeed: find the fill, say so, halt."""

    candidate: Candidate
    reason: str


class Wait(NamedTuple):
    reason: str


class Halt(NamedTuple):
    reason: str
    remedy: str


Action = TryOut | Send | Blame | Wait | Halt


def decide(observation: Observation) -> list[Action]:
    """What to do now."""
    candidates = observation.candidates
    expected = observation.last_fill + 1
    if candidates and (broken := _find_break(candidates, expected)):
        return [broken]
    in_flight = [candidate for candidate in candidates if candidate.is_in_flight]
    if candidates[: len(in_flight)] != tuple(in_flight):
        return [Wait("a batch before those in flight failed: they will revert, and go out again")]
    unsent = candidates[len(in_flight) :]
    if not unsent:
        return []
    if unsent[0].state is TransactionState.FINAL:
        return [Wait(f"batch {unsent[0].batch.batch} is final, but the node does not know it: it lags")]
    if not in_flight and (first := _decide_first(observation, unsent[0])):
        return first
    sends = [candidate for candidate in unsent if candidate.state is not TransactionState.FINAL]
    return [Send(candidate) for candidate in sends[: observation.room]]


def _find_break(candidates: Sequence[Candidate], expected: int) -> Action | None:
    """Batches must continue each other; anything else is another outbox than this contract's."""
    for candidate in candidates:
        if candidate.batch.first != expected:
            reason = f"batch {candidate.batch.batch} begins at fill {candidate.batch.first}, but {expected} is next"
            return Halt(reason, "Outbox and contract do not belong together: check --registry and --ops-url")
        expected = candidate.batch.last + 1
    return None


def _decide_first(observation: Observation, candidate: Candidate) -> list[Action]:
    """Nothing is in flight: the next batch is sent only if it succeeds when tried out. Empty: send it."""
    tried = observation.tried
    if tried is None or (tried.batch, tried.revision) != (candidate.batch.batch, candidate.revision):
        return [TryOut(candidate)]
    if tried.trial.error == PAUSED:
        return [TryOut(candidate), Wait(f"settlement is paused by the guardian: {tried.trial.reason}")]
    if tried.trial.succeeds and observation.reverts >= REVERTS_MAX:
        reason = f"batch {candidate.batch.batch} reverted {observation.reverts} times, but succeeds when tried out"
        return [Halt(reason, "Look at its transactions: gas limit, or another settler in between")]
    if tried.trial.succeeds:
        return []
    return [Blame(candidate, tried.trial.reason) if tried.repeats >= TRIES - 1 else TryOut(candidate)]


def gas_of(batch: SettlementBatch, trial: Trial | None, gas_max: int, *, is_wary: bool = False) -> int:
    """Gas limit: what the batch needs if every slot and balance is fresh, but no more than closes one, or more if it
    was tried out and needs more; clamped. `is_wary`: what it needs if its accounts turn on it between match and
    settlement, which no trial tells of a batch behind others."""
    rules, orders, items = ITEMIZED_RULES, len(batch.orders), _items_of(batch)
    amm_fills = sum(fill.maker == AMM_MAKER for fill in batch.fills)
    bound = rules.gas(orders, len(batch.fills), amm_fills, items.resting, items)
    if is_wary:
        bound += rules.gas_per_order_turned * orders + rules.gas_per_row_turned * items.rows
    else:
        bound = min(BATCH_GAS_MAX, bound)
    measured = trial.gas * 115 // 100 if trial is not None else 0
    return min(gas_max, max(bound, measured))


def _items_of(batch: SettlementBatch) -> BatchItems:
    """At their most: who signed is not looked at, and markets may share a token."""
    orders = [signed.order for signed in batch.orders]
    accounts = {order.account for order in orders}
    rows = len(accounts) + 1 + len({(order.account, order.market) for order in orders})
    return BatchItems(
        resting=sum(not order.is_immediate for order in orders),
        rows=rows,
        fresh_rows=rows,
        markets=len({order.market for order in orders}),
        agents=len(orders),
        proofs=sum(signed.proof is not None for signed in batch.orders),
    )


def name_order(batch: SettlementBatch, trial: Trial) -> str:
    """Which order a revert speaks of: in the packed batch orders have other numbers than here. "" if of none."""
    orders = canonical(batch).orders
    if trial.error not in OF_AN_ORDER or not trial.arguments or trial.arguments[0] >= len(orders):
        return ""
    order = orders[trial.arguments[0]].order
    return f" (the order of {order.account} with nonce {order.nonce})"


class Settler:
    """A `cycle.Keeper`."""

    name = "settle"

    def __init__(
        self, rpc: Rpc, ops: Ops, sender: Sender, registry: Registry, lease: KeptLease, *, gas_max: int
    ) -> None:
        self._rpc, self._ops, self._sender = rpc, ops, sender
        self._registry, self._lease, self._gas_max = registry, lease, gas_max
        self._target = registry.address("Settlement")
        self._fee_account = registry.account("feeAccount")
        self._last_fill = 0
        self._cursor: int | None = None
        self._tried: Tried | None = None
        self._reverts: dict[str, int] = {}
        self._wary_until = 0
        """The last batch that gets gas for the worst: more for all would be fewer a block."""
        self._decoded: dict[tuple[int, int], SettlementBatch] = {}
        self._settled = 0
        self._waiting_for = ""

    async def prepare(self) -> None:
        await self._lease.acquire()
        await self._rpc.check_chain(self._registry.chain_id)
        await check_contracts(self._rpc, self._registry, ("Settlement",))
        await check_roles(self._rpc, self._registry, self.name, self._sender.address)
        await self._sender.start()

    async def observe(self) -> Observation:
        self._lease.check()
        self._note(await self._sender.advance())
        last_fill = await self._rpc.read(_question(self._target))
        if self._cursor is None or last_fill < self._last_fill:
            self._cursor = self._find_cursor(last_fill)
        self._last_fill = last_fill
        open_rows = {row.job: row.state for row in self._sender.open()}
        candidates = []
        for row in self._ops.outbox_after(KIND, self._cursor, WINDOW):
            batch = self._batch(row.key, row.revision, row.payload)
            if batch.last <= last_fill:
                self._cursor = row.key
                self._decoded.pop((row.key, row.revision), None)
                continue
            candidates.append(Candidate(batch, row.revision, self._state(row.key, open_rows)))
        reverts = self._reverts.get(f"{KIND}:{candidates[0].batch.batch}", 0) if candidates else 0
        return Observation(last_fill, tuple(candidates), self._sender.room(), self._tried, reverts)

    def decide(self, observation: Observation) -> Sequence[Action]:
        return decide(observation)

    async def act(self, action: Action) -> bool:
        self._waiting_for = ""
        match action:
            case TryOut(candidate):
                return await self._try_out(candidate)
            case Send(candidate):
                await self._send(candidate)
            case Blame(candidate, reason):
                await self._blame(candidate, reason)
            case Wait(reason):
                self._waiting_for = reason
                _log.info("wait", reason=reason)
            case Halt(reason, remedy):
                raise TransactionFailed(reason, remedy=remedy)
        return False

    async def drain(self) -> int:
        self._lease.check()
        self._note(await self._sender.advance())
        return len(self._sender.open())

    async def close(self) -> None:
        self._lease.release()
        await self._rpc.aclose()

    def describe(self) -> dict[str, object]:
        return {
            "lastFill": self._last_fill,
            "inFlight": len(self._sender.open()),
            "settledBatches": self._settled,
            "waitingFor": self._waiting_for,
            "requests": self._rpc.requests,
        }

    async def _try_out(self, candidate: Candidate) -> bool:
        batch = candidate.batch
        trial = await try_out(self._rpc, self._target, self._calldata(batch), self._sender.address)
        last = self._tried
        is_same = last is not None and (last.batch, last.revision, last.trial.reason) == (
            batch.batch,
            candidate.revision,
            trial.reason,
        )
        repeats = last.repeats + 1 if last is not None and is_same else 0
        self._tried = Tried(batch.batch, candidate.revision, trial, repeats)
        if not trial.succeeds and trial.error != PAUSED:
            _log.error("reverts", batch=batch.batch, reason=trial.reason, repeats=repeats)
        return trial.succeeds

    async def _send(self, candidate: Candidate) -> None:
        batch = candidate.batch
        trial = self._tried.trial if self._tried is not None and self._tried.batch == batch.batch else None
        gas = gas_of(batch, trial, self._gas_max, is_wary=batch.batch <= self._wary_until)
        job = f"{KIND}:{batch.batch}"
        row = await self._sender.send(job, self._target, self._calldata(batch), gas, candidate.revision)
        self._tried = None
        if row is not None:
            _log.info(
                "sent", batch=batch.batch, first=batch.first, last=batch.last, nonce=row.nonce, gas=gas, hash=row.hash
            )

    async def _blame(self, candidate: Candidate, reason: str) -> None:
        """Finds the first fill with which the batch reverts, by trying out ever shorter parts of it; then halts. The
        fills of a fill-or-kill order are one to the contract: the first of them stands for all."""
        batch = candidate.batch
        remedy = "Mend the cause, then start the keeper again"
        whole = await self._try_part(batch, len(batch.fills))
        if whole.succeeds or whole.error in ("NotConsecutive", PAUSED):  # it lagged, or lags
            self._tried = None
            return
        if whole.error in NOT_A_FILL:
            raise TransactionFailed(f"batch {batch.batch} reverts: {whole.reason}", remedy=remedy)
        places = [0, *places_to_cut(batch)]
        good, bad = 0, len(places) - 1
        while bad - good > 1:
            middle = (good + bad) // 2
            if (await self._try_part(batch, places[middle])).succeeds:
                good = middle
            else:
                bad = middle
        fill = batch.first + places[good]
        last = await self._try_part(batch, places[bad])
        cause = f"{last.reason or reason}{name_order(cut_batch(batch, places[bad]), last)}"
        raise TransactionFailed(
            f"fill {fill} sinks batch {batch.batch} (fills {batch.first} to {batch.last}): {cause}",
            remedy=f"`hooats market take-back {fill} --reason …` with an operator's key, then start the keeper again",
        )

    async def _try_part(self, batch: SettlementBatch, fills: int) -> Trial:
        calldata = self._calldata(cut_batch(batch, fills))
        return await try_call(self._rpc, self._target, calldata, self._sender.address)

    def _calldata(self, batch: SettlementBatch) -> bytes:
        """A batch that has no packed form stops the keeper: trying again would change nothing."""
        try:
            return settle_calldata(batch, self._fee_account)
        except InvalidInput as error:
            remedy = error.remedy or "Take the fill back (`hooats market take-back`), then start the keeper again"
            raise TransactionFailed(f"batch {batch.batch}: {error.message}", remedy=remedy) from error

    def _note(self, ended: Sequence[Transaction]) -> None:
        for row in ended:
            if row.state is TransactionState.FINAL:
                self._settled += 1
                self._reverts.pop(row.job, None)
                _log.info("final", job=row.job, block=row.block_number, hash=row.hash)
            else:
                first = (self._cursor or 0) + 1
                if row.job == f"{KIND}:{first}" and "reverted" in row.error:
                    self._reverts[row.job] = self._reverts.get(row.job, 0) + 1  # those behind it could only revert
                    self._wary_until = first + WARY_BATCHES
                _log.warning("failed", job=row.job, reason=row.error, hash=row.hash)

    def _state(self, key: int, open_rows: dict[str, TransactionState]) -> TransactionState | None:
        job = f"{KIND}:{key}"
        if job in open_rows:
            return open_rows[job]
        row = self._ops.transaction_of(job)
        return row.state if row is not None and row.state is TransactionState.FINAL else None

    def _batch(self, key: int, revision: int, payload: str) -> SettlementBatch:
        if (key, revision) not in self._decoded:
            self._decoded[key, revision] = _decode(payload)
        return self._decoded[key, revision]

    def _find_cursor(self, last_fill: int) -> int:
        """The highest key whose batch, and all before it, ended at or before `last_fill`: by bisection."""
        low, step = 0, 1
        while self._ends_by(low + step, last_fill):
            low, step = low + step, step * 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            if self._ends_by(middle, last_fill):
                low = middle
            else:
                high = middle
        return low

    def _ends_by(self, key: int, last_fill: int) -> bool:
        row = self._ops.outbox_row(KIND, key)
        return row is not None and _decode(row.payload).last <= last_fill


def _question(target: Address) -> Query[int]:
    asked = questions.call(target, Settlement.last_fill.encode())
    return Query(asked.method, asked.params, lambda value: int(Settlement.last_fill.decode(asked.parse(value))[0]))
