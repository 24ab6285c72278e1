"""Reserves of the listed markets' AMM pairs, into the ops database.

Invariant: what is written was answered by one node together with a header, so it is not older than that block's state;
quote reserves are in units at the Vault's index, rounded down, as Settlement converts them. It need not be final: fills
with pairs are provisional, and the chain refuses what does not hold. Markets without a pair are asked for again.
"""

from collections.abc import Sequence
from typing import Any, Final

from offchain.chain import rpc as questions
from offchain.chain.contracts import AmmFactory, AmmPair, Vault, to_checked_address
from offchain.chain.registry import Registry
from offchain.chain.replies import Header, MalformedReply
from offchain.chain.rpc import Query, Rpc, RpcRefused
from offchain.domain.command import ObservePool
from offchain.domain.limits import POOL_BLOCKS_AHEAD_MAX, POOL_SECONDS_AHEAD_MAX
from offchain.domain.units import ZERO_ADDRESS, Address, units_down
from offchain.storage.ops import Ops

REFRESH_SECONDS: Final = 10
"""Reserves that did not change are written again after this: the engine has to know that they are still the same."""


class PoolReader:
    """One deployment; its registry names an AmmFactory. One process per ops database."""

    def __init__(self, rpc: Rpc, ops: Ops, registry: Registry) -> None:
        self._rpc, self._ops = rpc, ops
        self._vault, self._factory = registry.address("Vault"), registry.address("AmmFactory")
        self._event_sequence = 0
        self._bases: dict[int, Address] = {}
        """Base token by market, of all that were listed."""
        self._pairs: dict[Address, Address] = {}
        """Pair by base token, of those that have one."""
        self._written = {pool.market: pool for pool in ops.pools()}

    async def look(self) -> int:
        """Reads every pair once and writes what is news; how many rows were. ChainErrors: look again later."""
        self._learn_markets()
        await self._learn_pairs()
        bases = sorted(set(self._pairs) & set(self._bases.values()))
        if not bases:
            return 0
        asked: list[Query[Any]] = [questions.latest_header(), questions.call(self._vault, Vault.index.encode())]
        asked += [questions.call(self._pairs[base], AmmPair.reserves.encode()) for base in bases]
        answers: list[Any] = await self._rpc.read_all(asked)
        header, index, *reserves = answers
        for answer in (header, index):
            if isinstance(answer, RpcRefused):
                raise answer
        (units,) = Vault.index.decode(index)
        self._require_plausible(header, units)
        news = self._news(header, units, dict(zip(bases, reserves, strict=True)))
        if news:
            self._ops.put_pools(news)
            self._written |= {pool.market: pool for pool in news}
        return len(news)

    def _learn_markets(self) -> None:
        last = self._ops.last_event()
        if last > self._event_sequence:
            found = self._ops.markets_after(self._event_sequence)
            self._bases |= {listed.market: listed.base_token for listed in found}
            self._event_sequence = last

    async def _learn_pairs(self) -> None:
        """A pair may be created long after its market was listed; once there it stays."""
        missing = sorted(set(self._bases.values()) - set(self._pairs))
        if not missing:
            return
        asked: list[Query[Any]] = [questions.call(self._factory, AmmFactory.pair_of.encode(base)) for base in missing]
        for base, answer in zip(missing, await self._rpc.read_all(asked), strict=True):
            if not isinstance(answer, RpcRefused):
                pair = to_checked_address(AmmFactory.pair_of.decode(answer)[0])
                if pair != ZERO_ADDRESS:
                    self._pairs[base] = pair

    def _require_plausible(self, header: Header, index: int) -> None:
        """One answer must not make every later one look old, nor stop the keeper."""
        number, time = self._ops.inbox_block()
        if header.number > number + POOL_BLOCKS_AHEAD_MAX or header.time > time + POOL_SECONDS_AHEAD_MAX:
            raise MalformedReply(f"block {header.number} is far beyond block {number}, whose logs are known")
        if index <= 0:
            raise MalformedReply(f"the Vault's index is {index}")

    def _news(self, header: Header, index: int, reserves: dict[Address, Any]) -> Sequence[ObservePool]:
        """Changed or old rows of markets whose pair answered."""
        news = []
        for market, base in sorted(self._bases.items()):
            answer = reserves.get(base)
            if answer is None or isinstance(answer, RpcRefused):
                continue
            base_reserve, quote_atoms, _ = AmmPair.reserves.decode(answer)
            seen = ObservePool(
                market=market,
                base_reserve=base_reserve,
                quote_reserve=units_down(quote_atoms, index),
                block_number=header.number,
                block_time=header.time,
            )
            if _is_news(seen, self._written.get(market)):
                news.append(seen)
        return news


def _is_news(seen: ObservePool, written: ObservePool | None) -> bool:
    if written is None:
        return True
    if seen.block_number <= written.block_number:
        return False
    reserves = (seen.base_reserve, seen.quote_reserve)
    is_old = seen.block_time >= written.block_time + REFRESH_SECONDS
    return is_old or reserves != (written.base_reserve, written.quote_reserve)
