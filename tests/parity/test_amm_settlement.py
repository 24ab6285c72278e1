"""What the engine promises of a pair, the real contracts settle; and the ledger ends where the Vault does."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from local_chain import ADMIN, CHAIN_ID, LocalChain, Venue, address_of, deploy, sign_digest

from offchain.chain.abi import Function
from offchain.chain.contracts import AmmFactory, Token, Vault, decode_reconciliation, settle_calldata
from offchain.chain.reserves import PoolReader
from offchain.chain.rpc import Rpc
from offchain.chain.watcher import Watcher
from offchain.domain.batch import PACKED_RULES
from offchain.domain.command import AdvanceTime, Command, ObserveBlock, ObserveLog, OpenVenue, PlaceOrder
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.event import AmmFillImproved, AmmFillMatched, AnyEvent, Diverged, FillRefused, FillSettled
from offchain.domain.limits import FILLS_PER_IMMEDIATE_ORDER_MAX
from offchain.domain.order import Flags, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.reasons import RefusalCause
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine.engine import Engine
from offchain.storage.ops import Ops

SYNTHS, USDC = 10**21, 10**10
"""In the pair: a lot of 1e13 atoms costs 100 ticks."""


@pytest.fixture
def chain() -> Iterator[LocalChain]:
    made = LocalChain().start()
    yield made
    made.stop()


class Loop:
    """Engine, chain and what is between them, step by step."""

    def __init__(self, chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc) -> None:
        self.chain, self.venue, self.ops = chain, venue, ops
        self.watcher = Watcher(rpc, ops, venue.vault, venue.settlement, first_block=venue.registry.first_block)
        self.pools = PoolReader(rpc, ops, venue.registry)
        self.engine, self.at, self.nonce = Engine(), 1, 0
        self.events: list[AnyEvent] = []
        accounts = {
            name: address_of(short)
            for name, short in (
                ("fee_account", "fees"),
                ("treasury_account", "treasury"),
                ("insurance_account", "insurance"),
            )
        }
        contracts = {"vault": venue.vault, "settlement": venue.settlement, "commitment": venue.commitment}
        self.do(
            OpenVenue(
                chain_id=CHAIN_ID,
                **contracts,
                quote_token=venue.usdc,
                quote_decimals=6,
                **accounts,
                maker_fee_ppm=0,
                taker_fee_ppm=2_500,
                batch_interval_millis=1_000,
                batch_gas_max=1_400_000,
                fills_per_immediate_order_max=FILLS_PER_IMMEDIATE_ORDER_MAX,
                batch_rules=PACKED_RULES,
            )
        )

    def do(self, command: Command, later: int = 1) -> None:
        self.at += later
        self.events += self.engine.apply(self.engine.sequence + 1, self.at, command)

    async def hear(self) -> None:
        for _ in range(4):
            self.chain.mine()
            await self.watcher.look()
        await self.pools.look()
        for log in self.ops.inbox_after(self.engine.last_event_sequence):
            self.do(ObserveLog(log=log))
        number, time = self.ops.inbox_block()
        self.do(ObserveBlock(block_number=number, block_time=time))
        for pool in self.ops.pools():
            self.do(pool)
        assert not self.engine.gate.is_diverged, self.last(Diverged)

    def swap(self, trader: str, side: Side, price: int, size: int) -> AmmFillMatched:
        self.nonce += 1
        terms = (address_of(trader), 0, 1, side, Kind.LIMIT, TimeInForce.IOC, int(Flags.AMM), Ticks(price), Lots(size))
        order = Order(*terms, Ticks(0), 10_000, make_nonce(0, self.nonce), 0)
        digest = order_digest(domain_separator(CHAIN_ID, self.venue.settlement), order)
        self.do(PlaceOrder(order, bytes.fromhex(sign_digest(digest, trader)[2:]), order.account))
        (fill,) = self.last(AmmFillMatched)
        return fill

    def last(self, kind: type[Any]) -> list[Any]:
        found = [event for event in self.events if isinstance(event, kind)]
        return found[-1:]

    def settle(self) -> int:
        """Gas of the next batch, sent by the settler."""
        self.do(AdvanceTime(), 2_000)
        batch = self.engine.batches.next_batch
        assert batch is not None
        calldata = settle_calldata(self.engine.settlement_batch(batch.batch), self.venue.fee_account)
        receipt = self.chain.do(address_of("settler"), self.venue.settlement, calldata, 1_400_000)
        return int(receipt["gasUsed"], 16)

    def check(self) -> None:
        """Every balance and every total, against the Vault."""
        tokens = [self.venue.usdc, self.venue.synth]
        accounts = sorted({account for account, _ in self.engine.ledger.balances})
        raw = self.chain.rpc(
            "eth_call",
            {"to": self.venue.vault, "data": "0x" + Vault.reconcile.encode(accounts, tokens).hex()},
            "latest",
        )
        seen = decode_reconciliation(bytes.fromhex(raw[2:]))
        for column, token in enumerate(tokens):
            for row, account in enumerate(accounts):
                balance = self.engine.ledger.find(account, token)
                assert (balance.settled if balance else 0) == seen.balances[row][column]
            flow, total = self.engine.ledger.flow(token), seen.totals[column]
            assert (flow.deposits, flow.withdrawals) == (total.deposits, total.withdrawals)


def open_pool(chain: LocalChain, venue: Venue) -> None:
    chain.fund(venue.vault)
    factory = venue.registry.address("AmmFactory")
    chain.do(ADMIN, factory, AmmFactory.create_pair.encode(venue.synth))
    raw = chain.rpc("eth_call", {"to": factory, "data": "0x" + AmmFactory.pair_of.encode(venue.synth).hex()}, "latest")
    pair = Address("0x" + raw[-40:])
    chain.do(venue.vault, venue.synth, Function("mint(address,uint256)").encode(pair, SYNTHS))
    chain.do(ADMIN, venue.usdc, Token.mint.encode(pair, USDC))
    chain.do(ADMIN, pair, Function("mint(address)").encode(ADMIN))


@pytest.fixture
def ops(tmp_path: Path) -> Iterator[Ops]:
    made = Ops(f"sqlite:///{tmp_path}/ops.sqlite")
    yield made
    made.close()


async def test_bought_sold_and_refused(chain: LocalChain, ops: Ops) -> None:
    venue = deploy(chain)
    open_pool(chain, venue)
    async with Rpc([chain.url]) as rpc:
        loop = Loop(chain, venue, ops, rpc)
        await loop.hear()
        for side, price in ((Side.BUY, 110), (Side.SELL, 90)):
            fill = loop.swap("trader 1", side, price, 10_000)
            assert loop.settle() < 460_000
            await loop.hear()
            assert loop.last(FillSettled)[0].fill == loop.last(AmmFillImproved)[0].fill == fill.fill
            loop.check()
        late = loop.swap("trader 2", Side.BUY, 110, 10_000)
        pair = loop.pools._pairs[venue.synth]
        chain.do(ADMIN, venue.usdc, Token.mint.encode(pair, USDC // 50))
        chain.do(ADMIN, pair, Function("sync()").encode())  # it costs more than was promised now
        loop.settle()
        await loop.hear()
        refused = loop.last(FillRefused)[0]
        assert (refused.fill, refused.reason) == (late.fill, RefusalCause.AMM)
        loop.check()
