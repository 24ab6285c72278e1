"""A batch in the packed form that `Settlement.settle(bytes)` takes, and back.

Sections of records of fixed size, big-endian, one after the other: contracts/interfaces/ISettlement.sol has the table,
contracts/libraries/BatchCodec.sol is the twin. Invariant: equal batches pack to equal bytes, whatever the order of
their `orders`; `unpack` takes only what is exactly as long as it says, and packing again gives the same bytes. Whether
the chain accepts a batch is the contract's business, not decided here.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from offchain.domain.batch import AMM_MAKER, BatchFill, SettlementBatch, SignedOrder
from offchain.domain.eip712 import LOW_S_MAX, BulkProof
from offchain.domain.errors import InvalidInput
from offchain.domain.limits import BULK_DEPTH, FILLS_PER_BATCH_MAX, ORDERS_PER_BATCH_MAX
from offchain.domain.order import Kind, Order, Side, TimeInForce
from offchain.domain.units import ZERO_ADDRESS, Address, Digest, Lots, Ticks, from_hex, to_address

HEADER = struct.Struct(">Q7B")
MARKET = struct.Struct(">I")
ACCOUNT = struct.Struct(">20s")
ORDER = struct.Struct(">4BHQQQiQ5s32s32s")
PROOF = struct.Struct(f">B{BULK_DEPTH * 32}s")
FILL = struct.Struct(">BBQ3s3s")
QUOTE = struct.Struct(">16s")
PACKED_AMM_MAKER: Final = 0xFF
"""Twin: AMM_MAKER."""
_BULK_TERM, _TERMS_MAX = 1 << 4, (1 << 5) - 1
_HIGH_BIT: Final = 1 << 255
_ZERO_FILL = BatchFill(0, 0, 0, 0, 0)
"""What is sent of a fill that was taken back: nobody looks at the rest of it."""


class Unpacked(NamedTuple):
    """`batch.batch` is 0: the operator's number does not travel. `fee_account` is ZERO_ADDRESS if there is no order."""

    batch: SettlementBatch
    fee_account: Address


def canonical(batch: SettlementBatch) -> SettlementBatch:
    """The same batch with its orders by (account, nonce), as the contract numbers them. `InvalidInput` if an order is
    there twice or a fill names one that is not there."""
    count = len(batch.orders)
    ranked = sorted(range(count), key=lambda index: _rank(batch.orders[index]))
    for one, next_one in pairwise(ranked):
        if _rank(batch.orders[one]) == _rank(batch.orders[next_one]):
            order = batch.orders[one].order
            raise _refused(f"two orders of {order.account} with nonce {order.nonce}", "orders")
    places = {index: place for place, index in enumerate(ranked)}
    fills = tuple(_moved(fill, batch.first + offset, places) for offset, fill in enumerate(batch.fills))
    orders = tuple(batch.orders[index] for index in ranked)
    return SettlementBatch(batch.batch, batch.first, orders, fills, batch.amm_quotes)


def pack(batch: SettlementBatch, fee_account: Address) -> bytes:
    """The argument of `settle`. `InvalidInput` for what has no packed form: too many of something, a number that does
    not fit, a signature that is not 65 bytes r || s || v with low s and v 27 or 28."""
    batch = canonical(batch)
    _check_counts(batch)
    markets = sorted({signed.order.market for signed in batch.orders})
    accounts = sorted({signed.order.account for signed in batch.orders} | ({fee_account} if batch.orders else set()))
    proofs = [signed.proof for signed in batch.orders if signed.proof is not None]
    fee_index = accounts.index(fee_account) if accounts else 0
    counts = (len(markets), len(accounts), len(batch.orders), len(proofs), len(batch.fills), len(batch.amm_quotes))
    market_places = {market: place for place, market in enumerate(markets)}
    account_places = {account: place for place, account in enumerate(accounts)}
    try:
        parts = [HEADER.pack(batch.first, *counts, fee_index)]
        parts += [MARKET.pack(market) for market in markets]
        parts += [ACCOUNT.pack(from_hex(account)) for account in accounts]
        parts += [
            _pack_order(signed, account_places[signed.order.account], market_places[signed.order.market])
            for signed in batch.orders
        ]
        parts += [_pack_proof(proof) for proof in proofs]
        parts += [_pack_fill(fill) for fill in batch.fills]
        parts += [quote.to_bytes(16, "big") for quote in batch.amm_quotes]
    except (struct.error, OverflowError, ValueError) as error:
        raise _refused(f"a number that does not fit ({error})", "batch") from error
    return b"".join(parts)


def unpack(packed: bytes) -> Unpacked:
    """Inverse of `pack`. `InvalidInput` for bytes that `pack` does not make of any batch (what a taken-back fill says
    besides apart, which is forgotten)."""
    if len(packed) < HEADER.size:
        raise _refused(f"{len(packed)} bytes", "header")
    first, *counts, fee_index = HEADER.unpack_from(packed)
    sections = _cut(packed, counts)
    markets = [number for (number,) in MARKET.iter_unpack(sections[0])]
    accounts = [to_address(raw) for (raw,) in ACCOUNT.iter_unpack(sections[1])]
    proofs = _unpack_proofs(sections[3])
    orders = tuple(_unpack_order(row, markets, accounts, proofs) for row in ORDER.iter_unpack(sections[2]))
    fills = tuple(_unpack_fill(row) for row in FILL.iter_unpack(sections[4]))
    quotes = tuple(int.from_bytes(raw, "big") for (raw,) in QUOTE.iter_unpack(sections[5]))
    batch = SettlementBatch(0, first, orders, fills, quotes)
    if next(proofs, None) is not None:
        raise _refused("more proofs than bulk-signed orders", "proofs")
    if fee_index >= max(len(accounts), 1):
        raise _refused(f"fee account {fee_index} of {len(accounts)}", "feeIndex")
    fee_account = accounts[fee_index] if accounts else ZERO_ADDRESS
    _check_canonical(batch, fee_account, markets, accounts)
    return Unpacked(batch, fee_account)


def _rank(signed: SignedOrder) -> tuple[Address, int]:
    return signed.order.account, signed.order.nonce


def _moved(fill: BatchFill, number: int, places: dict[int, int]) -> BatchFill:
    if fill.size_lots == 0:
        return _ZERO_FILL
    maker = AMM_MAKER if fill.maker == AMM_MAKER else places.get(fill.maker)
    taker = places.get(fill.taker)
    if maker is None or taker is None:
        raise _refused(f"fill {number} of an order that is not there", "fills")
    return BatchFill(maker, taker, fill.size_lots, fill.maker_fee_ppm, fill.taker_fee_ppm)


def _check_counts(batch: SettlementBatch) -> None:
    if not 0 < len(batch.fills) <= FILLS_PER_BATCH_MAX:
        raise _refused(f"{len(batch.fills)} fills, not 1 to {FILLS_PER_BATCH_MAX}", "fills")
    if len(batch.orders) > ORDERS_PER_BATCH_MAX:
        raise _refused(f"{len(batch.orders)} orders, more than {ORDERS_PER_BATCH_MAX}", "orders")
    legs = sum(fill.maker == AMM_MAKER for fill in batch.fills)
    if legs != len(batch.amm_quotes):
        raise _refused(f"{len(batch.amm_quotes)} quotes for {legs} AMM fills", "ammQuotes")


# --- to bytes ---


def _pack_order(signed: SignedOrder, account: int, market: int) -> bytes:
    order = signed.order
    terms = order.side | order.kind << 1 | order.time_in_force << 2 | (_BULK_TERM if signed.proof is not None else 0)
    return ORDER.pack(
        account,
        market,
        order.subaccount,
        terms,
        order.flags,
        order.price_ticks,
        order.size_lots,
        order.trigger_ticks,
        order.max_fee_ppm,
        order.nonce,
        order.expiry.to_bytes(5, "big"),
        *_compact(signed),
    )


def _compact(signed: SignedOrder) -> tuple[bytes, bytes]:
    """r and vs of EIP-2098: v's parity takes the highest bit of s, which a low s leaves free."""
    order, raw = signed.order, from_hex(signed.signature)
    s = int.from_bytes(raw[32:64], "big")
    if len(raw) != 65 or raw[64] not in (27, 28) or not 0 < s <= LOW_S_MAX:
        raise InvalidInput(
            f"the signature of {order.account}'s order {order.nonce} has no packed form",
            field="signature",
            remedy="65 bytes r || s || v with s in the lower half and v 27 or 28",
        )
    return raw[:32], (s | (_HIGH_BIT if raw[64] == 28 else 0)).to_bytes(32, "big")


def _pack_proof(proof: BulkProof) -> bytes:
    siblings = [from_hex(sibling) for sibling in proof.siblings]
    is_whole = len(siblings) == BULK_DEPTH and all(len(sibling) == 32 for sibling in siblings)
    if not is_whole or not 0 <= proof.position < 1 << BULK_DEPTH:
        raise _refused(f"a proof of position {proof.position} with {len(siblings)} siblings", "proof")
    return PROOF.pack(proof.position, b"".join(siblings))


def _pack_fill(fill: BatchFill) -> bytes:
    maker = PACKED_AMM_MAKER if fill.maker == AMM_MAKER else fill.maker
    fees = (fee.to_bytes(3, "big", signed=True) for fee in (fill.maker_fee_ppm, fill.taker_fee_ppm))
    return FILL.pack(maker, fill.taker, fill.size_lots, *fees)


# --- from bytes ---


def _cut(packed: bytes, counts: Sequence[int]) -> list[bytes]:
    """One piece for each kind of record."""
    sizes = (MARKET.size, ACCOUNT.size, ORDER.size, PROOF.size, FILL.size, QUOTE.size)
    expected = HEADER.size + sum(count * size for count, size in zip(counts, sizes, strict=True))
    if len(packed) != expected:
        raise _refused(f"{len(packed)} bytes where the header says {expected}", "batch")
    sections, at = [], HEADER.size
    for count, size in zip(counts, sizes, strict=True):
        sections.append(packed[at : at + count * size])
        at += count * size
    return sections


def _unpack_proofs(section: bytes) -> Iterator[BulkProof]:
    for position, raw in PROOF.iter_unpack(section):
        siblings = (Digest("0x" + raw[at : at + 32].hex()) for at in range(0, len(raw), 32))
        yield BulkProof(position, tuple(siblings))


def _unpack_order(
    row: tuple[int, int, int, int, int, int, int, int, int, int, bytes, bytes, bytes],
    markets: Sequence[int],
    accounts: Sequence[Address],
    proofs: Iterator[BulkProof],
) -> SignedOrder:
    account, market, subaccount, terms, flags, price, size, trigger, fee, nonce, expiry, r, vs = row
    if account >= len(accounts) or market >= len(markets) or terms > _TERMS_MAX:
        raise _refused(f"an order of account {account} in market {market} with terms {terms}", "orders")
    proof = next(proofs, None) if terms & _BULK_TERM else None
    if terms & _BULK_TERM and proof is None:
        raise _refused("fewer proofs than bulk-signed orders", "proofs")
    order = Order(
        accounts[account],
        subaccount,
        markets[market],
        Side(terms & 1),
        Kind(terms >> 1 & 1),
        TimeInForce(terms >> 2 & 3),
        flags,
        Ticks(price),
        Lots(size),
        Ticks(trigger),
        fee,
        nonce,
        int.from_bytes(expiry, "big"),
    )
    number = int.from_bytes(vs, "big")
    s, v = (number & _HIGH_BIT - 1).to_bytes(32, "big"), 28 if number & _HIGH_BIT else 27
    return SignedOrder(order, "0x" + (r + s + bytes((v,))).hex(), proof)


def _unpack_fill(row: tuple[int, int, int, bytes, bytes]) -> BatchFill:
    maker, taker, size, maker_fee, taker_fee = row
    if size == 0:
        return _ZERO_FILL
    fees = (int.from_bytes(fee, "big", signed=True) for fee in (maker_fee, taker_fee))
    return BatchFill(AMM_MAKER if maker == PACKED_AMM_MAKER else maker, taker, size, *fees)


def _check_canonical(batch: SettlementBatch, fee_account: Address, markets: list[int], accounts: list[Address]) -> None:
    """Tables and orders ascend without a name too many, and everything that is named is there."""
    if canonical(batch) != batch:
        raise _refused("orders that do not ascend by account and nonce", "orders")
    _check_counts(batch)
    if markets != sorted({signed.order.market for signed in batch.orders}):
        raise _refused("markets that are not those of the orders, ascending", "markets")
    named = {signed.order.account for signed in batch.orders} | ({fee_account} if batch.orders else set())
    if accounts != sorted(named):
        raise _refused("accounts that are not those of the orders and of the fees, ascending", "accounts")
    for signed in batch.orders:
        _compact(signed)
        if signed.proof is not None:
            _pack_proof(signed.proof)


def _refused(what: str, field: str) -> InvalidInput:
    return InvalidInput(f"a batch with {what}", field=field)
