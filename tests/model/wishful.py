"""Histories in which traders also amend, cancel many, set dead-man switches and want several things together."""

import msgspec
from histories import GTC, MARKETS, TRADERS, History
from scene import BASE, BASE_ATOMS, OTHER, QUOTE, STRANGER, WISHFUL_VENUE, address

from offchain.domain.beside import Beside, SelfTrade
from offchain.domain.command import (
    AmendOrder,
    CancelAllAfter,
    CancelMany,
    Command,
    Intent,
    OpenVenue,
    PlaceOrder,
    PostMark,
    Reading,
    SetBand,
    SetOrderRules,
    SetTradeGroup,
    Together,
)
from offchain.domain.order import Kind, Order, Side, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine.ledger import Balance
from offchain.engine.orders import Ticket


class WishfulHistory(History):
    def __init__(self, seed: int, leap: float = 0.004, venue: OpenVenue = WISHFUL_VENUE) -> None:
        super().__init__(seed, leap, venue)

    def _draw(self) -> Command:
        pick = self.random
        if pick.random() > 0.25:
            return super()._draw()
        trader = pick.choice(TRADERS[:5])
        signer = trader if pick.random() < 0.98 else STRANGER
        acts = (
            self._amend,
            self._replace,
            self._cancel_many,
            self._set_switch,
            self._together,
            self._wish,
            self._speak,
            self._reduce,
        )
        return pick.choices(acts, (12, 6, 2, 1, 8, 20, 8, 3))[0](trader, signer)

    def _reduce(self, trader: Address, signer: Address) -> Command:
        """Sells, reduce-only, all that is there or a lot less of it: with what fills have yet to bring, if they do."""
        pick, placed = self.random, self._plain(trader)
        market, base = pick.choice(MARKETS)
        balances = [self.engine.ledger.find(one, base) for one in TRADERS]
        coming = [b for b in balances if b is not None and b.cover > b.settled - b.leaving - b.taken and b.cover > 0]
        seller = pick.choice(coming) if coming else Balance(trader, base)
        self.sequences[seller.account] += 1
        order = msgspec.structs.replace(
            placed.order,
            account=seller.account,
            market=market,
            side=Side.SELL,
            kind=Kind.LIMIT,
            time_in_force=GTC,
            flags=2,
            expiry=0,
            size_lots=Lots(max(1, seller.cover // BASE_ATOMS - pick.randrange(2))),
            nonce=make_nonce(pick.randrange(1, 12), self.sequences[seller.account]),
        )
        return PlaceOrder(order, placed.signature, signer if signer == STRANGER else seller.account, "")

    def _wish(self, trader: Address, signer: Address) -> Command:
        """An order with something beside it, or with rarer flags."""
        pick, placed = self.random, self._plain(trader)
        order = placed.order
        if pick.random() < 0.3:
            order = msgspec.structs.replace(order, flags=order.flags | 2, side=pick.choice((Side.SELL, order.side)))
        beside = None
        if pick.random() < 0.6:
            order = self._conditional(order)
        if pick.random() < 0.8:
            beside = self._beside(trader, order)
        return PlaceOrder(order, placed.signature, signer, placed.client_order_id, beside)

    def _conditional(self, order: Order) -> Order:
        """Most of them make sense."""
        pick = self.random
        if order.slot == 0 and pick.random() < 0.9:
            return order
        flags = (order.flags & (6 if pick.random() < 0.95 else 7)) | pick.choice((0, 8)) | pick.choice((0, 16))
        trigger = Ticks(1_000 + pick.randrange(-9, 10) if pick.random() < 0.97 else 0)
        nonce = make_nonce(pick.randrange(20, 60), order.sequence) if order.slot else order.nonce
        return msgspec.structs.replace(order, flags=flags | pick.choice((0, 32)), trigger_ticks=trigger, nonce=nonce)

    def _beside(self, trader: Address, order: Order) -> Beside:
        pick = self.random
        nonces = [ticket.nonce for ticket in self._open(trader)] + [5]
        return Beside(
            display_lots=pick.choice((0, 0, 1, 2, 5)),
            trail_ticks=pick.choice((0, 0, 2, 4)) if order.trigger_ticks else 0,
            parent=pick.choice(nonces) if pick.random() < 0.25 else 0,
            other=pick.choice(nonces) if pick.random() < 0.35 else 0,
            self_trade=pick.choice(tuple(SelfTrade)),
            is_amend=pick.random() < 0.05,
        )

    def _speak(self, trader: Address, signer: Address) -> Command:
        """The operator, or the posters."""
        pick = self.random
        market, by = pick.choice((1, 1, 2, 3)), pick.choice((Address(""), Address(""), STRANGER))
        act = pick.random()
        if act < 0.1:
            accounts = tuple(pick.sample(TRADERS, pick.randrange(3)))
            return SetTradeGroup(accounts=accounts, group=pick.choice((0, 1, 1, 2)), by=by)
        if act < 0.2:
            below, above = pick.choice(((0, 0), (0, 0), (0, 0), (6_000, 8_000), (0, 4_000), (10**6 + 1, 0)))
            return SetBand(market=market, below_ppm=below, above_ppm=above, by=by)
        if act < 0.21:
            return SetOrderRules(order_rules=pick.choice((0, 1, 2)))
        time = self.at // 1000 + pick.choice((0, 0, 0, 0, 0, -61, 62))
        readings = [
            Reading(address(0x90 + (n if pick.random() < 0.95 else 0)), 1_000 + pick.randrange(-6, 7), time)
            for n in range(pick.choice((0, 1, 2, 3, 4)))
        ]
        return PostMark(market=market, readings=tuple(readings))

    def _open(self, trader: Address) -> list[Ticket]:
        account = self.engine.accounts.get(trader)
        return [] if account is None else list(account.open.values())

    def _size(self, ticket: Ticket) -> int:
        return self.random.randrange(ticket.filled, ticket.filled + ticket.remaining + 2)

    def _amend(self, trader: Address, signer: Address) -> Command:
        tickets = self._open(trader)
        if not tickets:
            return AmendOrder(account=trader, nonce=7, size_lots=1, signer=signer)
        ticket = self.random.choice(tickets)
        return AmendOrder(account=trader, nonce=ticket.nonce, size_lots=self._size(ticket), signer=signer)

    def _replace(self, trader: Address, signer: Address) -> Command:
        """A signed amend; most of them keep the price."""
        pick, tickets = self.random, self._open(trader)
        placed = self._plain(trader)
        order = placed.order
        if tickets and pick.random() < 0.9:
            old = pick.choice(tickets).order
            self.sequences[trader] += 1
            changed = {
                "nonce": (old.slot << 48) | max(self.sequences[trader], old.sequence + 1),
                "size_lots": max(1, old.size_lots - pick.randrange(-1, 4)),
                "max_fee_ppm": 10_000,
            }
            if pick.random() < 0.3:
                changed["price_ticks"] = order.price_ticks
            order = msgspec.structs.replace(old, **changed)
        return PlaceOrder(order, placed.signature, signer, "", Beside(is_amend=True))

    def _plain(self, trader: Address) -> PlaceOrder:
        while True:
            placed = self._place()
            if isinstance(placed, PlaceOrder) and placed.order.account == trader and placed.signer == trader:
                return placed

    def _bracket(self, orders: list[PlaceOrder]) -> tuple[list[PlaceOrder], list[Beside | None]]:
        """The later orders wait for the first one, and cancel each other."""
        pick, besides = self.random, list[Beside | None]()
        for number, placed in enumerate(orders):
            first, before = orders[0].order, orders[max(0, number - 1)].order
            order = placed.order
            if number and pick.random() < 0.9:
                order = self._conditional(
                    msgspec.structs.replace(order, market=first.market, side=before.side if number > 1 else order.side)
                )
            orders[number] = msgspec.structs.replace(placed, order=order)
            parent = first.nonce if number and pick.random() < 0.8 else 0
            other = before.nonce if number > 1 and pick.random() < 0.8 else 0
            display = 0 if order.slot == 0 or pick.random() < 0.8 else 1
            besides.append(Beside(parent=parent, other=other, display_lots=display))
        return orders, besides

    def _cancel_many(self, trader: Address, signer: Address) -> Command:
        pick = self.random
        return CancelMany(
            account=trader,
            signer=signer,
            market=pick.choice((0, 1, 2, 3)),
            side=pick.choice((None, 0, 1)),
            subaccount=pick.choice((None, None, 0, 1)),
            is_disconnect=pick.random() < 0.3,
        )

    def _set_switch(self, trader: Address, signer: Address) -> Command:
        return CancelAllAfter(
            account=trader, signer=signer, timeout_millis=self.random.choice((0, 999, 1_000, 3_000, 60_000, 900_001))
        )

    def _together(self, trader: Address, signer: Address) -> Command:
        pick, tickets = self.random, self._open(trader)
        chosen = pick.sample(tickets, min(len(tickets), pick.randrange(4)))
        cut = pick.randrange(len(chosen) + 1)
        amends = [(ticket.nonce, self._size(ticket)) for ticket in chosen[cut:]]
        orders = [self._plain(trader) for _ in range(pick.choice((0, 1, 2, 2, 3)))]
        orders = list({placed.order.nonce: placed for placed in orders}.values())
        besides = [Beside(is_amend=True) if pick.random() < 0.1 else None for _ in orders]
        if pick.random() < 0.5:
            orders, besides = self._bracket(orders)
        self.follow = [
            PlaceOrder(placed.order, placed.signature, trader, placed.client_order_id, beside)
            for placed, beside in zip(orders, besides, strict=True)
        ]
        if pick.random() < 0.05:
            self.follow[1:1] = [super()._draw()]
        return Together(
            account=trader,
            signer=signer,
            cancels=tuple(ticket.nonce for ticket in chosen[:cut]) + ((9,) if pick.random() < 0.05 else ()),
            amends=tuple(amends),
            orders=tuple(
                Intent(
                    placed.order.to_frame(),
                    placed.client_order_id,
                    b"" if beside is None else beside.to_frame(),
                )
                for placed, beside in zip(orders, besides, strict=True)
            ),
            is_first=pick.random() < 0.25,
        )


class CalmHistory(WishfulHistory):
    """Nobody is short of money and the chain settles what there is: what is left is traders with many wishes."""

    def _open_chain(self) -> None:
        super()._open_chain()
        for trader in TRADERS:
            for token in (QUOTE, BASE, OTHER):
                self.chain.deposit(trader, token, 10**9 * (1 if token == QUOTE else BASE_ATOMS // 10**6))

    def _draw(self) -> Command:
        pick = self.random
        if self.batches:
            self._settle()
        if self.seen < len(self.chain.logs):
            return self._next_log()
        trader = pick.choice(TRADERS)
        act = pick.random()
        if act < 0.3:
            return self._place()
        if act < 0.55:
            return self._wish(trader, trader)
        if act < 0.75:
            return self._together(trader, trader)
        if act < 0.9:
            time = self.at // 1000
            return PostMark(
                market=pick.choice((1, 2)), readings=(Reading(trader, 1_000 + pick.randrange(-6, 7), time),)
            )
        if act < 0.96:
            return self._amend(trader, trader)
        return self._cancel()
