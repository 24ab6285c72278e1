"""The engine again, obviously right and slow: flat lists, everything recomputed, nothing shared with offchain/engine.

`apply` returns the happenings of one command as plain tuples; `money` recomputes every balance from the lists.
"""

from dataclasses import dataclass, field
from typing import Any

from relays import Relays
from rules import Rules
from wishes import Wishes

from offchain.domain import chainlog, command
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.order import Order

DAY = 24 * 3600 * 1000
SEQUENCES = 2**48
HALTED_STATES = ("CANCEL_ONLY", "HALTED")
RANK = ("ACTIVE", "POST_ONLY", "CANCEL_ONLY", "HALTED")


def ceil(numerator: int, denominator: int) -> int:
    whole, rest = divmod(numerator, denominator)
    return whole + (rest > 0)


@dataclass
class Placed:
    number: int
    order: Order
    digest: str
    client_id: str
    maker_ppm: int
    taker_ppm: int
    per_lot: int
    token: str
    fresh: bool = False
    """Nothing had settled in its slot when it came."""
    filled: int = 0
    closed: str = ""
    cut: int = 0
    """Given up"""
    rank: tuple[int, int] = (0, 0)
    """Its place among others at its price"""
    display: int = 0
    shown: int = 0
    """Of an order that shows a part: what is left of that"""
    waiting: bool = False
    trigger: int = 0
    trail: int = 0
    mode: int = 0
    parent: "Placed | None" = None
    other: "Placed | None" = None
    armed: bool = False

    @property
    def visible(self) -> int:
        return min(self.shown, self.left) if self.display else self.left

    @property
    def left(self) -> int:
        return self.order.size_lots - self.filled - self.cut


@dataclass
class Match:
    number: int
    at: int
    maker: Placed | None
    taker: Placed
    lots: int
    moves: list[tuple[str, str, int]]
    batch: int = 0
    state: str = "MATCHED"
    taken_back: bool = False
    quote: int = 0
    """With a pair: its price."""
    rows: dict[tuple[str, str], tuple[bool, bool]] = field(default_factory=dict)
    """Before it: may the word be 0, and is there a request"""
    cancels: dict[int, int] = field(default_factory=dict)
    """By order: how often its account had cancelled on chain"""

    def part(self, n: int) -> int:
        """The sub-account of a move: two of each order, then the fee"""
        return 0 if n % 3 == 2 else self.orders[n // 3].order.subaccount

    @property
    def orders(self) -> list[Placed]:
        return [placed for placed in (self.maker, self.taker) if placed is not None]


@dataclass
class Promise:
    nonce: int
    account: str
    token: str
    amount: int
    deadline: int
    is_open: bool = True


@dataclass
class Naive(Wishes, Rules, Relays):
    orders: list[Placed] = field(default_factory=list)
    resting: list[Placed] = field(default_factory=list)
    fills: list[Match] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    granted: dict[tuple[str, int], int] = field(default_factory=dict)
    batches: list[tuple[int, int]] = field(default_factory=list)
    settled: dict[tuple[str, str], int] = field(default_factory=dict)
    requests: dict[tuple[str, str], int] = field(default_factory=dict)
    locked: dict[str, int] = field(default_factory=dict)
    dead: list[tuple[str, int, int]] = field(default_factory=list)
    """(account, slot, highest dead sequence); slot -1: a floor"""
    used: set[tuple[str, int]] = field(default_factory=set)
    """(account, slot) of settled fills"""
    cancels: list[str] = field(default_factory=list)
    """Accounts that cancelled on chain, each as often as it did"""
    agents: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    markets: dict[int, Any] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    asked: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Requested markets: symbol and synth's symbol"""
    operators: tuple[str, ...] = ()
    pools: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
    """Market: base, quote, block, time"""
    came: dict[int, int] = field(default_factory=dict)
    """Fills with pairs: what the chain said came out."""
    accounts: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    restricted: set[str] = field(default_factory=set)
    out: list[Any] = field(default_factory=list)
    venue: Any = None
    fees: tuple[int, int] = (0, 0)
    operator: tuple[str, str] = ("ACTIVE", "")
    announced: tuple[str, str] = ("ACTIVE", "")
    at: int = 0
    number: int = 0
    decided: int = 0
    event_sequence: int = 0
    block: tuple[int, int] = (0, 0)
    epoch: list[int] = field(default_factory=lambda: [1, 1, 0, 0])

    # --- money, from the lists ---

    def money(self, account: str, token: str, part: int | None = None) -> tuple[int, int, int, int]:
        """settled, pending, held, leaving: of the account, or of a sub-account"""
        pending = sum(
            amount
            for fill in self.fills[self.decided :]
            for n, (owner, what, amount) in enumerate(fill.moves)
            if (owner, what) == (account, token) and (fill.maker is not None or amount < 0)
            if part in (None, fill.part(n))
        )
        held = sum(
            placed.per_lot * placed.left
            for placed in self.resting
            if placed.order.account == account and placed.token == token and part in (None, placed.order.subaccount)
        )
        promised = sum(
            promise.amount
            for promise in self.promises
            if promise.is_open and (promise.account, promise.token) == (account, token)
        )
        leaving = 0 if part else promised + self.requests.get((account, token), 0)
        return self.part_settled(account, token, part), pending, held, leaving

    def owed(self, account: str, token: str, part: int | None = None) -> int:
        """What undecided fills take, whatever later ones bring. Every third move is a fee, which owes nobody."""
        moves = [
            move
            for fill in self.fills[self.decided :]
            for n, move in enumerate(fill.moves)
            if n % 3 != 2 and part in (None, fill.part(n))
        ]
        return -sum(amount for owner, what, amount in moves if (owner, what) == (account, token) and amount < 0)

    def cover(self, account: str, token: str, part: int) -> int:
        settled, pending, held, leaving = self.money(account, token, part)
        return settled + pending - held - leaving

    def free(self, account: str, token: str, part: int | None) -> int:
        """Settled, and nobody's else"""
        settled, _, held, leaving = self.money(account, token, part)
        return settled - self.owed(account, token, part) - held - leaving

    # --- time ---

    def apply(self, number: int, at: int, what: Any) -> list[Any]:
        self.out, self.number = [], number
        while due := [timer for timer in self.timers() if timer[0] <= at]:
            self.at, kind, identity = min(due, key=lambda timer: (timer[0], timer[1], timer[2]))
            if kind == 0:
                self.close(next(placed for placed in self.resting if placed.number == identity), "EXPIRED")
            elif kind == 1:
                self.fire_switch(identity)
            elif kind == 2:
                self.close_batch()
            else:
                self.announce()
        self.at = at
        self.lapse(what)
        getattr(self, "on_" + type(what).__name__)(what)
        self.close_uncovered()
        if isinstance(what, command.ObserveLog):
            self.share_all()
        self.react()
        self.restrict_all()
        self.announce()
        return self.out

    def timers(self) -> list[tuple[int, int, int]]:
        """(deadline, kind, id): 0 expiry, 1 dead-man switch, 2 batch, 3 gate"""
        found = [(p.order.expiry * 1000, 0, p.number) for p in self.resting if p.order.expiry]
        waiting = [fill for fill in self.fills if fill.state == "MATCHED"]
        if waiting:
            found.append((waiting[0].at + self.venue.batch_interval_millis, 2, 0))
        if self.fills[self.decided :]:
            oldest = self.fills[self.decided].at
            found += [(oldest + age + 1, 3, 0) for age in (60_000, 150_000) if self.at <= oldest + age]
        return found + [(deadline, 1, number) for number, _, deadline in self.switches]

    def venue_state(self) -> tuple[str, str]:
        age = self.at - self.fills[self.decided].at if self.fills[self.decided :] else 0
        older = max(age, 60 * len(self.fills[self.decided :]))
        backlog = "CANCEL_ONLY" if older > 150_000 else "POST_ONLY" if older > 60_000 else "ACTIVE"
        return max(self.operator, (backlog, "backlog"), key=lambda state: RANK.index(state[0]))

    def announce(self) -> None:
        if self.venue_state() != self.announced:
            self.announced = self.venue_state()
            self.out.append(("venue", *self.announced))

    def close_uncovered(self) -> None:
        for account in sorted(self.accounts):
            for token in sorted(self.tokens):
                for part in self.parts_of(account):
                    self.close_newest(account, token, part)

    def close_newest(self, account: str, token: str, part: int) -> None:
        for placed in sorted(self.resting, key=lambda placed: -placed.number):
            if self.cover(account, token, part) >= 0:
                break
            key = (placed.order.account, placed.token, placed.order.subaccount)
            if key == (account, token, part) and placed.per_lot:
                self.close(placed, "UNCOVERED")

    def restrict_all(self) -> None:
        for account in sorted(self.accounts):
            owes = any(self.cover(account, t, part) < 0 for t in self.tokens for part in self.parts_of(account))
            if owes != (account in self.restricted):
                self.out.append(("restricted", account, owes))
                (self.restricted.add if owes else self.restricted.discard)(account)

    # --- orders ---

    def on_PlaceOrder(self, what: command.PlaceOrder) -> None:
        order = what.order
        separator = domain_separator(self.venue.chain_id, self.venue.settlement)
        digest = "0x" + order_digest(separator, order).hex()
        self.epoch[3] += 1
        reason, waived = self.why_not(what), ""
        if what.signer == order.account and digest in self.promised:
            self.promised_left -= 1
            waived, reason = reason, "" if self.promised[digest] else "BATCH_REFUSED"
        if reason:
            self.out.append(("rejected", digest, reason))
            return
        rank = (self.number, 0)
        for old in self.in_slot(order):
            if what.beside is not None and what.beside.is_amend and self.is_less(old, order, what.beside):
                rank = old.rank
            self.close(old, "REPLACED")
        self.dead.append((order.account, order.slot, order.sequence))
        placed = self.made(what, digest, rank)
        if order.subaccount:
            self.split.setdefault(order.account, set()).add(order.subaccount)
        self.resting.append(placed)
        self.out.append(("accepted", digest, order.size_lots))
        self.link(placed, what.beside)
        if placed.waiting:
            self.wait(placed, what.beside.parent if what.beside is not None else 0)
        else:
            self.go(placed)
            if waived and order.flags & 64 and not placed.closed and self.protection_flaw(order):
                self.close(placed, "PROTECTED")

    def go(self, placed: Placed) -> None:
        before = len(self.fills)
        self.trade(placed)
        self.watch_fills(self.fills[before:])

    def trade(self, placed: Placed) -> None:
        order = placed.order
        if order.flags & 4:
            self.swap(placed)
        else:
            self.cross_apart(placed, placed.mode)
        if placed.closed:
            return
        if placed.left == 0:
            self.close(placed, "FILLED")
        elif order.is_immediate or order.flags & 32:
            self.close(placed, "IMMEDIATE_REMAINDER")
        else:
            placed.shown = placed.display

    def made(self, what: command.PlaceOrder, digest: str, rank: tuple[int, int] = (0, 0)) -> Placed:
        order = what.order
        token, per_lot = self.hold(order)
        fresh = (order.account, order.slot) not in self.used
        name = what.client_order_id
        rates = self.rates(order.account)
        placed = Placed(self.number, order, digest, name, *rates, per_lot, token, fresh, rank=rank)
        self.orders.append(placed)
        if what.beside is not None:
            placed.display, placed.trail, placed.mode = (
                what.beside.display_lots,
                what.beside.trail_ticks,
                what.beside.self_trade,
            )
        placed.trigger = order.trigger_ticks
        if placed.trigger or (what.beside is not None and what.beside.parent):
            placed.waiting, placed.per_lot = True, 0
        return placed

    def hold(self, order: Order) -> tuple[str, int]:
        market = self.markets[order.market]
        if order.side == 1:
            return market.base_token, market.base_atoms_per_lot
        lot = order.price_ticks * market.quote_atoms_per_tick_lot
        return self.venue.quote_token, lot + ceil(lot * max(*self.rates(order.account), 0), 10**6)

    def in_slot(self, order: Order) -> list[Placed]:
        key = (order.account, order.slot)
        return [placed for placed in self.resting if (placed.order.account, placed.order.slot) == key]

    def why_not(self, what: command.PlaceOrder) -> str:
        order, market = what.order, self.markets.get(what.order.market)
        immediate, post_only = order.is_immediate, order.flags & 1
        if what.signer != order.account:
            return "WRONG_SIGNER"
        if market is None:
            return "UNKNOWN_MARKET"
        if (order.subaccount and self.rules < 2) or order.flags not in ((0, 1, 4), range(64), range(128))[self.rules]:
            return "UNSUPPORTED"
        if order.trigger_ticks and not self.rules:
            return "UNSUPPORTED"
        if (order.trigger_ticks and (immediate or post_only)) or (not order.trigger_ticks and order.flags & 56):
            return "INVALID_PARAMETER"
        if what.beside is not None and self.is_odd(order, what.beside):
            return "INVALID_PARAMETER"
        if (
            (immediate and order.flags & 65)
            or (order.flags & 4 and (not immediate or order.flags != 4))
            or (order.flags & 2 and order.side == 0)
            or (order.kind == 1 and order.time_in_force not in (1, 2))
        ):
            return "INVALID_PARAMETER"
        if order.time_in_force == 3 and order.expiry == 0:
            return "INVALID_PARAMETER"
        if immediate != (order.slot == 0):
            return "INVALID_SLOT"
        if order.price_ticks == 0:
            return "INVALID_PRICE"
        notional = order.price_ticks * order.size_lots * market.quote_atoms_per_tick_lot
        if order.size_lots == 0 or order.size_lots >= 2**40 or notional >= 2**112:
            return "INVALID_SIZE"
        if order.expiry and order.expiry * 1000 <= self.at:
            return "EXPIRED"
        if order.sequence > self.at + DAY:
            return "NONCE_TOO_FAR_AHEAD"
        if order.max_fee_ppm < max(self.rates(order.account)):
            return "FEE_CAP_TOO_LOW"
        return self.why_not_now(what, bool(post_only))

    def why_not_now(self, what: command.PlaceOrder, post_only: bool) -> str:
        order, state = what.order, self.states[what.order.market]
        if self.venue_state()[0] in HALTED_STATES:
            return "CANCEL_ONLY_VENUE"
        if state == "DELISTED":
            return "MARKET_DELISTED"
        if state in ("CANCEL_ONLY", "PAUSED"):
            return "MARKET_NOT_OPEN"
        if "POST_ONLY" in (self.venue_state()[0], state) and not post_only:
            return "POST_ONLY_VENUE"
        if order.flags & 4 and self.pool_trouble(order):
            return self.pool_trouble(order)
        if self.is_beyond_band(order):
            return "PRICE_OUT_OF_BAND"
        if order.account not in self.accounts:
            return "INSUFFICIENT_BALANCE"
        for account, slot, sequence in self.dead:
            if account == order.account and slot in (order.slot, -1) and order.sequence <= sequence:
                return "DEAD_NONCE"
        if order.sequence == 0:
            return "DEAD_NONCE"
        if order.account in self.restricted:
            return "CANCEL_ONLY_ACCOUNT"
        mine = [placed for placed in self.orders if placed.order.account == order.account]
        if what.client_order_id and what.client_order_id in [placed.client_id for placed in mine]:
            return "DUPLICATE_CLIENT_ORDER_ID"
        if order.flags & 64 and self.protection_flaw(order):
            return self.protection_flaw(order)
        old = self.in_slot(order)
        if what.beside is not None and what.beside.is_amend and not old:
            return "ORDER_NOT_OPEN"
        flaw = self.flaw_of_links(order, what.beside)
        if flaw or order.trigger_ticks or (what.beside is not None and what.beside.parent):
            return flaw
        if post_only and [maker for maker in self.crossing(order) if maker not in old]:
            return "POST_ONLY_WOULD_CROSS"
        token, per_lot = self.hold(order)
        part = order.subaccount
        same = [placed for placed in old if (placed.token, placed.order.subaccount) == (token, part)]
        freed = sum(placed.per_lot * placed.left for placed in same)
        if self.cover(order.account, token, part) + freed < per_lot * order.size_lots:
            return "INSUFFICIENT_BALANCE"
        free = self.free(order.account, token, part) + freed
        return "REDUCE_ONLY_EXCEEDED" if order.flags & 2 and per_lot * order.size_lots > free else ""

    def pool_trouble(self, order: Order) -> str:
        base, quote, _, time = self.pools.get(order.market, (0, 0, 0, 0))
        if not base or not quote or self.block[1] - time > 30:
            return "NO_POOL"
        token = self.markets[order.market].base_token
        undecided = [fill for fill in self.fills[self.decided :] if fill.maker is None]
        return "POOL_BUSY" if token in [self.markets[f.taker.order.market].base_token for f in undecided] else ""

    def swap(self, taker: Placed) -> None:
        """The whole order at the pool's price, 0.1 % worse if the limit allows."""
        order, market = taker.order, self.markets[taker.order.market]
        base, quote, _, _ = self.pools[order.market]
        limit = order.price_ticks * order.size_lots * market.quote_atoms_per_tick_lot
        atoms = order.size_lots * market.base_atoms_per_lot
        if order.side == 0:
            if atoms >= base:
                return
            price = (quote * atoms * 1000) // ((base - atoms) * 997) + 1
            if price > limit:
                return
            price = min(limit, ceil(price * 1_001_000, 10**6))
        else:
            price = (atoms * 997 * quote) // (base * 1000 + atoms * 997)
            if price < limit or base + atoms >= 2**112:
                return
            price = max(limit, price * 999_000 // 10**6)
        fee, sign = ceil(price * taker.taker_ppm, 10**6), 1 if order.side == 0 else -1
        moves = [
            (order.account, self.venue.quote_token, -sign * price - fee),
            (order.account, market.base_token, sign * atoms),
            (self.venue.fee_account, self.venue.quote_token, fee),
        ]
        fill = self.known(Match(len(self.fills) + 1, self.at, None, taker, order.size_lots, moves, quote=price))
        taker.filled = order.size_lots
        self.epoch[2] += price
        self.fills.append(fill)
        self.out.append(("amm", fill.number, taker.digest, price, order.size_lots, fee))
        self.batch([fill])

    def crossing(self, order: Order) -> list[Placed]:
        """Resting orders that it may meet, best price first, then oldest first."""
        sign = 1 if order.side == 0 else -1
        found = [
            placed
            for placed in self.resting
            if placed.order.market == order.market
            and placed.order.side != order.side
            and not placed.order.is_immediate
            and not placed.waiting
            and sign * placed.order.price_ticks <= sign * order.price_ticks
        ]
        return sorted(found, key=lambda placed: (sign * placed.order.price_ticks, placed.rank, placed.number))

    def cross(self, taker: Placed) -> None:
        order, immediate = taker.order, taker.order.is_immediate
        most = self.venue.fills_per_immediate_order_max if immediate else 10**9
        makers = self.crossing(order)
        parts = self.parts([maker for maker in makers if maker.order.account != order.account])
        if immediate:
            most = self.most_makers(taker, [maker for maker, _ in parts])
        if order.time_in_force == 2 and sum(lots for _, lots in parts[:most]) < order.size_lots:
            return
        group: list[Match] = []
        while (makers := self.crossing(order)) and taker.left and len(group) < most:
            maker = makers[0]
            if maker.order.account == order.account:
                self.close(maker, "SELF_TRADE")
                continue
            group.append(self.match(maker, taker))
            if not immediate:
                self.batch(group[-1:])
            if maker.left == 0:
                self.close(maker, "FILLED")
            elif maker.display and maker.shown == 0:
                maker.shown, maker.rank = min(maker.display, maker.left), self.next_rank()
        if immediate and group:
            self.batch(group)

    def most_makers(self, taker: Placed, strangers: list[Placed]) -> int:
        most = int(self.venue.fills_per_immediate_order_max)
        while most and not self.fits_sweep([taker, *strangers[:most]]):
            most -= 1
        return most

    def match(self, maker: Placed, taker: Placed) -> Match:
        market, lots = self.markets[maker.order.market], min(maker.visible, taker.left)
        notional = maker.order.price_ticks * lots * market.quote_atoms_per_tick_lot
        atoms = lots * market.base_atoms_per_lot
        taker_ppm = taker.taker_ppm
        maker_ppm = maker.maker_ppm if maker.maker_ppm + taker_ppm >= 0 else -taker_ppm
        moves = []
        for side, ppm in ((maker, maker_ppm), (taker, taker_ppm)):
            fee, sign = ceil(notional * ppm, 10**6), 1 if side.order.side == 0 else -1
            moves.append((side.order.account, self.venue.quote_token, -sign * notional - fee))
            moves.append((side.order.account, market.base_token, sign * atoms))
            moves.append((self.venue.fee_account, self.venue.quote_token, fee))
        fill = self.known(Match(len(self.fills) + 1, self.at, maker, taker, lots, moves))
        maker.filled += lots
        maker.shown -= lots if maker.display else 0
        taker.filled += lots
        self.epoch[2] += notional
        self.fills.append(fill)
        self.last[maker.order.market] = price = maker.order.price_ticks
        self.heard.append(("fill", maker, taker, lots))
        self.out.append(("fill", fill.number, maker.digest, taker.digest, price, lots, moves[2][2], moves[5][2]))
        return fill

    def batch(self, group: list[Match]) -> None:
        """The group shares a batch: the open one if it fits, else a new one."""
        before = [fill for fill in self.fills if fill.state == "MATCHED" and fill.number < group[0].number]
        if before and not self.fits(before + group, 0):
            self.close_batch(before)
            before = []
        if not self.fits(before + group, 1):
            self.close_batch(before + group)

    def known(self, fill: Match) -> Match:
        """With what is known of its balances and orders before it is counted."""
        fill.rows = self.rows([(account, token) for account, token, _ in fill.moves])
        fill.cancels = {placed.number: self.cancels.count(placed.order.account) for placed in fill.orders}
        return fill

    def rows(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[bool, bool]]:
        found = {}
        for account, token in keys:
            settled, _, _, leaving = self.money(account, token)
            fresh = settled <= self.owed(account, token) + leaving
            if token == self.venue.quote_token and (account, 0) in self.used:
                fresh = False
            found[account, token] = (fresh, self.requests.get((account, token), 0) > 0)
        return found

    def fits(self, fills: list[Match], more: int) -> bool:
        orders = list({placed.number: placed for fill in fills for placed in fill.orders}.values())
        count, pools = len(fills) + more, len([fill for fill in fills if fill.maker is None])
        rows: dict[tuple[str, str], tuple[bool, bool]] = {}
        cancels: dict[int, int] = {}
        for fill in fills:
            rows, cancels = fill.rows | rows, fill.cancels | cancels
        gas = self.gas(orders, count, pools) + self.gas_of_items(orders, rows, cancels)
        return count <= self.venue.batch_rules.fills_max and self.fits_block(gas, len(orders), len(rows))

    def fits_block(self, gas: int, orders: int, rows: int) -> bool:
        rules = self.venue.batch_rules
        worst = gas + rules.gas_per_order_turned * orders + rules.gas_per_row_turned * rows
        if rules.gas_turned_max and worst > rules.gas_turned_max:
            return False
        return gas <= self.venue.batch_gas_max

    def fits_sweep(self, orders: list[Placed]) -> bool:
        """One taker against these makers, of which some may show several parts."""
        fills = len(orders) - 1
        if self.venue.batch_rules.gas_per_row:
            orders = list({placed.number: placed for placed in orders}.values())
        quote, base = self.venue.quote_token, self.markets[orders[0].order.market].base_token
        keys = [(placed.order.account, token) for placed in orders for token in (quote, base)]
        rows = self.rows([*keys, (self.venue.fee_account, quote)])
        cancels = {placed.number: self.cancels.count(placed.order.account) for placed in orders}
        gas = self.gas(orders, fills) + self.gas_of_items(orders, rows, cancels)
        return self.fits_block(gas, len(orders), len(rows))

    def gas(self, orders: list[Placed], fills: int, pools: int = 0) -> int:
        rules = self.venue.batch_rules
        total = rules.gas_base + fills * rules.gas_per_fill + pools * rules.gas_per_amm_fill
        for placed in orders:
            has_slot = placed.order.slot or not rules.gas_per_row
            total += rules.gas_per_order + (rules.gas_per_fresh_slot if placed.fresh and has_slot else 0)
        return int(total)

    def gas_of_items(
        self, orders: list[Placed], rows: dict[tuple[str, str], tuple[bool, bool]], cancels: dict[int, int]
    ) -> int:
        rules, total = self.venue.batch_rules, 0
        if not rules.gas_per_row:
            return 0
        for fresh, requested in rows.values():
            total += rules.gas_per_row + fresh * rules.gas_per_fresh_row + requested * rules.gas_per_request
            if any(request for _, request in rows.values()):
                total += rules.gas_per_row_beside_request
        for placed in orders:
            total += rules.gas_per_resting if placed.order.slot else 0
            steps = len(bin(cancels[placed.number])) - 1 if cancels[placed.number] else 0
            total += steps * rules.gas_per_look
        return int(total + len({placed.order.market for placed in orders}) * rules.gas_per_market)

    def close_batch(self, fills: list[Match] | None = None) -> None:
        fills = fills or [fill for fill in self.fills if fill.state == "MATCHED"]
        self.batches.append((fills[0].number, fills[-1].number))
        for fill in fills:
            fill.state, fill.batch = "BATCHED", len(self.batches)
        self.out.append(("batch", len(self.batches), *self.batches[-1]))

    def close(self, placed: Placed, reason: str) -> None:
        self.resting.remove(placed)
        placed.closed = reason
        self.heard.append(("closed", placed, reason))
        self.out.append(("closed", placed.digest, reason, placed.filled))

    # --- cancels ---

    def no(self, reason: str) -> None:
        self.out.append(("no", reason))

    def on_CancelOrder(self, what: command.CancelOrder) -> None:
        slot, sequence = divmod(what.nonce, SEQUENCES)
        dead = [s for account, where, s in self.dead if account == what.account and where == slot]
        floors = [s for account, where, s in self.dead if account == what.account and where == -1]
        reached = self.reached(what.account, slot, sequence)
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif what.account not in self.accounts or (not reached and sequence <= max([0, *dead, *floors])):
            self.no("ORDER_NOT_OPEN")
        elif sequence > self.at + DAY:
            self.no("NONCE_TOO_FAR_AHEAD")
        else:
            for placed in reached:
                self.close(placed, "CANCELED")
            self.dead.append((what.account, slot, sequence))

    def reached(self, account: str, slot: int, sequence: int) -> list[Placed]:
        orders = [placed for placed in self.resting if placed.order.account == account]
        return [p for p in orders if p.order.slot == slot and p.order.sequence <= sequence]

    def on_CancelAll(self, what: command.CancelAll) -> None:
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif what.floor > self.at + DAY:
            self.no("NONCE_TOO_FAR_AHEAD")
        elif what.market and what.market not in self.markets:
            self.no("UNKNOWN_MARKET")
        elif what.account in self.accounts:
            self.dead.append((what.account, -1, what.floor - 1))
            for placed in [p for p in self.resting if p.order.account == what.account]:
                below = placed.order.sequence < what.floor
                if below or (not any(what.signature) and what.market in (0, placed.order.market)):
                    self.close(placed, "CANCELED")

    # --- the operator ---

    def on_OpenVenue(self, what: command.OpenVenue) -> None:
        self.venue, self.fees = what, (what.maker_fee_ppm, what.taker_fee_ppm)
        self.accounts |= {what.fee_account, what.treasury_account, what.insurance_account}
        self.tokens.add(what.quote_token)
        self.operators = what.operators
        self.rules = what.order_rules

    def on_AdvanceTime(self, what: command.AdvanceTime) -> None:
        pass

    def on_SetFees(self, what: command.SetFees) -> None:
        maker, taker = what.maker_fee_ppm, what.taker_fee_ppm
        if not self.is_fair([(maker, taker)], self.tiers, self.discounts):
            self.no("INVALID_PARAMETER")
        else:
            self.fees = (maker, taker)

    def on_SetMarketState(self, what: command.SetMarketState) -> None:
        if what.by and what.by not in self.operators:
            self.no("NOT_AN_OPERATOR")
        elif what.market not in self.markets:
            self.no("UNKNOWN_MARKET")
        elif self.states[what.market] == "DELISTED":
            self.no("MARKET_DELISTED")
        else:
            self.states[what.market] = str(what.state)
            self.out.append(("market", what.market, str(what.state), what.by))
            for placed in list(self.resting):
                if what.state == "DELISTED" and placed.order.market == what.market:
                    self.close(placed, "DELISTED")

    def on_SetOperators(self, what: command.SetOperators) -> None:
        if len(set(what.operators)) < len(what.operators):
            self.no("INVALID_PARAMETER")
        else:
            self.operators = what.operators
            self.out.append(("operators", *what.operators))

    def on_RequestMarket(self, what: command.RequestMarket) -> None:
        """The model asks only for what makes sense, or has no name."""
        listed = [self.markets[number].symbol.split("-") for number in sorted(self.markets)]
        quote = listed[0][1] if listed else "USDC"
        wanted, _, end = what.symbol.partition("-")
        taken = [quote]
        for base, _ in listed:
            taken += [base, "h" + base]
        for symbol, synth in self.asked.values():
            taken += [symbol.split("-")[0], synth]
        taken = [name.lower() for name in taken]
        if what.by not in self.operators:
            self.no("NOT_AN_OPERATOR")
        elif not what.synth_name or end != quote:
            self.no("INVALID_PARAMETER")
        elif wanted.lower() in taken or what.synth_symbol.lower() in taken:
            self.no("MARKET_EXISTS")
        else:
            number = min(set(range(1, 1_000)) - set(self.markets) - set(self.asked))
            self.asked[number] = (what.symbol, what.synth_symbol)
            self.out.append(("asked", number, what.symbol))

    def on_SetVenueState(self, what: command.SetVenueState) -> None:
        if what.state == "DELISTED":
            self.no("INVALID_PARAMETER")
            return
        self.operator = ("HALTED" if what.state == "PAUSED" else str(what.state), what.reason)

    def on_CloseEpoch(self, what: command.CloseEpoch) -> None:
        if self.epoch[3] == 0:
            self.no("NOTHING_TO_CLOSE")
            return
        number, first, volume, count = self.epoch
        self.out.append(("epoch", number, first, self.number, volume, count))
        self.epoch = [number + 1, self.number + 1, 0, 0]

    def on_RefuseFill(self, what: command.RefuseFill) -> None:
        found = [fill for fill in self.fills[self.decided :] if fill.number == what.fill]
        if not found:
            self.no("UNKNOWN_FILL")
        elif found[0].taken_back:
            self.no("INVALID_PARAMETER")
        else:
            together = found
            if self.venue.batch_rules.is_fok_whole and found[0].taker.order.time_in_force == 2:
                together = [fill for fill in self.fills[self.decided :] if fill.taker is found[0].taker]
            for fill in together:
                fill.taken_back = True
                self.out.append(("taken back", fill.number))

    def on_RequestApproval(self, what: command.RequestApproval) -> None:
        now, is_quote = self.at // 1000, what.token == self.venue.quote_token
        deadline = min(now + 120, what.deadline) if what.signature or what.deadline else now + 120
        fits = {"withdraw": is_quote or not what.as_cxpt, "lock": is_quote, "burn": not is_quote}
        if what.purpose != "withdraw" and what.as_cxpt:
            fits = {}
        free = min(self.free(what.account, what.token, part) for part in (0, None))
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif what.token not in self.tokens:
            self.no("UNKNOWN_TOKEN")
        elif what.amount <= 0 or not fits.get(what.purpose):
            self.no("INVALID_PARAMETER")
        elif deadline * 1000 <= self.at:
            self.no("EXPIRED")
        elif what.signature and what.deadline > now + 86_400:
            self.no("INVALID_PARAMETER")
        elif what.deadline and (what.account, what.nonce) in self.granted:
            self.no("DEAD_NONCE")
        elif self.venue_state()[0] == "HALTED":
            self.no("CANCEL_ONLY_VENUE")
        elif what.account in self.restricted:
            self.no("CANCEL_ONLY_ACCOUNT")
        elif len([p for p in self.promises if p.is_open and p.account == what.account]) >= 32:
            self.no("TOO_MANY_APPROVALS")
        elif what.amount > free:
            self.no("INSUFFICIENT_BALANCE")
        else:
            if what.signature:
                self.granted[what.account, what.nonce] = what.deadline
            self.promises.append(Promise(self.number, what.account, what.token, what.amount, deadline))
            self.out.append(("promised", self.number, what.amount, deadline))

    # --- the chain ---

    def on_ObserveBlock(self, what: command.ObserveBlock) -> None:
        if what.block_number < self.block[0] or what.block_time < self.block[1]:
            self.no("INVALID_PARAMETER")
            return
        self.block = (what.block_number, what.block_time)
        self.granted = {key: deadline for key, deadline in self.granted.items() if deadline >= what.block_time}
        for promise in sorted(self.promises, key=lambda promise: (promise.deadline, promise.nonce)):
            if promise.is_open and promise.deadline < what.block_time:
                promise.is_open = False
                self.out.append(("released", promise.nonce, False))
        self.relay_lapses(what.block_time)

    def on_ObserveLog(self, what: command.ObserveLog) -> None:
        log = what.log
        assert log.event_sequence == self.event_sequence + 1, "the model knows no divergence"
        self.event_sequence += 1
        account, token = getattr(log, "account", None), getattr(log, "token", self.venue.quote_token)
        if account is not None:
            self.accounts.add(account)
        if hasattr(log, "token"):
            self.tokens.add(token)
        if isinstance(log, chainlog.MarketListed):
            self.markets[log.market], self.states[log.market] = log, str(self.venue.listed_state)
            self.tokens.add(log.base_token)
        elif isinstance(log, chainlog.BatchSettled):
            self.settle(log)
        elif isinstance(log, chainlog.AmmLegSettled):
            self.leg(log)
        elif isinstance(log, chainlog.OrderCancelledOnChain):
            self.cancels.append(log.account)
            slot, sequence = divmod(log.nonce, SEQUENCES)
            for placed in self.reached(log.account, slot, sequence):
                self.close(placed, "CANCELED_ON_CHAIN")
            self.dead.append((log.account, slot, sequence))
        elif isinstance(log, chainlog.AllOrdersCancelledOnChain):
            self.cancels.append(log.account)
            self.dead.append((log.account, -1, log.floor - 1))
            for placed in [p for p in self.resting if p.order.account == log.account]:
                if placed.order.sequence < log.floor:
                    self.close(placed, "CANCELED_ON_CHAIN")
        elif isinstance(log, chainlog.WithdrawalRequested):
            self.requests[log.account, token] = log.amount
        elif isinstance(log, chainlog.WithdrawalRequestCancelled):
            self.requests[log.account, token] = 0
        elif isinstance(log, chainlog.AgentRegistered):
            self.agents[log.account, log.agent] = (log.expiry, log.notional, log.markets, False)
            self.out.append(("agent", log.account, log.agent, *self.agents[log.account, log.agent]))
        elif isinstance(log, chainlog.AgentRevoked):
            terms = self.agents[log.account, log.agent]
            self.agents[log.account, log.agent] = (*terms[:3], True)
            self.out.append(("agent", log.account, log.agent, *terms[:3], True))
        elif isinstance(log, chainlog.LossDeclared):
            self.out.append(("loss", log.index, log.new_index, log.shortfall))
        elif not isinstance(log, chainlog.SynthRegistered):
            self.move(log, token)
        self.relay_arrived(log)

    def move(self, log: Any, token: str) -> None:
        """Everything that carries a balance."""
        inward = isinstance(log, chainlog.Deposited | chainlog.CollateralUnlocked | chainlog.SynthMinted)
        key = (log.account, token)
        if getattr(log, "as_cxpt", False):
            treasury = (self.venue.treasury_account, token)
            self.settled[treasury] = self.settled.get(treasury, 0) + log.amount
        self.settled[key] = self.settled.get(key, 0) + (log.amount if inward else -log.amount)
        assert self.settled[key] == log.balance
        if isinstance(log, chainlog.CollateralLocked | chainlog.CollateralUnlocked):
            self.locked[log.account] = self.locked.get(log.account, 0) + (-log.amount if inward else log.amount)
        if not inward:
            self.requests[key] = log.request_remaining
            for promise in self.promises:
                if log.approval and promise.nonce == log.approval:
                    promise.is_open = False
                    self.out.append(("released", promise.nonce, True))

    def settle(self, log: chainlog.BatchSettled) -> None:
        refusals = dict(log.refusals)
        for fill in self.fills[log.first - 1 : log.last]:
            self.decided = fill.number
            reason = refusals.get(fill.number - log.first)
            if reason is None:
                fill.state = "SETTLED"
                self.out.append(("settled", fill.number))
                self.count_volume(fill)
                self.used.update((placed.order.account, placed.order.slot) for placed in fill.orders)
                for n, (account, token, amount) in enumerate(fill.moves):
                    self.gain(account, token, fill.part(n), amount)
                if fill.maker is None:
                    self.improve(fill)
            else:
                fill.state = "REFUSED"
                self.out.append(("refused", fill.number, reason))
                for placed in fill.orders:
                    if not placed.closed:
                        self.close(placed, "FILL_REFUSED")
        assert not self.came

    def improve(self, fill: Match) -> None:
        order, market = fill.taker.order, self.markets[fill.taker.order.market]
        promised, token = order.size_lots * market.base_atoms_per_lot, market.base_token
        if order.side == 1:
            promised, token = fill.quote, self.venue.quote_token
        more = self.came.pop(fill.number) - promised
        assert more >= 0
        if more:
            self.gain(order.account, token, order.subaccount, more)
            self.out.append(("improved", fill.number, token, more))

    def on_ObservePool(self, what: command.ObservePool) -> None:
        place = (what.block_number, what.block_time)
        is_far = self.block[0] and (place[0] > self.block[0] + 1_000 or place[1] > self.block[1] + 600)
        if what.market not in self.markets:
            self.no("UNKNOWN_MARKET")
        elif is_far or place < self.pools.get(what.market, (0, 0, 0, 0))[2:]:
            self.no("INVALID_PARAMETER")
        else:
            self.pools[what.market] = (what.base_reserve, what.quote_reserve, *place)
            self.out.append(("pool", what.market, what.base_reserve, what.quote_reserve))

    def leg(self, log: chainlog.AmmLegSettled) -> None:
        self.came[log.fill] = log.amount_out
        token = self.markets[log.market].base_token
        for number in sorted(self.pools):
            base, quote, block, time = self.pools[number]
            if self.markets[number].base_token == token and block < log.block_number:
                base += -log.amount_out if log.is_buy else log.amount_in
                quote += log.amount_in if log.is_buy else -log.amount_out
                if base < 0 or quote < 0 or max(base, quote) >= 2**112:
                    base = quote = 0
                self.pools[number] = (base, quote, log.block_number, max(time, log.block_time))
                self.out.append(("pool", number, base, quote))
