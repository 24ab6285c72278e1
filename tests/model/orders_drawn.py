"""Any order that fits the signed fields."""

from hypothesis import strategies as st

from offchain.domain.order import Kind, Order, Side, TimeInForce
from offchain.domain.units import to_address

ORDERS = st.builds(
    Order,
    account=st.binary(min_size=20, max_size=20).map(to_address),
    subaccount=st.integers(0, 2**8 - 1),
    market=st.integers(0, 2**32 - 1),
    side=st.sampled_from(Side),
    kind=st.sampled_from(Kind),
    time_in_force=st.sampled_from(TimeInForce),
    flags=st.integers(0, 2**16 - 1),
    price_ticks=st.integers(0, 2**64 - 1),
    size_lots=st.integers(0, 2**64 - 1),
    trigger_ticks=st.integers(0, 2**64 - 1),
    max_fee_ppm=st.integers(-(2**31), 2**31 - 1),
    nonce=st.integers(0, 2**64 - 1),
    expiry=st.integers(0, 2**40 - 1),
)
