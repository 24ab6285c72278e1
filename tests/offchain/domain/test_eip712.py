"""Digests against eth-account, whose encoder of typed data is somebody else's."""

from typing import Any

from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st
from orders_drawn import ORDERS

from offchain.domain import eip712
from offchain.domain.keccak import keccak
from offchain.domain.order import Order
from offchain.domain.units import Address, from_hex, to_address

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
    purpose = eip712.withdrawal_purpose(token, as_cxpt)
    assert purpose == keccak(bytes(12) + from_hex(token) + bytes(31) + bytes([as_cxpt]))
    message = {"account": account, "token": token, "amount": amount, "purpose": purpose}
    expected = public_digest(eip712.APPROVAL_TYPE, {**message, "nonce": nonce, "deadline": deadline})
    assert eip712.approval_digest(SEPARATOR, account, token, amount, purpose, nonce, deadline) == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), ADDRESS)
def test_receipts_and_sessions(sequence: int, at: int, order_hash: bytes, account: Address) -> None:
    expected = public_digest(eip712.RECEIPT_TYPE, {"sequence": sequence, "at": at, "orderHash": order_hash})
    assert eip712.receipt_digest(SEPARATOR, sequence, at, order_hash) == expected
    expected = public_digest(eip712.SESSION_TYPE, {"account": account, "issuedAt": at, "expiry": sequence})
    assert eip712.session_digest(SEPARATOR, account, at, sequence) == expected
