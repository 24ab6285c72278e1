"""Everything the machine remembers, and the events of the command that is running.

Invariant: nothing here decides; the modules around it do, and only while `Engine.apply` runs.
"""

from offchain.domain.batch import BatchRules
from offchain.domain.chainlog import AmmLegSettled
from offchain.domain.command import OpenVenue
from offchain.domain.event import (
    AccountRestricted,
    AgentChanged,
    AnyEvent,
    BalanceChanged,
    CommandRejected,
    Diverged,
    IndexLowered,
    MarketRequested,
    RejectReason,
    VenueStateChanged,
)
from offchain.domain.units import Address
from offchain.engine.approvals import Approvals
from offchain.engine.book import Book
from offchain.engine.fills import Backlog
from offchain.engine.gate import Gate
from offchain.engine.ledger import Balance, Ledger
from offchain.engine.orders import Account, Orders, Ticket
from offchain.engine.pools import Pool
from offchain.engine.timers import Timers


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
        "changed_books",
        "epoch",
        "epoch_count",
        "epoch_first",
        "epoch_volume",
        "event_sequence",
        "events",
        "expiries",
        "expiring",
        "gate",
        "ledger",
        "loss",
        "maker_fee_ppm",
        "operators",
        "orders",
        "pools",
        "requested",
        "separator",
        "sequence",
        "taker_fee_ppm",
        "tokens",
        "venue",
        "withdrawn",
    )

    def __init__(self) -> None:
        self.sequence = 0
        self.at = 0
        self.events: list[AnyEvent] = []
        self.venue: OpenVenue | None = None
        self.separator = b""
        """EIP-712 domain separator of Settlement."""
        self.maker_fee_ppm = 0
        self.taker_fee_ppm = 0
        self.accounts: dict[Address, Account] = {}
        """Accounts that a chain log has named; nobody else can make the state grow."""
        self.tokens: dict[Address, None] = {}
        """The settlement token, and every token that a chain log has named."""
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
        self.changed_books: list[Book] = []
        self.ledger = Ledger()
        self.orders = Orders()
        self.expiries = Timers()
        """Expiry of resting orders, in millis, by sequence."""
        self.expiring: dict[int, Ticket] = {}
        self.backlog = Backlog(0, 0, BatchRules())
        self.approvals = Approvals()
        self.gate = Gate()
        self.epoch = 1
        self.epoch_first = 1
        self.epoch_volume = 0
        self.epoch_count = 0
        self.event_sequence = 0
        self.block_number = 0
        self.block_time = 0

    @property
    def quote_token(self) -> Address:
        assert self.venue is not None
        return self.venue.quote_token

    def account(self, address: Address) -> Account:
        """The account, opened if the chain has not named it before."""
        account = self.accounts.get(address)
        if account is None:
            account = self.accounts[address] = Account(address)
        return account

    # --- expiry of resting orders ---

    def expire_at(self, ticket: Ticket) -> None:
        self.expiries.set(ticket.sequence, ticket.order.expiry * 1000)
        self.expiring[ticket.sequence] = ticket

    def forget_expiry(self, ticket: Ticket) -> None:
        if self.expiring.pop(ticket.sequence, None) is not None:
            self.expiries.cancel(ticket.sequence)

    # --- what the running command says ---

    def reject(self, reason: RejectReason) -> None:
        self.events.append(CommandRejected(reason=reason))

    def diverge(self, what: str, expected: object, observed: object) -> None:
        """The chain says something else: announce it and halt for good."""
        self.gate.diverge()
        self.events.append(Diverged(what=what, expected=str(expected), observed=str(observed)))

    def refresh_gate(self) -> None:
        if self.gate.is_stale and self.gate.refresh():
            self.events.append(VenueStateChanged(state=self.gate.state, reason=self.gate.reason))

    def take_events(self) -> tuple[AnyEvent, ...]:
        """Everything since the last call: what happened, then levels and balances as they are now."""
        events = self.events
        self._restrict()
        for book in self.changed_books:
            events.extend(book.take_changes())
        self.changed_books.clear()
        for balance in self.ledger.touched:
            balance.is_touched = False
            events.append(balance_event(balance))
        self.ledger.touched.clear()
        taken = tuple(events)
        events.clear()
        return taken

    def _restrict(self) -> None:
        """An account is cancel-only while one of its balances is not covered; told once, as it is in the end."""
        were: dict[Address, bool] = {}
        for balance in self.ledger.touched:
            is_uncovered = balance.settled + balance.pending < balance.held + balance.leaving
            if is_uncovered == balance.is_uncovered:
                continue
            balance.is_uncovered = is_uncovered
            account = self.accounts[balance.account]
            were.setdefault(account.address, account.uncovered > 0)
            account.uncovered += 1 if is_uncovered else -1
        for address, was in were.items():
            is_restricted = self.accounts[address].uncovered > 0
            if is_restricted != was:
                self.events.append(AccountRestricted(account=address, cancel_only=is_restricted))


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
