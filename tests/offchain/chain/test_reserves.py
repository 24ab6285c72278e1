"""Which pairs are read, what is written of them, and what a node may do meanwhile."""

from typing import Any, cast

import pytest
from eth_abi.abi import encode

from offchain.chain.contracts import AmmFactory, AmmPair, Vault
from offchain.chain.registry import Contract, Registry
from offchain.chain.replies import Header
from offchain.chain.reserves import REFRESH_SECONDS, PoolReader
from offchain.chain.rpc import Query, Rpc, RpcRefused
from offchain.domain.chainlog import Deposited, MarketListed
from offchain.domain.command import ObservePool
from offchain.domain.errors import ChainError
from offchain.domain.units import Address
from offchain.storage.ops import Ops

VAULT, FACTORY, GOLD, OIL, PAIR, OTHER_PAIR = (Address("0x" + f"{number:02x}" * 20) for number in range(0xA1, 0xA7))
ENTRIES = {"Vault": Contract(address=VAULT), "AmmFactory": Contract(address=FACTORY)}
REGISTRY = Registry(chain_id=998, quote_token=VAULT, contracts=ENTRIES)
ZERO = Address("0x" + "00" * 20)


class Node:
    """Answers what a PoolReader asks."""

    def __init__(self) -> None:
        self.number, self.time, self.index = 50, 1_000, 10**18
        self.pairs: dict[Address, Address] = {}
        self.reserves: dict[Address, tuple[int, int]] = {}
        self.refuses: set[Address] = set()
        self.asked: list[int] = []

    async def read_all(self, queries: list[Query[Any]]) -> list[Any]:
        self.asked.append(len(queries))
        return [self._answer(query) for query in queries]

    def _answer(self, query: Query[Any]) -> Any:
        if query.method == "eth_getBlockByNumber":
            return Header(self.number, "0x01", "0x00", self.time, 1, 30_000_000)
        request = cast(dict[str, str], query.params[0])
        to, data = Address(request["to"]), bytes.fromhex(request["data"][2:])
        if to in self.refuses:
            return RpcRefused("eth_call", 3, "reverted")
        if to == FACTORY:
            (base,) = AmmFactory.pair_of.arguments(data)
            return encode(["address"], [self.pairs.get(Address(base.lower()), ZERO)])
        if to == VAULT:
            assert data == Vault.index.encode()
            return encode(["uint256"], [self.index])
        assert data == AmmPair.reserves.encode()
        return encode(["uint112", "uint112", "uint32"], [*self.reserves[to], self.time])


@pytest.fixture
def node() -> Node:
    node = Node()
    node.pairs[GOLD], node.reserves[PAIR] = PAIR, (10**20, 5 * 10**9)
    return node


def listed(ops: Ops, market: int, base: Address) -> None:
    sequence = ops.last_event() + 1
    place: dict[str, Any] = {"block_number": 9, "block_time": 9, "transaction": "0x01"}
    units = {"base_atoms_per_lot": 10**13, "quote_atoms_per_tick_lot": 1, "base_decimals": 18, "quote_decimals": 6}
    symbol = f"M{market}-USDC"
    log = MarketListed(event_sequence=sequence, **place, market=market, base_token=base, symbol=symbol, **units)
    money = Deposited(event_sequence=sequence + 1, **place, account=base, token=base, amount=1, balance=1)
    ops.append_inbox([log, money], 9, 900)


def reader(node: Node, ops: Ops) -> PoolReader:
    return PoolReader(cast(Rpc, node), ops, REGISTRY)


async def test_a_listed_markets_pair_is_written(node: Node, ops: Ops) -> None:
    pools = reader(node, ops)
    assert await pools.look() == 0 and node.asked == [], "nothing is listed: nothing is asked"
    listed(ops, 1, GOLD)
    assert await pools.look() == 1
    assert ops.pools() == [
        ObservePool(market=1, base_reserve=10**20, quote_reserve=5 * 10**9, block_number=50, block_time=1_000)
    ]


async def test_only_news_are_written(node: Node, ops: Ops) -> None:
    listed(ops, 1, GOLD)
    pools = reader(node, ops)
    assert await pools.look() == 1
    for number, time in ((50, 1_000), (51, 1_001), (59, 1_000 + REFRESH_SECONDS - 1)):
        node.number, node.time = number, time
        assert await pools.look() == 0
    node.reserves[PAIR] = (10**20, 5 * 10**9 + 1)
    assert await pools.look() == 1
    node.number, node.time = 60, node.time + REFRESH_SECONDS
    assert await pools.look() == 1, "unchanged, but the engine must know that it is"
    node.number, node.reserves[PAIR] = 59, (1, 1)
    assert await pools.look() == 0, "a node that lags"
    assert await reader(node, ops).look() == 0, "and after a restart"


async def test_quote_reserves_are_units(node: Node, ops: Ops) -> None:
    """At an index of 0.9 an atom is worth 1.11 units, rounded down."""
    listed(ops, 1, GOLD)
    node.index = 9 * 10**17
    await reader(node, ops).look()
    assert ops.pools()[0].quote_reserve == 5 * 10**9 * 10 // 9


async def test_pairs_may_come_later_and_be_shared(node: Node, ops: Ops) -> None:
    listed(ops, 1, GOLD)
    listed(ops, 2, OIL)
    pools = reader(node, ops)
    assert await pools.look() == 1
    node.pairs[OIL], node.reserves[OTHER_PAIR] = OTHER_PAIR, (7, 8)
    listed(ops, 3, GOLD)
    node.number = 51
    assert await pools.look() == 2
    assert [pool.market for pool in ops.pools()] == [1, 2, 3]
    node.asked.clear()
    await pools.look()
    assert node.asked == [4], "known pairs are not asked for again: header, index, two pairs"


async def test_a_pair_that_fails_spoils_no_other(node: Node, ops: Ops) -> None:
    listed(ops, 1, GOLD)
    listed(ops, 2, OIL)
    node.pairs[OIL], node.reserves[OTHER_PAIR] = OTHER_PAIR, (7, 8)
    node.refuses.add(OTHER_PAIR)
    pools = reader(node, ops)
    assert await pools.look() == 1
    node.refuses = {VAULT}
    with pytest.raises(ChainError):
        await pools.look()


async def test_a_made_up_block_or_index_is_no_reading(node: Node, ops: Ops) -> None:
    """One answer must not make every later one look old, and a keeper outlives it."""
    listed(ops, 1, GOLD)
    pools = reader(node, ops)
    honest = node.number, node.time, node.index
    for lie in ((2**62, 1_000, 10**18), (50, 2**31, 10**18), (2**64, 1_000, 10**18), (50, 1_000, 0)):
        node.number, node.time, node.index = lie
        with pytest.raises(ChainError):
            await pools.look()
    node.number, node.time, node.index = honest
    assert await pools.look() == 1
