"""The list keeper: markets that operators asked for, brought on chain with the lister's key.

Invariant: a step is sent only when the chain says that it is missing and that every step before it is done (see
chain/listing.py), so that a restart, or a lister who works by hand at the same time, does no harm. A market whose name
or number stands for something else on chain is left alone and reported; one whose step keeps reverting waits, is
reported, and is come back to; the others go on.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from keepers.lease import KeptLease
from keepers.trial import try_out
from offchain.chain import rpc as questions
from offchain.chain.listing import (
    CONTRACTS,
    ListingStep,
    TermsDiffer,
    decode_synth,
    listing_steps,
    predict_call,
)
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.roles import check_roles
from offchain.chain.rpc import Rpc, RpcRefused
from offchain.chain.transactions import Sender
from offchain.domain.event import MarketRequested, MarketWithdrawn
from offchain.domain.units import Address
from offchain.storage.ops import Ops
from offchain.storage.transactions import TransactionState

KIND = "market"
ROWS_MAX = 100
"""Requests that are looked at: so many may wait before the next one has to."""
RETRY_SECONDS = 10
"""After a trial that reverted, by the chain's time: the lister's role may be on its way."""
REVERTS_MAX = 3
"""So often in a row a step may revert before the next market has its turn."""
PAUSE_SECONDS_MAX = 600
"""What was put aside is tried again after pauses that double up to this."""

_log = structlog.get_logger()
_decode = msgspec.json.Decoder(MarketRequested | MarketWithdrawn).decode


class Reverts(NamedTuple):
    """How often in a row one step of a market reverted, why, and when it is tried again, by the chain's time."""

    step: int = -1
    times: int = 0
    reason: str = ""
    retry_at: int = 0

    @property
    def is_aside(self) -> bool:
        return self.times >= REVERTS_MAX

    def again(self, step: int, reason: str, now: int) -> "Reverts":
        times = self.times + 1 if step == self.step else 1
        doublings = min(max(times - REVERTS_MAX, 0), 30)
        return Reverts(step, times, reason, now + min(RETRY_SECONDS << doublings, PAUSE_SECONDS_MAX))


class Observation(NamedTuple):
    """`step` is the first that is missing, None if all are done; `obstacle` why the market can never be listed."""

    request: MarketRequested
    ordinal: int
    step: ListingStep | None
    obstacle: str
    state: TransactionState | None
    retry_at: int
    chain_time: int


class Send(NamedTuple):
    request: MarketRequested
    ordinal: int
    step: ListingStep


class Done(NamedTuple):
    request: MarketRequested


class GiveUp(NamedTuple):
    request: MarketRequested
    reason: str


Action = Send | Done | GiveUp


def decide(observation: Observation | None) -> list[Action]:
    """One step of one market at a time: each needs the one before."""
    if observation is None:
        return []
    request, step = observation.request, observation.step
    if observation.obstacle:
        return [GiveUp(request, observation.obstacle)]
    if step is None:
        return [Done(request)]
    is_waiting = observation.state not in (None, TransactionState.FAILED)
    if is_waiting or observation.retry_at > observation.chain_time:
        return []
    return [Send(request, observation.ordinal, step)]


def next_row(rows: Sequence[MarketRequested], reverts: Mapping[int, Reverts], now: int) -> MarketRequested | None:
    """The first outstanding request that is not put aside, or is due again; None while all of them wait."""
    for row in rows:
        found = reverts.get(row.market, Reverts())
        if not found.is_aside or found.retry_at <= now:
            return row
    return None


class Lister:
    """A `cycle.Keeper`."""

    name = "list"

    def __init__(
        self,
        rpc: Rpc,
        ops: Ops,
        sender: Sender,
        registry: Registry,
        lease: KeptLease,
        *,
        sources: Sequence[Address] = (),
    ) -> None:
        """`sources` feed the price of every new synth beside the posters."""
        self._rpc, self._ops, self._sender = rpc, ops, sender
        self._registry, self._lease, self._sources = registry, lease, tuple(sources)
        self._cursor = 0
        self._ended: set[int] = set()
        """Listed or given up, and above the cursor."""
        self._listed: list[str] = []
        self._given_up: dict[str, str] = {}
        self._reverts: dict[int, Reverts] = {}
        self._waiting: dict[str, str] = {}

    async def prepare(self) -> None:
        await self._lease.acquire()
        await self._rpc.check_chain(self._registry.chain_id)
        await check_contracts(self._rpc, self._registry, CONTRACTS)
        await check_roles(self._rpc, self._registry, self.name, self._sender.address)
        await self._sender.start()

    async def observe(self) -> Observation | None:
        self._lease.check()
        for row in await self._sender.advance():
            is_final = row.state is TransactionState.FINAL
            _log.info("final" if is_final else "failed", job=row.job, hash=row.hash, reason=row.error)
        request = self._next_request()
        if request is None:
            return None
        obstacle = ""
        try:
            index, step = await self._first_missing(request)
        except TermsDiffer as error:
            index, step, obstacle = 0, None, str(error)
        job = _job(request, index)
        known = self._ops.transaction_of(job)
        return Observation(
            request,
            index,
            step,
            obstacle,
            known.state if known is not None else None,
            self._reverts.get(request.market, Reverts()).retry_at,
            self._sender.chain_time,
        )

    def decide(self, observation: Observation | None) -> Sequence[Action]:
        return decide(observation)

    async def act(self, action: Action) -> bool:
        match action:
            case Send(request, index, step):
                return await self._send(request, index, step)
            case Done(request):
                _log.info("listed", market=request.market, symbol=request.symbol)
                self._listed.append(request.symbol)
                self._end(request)
            case GiveUp(request, reason):
                _log.error("given_up", market=request.market, symbol=request.symbol, reason=reason)
                self._given_up[request.symbol] = reason
                self._end(request)
        return True

    async def drain(self) -> int:
        self._lease.check()
        await self._sender.advance()
        return len(self._sender.open())

    async def close(self) -> None:
        self._lease.release()
        await self._rpc.aclose()

    def describe(self) -> dict[str, object]:
        """`waitingFor`: the step that reverts and why, by the symbol of the market that waits for it."""
        return {
            "inFlight": len(self._sender.open()),
            "listed": list(self._listed),
            "givenUp": dict(self._given_up),
            "waitingFor": dict(self._waiting),
            "requests": self._rpc.requests,
        }

    def _next_request(self) -> MarketRequested | None:
        """Of the outstanding ones; the cursor passes what has ended."""
        rows = [_decode(row.payload) for row in self._ops.outbox_after(KIND, self._cursor, ROWS_MAX)]
        for row in rows:
            if isinstance(row, MarketWithdrawn):
                self._end(row)
        while rows and rows[0].market in self._ended:
            self._cursor = rows.pop(0).market
            self._ended.discard(self._cursor)
        open_rows = [row for row in rows if isinstance(row, MarketRequested) and row.market not in self._ended]
        return next_row(open_rows, self._reverts, self._sender.chain_time)

    def _end(self, request: MarketRequested | MarketWithdrawn) -> None:
        self._ended.add(request.market)
        self._forget_reverts(request)

    def _forget_reverts(self, request: MarketRequested | MarketWithdrawn) -> None:
        self._reverts.pop(request.market, None)
        self._waiting.pop(request.symbol, None)

    async def _first_missing(self, request: MarketRequested) -> tuple[int, ListingStep | None]:
        factory = self._registry.address("SynthFactory")
        synth = decode_synth(await self._rpc.read(questions.call(factory, predict_call(request))))
        steps = listing_steps(self._registry, request, synth, self._sources)
        answers = await self._rpc.read_all([questions.call(step.asked, step.check) for step in steps])
        for index, (step, answer) in enumerate(zip(steps, answers, strict=True)):
            # A view that refuses to answer for what is not there yet says that it is missing.
            if isinstance(answer, RpcRefused) or not step.is_done(answer):
                return index, step
        return len(steps), None

    async def _send(self, request: MarketRequested, index: int, step: ListingStep) -> bool:
        trial = await try_out(self._rpc, step.target, step.calldata, self._sender.address)
        job = _job(request, index)
        if not trial.succeeds:
            before = self._reverts.get(request.market, Reverts())
            found = before.again(index, f"{step.label}: {trial.reason}", self._sender.chain_time)
            self._reverts[request.market], self._waiting[request.symbol] = found, found.reason
            _log.warning("reverts", step=step.label, reason=trial.reason, retry_at=found.retry_at)
            return False
        self._forget_reverts(request)
        row = await self._sender.send(job, step.target, step.calldata, trial.gas * 13 // 10)
        if row is not None:
            _log.info("sent", step=step.label, nonce=row.nonce, hash=row.hash)
        return False


def _job(request: MarketRequested, index: int) -> str:
    return f"{KIND}:{request.market}:{index}"
