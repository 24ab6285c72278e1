"""The naive twin's part of what is beside plain orders: amends, cancels of many, dead-man switches, all or nothing."""

import copy
from dataclasses import dataclass, field
from typing import Any

from offchain.domain import command
from offchain.domain.beside import Beside
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.order import Order


@dataclass
class Wishes:
    switches: list[tuple[int, str, int]] = field(default_factory=list)
    """Number of the command, account, deadline"""
    promised: dict[str, bool] = field(default_factory=dict)
    promised_at: int = 0
    promised_to: str = ""
    promised_done: dict[int, int] = field(default_factory=dict)
    """Nonces of orders that closed meanwhile: what they had filled"""
    promised_left: int = 0
    heard: list[Any] = field(default_factory=list)
    due: list[Any] = field(default_factory=list)
    requeued: int = 0
    rules: int = 0
    groups: dict[str, int] = field(default_factory=dict)
    bands: dict[int, tuple[int, int]] = field(default_factory=dict)
    marks: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Market: price, when"""
    last: dict[int, int] = field(default_factory=dict)

    def lapse(self: Any, what: Any) -> None:
        """Only the orders that were spoken of, at once, keep a promise alive."""
        separator = domain_separator(self.venue.chain_id, self.venue.settlement) if self.venue else b""
        is_member = isinstance(what, command.PlaceOrder) and (
            "0x" + order_digest(separator, what.order).hex() in self.promised and self.at == self.promised_at
        )
        if not is_member:
            self.promised = {}

    def is_less(self: Any, old: Any, order: Order, beside: Beside) -> bool:
        was = old.order
        if old.waiting or order.trigger_ticks or beside.parent or beside.display_lots or old.visible < old.left:
            return False
        same = ("market", "side", "kind", "time_in_force", "flags", "price_ticks", "subaccount")
        return all(getattr(was, name) == getattr(order, name) for name in same) and order.size_lots <= old.left

    def on_AmendOrder(self: Any, what: command.AmendOrder) -> None:
        flaw = self.flaw_of_amend(what.account, what.nonce, what.size_lots)
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif flaw:
            self.no(flaw)
        else:
            self.amend(what.account, what.nonce, what.size_lots)

    def with_nonce(self: Any, account: str, nonce: int) -> Any:
        return next((p for p in self.resting if (p.order.account, p.order.nonce) == (account, nonce)), None)

    def flaw_of_amend(self: Any, account: str, nonce: int, size: int) -> str:
        placed = self.with_nonce(account, nonce)
        if placed is None:
            return "ORDER_NOT_OPEN"
        return "" if placed.filled < size < placed.order.size_lots - placed.cut else "INVALID_SIZE"

    def amend(self: Any, account: str, nonce: int, size: int) -> None:
        placed = self.with_nonce(account, nonce)
        placed.cut = placed.order.size_lots - size
        self.out.append(("amended", placed.digest, size))

    def on_CancelMany(self: Any, what: command.CancelMany) -> None:
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif what.market and what.market not in self.markets:
            self.no("UNKNOWN_MARKET")
        else:
            for placed in [p for p in self.resting if p.order.account == what.account]:
                order, wanted = placed.order, (what.market or None, what.side, what.subaccount)
                has = order.market, order.side, order.subaccount
                if all(want in (None, one) for want, one in zip(wanted, has, strict=True)):
                    self.close(placed, "DISCONNECTED" if what.is_disconnect else "CANCELED")

    def on_CancelAllAfter(self: Any, what: command.CancelAllAfter) -> None:
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif what.account not in self.accounts:
            self.no("INSUFFICIENT_BALANCE")
        elif what.timeout_millis and not 1_000 <= what.timeout_millis <= 900_000:
            self.no("INVALID_PARAMETER")
        else:
            self.switches = [one for one in self.switches if one[1] != what.account]
            deadline = self.at + what.timeout_millis if what.timeout_millis else 0
            if deadline:
                self.switches.append((self.number, what.account, deadline))
            self.out.append(("switch", what.account, deadline))

    def fire_switch(self: Any, number: int) -> None:
        (account,) = [account for known, account, _ in self.switches if known == number]
        self.switches = [one for one in self.switches if one[0] != number]
        self.out.append(("switch", account, 0))
        for placed in [p for p in self.resting if p.order.account == account]:
            self.close(placed, "TIMED_OUT")

    # --- all or nothing: tried on a copy ---

    def on_Together(self: Any, what: command.Together) -> None:
        orders = [self.intended(intent) for intent in what.orders]
        nonces = [*what.cancels, *(nonce for nonce, _ in what.amends)]
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif (
            (not nonces and not orders)
            or len(set(nonces)) < len(nonces)
            or (what.is_first and not orders)
            or any(order.order.account != what.account or order.order.flags & 4 for order in orders)
        ):
            self.no("INVALID_PARAMETER")
        elif what.account not in self.accounts:
            self.no("INSUFFICIENT_BALANCE")
        else:
            self.decide(what, orders)

    def intended(self: Any, intent: command.Intent) -> command.PlaceOrder:
        order = Order.from_frame(intent.order)
        beside = Beside.from_frame(intent.beside) if intent.beside else None
        return command.PlaceOrder(order, bytes(65), order.account, intent.client_order_id, beside)

    def decide(self: Any, what: command.Together, orders: list[command.PlaceOrder]) -> None:
        trial = copy.copy(self)
        trial.resting = [copy.copy(placed) for placed in self.resting]
        trial.orders, trial.dead, trial.out, trial.heard = list(self.orders), list(self.dead), [], []
        reason, index, chosen = trial.attempt(what, orders)
        separator = domain_separator(self.venue.chain_id, self.venue.settlement)
        names = ["0x" + order_digest(separator, one.order).hex() for one in orders]
        self.promised = {name: not reason and (chosen is None or n == chosen) for n, name in enumerate(names)}
        self.promised_left = len(self.promised)
        self.promised_at, self.promised_to, self.promised_done = self.at, what.account, {}
        if not reason:
            for nonce in what.cancels:
                self.close(self.with_nonce(what.account, nonce), "CANCELED")
            for nonce, size in what.amends:
                self.amend(what.account, nonce, size)
        self.out.append(("together", what.account, reason or None, index))

    def attempt(self: Any, what: command.Together, orders: list[command.PlaceOrder]) -> tuple[str, int, int | None]:
        """(why not, where, the chosen order): each order is put into the book of this copy, crossing nothing."""
        index = 0
        for nonce in what.cancels:
            placed = self.with_nonce(what.account, nonce)
            if placed is None:
                return "ORDER_NOT_OPEN", index, None
            self.close(placed, "CANCELED")
            index += 1
        for nonce, size in what.amends:
            flaw = self.flaw_of_amend(what.account, nonce, size)
            if flaw:
                return flaw, index, None
            self.amend(what.account, nonce, size)
            index += 1
        flaw, slots = "", dict[int, int]()
        for number, one in enumerate(orders):
            order = one.order
            flaw = "" if what.is_first else self.clash(order, slots)
            flaw = flaw or self.why_not(one)
            if what.is_first and not flaw:
                return "", index, number
            if not what.is_first:
                if flaw:
                    return flaw, index, None
                slots[order.slot] = order.sequence
                for old in self.in_slot(order):
                    self.close(old, "REPLACED")
                self.dead.append((what.account, order.slot, order.sequence))
                made = self.made(one, "")
                self.resting.append(made)
                self.link(made, one.beside)
            index += 1
        return (flaw, index - 1, None) if what.is_first else ("", index, None)

    def clash(self: Any, order: Order, slots: dict[int, int]) -> str:
        if order.slot and order.slot in slots:
            return "INVALID_SLOT"
        return "DEAD_NONCE" if order.sequence <= slots.get(order.slot, -1) else ""

    # --- the operator's words, and orders of one owner ---

    def on_SetOrderRules(self: Any, what: command.SetOrderRules) -> None:
        if not self.rules < what.order_rules <= 2:
            self.no("INVALID_PARAMETER")
        else:
            self.last = self.last if self.rules else {}
            self.rules = what.order_rules
            self.out.append(("rules", self.rules))

    def on_SetTradeGroup(self: Any, what: command.SetTradeGroup) -> None:
        if what.by and what.by not in self.operators:
            self.no("NOT_AN_OPERATOR")
        elif not what.accounts or not self.accounts.issuperset(what.accounts):
            self.no("INVALID_PARAMETER")
        else:
            self.groups.update(dict.fromkeys(what.accounts, what.group))
            self.out.append(("group", what.accounts, what.group))

    def on_SetBand(self: Any, what: command.SetBand) -> None:
        if what.by and what.by not in self.operators:
            self.no("NOT_AN_OPERATOR")
        elif what.market not in self.markets:
            self.no("UNKNOWN_MARKET")
        elif not 0 <= what.below_ppm <= 10**6:
            self.no("INVALID_PARAMETER")
        else:
            self.bands[what.market] = (what.below_ppm, what.above_ppm)
            self.out.append(("band", what.market, what.below_ppm, what.above_ppm))

    def on_PostMark(self: Any, what: command.PostMark) -> None:
        prices = sorted(reading.price_ticks for reading in what.readings)
        late = [r for r in what.readings if not -60_000 <= self.at - r.time * 1000 <= 60_000]
        if what.market not in self.markets:
            self.no("UNKNOWN_MARKET")
        elif late or not prices or prices[0] <= 0 or len({r.poster for r in what.readings}) < len(prices):
            self.no("INVALID_PARAMETER")
        else:
            while len(prices) > 2:
                prices = prices[1:-1]
            self.marks[what.market] = (prices[0], self.at)
            self.heard.append(("mark", what.market, prices[0]))
            self.out.append(("mark", what.market, prices[0]))

    def is_beyond_band(self: Any, order: Order) -> bool:
        below, above = self.bands.get(order.market, (0, 0))
        mark, when = self.marks.get(order.market, (0, 0))
        price = mark if mark and self.at - when <= 60_000 else self.last.get(order.market, 0)
        if not price or not (below or above):
            return False
        if order.side == 1:
            return order.price_ticks < price - price * below / 10**6
        return order.price_ticks > price + price * above / 10**6

    def cross_apart(self: Any, taker: Any, mode: int) -> None:
        order = taker.order
        group = self.groups.get(order.account, 0) if mode != 3 else 0
        if not mode and not group and order.account not in self.split:
            self.cross(taker)
            return

        def is_rival(maker: Any) -> bool:
            theirs = self.groups.get(maker.order.account, 0)
            return maker.order.account == order.account or (group != 0 and theirs == group)

        makers = self.crossing(order)
        others = [maker for maker in makers if not is_rival(maker)]
        most = 10**9
        if order.is_immediate:
            most = self.most_makers(taker, [maker for maker, _ in self.parts(others)])
        met, ahead, found, count, wanted = [], 0, 0, 0, taker.left
        for maker, lots in self.parts(makers, is_rival):
            if is_rival(maker):
                met.append(maker)
                continue
            if count == most:
                break
            count += 1
            found = min(wanted, found + lots)
            ahead = ahead if met else found
            if found == wanted:
                break
        is_fok = order.time_in_force == 2
        if met and mode in (1, 2):
            kept = taker.left - ahead
            taker.cut += kept
            if ahead and not is_fok:
                self.cross(taker)
            taker.cut -= kept
            if mode == 2:
                self.close(met[0], "SELF_TRADE")
            self.close(taker, "SELF_TRADE")
        elif is_fok and found < wanted:
            self.close(taker, "IMMEDIATE_REMAINDER")
        else:
            for maker in met:
                self.close(maker, "SELF_TRADE")
            self.cross(taker)

    # --- orders that show a part, wait, or are linked ---

    def next_rank(self: Any) -> tuple[int, int]:
        self.requeued += 1
        return self.number, self.requeued

    def parts(self: Any, makers: list[Any], once: Any = None) -> list[tuple[Any, int]]:
        """What these orders show, one part after the other, price by price."""
        found: list[tuple[Any, int]] = []
        for price in dict.fromkeys(maker.order.price_ticks for maker in makers):
            queue = [(maker, maker.visible, maker.left) for maker in makers if maker.order.price_ticks == price]
            while queue:
                maker, lots, left = queue.pop(0)
                found.append((maker, lots))
                if left > lots and not (once and once(maker)):
                    queue.append((maker, min(maker.display, left - lots), left - lots))
        return found

    def is_odd(self: Any, order: Order, beside: Beside) -> bool:
        if order.is_immediate:
            return bool(beside.is_amend or beside.display_lots or beside.trail_ticks or beside.parent or beside.other)
        if beside.trail_ticks and (not order.trigger_ticks or order.flags & 16):
            return True
        return bool(beside.display_lots and order.flags & 32) or order.nonce in (beside.parent, beside.other)

    def flaw_of_links(self: Any, order: Order, beside: Beside | None) -> str:
        waits = bool(order.trigger_ticks or (beside is not None and beside.parent))
        mine = [p for p in self.resting if p.order.account == order.account and p.waiting]
        if waits and len(mine) >= 100:
            return "TOO_MANY_WAITING_ORDERS"
        parent = self.with_nonce(order.account, beside.parent) if beside is not None and beside.parent else None
        other = self.with_nonce(order.account, beside.other) if beside is not None and beside.other else None
        if beside is not None and beside.parent:
            if parent is None:
                return "ORDER_NOT_OPEN"
            if parent.order.market != order.market:
                return "INVALID_PARAMETER"
        if beside is not None and beside.other:
            if other is None or (other.other is not None and other.number < self.number):
                return "ORDER_NOT_OPEN"
            same = (other.order.market, other.order.side) == (order.market, order.side)
            return "" if same and (waits or other.waiting) else "INVALID_PARAMETER"
        return ""

    def link(self: Any, placed: Any, beside: Beside | None) -> None:
        other = self.with_nonce(placed.order.account, beside.other) if beside is not None and beside.other else None
        if other is not None and other.other is None and other is not placed:
            placed.other, other.other = other, placed

    def wait(self: Any, placed: Any, parent: int) -> None:
        """It is accepted and holds nothing."""
        placed.parent = self.with_nonce(placed.order.account, parent) if parent else None
        if not parent:
            self.arm(placed)
        elif placed.parent is None:
            self.follow(placed, self.promised_done.get(parent, 0))

    def follow(self: Any, placed: Any, filled: int) -> None:
        placed.parent = None
        if not filled:
            self.close(placed, "LINKED")
            return
        if placed.left > filled:
            placed.cut += placed.left - filled
            self.out.append(("amended", placed.digest, placed.filled + placed.left))
        self.arm(placed)

    def arm(self: Any, placed: Any) -> None:
        if not placed.trigger:
            self.due.append(placed)
            return
        placed.armed = True
        market, on_last = placed.order.market, bool(placed.order.flags & 8)
        mark, when = self.marks.get(market, (0, 0))
        price = self.last.get(market, 0) if on_last else mark if self.at - when <= 60_000 else 0
        if price:
            self.reach(market, on_last, price)

    def reach(self: Any, market: int, on_last: bool, price: int) -> None:
        for rising in (True, False):
            sign = 1 if rising else -1
            here = [p for p in self.resting if p.armed and self.watches(p, market, on_last, rising)]
            for placed in here:
                moved = price + sign * placed.trail
                if placed.trail and sign * moved < sign * placed.trigger and moved > 0:
                    placed.trigger = moved
            reached = [p for p in here if sign * p.trigger <= sign * price]
            for placed in sorted(reached, key=lambda p: (sign * p.trigger, p.number)):
                placed.armed = False
                self.due.append(placed)

    def watches(self: Any, placed: Any, market: int, on_last: bool, rising: bool) -> bool:
        order = placed.order
        is_rising = (order.side == 0) != bool(order.flags & 16)
        return (order.market, bool(order.flags & 8), is_rising) == (market, on_last, rising)

    def react(self: Any) -> None:
        self.hear()
        if self.promised_left == 0:
            self.promised = {}
        for _ in range(0 if self.promised else 32):
            self.due = [placed for placed in self.due if not placed.closed]
            if not self.due:
                break
            self.enter(self.due.pop(0))
            self.hear()
        self.due = [placed for placed in self.due if not placed.closed]

    def hear(self: Any) -> None:
        while self.heard:
            kind, *what = self.heard.pop(0)
            if kind == "mark":
                self.reach(what[0], False, what[1])
            elif kind == "fill":
                maker, taker, lots = what
                for placed in (maker, taker):
                    if placed.other is not None and not placed.other.closed:
                        self.lose(placed.other, lots)
                self.reach(maker.order.market, True, maker.order.price_ticks)
            else:
                self.hear_closing(*what)

    def lose(self: Any, placed: Any, lots: int) -> None:
        if placed.left <= lots:
            self.close(placed, "LINKED")
        else:
            placed.cut += lots
            self.out.append(("amended", placed.digest, placed.filled + placed.left))

    def hear_closing(self: Any, placed: Any, reason: str) -> None:
        if placed.order.account == self.promised_to:
            self.promised_done[placed.order.nonce] = placed.filled
        other = self.unlink(placed)
        if other is not None and reason == "FILLED":
            self.close(other, "LINKED")
        for child in [p for p in self.resting if p.parent is placed]:
            self.follow(child, placed.filled)

    def unlink(self: Any, placed: Any) -> Any:
        other, placed.other = placed.other, None
        if other is not None:
            other.other = None
        return None if other is None or other.closed else other

    def enter(self: Any, placed: Any) -> None:
        order = placed.order
        other = self.unlink(placed) if order.trigger_ticks else None
        flaw = self.flaw_of_entry(placed, other)
        self.out.append(("triggered", placed.digest, flaw or None))
        if flaw:
            self.close(placed, "TRIGGER_REFUSED")
            return
        if other is not None:
            self.close(other, "LINKED")
        placed.waiting, placed.armed, placed.rank = False, False, self.next_rank()
        placed.maker_ppm, placed.taker_ppm = self.rates(order.account)
        placed.per_lot = self.hold(order)[1]
        self.go(placed)

    def flaw_of_entry(self: Any, placed: Any, other: Any) -> str:
        order, state = placed.order, self.states[placed.order.market]
        token, per_lot = self.hold(order)
        part, freed = order.subaccount, 0
        if other is not None and (other.token, other.order.subaccount) == (token, part):
            freed = other.per_lot * other.left
        free = self.free(order.account, token, part) + freed
        if order.max_fee_ppm < max(self.rates(order.account)):
            return "FEE_CAP_TOO_LOW"
        if self.announced[0] in ("CANCEL_ONLY", "HALTED"):
            return "CANCEL_ONLY_VENUE"
        if state in ("CANCEL_ONLY", "PAUSED"):
            return "MARKET_NOT_OPEN"
        if "POST_ONLY" in (self.announced[0], state) and not order.flags & 1:
            return "POST_ONLY_VENUE"
        if self.is_beyond_band(order):
            return "PRICE_OUT_OF_BAND"
        if order.account in self.restricted:
            return "CANCEL_ONLY_ACCOUNT"
        if order.flags & 64 and self.protection_flaw(order):
            return str(self.protection_flaw(order))
        if order.flags & 1 and self.crossing(order):
            return "POST_ONLY_WOULD_CROSS"
        if self.cover(order.account, token, part) + freed < per_lot * placed.left:
            return "INSUFFICIENT_BALANCE"
        return "REDUCE_ONLY_EXCEEDED" if order.flags & 2 and per_lot * placed.left > free else ""
