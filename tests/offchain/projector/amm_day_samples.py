"""A journal with what came after the first golden one: operators, a market's life, AMM fills, a liquidation."""

from pathlib import Path

import msgspec
from day_samples import Day, signed
from venue_samples import QUOTE, TRADERS, VENUE, address, funding, order

from offchain.domain.chainlog import (
    AgentRegistered,
    AmmLegSettled,
    CollateralLocked,
    CollateralUnlocked,
    Deposited,
    MarketListed,
)
from offchain.domain.command import (
    AdvanceTime,
    CloseEpoch,
    ObserveBlock,
    ObservePool,
    PlaceOrder,
    RefuseFill,
    RequestMarket,
    SetMarketState,
    SetOperators,
)
from offchain.domain.event import AmmFillMatched
from offchain.domain.market import MarketState
from offchain.domain.order import Flags, Side, TimeInForce
from offchain.domain.reasons import RefusalCause
from offchain.domain.relayed import RequestAgent, RequestDeposit
from offchain.domain.units import Address, Digest

OPERATOR, SECOND = address(0xB0), address(0xB1)
GOLD = address(0xC7)
RESERVES = (10**6 * 10**12, 10**6 * 1_000)
"""Base atoms and quote units: about 1000 ticks."""
ASK_FOR_GOLD = RequestMarket(
    symbol="GOLD-USDC",
    synth_symbol="sGOLD",
    synth_name="Synthetic gold",
    base_atoms_per_lot=10**13,
    quote_atoms_per_tick_lot=2,
    ceiling=10**27,
    initial_percent=200,
    maintenance_percent=150,
    bonus_percent=10,
    quorum=1,
    max_age_seconds=600,
    max_move_ppm_per_minute=20_000,
    by=SECOND,
)


def swap(trader: Address, side: Side, price: int, size: int, nonce: int, market: int = 1) -> PlaceOrder:
    """An order for the pair."""
    placed = order(trader, side, price, size, nonce, slot=0, tif=TimeInForce.IOC)
    body = msgspec.structs.replace(placed.order, flags=int(Flags.AMM), market=market)
    return msgspec.structs.replace(placed, order=body)


class AmmDay(Day):
    """Knows which AMM fills wait for the chain."""

    def see_pool(self, block: int, market: int = 1, reserves: tuple[int, int] = RESERVES) -> None:
        base, quote = reserves
        place = {"block_number": block, "block_time": self.engine.at // 1000}
        self.do(ObserveBlock(**place))
        self.do(ObservePool(market=market, base_reserve=base, quote_reserve=quote, **place))

    def settle_all(self, surplus: int = 0, refusals: dict[int, int] | None = None) -> None:
        """Every batch that closes by itself within its interval, with the legs of its AMM fills."""
        self.do(AdvanceTime(), later=VENUE.batch_interval_millis + 1)
        while self.batches:
            first, last = self.batches[0].first, self.batches[0].last
            refused = {fill: why for fill, why in (refusals or {}).items() if first <= fill <= last}
            for fill in self.amm_fills:
                if first <= fill.fill <= last and fill.fill not in refused:
                    self.leg(fill, surplus)
            self.settle(refused)

    @property
    def amm_fills(self) -> list[AmmFillMatched]:
        return [event for event in self.seen if isinstance(event, AmmFillMatched)]

    def leg(self, fill: AmmFillMatched, surplus: int) -> None:
        atoms = fill.size_lots * self.engine.books[fill.market].market.base_atoms_per_lot
        is_buy = fill.taker_side == Side.BUY
        given, promised = (fill.quote, atoms) if is_buy else (atoms, fill.quote)
        fields = {"market": fill.market, "fill": fill.fill, "is_buy": is_buy, "amount_in": given}
        self.log(AmmLegSettled, **fields, amount_out=promised + surplus)


def write_amm_day(folder: Path) -> AmmDay:
    """Closed when returned; a market that is asked for, opened, traded in book and pair, and delisted."""
    day = AmmDay(folder)
    day.do(msgspec.structs.replace(VENUE, operators=(OPERATOR,), listed_state=MarketState.PAUSED))
    for entry in funding():
        day.log(type(entry), **{name: getattr(entry, name) for name in entry.__struct_fields__[4:]})
    day.do(order(TRADERS[0], Side.BUY, 999, 1, 1))  # refused: the market begins paused
    day.do(SetMarketState(market=1, state=MarketState.ACTIVE, by=OPERATOR))
    day.do(SetMarketState(market=1, state=MarketState.PAUSED, by=SECOND))  # refused: not an operator
    day.do(SetOperators(operators=(OPERATOR, SECOND)))
    _ask_for_gold(day)
    _ask_the_relay(day)
    _trade_in_the_pair(day)
    day.do(CloseEpoch())
    _trade_gold_to_its_end(day)
    balance = day.engine.ledger.balances[TRADERS[1], QUOTE].settled
    day.log(CollateralLocked, account=TRADERS[1], amount=50, balance=balance - 50, approval=0, request_remaining=0)
    other = day.engine.ledger.balances[TRADERS[2], QUOTE].settled
    day.log(CollateralUnlocked, account=TRADERS[2], amount=20, balance=other + 20)
    day.do(swap(TRADERS[3], Side.SELL, 900, 3, 9_000))  # in flight at the end
    day.do(ObserveBlock(block_number=100, block_time=day.engine.at // 1000 + 71))  # what was asked of the relay lapses
    day.do(CloseEpoch())
    day.flush()
    day.journal.close()
    assert not day.engine.gate.is_diverged
    return day


def _ask_for_gold(day: AmmDay) -> None:
    day.do(ASK_FOR_GOLD)
    day.do(ASK_FOR_GOLD)  # refused: its names are taken
    units = {"base_atoms_per_lot": 10**13, "quote_atoms_per_tick_lot": 2, "base_decimals": 18, "quote_decimals": 6}
    day.log(MarketListed, market=2, base_token=GOLD, symbol="GOLD-USDC", **units)


def _ask_the_relay(day: AmmDay) -> None:
    """A deposit that arrives, one that lapses, and an agent."""
    now, newcomer, digits = day.engine.at // 1000, address(0xB7), "0x" + "5a" * 32
    deposit = RequestDeposit(
        account=newcomer,
        amount=7_000_000,
        nonce=0,
        deadline=now + 70,
        token_domain=Digest(digits),
        signature="0x" + "11" * 65,
        signer=newcomer,
    )
    agent = RequestAgent(
        account=TRADERS[6],
        agent=address(0xB8),
        expiry=now + 9_000,
        notional=10**9,
        markets=(1,),
        nonce=0,
        deadline=now + 70,
        signature="0x" + "22" * 65,
        signer=TRADERS[6],
    )
    lapsing = msgspec.structs.replace(deposit, nonce=1, amount=8_000_000)
    for command in (deposit, deposit, lapsing, agent):  # the second is refused: it was asked for
        day.do(command)
    day.log(Deposited, account=newcomer, token=QUOTE, amount=7_000_000, balance=7_000_000)
    terms = {"expiry": agent.expiry, "notional": agent.notional, "markets": agent.markets}
    day.log(AgentRegistered, account=agent.account, agent=agent.agent, **terms)


def _trade_in_the_pair(day: AmmDay) -> None:
    """Settled with and without a surplus, refused by the pair, taken back; book fills between them."""
    day.do(swap(TRADERS[0], Side.BUY, 1_010, 10, 100))  # refused: no pool yet
    day.see_pool(60)
    day.do(order(TRADERS[4], Side.SELL, 1_001, 5, 101))
    day.do(swap(TRADERS[0], Side.BUY, 1_010, 10, 102))
    day.do(swap(TRADERS[1], Side.BUY, 1_010, 10, 103))  # refused: the pair is busy
    day.do(order(TRADERS[5], Side.BUY, 1_001, 3, 104))
    day.settle_all(surplus=12_345)
    day.do(signed(swap(TRADERS[0], Side.SELL, 900, 1, 105)))
    day.do(swap(TRADERS[1], Side.SELL, 990, 20, 106))
    day.settle_all()
    day.do(swap(TRADERS[2], Side.BUY, 1_002, 10, 107))  # accepted, and finds no such price
    day.do(swap(TRADERS[2], Side.BUY, 1_010, 10, 108))
    day.settle_all(refusals={day.amm_fills[-1].fill: int(RefusalCause.AMM)})
    day.do(swap(TRADERS[3], Side.BUY, 1_010, 7, 109))
    sunk = day.amm_fills[-1].fill
    day.do(AdvanceTime(), later=VENUE.batch_interval_millis + 1)
    day.do(RefuseFill(fill=sunk, reason="sinks its batch"))
    day.settle_all(refusals={sunk: int(RefusalCause.OPERATOR)})


def _trade_gold_to_its_end(day: AmmDay) -> None:
    day.do(SetMarketState(market=2, state=MarketState.ACTIVE, by=SECOND))
    for number, trader in enumerate(TRADERS[:3]):
        placed = order(trader, Side.BUY, 500 + number, 4, 200 + number, slot=7)
        day.do(msgspec.structs.replace(placed, order=msgspec.structs.replace(placed.order, market=2)))
    day.do(SetMarketState(market=2, state=MarketState.DELISTED, by=OPERATOR))
    day.do(SetMarketState(market=2, state=MarketState.ACTIVE, by=OPERATOR))  # refused: delisted is for ever
    day.see_pool(90, reserves=(RESERVES[0] + 7, RESERVES[1] + 11))
