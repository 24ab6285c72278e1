"""A sequencer over the real engine, in the test's own process: pools and operators without a chain or keepers."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from gateway_stub import StubSequencer
from real_venue import BASE, OPENED, QUOTE

from offchain.domain.chainlog import Deposited, MarketListed
from offchain.domain.command import Command, ObserveBlock, ObserveLog, ObservePool, PlaceOrder
from offchain.domain.eip712 import order_digest
from offchain.domain.units import Address, Digest
from offchain.engine.engine import Engine
from offchain.sequencer.protocol import Ack


class EngineSequencer(StubSequencer):
    """The first account is the operator; each has 10^12 quote units and 10^20 base atoms. Market 1 is BTC-USDC."""

    def __init__(self, path: Path, accounts: Sequence[Address]) -> None:
        super().__init__(path, accounts)
        self.engine = Engine()
        self.sequence, self.logs, self.block, self.at = 0, 0, 100, 0
        self.apply(msgspec.structs.replace(OPENED, operators=(accounts[0],)))
        fields = {"base_token": BASE, "base_atoms_per_lot": 10**14, "quote_atoms_per_tick_lot": 10}
        self.list_market(market=1, symbol="BTC-USDC", **fields)
        for account in accounts:
            self.observe(Deposited, account=account, token=QUOTE, amount=10**12, balance=10**12)
            self.observe(Deposited, account=account, token=BASE, amount=10**20, balance=10**20)
        self.observe_pool(10**19, 500_000 * 10**6)
        self.state = list(self.engine.describe())
        self.first = self.sequence
        self.history.clear()

    def list_market(self, **fields) -> None:
        self.observe(MarketListed, base_decimals=18, quote_decimals=6, **fields)

    def observe(self, kind, **fields) -> None:
        self.logs += 1
        head = {"event_sequence": self.logs, "block_number": self.block, "block_time": int(time.time())}
        self.apply(ObserveLog(log=kind(**head, transaction="0x" + "00" * 32, **fields)))

    def observe_pool(self, base: int, quote: int) -> None:
        self.block += 1
        now = int(time.time())
        self.apply(ObserveBlock(block_number=self.block, block_time=now))
        fields = {"block_number": self.block, "block_time": now}
        self.apply(ObservePool(market=1, base_reserve=base, quote_reserve=quote, **fields))

    def apply(self, command: Command) -> Ack:
        self.at = max(time.time_ns() // 1_000_000, self.at)
        events = tuple(self.engine.apply(self.sequence + 1, self.at, command))
        sequence = self.publish(*events)
        receipt = "0x" + "ab" * 65 if isinstance(command, PlaceOrder) else ""
        return Ack(sequence, self.at, events, receipt, "")

    def _execute(self, command: Command) -> Ack:
        """A digest that is known is answered with its first result, as by the sequencer."""
        if not isinstance(command, PlaceOrder):
            return self.apply(command)
        digest = Digest("0x" + order_digest(self._separator, command.order).hex())
        if digest in self.results:
            first = self.results[digest]
            return Ack(first.sequence, first.at, first.events, first.receipt, "", True)
        self.results[digest] = self.apply(command)
        return self.results[digest]
