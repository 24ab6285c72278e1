"""Crosses an incoming order with a book, in price-time order, at the makers' prices, and moves the money to pending.

Invariant: no match outside either limit, never more than is left of either order, never an account with itself: its
resting order is taken out instead (expire maker). A match moves the money of both sides from hold to pending, with the
rates frozen at acceptance; what a balance holds stays covered.
"""

from typing import Final, NamedTuple

from offchain.domain.batch import BatchRules
from offchain.domain.event import CloseReason
from offchain.domain.limits import FILLS_PER_RESTING_ORDER_MAX
from offchain.domain.order import Side
from offchain.domain.units import PPM, fee_up
from offchain.engine.closing import close, retire
from offchain.engine.fills import Fill
from offchain.engine.ledger import AmmLegs
from offchain.engine.orders import Lane, Ticket, Trader
from offchain.engine.state import State


class Room(NamedTuple):
    """How many more makers a taker may meet: by count, and by the gas of a batch that holds nothing but its fills."""

    makers: int
    gas: int = 0
    per_maker: int = 0
    per_fresh_slot: int = 0

    @classmethod
    def of_a_batch(cls, taker: Ticket, makers: int, gas_max: int, rules: BatchRules) -> "Room":
        """For a taker whose fills must share a batch."""
        gas = gas_max - rules.gas(orders=1, fills=0, fresh_slots=taker.is_fresh)
        return cls(makers, gas, rules.gas_per_order + rules.gas_per_fill, rules.gas_per_fresh_slot)


UP: Final = PPM - 1
"""Added before a division by PPM that rounds up, as `fee_up` does."""
SELF_TRADE, FILLED = CloseReason.SELF_TRADE, CloseReason.FILLED
"""Under names of this module: an enumeration looks its members up by a function."""
RESTING_ROOM = Room(FILLS_PER_RESTING_ORDER_MAX)


def cross(state: State, lane: Lane, taker: Ticket) -> None:
    """Matches the order with the best opposite ones until nothing of it is left, or its limit or the room is reached.

    One loop without calls for what every match does, because a call costs a tenth of a match. Therefore a match changes
    the balances of the maker only, and the taker's and the fees' get their sums at the end.
    """
    is_immediate = lane.is_immediate
    makers, gas, per_maker, per_fresh_slot = room = _room(state, taker) if is_immediate else RESTING_ROOM
    if lane.is_fok and not is_fillable(lane, taker, room):
        return
    backlog, note, touched = state.backlog, state.effects.append, state.touched_balances
    is_buy, opposite, base_per_lot = lane.is_buy, lane.opposite, lane.base_atoms_per_lot
    trader, price, remaining, ppm, at = taker.trader, taker.price, taker.remaining, state.moment.taker_ppm, state.at
    first = number = backlog.last_fill
    last, group = first + makers, list[Fill]()
    volume = taker_fees = maker_fees = 0
    while remaining and number < last:
        best = opposite.best
        if best > price if is_buy else best < price:
            break
        level, quote_per_lot = opposite.levels[best], best * lane.quote_atoms_per_tick_lot
        maker = level.head
        while maker is not None and remaining and number < last:
            their = maker.trader
            if their is trader:
                close(state, maker, SELF_TRADE)
                maker = level.head
                continue
            if is_immediate:
                gas -= per_maker + per_fresh_slot if maker.is_fresh else per_maker
                if gas < 0:
                    last = number
                    break
            number += 1
            left = maker.remaining
            lots = left if left < remaining else remaining
            remaining -= lots
            notional, maker_ppm = lots * quote_per_lot, maker.moment.maker_ppm
            # A rebate that an earlier schedule promised is capped by what this taker pays: no negative sum on chain.
            if maker_ppm < -ppm:
                maker_ppm = -ppm
            maker_fee, taker_fee = (notional * maker_ppm + UP) // PPM, (notional * ppm + UP) // PPM
            volume += notional
            maker_fees += maker_fee
            taker_fees += taker_fee
            quote, base = their.quote, their.base
            if is_buy:
                base.owed += lots * base_per_lot
                quote.funds += notional - maker_fee
            else:
                paid = notional + maker_fee
                quote.owed += paid
                quote.taken += paid - maker.hold_per_lot * lots
                base.funds += lots * base_per_lot
            if volume == notional:
                _touch_all(state, trader, their, is_buy)
            if not quote.is_touched:
                quote.is_touched = True
                touched.append(quote)
            if not base.is_touched:
                base.is_touched = True
                touched.append(base)
            fill = Fill(number, at, maker, taker, lots, maker_ppm, ppm, notional, maker_fee, taker_fee)
            note(fill)
            if is_immediate:
                group.append(fill)
            else:
                backlog.add(fill, maker, taker, note)
            level.size -= lots
            maker.remaining = left - lots
            if not level.is_touched:
                level.is_touched = True
                state.touched_levels.append(level)
            if lots == left:
                newer = level.head = maker.newer
                if newer is None:
                    level.tail = None
                    opposite.drop_level(level)
                else:
                    newer.older = None
                maker.newer = None
                retire(state, maker, FILLED)
                maker = newer
    if group:
        state.effects.extend(backlog.add_together(group))
    if volume:
        _settle_up(taker, taker.remaining - remaining, base_per_lot, volume, taker_fees)
        taker.remaining = remaining
        trader.fees.funds += maker_fees + taker_fees
        state.epoch_volume += volume


def _touch_all(state: State, taker: Trader, maker: Trader, is_buy: bool) -> None:
    """What a match changes: the buyer's balances, the seller's, the fees'."""
    buyer, seller = (taker, maker) if is_buy else (maker, taker)
    for balance in (buyer.quote, buyer.base, seller.quote, seller.base, taker.fees):
        if not balance.is_touched:
            balance.is_touched = True
            state.touched_balances.append(balance)


def _settle_up(taker: Ticket, lots: int, base_per_lot: int, volume: int, fees: int) -> None:
    """The taker's side of all its matches: the hold of these lots ends, and what they cost or bring is pending."""
    quote, base, atoms = taker.trader.quote, taker.trader.base, lots * base_per_lot
    if taker.lane.is_buy:
        quote.owed += volume + fees
        quote.taken += volume + fees - taker.hold_per_lot * lots
        base.funds += atoms
    else:
        base.owed += atoms
        quote.funds += volume - fees


def _room(state: State, taker: Ticket) -> Room:
    """The fills of an immediate order share a batch: it takes no more than fits one."""
    assert state.venue is not None
    most = state.venue.fills_per_immediate_order_max
    return Room.of_a_batch(taker, most, state.backlog.gas_max, state.backlog.rules)


def is_fillable(lane: Lane, taker: Ticket, room: Room) -> bool:
    """Can the whole order fill within the room, and not against its own account?"""
    price, wanted = taker.price, taker.remaining
    makers, gas, per_maker, per_fresh_slot = room
    for level in lane.opposite.best_first():
        if level.price > price if lane.is_buy else level.price < price:
            return False
        maker = level.head
        while maker is not None:
            if maker.trader is not taker.trader:
                makers -= 1
                gas -= per_maker + per_fresh_slot if maker.is_fresh else per_maker
                if makers < 0 or gas < 0:
                    return False
                wanted -= maker.remaining
                if wanted <= 0:
                    return True
            maker = maker.newer
    return False


def trade_with_pool(state: State, lane: Lane, taker: Ticket) -> None:
    """Whole or not at all, at the price that the pair is held to."""
    market, lots, ppm = lane.market, taker.remaining, taker.moment.taker_ppm
    order = taker.order
    pool = state.pools[market.market]
    limit = market.notional(order.price_ticks, order.size_lots)
    promise = pool.promise_buy if order.side == Side.BUY else pool.promise_sale
    quote = promise(market.base_atoms(order.size_lots), limit)
    if quote is None:
        return
    number = state.backlog.last_fill + 1
    fill = Fill(number, state.at, None, taker, lots, 0, ppm, quote, 0, fee_up(quote, ppm))
    legs = fill.legs
    assert isinstance(legs, AmmLegs)
    state.ledger.match_amm(legs, taker.hold_per_lot * lots)
    taker.remaining = 0
    state.epoch_volume += quote
    state.effects.append(fill)
    state.effects.extend(state.backlog.add_together((fill,)))
