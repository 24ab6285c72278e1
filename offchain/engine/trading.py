"""Orders in, orders out: accepting, crossing, cancelling, expiring.

Invariant: the hold of an open order is `hold_per_lot * remaining`, in one balance, from acceptance to its last lot; a
match moves the money of both sides from hold to pending at the maker's price, with the rates frozen at acceptance.
"""

from offchain.domain.command import NO_SIGNATURE, CancelAll, CancelOrder, PlaceOrder
from offchain.domain.eip712 import order_digest
from offchain.domain.event import (
    AmmFillMatched,
    CloseReason,
    FillMatched,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    RejectReason,
)
from offchain.domain.limits import FILLS_PER_RESTING_ORDER_MAX, SEQUENCE_AHEAD_MILLIS_MAX
from offchain.domain.order import Side, TimeInForce
from offchain.domain.units import Digest, fee_up
from offchain.engine.admission import AMM, Admission, admit
from offchain.engine.book import Book
from offchain.engine.fills import Fill, Terms
from offchain.engine.ledger import AmmLegs, Balance, Legs
from offchain.engine.load import Load, Row, rows_of
from offchain.engine.matching import Room, cross, is_fillable
from offchain.engine.orders import Account, Ticket
from offchain.engine.state import State


def place(state: State, command: PlaceOrder) -> None:
    """One OrderAccepted or OrderRejected, then what came of it."""
    order = command.order
    state.epoch_count += 1
    digest = Digest("0x" + order_digest(state.separator, order).hex())
    if order.account == command.signer:
        verdict = admit(state, order, command.client_order_id)
    else:
        verdict = RejectReason.WRONG_SIGNER
    if isinstance(verdict, Admission):
        _accept(state, command, digest, verdict)
        return
    rejected = OrderRejected(
        digest=digest,
        account=order.account,
        market=order.market,
        client_order_id=command.client_order_id,
        reason=verdict,
    )
    state.events.append(rejected)
    account = state.accounts.get(order.account)
    # A stranger must not be able to decide the first result of somebody's order.
    if account is not None and verdict is not RejectReason.WRONG_SIGNER:
        state.orders.remember_rejected(account, rejected)


def cancel(state: State, command: CancelOrder) -> None:
    """Closes the slot's order if the nonce reaches it, and kills the slot up to the nonce."""
    if command.account != command.signer:
        state.reject(RejectReason.WRONG_SIGNER)
        return
    slot, sequence = command.nonce >> 48, command.nonce & (1 << 48) - 1
    account = state.accounts.get(command.account)
    ticket = account.slots.get(slot) if account is not None else None
    is_reached = ticket is not None and ticket.order.sequence <= sequence
    if account is None or (not is_reached and account.nonces.is_dead(slot, sequence)):
        state.reject(RejectReason.ORDER_NOT_OPEN)
    elif sequence > state.at + SEQUENCE_AHEAD_MILLIS_MAX:
        state.reject(RejectReason.NONCE_TOO_FAR_AHEAD)
    else:
        kill_slot(state, account, command.nonce, CloseReason.CANCELED)


def cancel_all(state: State, command: CancelAll) -> None:
    """Closes the orders of one market or (0) all, and whatever is below the floor; kills sequences below the floor.

    A signed one closes only what is below its floor: it can be sent again by whoever has seen it, and must not close
    what its signer could not know.
    """
    if command.account != command.signer:
        state.reject(RejectReason.WRONG_SIGNER)
    elif command.floor > state.at + SEQUENCE_AHEAD_MILLIS_MAX:
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
            is_below = ticket.order.sequence < command.floor
            if is_below or (not is_signed and command.market in (0, ticket.order.market)):
                close(state, ticket, CloseReason.CANCELED)


def kill_slot(state: State, account: Account, nonce: int, reason: CloseReason) -> None:
    """The slot's sequences up to the nonce's are dead, and so is its open order if it is one of them."""
    slot, sequence = nonce >> 48, nonce & (1 << 48) - 1
    ticket = account.slots.get(slot)
    if ticket is not None and ticket.order.sequence <= sequence:
        close(state, ticket, reason)
    account.nonces.kill(slot, sequence)


def close(state: State, ticket: Ticket, reason: CloseReason) -> None:
    """Takes an open order out of the book and everything else that knows it, and frees its hold."""
    if ticket.level is not None:
        book = state.books[ticket.order.market]
        book.remove(ticket)
        _mark(state, book)
    if ticket.remaining:
        state.ledger.release(ticket.balance, ticket.hold_per_lot * ticket.remaining)
    if ticket.order.expiry:
        state.forget_expiry(ticket)
    state.orders.close(ticket, reason)
    state.events.append(
        OrderClosed(
            digest=ticket.digest,
            account=ticket.account.address,
            market=ticket.order.market,
            reason=reason,
            filled_lots=ticket.filled,
        )
    )


def _mark(state: State, book: Book) -> None:
    if book not in state.changed_books:
        state.changed_books.append(book)


def _accept(state: State, command: PlaceOrder, digest: Digest, admission: Admission) -> None:
    account, book, replaced, per_lot = admission
    order = command.order
    if replaced is not None:
        close(state, replaced, CloseReason.REPLACED)
    account.nonces.use(order.nonce >> 48, order.sequence)
    accepted = OrderAccepted(
        sequence=state.sequence,
        at=state.at,
        digest=digest,
        account=account.address,
        subaccount=order.subaccount,
        market=order.market,
        side=order.side,
        kind=order.kind,
        time_in_force=order.time_in_force,
        flags=order.flags,
        price_ticks=order.price_ticks,
        size_lots=order.size_lots,
        nonce=order.nonce,
        expiry=order.expiry,
        client_order_id=command.client_order_id,
        maker_fee_ppm=state.maker_fee_ppm,
        taker_fee_ppm=state.taker_fee_ppm,
    )
    balance = state.ledger.of(account.address, book.market.base_token if order.side else state.quote_token)
    ticket = Ticket(order, command.signature, accepted, account, balance, per_lot)
    ticket.is_fresh = _is_slot_fresh(state, ticket)
    state.ledger.hold(balance, per_lot * order.size_lots)
    state.orders.add(ticket)
    state.events.append(accepted)
    is_immediate = order.is_immediate
    if order.flags & AMM:
        _trade_with_pool(state, book, ticket)
    elif book.is_crossed_by(order.side, order.price_ticks):
        _cross(state, book, ticket, is_immediate)
    if not ticket.remaining:
        close(state, ticket, CloseReason.FILLED)
    elif is_immediate or book.is_crossed_by(order.side, order.price_ticks):
        close(state, ticket, CloseReason.IMMEDIATE_REMAINDER)
    else:
        book.add(ticket)
        _mark(state, book)
        if order.expiry:
            state.expire_at(ticket)


def _is_slot_fresh(state: State, ticket: Ticket) -> bool:
    """An immediate order has no slot: where balances are told apart, its word is the balance's."""
    rules, slot = state.backlog.rules, ticket.order.nonce >> 48
    if not rules.gas_per_fresh_slot or (rules.is_itemized and not slot):
        return False
    return slot not in ticket.account.settled_slots


def _rows(state: State, balances: tuple[Balance, ...]) -> tuple[Row, ...]:
    """What is known of these balances before a match, if the venue's rules ask."""
    return rows_of(balances, state.accounts, state.quote_token) if state.backlog.rules.is_itemized else ()


def _cross(state: State, book: Book, taker: Ticket, is_immediate: bool) -> None:
    if taker.order.time_in_force == TimeInForce.FOK and not is_fillable(book, taker, _room(state, book, taker)):
        return
    room = _room(state, book, taker) if is_immediate else Room(FILLS_PER_RESTING_ORDER_MAX)
    _mark(state, book)
    group: list[Fill] = []
    for maker, lots in cross(book, taker, room):
        if lots == 0:
            close(state, maker, CloseReason.SELF_TRADE)
            continue
        fill = _match(state, book, maker, taker, lots, state.backlog.last_fill + len(group) + 1)
        if is_immediate:
            group.append(fill)
        else:
            state.events.extend(state.backlog.add((fill,)))
        if not maker.remaining:
            close(state, maker, CloseReason.FILLED)
    if group:
        state.events.extend(state.backlog.add(group))


def _room(state: State, book: Book, taker: Ticket) -> Room:
    """The fills of an immediate order share a batch: it takes no more than fits one."""
    assert state.venue is not None
    backlog, ledger = state.backlog, state.ledger
    tokens = state.quote_token, book.market.base_token

    def rows(ticket: Ticket) -> tuple[Row, ...]:
        return _rows(state, tuple(ledger.of(ticket.account.address, token) for token in tokens))

    load = Load(backlog.rules)
    load.add_order(taker)
    load.add_rows((*rows(taker), *_rows(state, (ledger.of(state.venue.fee_account, state.quote_token),))))
    return Room(state.venue.fills_per_immediate_order_max, load, backlog.gas_max, rows)


def _trade_with_pool(state: State, book: Book, taker: Ticket) -> None:
    """Whole or not at all, at the price that the pair is held to."""
    market, order = book.market, taker.order
    pool = state.pools[market.market]
    lots, ppm = taker.remaining, taker.accepted.taker_fee_ppm
    limit = market.notional(order.price_ticks, order.size_lots)
    promise = pool.promise_buy if order.side == Side.BUY else pool.promise_sale
    quote = promise(market.base_atoms(order.size_lots), limit)
    if quote is None:
        return
    legs = amm_legs(state, book, taker, lots, (quote, fee_up(quote, ppm)))
    rows = _rows(state, legs.balances)
    state.ledger.match_amm(legs, taker.hold_per_lot * lots)
    taker.remaining = 0
    state.epoch_volume += quote
    number = state.backlog.last_fill + 1
    state.events.append(
        AmmFillMatched(
            fill=number,
            market=market.market,
            at=state.at,
            taker_digest=taker.digest,
            taker=taker.account.address,
            taker_side=order.side,
            size_lots=lots,
            quote=quote,
            taker_fee_ppm=ppm,
            taker_fee=legs.fee,
        )
    )
    state.events.extend(state.backlog.add((Fill(number, state.at, None, taker, Terms(lots, 0, ppm), legs, rows),)))


def _match(state: State, book: Book, maker: Ticket, taker: Ticket, lots: int, number: int) -> Fill:
    """Moves the money of both sides from hold to pending, and says so."""
    taker_ppm = taker.accepted.taker_fee_ppm
    # A rebate that an earlier schedule promised is capped by what this taker pays: the chain refuses a negative sum.
    maker_ppm = max(maker.accepted.maker_fee_ppm, -taker_ppm)
    price = maker.order.price_ticks
    notional = price * lots * book.market.quote_atoms_per_tick_lot
    maker_fee, taker_fee = fee_up(notional, maker_ppm), fee_up(notional, taker_ppm)
    legs = fill_legs(state, book, maker, taker, lots, (notional, maker_fee, taker_fee))
    buyer = maker if maker.order.side == Side.BUY else taker
    rows = _rows(state, legs.balances)
    state.ledger.match(legs, buyer.hold_per_lot * lots)
    state.epoch_volume += notional
    state.events.append(
        FillMatched(
            fill=number,
            market=book.market.market,
            at=state.at,
            maker_digest=maker.digest,
            taker_digest=taker.digest,
            maker=maker.account.address,
            taker=taker.account.address,
            taker_side=taker.order.side,
            price_ticks=price,
            size_lots=lots,
            maker_fee_ppm=maker_ppm,
            taker_fee_ppm=taker_ppm,
            maker_fee=maker_fee,
            taker_fee=taker_fee,
        )
    )
    return Fill(number, state.at, maker, taker, Terms(lots, maker_ppm, taker_ppm), legs, rows)


def fill_legs(state: State, book: Book, maker: Ticket, taker: Ticket, lots: int, money: tuple[int, int, int]) -> Legs:
    """`money` is notional, maker's fee and taker's fee, in quote atoms."""
    assert state.venue is not None
    notional, maker_fee, taker_fee = money
    if maker.order.side == Side.BUY:
        buyer, seller, buyer_fee, seller_fee = maker.account, taker.account, maker_fee, taker_fee
    else:
        buyer, seller, buyer_fee, seller_fee = taker.account, maker.account, taker_fee, maker_fee
    ledger, quote, base = state.ledger, state.venue.quote_token, book.market.base_token
    return Legs(
        buyer_quote=ledger.of(buyer.address, quote),
        buyer_base=ledger.of(buyer.address, base),
        seller_quote=ledger.of(seller.address, quote),
        seller_base=ledger.of(seller.address, base),
        fees=ledger.of(state.venue.fee_account, quote),
        base_atoms=lots * book.market.base_atoms_per_lot,
        paid=notional + buyer_fee,
        received=notional - seller_fee,
    )


def amm_legs(state: State, book: Book, taker: Ticket, lots: int, money: tuple[int, int]) -> AmmLegs:
    """`money` is the quote before the fee, and the fee, in quote atoms."""
    assert state.venue is not None
    ledger, account, quote = state.ledger, taker.account.address, state.venue.quote_token
    return AmmLegs(
        quote=ledger.of(account, quote),
        base=ledger.of(account, book.market.base_token),
        fees=ledger.of(state.venue.fee_account, quote),
        is_buy=taker.order.side == Side.BUY,
        base_atoms=lots * book.market.base_atoms_per_lot,
        quote_units=money[0],
        fee=money[1],
    )
