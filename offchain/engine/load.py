"""What a batch holds, as far as its gas depends on it.

Invariant: what counts is fixed when a fill is matched; what accounts do afterwards changes no estimate, so that replay,
snapshots and the order of other commands do not either.
"""

from collections.abc import Iterable, Sequence

from offchain.domain.batch import ONE_FILL, BatchItems, BatchRules
from offchain.domain.order import SIGNATURE_BYTES
from offchain.domain.units import Address
from offchain.engine.ledger import Balance, Ledger
from offchain.engine.orders import Account, Ticket
from offchain.engine.parts import parts_of

Row = tuple[Address, Address, bool, bool]
"""A balance that a fill changes, and what is known of the word that has it on chain: account, token, whether it may be
0 by then, whether a withdrawal is requested. Five are made for every match."""


def rows_of(
    balances: Iterable[Balance], accounts: dict[Address, Account], quote: Address, ledger: Ledger
) -> tuple[Row, ...]:
    """Asked before the fill is entered into the ledger.

    A word is surely not 0 if something stays even when all that is owed and all that leaves has gone; that of the
    settlement token never again once an immediate order of the account has settled, for it keeps its sequence.
    """
    rows = []
    for balance in balances:
        if accounts[balance.account].is_split:
            parts = parts_of(ledger, balance.account, balance.token)
            is_fresh = sum(part.settled - part.owed - part.leaving for part in parts) <= 0
            balance = parts[0]
        else:
            is_fresh = balance.settled <= balance.owed + balance.leaving
        token = balance.token
        if is_fresh and token == quote:
            is_fresh = 0 not in accounts[balance.account].settled_slots
        rows.append((balance.account, token, is_fresh, balance.requested > 0))
    return tuple(rows)


def looks_for(cancels: int) -> int:
    """Steps in which settlement finds out whether one of so many cancels is of an order."""
    return cancels.bit_length() + 1 if cancels else 0


class Load:
    """Counts distinct orders, balances and markets."""

    __slots__ = (
        "agents",
        "amm_fills",
        "fills",
        "fresh_rows",
        "looks",
        "markets",
        "orders",
        "proofs",
        "requests",
        "resting",
        "rows",
        "rules",
    )

    def __init__(self, rules: BatchRules) -> None:
        self.rules = rules
        self.orders: dict[int, bool] = {}
        """By sequence, and whether their slots are fresh."""
        self.fills = 0
        self.amm_fills = 0
        self.rows: dict[tuple[Address, Address], None] = {}
        self.markets: dict[int, None] = {}
        self.resting = 0
        self.fresh_rows = 0
        self.requests = 0
        self.looks = 0
        self.agents = 0
        self.proofs = 0

    @property
    def gas(self) -> int:
        """Upper bound, with what is counted so far."""
        of_rows = len(self.rows), self.fresh_rows, self.requests
        items = BatchItems(self.resting, *of_rows, self.looks, len(self.markets), self.agents, self.proofs)
        return self.rules.gas(len(self.orders), self.fills, self.amm_fills, sum(self.orders.values()), items)

    def fits(self, gas_max: int, more: int = 0) -> bool:
        """`more` fills of what is counted already."""
        gas = self.gas + more * self.rules.gas_per_fill
        return self.rules.fits(gas, gas_max, len(self.orders), len(self.rows))

    def room(self, gas_max: int, most: int) -> int:
        """So many fills of two orders, of `most` gas each, surely fit, and leave room for one more of those orders."""
        rules, of_row = self.rules, self.rules.gas_per_row_turned
        gas = self.gas + rules.gas_per_fill
        if not self.requests:
            gas += len(self.rows) * rules.gas_per_row_beside_request
        room = (gas_max - gas) // max(1, most)
        if rules.gas_turned_max:
            gas += len(self.orders) * rules.gas_per_order_turned + len(self.rows) * of_row
            most += 2 * rules.gas_per_order_turned + ONE_FILL.rows * of_row
            room = min(room, (rules.gas_turned_max - gas) // max(1, most))
        return room

    def copy(self) -> "Load":
        made = Load(self.rules)
        made.orders, made.rows, made.markets = self.orders.copy(), self.rows.copy(), self.markets.copy()
        made.fills, made.amm_fills, made.resting = self.fills, self.amm_fills, self.resting
        made.fresh_rows, made.requests, made.looks = self.fresh_rows, self.requests, self.looks
        made.agents, made.proofs = self.agents, self.proofs
        return made

    def add(self, tickets: Sequence[Ticket], rows: Sequence[Row], *, is_amm: bool) -> None:
        """One fill of these orders, which changes these balances."""
        self.fills += 1
        self.amm_fills += is_amm
        for ticket in tickets:
            self.add_order(ticket)
        self.add_rows(rows)

    def add_order(self, ticket: Ticket) -> None:
        if ticket.sequence in self.orders:
            return
        self.orders[ticket.sequence] = ticket.is_fresh
        self.markets[ticket.market] = None
        self.resting += not ticket.lane.is_immediate
        if ticket.agent is not None:
            self.agents += 1
            self.proofs += len(ticket.signature) != SIGNATURE_BYTES
        self.looks += looks_for(ticket.account.cancels)

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Of a balance that is counted already nothing new is learned."""
        for account, token, is_fresh, is_requested in rows:
            if (account, token) not in self.rows:
                self.rows[account, token] = None
                self.fresh_rows += is_fresh
                self.requests += is_requested
