"""Balances: what is free, tradable, withdrawable; and that legs are reversed to the atom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene import ALICE, BASE, BOB, CAROL, QUOTE

from offchain.engine.ledger import Balance, Ledger, Legs

AMOUNT = st.integers(0, 10**30)


@given(AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT)
def test_derived_amounts(settled: int, coming: int, owed: int, held: int, leaving: int) -> None:
    balance, pending = Balance(ALICE, QUOTE), coming - owed
    balance.settled, balance.leaving, balance.owed = settled, leaving, owed
    balance.funds, balance.taken = settled + coming - leaving, held + owed
    assert balance.as_tuple() == (settled, pending, held, leaving)
    assert balance.free == settled + pending - held
    assert balance.tradable == max(0, balance.free - leaving) == max(0, balance.cover)
    assert balance.withdrawable == max(0, settled - owed - held - leaving)
    assert balance.withdrawable <= balance.tradable


def legs_of(ledger: Ledger, buyer: object, seller: object) -> Legs:
    return Legs(
        ledger.of(buyer, QUOTE),  # type: ignore[arg-type]
        ledger.of(buyer, BASE),  # type: ignore[arg-type]
        ledger.of(seller, QUOTE),  # type: ignore[arg-type]
        ledger.of(seller, BASE),  # type: ignore[arg-type]
        ledger.of(CAROL, QUOTE),
        base_atoms=7,
        paid=103,
        received=99,
    )


def match(legs: Legs) -> None:
    """What a match makes of holds of the same amounts."""
    legs.buyer_quote.owed += legs.paid
    legs.buyer_quote.taken += legs.paid
    legs.seller_base.owed += legs.base_atoms
    legs.seller_base.taken += legs.base_atoms
    legs.buyer_base.funds += legs.base_atoms
    legs.seller_quote.funds += legs.received
    legs.fees.funds += legs.fee


@pytest.mark.parametrize(("buyer", "seller"), [(ALICE, BOB), (CAROL, BOB), (ALICE, CAROL)])
def test_legs_sum_to_zero_and_come_back(buyer: object, seller: object) -> None:
    """Also when the fee account itself trades."""
    ledger = Ledger()
    legs = legs_of(ledger, buyer, seller)
    ledger.credit(legs.buyer_quote, 200)
    ledger.credit(legs.seller_base, 10)
    match(legs)
    assert ledger.totals(QUOTE) == (200, 0) and ledger.totals(BASE) == (10, 0)
    before = {key: balance.settled for key, balance in ledger.balances.items()}
    ledger.reverse(legs)
    assert all(balance.as_tuple() == (before[key], 0, 0, 0) for key, balance in ledger.balances.items())
    match(legs)
    ledger.settle(legs)
    assert ledger.totals(QUOTE) == (200, 0) and ledger.totals(BASE) == (10, 0)
    assert ledger.of(buyer, BASE).settled == 7  # type: ignore[arg-type]
    assert all(balance.pending == balance.held == 0 for balance in ledger.balances.values())


def test_more_than_is_owed_cannot_be_settled() -> None:
    ledger = Ledger()
    legs = legs_of(ledger, ALICE, BOB)
    with pytest.raises(AssertionError):
        ledger.settle(legs)


def test_requests_and_promises_add_up() -> None:
    ledger = Ledger()
    balance = ledger.of(ALICE, QUOTE)
    ledger.promise(balance, 5)
    ledger.request(balance, 70)
    ledger.request(balance, 30)
    assert (balance.leaving, balance.requested) == (35, 30)
    ledger.unpromise(balance, 5)
    ledger.request(balance, 0)
    assert balance.leaving == 0
    with pytest.raises(AssertionError):
        ledger.unpromise(balance, 1)


def test_a_touched_balance_is_listed_once_in_order() -> None:
    ledger = Ledger()
    one, two = ledger.of(ALICE, QUOTE), ledger.of(BOB, QUOTE)
    for balance in (two, one, two):
        ledger.credit(balance, 1)
    assert ledger.touched == [two, one]
