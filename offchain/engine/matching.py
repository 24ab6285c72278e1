"""Crosses an incoming order with a book, in price-time order, at the makers' prices, and moves the money to pending.

Invariant: no match outside either limit, never more than is left of either order, never an account with itself: its
resting order is taken out instead (expire maker). A match moves the money of both sides from hold to pending, with the
rates frozen at acceptance; what a balance holds stays covered.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from offchain.domain.limits import FILLS_PER_RESTING_ORDER_MAX
from offchain.domain.order import Side
from offchain.domain.reasons import CloseReason
from offchain.domain.units import PPM, fee_up
from offchain.engine.closing import close
from offchain.engine.fills import Fill
from offchain.engine.ledger import AmmLegs, Balance
from offchain.engine.load import Load, Row, rows_of
from offchain.engine.orders import Lane, PriceLevel, Ticket, Trader
from offchain.engine.state import State


class Room:
    """How many more makers a taker may meet: by count, and by the gas of a batch that holds nothing but its fills."""

    __slots__ = ("_gas", "_gas_max", "_load", "_rows", "makers")

    def __init__(
        self,
        makers: int,
        load: Load | None = None,
        gas_max: int = 0,
        rows: Callable[[Ticket], Sequence[Row]] | None = None,
    ) -> None:
        """`load` has the taker already; `rows` says which balances of a maker a match changes."""
        self.makers = makers
        self._load = load
        self._gas = 0 if load is None else load.gas
        self._gas_max = gas_max
        self._rows = rows

    def admit(self, maker: Ticket) -> bool:
        """Takes the room for a match with `maker`, if there is any."""
        if not self.makers:
            return False
        if self._load is not None:
            load = self._load
            if load.rules.is_additive:
                self._gas += load.rules.gas(1, 1, fresh_slots=maker.is_fresh) - load.rules.gas_base
                is_over = self._gas > self._gas_max
            else:
                load = load.copy()
                load.add((maker,), self._rows(maker) if self._rows is not None else (), is_amm=False)
                is_over = not load.fits(self._gas_max)
            if is_over:
                return False
            self._load = load
        self.makers -= 1
        return True


UP: Final = PPM - 1
"""Added before a division by PPM that rounds up, as `fee_up` does."""
SELF_TRADE, FILLED = CloseReason.SELF_TRADE, CloseReason.FILLED
NO_ROWS: Final[tuple[Row, ...]] = ()
"""Under names of this module: an enumeration looks its members up by a function."""


def cross(state: State, lane: Lane, taker: Ticket) -> None:
    """Matches the order with the best opposite ones until nothing of it is left, or its limit or its room is over."""
    if not lane.is_immediate:
        _match(state, lane, taker, FILLS_PER_RESTING_ORDER_MAX, None, None)
    elif not lane.is_fok or is_fillable(lane, taker, room_of(state, taker)):
        room = room_of(state, taker)
        group: list[Fill] = []
        _match(state, lane, taker, room.makers, room, group)
        if group:
            state.effects.extend(state.backlog.add_together(group))


def _match(state: State, lane: Lane, taker: Ticket, most: int, room: Room | None, group: list[Fill] | None) -> None:
    """Up to `most` matches; of an immediate order, those for which there is room, into `group`: they share a batch.

    One loop without calls, because a call costs a tenth of a match. Therefore a match changes the balances of the maker
    only, but for what the taker owes: the taker's and the fees' get their sums at the end."""
    backlog, effects, touched, opposite = state.backlog, state.effects, state.touched_balances, lane.opposite
    is_buy, trader, price, remaining = lane.is_buy, taker.trader, taker.price, taker.remaining
    at, ppm, base_per_lot = taker.moment.at, taker.moment.taker_ppm, lane.base_atoms_per_lot
    paying, unsettled, is_itemized = trader.quote if is_buy else trader.base, backlog.unsettled, backlog.is_itemized
    volume, taker_fees, maker_fees, least_ppm, rows = 0, 0, 0, -ppm, NO_ROWS
    number, last = backlog.last_fill, backlog.last_fill + most
    while remaining and number < last:
        best, wanted = opposite.best, remaining
        if best > price if is_buy else best < price:
            break
        level, quote_per_lot = opposite.levels[best], best * lane.quote_atoms_per_tick_lot
        maker = level.first()
        while maker is not None and remaining and number < last:
            their = maker.trader
            if their is trader:
                close(state, maker, SELF_TRADE)
                maker = level.first()
                continue
            if room is not None and not room.admit(maker):
                last = number
                break
            number += 1
            left = maker.remaining
            lots = left if left < remaining else remaining
            remaining -= lots
            notional, atoms, maker_ppm = lots * quote_per_lot, lots * base_per_lot, maker.moment.maker_ppm
            # A rebate that an earlier schedule promised is capped by what this taker pays: no negative sum on chain.
            if maker_ppm < least_ppm:
                maker_ppm = least_ppm
            maker_fee, taker_fee = (notional * maker_ppm + UP) // PPM, (notional * ppm + UP) // PPM
            quote, base = their.quote, their.base
            if is_itemized:
                rows = _rows(state, _balances(trader, their, is_buy))
            if is_buy:
                paying.owed += notional + taker_fee
                base.owed += atoms
                quote.funds += notional - maker_fee
            else:
                paying.owed += atoms
                paid = notional + maker_fee
                quote.owed += paid
                quote.taken += paid - maker.hold_per_lot * lots
                base.funds += atoms
            if not volume:
                _touch_all(state, trader, their, is_buy)
            if not quote.is_touched:
                quote.is_touched = True
                touched.append(quote)
            if not base.is_touched:
                base.is_touched = True
                touched.append(base)
            volume, maker_fees, taker_fees = volume + notional, maker_fees + maker_fee, taker_fees + taker_fee
            fill = Fill(number, at, maker, taker, lots, maker_ppm, ppm, notional, maker_fee, taker_fee, rows)
            effects.append(fill)
            if group is not None:
                group.append(fill)
            elif number > backlog.sure:
                effects.extend(backlog.add(fill))
            else:
                unsettled[number] = fill
                backlog.last_fill = number
            maker.remaining = left - lots
            if lots == left:
                if not their.account.specials or not show_more(state, maker):
                    close(state, maker, FILLED)
                maker = level.first()
        if remaining < wanted:
            level.size -= wanted - remaining
            if not level.size:
                opposite.drop_level(level)
            lane.tape.last = best
            state.touch_level(level)
    if volume:
        _settle_up(state, taker, taker.remaining - remaining, (volume, maker_fees, taker_fees))
        taker.remaining = remaining


def show_more(state: State, ticket: Ticket) -> bool:
    """Of an order whose shown part is filled: the next part queues behind the others. False if there is none."""
    special, level = ticket.account.specials.get(ticket.nonce), ticket.level
    if special is None or not special.hidden:
        return False
    assert level is not None
    ticket.remaining = min(special.display, special.hidden)
    special.hidden -= ticket.remaining
    level.size += ticket.remaining
    state.is_reordered = True
    level.move_back(ticket)
    return True


def parts_of(level: PriceLevel, but: Callable[[Ticket], bool]) -> Iterator[tuple[Ticket, int]]:
    """The orders of a level and the lots that they show, in the order in which they match; those of `but` once."""
    more = list[tuple[Ticket, int, int]]()
    for maker in level.orders():
        yield maker, maker.remaining
        special = maker.account.specials.get(maker.nonce)
        if special is not None and special.hidden and not but(maker):
            more.append((maker, special.hidden, special.display))
    while more:
        before, more = more, []
        for maker, hidden, display in before:
            yield maker, min(hidden, display)
            if hidden > display:
                more.append((maker, hidden - display, display))


def _balances(taker: Trader, maker: Trader, is_buy: bool) -> tuple[Balance, ...]:
    """What a match changes: the buyer's, the seller's, the fees'."""
    buyer, seller = (taker, maker) if is_buy else (maker, taker)
    return buyer.quote, buyer.base, seller.quote, seller.base, taker.fees


def _touch_all(state: State, taker: Trader, maker: Trader, is_buy: bool) -> None:
    buyer, seller = (taker, maker) if is_buy else (maker, taker)
    for balance in (buyer.quote, buyer.base, seller.quote, seller.base, taker.fees):
        if not balance.is_touched:
            balance.is_touched = True
            state.touched_balances.append(balance)


def _rows(state: State, balances: tuple[Balance, ...]) -> tuple[Row, ...]:
    """What is known of these balances before a match, if the venue's rules ask."""
    return rows_of(balances, state.accounts, state.quote_token, state.ledger) if state.backlog.is_itemized else ()


def _settle_up(state: State, taker: Ticket, lots: int, money: tuple[int, int, int]) -> None:
    """The taker's side of its matches: the hold of these lots ends, and what they bring is pending; so are the fees.

    `money` is the notional, the makers' fees and the taker's."""
    volume, maker_fees, taker_fees = money
    lane, trader = taker.lane, taker.trader
    if lane.is_buy:
        trader.quote.taken += volume + taker_fees - taker.hold_per_lot * lots
        trader.base.funds += lots * lane.base_atoms_per_lot
    else:
        trader.quote.funds += volume - taker_fees
    trader.fees.funds += maker_fees + taker_fees
    state.epoch_volume += volume


def room_of(state: State, taker: Ticket) -> Room:
    """The fills of an immediate order share a batch: it takes no more than fits one."""
    assert state.venue is not None
    trader, backlog = taker.trader, state.backlog
    load = Load(backlog.rules)
    load.add_order(taker)
    load.add_rows(_rows(state, (trader.quote, trader.base, trader.fees)))
    most = state.venue.fills_per_immediate_order_max
    return Room(most, load, backlog.gas_max, lambda maker: _rows(state, (maker.trader.quote, maker.trader.base)))


def is_fillable(lane: Lane, taker: Ticket, room: Room) -> bool:
    """Can the whole order fill within the room, and not against its own account? Uses the room up."""
    price, wanted, trader = taker.price, taker.remaining, taker.trader
    for level in lane.opposite.best_first():
        if level.price > price if lane.is_buy else level.price < price:
            return False
        for maker, lots in parts_of(level, lambda maker: maker.trader is trader):
            if maker.trader is not trader:
                if not room.admit(maker):
                    return False
                wanted -= lots
                if wanted <= 0:
                    return True
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
    fill.rows = _rows(state, legs.balances)
    state.ledger.match_amm(legs, taker.hold_per_lot * lots)
    taker.remaining = 0
    state.epoch_volume += quote
    state.effects.append(fill)
    state.effects.extend(state.backlog.add_together((fill,)))
