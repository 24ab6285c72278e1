"""Placing, matching and cancelling orders.

Invariant: a rejected order consumes nothing, not even its nonce; no fill is outside either limit; what an order may
cost is held before it can match.
"""

from offchain.domain.command import CancelAll, CancelOrder, PlaceOrder
from offchain.domain.eip712 import order_digest
from offchain.domain.event import (
    CloseReason,
    CommandRejected,
    FillMatched,
    OrderRejected,
    RejectReason,
    VenueState,
)
from offchain.domain.limits import (
    NOTIONAL_ATOMS_MAX,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    PRICE_TICKS_MAX,
    SEQUENCE_AHEAD_MILLIS_MAX,
    SIZE_LOTS_MAX,
)
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Flags, Kind, Order, Side, TimeInForce
from offchain.domain.units import Address, Lots, Ticks, ceil_div, fee_up
from offchain.engine.accounts import Account
from offchain.engine.book import Resting
from offchain.engine.fills import Fill
from offchain.engine.state import STRICTNESS, State, accepted_event, digest_of

_PPM = 1_000_000


def place(state: State, command: PlaceOrder) -> None:
    """One sequenced order, accepted or not."""
    order = command.order
    state.epoch_count += 1
    digest = digest_of(order_digest(state.separator, order))
    reason = _reject_reason(state, command)
    replaced = None
    if reason is None:
        account = state.account(order.account)
        replaced = None if order.is_immediate else account.in_slot(order.slot)
        reason = _cover_reason(state, account, order, replaced)
    if reason is not None:
        state.emit(
            OrderRejected(
                digest=digest,
                account=order.account,
                market=order.market,
                client_order_id=command.client_order_id,
                reason=reason,
            )
        )
        return
    if replaced is not None:
        state.close_order(replaced, CloseReason.REPLACED)
    resting = Resting(
        sequence=state.sequence,
        at=state.at,
        digest=digest,
        order=order,
        signature=command.signature,
        client_order_id=command.client_order_id,
        hold_per_lot=hold_per_lot(state, order),
        maker_ppm=state.maker_fee_ppm,
        taker_ppm=state.taker_fee_ppm,
    )
    account.use(order.slot, order.sequence)
    account.open[digest] = resting
    state.owners[digest] = order.account
    if not order.is_immediate:
        account.slot_orders[order.slot] = digest
    if command.client_order_id:
        account.client_ids[command.client_order_id] = digest
    token, atoms = state.hold_of(resting)
    state.ledger.hold(order.account, token, atoms)
    state.emit(accepted_event(resting, 0))
    _match(state, resting)
    if resting.remaining == 0:
        state.close_order(resting, CloseReason.FILLED)
    elif order.is_immediate:
        state.close_order(resting, CloseReason.IMMEDIATE_REMAINDER)
    else:
        state.touch_level(order.market, order.side, state.books[order.market].add(resting))
        if order.expiry:
            state.start_timer(order.expiry * 1000, state.sequence, "expiry", f"{order.account}:{digest}")


def hold_per_lot(state: State, order: Order) -> int:
    """Atoms that one lot may cost at worst. Linear in lots, so that no rounding of partial fills can exceed it."""
    market = state.markets[order.market]
    if order.side is Side.SELL:
        return market.base_atoms_per_lot
    per_lot = market.notional(order.price_ticks, Lots(1))
    return per_lot + ceil_div(per_lot * max(state.maker_fee_ppm, state.taker_fee_ppm, 0), _PPM)


def _reject_reason(state: State, command: PlaceOrder) -> RejectReason | None:
    """The first thing that is wrong with the order itself."""
    order = command.order
    market = state.markets.get(order.market)
    if command.signer != order.account:
        return RejectReason.WRONG_SIGNER
    if market is None:
        return RejectReason.UNKNOWN_MARKET
    if order.subaccount or order.trigger_ticks or order.flags & ~Flags.POST_ONLY:
        return RejectReason.UNSUPPORTED
    if not 0 < order.price_ticks <= PRICE_TICKS_MAX:
        return RejectReason.INVALID_PRICE
    if not 0 < order.size_lots <= SIZE_LOTS_MAX:
        return RejectReason.INVALID_SIZE
    if market.notional(order.price_ticks, order.size_lots) > NOTIONAL_ATOMS_MAX:
        return RejectReason.INVALID_SIZE
    post_only = bool(order.flags & Flags.POST_ONLY)
    if order.kind is Kind.MARKET and order.time_in_force not in (TimeInForce.IOC, TimeInForce.FOK):
        return RejectReason.INVALID_PARAMETER
    if (order.is_immediate and post_only) or (order.time_in_force is TimeInForce.GTD and not order.expiry):
        return RejectReason.INVALID_PARAMETER
    if order.is_immediate != (order.slot == 0):
        return RejectReason.INVALID_SLOT
    if order.expiry and order.expiry * 1000 <= state.at:
        return RejectReason.EXPIRED
    if order.sequence > state.at + SEQUENCE_AHEAD_MILLIS_MAX:
        return RejectReason.NONCE_TOO_FAR_AHEAD
    if order.max_fee_ppm < max(state.maker_fee_ppm, state.taker_fee_ppm):
        return RejectReason.FEE_CAP_TOO_LOW
    return _venue_reason(state, order, post_only)


def _venue_reason(state: State, order: Order, post_only: bool) -> RejectReason | None:
    """Whether venue and market take this order now."""
    venue, market = state.state, state.market_states[order.market]
    if STRICTNESS[venue] >= STRICTNESS[VenueState.CANCEL_ONLY]:
        return RejectReason.CANCEL_ONLY_VENUE
    if market in (MarketState.CANCEL_ONLY, MarketState.PAUSED):
        return RejectReason.MARKET_NOT_OPEN
    would_cross = state.books[order.market].crossing(order.side, order.price_ticks) is not None
    if post_only and would_cross:
        return RejectReason.POST_ONLY_WOULD_CROSS
    only_makers = venue is VenueState.POST_ONLY or market is MarketState.POST_ONLY
    if only_makers and (order.is_immediate or would_cross):
        return RejectReason.POST_ONLY_VENUE
    return None


def _cover_reason(state: State, account: Account, order: Order, replaced: Resting | None) -> RejectReason | None:
    """Whether the account may and can place it."""
    if account.cancel_only:
        return RejectReason.CANCEL_ONLY_ACCOUNT
    if account.is_dead(order.slot, order.sequence):
        return RejectReason.DEAD_NONCE
    if len(account.open) - (replaced is not None) >= OPEN_ORDERS_PER_ACCOUNT_MAX:
        return RejectReason.TOO_MANY_OPEN_ORDERS
    market = state.markets[order.market]
    token = state.quote if order.side is Side.BUY else market.base_token
    available = state.balance(order.account, token).tradable
    if replaced is not None:
        held_token, held = state.hold_of(replaced)
        if held_token == token:
            balance = state.balance(order.account, token)
            available = max(0, balance.free + held - balance.leaving)
    if hold_per_lot(state, order) * order.size_lots > available:
        return RejectReason.INSUFFICIENT_BALANCE
    return None


def _match(state: State, taker: Resting) -> None:
    """Crosses the book in price-time order, at the makers' prices."""
    order, market = taker.order, state.markets[taker.order.market]
    book = state.books[order.market]
    assert state.venue is not None
    most = state.venue.fills_per_immediate_order_max if order.is_immediate else None
    if order.time_in_force is TimeInForce.FOK and not _can_fill(state, taker, most):
        return
    group: list[Fill] = []
    while taker.remaining and (most is None or len(group) < most):
        level = book.crossing(order.side, order.price_ticks)
        if level is None:
            break
        maker = level.first
        assert maker is not None
        if maker.order.account == order.account:
            state.close_order(maker, CloseReason.SELF_TRADE)
            continue
        fill = _fill(state, market, maker, taker, state.batches.next_fill + len(group))
        if order.is_immediate:
            group.append(fill)
        else:
            _batch(state, [fill])
    if group:
        _batch(state, group)


def _can_fill(state: State, taker: Resting, most: int | None) -> bool:
    """Whether a fill-or-kill order can fill whole, in no more fills than one order may have."""
    order, found, fills = taker.order, 0, 0
    for level in state.books[order.market].halves[order.side.opposite]:
        if (level.price > order.price_ticks) if order.side is Side.BUY else (level.price < order.price_ticks):
            break
        for maker in level:
            if maker.order.account == order.account:
                continue
            found, fills = found + maker.remaining, fills + 1
            if found >= taker.remaining:
                return most is None or fills <= most
    return False


def _fill(state: State, market: Market, maker: Resting, taker: Resting, number: int) -> Fill:
    """One match: holds become pending legs on both sides."""
    price, size = maker.order.price_ticks, min(maker.remaining, taker.remaining)
    notional, base = market.notional(Ticks(price), Lots(size)), market.base_atoms(Lots(size))
    maker_fee, taker_fee = fee_up(notional, maker.maker_ppm), fee_up(notional, taker.taker_ppm)
    fill = Fill(
        number,
        state.at,
        market.market,
        maker.order,
        taker.order,
        maker.digest,
        taker.digest,
        maker.signature,
        taker.signature,
        price,
        size,
        notional,
        base,
        maker.maker_ppm,
        taker.taker_ppm,
        maker_fee,
        taker_fee,
    )
    for side in (maker, taker):
        token, _ = state.hold_of(side)
        state.ledger.hold(side.order.account, token, -side.hold_per_lot * size)
    taker.remaining -= size
    taker.filled += size
    maker_side = maker.order.side
    state.touch_level(market.market, maker_side, state.books[market.market].reduce(maker, size))
    pend(state, fill, 1)
    state.epoch_volume += notional
    state.emit(
        FillMatched(
            fill=number,
            market=market.market,
            at=state.at,
            maker_digest=maker.digest,
            taker_digest=taker.digest,
            maker=maker.order.account,
            taker=taker.order.account,
            taker_side=int(taker.order.side),
            price_ticks=price,
            size_lots=size,
            maker_fee_ppm=maker.maker_ppm,
            taker_fee_ppm=taker.taker_ppm,
            maker_fee=maker_fee,
            taker_fee=taker_fee,
        )
    )
    if maker.remaining == 0:
        state.close_order(maker, CloseReason.FILLED)
    return fill


def legs(state: State, fill: Fill) -> list[tuple[Address, Address, int]]:
    """(account, token, atoms) of every balance that the fill changes."""
    assert state.venue is not None
    quote, base = state.quote, state.markets[fill.market].base_token
    out = []
    for order, fee in ((fill.maker, fill.maker_fee), (fill.taker, fill.taker_fee)):
        sign = 1 if order.side is Side.BUY else -1
        out.append((order.account, quote, -sign * fill.notional - fee))
        out.append((order.account, base, sign * fill.base))
    out.append((state.venue.fee_account, quote, fill.maker_fee + fill.taker_fee))
    return out


def pend(state: State, fill: Fill, sign: int) -> None:
    """Adds the legs of a fill to pending, or takes them back (sign -1)."""
    for account, token, atoms in legs(state, fill):
        state.ledger.pend(account, token, sign * atoms)


def _batch(state: State, group: list[Fill]) -> None:
    """Puts fills that belong together into one batch."""
    batches = state.batches
    if batches.open_count and not batches.has_room(group):
        state.close_batch()
    if batches.open_count == 0:
        assert state.venue is not None
        deadline = state.at + state.venue.batch_interval_millis
        state.start_timer(deadline, state.sequence, "batch", str(batches.next_batch))
    for fill in group:
        batches.add(fill)


def cancel(state: State, command: CancelOrder) -> None:
    """Kills the slot's sequences up to the nonce's, and the order that rests there."""
    if command.signer != command.account:
        state.emit(CommandRejected(reason=RejectReason.WRONG_SIGNER))
        return
    slot, sequence = command.nonce >> 48, command.nonce & (2**48 - 1)
    if sequence > state.at + SEQUENCE_AHEAD_MILLIS_MAX:
        state.emit(CommandRejected(reason=RejectReason.NONCE_TOO_FAR_AHEAD))
        return
    account = state.account(command.account)
    resting = account.in_slot(slot)
    account.use(slot, sequence)
    if resting is None or resting.order.sequence > sequence:
        state.emit(CommandRejected(reason=RejectReason.ORDER_NOT_OPEN))
        return
    state.close_order(resting, CloseReason.CANCELED)


def cancel_all(state: State, command: CancelAll) -> None:
    """Cancels the account's open orders, in one market or all; raises its floor."""
    if command.signer != command.account:
        state.emit(CommandRejected(reason=RejectReason.WRONG_SIGNER))
        return
    if command.floor > state.at + SEQUENCE_AHEAD_MILLIS_MAX:
        state.emit(CommandRejected(reason=RejectReason.NONCE_TOO_FAR_AHEAD))
        return
    account = state.account(command.account)
    account.floor = max(account.floor, command.floor)
    for resting in account.newest_first():
        in_market = command.market in (0, resting.order.market)
        if in_market or resting.order.sequence < account.floor:
            state.close_order(resting, CloseReason.CANCELED)
