"""Everything the machine remembers, and the events of the command that is running.

Invariant: nothing here decides; the modules around it do, and only while `Engine.apply` runs.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from offchain.domain.batch import BatchRules
from offchain.domain.chainlog import AmmLegSettled
from offchain.domain.command import OpenVenue
from offchain.domain.event import (
    AccountRestricted,
    AgentChanged,
    AmmFillMatched,
    AnyEvent,
    BalanceChanged,
    CommandRejected,
    Diverged,
    FillMatched,
    IndexLowered,
    MarketRequested,
    OrderClosed,
    VenueStateChanged,
)
from offchain.domain.limits import SEQUENCE_AHEAD_MILLIS_MAX
from offchain.domain.market import MarketState
from offchain.domain.reasons import CloseReason, RejectReason, VenueState
from offchain.domain.terms import TransferBetween
from offchain.domain.units import Address
from offchain.engine.approvals import Approvals
from offchain.engine.book import Book, level_changes, level_sizes
from offchain.engine.fills import NEVER, Backlog, Fill
from offchain.engine.gate import Gate
from offchain.engine.ledger import Balance, Ledger
from offchain.engine.memory import Known, Memory
from offchain.engine.orders import Account, Lane, Moment, PriceLevel, Ticket, Trader
from offchain.engine.parts import balance_events, part_of
from offchain.engine.pools import Pool
from offchain.engine.protection import Protection
from offchain.engine.relayed import Relayed
from offchain.engine.schedule import Schedule
from offchain.engine.timers import Timers
from offchain.engine.waiting import Waiting

Closing = tuple[CloseReason, Ticket]
Effect = AnyEvent | Ticket | Fill | Closing
"""What happened, as the machine notes it: an accepted order, a match and a closing are the machine's own objects, of
which events are made where somebody wants events."""


class Taken(NamedTuple):
    """What happened since it was taken last; `levels` and `balances` are those that changed. The machine goes on
    changing tickets and balances: what somebody needs of them as they are now, he has to note now."""

    effects: list[Effect]
    levels: list[tuple[int, int, int, int]]
    """(market, side, price, size)"""
    balances: list[Balance]
    known: Known
    """The machine's own, as they are now: orders by the bytes of their digests, every open one by its ticket."""
    accounts: Mapping[Address, Account]


class Guard:
    """Orders of an account that are to follow at `at`: by digest, whether they may enter."""

    __slots__ = ("account", "at", "done", "left", "orders")

    def __init__(self, account: Address, at: int, orders: dict[bytes, bool], left: int) -> None:
        self.account = account
        self.at = at
        self.orders = orders
        self.left = left
        """How many have not come yet."""
        self.done: dict[int, tuple[int, int]] = {}
        """Orders of the account that closed meanwhile, by nonce: market and what they filled. Others may wait for
        them."""


class State:
    __slots__ = (
        "accounts",
        "agents",
        "amm_legs",
        "approvals",
        "at",
        "backlog",
        "block_number",
        "block_time",
        "books",
        "deadline",
        "eased_until",
        "effects",
        "epoch",
        "epoch_count",
        "epoch_first",
        "epoch_volume",
        "event_sequence",
        "expiries",
        "expiring",
        "gate",
        "is_reordered",
        "is_watched",
        "lanes",
        "ledger",
        "loss",
        "memory",
        "moment",
        "newest_sequence",
        "operators",
        "order_rules",
        "owners",
        "pools",
        "protections",
        "relayed",
        "requested",
        "schedule",
        "seen",
        "separator",
        "sequence",
        "switched",
        "switches",
        "together",
        "tokens",
        "touched_balances",
        "touched_levels",
        "transfers",
        "uncovered",
        "venue",
        "waiting",
        "withdrawn",
    )

    def __init__(self) -> None:
        self.sequence = 0
        self.at = 0
        self.newest_sequence = SEQUENCE_AHEAD_MILLIS_MAX
        """The highest sequence that an order may have now."""
        self.effects: list[Effect] = []
        self.venue: OpenVenue | None = None
        self.separator = b""
        """EIP-712 domain separator of Settlement."""
        self.moment = Moment(0, 0, 0)
        """Now, and the fees of orders that are accepted now, but for tiers and discounts."""
        self.schedule: Schedule | None = None
        """Fee tiers and discounts, where there are any."""
        self.accounts: dict[Address, Account] = {}
        """Accounts that a chain log has named; nobody else can make the state grow."""
        self.owners: dict[bytes, Account] = {}
        """The same by the bytes of their addresses."""
        self.uncovered = 0
        """How many balances are announced as not covered."""
        self.tokens: dict[Address, None] = {}
        """The settlement token, and every token that a chain log has named."""
        self.order_rules = 0
        """Which orders there are; see `SetOrderRules`."""
        self.operators: tuple[Address, ...] = ()
        """Who may open and close markets."""
        self.agents: dict[tuple[Address, Address], AgentChanged] = {}
        """Who may sign for an account, by account and agent, as the chain said last."""
        self.loss: IndexLowered | None = None
        """The last one that the chain declared."""
        self.amm_legs: dict[int, AmmLegSettled] = {}
        """What the chain said of fills with pairs, until it says how the batch ended: in the same transaction."""
        self.pools: dict[int, Pool] = {}
        """The AMM pair of a market, as last observed."""
        self.requested: dict[int, MarketRequested] = {}
        """Every market that an operator asked for, listed by now or not: its symbols stay taken."""
        self.withdrawn: dict[int, None] = {}
        """Those of them that nobody wants any more: only their numbers stay taken."""
        self.books: dict[int, Book] = {}
        self.lanes: dict[bytes, Lane] = {}
        """What orders with the same terms have in common, as far as there were any."""
        self.touched_levels: list[PriceLevel] = []
        """Levels that changed since events were taken."""
        self.ledger = Ledger()
        self.touched_balances = self.ledger.touched
        """Balances that changed since events were taken: the ledger's own list."""
        self.memory = Memory()
        self.expiries = Timers()
        """Expiry of resting orders, in millis, by sequence."""
        self.expiring: dict[int, Ticket] = {}
        self.switches = Timers()
        """Dead-man switches, in millis, by the sequence of the command that set them."""
        self.switched: dict[int, Account] = {}
        """Whose they are."""
        self.together: Guard | None = None
        """Orders that are to follow at once."""
        self.waiting = Waiting()
        self.protections: dict[Address, dict[int, Protection]] = {}
        """Of market makers, by account and number."""
        self.transfers: dict[Address, OrderedDict[str, tuple[int, TransferBetween]]] = {}
        """By account and the id that it gave: when they were done, as a sequence; the oldest first."""
        self.seen = 0
        """Effects of which whoever waits has heard."""
        self.is_watched = False
        """Single orders have to be looked at more closely than the hot path does."""
        self.is_reordered = False
        """Some level may hold its orders in another order than that of their sequences."""
        self.deadline = NEVER
        """Nothing is due before."""
        self.eased_until = 0
        """The last fill that leaves the gate as it is, if only fills come."""
        self.backlog = Backlog(0, 0, BatchRules())
        self.approvals = Approvals()
        self.relayed = Relayed()
        self.gate = Gate()
        self.epoch = 1
        self.epoch_first = 1
        self.epoch_volume = 0
        self.epoch_count = 0
        self.event_sequence = self.block_number = self.block_time = 0

    @property
    def quote_token(self) -> Address:
        assert self.venue is not None
        return self.venue.quote_token

    def pass_time(self, at: int) -> None:
        if at != self.at:
            self.at = at
            self.newest_sequence = at + SEQUENCE_AHEAD_MILLIS_MAX
            self.set_fees(self.moment.maker_ppm, self.moment.taker_ppm)

    def set_fees(self, maker_ppm: int, taker_ppm: int) -> None:
        """For orders that are accepted from now on."""
        self.moment = Moment(self.at, maker_ppm, taker_ppm)

    def moment_for(self, account: Account | None) -> Moment:
        """Now, and the fees of what this account places now."""
        if self.schedule is None or account is None:
            return self.moment
        return self.schedule.moment(account.address, self.moment)

    def account(self, address: Address) -> Account:
        """The account, opened if the chain has not named it before."""
        account = self.accounts.get(address)
        if account is None:
            account = self.accounts[address] = Account(address)
            self.owners[account.key] = account
        return account

    def trader(self, book: Book, account: Account, subaccount: int = 0) -> Trader:
        """The account, or a part of it, in this market, from its first accepted order there on."""
        traders = book.traders_of(subaccount)
        trader = traders.get(account.key)
        if trader is None:
            assert self.venue is not None
            address, quote = account.address, self.venue.quote_token
            if subaccount:
                account.split()
            trader = traders[account.key] = Trader(
                account,
                book.market,
                quote=part_of(self.ledger, address, quote, subaccount),
                base=part_of(self.ledger, address, book.market.base_token, subaccount),
                fees=self.ledger.of(self.venue.fee_account, quote),
            )
        return trader

    def guard(self, guard: Guard | None) -> None:
        """Orders that are to follow at once, or no such orders any more."""
        self.together = guard
        self.watch()

    def watch(self) -> None:
        """What is watched changed."""
        if not self.is_watched:
            self.seen = len(self.effects)
        self.is_watched = self.together is not None or self.waiting.count > 0

    def touch_level(self, level: PriceLevel) -> None:
        if not level.is_touched:
            level.is_touched = True
            self.touched_levels.append(level)

    # --- expiry of resting orders, and dead-man switches ---

    def set_switch(self, account: Account, identity: int, deadline: int) -> None:
        account.switch = identity
        self.switches.set(identity, deadline)
        self.switched[identity] = account

    def expire_at(self, ticket: Ticket) -> None:
        deadline, agent = ticket.expiry * 1000, ticket.agent
        if agent is not None and (agent.ends_at < deadline or not deadline):
            deadline = agent.ends_at
        self.expiries.set(ticket.sequence, deadline)
        self.expiring[ticket.sequence] = ticket
        if deadline < self.deadline:
            self.deadline = deadline

    def forget_expiry(self, ticket: Ticket) -> None:
        if self.expiring.pop(ticket.sequence, None) is not None:
            self.expiries.cancel(ticket.sequence)

    def next_deadline(self) -> int:
        """Of the earliest timer; NEVER if there is none."""
        deadline = min(self.backlog.deadline, self.gate.deadline)
        for timers in (self.expiries, self.switches):
            earliest = timers.earliest()
            if earliest is not None and earliest[0] < deadline:
                deadline = earliest[0]
        return deadline

    # --- what the running command says ---

    def reject(self, reason: RejectReason) -> None:
        self.effects.append(CommandRejected(reason=reason))

    def diverge(self, what: str, expected: object, observed: object) -> None:
        """The chain says something else: announce it and halt for good."""
        self.gate.diverge()
        self.effects.append(Diverged(what=what, expected=str(expected), observed=str(observed)))

    def refresh_gate(self) -> None:
        if self.gate.is_stale and self.gate.refresh():
            self.effects.append(VenueStateChanged(state=self.gate.state, reason=self.gate.reason))
            self.restrict_lanes()

    def watch_backlog(self) -> None:
        """Something happened: the gate, and the next deadline."""
        backlog, gate = self.backlog, self.gate
        oldest_at, estimate = backlog.oldest_at, backlog.estimate
        if oldest_at != gate.oldest_at or estimate != gate.estimate:
            gate.watch(oldest_at, self.at, estimate)
        self.refresh_gate()
        self.deadline = self.next_deadline()
        self.eased_until = 0 if gate.oldest_at == NEVER else backlog.last_within(gate.estimate_max)

    def watch_growing_backlog(self) -> None:
        """The same where only fills came: nearly always there is nothing to do."""
        backlog = self.backlog
        if backlog.last_fill > self.eased_until:
            self.watch_backlog()
        elif backlog.deadline < self.deadline:
            self.deadline = backlog.deadline

    def restrict_lanes(self) -> None:
        """Market or venue changed their state, or there is a new lane."""
        is_active = self.gate.state is VenueState.ACTIVE
        for lane in self.lanes.values():
            is_open = is_active and self.books[lane.market.market].state is MarketState.ACTIVE
            lane.is_restricted = not is_open or lane.is_unusual or self.books[lane.market.market].band != (0, 0)

    def take_events(self) -> tuple[AnyEvent, ...]:
        """Everything since the last call: what happened, then levels and balances as they are now."""
        self.restrict_accounts()
        events = [event_of(effect) for effect in self.effects]
        self.effects.clear()
        self.seen = 0
        events.extend(level_changes(self.touched_levels))
        self.touched_levels.clear()
        if self.ledger.parts:
            events.extend(balance_events(self.ledger, self.ledger.touched))
        for balance in self.ledger.touched:
            balance.is_touched = False
            if not self.ledger.parts:
                events.append(balance_event(balance))
        self.ledger.touched.clear()
        return tuple(events)

    def take_effects(self) -> Taken:
        """`take_events`, for whom the machine's own objects will do. Not where accounts have parts: an event tells
        their sum."""
        assert not self.ledger.parts
        self.restrict_accounts()
        levels, balances = level_sizes(self.touched_levels), self.touched_balances.copy()
        taken = Taken(self.effects.copy(), levels, balances, self.memory.known, self.accounts)
        self.skip_events()
        return taken

    def skip_events(self) -> None:
        """What `take_events` does, for whom nobody is to be told."""
        self.restrict_accounts()
        self.effects.clear()
        self.seen = 0
        for level in self.touched_levels:
            level.settle()
        self.touched_levels.clear()
        for balance in self.ledger.touched:
            balance.is_touched = False
        self.ledger.touched.clear()

    def restrict_accounts(self) -> None:
        """An account is cancel-only while one of its balances is not covered; told once, as it is in the end."""
        were: dict[Address, bool] = {}
        for balance in self.ledger.touched:
            is_uncovered = balance.funds < balance.taken
            if is_uncovered == balance.is_uncovered:
                continue
            balance.is_uncovered = is_uncovered
            account = self.accounts[balance.account]
            were.setdefault(account.address, account.uncovered > 0)
            account.uncovered += 1 if is_uncovered else -1
            account.doubts += 1 if is_uncovered else -1
            self.uncovered += 1 if is_uncovered else -1
        for address, was in were.items():
            is_restricted = self.accounts[address].uncovered > 0
            if is_restricted != was:
                self.effects.append(AccountRestricted(account=address, cancel_only=is_restricted))


def event_of(effect: Effect) -> AnyEvent:
    if isinstance(effect, Ticket):
        return effect.accepted
    if isinstance(effect, Fill):
        return _amm_event(effect) if effect.maker is None else _fill_event(effect, effect.maker)
    if not isinstance(effect, tuple):
        return effect
    reason, ticket = effect
    return OrderClosed(
        digest=ticket.digest,
        account=ticket.trader.account.address,
        market=ticket.market,
        reason=reason,
        filled_lots=ticket.filled,
    )


def _fill_event(fill: Fill, maker: Ticket) -> FillMatched:
    taker = fill.taker
    return FillMatched(
        fill=fill.number,
        market=taker.market,
        at=fill.at,
        maker_digest=maker.digest,
        taker_digest=taker.digest,
        maker=maker.trader.account.address,
        taker=taker.trader.account.address,
        taker_side=taker.side,
        price_ticks=maker.price,
        size_lots=fill.size_lots,
        maker_fee_ppm=fill.maker_fee_ppm,
        taker_fee_ppm=fill.taker_fee_ppm,
        maker_fee=fill.maker_fee,
        taker_fee=fill.taker_fee,
    )


def _amm_event(fill: Fill) -> AmmFillMatched:
    taker = fill.taker
    return AmmFillMatched(
        fill=fill.number,
        market=taker.market,
        at=fill.at,
        taker_digest=taker.digest,
        taker=taker.trader.account.address,
        taker_side=taker.side,
        size_lots=fill.size_lots,
        quote=fill.notional,
        taker_fee_ppm=fill.taker_fee_ppm,
        taker_fee=fill.taker_fee,
    )


def balance_event(balance: Balance) -> BalanceChanged:
    return BalanceChanged(
        account=balance.account,
        token=balance.token,
        settled=balance.settled,
        pending=balance.pending,
        owed=balance.owed,
        held=balance.held,
        leaving=balance.leaving,
    )
