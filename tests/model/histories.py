"""Random histories: traders, an operator and the contracts' model, against an engine.

Everything is drawn from one seeded generator, so a seed is a history. The chain's clock leaps now and then, so that
withdrawal requests mature, cancels bind and orders expire before their fills settle: then fills are refused.
"""

import random
from collections.abc import Iterator

from chain import Chain, Reverted
from laws import moves_of
from scene import (
    ALICE,
    BASE,
    BASE_ATOMS,
    BOB,
    CAROL,
    DAVE,
    FEES,
    ITEMIZED_VENUE,
    OTHER,
    QUOTE,
    QUOTE_ATOMS,
    START,
    STRANGER,
    TREASURY,
    address,
)

from offchain.domain.command import (
    AdvanceTime,
    CancelAll,
    CancelOrder,
    CloseEpoch,
    Command,
    ObserveBlock,
    ObserveLog,
    ObservePool,
    OpenVenue,
    PlaceOrder,
    RefuseFill,
    RequestApproval,
    RequestMarket,
    SetFees,
    SetMarketState,
    SetOperators,
    SetVenueState,
)
from offchain.domain.event import AnyEvent, ApprovalGranted, BatchClosed
from offchain.domain.market import MarketState
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine.engine import Engine

TRADERS = (ALICE, BOB, CAROL, DAVE, address(0xA4), address(0xA5))
MARKETS = ((1, BASE), (2, OTHER))
GTC, GTD, IOC, FOK = TimeInForce.GTC, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK


class History:
    """Draws commands; `steps` applies them to `engine` and yields (sequence, at, command, events)."""

    def __init__(self, seed: int, leap: float = 0.004, venue: OpenVenue = ITEMIZED_VENUE) -> None:
        self.random = random.Random(seed)
        self.leap = leap
        self.venue = venue
        self.engine = Engine()
        self.at = START
        self.chain = Chain(QUOTE, FEES, TREASURY, START // 1000, venue.batch_rules.is_fok_whole)
        self.seen = 0
        self.approvals: list[ApprovalGranted] = []
        self.batches: list[int] = []
        self.sequences = dict.fromkeys(TRADERS, START - 10_000)
        self.follow: list[Command] = []
        """Commands that come next, at the same instant."""

    def steps(self, count: int) -> Iterator[tuple[int, int, Command, tuple[AnyEvent, ...]]]:
        self._open_chain()
        yield self._apply(self.venue)
        for _ in range(count):
            if self.follow:
                yield self._apply(self.follow.pop(0))
                continue
            self.at += self.random.choice((0, 1, 5, 40, 300))
            if self.random.random() < 0.0005:
                self.at += 70_000
            yield self._apply(self._draw())

    def settle_everything(self) -> Iterator[tuple[int, int, Command, tuple[AnyEvent, ...]]]:
        """Lets the last batch close, the chain decide every batch, and the engine hear of it."""
        self.at += 2_000
        yield self._apply(AdvanceTime())
        while self.batches:
            self._settle()
        while self.seen < len(self.chain.logs):
            yield self._apply(self._next_log())

    def _apply(self, command: Command) -> tuple[int, int, Command, tuple[AnyEvent, ...]]:
        sequence = self.engine.sequence + 1
        events = self.engine.apply(sequence, self.at, command)
        for event in events:
            if isinstance(event, ApprovalGranted):
                self.approvals.append(event)
            elif isinstance(event, BatchClosed):
                self.batches.append(event.batch)
        return sequence, self.at, command, events

    def _open_chain(self) -> None:
        for number, base in MARKETS:
            self.chain.register(base)
            self.chain.list_market(number, base, BASE_ATOMS, QUOTE_ATOMS, f"M{number}-USDC")
            self.chain.pairs[base] = [2_000 * BASE_ATOMS, 2_000 * 1_000 * QUOTE_ATOMS]
        for trader in TRADERS[:5]:
            self.chain.deposit(trader, QUOTE, 12_000_000)
            for _, base in MARKETS:
                self.chain.deposit(trader, base, 90 * BASE_ATOMS)

    def _draw(self) -> Command:
        if self.seen < len(self.chain.logs) and self.random.random() < 0.3:
            return self._next_log()
        weights = (
            (self._place, 60),
            (self._cancel, 12),
            (self._chain_acts, 22),
            (self._operator_acts, 6),
            (self._see_pool, 6),
        )
        draw = self.random.choices([act for act, _ in weights], [weight for _, weight in weights])[0]
        return draw()

    # --- traders ---

    def _place(self) -> Command:
        pick = self.random
        trader = pick.choice(TRADERS)
        kind, tif, flags, slot, expiry = Kind.LIMIT, GTC, 0, pick.randrange(1, 12), 0
        shape = pick.random()
        if shape < 0.15:
            tif, slot = pick.choice((IOC, FOK)), 0
            kind = pick.choice((Kind.LIMIT, Kind.MARKET))
        elif shape < 0.25:
            tif, expiry = GTD, max(self.at // 1000, self.chain.time) + pick.randrange(-1, 25)
        elif shape < 0.4:
            flags = 1
        elif shape < 0.46:
            flags, tif, slot = 4, pick.choice((IOC, FOK)), 0
        if pick.random() < 0.02:
            flags, slot, tif = pick.randrange(7), pick.randrange(3), pick.choice(tuple(TimeInForce))
        self.sequences[trader] += pick.choice((0, 1, 1, 1, 50))
        sequence = self.sequences[trader] + (2 * 10**8 if pick.random() < 0.003 else 0)
        order = Order(
            account=trader,
            subaccount=0,
            market=pick.choice((1, 1, 1, 2, 2, 3)) if pick.random() < 0.1 else pick.choice((1, 1, 2)),
            side=pick.choice((Side.BUY, Side.SELL)),
            kind=kind,
            time_in_force=tif,
            flags=flags,
            price_ticks=Ticks(1_000 + pick.randrange(-8, 9)),
            size_lots=Lots(pick.choice((1, 2, 3, 5, 8, 13, 30)) if pick.random() < 0.99 else 0),
            trigger_ticks=Ticks(0),
            max_fee_ppm=10_000 if pick.random() < 0.95 else 2_000,
            nonce=make_nonce(slot, sequence),
            expiry=expiry,
        )
        name = f"c{pick.randrange(400)}" if pick.random() < 0.1 else ""
        signer = trader if pick.random() < 0.995 else STRANGER
        return PlaceOrder(order, pick.randbytes(64) + b"\x1b", signer, name)

    def _cancel(self) -> Command:
        pick = self.random
        trader = pick.choice(TRADERS)
        signer = trader if pick.random() < 0.98 else STRANGER
        if pick.random() < 0.06:
            floor = self.sequences[trader] - pick.randrange(200) if pick.random() < 0.3 else 0
            return CancelAll(trader, pick.choice((0, 1, 2)), floor, signer)
        account = self.engine.accounts.get(trader)
        if account is not None and account.open and pick.random() < 0.9:
            return CancelOrder(trader, pick.choice(list(account.open.values())).order.nonce, signer)
        slot, sequence = pick.randrange(12), self.sequences[trader] - pick.randrange(20)
        return CancelOrder(trader, make_nonce(slot, sequence), signer)

    # --- the operator ---

    def _operator_acts(self) -> Command:
        pick = self.random
        act = pick.random()
        if act < 0.25:
            return CloseEpoch()
        if act < 0.4:
            taker = pick.choice((2_500, 3_000, 1_000, 500, 0))
            return SetFees(maker_fee_ppm=pick.choice((1_000, 0, -500, -1_000, 2_500)), taker_fee_ppm=taker)
        if act < 0.5:
            return self._change_state()
        if act < 0.55:
            return self._change_markets()
        if act < 0.75:
            return self._reopen()
        if act < 0.85 and self.engine.batches.unsettled and pick.random() < 0.3:
            return RefuseFill(fill=pick.choice(list(self.engine.batches.unsettled)), reason="sinks")
        if act < 0.87:
            return RefuseFill(fill=pick.randrange(3), reason="none")
        if act < 0.94:
            return self._change_markets()
        return AdvanceTime()

    def _change_state(self) -> Command:
        pick = self.random
        state = pick.choice((*(MarketState.ACTIVE,) * 5, *MarketState))
        if pick.random() < 0.5:
            return SetVenueState(state=state, reason="drill")
        if state is MarketState.DELISTED and self.engine.sequence % 1_000 < 900:
            state = MarketState.PAUSED  # or nothing would be left to trade
        market = pick.choice((2, 3)) if state is MarketState.DELISTED else pick.choice((1, 2, 3))
        by = pick.choice((Address(""), ALICE, STRANGER, *self.engine.operators))
        return SetMarketState(market=market, state=state, by=by)

    def _change_markets(self) -> Command:
        pick = self.random
        if pick.random() < 0.3:
            return SetOperators(operators=pick.choice(((), (ALICE,), (BOB, ALICE), (BOB, BOB))))
        name = f"S{pick.randrange(8)}"
        symbol, synth = pick.random(), pick.random()
        return RequestMarket(
            symbol=f"{name}-USDC" if symbol < 0.8 else f"{name}-EUR" if symbol < 0.9 else "M1-USDC",
            synth_symbol=name if synth < 0.6 else name.lower() if synth < 0.8 else pick.choice(("S0", "hM1", "Usdc")),
            synth_name=name if pick.random() < 0.9 else "",
            base_atoms_per_lot=BASE_ATOMS,
            quote_atoms_per_tick_lot=QUOTE_ATOMS,
            ceiling=10**24,
            initial_percent=200,
            maintenance_percent=150,
            bonus_percent=5,
            quorum=1,
            max_age_seconds=600,
            max_move_ppm_per_minute=10_000,
            by=pick.choice((ALICE, *self.engine.operators)),
        )

    def _reopen(self) -> Command:
        for number, book in self.engine.books.items():
            if book.state not in (MarketState.ACTIVE, MarketState.DELISTED):
                return SetMarketState(market=number, state=MarketState.ACTIVE)
        return SetVenueState(state=MarketState.ACTIVE, reason="")

    # --- the chain ---

    def _chain_acts(self) -> Command:
        """One thing happens on the chain; the engine hears of the next one."""
        pick = self.random
        self.chain.advance(1_000 if pick.random() < self.leap else pick.randrange(2))
        if pick.random() < 0.05:
            # Both clocks agree again, as they do outside tests.
            self.at = max(self.at, self.chain.time * 1000)
        act, trader = pick.random(), pick.choice(TRADERS)
        token = pick.choice((QUOTE, QUOTE, BASE, OTHER))
        unit = 1 if token == QUOTE else BASE_ATOMS // 10**5
        try:
            if act < 0.4 and self.batches:
                self._settle()
            elif act < 0.62:
                self._debit(act, trader, token, unit)
            elif act < 0.66:
                self._deposit(trader, token, unit)
            elif act < 0.68:
                self.chain.mint(trader, BASE, pick.randrange(1, 10) * BASE_ATOMS)
            elif act < 0.70:
                self._unlock()
            elif act < 0.73:
                self._cancel_on_chain(trader)
            elif act < 0.74:
                self._change_agents(trader)
            elif act < 0.77 and self.engine.batches.unsettled:
                self._run_away()
            else:
                return self._approve(trader, token, unit)
        except Reverted:
            pass
        if self.seen == len(self.chain.logs):
            return ObserveBlock(block_number=self.chain.block, block_time=self.chain.time)
        return self._next_log()

    def _see_pool(self) -> Command:
        """The pair as it is, or (while somebody trades with it) as it was."""
        pick = self.random
        market, base = pick.choice(MARKETS)
        base_reserve, quote_reserve = self.chain.pairs[base]
        if pick.random() < 0.3:
            is_base_in = pick.random() < 0.5
            amount = (base_reserve if is_base_in else quote_reserve) * pick.randrange(1, 9) // 1_000
            self.chain.trade(base, amount, is_base_in)
        return ObservePool(
            market=market if pick.random() < 0.98 else 3,
            base_reserve=base_reserve,
            quote_reserve=quote_reserve,
            block_number=self.chain.block - (pick.random() < 0.05),
            block_time=self.chain.time,
        )

    def _next_log(self) -> Command:
        self.seen += 1
        return ObserveLog(log=self.chain.logs[self.seen - 1])

    def _settle(self) -> None:
        self.chain.settle(self.engine.settlement_batch(self.batches[0]))
        del self.batches[0]

    def _debit(self, act: float, trader: Address, token: Address, unit: int) -> None:
        pick = self.random
        if act < 0.42:
            percent = pick.choice((10, 20, 30, 60, 110))
            self.chain.request(trader, token, self.chain.balance(trader, token) * percent // 100 + 1)
        elif act < 0.44:
            self.chain.withdraw(trader, pick.randrange(1, 5_000_000), pick.random() < 0.5)
        elif act < 0.57 and self.chain.requests:
            ripe = [key for key, request in self.chain.requests.items() if request.matures_at <= self.chain.time]
            account, token = pick.choice(ripe or list(self.chain.requests))
            is_stuck = not self.chain.balance(account, token) or pick.random() < 0.4
            (self.chain.cancel_request if is_stuck else self.chain.complete)(account, token)
        elif self.approvals:
            self.chain.use_approval(pick.choice(self.approvals[-6:]))

    def _unlock(self) -> None:
        """Out of somebody's position, as often as not into another's account."""
        pick = self.random
        owner = pick.choice([who for who, amount in self.chain.locked.items() if amount] or [ALICE])
        receiver = pick.choice((owner, pick.choice(TRADERS)))
        self.chain.unlock(owner, receiver, pick.randrange(1, 100_000))

    def _deposit(self, trader: Address, token: Address, unit: int) -> None:
        """Whoever has little gets some."""
        if self.chain.debitable(trader, token) < 10_000_000 * unit:
            self.chain.deposit(trader, token, self.random.randrange(1, 12_000_000) * unit)

    def _run_away(self) -> None:
        """A withdrawal matures and is completed while fills wait: some of them cannot be paid any more."""
        fill = self.random.choice(list(self.engine.batches.unsettled.values()))
        payer = self.random.choice([balance for balance, amount in moves_of(fill.legs) if amount < 0])
        trader, token = payer.account, payer.token
        if (trader, token) not in self.chain.requests:
            balance = self.chain.balance(trader, token)
            self.chain.request(trader, token, max(1, balance * self.random.randrange(80, 103) // 100))
        self.chain.advance(1_000)
        if self.random.random() < 0.8:
            self.chain.complete(trader, token)

    def _cancel_on_chain(self, trader: Address) -> None:
        pick = self.random
        account = self.engine.accounts.get(trader)
        if pick.random() < 0.2:
            self.chain.cancel_all(trader, self.sequences[trader] - pick.randrange(100))
        elif account is not None and account.open:
            self.chain.cancel(trader, pick.choice(list(account.open.values())).order.nonce)

    def _change_agents(self, trader: Address) -> None:
        pick = self.random
        agent = address(0xE0 + pick.randrange(3))
        if pick.random() < 0.1:
            self.chain.declare_loss(1)
        elif pick.random() < 0.5:
            self.chain.revoke_agent(trader, agent)
        else:
            markets = pick.choice(((), (1,), (2, 1)))
            self.chain.register_agent(trader, agent, pick.randrange(1, 2_000), pick.randrange(10**30), markets)

    def _approve(self, trader: Address, token: Address, unit: int) -> Command:
        pick = self.random
        relayed = pick.random() < 0.5
        return RequestApproval(
            purpose=pick.choice(("withdraw", "withdraw", "lock", "burn", "steal")),
            account=trader,
            token=token if pick.random() < 0.98 else STRANGER,
            amount=pick.randrange(0, 1_000_000) * unit,
            destination=trader,
            as_cxpt=pick.random() < 0.2,
            nonce=pick.randrange(10),
            deadline=self.at // 1000 + pick.randrange(-2, 200) if relayed or pick.random() < 0.5 else 0,
            signature="0x01" if relayed else "",
            signer=trader if pick.random() < 0.98 else STRANGER,
        )
