"""The life of markets: asked for by an operator, listed by the chain, opened, paused, delisted for good.

Invariant: a number, a symbol and a synth are given away once, and no two tokens have names that differ in case only;
only an operator of the venue, or the process itself, changes a market's state, and nothing leaves DELISTED.
Deliberately not here: whether an order may enter (admission), and the terms of the synth, which the contracts hold.
"""

import re
from collections.abc import Sequence
from math import gcd
from typing import Final

from offchain.domain.chainlog import MarketListed
from offchain.domain.command import RequestMarket, SetMarketState, WithdrawMarket
from offchain.domain.event import MarketRequested, MarketStateChanged, MarketWithdrawn, OperatorsChanged
from offchain.domain.limits import (
    COLLATERAL_PERCENT_MAX,
    COLLATERAL_PERCENT_MIN,
    MARKET_NUMBER_MAX,
    OPERATORS_MAX,
    PRICE_AGE_SECONDS_MAX,
    QUORUM_MAX,
    SYNTH_NAME_BYTES_MAX,
)
from offchain.domain.market import Market, MarketState
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import PPM, SYNTH_DECIMALS, Address
from offchain.engine.book import Book
from offchain.engine.closing import close
from offchain.engine.description import market_event
from offchain.engine.state import State

QUOTE_SYMBOL: Final = "USDC"
"""Until a market is listed, whose symbol says it."""
_SYMBOL = re.compile(r"[A-Z0-9]{1,15}-[A-Z0-9]{1,15}")
_SYNTH_SYMBOL = re.compile(rf"[A-Za-z0-9]{{1,{SYNTH_NAME_BYTES_MAX}}}")
_SYNTH_NAME = re.compile(rf"[!-~](?:[ -~]{{0,{SYNTH_NAME_BYTES_MAX - 2}}}[!-~])?")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


def set_operators(state: State, operators: Sequence[Address]) -> None:
    if not are_operators(operators):
        state.reject(RejectReason.INVALID_PARAMETER)
        return
    state.operators = tuple(operators)
    state.effects.append(OperatorsChanged(operators=state.operators))


def are_operators(operators: Sequence[Address]) -> bool:
    """Distinct lower-case addresses, not too many."""
    is_distinct = len(dict.fromkeys(operators)) == len(operators) <= OPERATORS_MAX
    return is_distinct and all(_ADDRESS.fullmatch(operator) for operator in operators)


def request_market(state: State, command: RequestMarket) -> None:
    """One MarketRequested with the lowest free number, or a CommandRejected."""
    if command.by not in state.operators:
        state.reject(RejectReason.NOT_AN_OPERATOR)
    elif flaw_of_request(command, _quote_decimals(state), _quote_symbol(state)):
        state.reject(RejectReason.INVALID_PARAMETER)
    elif _is_taken(state, command):
        state.reject(RejectReason.MARKET_EXISTS)
    else:
        fields = {name: getattr(command, name) for name in command.__struct_fields__}
        requested = MarketRequested(market=_free_number(state), **fields)
        state.requested[requested.market] = requested
        state.effects.append(requested)


def withdraw_market(state: State, command: WithdrawMarket) -> None:
    """One MarketWithdrawn, or a CommandRejected. The list keeper may be at work on it: if the chain lists it after all,
    it begins as every market does."""
    if command.by not in state.operators:
        state.reject(RejectReason.NOT_AN_OPERATOR)
    elif command.market not in state.requested or command.market in state.withdrawn:
        state.reject(RejectReason.UNKNOWN_MARKET)
    elif command.market in state.books:
        state.reject(RejectReason.MARKET_EXISTS)
    else:
        state.withdrawn[command.market] = None
        symbol = state.requested[command.market].symbol
        state.effects.append(MarketWithdrawn(market=command.market, symbol=symbol, by=command.by))


def set_market_state(state: State, command: SetMarketState) -> None:
    """Delisting cancels what rests, oldest first; what has matched still settles."""
    book = state.books.get(command.market)
    if command.by and command.by not in state.operators:
        state.reject(RejectReason.NOT_AN_OPERATOR)
    elif book is None:
        state.reject(RejectReason.UNKNOWN_MARKET)
    elif book.state is MarketState.DELISTED:
        state.reject(RejectReason.MARKET_DELISTED)
    else:
        book.state = command.state
        state.restrict_lanes()
        state.effects.append(MarketStateChanged(market=command.market, state=command.state, by=command.by))
        if command.state is MarketState.DELISTED:
            _cancel_everything(state, command.market)


def list_market(state: State, log: MarketListed) -> None:
    """The chain's row opens a book, in the state that the venue was opened with.

    A row whose prices or sizes could not be written down opens none: its orders are of an unknown market.
    """
    assert state.venue is not None
    if log.market in state.books or log.base_atoms_per_lot <= 0 or log.quote_atoms_per_tick_lot <= 0:
        state.diverge("market", "a new one, with positive units", log.market)
        return
    state.tokens[log.base_token] = None
    if not _are_decimal(log.base_atoms_per_lot, log.quote_atoms_per_tick_lot, log.base_decimals, log.quote_decimals):
        state.reject(RejectReason.INVALID_PARAMETER)
        return
    market = Market(
        market=log.market,
        symbol=log.symbol,
        base_token=log.base_token,
        base_atoms_per_lot=log.base_atoms_per_lot,
        quote_atoms_per_tick_lot=log.quote_atoms_per_tick_lot,
        base_decimals=log.base_decimals,
        quote_decimals=log.quote_decimals,
    )
    book = state.books[log.market] = Book(market, state.touched_levels)
    state.effects.append(market_event(market))
    if state.venue.listed_state is not MarketState.ACTIVE:
        book.state = state.venue.listed_state
        state.effects.append(MarketStateChanged(market=log.market, state=book.state))


def _cancel_everything(state: State, market: int) -> None:
    resting = [
        ticket for account in state.accounts.values() for ticket in account.open.values() if ticket.market == market
    ]
    for ticket in sorted(resting, key=lambda ticket: ticket.sequence):
        close(state, ticket, CloseReason.DELISTED)


def _free_number(state: State) -> int:
    number = 1
    while number in state.books or number in state.requested:
        number += 1
    assert number <= MARKET_NUMBER_MAX, "more markets than the memory of any machine holds"
    return number


def _is_taken(state: State, command: RequestMarket) -> bool:
    """Whether the base or the synth would have the name of another token, in any case."""
    names = {_quote_symbol(state).casefold()}
    for book in state.books.values():
        base = _base_symbol(book.market.symbol)
        # The chain's log does not say what the synth is called: h and the base, as everywhere in this venue.
        names |= {base, f"h{base}"}
    for requested in state.requested.values():
        if requested.market in state.withdrawn:
            continue
        names |= {_base_symbol(requested.symbol), requested.synth_symbol.casefold()}
    return _base_symbol(command.symbol) in names or command.synth_symbol.casefold() in names


def _base_symbol(symbol: str) -> str:
    return symbol.partition("-")[0].casefold()


def _quote_symbol(state: State) -> str:
    """What listed markets call the settlement token: the oldest one's word, as in the gateway."""
    listed = (state.books[number].market.symbol.partition("-")[2] for number in sorted(state.books))
    return next((symbol for symbol in listed if symbol), QUOTE_SYMBOL)


def _quote_decimals(state: State) -> int:
    assert state.venue is not None
    return state.venue.quote_decimals


def flaw_of_request(command: RequestMarket, quote_decimals: int, quote_symbol: str) -> str:
    """The first field that will not do, "" if all will: what the contracts would refuse is refused here, where somebody
    reads the answer; and what settles in anything else than the settlement token."""
    initial, maintenance = command.initial_percent, command.maintenance_percent
    lot, tick_lot = command.base_atoms_per_lot, command.quote_atoms_per_tick_lot
    is_symbol = _SYMBOL.fullmatch(command.symbol) is not None and command.symbol.endswith(f"-{quote_symbol}")
    good = {
        "symbol": is_symbol,
        "synth_symbol": _SYNTH_SYMBOL.fullmatch(command.synth_symbol) is not None,
        "synth_name": _SYNTH_NAME.fullmatch(command.synth_name) is not None,
        "base_atoms_per_lot": 0 < lot < 2**128,
        "quote_atoms_per_tick_lot": 0 < tick_lot < 2**64
        and lot > 0
        and _are_decimal(lot, tick_lot, SYNTH_DECIMALS, quote_decimals),
        "ceiling": 0 < command.ceiling < 2**128,
        "initial_percent": maintenance < initial <= COLLATERAL_PERCENT_MAX,
        "maintenance_percent": maintenance >= COLLATERAL_PERCENT_MIN,
        "bonus_percent": 1 <= command.bonus_percent < maintenance - 100,
        "quorum": 1 <= command.quorum <= QUORUM_MAX,
        "max_age_seconds": 1 <= command.max_age_seconds <= PRICE_AGE_SECONDS_MAX,
        "max_move_ppm_per_minute": 1 <= command.max_move_ppm_per_minute <= PPM,
    }
    return next((name for name, is_good in good.items() if not is_good), "")


def _are_decimal(
    base_atoms_per_lot: int, quote_atoms_per_tick_lot: int, base_decimals: int, quote_decimals: int
) -> bool:
    """Tick and lot are finite decimals: prices could not be written down otherwise."""
    numerator = quote_atoms_per_tick_lot * 10**base_decimals
    # Typed by name: 10**n is Any to a type checker, which cannot see that n >= 0.
    denominator: int = base_atoms_per_lot * 10**quote_decimals
    rest = denominator // gcd(numerator, denominator)
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
