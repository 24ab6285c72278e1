"""A batch as the settler sends it, an epoch's header as the committer sends it, and the gas a batch will need.

Twins: `struct Batch`, `struct Fill`, `struct Header` in contracts/interfaces/Types.sol.
"""

import msgspec

from offchain.domain.keccak import keccak
from offchain.domain.order import Order

GAS_BATCH_BASE = 120_000
GAS_PER_ORDER = 76_000
GAS_PER_FILL = 14_000
"""An upper bound that tests/forge/SettlementGas.t.sol holds: fresh accounts, fresh slots, a market for every pair."""


GAS_PER_AMM_FILL = 250_000
"""On top, for a fill with an AMM pair: tests/forge/SettlementAmmGas.t.sol holds it."""


def batch_gas_estimate(orders: int, fills: int, amm_fills: int = 0) -> int:
    """Upper bound of the gas of a batch with this many distinct orders, fills, and AMM fills among them."""
    return GAS_BATCH_BASE + GAS_PER_ORDER * orders + GAS_PER_FILL * fills + GAS_PER_AMM_FILL * amm_fills


AMM_MAKER = 2**16 - 1
"""`BatchFill.maker` of a fill whose maker is the market's AMM pair. Twin: AMM_MAKER."""


class SignedOrder(msgspec.Struct, frozen=True):
    order: Order
    signature: str


class BatchFill(msgspec.Struct, frozen=True):
    """`maker` and `taker` index the batch's orders; `size_lots` 0 marks a fill that was taken back."""

    maker: int
    taker: int
    size_lots: int
    maker_fee_ppm: int
    taker_fee_ppm: int


class SettlementBatch(msgspec.Struct, frozen=True):
    batch: int
    first: int
    orders: tuple[SignedOrder, ...]
    fills: tuple[BatchFill, ...]
    amm_quotes: tuple[int, ...] = ()
    """Exact quote amounts, before fees, of the AMM fills that were not taken back, in order."""

    @property
    def last(self) -> int:
        return self.first + len(self.fills) - 1


class EpochHeader(msgspec.Struct, frozen=True):
    """Hashes as 0x-hex; numbers as integers."""

    epoch: int
    parent: str
    first: int
    last: int
    orders_root: str
    commands_root: str
    state_root: str
    volume: int
    count: int
    data_hash: str

    def hash(self) -> bytes:
        """keccak256(abi.encode(header))."""
        return keccak(
            self.epoch.to_bytes(32, "big")
            + bytes.fromhex(self.parent[2:])
            + self.first.to_bytes(32, "big")
            + self.last.to_bytes(32, "big")
            + bytes.fromhex(self.orders_root[2:])
            + bytes.fromhex(self.commands_root[2:])
            + bytes.fromhex(self.state_root[2:])
            + self.volume.to_bytes(32, "big")
            + self.count.to_bytes(32, "big")
            + bytes.fromhex(self.data_hash[2:])
        )
