"""Accepted orders and where they are kept: tickets, the price levels they rest in, the accounts they belong to.

Invariant: an order is open exactly as long as it rests in a level and is in its account's `open`; it forgets its level
when it leaves it, so that nothing here needs a collector. An account knows its last 10,000 closed orders and its last
10,000 rejected ones (see `memory`).
Only the types are here: who changes what is said by the modules that do it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Final

from offchain.domain.event import OrderAccepted, OrderRejected
from offchain.domain.limits import NOTIONAL_ATOMS_MAX, PRICE_TICKS_MAX, SIZE_LOTS_MAX
from offchain.domain.market import Market
from offchain.domain.order import Flags, Kind, Order, OrderStatus, Side, TimeInForce, from_row, unpack_terms
from offchain.domain.reasons import CloseReason
from offchain.domain.units import PPM, Address, Digest, from_hex
from offchain.engine.agents import Agent
from offchain.engine.ledger import Balance
from offchain.engine.nonces import Nonces

ORDER_TRANSITIONS: Final[dict[tuple[OrderStatus, CloseReason], OrderStatus]] = {
    (OrderStatus.OPEN, CloseReason.FILLED): OrderStatus.CLOSED,
    (OrderStatus.OPEN, CloseReason.CANCELED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.REPLACED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.EXPIRED): OrderStatus.EXPIRED,
    (OrderStatus.OPEN, CloseReason.IMMEDIATE_REMAINDER): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.SELF_TRADE): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.UNCOVERED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.FILL_REFUSED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.CANCELED_ON_CHAIN): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.DELISTED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.DISCONNECTED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.LINKED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.TRIGGER_REFUSED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.TIMED_OUT): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.PROTECTED): OrderStatus.CANCELED,
}
"""(state, trigger) -> state. An accepted order is OPEN; no other state is ever left."""

NO_BID: Final = 0
"""Below every price."""
NO_ASK: Final = 2**64
"""Above every price."""


class Moment:
    """When orders are accepted, and the fee schedule in force: one object for all orders of that instant."""

    __slots__ = ("at", "cap", "hold_factor", "maker_ppm", "taker_ppm")

    def __init__(self, at: int, maker_ppm: int, taker_ppm: int) -> None:
        self.at = at
        self.maker_ppm = maker_ppm
        self.taker_ppm = taker_ppm
        self.cap = max(maker_ppm, taker_ppm)
        """An order has to allow this much."""
        self.hold_factor = PPM + max(self.cap, 0)
        """Millionths of the notional that a buyer holds."""


class Special:
    """What few open orders have besides their tickets."""

    __slots__ = ("cut", "display", "hidden", "is_waiting", "self_trade", "trail")

    def __init__(self) -> None:
        self.cut = 0
        """Lots of the signed size that were given up: they neither show nor fill nor hold anything."""
        self.display = 0
        """Lots that it shows at a time; 0: all."""
        self.hidden = 0
        """Lots that it holds money for and does not show yet."""
        self.is_waiting = False
        """Not in the book, and holds nothing."""
        self.trail = 0
        """Ticks at which its trigger follows the price."""
        self.self_trade = 0
        """Its mode, when its trigger comes."""


class Trader:
    """An account in one market: its two balances there, and the one that fees go to."""

    __slots__ = ("account", "base", "fees", "market", "open", "quote", "slots")

    def __init__(self, account: Account, market: Market, quote: Balance, base: Balance, fees: Balance) -> None:
        self.account = account
        self.market = market
        self.open, self.slots = account.open, account.nonces.slots
        """The account's own."""
        self.quote = quote
        self.base = base
        self.fees = fees


class Ticket:
    """An accepted order, what is left of it, and the level that it rests in.

    It has no constructor: setting its fields one by one where it is made takes half of the time of calling one, in the
    one object that every order costs. What many orders share is not kept again in each: most of what a venue remembers
    is tickets.
    """

    __slots__ = (
        "agent",
        "expiry",
        "hold_per_lot",
        "is_fresh",
        "key",
        "lane",
        "level",
        "max_fee_ppm",
        "moment",
        "nonce",
        "price",
        "reason",
        "remaining",
        "sequence",
        "signature",
        "size",
        "trader",
    )

    lane: Lane
    trader: Trader
    moment: Moment
    """Of its acceptance."""
    sequence: int
    """That of its command: its time priority, and its id among timers."""
    key: bytes
    """Its digest."""
    signature: bytes
    """Of 65 bytes; signed in bulk, with its proof behind them."""
    agent: Agent | None
    """Who signed, if it was not the account itself."""
    price: int
    size: int
    max_fee_ppm: int
    nonce: int
    expiry: int
    hold_per_lot: int
    """Atoms of `balance`."""
    remaining: int
    reason: CloseReason | None
    """Why it is closed; None while it is open."""
    is_fresh: bool
    """Nothing of its slot had settled when it was accepted, and the venue's rules make a difference of that."""
    level: PriceLevel | None
    trigger = 0
    """As it was signed. Of this class none has one: see `Conditional`."""

    @property
    def account(self) -> Account:
        return self.trader.account

    @property
    def market(self) -> int:
        return self.trader.market.market

    @property
    def balance(self) -> Balance:
        """Where its hold is."""
        return self.trader.quote if self.lane.is_buy else self.trader.base

    @property
    def side(self) -> Side:
        return Side.BUY if self.lane.is_buy else Side.SELL

    @property
    def digest(self) -> Digest:
        return Digest("0x" + self.key.hex())

    @property
    def client_order_id(self) -> str:
        return self.trader.account.names.get(self.key, "")

    @property
    def filled(self) -> int:
        special = self.trader.account.specials.get(self.nonce)
        return self.size - self.remaining - (0 if special is None else special.cut + special.hidden)

    @property
    def left(self) -> int:
        """What may fill yet, shown or not."""
        special = self.trader.account.specials.get(self.nonce)
        return self.remaining + (0 if special is None else special.hidden)

    @property
    def is_waiting(self) -> bool:
        special = self.trader.account.specials.get(self.nonce)
        return special is not None and special.is_waiting

    @property
    def status(self) -> OrderStatus:
        return OrderStatus.OPEN if self.reason is None else ORDER_TRANSITIONS[OrderStatus.OPEN, self.reason]

    @property
    def order(self) -> Order:
        """As it was signed."""
        owner = self.trader.account.key
        head = owner, self.lane.terms, self.price, self.size, self.trigger, self.max_fee_ppm
        return from_row((*head, self.nonce, self.expiry, self.signature, owner, self.key))

    @property
    def accepted(self) -> OrderAccepted:
        """As it was announced."""
        subaccount, market, side, kind, tif, flags = unpack_terms(self.lane.terms)
        return OrderAccepted(
            sequence=self.sequence,
            at=self.moment.at,
            digest=self.digest,
            account=self.trader.account.address,
            subaccount=subaccount,
            market=market,
            side=side,
            kind=kind,
            time_in_force=tif,
            flags=flags,
            price_ticks=self.price,
            size_lots=self.size,
            nonce=self.nonce,
            expiry=self.expiry,
            client_order_id=self.client_order_id,
            maker_fee_ppm=self.moment.maker_ppm,
            taker_fee_ppm=self.moment.taker_ppm,
            trigger_ticks=self.trigger,
            is_waiting=self.is_waiting,
        )


class Conditional(Ticket):
    """An order with a trigger."""

    __slots__ = ("trigger",)

    trigger: int


PLACES_MIN: Final = 32
"""So many places of orders that left cost less than looking at them."""


class PriceLevel:
    """Orders at one price, oldest first.

    The place of an order that leaves stays, and is passed over, because the order's `level` is another one by then, and
    never this one again: so nobody looks for it in the middle, and nothing of its neighbours is touched, whose memory
    is cold nearly always. Places are given up when they are more than twice as many as orders.
    """

    __slots__ = ("_heirs", "_start", "is_touched", "ladder", "limit", "price", "queue", "size")

    def __init__(self, ladder: Ladder, price: int) -> None:
        self.ladder = ladder
        self.price = price
        self.size = 0
        """Lots that its orders show; an order shows one at least."""
        self.queue: list[Ticket] = []
        """A place for each order that came."""
        self._start = 0
        """Of the first place that may be taken."""
        self._heirs: dict[int, Ticket] = {}
        """Who has the place of an order that left, by its sequence."""
        self.limit = PLACES_MIN
        """With so many places they are looked through."""
        self.is_touched = False

    def first(self) -> Ticket | None:
        """The oldest order. The places before its own are given up."""
        queue, place = self.queue, self._start
        while place < len(queue):
            ticket = queue[place]
            if ticket.level is self:
                self._start = place
                return ticket
            heir = self._heir(ticket) if self._heirs else None
            if heir is not None:
                self._start, queue[place] = place, heir
                return heir
            place += 1
        return None

    def orders(self) -> Iterator[Ticket]:
        """Oldest first."""
        for place in range(self._start, len(self.queue)):
            ticket = self.queue[place]
            heir = ticket if ticket.level is self else self._heir(ticket)
            if heir is not None:
                yield heir

    def _heir(self, left: Ticket) -> Ticket | None:
        """Who has the place of an order that left."""
        heirs, heir = self._heirs, self._heirs.get(left.sequence)
        while heir is not None and heir.level is not self:
            heir = heirs.get(heir.sequence)
        return heir

    def settle(self) -> None:
        """Its changes were told."""
        self.is_touched = False
        if len(self.queue) + len(self._heirs) > self.limit:
            self.requeue(self.orders())

    def requeue(self, orders: Iterable[Ticket]) -> None:
        """Places for these, and for no others."""
        self.queue, self._start, self._heirs = list(orders), 0, {}
        self.limit = 2 * len(self.queue) + PLACES_MIN

    def insert(self, ticket: Ticket) -> None:
        """Into its place by sequence, where all are in that order."""
        if len(self.queue) > self.limit:
            self.requeue(self.orders())
        place = len(self.queue)
        while place and self.queue[place - 1].sequence > ticket.sequence:
            place -= 1
        self.queue.insert(place, ticket)
        self._start = min(self._start, place)

    def bequeath(self, old: Ticket, new: Ticket) -> None:
        """The place of an order that is about to leave."""
        self._heirs[old.sequence] = new

    def move_back(self, first: Ticket) -> None:
        """The order that `first` has just given queues behind all others."""
        self._start += 1
        self.queue.append(first)


class Ladder:
    """The price levels of one side. `keys` are signed so that the best price is at the end."""

    __slots__ = ("best", "empty", "keys", "levels", "market", "side", "sign", "touched")

    def __init__(self, market: int, side: Side, touched: list[PriceLevel]) -> None:
        self.market = market
        self.side = side
        self.sign = 1 if side is Side.BUY else -1
        self.empty = NO_BID if side is Side.BUY else NO_ASK
        self.best = self.empty
        """The best price; of an empty side one that no order crosses."""
        self.keys: list[int] = []
        self.levels: dict[int, PriceLevel] = {}
        self.touched = touched
        """Where levels go when they change, once: the venue's list, or a test's."""

    def best_first(self) -> Iterator[PriceLevel]:
        sign, levels = self.sign, self.levels
        return (levels[sign * key] for key in reversed(self.keys))

    def open_level(self, price: int) -> PriceLevel:
        """A new level, empty until the caller puts an order into it."""
        level = self.levels[price] = PriceLevel(self, price)
        insort(self.keys, self.sign * price)
        self.best = self.sign * self.keys[-1]
        return level

    def drop_level(self, level: PriceLevel) -> None:
        """Its last order left."""
        del self.levels[level.price]
        keys, key = self.keys, self.sign * level.price
        if keys[-1] == key:
            keys.pop()
            self.best = self.sign * keys[-1] if keys else self.empty
        else:
            del keys[bisect_left(keys, key)]


class Tape:
    """The last price of a market: that of the last level that an order traded at; 0 if there was none yet."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0


class Lane:
    """What all orders with the same terms (market, side, kind, time in force, flags) have in common, looked up once.

    Only of terms that make sense: how many lanes there are is bounded by how many markets there are.
    """

    __slots__ = (
        "area_max",
        "base_atoms_per_lot",
        "is_brief",
        "is_buy",
        "is_fok",
        "is_immediate",
        "is_post_only",
        "is_protected",
        "is_restricted",
        "is_unusual",
        "market",
        "needs_expiry",
        "needs_pool",
        "opposite",
        "own",
        "quote_atoms_per_tick_lot",
        "subaccount",
        "tape",
        "tells_fresh_slots",
        "terms",
        "traders",
    )

    def __init__(
        self, terms: bytes, market: Market, own: Ladder, opposite: Ladder, traders: dict[bytes, Trader], tape: Tape
    ) -> None:
        self.tells_fresh_slots = False
        """The venue's rules ask whether something settled in an order's slot, and it has one of its own."""
        self.subaccount, _, _, kind, time_in_force, flags = unpack_terms(terms)
        self.terms = terms
        self.market = market
        self.own, self.opposite = own, opposite
        self.traders = traders
        """Of its book, by the bytes of their accounts: of protected orders those who may place them unseen."""
        self.tape = tape
        self.is_unusual = flags & ~(Flags.POST_ONLY | Flags.PROTECTED) != 0
        self.is_restricted = self.is_unusual
        """Market or venue are not ACTIVE, or there is more to look at than at other orders: not every one may enter."""
        self.is_buy = own.side is Side.BUY
        self.is_immediate = kind is Kind.MARKET or time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
        self.is_brief = self.is_immediate or bool(flags & Flags.IMMEDIATE)
        """It may not rest, or no more once its trigger has come."""
        self.is_fok = time_in_force is TimeInForce.FOK
        self.needs_expiry = time_in_force is TimeInForce.GTD
        self.is_post_only, self.needs_pool = bool(flags & Flags.POST_ONLY), flags == Flags.AMM
        self.is_protected = bool(flags & Flags.PROTECTED)
        self.base_atoms_per_lot = market.base_atoms_per_lot
        self.quote_atoms_per_tick_lot = market.quote_atoms_per_tick_lot
        most_lots = min(SIZE_LOTS_MAX, NOTIONAL_ATOMS_MAX // market.base_atoms_per_lot)
        self.area_max = min(PRICE_TICKS_MAX, NOTIONAL_ATOMS_MAX // market.quote_atoms_per_tick_lot, most_lots)
        """Price times size up to this: price, size and notional are none too large. Not the other way round."""


class Account:
    """Everything the engine keeps per account; each part is changed by the module that defines it."""

    __slots__ = (
        "address",
        "agents",
        "approvals",
        "cancels",
        "client_ids",
        "closed",
        "doubts",
        "group",
        "is_split",
        "key",
        "locked",
        "names",
        "nonces",
        "open",
        "rejected",
        "settled_slots",
        "specials",
        "switch",
        "uncovered",
    )

    def __init__(self, address: Address) -> None:
        self.address = address
        self.key = from_hex(address)
        """As in an order's frame."""
        self.nonces = Nonces()
        self.agents: dict[bytes, Agent] = {}
        """By the bytes of their addresses, also those that are over."""
        self.open: dict[int, Ticket] = {}
        """By nonce, oldest first. The order of a slot is at the nonce that the slot has reached."""
        self.specials: dict[int, Special] = {}
        """Of those of them that are no plain orders."""
        self.group = 0
        """Accounts of one group are one owner's; 0 is none."""
        self.is_split = False
        """It has sub-accounts beside 0, or had."""
        self.switch = 0
        """The sequence of the command that set its dead-man switch: the id of that timer; 0 if none is set."""
        self.settled_slots: dict[int, None] = {}
        """Slots in which a fill settled: known only where the venue's rules make a difference of that."""
        self.closed: deque[Ticket | bytes] = deque()
        """The oldest first: first rows (see `accepted`), then tickets."""
        self.rejected: OrderedDict[bytes, OrderRejected] = OrderedDict()
        """By digest, the oldest first."""
        self.client_ids: dict[str, bytes] = {}
        """Digests by client order id."""
        self.names: dict[bytes, str] = {}
        """Client order ids by digest."""
        self.cancels = 0
        """How often it cancelled on chain: known only where the venue's rules make a difference of that."""
        self.approvals = 0
        """How many countersignatures are open."""
        self.locked = 0
        """Collateral locked from this account less what was unlocked to it, in units of the settlement token.

        Below 0 for whoever was paid out of another's position: a liquidator, the insurance account.
        """
        self.uncovered = 0
        """How many of its balances are not covered; above 0 it may only cancel."""
        self.doubts = 0
        """How many of its balances are not covered, and of its orders are no plain ones, and whether it is in a group,
        and whether it is split: above 0 its orders are not placed by the quick look that others get."""

    def join(self, group: int) -> None:
        """A group, or (0) none."""
        self.doubts += bool(group) - bool(self.group)
        self.group = group

    def split(self) -> None:
        """It has sub-accounts from now on."""
        self.doubts += not self.is_split
        self.is_split = True

    def special(self, nonce: int) -> Special:
        """Of an open order, which is no plain one from now on."""
        special = self.specials.get(nonce)
        if special is None:
            special = self.specials[nonce] = Special()
            self.doubts += 1
        return special

    def find(self, slot: int) -> Ticket | None:
        """The open order of a slot."""
        return self.open.get(self.nonces.slots.get(slot, 0))
