"""All state of the venue, and the small steps that every command is made of.

Invariant: whatever is here is covered by the state hash; nothing else may influence a result.
"""

import heapq

from offchain.domain.command import OpenVenue
from offchain.domain.event import (
    AccountRestricted,
    AnyEvent,
    BatchClosed,
    CloseReason,
    OrderAccepted,
    OrderClosed,
    VenueState,
)
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Side
from offchain.domain.units import Address, Atoms, Digest
from offchain.engine.accounts import Account
from offchain.engine.book import Book, Level, Resting
from offchain.engine.fills import Batches
from offchain.engine.ledger import Balance, Ledger

Timer = tuple[int, int, str, str]
"""(deadline in milliseconds, id, kind, what): fires in this order. Kinds: expiry of a digest, batch of a number."""

STRICTNESS = {state: rank for rank, state in enumerate(VenueState)}


class Approval:
    """A countersigned hold that is neither used nor lapsed."""

    __slots__ = ("account", "amount", "deadline", "token")

    def __init__(self, account: Address, token: Address, amount: int, deadline: int) -> None:
        self.account = account
        self.token = token
        self.amount = amount
        self.deadline = deadline


class State:
    """Plain state; the rules are in the sibling modules."""

    def __init__(self) -> None:
        self.sequence = 0
        self.at = 0
        self.venue: OpenVenue | None = None
        self.separator = b""
        self.maker_fee_ppm = 0
        self.taker_fee_ppm = 0
        self.markets: dict[int, Market] = {}
        self.market_states: dict[int, MarketState] = {}
        self.books: dict[int, Book] = {}
        self.accounts: dict[Address, Account] = {}
        self.owners: dict[Digest, Address] = {}
        """Account of every open and recent order."""
        self.ledger = Ledger()
        self.batches = Batches()
        self.operator_state = VenueState.ACTIVE
        self.gate_state = VenueState.ACTIVE
        self.halted = False
        self.announced = VenueState.ACTIVE
        self.tokens: dict[Address, None] = {}
        self.requests: dict[tuple[Address, Address], int] = {}
        self.approvals: dict[int, Approval] = {}
        self.locked: dict[Address, int] = {}
        self.flows: dict[Address, int] = {}
        """Per token: deposits - withdrawals + minted - burned, as the chain reported them."""
        self.last_event_sequence = 0
        self.chain_block = (0, 0)
        self.epoch = 1
        self.epoch_first = 1
        self.epoch_count = 0
        self.epoch_volume = 0
        self.events: list[AnyEvent] = []
        self.timers: list[Timer] = []
        self.levels: dict[tuple[int, int, int], None] = {}
        """Price levels that the command touched."""

    # --- reading ---

    @property
    def state(self) -> VenueState:
        """The strictest of what the operator, the backlog gate and a divergence ask for."""
        halt = VenueState.HALTED if self.halted else VenueState.ACTIVE
        return max(self.operator_state, self.gate_state, halt, key=STRICTNESS.__getitem__)

    @property
    def quote(self) -> Address:
        assert self.venue is not None
        return self.venue.quote_token

    def balance(self, account: Address, token: Address) -> Balance:
        return self.ledger.of(account, token)

    def account(self, address: Address) -> Account:
        found = self.accounts.get(address)
        if found is None:
            found = self.accounts[address] = Account(address)
        return found

    def hold_of(self, resting: Resting) -> tuple[Address, Atoms]:
        """(token, atoms) that the remainder of an order holds."""
        token = self.quote if resting.order.side is Side.BUY else self.markets[resting.order.market].base_token
        return token, Atoms(resting.hold_per_lot * resting.remaining)

    # --- small steps ---

    def emit(self, event: AnyEvent) -> None:
        self.events.append(event)

    def touch_level(self, market: int, side: Side, level: Level) -> None:
        self.levels[market, int(side), level.price] = None

    def start_timer(self, deadline: int, identity: int, kind: str, what: str) -> None:
        heapq.heappush(self.timers, (deadline, identity, kind, what))

    def close_order(self, resting: Resting, reason: CloseReason) -> None:
        """The order leaves the book (if it rests), its hold is released, its result is remembered."""
        order = resting.order
        if resting.level is not None:
            self.touch_level(order.market, order.side, self.books[order.market].remove(resting))
        if resting.remaining:
            token, atoms = self.hold_of(resting)
            self.ledger.hold(order.account, token, -atoms)
        account = self.account(order.account)
        del account.open[resting.digest]
        if account.slot_orders.get(order.slot) == resting.digest:
            del account.slot_orders[order.slot]
        closed = OrderClosed(
            digest=resting.digest,
            account=order.account,
            market=order.market,
            reason=reason,
            filled_lots=resting.filled,
        )
        forgotten = account.remember(resting.digest, (accepted_event(resting, 0), closed))
        if forgotten is not None:
            del self.owners[forgotten]
        self.emit(closed)

    def close_batch(self) -> None:
        batch, first, last = self.batches.close()
        self.emit(BatchClosed(batch=batch, first=first, last=last))

    def cover(self, address: Address, token: Address) -> None:
        """Cancels the account's orders that hold this token, newest first, until its balance covers what is left.

        An account that owes even then may only cancel until it is covered again.
        """
        balance = self.balance(address, token)
        if balance.free - balance.leaving < 0:
            for resting in self.account(address).newest_first():
                if self.hold_of(resting)[0] == token:
                    self.close_order(resting, CloseReason.UNCOVERED)
                    if balance.free - balance.leaving >= 0:
                        break

    def restrict(self, address: Address) -> None:
        """Sets or lifts the restriction of an account by its balances."""
        account = self.account(address)
        owes = any(self.balance(address, token).free < 0 for token in self.tokens)
        if owes is not account.cancel_only:
            account.cancel_only = owes
            if owes:
                for resting in account.newest_first():
                    self.close_order(resting, CloseReason.UNCOVERED)
            self.emit(AccountRestricted(account=address, cancel_only=owes))


def accepted_event(resting: Resting, filled: int) -> OrderAccepted:
    order = resting.order
    return OrderAccepted(
        sequence=resting.sequence,
        at=resting.at,
        digest=resting.digest,
        account=order.account,
        subaccount=order.subaccount,
        market=order.market,
        side=int(order.side),
        kind=int(order.kind),
        time_in_force=int(order.time_in_force),
        flags=order.flags,
        price_ticks=order.price_ticks,
        size_lots=order.size_lots,
        nonce=order.nonce,
        expiry=order.expiry,
        client_order_id=resting.client_order_id,
        maker_fee_ppm=resting.maker_ppm,
        taker_fee_ppm=resting.taker_ppm,
        filled_lots=filled,
    )


def digest_of(raw: bytes) -> Digest:
    return Digest("0x" + raw.hex())
