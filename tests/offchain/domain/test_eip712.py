"""Digests against eth-account, whose encoder of typed data is somebody else's."""

from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st
from orders_drawn import ORDERS

from offchain.domain import eip712
from offchain.domain.errors import InvalidInput
from offchain.domain.keccak import keccak
from offchain.domain.order import ORDER_FRAME_BYTES, Order
from offchain.domain.units import Address, Digest, to_address

CONTRACT = Address("0x" + "c1" * 20)
SEPARATOR = eip712.domain_separator(998, CONTRACT)
ADDRESS = st.binary(min_size=20, max_size=20).map(to_address)
WORD = st.integers(0, 2**256 - 1)


def public_digest(type_string: str, message: dict[str, Any]) -> bytes:
    template = eip712.typed_data_template(type_string, 998, CONTRACT)
    signable = encode_typed_data(full_message={**template, "message": message})
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


@given(ORDERS)
def test_orders(order: Order) -> None:
    assert eip712.order_digest(SEPARATOR, order) == public_digest(eip712.ORDER_TYPE, eip712.order_message(order))


@given(ORDERS)
def test_frames_hash_like_their_orders(order: Order) -> None:
    frame = order.to_frame()
    assert (
        eip712.frame_struct_hash(frame) == eip712.frame_struct_hash(frame + b"more") == eip712.order_struct_hash(order)
    )
    assert eip712.frame_digest(SEPARATOR, frame) == eip712.order_digest(SEPARATOR, order)


@given(ADDRESS, st.integers(0, 2**64 - 1), st.integers(0, 2**48 - 1))
def test_cancels(account: Address, nonce: int, floor: int) -> None:
    expected = public_digest(eip712.CANCEL_TYPE, {"account": account, "nonce": nonce})
    assert eip712.cancel_digest(SEPARATOR, account, nonce) == expected
    expected = public_digest(eip712.CANCEL_ALL_TYPE, {"account": account, "floor": floor})
    assert eip712.cancel_all_digest(SEPARATOR, account, floor) == expected


@given(ADDRESS, ADDRESS, WORD, st.booleans(), WORD, WORD)
def test_withdrawals_and_approvals(
    account: Address, token: Address, amount: int, as_cxpt: bool, nonce: int, deadline: int
) -> None:
    withdrawal = eip712.Withdrawal(account, token, amount, token, as_cxpt, nonce, deadline)
    message = {
        "account": account,
        "token": token,
        "amount": amount,
        "destination": token,
        "asCxpt": as_cxpt,
        "nonce": nonce,
        "deadline": deadline,
    }
    assert eip712.withdraw_digest(SEPARATOR, withdrawal) == public_digest(eip712.WITHDRAW_TYPE, message)
    purpose = eip712.withdraw_hash(withdrawal)
    assert eip712.digest(SEPARATOR, purpose) == public_digest(eip712.WITHDRAW_TYPE, message)
    message = {"account": account, "token": token, "amount": amount, "purpose": purpose}
    expected = public_digest(eip712.APPROVAL_TYPE, {**message, "nonce": nonce, "deadline": deadline})
    assert eip712.approval_digest(SEPARATOR, account, token, amount, purpose, nonce, deadline) == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), ADDRESS)
def test_receipts_and_sessions(sequence: int, at: int, order_hash: bytes, account: Address) -> None:
    expected = public_digest(eip712.RECEIPT_TYPE, {"sequence": sequence, "at": at, "orderHash": order_hash})
    assert eip712.receipt_digest(SEPARATOR, sequence, at, order_hash) == expected
    expected = public_digest(eip712.SESSION_TYPE, {"account": account, "issuedAt": at, "expiry": sequence})
    assert eip712.session_digest(SEPARATOR, account, at, sequence) == expected


@given(
    ADDRESS,
    ADDRESS,
    st.integers(0, 2**40 - 1),
    st.integers(0, 2**128 - 1),
    st.lists(st.integers(0, 2**32 - 1), max_size=5).map(tuple),
    WORD,
)
def test_agents(
    account: Address, agent: Address, expiry: int, notional: int, markets: tuple[int, ...], nonce: int
) -> None:
    message = {
        "account": account,
        "agent": agent,
        "expiry": expiry,
        "notional": notional,
        "markets": list(markets),
        "nonce": nonce,
        "deadline": expiry + 1,
    }
    terms = eip712.AgentTerms(agent, expiry, notional, markets)
    expected = public_digest(eip712.AGENT_TYPE, message)
    assert eip712.agent_digest(SEPARATOR, account, terms, nonce, expiry + 1) == expected


@given(st.binary(min_size=32, max_size=32))
def test_bulk_orders(root: bytes) -> None:
    assert eip712.bulk_digest(SEPARATOR, root) == public_digest(eip712.BULK_ORDER_TYPE, {"root": root})


def plain_root(orders: list[Order]) -> bytes:
    """The tree, level by level, without its rules for odd counts: there are always 32 leaves."""
    level = [keccak(b"\x00" + eip712.order_struct_hash(order)) for order in orders] + [bytes(32)] * (32 - len(orders))
    for _ in range(5):
        level = [keccak(b"\x01" + level[at] + level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


@given(st.lists(ORDERS, min_size=1, max_size=32), st.data())
def test_the_tree_of_bulk_orders(orders: list[Order], data: st.DataObject) -> None:
    root = eip712.bulk_root(orders)
    assert root == plain_root(orders)
    position = data.draw(st.integers(0, len(orders) - 1))
    proof = eip712.bulk_proof(orders, position)
    assert eip712.bulk_root_of(orders[position], proof) == root
    levels, signature = eip712.bulk_levels([eip712.order_struct_hash(order) for order in orders]), bytes(range(65))
    assert eip712.join_levels(signature, levels, position) == eip712.join_signature(signature, proof)
    moved = eip712.BulkProof((position + 1) % 32, proof.siblings)
    same = orders[position + 1 : position + 2] == [orders[position]]
    assert eip712.bulk_root_of(orders[position], moved) != root or same


@pytest.mark.parametrize("count", [0, 33])
def test_too_many_orders_for_a_tree(count: int) -> None:
    with pytest.raises(InvalidInput, match=f"{count} orders"):
        eip712.bulk_root([Order.from_frame(bytes(ORDER_FRAME_BYTES))] * count)


@pytest.mark.parametrize(("position", "siblings"), [(32, 5), (-1, 5), (0, 4), (0, 6)])
def test_what_is_no_proof(position: int, siblings: int) -> None:
    proof = eip712.BulkProof(position, (Digest("0x" + "00" * 32),) * siblings)
    with pytest.raises(InvalidInput, match="proof of position"):
        eip712.bulk_root_of(Order.from_frame(bytes(ORDER_FRAME_BYTES)), proof)
