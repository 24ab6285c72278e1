"""A batch before it is packed, an epoch's header as the committer sends it, and the gas a batch will need.

Twins: `struct Header` in contracts/interfaces/Types.sol; `domain.packed` says how a batch travels.
"""

import msgspec

from offchain.domain.eip712 import BulkProof
from offchain.domain.keccak import keccak
from offchain.domain.limits import BATCH_BLOCK_PERCENT, BATCH_GAS_MAX, FILLS_PER_BATCH_MAX, SETTLEMENT_MILLIS_PER_FILL
from offchain.domain.order import Order


class BatchRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's Settlement takes as one batch, and what it costs: upper bounds.

    A field of the command that opens the venue. The defaults are those of the venues whose journals do not say.
    """

    fills_max: int = 40
    gas_base: int = 120_000
    gas_per_order: int = 76_000
    gas_per_fresh_slot: int = 0
    """On top, for an order in whose slot nothing of its account has settled before. 0: no difference is made."""
    gas_per_fill: int = 14_000
    gas_per_amm_fill: int = 250_000
    """On top, for a fill with an AMM pair."""
    is_fok_whole: bool = False
    """The fills of a fill-or-kill order settle all or none, so they are taken back together."""
    settlement_millis_per_fill: int = SETTLEMENT_MILLIS_PER_FILL
    """How long settling a fill takes, estimated: a backlog that takes too long closes the venue to takers."""

    def gas(self, orders: int, fills: int, amm_fills: int = 0, fresh_slots: int = 0) -> int:
        """Upper bound for this many distinct orders and fills, and AMM fills and fresh slots among them."""
        per_order = self.gas_per_order * orders + self.gas_per_fresh_slot * fresh_slots
        return self.gas_base + per_order + self.gas_per_fill * fills + self.gas_per_amm_fill * amm_fills


PACKED_RULES = BatchRules(
    fills_max=FILLS_PER_BATCH_MAX,
    gas_base=90_000,
    gas_per_order=50_000,
    gas_per_fresh_slot=35_000,
    gas_per_fill=5_000,
    gas_per_amm_fill=250_000,
    is_fok_whole=True,
)
"""Of `Settlement.settle(bytes)`: tests/forge/SettlementGas.t.sol and SettlementAmmGas.t.sol hold the figures."""


def batch_gas_max(block_gas_limit: int) -> int:
    """What a batch may need on a chain with such blocks."""
    return min(BATCH_GAS_MAX, block_gas_limit * BATCH_BLOCK_PERCENT // 100)


AMM_MAKER = 2**16 - 1
"""`BatchFill.maker` of a fill whose maker is the market's AMM pair."""


class SignedOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """`signature` is over the order, or over the tree that `proof` leads to."""

    order: Order
    signature: str
    proof: BulkProof | None = None


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
