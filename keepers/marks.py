"""What the price keeper says of markets: marks, which stops and price bands of the exchange look at.

Invariant: a mark is the price that the source said of the market's synth, in ticks, rounded to the nearest; the poster
signs it with its market and the second at which the source said so, and seconds of one market only rise. It is put
where the sequencer looks for it: keepers know no sequencer. Deliberately no median: the engine takes that of all
posters.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from offchain.chain.signing import SigningKey
from offchain.domain import eip712
from offchain.domain.command import Reading
from offchain.domain.limits import MARK_AGE_MILLIS_MAX, PRICE_TICKS_MAX
from offchain.domain.units import Address
from offchain.storage.ops import Ops

REPEAT_SECONDS = MARK_AGE_MILLIS_MAX // 3000
"""A mark that stays the same is said again so often, so that it is never too old to count."""


class MarkedMarket(NamedTuple):
    """A listed market and what one tick of its price is worth."""

    market: int
    synth: Address
    base_atoms_per_lot: int
    quote_atoms_per_tick_lot: int


class Mark(NamedTuple):
    """`time` in unix seconds."""

    market: int
    ticks: int
    time: int


def due_marks(
    markets: Iterable[MarkedMarket], prices: Mapping[Address, int], said: Mapping[int, Mark], said_at: float, now: float
) -> list[Mark]:
    """What to say now. `prices` by synth, units per whole synth, as the source said at `said_at`; `said`: the last word
    on each market."""
    time, due = int(said_at), []
    if now - said_at > REPEAT_SECONDS:
        return []
    for market in markets:
        ticks = to_ticks(prices.get(market.synth, 0), market)
        last = said.get(market.market)
        if not 0 < ticks <= PRICE_TICKS_MAX or (last is not None and time <= last.time):
            continue
        if last is None or ticks != last.ticks or time - last.time >= REPEAT_SECONDS:
            due.append(Mark(market.market, ticks, time))
    return due


def to_ticks(price: int, market: MarkedMarket) -> int:
    """Of a price in units per whole synth (10^18 atoms), to the nearest tick."""
    unit = market.quote_atoms_per_tick_lot * 10**18
    return (2 * price * market.base_atoms_per_lot + unit) // (2 * unit)


class Marker:
    """One poster's words; `said` is what it said last."""

    def __init__(self, ops: Ops, key: SigningKey, separator: bytes) -> None:
        self._ops = ops
        self._key = key
        self._separator = separator
        self.markets: tuple[MarkedMarket, ...] = ()
        self.said: dict[int, Mark] = {}

    def find_markets(self) -> None:
        """Those that the chain has listed, as far as the sync keeper has brought them."""
        self.markets = tuple(
            MarkedMarket(log.market, log.base_token, log.base_atoms_per_lot, log.quote_atoms_per_tick_lot)
            for log in self._ops.markets_after(0)
            if log.base_atoms_per_lot > 0 and log.quote_atoms_per_tick_lot > 0
        )

    def say(self, marks: Sequence[Mark]) -> None:
        readings = []
        for mark in marks:
            digest = eip712.mark_digest(self._separator, mark.market, mark.ticks, mark.time)
            v, r, s = self._key.sign_digest(digest)
            signature = "0x" + (r + s + bytes((v,))).hex()
            readings.append((mark.market, Reading(self._key.address, mark.ticks, mark.time, signature)))
        self._ops.put_marks(readings)
        self.said |= {mark.market: mark for mark in marks}
