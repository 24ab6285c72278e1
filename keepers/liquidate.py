"""The liquidate keeper: positions that fell below their maintenance ratio, closed with the liquidator's own synth.

Invariant: it only asks SynthIssuer to do what anyone may ask; whether a position may be liquidated, at which price and
for how much, is decided there. The synth that it burns leaves its own Vault account, so that it needs the exchange's
countersignature (`--api`). A position that is worth less than its debt goes to the insurance account, which costs only
gas. Deliberately no trading: the operator keeps the account stocked with synths, and sells what it earns.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import structlog

from keepers.lease import KeptLease
from keepers.trial import try_out
from offchain.chain import rpc as questions
from offchain.chain.abi import Function
from offchain.chain.contracts import PriceOracle, SynthIssuer, Vault
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.rpc import Query, Rpc
from offchain.chain.transactions import Sender
from offchain.client import Approval
from offchain.domain.errors import HooatsError
from offchain.domain.market import Market, format_atoms
from offchain.domain.units import Address, from_hex
from offchain.storage.ops import Ops
from offchain.storage.transactions import TransactionState

KIND = "liquidation"
POSITIONS_PER_CALL = 100
RETRY_SECONDS = 15
"""After a refusal, by the chain's time: the price, the grace or the countersignature may change."""
MARKETS_SECONDS = 10

_log = structlog.get_logger()


class Exchange(Protocol):
    """The part of `offchain.client.HooatsClient` that this keeper uses."""

    async def markets(self) -> dict[str, Market]: ...

    async def approval(self, purpose: str, token: str, amount: str) -> Approval: ...

    async def close(self) -> None: ...


class Weak(NamedTuple):
    """A position that may be liquidated now. `debt` is what the contract lets a liquidator repay; 0 if its collateral
    is worth less than its debt, and the position is for the insurance account. All in atoms."""

    synth: Address
    symbol: str
    account: Address
    debt: int
    decimals: int
    is_busy: bool
    """A transaction about it is in flight."""


class Observation(NamedTuple):
    """`stock`: synth atoms in the liquidator's Vault account, by token."""

    weak: tuple[Weak, ...]
    stock: dict[Address, int]
    room: int


class Liquidate(NamedTuple):
    position: Weak
    debt: int


class Absorb(NamedTuple):
    position: Weak


class Warn(NamedTuple):
    reason: str


Action = Liquidate | Absorb | Warn


def decide(observation: Observation) -> list[Action]:
    """Largest debts first, as far as the stock reaches."""
    actions: list[Action] = []
    stock, room = dict(observation.stock), observation.room
    for position in sorted(observation.weak, key=lambda item: (-item.debt, item.account)):
        if position.is_busy:
            continue
        if room == 0:
            break
        if position.debt == 0:
            actions.append(Absorb(position))
            room -= 1
            continue
        debt = min(position.debt, stock.get(position.synth, 0))
        if debt == 0:
            actions.append(Warn(f"no {position.symbol} in the Vault account to liquidate {position.account} with"))
            continue
        stock[position.synth] -= debt
        actions.append(Liquidate(position, debt))
        room -= 1
    return actions


class Book(NamedTuple):
    """One synth: how it is called, its terms and its accepted price (units per 1e18 atoms)."""

    synth: Address
    symbol: str
    token: str
    """Its name at the exchange."""
    decimals: int
    maintenance_percent: int
    price: int


def value_up(book: Book, debt: int) -> int:
    """Units that the debt is worth at the accepted price. Twin: SynthIssuer."""
    return -(-debt * book.price // 10**18)


def is_weak(book: Book, collateral: int, debt: int) -> bool:
    """Below the maintenance ratio."""
    return debt > 0 and collateral * 100 < value_up(book, debt) * book.maintenance_percent


class Liquidator:
    """A `cycle.Keeper`."""

    name = "liquidate"

    def __init__(
        self, rpc: Rpc, ops: Ops, sender: Sender, registry: Registry, lease: KeptLease, exchange: Exchange
    ) -> None:
        self._rpc, self._ops, self._sender = rpc, ops, sender
        self._registry, self._lease, self._exchange = registry, lease, exchange
        self._issuer, self._vault = registry.address("SynthIssuer"), registry.address("Vault")
        self._oracle = registry.address("PriceOracle")
        self._retry_at: dict[str, int] = {}
        self._markets: list[Market] = []
        self._markets_until = 0
        self._weak = 0
        self._counts = {"liquidated": 0, "absorbed": 0}
        self._warned: set[str] = set()

    async def prepare(self) -> None:
        await self._lease.acquire()
        await self._rpc.check_chain(self._registry.chain_id)
        await check_contracts(self._rpc, self._registry, ("SynthIssuer", "PriceOracle", "Vault"))
        await self._sender.start()

    async def observe(self) -> Observation:
        self._lease.check()
        for row in await self._sender.advance():
            is_final = row.state is TransactionState.FINAL
            if is_final:
                self._counts["absorbed" if ":absorb:" in row.job else "liquidated"] += 1
            _log.info("final" if is_final else "failed", job=row.job, hash=row.hash, reason=row.error)
        weak: list[Weak] = []
        stock: dict[Address, int] = {}
        for book in await self._books():
            found = await self._weak_positions(book)
            if found:
                own = await self._read(self._vault, Vault.debitable, self._sender.address, book.synth)
                stock[book.synth] = int(own[0])
            weak += found
        self._weak = len(weak)
        return Observation(tuple(weak), stock, self._sender.room())

    def decide(self, observation: Observation) -> Sequence[Action]:
        return decide(observation)

    async def act(self, action: Action) -> bool:
        match action:
            case Liquidate(position, debt):
                await self._liquidate(position, debt)
            case Absorb(position):
                calldata = SynthIssuer.absorb.encode(position.account, position.synth)
                await self._send(position, calldata, "absorb")
            case Warn(reason):
                if reason not in self._warned:
                    self._warned.add(reason)
                    _log.warning("cannot", reason=reason)
        return False

    async def drain(self) -> int:
        self._lease.check()
        await self._sender.advance()
        return len(self._sender.open())

    async def close(self) -> None:
        self._lease.release()
        await self._exchange.close()
        await self._rpc.aclose()

    def describe(self) -> dict[str, object]:
        return {
            "inFlight": len(self._sender.open()),
            "weak": self._weak,
            "done": dict(self._counts),
            "requests": self._rpc.requests,
        }

    # --- what there is ---

    async def _books(self) -> list[Book]:
        """Every listed synth that has terms and a price that is not stale."""
        books = []
        for market in await self._listed():
            terms, reading = await self._rpc.read_both(
                _asked(self._issuer, SynthIssuer.terms_of, market.base_token),
                _asked(self._oracle, PriceOracle.price_of, market.base_token),
            )
            (_, _, maintenance, _), (price, at, _, max_age) = terms[0], reading
            if maintenance and price and self._sender.chain_time <= at + max_age:
                token = market.symbol.partition("-")[0]
                books.append(
                    Book(market.base_token, market.symbol, token, market.base_decimals, maintenance, int(price))
                )
        return books

    async def _listed(self) -> list[Market]:
        """The exchange's markets; those known already while it does not answer, since absorbing needs no exchange."""
        now = self._sender.chain_time
        if now >= self._markets_until:
            try:
                self._markets = list((await self._exchange.markets()).values())
            except HooatsError as error:
                _log.warning("exchange", reason=str(error))
            self._markets_until = now + MARKETS_SECONDS
        return self._markets

    async def _weak_positions(self, book: Book) -> list[Weak]:
        weak, start = [], 0
        while True:
            accounts, positions = await self._read(
                self._issuer, SynthIssuer.positions_of, book.synth, start, POSITIONS_PER_CALL
            )
            for account, (collateral, debt) in zip(accounts, positions, strict=True):
                if is_weak(book, collateral, debt):
                    is_under_water = collateral < value_up(book, debt)
                    owner = Address(str(account).lower())
                    found = await self._confirm(book, owner, is_under_water)
                    weak += [found] if found is not None else []
            start += len(accounts)
            if len(accounts) < POSITIONS_PER_CALL:
                return weak

    async def _confirm(self, book: Book, account: Address, is_under_water: bool) -> Weak | None:
        """The contract's own word: no grace after an outage, no insurance account, no shut-down synth. Asked for is
        the most that may be repaid: if that falls until it is mined, the contract gives the rest back."""
        job = _job(book.synth, account)
        if self._retry_at.get(job, 0) > self._sender.chain_time:
            return None
        may, most = await self._rpc.read_both(
            _asked(self._issuer, SynthIssuer.is_liquidatable, account, book.synth),
            _asked(self._issuer, SynthIssuer.liquidatable_debt, account, book.synth),
        )
        if not may[0]:
            return None
        is_busy = any(row.job.startswith(job) for row in self._sender.open())
        debt = 0 if is_under_water else int(most[0])
        return Weak(book.synth, book.token, account, debt, book.decimals, is_busy)

    async def _read(self, target: Address, function: Function, *arguments: object) -> tuple[Any, ...]:
        return await self._rpc.read(_asked(target, function, *arguments))

    # --- what is done about it ---

    async def _liquidate(self, position: Weak, debt: int) -> None:
        try:
            granted = await self._exchange.approval("burn", position.synth, format_atoms(debt, position.decimals))
        except HooatsError as refused:
            self._postpone(position, str(refused))
            return
        signature = from_hex(granted.signature or "0x")
        authorization = (int(granted.nonce), granted.deadline, signature)
        calldata = SynthIssuer.liquidate.encode(position.account, position.synth, debt, 0, authorization)
        await self._send(position, calldata, "liquidate")

    async def _send(self, position: Weak, calldata: bytes, what: str) -> None:
        trial = await try_out(self._rpc, self._issuer, calldata, self._sender.address)
        if not trial.succeeds:
            self._postpone(position, trial.reason)
            return
        job = f"{_job(position.synth, position.account)}:{what}:{self._sender.chain_time}"
        row = await self._sender.send(job, self._issuer, calldata, trial.gas * 13 // 10)
        if row is not None:
            _log.info("sent", what=what, account=position.account, synth=position.symbol, hash=row.hash)

    def _postpone(self, position: Weak, reason: str) -> None:
        self._retry_at[_job(position.synth, position.account)] = self._sender.chain_time + RETRY_SECONDS
        _log.warning("refused", account=position.account, synth=position.symbol, reason=reason)


def _job(synth: Address, account: Address) -> str:
    return f"{KIND}:{synth}:{account}"


def _asked(target: Address, function: Function, *arguments: object) -> Query[tuple[Any, ...]]:
    asked = questions.call(target, function.encode(*arguments))
    return Query(asked.method, asked.params, lambda value: function.decode(asked.parse(value)))
