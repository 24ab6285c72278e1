"""What a transaction offers: never above the cap, and replacements that any node takes."""

from hypothesis import given
from hypothesis import strategies as st

from offchain.chain.fees import FeePolicy, bumped_fees, first_fees
from offchain.chain.signing import Fees

WEI = st.integers(0, 10**14)


@given(WEI, WEI, WEI)
def test_the_first_offer(cap: int, priority: int, base_fee: int) -> None:
    fees = first_fees(FeePolicy(cap=cap, priority=priority), base_fee)
    if base_fee > cap:
        assert fees is None
        return
    assert fees is not None
    assert base_fee <= fees.max_fee <= cap
    assert fees.priority_fee <= fees.max_fee or fees.max_fee == cap


@given(WEI, WEI, WEI, WEI)
def test_a_replacement_pays_an_eighth_more_of_both(cap: int, base_fee: int, max_fee: int, priority: int) -> None:
    last = Fees(max_fee, min(priority, max_fee))
    fees = bumped_fees(FeePolicy(cap=cap), base_fee, last)
    if fees is None:
        assert max_fee * 9 > cap * 8 or max_fee + 1 > cap
        return
    assert fees.max_fee <= cap
    assert fees.max_fee * 8 >= last.max_fee * 9
    assert fees.max_fee > last.max_fee
    assert fees.priority_fee > last.priority_fee
    assert fees.priority_fee * 8 >= last.priority_fee * 9
    assert fees.priority_fee <= fees.max_fee


def test_zero_priority_can_be_replaced() -> None:
    assert bumped_fees(FeePolicy(cap=100), 5, Fees(11, 0)) == Fees(13, 1)
