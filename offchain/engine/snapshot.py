"""The whole state as canonical bytes, and back.

Invariant: equal states give equal bytes, however they were reached: every table is sorted by its key (what is kept in
order of arrival is listed in it), empty balances are left out, and what follows from other rows is not stored. Rows are
spelled out here, so that a field added to a command or event changes no old state hash. MessagePack in its shortest
form; amounts as decimal text, because they exceed 64 bits. What came later is in a last table by name, which is left
out while all of it is as it was before there was such a thing: old states keep their hashes.
"""

from collections.abc import Container
from typing import Any

import msgspec

from offchain.domain.command import OpenVenue
from offchain.domain.eip712 import domain_separator
from offchain.domain.event import ApprovalGranted, OrderRejected
from offchain.domain.limits import SEQUENCE_MAX
from offchain.domain.market import Market, MarketState
from offchain.domain.order import ORDER_FRAME, OrderStatus
from offchain.domain.reasons import CloseReason, RejectReason, VenueState
from offchain.domain.units import Address, Ticks, fee_up, from_hex
from offchain.engine.accepted import Places, Row, accepted_row, closed_rows, name_of, remember_closed
from offchain.engine.approvals import Spent
from offchain.engine.book import Book
from offchain.engine.fills import Backlog, Batch, Fill, FillState
from offchain.engine.memory import Memory
from offchain.engine.orders import Account, Ticket
from offchain.engine.snapshot_later import later_tables, read_agents, read_later, read_rules, texts, waiting_sequences
from offchain.engine.snapshot_rules import read_parts
from offchain.engine.state import State
from offchain.engine.trading import rest

VERSION = 1
_MAX_FEE = 10
"""Its place in an order's frame."""
_ACCOUNTS = 5
"""Its place among the tables behind the version."""
_AccountRow = tuple[Address, int, list[tuple[int, int]], str, list[msgspec.Raw], list[Any]]
_decode_tables = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_accounts = msgspec.msgpack.Decoder(list[_AccountRow]).decode

_VENUE = [
    "chain_id",
    "vault",
    "settlement",
    "commitment",
    "quote_token",
    "quote_decimals",
    "fee_account",
    "treasury_account",
    "insurance_account",
    "maker_fee_ppm",
    "taker_fee_ppm",
    "batch_interval_millis",
    "batch_gas_max",
    "fills_per_immediate_order_max",
]
_APPROVAL = ["nonce", "purpose", "account", "token", "destination", "as_cxpt", "owner_signature", "deadline"]
_APPROVAL_BIG = ["amount", "owner_nonce", "owner_deadline"]
_FLOW = ["deposits", "withdrawals", "minted", "burned", "locked"]
_BALANCE = ["settled", "pending", "owed", "held", "leaving", "requested"]


def encode(state: State) -> bytes:
    tickets = _tickets(state)
    tables = (
        VERSION,
        _scalars(state),
        None if state.venue is None else [getattr(state.venue, name) for name in _VENUE],
        sorted(state.tokens),
        [(token, *texts(flow, _FLOW)) for token, flow in sorted(state.ledger.flows.items())],
        [_book_row(state.books[number]) for number in sorted(state.books)],
        [_account_row(state.memory, state.accounts[address]) for address in sorted(state.accounts)],
        [
            (*key, *texts(balance, _BALANCE))
            for key, balance in sorted(state.ledger.balances.items())
            if not balance.is_empty
        ],
        [_ticket_row(tickets[sequence]) for sequence in sorted(tickets)],
        [_fill_row(state.backlog.unsettled[number]) for number in sorted(state.backlog.unsettled)],
        [tuple(state.backlog.batches[number]) for number in sorted(state.backlog.batches)],
        [
            ([getattr(approval, name) for name in _APPROVAL], texts(approval, _APPROVAL_BIG))
            for _, approval in sorted(state.approvals.open.items())
        ],
        [
            (nonce, spent.account, str(spent.owner_nonce), spent.owner_deadline)
            for nonce, spent in sorted(state.approvals.spent.items())
        ],
    )
    later = later_tables(state)
    return msgspec.msgpack.encode((*tables, later) if later else tables)


def decode(raw: bytes) -> State:
    """ValueError for bytes that are not a snapshot of this version."""
    try:
        version, *tables = _decode_tables(raw) or [msgspec.Raw()]
        if bytes(version) != msgspec.msgpack.encode(VERSION):
            raise ValueError(f"snapshot of unknown version {msgspec.msgpack.decode(version)}")
        accounts = _decode_accounts(tables.pop(_ACCOUNTS))
        read: list[Any] = [msgspec.msgpack.decode(table) for table in tables]
    except (IndexError, msgspec.MsgspecError) as error:
        raise ValueError(f"not a snapshot: {error}") from error
    read.insert(_ACCOUNTS, accounts)
    return _read(*read)


def _read(
    scalars: Row,
    venue: Row | None,
    tokens: list[Address],
    flows: list[Row],
    books: list[Row],
    accounts: list[Row],
    balances: list[Row],
    tickets: list[Row],
    fills: list[Row],
    batches: list[Row],
    approvals: list[Row],
    spent: list[Row],
    later: dict[str, Any] | None = None,
) -> State:
    state, later = State(), later or {}
    if venue is not None:
        operators, listed_state = later.get("venue", ((), MarketState.ACTIVE))
        rules = read_rules(later)
        new: dict[str, Any] = {"operators": tuple(operators), "listed_state": MarketState(listed_state)}
        new["batch_rules"], (new["order_rules"], _) = rules, later.get("order_rules", (0, 0))
        state.venue = OpenVenue(**dict(zip(_VENUE, venue, strict=True)), **new)
        state.separator = domain_separator(state.venue.chain_id, state.venue.settlement)
        state.backlog = Backlog(state.venue.batch_interval_millis, state.venue.batch_gas_max, rules)
    _read_scalars(state, scalars)
    state.tokens = dict.fromkeys(tokens)
    for token, *amounts in flows:
        _set_texts(state.ledger.flow(token), _FLOW, amounts)
    for row in books:
        _read_book(state, row)
    for row in accounts:
        _read_account(state, row)
    by_sequence = {}
    for row in balances:
        _read_balance(state, row)
    read_agents(state, later)
    read_parts(state, later)
    waiting, places = waiting_sequences(later), Places(state)
    for row in tickets:
        ticket = _read_ticket(state, places, row, waiting)
        by_sequence[ticket.sequence] = ticket
    state.take_events()  # Reading touched levels, of which nobody is told.
    _read_fills(state, fills, batches, by_sequence)
    for fields, amounts in approvals:
        values = dict(zip(_APPROVAL, fields, strict=True)) | dict(zip(_APPROVAL_BIG, map(int, amounts), strict=True))
        state.approvals.add(ApprovalGranted(**values))
        state.accounts[values["account"]].approvals += 1
    for nonce, account, owner_nonce, owner_deadline in spent:
        state.approvals.spend(nonce, Spent(account, int(owner_nonce), owner_deadline))
    read_later(state, later, by_sequence)
    state.backlog.resume()
    state.restrict_lanes()
    state.deadline = state.next_deadline()
    return state


# --- single values ---


def _scalars(state: State) -> Row:
    gate, backlog = state.gate, state.backlog
    return (
        (state.sequence, state.at, state.moment.maker_ppm, state.moment.taker_ppm),
        (state.epoch, state.epoch_first, str(state.epoch_volume), state.epoch_count),
        (state.event_sequence, state.block_number, state.block_time),
        (gate.operator, gate.operator_reason, gate.is_diverged, gate.oldest_at, gate.state, gate.reason),
        (backlog.last_fill, backlog.last_batch, backlog.decided_fill, backlog.decided_batch, backlog.open_first),
        backlog.deadline,
    )


def _read_scalars(state: State, row: Row) -> None:
    commands, epoch, chain, gate, numbers, state.backlog.deadline = row
    state.sequence, at, *fees = commands
    state.pass_time(at)
    state.set_fees(*fees)
    state.epoch, state.epoch_first, volume, state.epoch_count = epoch
    state.epoch_volume = int(volume)
    state.event_sequence, state.block_number, state.block_time = chain
    operator, state.gate.operator_reason, state.gate.is_diverged, oldest_at, announced, state.gate.reason = gate
    state.gate.operator, state.gate.state = MarketState(operator), VenueState(announced)
    backlog = state.backlog
    backlog.last_fill, backlog.last_batch, backlog.decided_fill, backlog.decided_batch, backlog.open_first = numbers
    state.gate.watch(oldest_at, state.at, backlog.estimate)


def _set_texts(target: object, names: list[str], amounts: list[str]) -> None:
    for name, amount in zip(names, amounts, strict=True):
        setattr(target, name, int(amount))


# --- markets, accounts ---


def _book_row(book: Book) -> Row:
    market = book.market
    units = str(market.base_atoms_per_lot), str(market.quote_atoms_per_tick_lot)
    decimals = market.base_decimals, market.quote_decimals
    return market.market, book.state, market.symbol, market.base_token, *units, *decimals


def _read_book(state: State, row: Row) -> None:
    number, market_state, symbol, base_token, base_atoms, quote_atoms, base_decimals, quote_decimals = row
    book = Book(
        Market(
            market=number,
            symbol=symbol,
            base_token=base_token,
            base_atoms_per_lot=int(base_atoms),
            quote_atoms_per_tick_lot=int(quote_atoms),
            base_decimals=base_decimals,
            quote_decimals=quote_decimals,
        ),
        state.touched_levels,
    )
    book.state = MarketState(market_state)
    state.books[number] = book


def _account_row(memory: Memory, account: Account) -> Row:
    return (
        account.address,
        account.nonces.floor,
        sorted((slot, nonce & SEQUENCE_MAX) for slot, nonce in account.nonces.slots.items()),
        str(account.locked),
        closed_rows(memory, account),
        [(from_hex(r.digest), r.market, r.client_order_id, r.reason) for r in account.rejected.values()],
    )


def _read_account(state: State, row: Row) -> None:
    address, floor, slots, locked, closed, rejected = row
    account = state.account(address)
    account.nonces.raise_floor(floor)
    account.nonces.slots |= {slot: slot << 48 | sequence for slot, sequence in slots}
    account.locked = int(locked)
    remember_closed(state.memory, account, closed)
    for digest, market, client_order_id, why in rejected:
        event = OrderRejected(
            digest=_hex(digest),
            account=address,
            market=market,
            client_order_id=client_order_id,
            reason=RejectReason(why),
        )
        state.memory.remember_rejected(account, event)


def _read_balance(state: State, row: Row) -> None:
    address, token, *amounts = row
    balance = state.ledger.of(address, token)
    balance.settled, pending, balance.owed, held, balance.leaving, balance.requested = map(int, amounts)
    balance.taken = held + balance.owed
    balance.funds = balance.settled + pending + balance.owed - balance.leaving
    state.ledger.touch(balance)


def _hex(raw: bytes) -> Any:
    return "0x" + raw.hex()


# --- orders that are open or in undecided fills, and those fills ---


def _tickets(state: State) -> dict[int, Ticket]:
    tickets = {ticket.sequence: ticket for account in state.accounts.values() for ticket in account.open.values()}
    for fill in state.backlog.unsettled.values():
        tickets.update((ticket.sequence, ticket) for ticket in fill.tickets)
    return tickets


_CLOSED_AS = {
    OrderStatus.OPEN: None,
    OrderStatus.CLOSED: CloseReason.FILLED,
    OrderStatus.CANCELED: CloseReason.CANCELED,
    OrderStatus.EXPIRED: CloseReason.EXPIRED,
}
"""A reason that leads to this status: that of an order in an undecided fill is kept with its account's closed ones."""


def _ticket_row(ticket: Ticket) -> Row:
    """One more element says whether its slot is fresh, and another one which agent signed it."""
    row = (
        ticket.order.to_frame(),
        ticket.signature,
        accepted_row(ticket),
        str(ticket.hold_per_lot),
        ticket.remaining,
        ticket.status,
    )
    if ticket.agent is not None:
        return (*row, ticket.is_fresh, ticket.agent.key)
    return (*row, True) if ticket.is_fresh else row


def _read_ticket(state: State, places: Places, row: Row, waiting: Container[int]) -> Ticket:
    frame, signature, accepted, per_lot, remaining, status, *more = row
    ticket = places.read(accepted)
    ticket.signature, ticket.max_fee_ppm = signature, ORDER_FRAME.unpack(frame)[_MAX_FEE]
    ticket.hold_per_lot, ticket.remaining, ticket.is_fresh = int(per_lot), remaining, bool(more and more[0])
    ticket.agent = ticket.account.agents[more[1]] if len(more) > 1 else None
    ticket.reason = _CLOSED_AS[OrderStatus(status)]
    if ticket.reason is None:
        state.memory.remember(ticket, name_of(accepted))
        if ticket.sequence not in waiting:
            rest(state, state.books[ticket.market].ladder(ticket.side), ticket)
        else:
            ticket.account.open[ticket.nonce] = ticket
            if ticket.expiry or ticket.agent is not None:
                state.expire_at(ticket)
    return ticket


def _fill_row(fill: Fill) -> Row:
    """With a pair: no maker, and the quote that follows from no order."""
    maker = 0 if fill.maker is None else fill.maker.sequence
    row = fill.number, fill.at, maker, fill.taker.sequence, fill.terms, fill.is_taken_back
    return (*row, str(fill.notional)) if fill.maker is None else row


def _read_fills(state: State, fills: list[Row], batches: list[Row], tickets: dict[int, Ticket]) -> None:
    backlog = state.backlog
    for number, at, maker_sequence, taker_sequence, terms, is_taken_back, *quote in fills:
        taker, maker = tickets[taker_sequence], None if quote else tickets[maker_sequence]
        size, maker_ppm, taker_ppm = terms
        notional = int(quote[0]) if maker is None else taker.trader.market.notional(Ticks(maker.price), size)
        fees = fee_up(notional, maker_ppm), fee_up(notional, taker_ppm)
        fill = Fill(number, at, maker, taker, size, maker_ppm, taker_ppm, notional, *fees)
        fill.is_taken_back = is_taken_back
        backlog.unsettled[number] = fill
        if number >= backlog.open_first:
            backlog.open_up(fill)
        else:
            fill.state = FillState.BATCHED
            backlog.occupy(fill)
    backlog.batches = {batch: Batch(batch, first, last) for batch, first, last in batches}
