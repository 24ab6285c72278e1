"""What the operator and the posters say of the venue: its orders, its groups of accounts, price bands and marks.

Invariant: which orders there are never becomes less; a mark is the median of readings that are young enough, and is as
old as the command that posted it.
"""

from offchain.domain.command import PostMark, Reading, SetBand, SetOrderRules, SetTradeGroup
from offchain.domain.event import BandChanged, MarkPosted, OrderRulesChanged, TradeGroupChanged
from offchain.domain.limits import (
    GROUP_ACCOUNTS_MAX,
    MARK_AGE_MILLIS_MAX,
    ORDER_RULES_MAX,
    PRICE_TICKS_MAX,
    READINGS_MAX,
)
from offchain.domain.reasons import RejectReason
from offchain.domain.units import PPM, Address
from offchain.engine.state import State


def set_order_rules(state: State, command: SetOrderRules) -> None:
    if not state.order_rules < command.order_rules <= ORDER_RULES_MAX:
        state.reject(RejectReason.INVALID_PARAMETER)
        return
    if not state.order_rules:
        for book in state.books.values():
            book.tape.last = 0  # By the rules before it was not kept.
    state.order_rules = command.order_rules
    state.effects.append(OrderRulesChanged(order_rules=command.order_rules))


def set_trade_group(state: State, command: SetTradeGroup) -> None:
    accounts = [state.accounts.get(address) for address in command.accounts]
    found = [account for account in accounts if account is not None]
    if not is_operator(state, command.by):
        state.reject(RejectReason.NOT_AN_OPERATOR)
    elif not 0 < len(found) == len(accounts) <= GROUP_ACCOUNTS_MAX or not 0 <= command.group < 2**32:
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        for account in found:
            account.join(command.group)
        state.effects.append(TradeGroupChanged(accounts=command.accounts, group=command.group))


def set_band(state: State, command: SetBand) -> None:
    book = state.books.get(command.market)
    if not is_operator(state, command.by):
        state.reject(RejectReason.NOT_AN_OPERATOR)
    elif book is None:
        state.reject(RejectReason.UNKNOWN_MARKET)
    elif not (0 <= command.below_ppm <= PPM and 0 <= command.above_ppm <= 100 * PPM):
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        book.band = command.below_ppm, command.above_ppm
        state.restrict_lanes()
        changed = BandChanged(market=command.market, below_ppm=command.below_ppm, above_ppm=command.above_ppm)
        state.effects.append(changed)


def post_mark(state: State, command: PostMark) -> None:
    """Who the posters are, and that they signed, was checked by whoever journaled this: their words are all here."""
    book, readings = state.books.get(command.market), command.readings
    if book is None:
        state.reject(RejectReason.UNKNOWN_MARKET)
    elif not _are_sound(readings, state.at):
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        prices = sorted(reading.price_ticks for reading in readings)
        book.mark, book.mark_at = prices[(len(prices) - 1) // 2], state.at
        state.effects.append(MarkPosted(market=command.market, price_ticks=book.mark, at=state.at))


def is_operator(state: State, by: Address) -> bool:
    """Or nobody: the process itself."""
    return not by or by in state.operators


def _are_sound(readings: tuple[Reading, ...], at: int) -> bool:
    posters = dict.fromkeys(reading.poster for reading in readings)
    return 0 < len(posters) == len(readings) <= READINGS_MAX and all(
        0 < reading.price_ticks <= PRICE_TICKS_MAX and abs(at - reading.time * 1000) <= MARK_AGE_MILLIS_MAX
        for reading in readings
    )
