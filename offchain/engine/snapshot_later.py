"""What came later than the first tables of a snapshot, by name.

Invariant: a table is there only while it is not as it was before there was such a thing, so that old states keep their
hashes; all are sorted by their keys.
"""

from typing import Any

from offchain.domain.batch import BatchRules
from offchain.domain.chainlog import AmmLegSettled
from offchain.domain.event import AgentChanged, IndexLowered, MarketRequested
from offchain.domain.market import MarketState
from offchain.domain.order import Side
from offchain.domain.units import from_hex
from offchain.engine.accepted import Row
from offchain.engine.agents import Agent
from offchain.engine.orders import Special, Ticket
from offchain.engine.pools import Pool
from offchain.engine.snapshot_rules import read_rules_tables, rules_tables
from offchain.engine.state import Guard, State
from offchain.engine.waiting import Waiting

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


def later_tables(state: State) -> dict[str, Any]:
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
        found["loss"] = texts(state.loss, _LOSS)
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
    if relayed := state.relayed.rows(state.at):
        found["relayed"] = relayed
    found |= _venue_later(state) | _orders_later(state) | rules_tables(state)
    return dict(sorted(found.items()))


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


def read_agents(state: State, later: dict[str, Any]) -> None:
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


def read_later(state: State, later: dict[str, Any], tickets: dict[int, Ticket]) -> None:
    """`tickets`: by sequence."""
    state.operators = tuple(later.get("operators", ()))
    for address, count in later.get("cancels", ()):
        state.account(address).cancels = count
        state.backlog.expect_looks(count)
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
    state.relayed.read(later.get("relayed", []))
    _read_venue_later(state, later)
    _read_orders_later(state, later, tickets)
    read_rules_tables(state, later)


def read_rules(later: dict[str, Any]) -> BatchRules:
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
    return [getattr(requested, name) for name in _REQUESTED], texts(requested, _REQUESTED_BIG)


def texts(source: object, names: list[str]) -> list[str]:
    return [str(getattr(source, name)) for name in names]


# --- what operators and posters said ---


def _venue_later(state: State) -> dict[str, Any]:
    found: dict[str, Any] = {}
    books = [state.books[number] for number in sorted(state.books)]
    bands = [(book.market.market, *book.band) for book in books if book.band != (0, 0)]
    if bands:
        found["bands"] = bands
    groups = [(address, state.accounts[address].group) for address in sorted(state.accounts)]
    if any(group for _, group in groups):
        found["groups"] = [(address, group) for address, group in groups if group]
    if state.order_rules:
        assert state.venue is not None
        found["order_rules"] = state.venue.order_rules, state.order_rules
        last = [(book.market.market, book.tape.last) for book in books if book.tape.last]
        if last:
            found["last"] = last
    marks = [(book.market.market, book.mark, book.mark_at) for book in books if book.mark]
    if marks:
        found["marks"] = marks
    return found


def _read_venue_later(state: State, later: dict[str, Any]) -> None:
    _, state.order_rules = later.get("order_rules", (0, 0))
    for market, below, above in later.get("bands", ()):
        state.books[market].band = below, above
    for address, group in later.get("groups", ()):
        state.accounts[address].join(group)
    for market, price in later.get("last", ()):
        state.books[market].tape.last = price
    for market, price, at in later.get("marks", ()):
        state.books[market].mark, state.books[market].mark_at = price, at


# --- orders that are no plain ones ---


def _orders_later(state: State) -> dict[str, Any]:
    found: dict[str, Any] = {}
    accounts = [state.accounts[address] for address in sorted(state.accounts)]
    queues = _queues(state) if state.is_reordered else []
    if queues:
        found["queues"] = queues
    specials = [(account.address, _special_rows(account.specials)) for account in accounts if account.specials]
    if specials:
        found["specials"] = specials
    if state.switched:
        due = {identity: deadline for deadline, identity in state.switches}
        found["switches"] = [
            (account.address, account.switch, due[account.switch]) for account in accounts if account.switch
        ]
    if state.together is not None:
        guard = state.together
        done = sorted((nonce, *what) for nonce, what in guard.done.items())
        found["together"] = guard.account, guard.at, guard.left, sorted(guard.orders.items()), done
    if state.waiting.count:
        found["waiting"] = _waiting_rows(state.waiting)
    return found


_SPECIAL = ["cut", "display", "hidden", "is_waiting", "self_trade", "trail"]


def _special_rows(specials: dict[int, Special]) -> list[tuple[int, ...]]:
    return [(nonce, *(int(getattr(specials[nonce], name)) for name in _SPECIAL)) for nonce in sorted(specials)]


def _waiting_rows(waiting: Waiting) -> Row:
    """By trigger as it is now; by parent; due, the first one first; links, the lower sequence first."""
    queued = [
        (*watch, price, ticket.sequence)
        for watch in sorted(waiting.queues)
        for price, level in sorted(waiting.queues[watch].levels.items())
        for ticket in level.orders()
    ]
    children = [
        (parent, ticket.sequence)
        for parent, level in sorted(waiting.parents.levels.items())
        for ticket in level.orders()
    ]
    due = [ticket.sequence for ticket in waiting.all_due()]
    links = [(one, other.sequence) for one, other in sorted(waiting.links.items()) if one < other.sequence]
    return queued, children, due, links


def waiting_sequences(later: dict[str, Any]) -> dict[int, None]:
    """Of open orders that are in no book."""
    queued, children, due, _ = later.get("waiting", ((), (), (), ()))
    return dict.fromkeys([*(row[-1] for row in queued), *(row[-1] for row in children), *due])


def _queues(state: State) -> list[Row]:
    """Levels whose orders do not stand in the order of their sequences."""
    found: list[Row] = []
    for number in sorted(state.books):
        for side in Side:
            for level in state.books[number].ladder(side).best_first():
                queue = [ticket.sequence for ticket in level.orders()]
                if queue != sorted(queue):
                    found.append((number, int(side), level.price, queue))
    return found


def _read_orders_later(state: State, later: dict[str, Any], tickets: dict[int, Ticket]) -> None:
    for address, rows in later.get("specials", ()):
        for nonce, *values in rows:
            special = state.accounts[address].special(nonce)
            for name, value in zip(_SPECIAL, values, strict=True):
                setattr(special, name, value)
            special.is_waiting = bool(special.is_waiting)
            state.waiting.count += special.is_waiting
    if "waiting" in later:
        _read_waiting(state, later["waiting"], tickets)
    for number, side, price, sequences in later.get("queues", ()):
        state.is_reordered = True
        state.books[number].ladder(side).levels[price].requeue(map(tickets.__getitem__, sequences))
    for address, identity, deadline in later.get("switches", ()):
        state.set_switch(state.accounts[address], identity, deadline)
    if "together" in later:
        account, at, left, orders, done = later["together"]
        state.together = Guard(account, at, dict(orders), left)
        state.together.done = {nonce: (market, filled) for nonce, market, filled in done}
    state.watch()


def _read_waiting(state: State, rows: Row, tickets: dict[int, Ticket]) -> None:
    queued, children, due, links = rows
    waiting = state.waiting
    for market, on_last, is_rising, price, sequence in queued:
        watch, ticket = (market, on_last, is_rising), tickets[sequence]
        waiting.put(waiting.queue(watch), price, ticket)
        if ticket.account.specials[ticket.nonce].trail:
            waiting.trailing.setdefault(watch, {})[sequence] = ticket
    for parent, sequence in children:
        waiting.put(waiting.parents, parent, tickets[sequence])
    for sequence in due:
        waiting.make_due(tickets[sequence])
    for one, other in links:
        waiting.link(tickets[one], tickets[other])
    waiting.deadline = state.at + 1 if due else 0
