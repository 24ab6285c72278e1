"""Whether an order may enter: every reason to reject one, in the order in which they are checked.

Invariant: pure but for the lanes it opens; a rejected order consumes nothing, neither its nonce nor its client order
id, and leaves the order that it would have replaced in place. `trading.trade` asks here only if its own quick look at
an order finds anything unusual: whatever that lets pass has no reason here.
"""

from offchain.domain.beside import NOTHING_BESIDE, Beside
from offchain.domain.event import RejectReason
from offchain.domain.limits import (
    CLIENT_ORDER_ID_BYTES_MAX,
    NOTIONAL_ATOMS_MAX,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    POOL_AGE_SECONDS_MAX,
    PRICE_TICKS_MAX,
    SEQUENCE_AHEAD_MILLIS_MAX,
    SIZE_LOTS_MAX,
    WAITING_ORDERS_PER_ACCOUNT_MAX,
)
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Kind, Order, Side, TimeInForce, unpack_terms
from offchain.domain.reasons import VenueState
from offchain.domain.units import PPM, ceil_div
from offchain.engine.agents import Agent
from offchain.engine.book import AMM, IMMEDIATE, OF_TRIGGER, POST_ONLY, PROTECTED, REDUCE_ONLY, TAKE_PROFIT, Book
from offchain.engine.ledger import Balance
from offchain.engine.orders import Account, Lane, Moment, Ticket
from offchain.engine.parts import find_part
from offchain.engine.protecting import RULES_FOR_ACCOUNTS, protection_refusal
from offchain.engine.state import State
from offchain.engine.waiting import watch_of

EXPIRY_MAX = 2**40 - 1
"""An order's expiry is a uint40 on chain."""


class Plan:
    """What will have happened before an order comes: see `together`."""

    def __init__(self) -> None:
        self.taken: dict[Balance, int] = {}
        """More than what is taken now."""
        self.gone: dict[int, None] = {}
        """Open orders that will have left, by sequence."""
        self.orders: list[Order] = []
        """Orders that may rest by then."""
        self.slots: dict[int, int] = {}
        """The nonces that slots will have reached."""
        self.names: dict[str, None] = {}
        self.links: dict[int, tuple[int, int, bool]] = {}
        """Orders that will have come, by nonce: market, side, whether they wait."""


def open_lane(state: State, terms: bytes) -> Lane:
    """The lane of terms that an order without a reason to reject it has."""
    lane = state.lanes.get(terms)
    if lane is None:
        subaccount, number, side, _, _, flags = unpack_terms(terms)
        book = state.books[number]
        traders = book.guarded.setdefault(subaccount, {}) if flags & PROTECTED else book.traders_of(subaccount)
        lane = state.lanes[terms] = Lane(terms, book.market, book.ladder(side), book.opposite(side), traders, book.tape)
        # The word of an immediate order is the balance's, where balances count.
        backlog = state.backlog
        lane.tells_fresh_slots = backlog.tells_fresh_slots and not (lane.is_immediate and backlog.is_itemized)
        state.restrict_lanes()
    return lane


def refusal(
    state: State, order: Order, client_order_id: str, beside: Beside | None = None, plan: Plan | None = None
) -> RejectReason | None:
    """Checks everything but the signer; None if the order may enter (once what is planned has happened)."""
    book, beside, plan = state.books.get(order.market), beside or NOTHING_BESIDE, plan or Plan()
    if book is None:
        return RejectReason.UNKNOWN_MARKET
    reason = (
        _shape(state.order_rules, order, client_order_id, beside)
        or _bounds(order, book.market)
        or _times(order, state.at)
    )
    if reason is not None:
        return reason
    account = state.accounts.get(order.account)
    moment = state.moment_for(account)
    if order.max_fee_ppm < moment.cap:
        return RejectReason.FEE_CAP_TOO_LOW
    reason = _open_for(order, state.gate.state, book.state)
    if reason is None and order.flags & AMM:
        reason = _pool_for(state, book.market)
    if reason is not None:
        return reason
    if book.is_beyond_band(order.side, order.price_ticks, state.at):
        return RejectReason.PRICE_OUT_OF_BAND
    if account is None:
        return RejectReason.INSUFFICIENT_BALANCE
    replaced = account.find(order.slot)
    if replaced is not None and replaced.sequence in plan.gone:
        replaced = None
    reason = _standing(order, account, client_order_id, replaced, plan)
    if reason is None and order.flags & PROTECTED:
        reason = protection_refusal(state, order.account, order.market)
    if reason is not None:
        return reason
    if beside.is_amend and replaced is None:
        return RejectReason.ORDER_NOT_OPEN
    reason = _links(state, account, order, beside, plan)
    if reason is not None or order.trigger_ticks or beside.parent:
        return reason
    if order.flags & POST_ONLY and _is_crossed(book, order, replaced, plan):
        return RejectReason.POST_ONLY_WOULD_CROSS
    token = book.market.base_token if order.side else state.quote_token
    balance = find_part(state.ledger, order.account, token, order.subaccount)
    if balance is None:
        return RejectReason.INSUFFICIENT_BALANCE
    needed = plan.taken.get(balance, 0) + hold_per_lot(order, book.market, moment) * order.size_lots
    if replaced is not None and replaced.balance is balance:
        needed -= replaced.hold_per_lot * replaced.left
    if needed > balance.cover:
        return RejectReason.INSUFFICIENT_BALANCE
    if order.flags & REDUCE_ONLY and needed > balance.settled - balance.leaving - balance.taken:
        return RejectReason.REDUCE_ONLY_EXCEEDED
    plan.taken[balance] = needed
    return None


def _is_crossed(book: Book, order: Order, replaced: Ticket | None, plan: Plan) -> bool:
    if not plan.gone and not plan.orders:
        return book.is_crossed_by(order.side, order.price_ticks, replaced)
    gone = plan.gone if replaced is None else {**plan.gone, replaced.sequence: None}
    return book.meets(order.side, order.price_ticks, gone) or any(
        other.market == order.market and other.side != order.side and _reaches(order, other.price_ticks)
        for other in plan.orders
    )


def _reaches(order: Order, price: int) -> bool:
    return order.price_ticks <= price if order.side == Side.SELL else order.price_ticks >= price


def signer_refusal(state: State, agent: Agent | None, market: int) -> RejectReason | None:
    """Whether somebody else than the account may sign for it at all. Asked before anything else: what is wrong with
    the order beside that is no stranger's to say."""
    if agent is None or not state.backlog.rules.gas_per_agent:
        return RejectReason.WRONG_SIGNER
    return None if agent.is_entitled(state.at, market) else RejectReason.AGENT_NOT_ENTITLED


def budget_refusal(
    lane: Lane, agent: Agent, price: int, size: int, replaced: Ticket | None = None
) -> RejectReason | None:
    """Whether the agent may still trade that much; the last thing that is asked. A seller may get more than his price:
    at most the best bid."""
    area = (price if lane.is_buy else max(price, lane.opposite.best)) * size
    if replaced is not None and replaced.agent is agent and not replaced.is_waiting:
        area -= replaced.price * replaced.left
    if (lane.needs_pool and agent.left is not None) or not agent.affords(area * lane.quote_atoms_per_tick_lot):
        return RejectReason.AGENT_LIMIT
    return None


def hold_per_lot(order: Order, market: Market, moment: Moment) -> int:
    """Atoms held per remaining lot. Rounded up per lot, so that partial fills never cost more than was held."""
    if order.side == Side.SELL:
        return market.base_atoms_per_lot
    notional = order.price_ticks * market.quote_atoms_per_tick_lot
    return ceil_div(notional * moment.hold_factor, PPM)


_ALL = POST_ONLY | REDUCE_ONLY | AMM | OF_TRIGGER
KNOWN_FLAGS = (POST_ONLY | AMM, _ALL, _ALL | PROTECTED)
"""By the venue's rules of orders."""


def _shape(rules: int, order: Order, client_order_id: str, beside: Beside) -> RejectReason | None:
    """What makes no sense in itself, or is not there by these rules."""
    if order.flags & ~KNOWN_FLAGS[rules] or (order.trigger_ticks and not rules):
        return RejectReason.UNSUPPORTED
    if order.subaccount and rules < RULES_FOR_ACCOUNTS:
        return RejectReason.UNSUPPORTED
    if order.flags & POST_ONLY and order.flags & AMM and not rules:
        return RejectReason.UNSUPPORTED
    if flaw_of_order(order, client_order_id) or flaw_beside(order, beside):
        return RejectReason.INVALID_PARAMETER
    if order.is_immediate != (order.nonce >> 48 == 0):
        return RejectReason.INVALID_SLOT
    return None


def flaw_of_order(order: Order, client_order_id: str) -> str:
    """The first field that contradicts the others or is too long, "" if none does."""
    is_immediate = order.is_immediate
    if order.kind == Kind.MARKET and order.time_in_force not in (TimeInForce.IOC, TimeInForce.FOK):
        return "time_in_force"
    if order.flags & AMM and not (is_immediate and order.flags == AMM):
        return "amm"
    if order.flags & (POST_ONLY | PROTECTED) and is_immediate:
        return "post_only" if order.flags & POST_ONLY else "protected"
    if order.flags & REDUCE_ONLY and order.side == Side.BUY:
        return "reduce_only"
    if order.trigger_ticks:
        if is_immediate or order.flags & POST_ONLY or order.trigger_ticks > PRICE_TICKS_MAX:
            return "trigger_ticks"
    elif order.flags & OF_TRIGGER:
        return "trigger_ticks"
    if order.expiry > EXPIRY_MAX or (order.time_in_force == TimeInForce.GTD and not order.expiry):
        return "expiry"
    return "client_order_id" if len(client_order_id.encode()) > CLIENT_ORDER_ID_BYTES_MAX else ""


def flaw_beside(order: Order, beside: Beside) -> str:
    """The first wish that contradicts the order or itself, "" if none does."""
    if order.is_immediate:
        wishes = ("is_amend", "display_lots", "trail_ticks", "parent", "other")
        return next((name for name in wishes if getattr(beside, name)), "")
    is_stop = order.trigger_ticks and not order.flags & TAKE_PROFIT
    if beside.trail_ticks and not is_stop:
        return "trail_ticks"
    if beside.display_lots and order.flags & IMMEDIATE:
        return "display_lots"
    return next((name for name in ("parent", "other") if order.nonce == getattr(beside, name)), "")


def _links(state: State, account: Account, order: Order, beside: Beside, plan: Plan) -> RejectReason | None:
    """The orders that it names, and how many others wait."""
    waits = bool(order.trigger_ticks or beside.parent)
    if waits:
        count = sum(special.is_waiting for special in account.specials.values())
        count += sum(waits for _, _, waits in plan.links.values())
        is_full = beside.trail_ticks and state.waiting.is_full(watch_of(order))
        if count >= WAITING_ORDERS_PER_ACCOUNT_MAX or is_full:
            return RejectReason.TOO_MANY_WAITING_ORDERS
    for nonce, is_other in ((beside.parent, False), (beside.other, True)):
        if not nonce:
            continue
        named = _named(state, account, nonce, plan)
        if named is None or (is_other and named[2] is None):
            return RejectReason.ORDER_NOT_OPEN
        market, side, other_waits = named
        if market != order.market or (is_other and (side != order.side or not (waits or other_waits))):
            return RejectReason.INVALID_PARAMETER
    return None


def _named(state: State, account: Account, nonce: int, plan: Plan) -> tuple[int, int, bool | None] | None:
    """Market and side of an order, and whether it waits: None of one that is done, or linked already."""
    if nonce in plan.links:
        return plan.links[nonce]
    ticket, guard = account.open.get(nonce), state.together
    if ticket is not None and ticket.sequence not in plan.gone:
        is_linked = ticket.sequence in state.waiting.links
        return ticket.market, ticket.side, None if is_linked else ticket.is_waiting
    if guard is not None and nonce in guard.done:
        return guard.done[nonce][0], 0, None
    return None


def entry_refusal(state: State, ticket: Ticket, other: Ticket | None) -> RejectReason | None:
    """Why an order that waited may not enter; `other` is one that leaves if it does."""
    order, market, balance, agent = ticket.order, ticket.trader.market, ticket.balance, ticket.agent
    book = state.books[order.market]
    if agent is not None and (reason := signer_refusal(state, agent, order.market)) is not None:
        return reason
    moment = state.moment_for(ticket.account)
    if order.max_fee_ppm < moment.cap:
        return RejectReason.FEE_CAP_TOO_LOW
    reason = _open_for(order, state.gate.state, book.state)
    if reason is not None:
        return reason
    if book.is_beyond_band(order.side, order.price_ticks, state.at):
        return RejectReason.PRICE_OUT_OF_BAND
    if ticket.account.uncovered:
        return RejectReason.CANCEL_ONLY_ACCOUNT
    if order.flags & PROTECTED and (reason := protection_refusal(state, order.account, order.market)) is not None:
        return reason
    if order.flags & POST_ONLY and book.is_crossed_by(order.side, order.price_ticks):
        return RejectReason.POST_ONLY_WOULD_CROSS
    needed = hold_per_lot(order, market, moment) * ticket.left
    if other is not None and other.balance is balance:
        needed -= other.hold_per_lot * other.left
    if needed > balance.cover:
        return RejectReason.INSUFFICIENT_BALANCE
    if order.flags & REDUCE_ONLY and needed > balance.settled - balance.leaving - balance.taken:
        return RejectReason.REDUCE_ONLY_EXCEEDED
    return None if agent is None else budget_refusal(ticket.lane, agent, ticket.price, ticket.left, other)


def _bounds(order: Order, market: Market) -> RejectReason | None:
    if not 0 < order.price_ticks <= PRICE_TICKS_MAX:
        return RejectReason.INVALID_PRICE
    if not 0 < order.size_lots <= SIZE_LOTS_MAX:
        return RejectReason.INVALID_SIZE
    notional = order.price_ticks * order.size_lots * market.quote_atoms_per_tick_lot
    if notional > NOTIONAL_ATOMS_MAX or order.size_lots * market.base_atoms_per_lot > NOTIONAL_ATOMS_MAX:
        return RejectReason.INVALID_SIZE
    return None


def _times(order: Order, at: int) -> RejectReason | None:
    if order.expiry and order.expiry * 1000 <= at:
        return RejectReason.EXPIRED
    if order.sequence > at + SEQUENCE_AHEAD_MILLIS_MAX:
        return RejectReason.NONCE_TOO_FAR_AHEAD
    return None


def _open_for(order: Order, venue: VenueState, market: MarketState) -> RejectReason | None:
    if venue is VenueState.ACTIVE and market is MarketState.ACTIVE:
        return None
    if venue is VenueState.CANCEL_ONLY or venue is VenueState.HALTED:
        return RejectReason.CANCEL_ONLY_VENUE
    if market is MarketState.DELISTED:
        return RejectReason.MARKET_DELISTED
    if market is MarketState.CANCEL_ONLY or market is MarketState.PAUSED:
        return RejectReason.MARKET_NOT_OPEN
    return None if order.flags & POST_ONLY else RejectReason.POST_ONLY_VENUE


def _pool_for(state: State, market: Market) -> RejectReason | None:
    """An order for the AMM pair needs reserves that were seen a moment ago, and no fill that may still change them.

    The age is that of the chain's own time: while no block comes, the reserves do not change either.
    """
    pool = state.pools.get(market.market)
    if pool is None or pool.is_empty or state.block_time - pool.block_time > POOL_AGE_SECONDS_MAX:
        return RejectReason.NO_POOL
    if market.base_token in state.backlog.pools:
        return RejectReason.POOL_BUSY
    return None if state.backlog.rules.fits_one(state.backlog.gas_max, is_amm=True) else RejectReason.UNSUPPORTED


def _standing(
    order: Order, account: Account, client_order_id: str, replaced: Ticket | None, plan: Plan
) -> RejectReason | None:
    """What the account's other orders and balances say."""
    if account.nonces.is_dead(order.nonce):
        return RejectReason.DEAD_NONCE
    if account.uncovered:
        return RejectReason.CANCEL_ONLY_ACCOUNT
    if client_order_id and (client_order_id in account.client_ids or client_order_id in plan.names):
        return RejectReason.DUPLICATE_CLIENT_ORDER_ID
    count = len(account.open) - len(plan.gone) + len(plan.orders)
    if not order.is_immediate and replaced is None and count >= OPEN_ORDERS_PER_ACCOUNT_MAX:
        return RejectReason.TOO_MANY_OPEN_ORDERS
    return None
