"""Orders in, orders out: accepting, resting, cancelling, expiring. The hot path of the venue.

Invariant: the hold of an open order is `hold_per_lot * remaining`, in one balance, from acceptance to its last lot.
An order is a row of its signed frame (`domain.order`), its account the 20 bytes there; nothing here makes an event or a
string: what happened is noted in `state.effects`.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from offchain.domain.beside import NOTHING_BESIDE, Beside, SelfTrade
from offchain.domain.command import NO_SIGNATURE, CancelAll
from offchain.domain.event import OrderRejected
from offchain.domain.limits import OPEN_ORDERS_PER_ACCOUNT_MAX, SEQUENCE_MAX
from offchain.domain.order import CANCEL_TERMS, OrderRow, OrderStatus, from_row
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import PPM, Digest
from offchain.engine.admission import EXPIRY_MAX, budget_refusal, hold_per_lot, open_lane, refusal, signer_refusal
from offchain.engine.agents import Agent
from offchain.engine.amending import take_place
from offchain.engine.arming import arm, follow
from offchain.engine.closing import close, kill_slot
from offchain.engine.matching import UP, cross, trade_with_pool
from offchain.engine.orders import Account, Conditional, Ladder, Lane, Ticket, Trader
from offchain.engine.protecting import is_frozen, may_go_on, watch_fills
from offchain.engine.self_trade import keep_apart
from offchain.engine.state import State
from offchain.engine.together import waives


class Outcome(msgspec.Struct, frozen=True):
    """What one order or cancel came to: `filled_lots` in `fills` matches, which are the venue's last ones by then. What
    others do because of it (see `reacting`) is not in it."""

    status: OrderStatus
    reason: CloseReason | RejectReason | None
    filled_lots: int
    fills: int


EXPIRY_MILLIS_MAX: Final = EXPIRY_MAX * 1000
OPEN, CLOSED, REMOVED = OrderStatus.OPEN, OrderStatus.CLOSED, OrderStatus.CANCELED
REPLACED, FILLED, CANCELED = CloseReason.REPLACED, CloseReason.FILLED, CloseReason.CANCELED
IMMEDIATE_REMAINDER = CloseReason.IMMEDIATE_REMAINDER
"""Under names of this module: an enumeration looks its members up by a function."""
STRANGERS: Final = (RejectReason.WRONG_SIGNER, RejectReason.AGENT_NOT_ENTITLED)
"""Why an order is rejected whose signer may not act for its account."""
RESTS = Outcome(OrderStatus.OPEN, None, 0, 0)
NOTHING_FILLED = Outcome(OrderStatus.CANCELED, CloseReason.CANCELED, 0, 0)


def trade(state: State, rows: Iterable[OrderRow], first: int, outcomes: list[Outcome]) -> int:
    """Orders and cancels of one instant, numbered from `first`, of whom the signers are known. Stops behind one since
    which others have to be watched. How many cancels there were. One look decides that an order enters as nearly all
    do; else `admission.refusal` says why not, or that it may. One loop: a call costs as much as ten of its lines."""
    lanes, now, schedule, newest = state.lanes, state.moment, state.schedule, state.newest_sequence
    known, effects, touched, cancels = state.memory.known.parts, state.effects, state.touched_balances, 0
    for sequence, row in enumerate(rows, first):
        owner, terms, price, size, trigger, max_fee, nonce, expiry, signature, signer, key = row
        if not price and terms == CANCEL_TERMS:
            cancels += 1
            outcomes.append(cancel(state, owner, nonce, signer))
            continue
        try:
            lane = lanes[terms]
            trader = lane.traders[owner]
        except KeyError:
            outcomes.append(place_slowly(state, row, "", sequence))
            if state.is_watched:
                break
            continue
        account, slot = trader.account, nonce >> 48
        agent = replaced = None
        moment = now if schedule is None else schedule.moment(account.address, now)
        if lane.is_buy:
            balance, is_crossing = trader.quote, price >= lane.opposite.best
            hold_per_lot = (price * lane.quote_atoms_per_tick_lot * moment.hold_factor + UP) // PPM
        else:
            balance, hold_per_lot, is_crossing = trader.base, lane.base_atoms_per_lot, price <= lane.opposite.best
        reached, taken = trader.slots.get(slot, 0), balance.taken + hold_per_lot * size
        if reached and (replaced := trader.open.get(reached)) is not None and replaced.balance is balance:
            taken -= replaced.hold_per_lot * replaced.remaining
        if (
            lane.is_restricted
            or account.doubts
            or trigger
            or taken > balance.funds
            or not 0 < price * size <= lane.area_max
            or max_fee < moment.cap
            or (is_crossing and lane.is_post_only)
            or (reached and nonce <= reached)
            or not account.nonces.lowest <= nonce & SEQUENCE_MAX <= newest
            or (not slot) is not lane.is_immediate
            or (not moment.at < expiry * 1000 <= EXPIRY_MILLIS_MAX if expiry else lane.needs_expiry)
            or len(trader.open) >= OPEN_ORDERS_PER_ACCOUNT_MAX
            or (signer != owner and (agent := _entitled(state, lane, account, row, replaced)) is None)
        ) and _is_answered(state, account, row, sequence, outcomes):
            if state.is_watched:
                break
            continue
        if replaced is not None:
            close(state, replaced, REPLACED)
        trader.slots[slot] = nonce
        known[key[0]][key] = ticket = Ticket()
        ticket.lane, ticket.trader, ticket.moment = lane, trader, moment
        ticket.agent, ticket.expiry, ticket.nonce = agent, expiry, nonce
        ticket.sequence, ticket.key, ticket.signature = sequence, key, signature
        ticket.price, ticket.max_fee_ppm, ticket.hold_per_lot = price, max_fee, hold_per_lot
        ticket.size, ticket.remaining, ticket.reason = size, size, None
        ticket.is_fresh = lane.tells_fresh_slots and (not reached or slot not in account.settled_slots)
        if account.rejected:
            account.rejected.pop(key, None)
        effects.append(ticket)
        balance.taken = taken
        if not balance.is_touched:
            balance.is_touched = True
            touched.append(balance)
        if is_crossing or lane.is_immediate:
            outcomes.append(_trade(state, lane, ticket))
            continue
        level = lane.own.levels.get(price) or lane.own.open_level(price)
        level.queue.append(ticket)
        ticket.level, level.size = level, level.size + size
        if not level.is_touched:
            level.is_touched = True
            state.touched_levels.append(level)
        trader.open[nonce] = ticket
        if expiry or agent is not None:
            state.expire_at(ticket)
        outcomes.append(RESTS)
    return cancels


def _entitled(state: State, lane: Lane, account: Account, row: OrderRow, replaced: Ticket | None) -> Agent | None:
    """Who signed an order against which nothing else speaks, if it was not the account itself, and may; it has spent
    what the order takes of its budget then."""
    agent, price, size = account.agents.get(row[-2]), row[2], row[3]
    if agent is None or signer_refusal(state, agent, lane.market.market) is not None:
        return None
    if budget_refusal(lane, agent, price, size, replaced) is not None:
        return None
    agent.spend(price * size * lane.quote_atoms_per_tick_lot)
    return agent


def _is_answered(state: State, account: Account, row: OrderRow, sequence: int, outcomes: list[Outcome]) -> bool:
    """Whether that was all of this order; else it may enter, and by the short way."""
    outcome = _look_again(state, account, row, sequence)
    if outcome is not None:
        outcomes.append(outcome)
    return outcome is not None


def _look_again(state: State, account: Account, row: OrderRow, sequence: int) -> Outcome | None:
    """What came of it; None if it may enter, and by the short way."""
    trigger, key = row[4], row[-1]
    if row[-2] != row[0]:
        # Who is no plain signer for the account hears nothing else of the order, and its budget is asked last.
        return place_slowly(state, row, "", sequence)
    reason = refusal(state, from_row(row), "")
    if reason is not None and not waives(state, key, reason):
        return reject(state, row, "", reason)
    if trigger or account.specials or account.group or account.is_split or reason is not None:
        return place_slowly(state, row, "", sequence)
    return None


def place_slowly(
    state: State, row: OrderRow, client_order_id: str, sequence: int, beside: Beside = NOTHING_BESIDE
) -> Outcome:
    """The same of any order: the first of an account in a market, the first with these terms, one with a client order
    id or wishes beside it, one of an account that has such orders, and one that is rejected."""
    order = from_row(row)
    account, agent = state.owners.get(row[0]), None
    if row[-2] != row[0]:
        agent = None if account is None else account.agents.get(row[-2])
        if (reason := signer_refusal(state, agent, order.market)) is not None:
            return reject(state, row, client_order_id, reason)
    reason = refusal(state, order, client_order_id, beside)
    if reason is not None and not waives(state, row[-1], reason):
        return reject(state, row, client_order_id, reason)
    lane, nonce, waits = open_lane(state, row[1]), row[6], bool(row[4] or beside.parent)
    account = state.accounts[order.account]
    replaced = account.find(nonce >> 48)
    if agent is not None and not waits and (reason := budget_refusal(lane, agent, row[2], row[3], replaced)):
        return reject(state, row, client_order_id, reason)
    trader = state.trader(state.books[order.market], account, order.subaccount)
    ticket = make_ticket(state, row, lane, trader, agent, sequence)
    if lane.is_protected and reason is None:
        may_go_on(state, ticket)
    keeps = beside.is_amend and not waits and replaced is not None and keeps_place(replaced, ticket, beside)
    if replaced is not None:
        if keeps:
            take_place(state, replaced, ticket)
        close(state, replaced, REPLACED)
    account.nonces.slots[nonce >> 48] = nonce
    state.memory.remember(ticket, client_order_id)
    if waits or beside.display_lots or beside.self_trade:
        special = account.special(nonce)
        special.display, special.trail, special.self_trade = beside.display_lots, beside.trail_ticks, beside.self_trade
        special.is_waiting = waits
    other = account.open.get(beside.other) if beside.other else None
    if other is not None and other.sequence not in state.waiting.links:
        state.waiting.link(ticket, other)
    if waits:
        ticket.hold_per_lot = 0
        return _wait(state, ticket, beside.parent)
    state.effects.append(ticket)
    hold(state, ticket)
    outcome = RESTS if keeps else go(state, ticket)
    if reason is not None and lane.is_protected and ticket.reason is None and is_frozen(state, ticket):
        # It was promised that it enters, not that it stays.
        close(state, ticket, CloseReason.PROTECTED)
        return Outcome(REMOVED, ticket.reason, ticket.filled, outcome.fills)
    return outcome


def hold(state: State, ticket: Ticket) -> None:
    """What it may trade is its own from now on: of its account's money, and of its agent's budget."""
    ticket.balance.taken += ticket.hold_per_lot * ticket.remaining
    state.ledger.touch(ticket.balance)
    if ticket.agent is not None:
        ticket.agent.spend(ticket.price * ticket.remaining * ticket.lane.quote_atoms_per_tick_lot)


def _wait(state: State, ticket: Ticket, parent: int) -> Outcome:
    """An order that is accepted, and is not in the book yet."""
    account, guard = ticket.account, state.together
    # Told as it is now: it may be in the book by the time that somebody wants events.
    state.effects.append(ticket.accepted)
    account.open[ticket.nonce] = ticket
    if ticket.expiry or ticket.agent is not None:
        state.expire_at(ticket)
    state.waiting.count += 1
    state.watch()
    waits_for = account.open.get(parent) if parent else None
    if waits_for is not None:
        state.waiting.put(state.waiting.parents, waits_for.sequence, ticket)
    elif parent:
        # It was done since this order was promised.
        state.waiting.put(state.waiting.parents, ticket.sequence, ticket)
        follow(state, ticket, 0 if guard is None else guard.done.get(parent, (0, 0))[1])
    else:
        arm(state, ticket)
    return RESTS


def go(state: State, ticket: Ticket) -> Outcome:
    """An order that is accepted and holds its money: into the book, and what it crosses there."""
    account, lane, price = ticket.account, ticket.lane, ticket.price
    special, best = account.specials.get(ticket.nonce), lane.opposite.best
    if lane.is_brief or (price >= best if lane.is_buy else price <= best):
        mode = SelfTrade.EXPIRE_MAKER if special is None else SelfTrade(special.self_trade)
        apart = account.group or mode or account.is_split
        outcome = _trade_apart(state, lane, ticket, mode) if apart else _trade(state, lane, ticket)
    else:
        rest(state, lane.own, ticket)
        outcome = RESTS
    if special is not None and special.display and ticket.level is not None and ticket.remaining > special.display:
        special.hidden = ticket.remaining - special.display
        ticket.remaining = special.display
        ticket.level.size -= special.hidden
    return outcome


def make_ticket(state: State, row: OrderRow, lane: Lane, trader: Trader, agent: Agent | None, sequence: int) -> Ticket:
    """As `trade` makes one in passing."""
    _, _, price, size, _, max_fee, nonce, expiry, signature, _, key = row
    slot, moment = nonce >> 48, state.moment_for(trader.account)
    ticket = Ticket()
    if row[4]:
        ticket = conditional = Conditional()
        conditional.trigger = row[4]
    ticket.lane, ticket.trader, ticket.moment, ticket.sequence = lane, trader, moment, sequence
    ticket.key, ticket.signature, ticket.agent, ticket.nonce, ticket.expiry = key, signature, agent, nonce, expiry
    ticket.price, ticket.size, ticket.remaining, ticket.max_fee_ppm = price, size, size, max_fee
    ticket.hold_per_lot = hold_per_lot(from_row(row), trader.market, moment)
    ticket.reason = ticket.level = None
    is_unused = slot not in trader.slots or slot not in trader.account.settled_slots
    ticket.is_fresh = lane.tells_fresh_slots and is_unused
    return ticket


def reject(state: State, row: OrderRow, client_order_id: str, reason: RejectReason) -> Outcome:
    """Notes why; the first result of an order of a known account is remembered."""
    order = from_row(row)
    rejected = OrderRejected(
        digest=Digest("0x" + row[-1].hex()),
        account=order.account,
        market=order.market,
        client_order_id=client_order_id,
        reason=reason,
    )
    state.effects.append(rejected)
    account = state.accounts.get(order.account)
    # A stranger must not be able to decide the first result of somebody's order.
    if account is not None and reason not in STRANGERS:
        state.memory.remember_rejected(account, rejected)
    return Outcome(OrderStatus.REJECTED, reason, 0, 0)


def keeps_place(old: Ticket, new: Ticket, beside: Beside) -> bool:
    """Nothing changes but that it is smaller, or for how long it stands; and both show all of it."""
    is_same = old.lane is new.lane and old.price == new.price and new.size <= old.remaining == old.left
    return is_same and not old.is_waiting and not beside.display_lots


def _trade(state: State, lane: Lane, ticket: Ticket) -> Outcome:
    """Matches what can be matched; what is left leaves if it may not rest, or would still cross the book."""
    backlog, opposite, price, size = state.backlog, lane.opposite, ticket.price, ticket.remaining
    first, ticket.level = backlog.last_fill, None
    if lane.needs_pool:
        trade_with_pool(state, lane, ticket)
    else:
        cross(state, lane, ticket)
    filled, fills = size - ticket.remaining, backlog.last_fill - first
    if ticket.agent is not None:
        _count_traded(state, ticket, filled, first)
    if not ticket.remaining:
        close(state, ticket, FILLED)
        outcome = Outcome(CLOSED, FILLED, filled, fills)
    elif lane.is_brief or (price >= opposite.best if lane.is_buy else price <= opposite.best):
        close(state, ticket, IMMEDIATE_REMAINDER)
        outcome = Outcome(REMOVED, IMMEDIATE_REMAINDER, filled, fills)
    else:
        rest(state, lane.own, ticket)
        outcome = Outcome(OPEN, None, filled, fills)
    if fills:
        state.watch_growing_backlog()
        if state.protections:
            watch_fills(state, first + 1)
            if ticket.reason is CloseReason.PROTECTED:
                outcome = Outcome(REMOVED, ticket.reason, filled, fills)
    return outcome


def _count_traded(state: State, ticket: Ticket, lots: int, last: int) -> None:
    """These lots were spent at the order's own price; `last` is the last fill before them."""
    assert ticket.agent is not None
    unsettled = state.backlog.unsettled
    traded = sum(unsettled[number].notional for number in range(last + 1, state.backlog.last_fill + 1))
    ticket.agent.spend(traded - ticket.price * lots * ticket.lane.quote_atoms_per_tick_lot)


def _trade_apart(state: State, lane: Lane, ticket: Ticket, mode: SelfTrade) -> Outcome:
    """The same, but apart from the account's and its group's own orders, as `mode` says."""
    if lane.needs_pool:
        return _trade(state, lane, ticket)
    verdict = keep_apart(state, lane, ticket, mode)
    if verdict is None:
        return _trade(state, lane, ticket)
    lots, rival, reason = verdict
    first, rest_of_it = state.backlog.last_fill, ticket.remaining - lots
    ticket.remaining = lots
    if lots:
        cross(state, lane, ticket)
        if ticket.agent is not None:
            _count_traded(state, ticket, lots - ticket.remaining, first)
    ticket.remaining += rest_of_it
    if rival is not None:
        close(state, rival, CloseReason.SELF_TRADE)
    close(state, ticket, reason)
    fills = state.backlog.last_fill - first
    if fills:
        state.watch_growing_backlog()
        if state.protections:
            watch_fills(state, first + 1)
    return Outcome(REMOVED, reason, ticket.filled, fills)


def rest(state: State, ladder: Ladder, ticket: Ticket) -> None:
    """Puts an order behind those at its price, as `trade` does in passing."""
    price = ticket.price
    level = ladder.levels.get(price)
    if level is None:
        level = ladder.open_level(price)
    level.queue.append(ticket)
    level.size += ticket.remaining
    ticket.level = level
    if not level.is_touched:
        level.is_touched = True
        state.touched_levels.append(level)
    ticket.trader.open[ticket.nonce] = ticket
    if ticket.expiry or ticket.agent is not None:
        state.expire_at(ticket)


def cancel(state: State, owner: bytes, nonce: int, signer: bytes) -> Outcome:
    """Closes the slot's order if the nonce reaches it, and kills the slot up to the nonce."""
    if signer != owner:
        return _refuse(state, RejectReason.WRONG_SIGNER)
    account = state.owners.get(owner)
    if account is None:
        return _refuse(state, RejectReason.ORDER_NOT_OPEN)
    ticket = account.open.get(nonce)
    if ticket is None:
        return _cancel_slot(state, account, nonce)
    close(state, ticket, CANCELED)
    filled = ticket.size - ticket.remaining
    return Outcome(REMOVED, CANCELED, filled, 0) if filled else NOTHING_FILLED


def _cancel_slot(state: State, account: Account, nonce: int) -> Outcome:
    """The nonce is not that of an open order."""
    ticket = account.find(nonce >> 48)
    is_reached = ticket is not None and ticket.nonce <= nonce
    if not is_reached and account.nonces.is_dead(nonce):
        return _refuse(state, RejectReason.ORDER_NOT_OPEN)
    if nonce & SEQUENCE_MAX > state.newest_sequence:
        return _refuse(state, RejectReason.NONCE_TOO_FAR_AHEAD)
    kill_slot(state, account, nonce, CANCELED)
    return NOTHING_FILLED if ticket is None or not is_reached else Outcome(REMOVED, CANCELED, ticket.filled, 0)


def cancel_all(state: State, command: CancelAll) -> None:
    """Closes the orders of one market or (0) all, and whatever is below the floor; kills sequences below the floor.

    A signed one closes only what is below its floor: it can be sent again by whoever has seen it, and must not close
    what its signer could not know.
    """
    if command.account != command.signer:
        state.reject(RejectReason.WRONG_SIGNER)
    elif command.floor > state.newest_sequence:
        state.reject(RejectReason.NONCE_TOO_FAR_AHEAD)
    elif command.market and command.market not in state.books:
        state.reject(RejectReason.UNKNOWN_MARKET)
    else:
        account = state.accounts.get(command.account)
        if account is None:
            return
        account.nonces.raise_floor(command.floor)
        is_signed = command.signature != NO_SIGNATURE
        for ticket in tuple(account.open.values()):
            is_below = ticket.nonce & SEQUENCE_MAX < command.floor
            if is_below or (not is_signed and command.market in (0, ticket.market)):
                close(state, ticket, CloseReason.CANCELED)


def _refuse(state: State, reason: RejectReason) -> Outcome:
    """A cancel that changes nothing."""
    state.reject(reason)
    return Outcome(OrderStatus.REJECTED, reason, 0, 0)
