"""Histories whose traders also protect their quotes and have sub-accounts, and fees depend on who pays. Days pass."""

import msgspec
from histories import TRADERS
from scene import ALICE, BASE, BASE_ATOMS, BOB, OTHER, QUOTE, QUOTE_ATOMS, RULED_VENUE, STRANGER
from wishful import WishfulHistory

from offchain.domain.command import Command, OpenVenue, PlaceOrder, SetOrderRules
from offchain.domain.order import TimeInForce
from offchain.domain.terms import (
    CxptDiscount,
    FeeTier,
    ObserveCxpt,
    ResetProtection,
    SetFeeSchedule,
    SetProtection,
    TransferBetween,
)
from offchain.domain.units import Address
from offchain.engine.ledger import Balance
from offchain.engine.parts import parts_of

MAKERS = (ALICE, BOB, TRADERS[4])
DAY = 24 * 3600 * 1000
LOT = 1_000 * QUOTE_ATOMS
"""About what a lot is worth."""


class RuledHistory(WishfulHistory):
    def __init__(self, seed: int, leap: float = 0.004, venue: OpenVenue = RULED_VENUE) -> None:
        super().__init__(seed, leap, venue)

    def _open_chain(self) -> None:
        """With more to trade with: who has nothing keeps no rule busy."""
        super()._open_chain()
        for trader in TRADERS[:5]:
            for token, amount in ((QUOTE, 60_000_000), (BASE, 400 * BASE_ATOMS), (OTHER, 400 * BASE_ATOMS)):
                self.chain.deposit(trader, token, amount)

    def _draw(self) -> Command:
        pick = self.random
        if pick.random() < 0.004 and not self.engine.batches.unsettled:
            self.at += pick.choice((DAY, DAY, DAY, 29 * DAY))
        if pick.random() > 0.4:
            return super()._draw()
        maker = pick.choice(MAKERS)
        signer = maker if pick.random() < 0.98 else STRANGER
        if pick.random() < 0.15:
            return self._transfer(maker, signer)
        acts = (self._protect, self._reset, self._quote, self._speak_of_rules, self._price, self._observe_cxpt)
        return pick.choices(acts, (6, 6, 60, 1, 1, 4))[0](maker, signer)

    def _place(self) -> Command:
        """Some of it for a sub-account."""
        placed, part = super()._place(), self.random.choice((0, 0, 0, 0, 1, 1, 2, 255))
        if part and isinstance(placed, PlaceOrder):
            placed = msgspec.structs.replace(placed, order=msgspec.structs.replace(placed.order, subaccount=part))
        return placed

    def _transfer(self, maker: Address, signer: Address) -> Command:
        """Most of it out of where there is something."""
        pick, token = self.random, self.random.choice((QUOTE, BASE, OTHER, STRANGER))
        maker = pick.choice(TRADERS[:5])
        parts = parts_of(self.engine.ledger, maker, token) if (maker, token) in self.engine.ledger.balances else []
        rich = [part for part in parts if part.withdrawable]
        source = pick.choice(rich) if rich else Balance(maker, token)
        amount = source.withdrawable * pick.choice((10, 30, 50, 100, 101)) // 100
        target = pick.choice((0, 1, 1, 2, 2, 255)) if pick.random() < 0.98 else pick.choice((256, -1))
        return TransferBetween(
            account=maker,
            signer=maker if pick.random() < 0.98 else STRANGER,
            token=token,
            amount=amount,
            source=source.subaccount,
            target=target,
        )

    def _protect(self, maker: Address, signer: Address) -> Command:
        pick = self.random
        return SetProtection(
            account=maker if pick.random() < 0.97 else STRANGER,
            signer=signer,
            protection=pick.choice((0, 0, 1, 2, 31, 32)),
            window_millis=pick.choice((0, 1, 40, 1_000, 5_000, 5_000, 300_000, 300_001)),
            markets=pick.choice(((), (1,), (1,), (2,), (1, 2), (2, 1), (2, 2), (3,))),
            amount_max=pick.choice((0, 5, 20, 60, 1_000)) * LOT,
            delta_max=pick.choice((0, 0, 3, 10, 40)) * LOT,
            freeze_millis=pick.choice((0, 1, 1_000, 3_000, 3_000, 86_400_001)),
        )

    def _reset(self, maker: Address, signer: Address) -> Command:
        return ResetProtection(account=maker, signer=signer, protection=self.random.choice((0, 0, 1, 2, 31)))

    def _quote(self, maker: Address, signer: Address) -> Command:
        """A protected order; now and then one that cannot be."""
        pick, placed = self.random, self._plain(maker)
        order = placed.order
        if order.is_immediate and pick.random() < 0.95:
            return placed
        if pick.random() < 0.05:
            order = self._conditional(order)
        order = msgspec.structs.replace(order, flags=order.flags & 57 | 64 | (order.flags & 4))
        if order.time_in_force is TimeInForce.GTD and pick.random() < 0.7:
            order = msgspec.structs.replace(order, time_in_force=TimeInForce.GTC, expiry=0)
        beside = self._beside(maker, order) if pick.random() < 0.1 else None
        return PlaceOrder(order, placed.signature, signer, placed.client_order_id, beside)

    def _price(self, maker: Address, signer: Address) -> Command:
        """Tiers from cheap to cheaper; now and then none, or some that make no sense."""
        pick, takers = self.random, sorted(self.random.choices((500, 1_000, 1_500, 2_000, 2_400), k=3), reverse=True)
        volumes = sorted(pick.sample((5, 20, 60, 200), 3))
        tiers = [
            FeeTier(volume * LOT, pick.choice((500, 0, -100, -250)), taker)
            for volume, taker in zip(volumes, takers, strict=True)
        ]
        discounts = [CxptDiscount(10, 100_000), CxptDiscount(100, pick.choice((333_333, 500_000, 10**6, 10**6 + 1)))]
        shape = pick.random()
        return SetFeeSchedule(
            tiers=tuple(tiers[::-1] if shape < 0.05 else tiers[: pick.randrange(4)]),
            discounts=tuple(discounts[: pick.randrange(3)]),
            by=pick.choice((Address(""), Address(""), STRANGER)),
        )

    def _observe_cxpt(self, maker: Address, signer: Address) -> Command:
        pick = self.random
        accounts = pick.sample((*TRADERS[:5], STRANGER) if pick.random() < 0.2 else TRADERS[:5], pick.randrange(4))
        atoms = tuple((account, pick.choice((0, 9, 10, 100, 10**20))) for account in accounts)
        return ObserveCxpt(atoms=atoms * pick.choice((1, 1, 1, 2)))

    def _speak_of_rules(self, maker: Address, signer: Address) -> Command:
        return SetOrderRules(order_rules=self.random.choice((1, 2, 3)))


class RepeatingHistory(RuledHistory):
    """Transfers with names, of which many come again: as they were, or with other terms."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.named: list[TransferBetween] = []

    def _draw(self) -> Command:
        if self.random.random() < 0.1:
            return self._transfer(ALICE, ALICE)
        return super()._draw()

    def _transfer(self, maker: Address, signer: Address) -> Command:
        if self.named and self.random.random() < 0.3:
            again = self.random.choice(self.named)
            return msgspec.structs.replace(again, amount=again.amount + (self.random.random() < 0.5))
        moving, name = super()._transfer(maker, signer), f"move-{self.engine.sequence}"
        assert isinstance(moving, TransferBetween)
        self.named.append(msgspec.structs.replace(moving, client_id=name * self.random.choice((1,) * 20 + (5,))))
        return self.named[-1]
