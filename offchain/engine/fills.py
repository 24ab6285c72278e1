"""Fills from match to settlement, the batches they travel in, and the age of the backlog.

MATCHED -> BATCHED -> SETTLED | REFUSED. Invariant: fills settle in their global order; the fills of one immediate order
share a batch; a fill keeps both signed orders until the chain has spoken.
"""

from collections.abc import Sequence

from offchain.domain.batch import BatchFill, SettlementBatch, SignedOrder, batch_gas_estimate
from offchain.domain.limits import FILLS_PER_BATCH_MAX
from offchain.domain.order import Order
from offchain.domain.units import Address, Digest


class Fill:
    """An unsettled fill. Fees and notional in quote atoms."""

    __slots__ = (
        "at",
        "base",
        "fill",
        "maker",
        "maker_digest",
        "maker_fee",
        "maker_ppm",
        "maker_signature",
        "market",
        "notional",
        "price",
        "size",
        "taken_back",
        "taker",
        "taker_digest",
        "taker_fee",
        "taker_ppm",
        "taker_signature",
    )

    def __init__(
        self,
        fill: int,
        at: int,
        market: int,
        maker: Order,
        taker: Order,
        maker_digest: Digest,
        taker_digest: Digest,
        maker_signature: bytes,
        taker_signature: bytes,
        price: int,
        size: int,
        notional: int,
        base: int,
        maker_ppm: int,
        taker_ppm: int,
        maker_fee: int,
        taker_fee: int,
    ) -> None:
        self.fill = fill
        self.at = at
        self.market = market
        self.maker = maker
        self.taker = taker
        self.maker_digest = maker_digest
        self.taker_digest = taker_digest
        self.maker_signature = maker_signature
        self.taker_signature = taker_signature
        self.price = price
        self.size = size
        self.notional = notional
        self.base = base
        self.maker_ppm = maker_ppm
        self.taker_ppm = taker_ppm
        self.maker_fee = maker_fee
        self.taker_fee = taker_fee
        self.taken_back = False

    @property
    def accounts(self) -> tuple[Address, Address]:
        return self.maker.account, self.taker.account


class Batches:
    """The open batch and the closed ones that are not settled."""

    __slots__ = ("closed", "first", "gas_max", "next_batch", "next_fill", "oldest", "orders", "unsettled")

    def __init__(self) -> None:
        self.gas_max = 0
        self.next_fill = 1
        self.next_batch = 1
        self.oldest = 1
        """First fill that is not settled."""
        self.first = 1
        """First fill of the open batch."""
        self.orders: dict[Digest, None] = {}
        """Distinct orders of the open batch."""
        self.unsettled: dict[int, Fill] = {}
        self.closed: dict[int, tuple[int, int]] = {}

    @property
    def open_count(self) -> int:
        return self.next_fill - self.first

    def has_room(self, group: Sequence[Fill]) -> bool:
        """Whether this group still fits into the open batch."""
        count = self.open_count + len(group)
        orders = len(self.orders | {d: None for fill in group for d in (fill.maker_digest, fill.taker_digest)})
        return count <= FILLS_PER_BATCH_MAX and batch_gas_estimate(orders, count) <= self.gas_max

    def add(self, fill: Fill) -> None:
        assert fill.fill == self.next_fill
        self.unsettled[fill.fill] = fill
        self.orders[fill.maker_digest] = None
        self.orders[fill.taker_digest] = None
        self.next_fill += 1

    def close(self) -> tuple[int, int, int]:
        """(batch, first, last) of the batch that was open; it holds a fill."""
        assert self.open_count > 0
        batch, first, last = self.next_batch, self.first, self.next_fill - 1
        self.closed[batch] = first, last
        self.next_batch += 1
        self.first = self.next_fill
        self.orders = {}
        return batch, first, last

    def pop(self, number: int) -> Fill:
        """The oldest fill leaves: the chain has spoken."""
        assert number == self.oldest
        self.oldest += 1
        fill = self.unsettled.pop(number)
        while self.closed:
            batch = next(iter(self.closed))
            if self.closed[batch][1] >= self.oldest:
                break
            del self.closed[batch]
        return fill

    @property
    def oldest_at(self) -> int | None:
        """When the oldest unsettled fill was matched."""
        fill = self.unsettled.get(self.oldest)
        return fill.at if fill is not None else None

    def settlement_batch(self, batch: int) -> SettlementBatch:
        """The batch as the settler sends it. KeyError once it is settled."""
        first, last = self.closed[batch]
        orders: dict[Digest, SignedOrder] = {}
        places: dict[Digest, int] = {}
        fills: list[BatchFill] = []
        for number in range(first, last + 1):
            fill = self.unsettled[number]
            if fill.taken_back:
                fills.append(BatchFill(0, 0, 0, 0, 0))
                continue
            for digest, order, signature in (
                (fill.maker_digest, fill.maker, fill.maker_signature),
                (fill.taker_digest, fill.taker, fill.taker_signature),
            ):
                if digest not in orders:
                    places[digest] = len(orders)
                    orders[digest] = SignedOrder(order, "0x" + signature.hex())
            pair = places[fill.maker_digest], places[fill.taker_digest]
            fills.append(BatchFill(*pair, fill.size, fill.maker_ppm, fill.taker_ppm))
        return SettlementBatch(batch, first, tuple(orders.values()), tuple(fills))
