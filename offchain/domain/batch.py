"""A batch before it is packed, an epoch's header as the committer sends it, and the gas a batch will need.

Twins: `struct Header` in contracts/interfaces/Types.sol; `domain.packed` says how a batch travels.
"""

from typing import NamedTuple

import msgspec

from offchain.domain.eip712 import BulkProof
from offchain.domain.keccak import keccak
from offchain.domain.limits import (
    BATCH_BLOCK_PERCENT,
    BATCH_GAS_MAX,
    FILLS_PER_BATCH_MAX,
    SETTLEMENT_MILLIS_PER_FILL,
    TURNED_BLOCK_PERCENT,
)
from offchain.domain.order import Order


class BatchItems(NamedTuple):
    """What is in a batch besides orders and fills, as far as it costs something of its own."""

    resting: int = 0
    """Orders that may rest: each has a slot."""
    rows: int = 0
    """Balances that it changes: distinct (account, token), that of the fees among them."""
    fresh_rows: int = 0
    """Those that may be 0 before."""
    requests: int = 0
    """Those with an open withdrawal request."""
    looks: int = 0
    """Steps of looking for cancels of accounts that ever cancelled on chain."""
    markets: int = 0
    agents: int = 0
    """Orders signed by agents."""
    proofs: int = 0
    """Orders signed in bulk."""


NO_ITEMS = BatchItems()


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
    gas_per_resting: int = 0
    gas_per_row: int = 0
    """0: balances are not told apart, and an order's figure has the most that they can cost."""
    gas_per_fresh_row: int = 0
    gas_per_request: int = 0
    gas_per_row_beside_request: int = 0
    """For every row if one of them has a request: the Vault then looks at all of them twice."""
    gas_per_look: int = 0
    gas_per_market: int = 0
    gas_per_agent: int = 0
    gas_per_proof: int = 0
    gas_per_order_turned: int = 0
    """What its account can make an order cost on top, between match and settlement."""
    gas_per_row_turned: int = 0
    gas_turned_max: int = 0
    """What a batch may need if every account turns on it so. 0: not looked at."""
    settlement_millis_per_fill: int = SETTLEMENT_MILLIS_PER_FILL
    """How long settling a fill takes, estimated: a backlog that takes too long closes the venue to takers."""

    @property
    def is_itemized(self) -> bool:
        return self.gas_per_row > 0

    @property
    def is_additive(self) -> bool:
        """Whether a batch fits is decided by a sum over its orders and fills, and by nothing else."""
        return not (self.is_itemized or self.gas_turned_max)

    def gas(
        self, orders: int, fills: int, amm_fills: int = 0, fresh_slots: int = 0, items: BatchItems = NO_ITEMS
    ) -> int:
        """Upper bound for this many distinct orders and fills, and AMM fills and fresh slots among them."""
        per_order = self.gas_per_order * orders + self.gas_per_fresh_slot * fresh_slots
        total = self.gas_base + per_order + self.gas_per_fill * fills + self.gas_per_amm_fill * amm_fills
        return total + self._gas_of(items) if self.is_itemized else total

    def fits(self, gas: int, gas_max: int, orders: int, rows: int) -> bool:
        """Whether a batch of that bound may be, also with the worst that its accounts can do to it."""
        turned = gas + orders * self.gas_per_order_turned + rows * self.gas_per_row_turned
        return gas <= gas_max and (turned <= self.gas_turned_max or not self.gas_turned_max)

    def fits_one(self, gas_max: int, *, is_amm: bool = False) -> bool:
        """Whether a single fill does, whatever it is: with an AMM pair, or of two orders."""
        orders = 1 if is_amm else 2
        gas = self.gas(orders, 1, int(is_amm), orders, ONE_FILL)
        return self.fits(gas, gas_max, orders, ONE_FILL.rows)

    def _gas_of(self, items: BatchItems) -> int:
        resting, rows, fresh_rows, requests, looks, markets, agents, proofs = items
        of_rows = rows * self.gas_per_row + fresh_rows * self.gas_per_fresh_row + requests * self.gas_per_request
        if requests:
            of_rows += rows * self.gas_per_row_beside_request
        of_orders = resting * self.gas_per_resting + looks * self.gas_per_look
        of_signers = agents * self.gas_per_agent + proofs * self.gas_per_proof
        return of_rows + of_orders + of_signers + markets * self.gas_per_market


PACKED_RULES = BatchRules(
    fills_max=FILLS_PER_BATCH_MAX,
    gas_base=90_000,
    gas_per_order=50_000,
    gas_per_fresh_slot=35_000,
    gas_per_fill=5_000,
    gas_per_amm_fill=250_000,
    is_fok_whole=True,
)
"""Of the first venues with packed batches: tests/forge/SettlementGas.t.sol and SettlementAmmGas.t.sol hold them."""

ITEMIZED_RULES = BatchRules(
    fills_max=FILLS_PER_BATCH_MAX,
    gas_base=65_000,
    gas_per_order=7_100,
    gas_per_fresh_slot=17_300,
    gas_per_fill=2_650,
    gas_per_amm_fill=185_000,
    is_fok_whole=True,
    gas_per_resting=5_400,
    gas_per_row=6_500,
    gas_per_fresh_row=17_300,
    gas_per_request=4_400,
    gas_per_row_beside_request=1_250,
    gas_per_look=5_000,
    gas_per_market=14_400,
    gas_per_agent=16_000,
    gas_per_proof=4_800,
    gas_per_order_turned=70_000,
    gas_per_row_turned=1_250,
)
"""Of new venues, by what costs gas on chain: tests/parity/test_batch_gas.py holds them against random batches."""

ONE_FILL = BatchItems(resting=2, rows=5, fresh_rows=5, requests=5, looks=32, markets=1)
"""The most that a single fill can have."""


def batch_gas_max(block_gas_limit: int) -> int:
    """What a batch may need on a chain with such blocks."""
    return min(BATCH_GAS_MAX, block_gas_limit * BATCH_BLOCK_PERCENT // 100)


def batch_rules(block_gas_limit: int) -> BatchRules:
    """Of a new venue on a chain with such blocks: one takes a batch whatever its accounts do after the match."""
    return msgspec.structs.replace(ITEMIZED_RULES, gas_turned_max=block_gas_limit * TURNED_BLOCK_PERCENT // 100)


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
