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
    rules: int = 0
    groups: dict[str, int] = field(default_factory=dict)
    bands: dict[int, tuple[int, int]] = field(default_factory=dict)
    marks: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Market: price, when"""
    last: dict[int, int] = field(default_factory=dict)

    def lapse(self: Any, what: Any) -> None:
        """Only the orders that were spoken of, at once, keep a promise alive."""
        if isinstance(what, command.PlaceOrder) and what.signer != what.order.account:
            return
        separator = domain_separator(self.venue.chain_id, self.venue.settlement) if self.venue else b""
        is_member = isinstance(what, command.PlaceOrder) and (
            "0x" + order_digest(separator, what.order).hex() in self.promised and self.at == self.promised_at
        )
        if not is_member:
            self.promised = {}

    def is_less(self: Any, old: Any, order: Order) -> bool:
        was = old.order
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
        trial.orders, trial.dead, trial.out = list(self.orders), list(self.dead), []
        reason, index, chosen = trial.attempt(what, orders)
        separator = domain_separator(self.venue.chain_id, self.venue.settlement)
        names = ["0x" + order_digest(separator, one.order).hex() for one in orders]
        self.promised = {name: not reason and (chosen is None or n == chosen) for n, name in enumerate(names)}
        self.promised_at = self.at
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
                self.resting.append(self.made(one, ""))
            index += 1
        return (flaw, index - 1, None) if what.is_first else ("", index, None)

    def clash(self: Any, order: Order, slots: dict[int, int]) -> str:
        if order.slot and order.slot in slots:
            return "INVALID_SLOT"
        return "DEAD_NONCE" if order.sequence <= slots.get(order.slot, -1) else ""

    # --- the operator's words, and orders of one owner ---

    def on_SetOrderRules(self: Any, what: command.SetOrderRules) -> None:
        if self.rules or what.order_rules != 1:
            self.no("INVALID_PARAMETER")
        else:
            self.rules, self.last = 1, {}
            self.out.append(("rules", 1))

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
        if not mode and not group:
            self.cross(taker)
            return

        def is_rival(maker: Any) -> bool:
            theirs = self.groups.get(maker.order.account, 0)
            return maker.order.account == order.account or (group != 0 and theirs == group)

        makers = self.crossing(order)
        others = [maker for maker in makers if not is_rival(maker)]
        most = self.most_makers(taker, others) if order.is_immediate else 10**9
        met, ahead, found = [], 0, 0
        for maker in makers:
            if is_rival(maker):
                met.append(maker)
            elif found == order.size_lots or others.index(maker) >= most:
                break
            else:
                found = min(order.size_lots, found + maker.left)
                ahead = ahead if met else found
            if found == order.size_lots:
                break
        is_fok = order.time_in_force == 2
        if met and mode in (1, 2):
            taker.cut = order.size_lots - ahead
            if ahead and not is_fok:
                self.cross(taker)
            taker.cut = 0
            if mode == 2:
                self.close(met[0], "SELF_TRADE")
            self.close(taker, "SELF_TRADE")
        elif is_fok and found < order.size_lots:
            self.close(taker, "IMMEDIATE_REMAINDER")
        else:
            for maker in met:
                self.close(maker, "SELF_TRADE")
            self.cross(taker)
