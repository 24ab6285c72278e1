"""Canonical bytes: everything that is hashed or signed, and nothing else. JSON is never hashed.

Twins: `contracts/libraries/OrderHash.sol`, `AgentHash.sol`, `BulkTree.sol` and the type hashes of Vault and
OrderbookCommitment; tests/parity compares them.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from offchain.domain.errors import InvalidInput
from offchain.domain.event import ApprovalGranted
from offchain.domain.keccak import keccak
from offchain.domain.limits import BULK_DEPTH
from offchain.domain.order import BULK_SIGNATURE_BYTES, ORDER_TERMS, SIGNATURE_BYTES, Order
from offchain.domain.units import Address, Digest, from_hex

ORDER_TYPE = (
    "Order(address account,uint8 subaccount,uint32 market,uint8 side,uint8 kind,uint8 timeInForce,uint16 flags,"
    "uint64 priceTicks,uint64 sizeLots,uint64 triggerTicks,int32 maxFeePpm,uint64 nonce,uint40 expiry)"
)
CANCEL_TYPE = "Cancel(address account,uint64 nonce)"
CANCEL_ALL_TYPE = "CancelAll(address account,uint48 floor)"
AGENT_TYPE = (
    "Agent(address account,address agent,uint40 expiry,uint128 notional,uint32[] markets,"
    "uint256 nonce,uint256 deadline)"
)
BULK_ORDER_TYPE = "BulkOrder(bytes32 root)"
WITHDRAW_TYPE = (
    "Withdraw(address account,address token,uint256 amount,address destination,bool asCxpt,uint256 nonce,"
    "uint256 deadline)"
)
APPROVAL_TYPE = "Approval(address account,address token,uint256 amount,bytes32 purpose,uint256 nonce,uint256 deadline)"
RECEIPT_TYPE = "Receipt(uint64 sequence,uint64 at,bytes32 orderHash)"
RECEIPTS_TYPE = "Receipts(uint64 first,uint64 last,uint32 orders,bytes32 root)"
SESSION_TYPE = "Session(address account,uint64 issuedAt,uint64 expiry)"
MARK_TYPE = "Mark(uint32 market,uint64 priceTicks,uint64 time)"
PERMIT_TYPE = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"

LOW_S_MAX = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half of secp256k1's order: a signature with a larger s is accepted nowhere."""

DOMAIN_NAME = "HOOATS"
DOMAIN_VERSION = "1"

PURPOSE_LOCK = keccak(b"HOOATS.lock")
PURPOSE_BURN = keccak(b"HOOATS.burn")

_ORDER_TYPE_HASH = keccak(ORDER_TYPE.encode())
_CANCEL_TYPE_HASH = keccak(CANCEL_TYPE.encode())
_CANCEL_ALL_TYPE_HASH = keccak(CANCEL_ALL_TYPE.encode())
_AGENT_TYPE_HASH = keccak(AGENT_TYPE.encode())
_BULK_ORDER_TYPE_HASH = keccak(BULK_ORDER_TYPE.encode())
_WITHDRAW_TYPE_HASH = keccak(WITHDRAW_TYPE.encode())
_APPROVAL_TYPE_HASH = keccak(APPROVAL_TYPE.encode())
_RECEIPT_TYPE_HASH = keccak(RECEIPT_TYPE.encode())
_RECEIPTS_TYPE_HASH = keccak(RECEIPTS_TYPE.encode())
_SESSION_TYPE_HASH = keccak(SESSION_TYPE.encode())
_MARK_TYPE_HASH = keccak(MARK_TYPE.encode())
_PERMIT_TYPE_HASH = keccak(PERMIT_TYPE.encode())
_DOMAIN_TYPE_HASH = keccak(DOMAIN_TYPE.encode())

_RECEIPT_LEAF = struct.Struct(">BQQ32s")
# 14 words of 32 bytes; the type hash first, then each field right-aligned.
_ORDER_WORDS = struct.Struct(">32s12x20s31xB28xI31xB31xB31xB30xH24xQ24xQ24xQ28s4s24xQ24xQ")
_POSITIVE, _NEGATIVE = bytes(28), b"\xff" * 28
FRAME_FIELDS = struct.Struct(">20s10s8s8s8s4s8s8s")
"""Of an order's frame, as bytes: account, terms, price, size, trigger, fee cap, nonce, expiry."""
_FRAME_WORDS = struct.Struct(">44s20s192s24x8s24x8s24x8s28s4s24x8s24x8s")
"""The same 14 words, made of a frame's bytes without looking at their numbers."""
_HEAD_WORDS = _ORDER_TYPE_HASH + bytes(12)
_TERMS_WORDS = struct.Struct(">31xB28xI31xB31xB31xB30xH")


def domain_separator(chain_id: int, verifying_contract: Address) -> bytes:
    """EIP-712 domain of the contract that consumes the type."""
    return separator_of(DOMAIN_NAME, DOMAIN_VERSION, chain_id, verifying_contract)


def separator_of(name: str, version: str, chain_id: int, verifying_contract: Address) -> bytes:
    """EIP-712 domain of anybody's contract."""
    return keccak(
        _DOMAIN_TYPE_HASH
        + keccak(name.encode())
        + keccak(version.encode())
        + chain_id.to_bytes(32, "big")
        + _address(verifying_contract)
    )


def digest(separator: bytes, struct_hash: bytes) -> bytes:
    """What is signed: keccak256(0x1901 || domain separator || struct hash)."""
    return keccak(b"\x19\x01" + separator + struct_hash)


def order_struct_hash(order: Order) -> bytes:
    fee = order.max_fee_ppm
    return keccak(
        _ORDER_WORDS.pack(
            _ORDER_TYPE_HASH,
            from_hex(order.account),
            order.subaccount,
            order.market,
            order.side,
            order.kind,
            order.time_in_force,
            order.flags,
            order.price_ticks,
            order.size_lots,
            order.trigger_ticks,
            _NEGATIVE if fee < 0 else _POSITIVE,
            fee.to_bytes(4, "big", signed=True),
            order.nonce,
            order.expiry,
        )
    )


def order_digest(separator: bytes, order: Order) -> bytes:
    """The order's natural key; `separator` is that of Settlement."""
    return digest(separator, order_struct_hash(order))


@lru_cache(maxsize=4_096)
def _terms_words(terms: bytes) -> bytes:
    """Kept, because there are few kinds of orders."""
    return _TERMS_WORDS.pack(*ORDER_TERMS.unpack(terms))


def fields_struct_hash(
    account: bytes, terms: bytes, price: bytes, size: bytes, trigger: bytes, fee: bytes, nonce: bytes, expiry: bytes
) -> bytes:
    """`order_struct_hash` of the order with these FRAME_FIELDS."""
    sign = _NEGATIVE if fee[0] & 0x80 else _POSITIVE
    terms_words = _terms_words(terms)
    words = _FRAME_WORDS.pack(_HEAD_WORDS, account, terms_words, price, size, trigger, sign, fee, nonce, expiry)
    return keccak(words)


def frame_struct_hash(frame: bytes) -> bytes:
    """`order_struct_hash` of the order that begins there, packed as in the journal: no order is made."""
    return fields_struct_hash(*FRAME_FIELDS.unpack_from(frame))


def frame_digest(separator: bytes, frame: bytes) -> bytes:
    """`order_digest` of the order that begins there."""
    return keccak(b"\x19\x01" + separator + frame_struct_hash(frame))


def cancel_digest(separator: bytes, account: Address, nonce: int) -> bytes:
    return digest(separator, keccak(_CANCEL_TYPE_HASH + _address(account) + _uint(nonce)))


def cancel_all_digest(separator: bytes, account: Address, floor: int) -> bytes:
    return digest(separator, keccak(_CANCEL_ALL_TYPE_HASH + _address(account) + _uint(floor)))


class AgentTerms(NamedTuple):
    """What an account lets a key sign in its name. Twin: `struct AgentTerms`.

    `notional` in quote units, over all fills; no `markets` means every market.
    """

    agent: Address
    expiry: int
    notional: int
    markets: tuple[int, ...]


def agent_digest(separator: bytes, account: Address, terms: AgentTerms, nonce: int, deadline: int) -> bytes:
    """What an account signs to have an agent registered by anyone; `separator` is that of Settlement, `nonce` how often
    this agent was registered before."""
    words = (
        _address(account),
        _address(terms.agent),
        _uint(terms.expiry),
        _uint(terms.notional),
        keccak(b"".join(_uint(market) for market in terms.markets)),
        _uint(nonce),
        _uint(deadline),
    )
    return digest(separator, keccak(_AGENT_TYPE_HASH + b"".join(words)))


def permit_digest(separator: bytes, owner: Address, spender: Address, value: int, nonce: int, deadline: int) -> bytes:
    """What the owner of tokens signs (ERC-2612); `separator` is the token's."""
    words = (_address(owner), _address(spender), _uint(value), _uint(nonce), _uint(deadline))
    return digest(separator, keccak(_PERMIT_TYPE_HASH + b"".join(words)))


# --- orders under one signature: a tree of 2**BULK_DEPTH leaves, of which an unused one is 0 ---


class BulkProof(msgspec.Struct, frozen=True):
    """Where an order is in the tree that its agent signed: `siblings` as 0x-hex, the leaf's first."""

    position: int
    siblings: tuple[Digest, ...]


def bulk_root(orders: Sequence[Order]) -> bytes:
    """Root of the tree of these orders; `InvalidInput` for none of them or too many."""
    return bulk_levels([order_struct_hash(order) for order in orders])[-1][0]


def bulk_proof(orders: Sequence[Order], position: int) -> BulkProof:
    """Of the order at `position`."""
    assert 0 <= position < len(orders)
    levels = bulk_levels([order_struct_hash(order) for order in orders])
    siblings = tuple(Digest("0x" + levels[level][position >> level ^ 1].hex()) for level in range(BULK_DEPTH))
    return BulkProof(position, siblings)


def bulk_root_of(order: Order, proof: BulkProof) -> bytes:
    """The root that a proof leads to. `InvalidInput` if it cannot be a proof."""
    if not 0 <= proof.position < 1 << BULK_DEPTH or len(proof.siblings) != BULK_DEPTH:
        raise InvalidInput(
            f"a proof of position {proof.position} with {len(proof.siblings)} siblings",
            field="proof",
            remedy=f"A position below {1 << BULK_DEPTH} and {BULK_DEPTH} siblings",
        )
    found = _bulk_leaf(order_struct_hash(order))
    for level, sibling in enumerate(proof.siblings):
        other = from_hex(sibling)
        found = _bulk_node(other, found) if proof.position >> level & 1 else _bulk_node(found, other)
    return found


def join_signature(signature: bytes, proof: BulkProof) -> bytes:
    """A bulk order's signature as it is kept: with its proof behind it."""
    return b"".join((signature, bytes((proof.position,)), *map(from_hex, proof.siblings)))


def split_signature(kept: bytes) -> tuple[bytes, BulkProof | None]:
    """Inverse of `join_signature`; a signature of an order alone has no proof."""
    if len(kept) != BULK_SIGNATURE_BYTES:
        return kept, None
    path = kept[SIGNATURE_BYTES + 1 :]
    siblings = tuple(Digest("0x" + path[start : start + 32].hex()) for start in range(0, len(path), 32))
    return kept[:SIGNATURE_BYTES], BulkProof(kept[SIGNATURE_BYTES], siblings)


def bulk_digest(separator: bytes, root: bytes) -> bytes:
    """What an agent signs for all orders of a tree; `separator` is that of Settlement."""
    return digest(separator, keccak(_BULK_ORDER_TYPE_HASH + root))


def bulk_levels(struct_hashes: Sequence[bytes]) -> list[list[bytes]]:
    """The tree of orders with these struct hashes, from the leaves to the root; `InvalidInput` as `bulk_root`."""
    if not 0 < len(struct_hashes) <= 1 << BULK_DEPTH:
        raise InvalidInput(
            f"{len(struct_hashes)} orders under one signature", field="orders", remedy=f"From 1 to {1 << BULK_DEPTH}"
        )
    level = [_bulk_leaf(struct_hash) for struct_hash in struct_hashes]
    levels = [level + [bytes(32)] * ((1 << BULK_DEPTH) - len(level))]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([_bulk_node(below[at], below[at + 1]) for at in range(0, len(below), 2)])
    return levels


def join_levels(signature: bytes, levels: Sequence[Sequence[bytes]], position: int) -> bytes:
    """`join_signature` of the order at `position` of `bulk_levels`."""
    siblings = [levels[level][position >> level ^ 1] for level in range(BULK_DEPTH)]
    return b"".join((signature, bytes((position,)), *siblings))


def _bulk_leaf(struct_hash: bytes) -> bytes:
    return keccak(b"\x00" + struct_hash)


def _bulk_node(left: bytes, right: bytes) -> bytes:
    return keccak(b"\x01" + left + right)


class Withdrawal(NamedTuple):
    """What an owner signs to withdraw at once. Twin: `struct Withdrawal`."""

    account: Address
    token: Address
    amount: int
    destination: Address
    as_cxpt: bool
    nonce: int
    deadline: int


def withdraw_hash(withdrawal: Withdrawal) -> bytes:
    """Of all that the owner signs; also the `purpose` of the countersignature, which is then for this message only."""
    account, token, amount, destination, as_cxpt, nonce, deadline = withdrawal
    words = (
        _address(account),
        _address(token),
        _uint(amount),
        _address(destination),
        _uint(int(as_cxpt)),
    )
    return keccak(b"".join((_WITHDRAW_TYPE_HASH, *words, _uint(nonce), _uint(deadline))))


def withdrawal_of(granted: ApprovalGranted) -> Withdrawal:
    """What the owner signs, or sends himself, to use this approval of a withdrawal."""
    return Withdrawal(
        granted.account,
        granted.token,
        granted.amount,
        granted.destination,
        granted.as_cxpt,
        granted.owner_nonce,
        granted.owner_deadline,
    )


def withdraw_digest(separator: bytes, withdrawal: Withdrawal) -> bytes:
    return digest(separator, withdraw_hash(withdrawal))


def approval_digest(
    separator: bytes,
    account: Address,
    token: Address,
    amount: int,
    purpose: bytes,
    nonce: int,
    deadline: int,
) -> bytes:
    """What the attestation key signs to let a free balance fall; `separator` is that of the Vault."""
    words = (
        _address(account),
        _address(token),
        _uint(amount),
        purpose,
        _uint(nonce),
        _uint(deadline),
    )
    return digest(separator, keccak(_APPROVAL_TYPE_HASH + b"".join(words)))


def receipt_digest(separator: bytes, sequence: int, at: int, order_hash: bytes) -> bytes:
    """What the attestation key signs for every sequenced order; `separator` is that of OrderbookCommitment."""
    return digest(separator, keccak(_RECEIPT_TYPE_HASH + _uint(sequence) + _uint(at) + order_hash))


def receipt_leaf(sequence: int, at: int, order_hash: bytes) -> bytes:
    """Of one order in the tree of a group's receipts, whose shape is that of `commandsRoot`'s (`engine.merkle`)."""
    return keccak(_RECEIPT_LEAF.pack(0, sequence, at, order_hash))


def receipts_digest(separator: bytes, first: int, last: int, orders: int, root: bytes) -> bytes:
    """What the attestation key signs for all orders of a group at once; `separator` is that of OrderbookCommitment."""
    words = _uint(first) + _uint(last) + _uint(orders) + root
    return digest(separator, keccak(_RECEIPTS_TYPE_HASH + words))


def compact(signature: bytes) -> bytes:
    """A signature of 65 bytes in the 64 of ERC-2098: r, and s with v's parity in its highest bit. Any other bytes as
    they are."""
    if len(signature) != 65 or signature[64] not in (27, 28) or signature[32] >> 7:
        return signature
    return signature[:32] + bytes([signature[32] | (signature[64] - 27) << 7]) + signature[33:64]


def session_digest(separator: bytes, account: Address, issued_at: int, expiry: int) -> bytes:
    """What an account signs to log in (unix seconds); `separator` is that of Settlement."""
    return digest(
        separator,
        keccak(_SESSION_TYPE_HASH + _address(account) + _uint(issued_at) + _uint(expiry)),
    )


def mark_digest(separator: bytes, market: int, price_ticks: int, time: int) -> bytes:
    """What a poster signs of a market's price (unix seconds); `separator` is that of Settlement."""
    return digest(separator, keccak(_MARK_TYPE_HASH + _uint(market) + _uint(price_ticks) + _uint(time)))


def typed_data_fields(type_string: str) -> list[dict[str, str]]:
    """`Name(type a,type b)` as the field list of an EIP-712 JSON template."""
    inside = type_string[type_string.index("(") + 1 : -1]
    return [{"type": part.split(" ")[0], "name": part.split(" ")[1]} for part in inside.split(",")]


def typed_data_template(type_string: str, chain_id: int, verifying_contract: Address) -> dict[str, Any]:
    """The `types`, `primaryType` and `domain` of eth_signTypedData_v4, to be completed with a `message`."""
    name = type_string[: type_string.index("(")]
    return {
        "types": {
            "EIP712Domain": typed_data_fields(DOMAIN_TYPE),
            name: typed_data_fields(type_string),
        },
        "primaryType": name,
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": chain_id,
            "verifyingContract": verifying_contract,
        },
    }


def order_message(order: Order) -> dict[str, Any]:
    """The order as the `message` of its typed data."""
    return {
        "account": order.account,
        "subaccount": order.subaccount,
        "market": order.market,
        "side": int(order.side),
        "kind": int(order.kind),
        "timeInForce": int(order.time_in_force),
        "flags": order.flags,
        "priceTicks": order.price_ticks,
        "sizeLots": order.size_lots,
        "triggerTicks": order.trigger_ticks,
        "maxFeePpm": order.max_fee_ppm,
        "nonce": order.nonce,
        "expiry": order.expiry,
    }


def _address(value: Address) -> bytes:
    return bytes(12) + from_hex(value)


def _uint(value: int) -> bytes:
    return value.to_bytes(32, "big")
