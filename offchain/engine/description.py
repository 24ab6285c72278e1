"""State as events: what a read model needs to start from here, and the first result of one order.

Invariant: reads only. The events are ordered by market, sequence, price and address, never by history.
"""

from collections.abc import Iterator

import msgspec

from offchain.domain.event import (
    AccountRestricted,
    AnyEvent,
    BandChanged,
    CancelAllAfterSet,
    FeesChanged,
    LevelChanged,
    MarketOpened,
    MarketStateChanged,
    MarkPosted,
    OperatorsChanged,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    OrderRulesChanged,
    ProtectionTripped,
    TradeGroupChanged,
    VenueStateChanged,
)
from offchain.domain.market import Market
from offchain.domain.order import Side
from offchain.engine.book import Book
from offchain.engine.fills import NEVER
from offchain.engine.orders import Ticket
from offchain.engine.parts import all_balance_events
from offchain.engine.protecting import protection_event
from offchain.engine.state import State


def order_events(known: Ticket | OrderRejected) -> tuple[AnyEvent, ...]:
    """OrderAccepted with what has filled, then OrderAmended if it was made smaller, or OrderClosed if it is no longer
    open; or OrderRejected."""
    if isinstance(known, OrderRejected):
        return (known,)
    accepted = msgspec.structs.replace(known.accepted, filled_lots=known.filled)
    if known.reason is None:
        size = known.filled + known.left
        return (accepted,) if size == known.size else (accepted, amended(known, size))
    closed = OrderClosed(
        digest=accepted.digest,
        account=accepted.account,
        market=accepted.market,
        reason=known.reason,
        filled_lots=known.filled,
    )
    return (accepted, closed)


def amended(ticket: Ticket, size: int) -> OrderAmended:
    return OrderAmended(digest=ticket.digest, account=ticket.account.address, market=ticket.market, size_lots=size)


def describe(state: State) -> Iterator[AnyEvent]:
    """Operators, markets, pools, fees, venue, open orders, levels, balances, restrictions, open countersignatures,
    what the relay was asked for, agents, the last loss; dead-man switches before the balances."""
    if state.venue is None:
        return
    if state.operators:
        yield OperatorsChanged(operators=state.operators)
    for number in sorted(state.requested):
        if number not in state.withdrawn:
            yield state.requested[number]
    books = [state.books[number] for number in sorted(state.books)]
    for book in books:
        yield market_event(book.market)
        yield MarketStateChanged(market=book.market.market, state=book.state)
        if book.band != (0, 0):
            below, above = book.band
            yield BandChanged(market=book.market.market, below_ppm=below, above_ppm=above)
        if book.mark:
            yield MarkPosted(market=book.market.market, price_ticks=book.mark, at=book.mark_at)
    for number in sorted(state.pools):
        yield state.pools[number].as_event(number)
    yield FeesChanged(maker_fee_ppm=state.moment.maker_ppm, taker_fee_ppm=state.moment.taker_ppm)
    if state.schedule is not None:
        yield from state.schedule.events()
    yield VenueStateChanged(state=state.gate.state, reason=state.gate.reason)
    if state.order_rules:
        yield OrderRulesChanged(order_rules=state.order_rules)
    accounts = [state.accounts[address] for address in sorted(state.accounts)]
    for account in accounts:
        if account.group:
            yield TradeGroupChanged(accounts=(account.address,), group=account.group)
    tickets = [ticket for account in accounts for ticket in account.open.values()]
    for ticket in sorted(tickets, key=lambda ticket: ticket.sequence):
        yield from order_events(ticket)
    for book in books:
        yield from _levels(book)
    for account in accounts:
        if account.uncovered:
            yield AccountRestricted(account=account.address, cancel_only=True)
    for deadline, identity in sorted(state.switches):
        yield CancelAllAfterSet(account=state.switched[identity].address, deadline=deadline)
    yield from _protections(state)
    yield from all_balance_events(state.ledger)
    for nonce in sorted(state.approvals.open):
        yield state.approvals.open[nonce]
    yield from state.relayed.describe(state.at)
    for key in sorted(state.agents):
        yield state.agents[key]
    if state.loss is not None:
        yield state.loss


def _protections(state: State) -> Iterator[AnyEvent]:
    """What tripped is told without what it had counted: that is forgotten."""
    for account, protections in sorted(state.protections.items()):
        for number, protection in sorted(protections.items()):
            yield protection_event(protection.terms)
            if protection.is_frozen(state.at):
                until = 0 if protection.frozen_until == NEVER else protection.frozen_until
                yield ProtectionTripped(account=account, protection=number, until=until, amount=0, delta=0)


def market_event(market: Market) -> MarketOpened:
    return MarketOpened(
        market=market.market,
        symbol=market.symbol,
        base_token=market.base_token,
        base_atoms_per_lot=market.base_atoms_per_lot,
        quote_atoms_per_tick_lot=market.quote_atoms_per_tick_lot,
        base_decimals=market.base_decimals,
        quote_decimals=market.quote_decimals,
    )


def _levels(book: Book) -> Iterator[LevelChanged]:
    for side in Side:
        for level in book.ladder(side).best_first():
            yield LevelChanged(market=book.market.market, side=side, price_ticks=level.price, size_lots=level.size)
