"""The signed order's frame, its nonce, and when it is immediate."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders_drawn import ORDERS

from offchain.domain.order import ORDER_FRAME_BYTES, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import to_address


@given(ORDERS)
def test_frame_there_and_back(order: Order) -> None:
    frame = order.to_frame()
    assert len(frame) == ORDER_FRAME_BYTES and Order.from_frame(frame) == order
    assert make_nonce(order.slot, order.sequence) == order.nonce


@given(st.binary(min_size=ORDER_FRAME_BYTES, max_size=ORDER_FRAME_BYTES))
def test_a_frame_is_an_order_or_a_value_error(frame: bytes) -> None:
    try:
        order = Order.from_frame(frame)
    except ValueError:
        return
    assert order.to_frame() == frame


@pytest.mark.parametrize(("kind", "tif"), itertools.product(Kind, TimeInForce))
def test_what_never_rests(kind: Kind, tif: TimeInForce) -> None:
    order = Order(to_address(bytes(20)), 0, 1, Side.BUY, kind, tif, 0, 1, 1, 0, 0, 0, 0)  # type: ignore[arg-type]
    expected = kind is Kind.MARKET or tif in (TimeInForce.IOC, TimeInForce.FOK)
    assert order.is_immediate is expected
    as_numbers = Order(to_address(bytes(20)), 0, 1, 0, int(kind), int(tif), 0, 1, 1, 0, 0, 0, 0)  # type: ignore[arg-type]
    assert as_numbers.is_immediate is expected


def test_sides() -> None:
    assert Side.BUY.opposite is Side.SELL and Side.SELL.opposite is Side.BUY
