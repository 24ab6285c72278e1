"""Debt positions: no synth without collateral, no price without an age."""

import pytest
from venue import EXIT_DELAY, HOUR, LOT, NO_APPROVAL, Venue, only, reverts

from offchain.domain.eip712 import PURPOSE_BURN, PURPOSE_LOCK

PRICE = 50_000_000_000
"""Units for one whole hBTC."""
DEBT = 10**17
REQUIRED = 7_500_000_000
"""150 % of DEBT's value."""


@pytest.fixture
def priced(venue: Venue) -> Venue:
    """Alice has 10,000 USDC; the price is fresh."""
    venue.give_units(venue.alice, 10_000_000_000)
    venue.post(PRICE)
    return venue


def open_position(venue: Venue, collateral: int = REQUIRED, debt: int = DEBT) -> object:
    approval = venue.approve(venue.alice, venue.usdc, collateral, PURPOSE_LOCK)
    return venue.issuer.open(venue.btc, collateral, debt, approval, sender=venue.alice)


def position(venue: Venue) -> tuple[int, int]:
    return tuple(venue.issuer.positionOf(venue.alice, venue.btc))


def test_open(priced: Venue) -> None:
    venue, before = priced, priced.vault.sequence()
    receipt = open_position(venue)
    assert only(receipt, venue.issuer.PositionChanged) == {
        "account": venue.alice.address,
        "synth": venue.btc.address,
        "collateral": REQUIRED,
        "debt": DEBT,
    }
    assert only(receipt, venue.vault.CollateralLocked)["sequence"] == before + 1
    assert only(receipt, venue.vault.SynthMinted)["sequence"] == before + 2
    assert position(venue) == (REQUIRED, DEBT)
    assert venue.lots(venue.alice) == DEBT // LOT
    assert venue.btc.totalSupply() == DEBT
    assert venue.vault.totalsOf(venue.usdc).locked == REQUIRED
    venue.assert_conserved()


def test_one_unit_too_little(priced: Venue) -> None:
    with reverts("Undercollateralized", collateral=REQUIRED - 1, required=REQUIRED):
        open_position(priced, REQUIRED - 1)


def test_required_collateral_is_rounded_up(priced: Venue) -> None:
    with reverts("Undercollateralized", collateral=REQUIRED, required=REQUIRED + 1):
        open_position(priced, REQUIRED, DEBT + 1)


def test_close_all(priced: Venue) -> None:
    venue = priced
    open_position(venue)
    before = venue.vault.sequence()
    approval = venue.approve(venue.alice, venue.btc, DEBT, PURPOSE_BURN)
    receipt = venue.issuer.close(venue.btc, REQUIRED, DEBT, approval, sender=venue.alice)
    assert only(receipt, venue.vault.SynthBurned)["sequence"] == before + 1
    assert only(receipt, venue.vault.CollateralUnlocked)["sequence"] == before + 2
    assert position(venue) == (0, 0)
    assert venue.units(venue.alice) == 10_000_000_000
    assert venue.btc.totalSupply() == 0
    venue.assert_conserved()


def test_collateral_leaves_only_above_the_ratio(priced: Venue) -> None:
    venue = priced
    open_position(venue, REQUIRED + 5)
    with reverts("Undercollateralized", required=REQUIRED):
        venue.issuer.close(venue.btc, 6, 0, NO_APPROVAL, sender=venue.alice)
    venue.issuer.close(venue.btc, 5, 0, NO_APPROVAL, sender=venue.alice)
    for collateral, debt in ((REQUIRED + 1, 0), (0, DEBT + 1)):
        with reverts("ExceedsPosition"):
            venue.issuer.close(venue.btc, collateral, debt, NO_APPROVAL, sender=venue.alice)


def test_prices_age(priced: Venue) -> None:
    venue, posted = priced, priced.now
    open_position(venue, REQUIRED + 1)
    approval = venue.approve(venue.alice, venue.usdc, 1, PURPOSE_LOCK)
    burn = venue.approve(venue.alice, venue.btc, DEBT, PURPOSE_BURN, deadline=posted + 2 * HOUR)
    with venue.chain.isolate():
        venue.next_at(posted + HOUR)
        venue.issuer.close(venue.btc, 1, 0, NO_APPROVAL, sender=venue.alice)
    venue.next_at(posted + HOUR + 1)
    with reverts("StalePrice", at=posted):
        venue.issuer.open(venue.btc, 0, 1, approval, sender=venue.alice)
    with reverts("StalePrice", at=posted):
        venue.issuer.close(venue.btc, 1, 0, NO_APPROVAL, sender=venue.alice)
    # Whoever pays everything back needs no price to get out.
    venue.issuer.close(venue.btc, REQUIRED + 1, DEBT, burn, sender=venue.alice)
    assert position(venue) == (0, 0)


def test_no_debt_without_a_price(venue: Venue) -> None:
    venue.give_units(venue.alice, 10**10)
    with reverts("StalePrice", at=0):
        open_position(venue)


def test_a_matured_request_locks_without_the_operator(priced: Venue) -> None:
    venue = priced
    venue.vault.requestWithdrawal(venue.usdc, REQUIRED, venue.alice, sender=venue.alice)
    venue.next_at(venue.now + EXIT_DELAY)
    receipt = venue.issuer.open(venue.btc, REQUIRED, DEBT, NO_APPROVAL, sender=venue.alice)
    logged = only(receipt, venue.vault.CollateralLocked)
    assert (logged["approval"], logged["requestRemaining"]) == (0, 0)
    assert position(venue) == (REQUIRED, DEBT)
