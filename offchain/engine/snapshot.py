"""The whole state as canonical bytes, and back.

Invariant: equal states give equal bytes, however they were reached: every table is sorted by its key (what is kept in
order of arrival is listed in it), empty balances are left out, and what follows from other rows is not stored. Rows are
spelled out here, so that a field added to a command or event changes no old state hash. MessagePack in its shortest
form; amounts as decimal text, because they exceed 64 bits. What came later is in a last table by name, which is left
out while all of it is as it was before there was such a thing: old states keep their hashes.
"""

from typing import Any

import msgspec

from offchain.domain.batch import BatchRules
from offchain.domain.chainlog import AmmLegSettled
from offchain.domain.command import OpenVenue
from offchain.domain.eip712 import domain_separator
from offchain.domain.event import (
    AgentChanged,
    ApprovalGranted,
    CloseReason,
    IndexLowered,
    MarketRequested,
    OrderRejected,
    RejectReason,
    VenueState,
)
from offchain.domain.limits import SEQUENCE_MAX
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Order, OrderStatus, make_nonce
from offchain.domain.units import Address, Ticks, fee_up, from_hex
from offchain.engine.accepted import REASONS, Places, Row, accepted_row, name_of, read_accepted
from offchain.engine.agents import Agent
from offchain.engine.approvals import Spent
from offchain.engine.book import Book
from offchain.engine.fills import Backlog, Batch, Fill, FillState
from offchain.engine.orders import Account, Ticket
from offchain.engine.pools import Pool
from offchain.engine.state import State
from offchain.engine.trading import rest

VERSION = 1

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
_LEG = ["event_sequence", "block_number", "block_time", "transaction", "market", "fill", "is_buy"]
_REQUESTED = [
    "market",
    "symbol",
    "synth_symbol",
    "synth_name",
    "initial_percent",
    "maintenance_percent",
    "bonus_percent",
    "quorum",
    "max_age_seconds",
    "max_move_ppm_per_minute",
    "by",
]
_REQUESTED_BIG = ["base_atoms_per_lot", "quote_atoms_per_tick_lot", "ceiling"]
_RULES = [
    "fills_max",
    "gas_base",
    "gas_per_order",
    "gas_per_fresh_slot",
    "gas_per_fill",
    "gas_per_amm_fill",
    "is_fok_whole",
]
_ITEMIZED = [
    "gas_per_resting",
    "gas_per_row",
    "gas_per_fresh_row",
    "gas_per_request",
    "gas_per_row_beside_request",
    "gas_per_look",
    "gas_per_market",
    "gas_per_agent",
    "gas_per_proof",
]
_TURNED = ["gas_per_order_turned", "gas_per_row_turned", "gas_turned_max"]
_LOAD = ["fresh_rows", "requests", "looks"]
_LOSS = ["index", "new_index", "shortfall"]
_FLOW = ["deposits", "withdrawals", "minted", "burned", "locked"]
_BALANCE = ["settled", "pending", "owed", "held", "leaving", "requested"]


def encode(state: State) -> bytes:
    tickets = _tickets(state)
    tables = (
        VERSION,
        _scalars(state),
        None if state.venue is None else [getattr(state.venue, name) for name in _VENUE],
        sorted(state.tokens),
        [(token, *_texts(flow, _FLOW)) for token, flow in sorted(state.ledger.flows.items())],
        [_book_row(state.books[number]) for number in sorted(state.books)],
        [_account_row(state.accounts[address]) for address in sorted(state.accounts)],
        [
            (*key, *_texts(balance, _BALANCE))
            for key, balance in sorted(state.ledger.balances.items())
            if not balance.is_empty
        ],
        [_ticket_row(tickets[sequence]) for sequence in sorted(tickets)],
        [_fill_row(state.backlog.unsettled[number]) for number in sorted(state.backlog.unsettled)],
        [tuple(state.backlog.batches[number]) for number in sorted(state.backlog.batches)],
        [
            ([getattr(approval, name) for name in _APPROVAL], _texts(approval, _APPROVAL_BIG))
            for _, approval in sorted(state.approvals.open.items())
        ],
        [
            (nonce, spent.account, str(spent.owner_nonce), spent.owner_deadline)
            for nonce, spent in sorted(state.approvals.spent.items())
        ],
    )
    later = _later(state)
    return msgspec.msgpack.encode((*tables, later) if later else tables)


def decode(raw: bytes) -> State:
    """ValueError for bytes that are not a snapshot of this version."""
    try:
        version, *tables = msgspec.msgpack.decode(raw)
    except (TypeError, ValueError, msgspec.DecodeError) as error:
        raise ValueError(f"not a snapshot: {error}") from error
    if version != VERSION:
        raise ValueError(f"snapshot of unknown version {version}")
    return _read(*tables)


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
        rules = _read_rules(later)
        new: dict[str, Any] = {"operators": tuple(operators), "listed_state": MarketState(listed_state)}
        new["batch_rules"] = rules
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
    _read_agents(state, later)
    for row in tickets:
        ticket = _read_ticket(state, row)
        by_sequence[ticket.sequence] = ticket
    state.take_events()  # Reading touched levels, of which nobody is told.
    _read_fills(state, fills, batches, by_sequence)
    for fields, amounts in approvals:
        values = dict(zip(_APPROVAL, fields, strict=True)) | dict(zip(_APPROVAL_BIG, map(int, amounts), strict=True))
        state.approvals.add(ApprovalGranted(**values))
        state.accounts[values["account"]].approvals += 1
    for nonce, account, owner_nonce, owner_deadline in spent:
        state.approvals.spend(nonce, Spent(account, int(owner_nonce), owner_deadline))
    _read_later(state, later)
    state.backlog.resume()
    state.restrict_lanes()
    state.deadline = state.next_deadline()
    return state


# --- what came later, by name ---


def _later(state: State) -> dict[str, Any]:
    """Sorted by name; only what is not as it was before."""
    found: dict[str, Any] = {}
    if state.agents:
        found["agents"] = [_agent_row(state.agents[key]) for key in sorted(state.agents)]
    if state.amm_legs:
        found["amm_legs"] = [_leg_row(state.amm_legs[fill]) for fill in sorted(state.amm_legs)]
    rules = BatchRules() if state.venue is None else state.venue.batch_rules
    if any(getattr(rules, name) != getattr(BatchRules(), name) for name in _RULES):
        found["batch_rules"] = [getattr(rules, name) for name in _RULES]
    budgets = _budget_rows(state)
    if budgets:
        found["budgets"] = budgets
    cancels = [(address, state.accounts[address].cancels) for address in sorted(state.accounts)]
    if any(count for _, count in cancels):
        found["cancels"] = [(address, count) for address, count in cancels if count]
    if rules.is_itemized:
        found["itemized_rules"] = [getattr(rules, name) for name in _ITEMIZED]
        if state.backlog.load.fills:
            load = state.backlog.load
            found["load"] = [getattr(load, name) for name in _LOAD], sorted(load.rows)
    if state.loss is not None:
        found["loss"] = _texts(state.loss, _LOSS)
    if state.operators:
        found["operators"] = state.operators
    if state.pools:
        found["pools"] = [state.pools[number].as_row(number) for number in sorted(state.pools)]
    if state.requested:
        found["requested"] = [_requested_row(state.requested[number]) for number in sorted(state.requested)]
    settled = [(address, state.accounts[address].settled_slots) for address in sorted(state.accounts)]
    if any(slots for _, slots in settled):
        found["settled_slots"] = [(address, sorted(slots)) for address, slots in settled if slots]
    if rules.settlement_millis_per_fill != BatchRules().settlement_millis_per_fill:
        found["settlement_millis_per_fill"] = rules.settlement_millis_per_fill
    turned = [getattr(rules, name) for name in _TURNED]
    if any(turned):
        found["turned_rules"] = turned
    venue = state.venue
    if venue is not None and (venue.operators or venue.listed_state is not MarketState.ACTIVE):
        found["venue"] = (venue.operators, venue.listed_state)
    if state.withdrawn:
        found["withdrawn"] = sorted(state.withdrawn)
    return found


def _budget_rows(state: State) -> list[Row]:
    """Of the agents whose budget is not whole, or who have undecided fills of an earlier registration."""
    unsettled = state.backlog.unsettled.values()
    tickets = ((fill.number, ticket.agent) for fill in unsettled for ticket in fill.tickets)
    earlier = {agent for number, agent in tickets if agent is not None and number <= agent.since}
    return [
        (address, key, str(agent.left), agent.since if agent in earlier else 0)
        for address in sorted(state.accounts)
        for key, agent in sorted(state.accounts[address].agents.items())
        if agent.left is not None and (agent.left != agent.notional or agent in earlier)
    ]


def _read_agents(state: State, later: dict[str, Any]) -> None:
    """Before the orders that they signed."""
    for account, agent, expiry, notional, markets, is_revoked in later.get("agents", ()):
        changed = AgentChanged(
            account=account,
            agent=agent,
            expiry=expiry,
            notional=int(notional),
            markets=tuple(markets),
            is_revoked=is_revoked,
        )
        state.agents[account, agent] = changed
        state.account(account).agents[from_hex(agent)] = Agent(changed, 0)
    for account, key, left, since in later.get("budgets", ()):
        agent = state.account(account).agents[key]
        agent.left, agent.since = int(left), since


def _read_later(state: State, later: dict[str, Any]) -> None:
    state.operators = tuple(later.get("operators", ()))
    for address, count in later.get("cancels", ()):
        state.account(address).cancels = count
    if "load" in later:
        counts, rows = later["load"]
        for name, count in zip(_LOAD, counts, strict=True):
            setattr(state.backlog.load, name, count)
        state.backlog.load.rows = dict.fromkeys(map(tuple, rows))
    if "loss" in later:
        state.loss = IndexLowered(**dict(zip(_LOSS, map(int, later["loss"]), strict=True)))
    for address, slots in later.get("settled_slots", ()):
        state.account(address).settled_slots = dict.fromkeys(slots)
    for fields, amount_in, amount_out in later.get("amm_legs", ()):
        leg = AmmLegSettled(
            **dict(zip(_LEG, fields, strict=True)), amount_in=int(amount_in), amount_out=int(amount_out)
        )
        state.amm_legs[leg.fill] = leg
    for number, *row in later.get("pools", ()):
        state.pools[number] = Pool.from_row(row)
    state.withdrawn = dict.fromkeys(later.get("withdrawn", ()))
    for fields, amounts in later.get("requested", ()):
        values = dict(zip(_REQUESTED, fields, strict=True)) | dict(zip(_REQUESTED_BIG, map(int, amounts), strict=True))
        requested = MarketRequested(**values)
        state.requested[requested.market] = requested


def _read_rules(later: dict[str, Any]) -> BatchRules:
    values = dict(zip(_RULES, later["batch_rules"], strict=True)) if "batch_rules" in later else {}
    values |= zip(_ITEMIZED, later.get("itemized_rules", ()), strict=False)
    values |= zip(_TURNED, later.get("turned_rules", ()), strict=False)
    if "settlement_millis_per_fill" in later:
        values["settlement_millis_per_fill"] = later["settlement_millis_per_fill"]
    return BatchRules(**values)


def _agent_row(agent: AgentChanged) -> Row:
    return agent.account, agent.agent, agent.expiry, str(agent.notional), agent.markets, agent.is_revoked


def _leg_row(leg: AmmLegSettled) -> Row:
    return [getattr(leg, name) for name in _LEG], str(leg.amount_in), str(leg.amount_out)


def _requested_row(requested: MarketRequested) -> Row:
    return [getattr(requested, name) for name in _REQUESTED], _texts(requested, _REQUESTED_BIG)


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


def _texts(source: object, names: list[str]) -> list[str]:
    return [str(getattr(source, name)) for name in names]


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


def _account_row(account: Account) -> Row:
    return (
        account.address,
        account.nonces.floor,
        sorted((slot, nonce & SEQUENCE_MAX) for slot, nonce in account.nonces.slots.items()),
        str(account.locked),
        [(accepted_row(ticket), ticket.filled, ticket.reason) for ticket in account.closed],
        [(from_hex(r.digest), r.market, r.client_order_id, r.reason) for r in account.rejected.values()],
    )


def _read_account(state: State, row: Row) -> None:
    address, floor, slots, locked, closed, rejected = row
    account = state.account(address)
    account.nonces.raise_floor(floor)
    account.nonces.slots = {slot: make_nonce(slot, sequence) for slot, sequence in slots}
    account.locked = int(locked)
    places = Places(state, account)
    known, names = state.memory.known, state.memory.remember
    for fields, filled, reason in closed:
        ticket = places.read(fields)
        ticket.remaining -= filled
        ticket.reason = REASONS[reason]
        if fields[-3]:
            names(ticket, fields[-3])
        else:
            known[ticket.key] = ticket
        account.closed.append(ticket)
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


def _read_ticket(state: State, row: Row) -> Ticket:
    frame, signature, accepted, per_lot, remaining, status, *more = row
    ticket = read_accepted(state, accepted)
    ticket.signature, ticket.max_fee_ppm = signature, Order.from_frame(frame).max_fee_ppm
    ticket.hold_per_lot, ticket.remaining, ticket.is_fresh = int(per_lot), remaining, bool(more and more[0])
    ticket.agent = ticket.account.agents[more[1]] if len(more) > 1 else None
    ticket.reason = _CLOSED_AS[OrderStatus(status)]
    if ticket.reason is None:
        state.memory.remember(ticket, name_of(accepted))
        rest(state, state.books[ticket.market].ladder(ticket.side), ticket)
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
