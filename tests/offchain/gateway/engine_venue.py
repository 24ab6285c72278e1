"""A sequencer in the test's own process whose venue has operators and pools, without a chain or keepers."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from gateway_stub import BASE, Deposit, StubSequencer
from real_venue import OPENED

from offchain.domain.chainlog import AmmLegSettled, BatchSettled
from offchain.domain.command import AdvanceTime, ObserveBlock, ObservePool
from offchain.domain.reasons import RefusalCause
from offchain.domain.units import Address


class EngineSequencer(StubSequencer):
    """The first account is the operator; each has 10^20 base atoms, too."""

    def __init__(self, path: Path, accounts: Sequence[Address]) -> None:
        super().__init__(path, accounts, msgspec.structs.replace(OPENED, operators=(accounts[0],)))
        self.publish(*(Deposit(account, BASE, 10**20) for account in accounts))
        self.observe_pool(10**19, 500_000 * 10**6)

    def settle_pair_fill(self, surplus: int | None) -> None:
        """The chain settles fill 1, a buy from the pair, with so much more for the taker; None: it refuses it."""
        fill = self.engine.batches.unsettled[1]
        self.at += OPENED.batch_interval_millis
        self.publish(AdvanceTime())
        if surplus is not None:
            amounts = {"amount_in": fill.notional, "amount_out": fill.size_lots * 10**14 + surplus}
            self.observe(AmmLegSettled, market=1, fill=1, is_buy=True, **amounts)
        self.observe(BatchSettled, first=1, last=1, refusals=() if surplus is not None else ((0, RefusalCause.AMM),))

    def observe_pool(self, base: int, quote: int) -> None:
        self.block += 1
        now = int(time.time())
        self.publish(ObserveBlock(block_number=self.block, block_time=now))
        fields = {"block_number": self.block, "block_time": now}
        self.publish(ObservePool(market=1, base_reserve=base, quote_reserve=quote, **fields))
