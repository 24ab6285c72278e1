"""A venue on the bench: HOOATS's own engine with markets, and accounts of which one half only buys and the other only
sells, so that nobody meets an order of their own.

Money is no limit here and settlement costs no time: what is matched is settled as soon as somebody says `settle`.
"""

from __future__ import annotations

from typing import Any

from offchain.domain.batch import PACKED_RULES
from offchain.domain.chainlog import AnyChainLog, BatchSettled, Deposited, MarketListed, SynthRegistered
from offchain.domain.command import AdvanceTime, Command, ObserveLog, OpenVenue
from offchain.domain.event import AnyEvent
from offchain.domain.limits import FILLS_PER_IMMEDIATE_ORDER_MAX
from offchain.domain.units import Address
from offchain.engine.engine import Engine

START = 1_700_000_000_000
"""Unix millis of the first command."""
BASE_ATOMS_PER_LOT, QUOTE_ATOMS_PER_TICK_LOT = 10**12, 100
QUOTE_ATOMS, BASE_LOTS = 10**20, 10**12
"""What every buyer and every seller has."""
VAULT, SETTLEMENT, COMMITMENT, QUOTE, FEES, TREASURY, INSURANCE = (
    Address(f"0x{number:040x}") for number in range(0xC0, 0xC7)
)

OPENING = OpenVenue(
    chain_id=998,
    vault=VAULT,
    settlement=SETTLEMENT,
    commitment=COMMITMENT,
    quote_token=QUOTE,
    quote_decimals=6,
    fee_account=FEES,
    treasury_account=TREASURY,
    insurance_account=INSURANCE,
    maker_fee_ppm=1_000,
    taker_fee_ppm=2_500,
    batch_interval_millis=50,
    batch_gas_max=10**9,
    fills_per_immediate_order_max=FILLS_PER_IMMEDIATE_ORDER_MAX,
    batch_rules=PACKED_RULES,
)
"""As the first nodes with packed batches opened it, but that a batch may hold the fills of any one order."""


def base_token(market: int) -> Address:
    return Address(f"0x{0xB0000 + market:040x}")


class Venue:
    """`buyers[i]` and `sellers[i]` are funded accounts; markets count from 1 on."""

    def __init__(self, buyers: list[Address], sellers: list[Address], markets: int = 1) -> None:
        self.engine = Engine()
        self.at = START
        self.buyers, self.sellers = buyers, sellers
        self.do(OPENING)
        for market in range(1, markets + 1):
            self._list(market)
        for buyer in buyers:
            self._deposit(buyer, QUOTE, QUOTE_ATOMS)
        for market in range(1, markets + 1):
            for seller in sellers:
                self._deposit(seller, base_token(market), BASE_LOTS * BASE_ATOMS_PER_LOT)

    def do(self, command: Command) -> tuple[AnyEvent, ...]:
        return self.engine.apply(self.engine.sequence + 1, self.at, command)

    def settle(self) -> int:
        """Lets a second pass, which closes the batch, and has the chain settle all there are; how many fills."""
        self.at += 1_000
        self.do(AdvanceTime())
        fills = 0
        while (batch := self.engine.batches.next_batch) is not None:
            fills += batch.last - batch.first + 1
            self._see(BatchSettled(**self._place(), first=batch.first, last=batch.last, refusals=()))
        return fills

    def resting(self) -> int:
        return sum(len(account.open) for account in self.engine.accounts.values())

    def _list(self, market: int) -> None:
        self._see(SynthRegistered(**self._place(), token=base_token(market)))
        self._see(
            MarketListed(
                **self._place(),
                market=market,
                base_token=base_token(market),
                base_atoms_per_lot=BASE_ATOMS_PER_LOT,
                quote_atoms_per_tick_lot=QUOTE_ATOMS_PER_TICK_LOT,
                base_decimals=18,
                quote_decimals=6,
                symbol=f"BASE{market}-USDC",
            )
        )

    def _deposit(self, account: Address, token: Address, amount: int) -> None:
        self._see(Deposited(**self._place(), account=account, token=token, amount=amount, balance=amount))

    def _see(self, log: AnyChainLog) -> None:
        self.do(ObserveLog(log=log))

    def _place(self) -> dict[str, Any]:
        return {
            "event_sequence": self.engine.last_event_sequence + 1,
            "block_number": 1,
            "block_time": self.at // 1000,
            "transaction": "0x02",
        }
