"""The naive twin's part of what accounts have beside their orders: sub-accounts, fee tiers, protections."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from offchain.domain import terms
from offchain.domain.order import Order

FOR_EVER = 10**18
DAY = 24 * 3600 * 1000


@dataclass
class Rules:
    protections: dict[tuple[str, int], Any] = field(default_factory=dict)
    """By account and number"""
    counted: dict[tuple[str, int], list[tuple[int, int]]] = field(default_factory=dict)
    """When, and what a fill was worth: below 0 of a sale"""
    frozen: dict[tuple[str, int], int] = field(default_factory=dict)
    """Until when"""

    tiers: list[tuple[int, int, int]] = field(default_factory=list)
    """Volume, maker's and taker's rate"""
    discounts: list[tuple[int, int]] = field(default_factory=list)
    """CXPT, millionths"""
    traded: list[tuple[str, int, int]] = field(default_factory=list)
    """Account, day, what it settled"""
    cxpt: list[tuple[str, int, int]] = field(default_factory=list)
    """Account, day, atoms"""

    pieces: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """What sub-accounts beside 0 have settled, which has the rest"""
    split: dict[str, set[int]] = field(default_factory=dict)
    """Which ones an account has"""
    moved: list[tuple[int, terms.TransferBetween]] = field(default_factory=list)
    """Transfers that were done, by their commands' numbers"""

    # --- sub-accounts ---

    def parts_of(self: Any, account: str) -> list[int]:
        return sorted({0, *self.split.get(account, ())})

    def part_settled(self: Any, account: str, token: str, part: int | None) -> int:
        if part:
            return int(self.pieces.get((account, token, part), 0))
        others = [amount for (who, what, _), amount in self.pieces.items() if (who, what) == (account, token)]
        return int(self.settled.get((account, token), 0)) - (sum(others) if part == 0 else 0)

    def gain(self: Any, account: str, token: str, part: int, amount: int) -> None:
        self.settled[account, token] = self.settled.get((account, token), 0) + amount
        if part:
            self.pieces[account, token, part] = self.pieces.get((account, token, part), 0) + amount

    def on_TransferBetween(self: Any, what: terms.TransferBetween) -> None:
        numbers = {what.source, what.target}
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif self.rules < 2:
            self.no("UNSUPPORTED")
        elif what.token not in self.tokens:
            self.no("UNKNOWN_TOKEN")
        elif what.amount <= 0 or len(numbers) == 1 or not numbers <= set(range(256)) or len(what.client_id) > 36:
            self.no("INVALID_PARAMETER")
        elif (before := self.named(what)) is not None:
            if before[1] == what:
                self.out.append(("transfer known", what.account, what.client_id, before[0]))
            else:
                self.no("DUPLICATE_CLIENT_TRANSFER_ID")
        elif what.amount > self.free(what.account, what.token, what.source):
            self.no("INSUFFICIENT_BALANCE")
        else:
            self.moved.append((self.number, what))
            self.split.setdefault(what.account, set()).update(numbers)
            self.shift(what.account, what.token, what.source, what.target, what.amount, False)

    def named(self: Any, what: terms.TransferBetween) -> tuple[int, terms.TransferBetween] | None:
        """Of the account's last thousand with a name, the one with this name."""
        mine = [(number, one) for number, one in self.moved if one.account == what.account and one.client_id]
        return next((found for found in mine[-1_000:] if found[1].client_id == what.client_id), None)

    def shift(self: Any, account: str, token: str, source: int, target: int, amount: int, forced: bool) -> None:
        self.gain(account, token, source, -amount)
        self.gain(account, token, target, amount)
        self.out.append(("transfer", account, token, source, target, amount, forced))

    def share_all(self: Any) -> None:
        for account in sorted(self.split):
            for token in sorted(self.tokens):
                for needy in self.parts_of(account):
                    self.share(account, token, needy)

    def share(self: Any, account: str, token: str, needy: int) -> None:
        self.draw(account, token, needy)
        for placed in sorted(self.resting, key=lambda placed: -placed.number):
            giver = placed.order.subaccount
            mine = placed.order.account == account and placed.token == token and placed.per_lot
            if self.cover(account, token, needy) < 0 and mine:
                settled, _, _, leaving = self.money(account, token, giver)
                if settled > leaving + self.owed(account, token, giver):
                    self.close(placed, "UNCOVERED")
                    self.draw(account, token, needy)

    def draw(self: Any, account: str, token: str, needy: int) -> None:
        for giver in self.parts_of(account):
            amount = min(-self.cover(account, token, needy), self.free(account, token, giver))
            if giver != needy and amount > 0:
                self.shift(account, token, giver, needy, amount, True)

    # --- fees ---

    def on_SetFeeSchedule(self: Any, what: terms.SetFeeSchedule) -> None:
        tiers = [(tier.volume_min, tier.maker_fee_ppm, tier.taker_fee_ppm) for tier in what.tiers]
        discounts = [(one.cxpt_min, one.discount_ppm) for one in what.discounts]
        if what.by and what.by not in self.operators:
            self.no("NOT_AN_OPERATOR")
        elif not self.is_fair([self.fees], tiers, discounts):
            self.no("INVALID_PARAMETER")
        else:
            self.tiers, self.discounts = tiers, discounts
            if not tiers and not discounts:
                self.traded, self.cxpt = [], []
            self.out.append(("schedule", *tiers, *discounts))

    def is_fair(self, base: list[tuple[int, int]], tiers: list[Any], discounts: list[tuple[int, int]]) -> bool:
        """Tried with every pair of a maker and a taker."""
        for bounds in ([tier[0] for tier in tiers], [one[0] for one in discounts]):
            if any(one >= two for one, two in pairwise([0, *bounds])):
                return False
        if any(not 0 < cut <= 10**6 for _, cut in discounts):
            return False
        rates = [*base, *(tier[1:] for tier in tiers)]
        if any(maker > 10_000 or not 0 <= taker <= 10_000 or maker + taker < 0 for maker, taker in rates):
            return False
        cuts = [0, *(cut for _, cut in discounts)]
        return all(maker + self.cut(taker, cut) >= 0 for maker, _ in rates for _, taker in rates for cut in cuts)

    def cut(self, ppm: int, discount: int) -> int:
        return ppm if ppm <= 0 else (ppm * (10**6 - discount) + 10**6 - 1) // 10**6

    def on_ObserveCxpt(self: Any, what: terms.ObserveCxpt) -> None:
        accounts = [account for account, _ in what.atoms]
        if what.by and what.by not in self.operators:
            self.no("NOT_AN_OPERATOR")
        elif not self.tiers and not self.discounts:
            self.no("UNSUPPORTED")
        elif not accounts or len(set(accounts)) < len(accounts) or not self.accounts.issuperset(accounts):
            self.no("INVALID_PARAMETER")
        else:
            for account, atoms in what.atoms:
                self.cxpt.append((account, self.at // DAY, atoms))
                self.out.append(("cxpt", account, atoms))

    def count_volume(self: Any, fill: Any) -> None:
        order = fill.taker.order
        worth = fill.quote
        if fill.maker is not None:
            lot = self.markets[order.market].quote_atoms_per_tick_lot
            worth = fill.maker.order.price_ticks * fill.lots * lot
        for placed in fill.orders if self.tiers or self.discounts else ():
            self.traded.append((placed.order.account, self.at // DAY, worth))

    def rates(self: Any, account: str) -> tuple[int, int]:
        today, (maker, taker) = self.at // DAY, self.fees
        volume = sum(worth for who, day, worth in self.traded if who == account and today - 30 <= day < today)
        for least, *rates in self.tiers:
            if volume >= least:
                maker, taker = rates
        seen = [0, *(atoms for who, day, atoms in self.cxpt if who == account and day < today)]
        cuts = [0, *(cut for least, cut in self.discounts if seen[-1] >= least)]
        return self.cut(maker, max(cuts)), self.cut(taker, max(cuts))

    # --- protections ---

    def on_SetProtection(self: Any, what: terms.SetProtection) -> None:
        key, limits = (what.account, what.protection), (what.amount_max, what.delta_max)
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif self.rules < 2:
            self.no("UNSUPPORTED")
        elif what.account not in self.accounts:
            self.no("INSUFFICIENT_BALANCE")
        elif (
            what.protection not in range(32)
            or not 0 <= what.window_millis <= 300_000
            or not 0 <= what.freeze_millis <= 86_400_000
            or min(limits) < 0
            or (what.window_millis and max(limits) == 0)
            or len(set(what.markets)) < len(what.markets)
        ):
            self.no("INVALID_PARAMETER")
        elif not set(what.markets) <= set(self.markets):
            self.no("UNKNOWN_MARKET")
        else:
            self.protections.pop(key, None)
            if what.window_millis:
                self.protections[key] = what
            self.counted[key], self.frozen[key] = [], 0
            self.out.append(("protection", *key, what.window_millis, what.markets, *limits, what.freeze_millis))

    def on_ResetProtection(self: Any, what: terms.ResetProtection) -> None:
        key = (what.account, what.protection)
        if what.signer != what.account:
            self.no("WRONG_SIGNER")
        elif key not in self.protections:
            self.no("NO_PROTECTION")
        else:
            self.counted[key], self.frozen[key] = [], 0
            self.out.append(("reset", *key))

    def protecting(self: Any, order: Order) -> list[tuple[str, int]]:
        return sorted(
            key
            for key, what in self.protections.items()
            if key[0] == order.account and (not what.markets or order.market in what.markets)
        )

    def protection_flaw(self: Any, order: Order) -> str:
        keys = self.protecting(order)
        if not keys:
            return "NO_PROTECTION"
        return "PROTECTION_FROZEN" if any(self.frozen[key] > self.at for key in keys) else ""

    def watch_fills(self: Any, fills: list[Any]) -> None:
        touched: dict[tuple[str, int], None] = {}
        for fill in fills:
            for placed in fill.orders:
                order = placed.order
                for key in self.protecting(order) if order.flags & 64 else ():
                    if self.frozen[key] <= self.at:
                        worth = self.markets[order.market].quote_atoms_per_tick_lot * fill.lots
                        worth *= fill.maker.order.price_ticks
                        self.counted[key].append((self.at, -worth if order.side else worth))
                        touched[key] = None
        for key in touched:
            what = self.protections[key]
            recent = [worth for when, worth in self.counted[key] if when > self.at - what.window_millis]
            amount, delta = sum(map(abs, recent)), sum(recent)
            if (what.amount_max and amount > what.amount_max) or (what.delta_max and abs(delta) > what.delta_max):
                self.trip(key, amount, delta)

    def trip(self: Any, key: tuple[str, int], amount: int, delta: int) -> None:
        what = self.protections[key]
        until = self.at + what.freeze_millis if what.freeze_millis else 0
        self.counted[key], self.frozen[key] = [], until or FOR_EVER
        self.out.append(("tripped", *key, until, amount, delta))
        for placed in sorted(self.resting, key=lambda placed: placed.number):
            if placed.order.flags & 64 and key in self.protecting(placed.order):
                self.close(placed, "PROTECTED")
