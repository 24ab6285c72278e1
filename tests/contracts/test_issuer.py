"""Debt positions: no synth without collateral, no price without an age, a way out without an operator."""

import pytest
from venue import EXIT_DELAY, HOUR, LOT, NO_APPROVAL, Venue, only, reverts

from offchain.domain.eip712 import PURPOSE_BURN, PURPOSE_LOCK
from offchain.domain.keccak import keccak

PRICE = 50_000_000_000
"""Units for one whole hBTC."""
DEBT = 10**17
REQUIRED = 7_500_000_000
"""150 % of DEBT's value."""
GRACE = 20 * 60


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


# --- Liquidation ---

WEAK = 66_000_000_000
"""At this price REQUIRED is 113.6 % of DEBT's value."""
MOST = -(-(DEBT * WEAK * 150 - REQUIRED * 10**20) // (WEAK * 40))
"""What of DEBT brings it back to 150 %, rounded up."""


@pytest.fixture
def weak(priced: Venue) -> Venue:
    """Alice is below the maintenance ratio; bob has synth of his own."""
    venue = priced
    open_position(venue)
    venue.give_units(venue.bob, 10**12)
    approval = venue.approve(venue.bob, venue.usdc, 10**12, PURPOSE_LOCK)
    venue.issuer.open(venue.btc, 10**12, 2 * DEBT, approval, sender=venue.bob)
    venue.next_at(venue.now + 60)
    venue.post(WEAK)
    return venue


def test_liquidate(weak: Venue) -> None:
    venue = weak
    assert venue.issuer.isLiquidatable(venue.alice, venue.btc)
    assert venue.issuer.liquidatableDebt(venue.alice, venue.btc) == MOST
    assert not venue.issuer.isLiquidatable(venue.bob, venue.btc)
    # Countersigned for all of it: what may not be repaid comes back.
    approval = venue.approve(venue.bob, venue.btc, DEBT, PURPOSE_BURN)
    receipt = venue.issuer.liquidate(venue.alice, venue.btc, DEBT, 0, approval, sender=venue.bob)
    paid = MOST * WEAK * 110 // (100 * 10**18)
    assert only(receipt, venue.issuer.Liquidated) == {
        "liquidator": venue.bob.address,
        "account": venue.alice.address,
        "synth": venue.btc.address,
        "debt": MOST,
        "collateral": paid,
    }
    # The collateral was locked by one account and is unlocked to another.
    unlocked = only(receipt, venue.vault.CollateralUnlocked)
    assert (unlocked["account"], unlocked["amount"]) == (venue.bob.address, paid)
    assert position(venue) == (REQUIRED - paid, DEBT - MOST)
    assert venue.btc.totalSupply() == venue.issuer.debtOf(venue.btc) == 3 * DEBT - MOST
    venue.assert_conserved()
    with reverts("NotLiquidatable", collateral=REQUIRED - paid):
        venue.issuer.liquidate(venue.alice, venue.btc, 1, 0, NO_APPROVAL, sender=venue.bob)


def test_liquidate_waits_after_an_outage(weak: Venue) -> None:
    venue = weak
    approval = venue.approve(venue.bob, venue.btc, MOST, PURPOSE_BURN, deadline=venue.now + 4 * HOUR)
    call = (venue.alice, venue.btc, MOST, 0, approval)
    accepted = venue.oracle.priceOf(venue.btc)[1]
    venue.next_at(accepted + HOUR + 1)
    with reverts("StalePrice", at=accepted):
        venue.issuer.liquidate(*call, sender=venue.bob)
    resumed = venue.post(WEAK).timestamp
    with reverts("PriceResumed", until=resumed + GRACE):
        venue.issuer.liquidate(*call, sender=venue.bob)
    venue.next_at(resumed + GRACE)
    venue.issuer.liquidate(*call, sender=venue.bob)


def test_absorb(weak: Venue) -> None:
    venue = weak
    with reverts("NotUnderWater", collateral=REQUIRED):
        venue.issuer.absorb(venue.alice, venue.btc, sender=venue.carol)
    venue.next_at(venue.now + 60)
    venue.post(2 * PRICE)
    receipt = venue.issuer.absorb(venue.alice, venue.btc, sender=venue.carol)
    assert only(receipt, venue.issuer.Absorbed)["account"] == venue.alice.address
    assert position(venue) == (0, 0)
    assert tuple(venue.issuer.positionOf(venue.insurance, venue.btc)) == (REQUIRED, DEBT)


# --- Shutdown ---


def test_everybody_leaves_a_synth_that_was_shut_down(weak: Venue) -> None:
    """Without the operator: what is burned draws on matured requests."""
    venue = weak
    accepted = venue.oracle.priceOf(venue.btc)[1]
    with reverts("ShutDownTooSoon"):
        venue.issuer.shutDown(venue.btc, sender=venue.carol)
    venue.next_at(accepted + 6 * HOUR + 1)
    receipt = venue.issuer.shutDown(venue.btc, sender=venue.carol)
    assert only(receipt, venue.issuer.ShutDown) == {"synth": venue.btc.address, "price": WEAK}
    with reverts("IsShutDown"):
        venue.issuer.close(venue.btc, 0, 1, NO_APPROVAL, sender=venue.alice)
    with reverts("PriceNotFinal"):
        venue.issuer.settlePositions(venue.btc, [venue.alice], sender=venue.carol)
    venue.next_at(receipt.timestamp + HOUR + 1)
    venue.issuer.settlePositions(venue.btc, [venue.alice], sender=venue.carol)
    with reverts("PositionsUnsettled", count=1):
        venue.issuer.redeem(venue.btc, 1, NO_APPROVAL, sender=venue.alice)
    venue.issuer.settlePositions(venue.btc, [venue.alice, venue.bob], sender=venue.carol)
    pool = 3 * DEBT * WEAK // 10**18
    assert abs(venue.issuer.shutdownOf(venue.btc)[3] - pool) <= 2
    for holder, amount in ((venue.alice, DEBT), (venue.bob, 2 * DEBT)):
        venue.vault.requestWithdrawal(venue.btc, amount, holder, sender=holder)
        venue.next_at(venue.now + EXIT_DELAY)
        venue.issuer.redeem(venue.btc, amount, NO_APPROVAL, sender=holder)
    assert (venue.btc.totalSupply(), venue.vault.totalsOf(venue.usdc).locked) == (0, 0)
    assert venue.units(venue.alice) + venue.units(venue.bob) == 10**10 + 10**12
    venue.assert_conserved()


# --- Terms and pause ---


def test_terms_are_the_listers_once(venue: Venue) -> None:
    receipt = venue.issuer.configure(venue.btc, (5, 200, 150, 10), sender=venue.admin)
    assert only(receipt, venue.issuer.TermsConfigured)["ceiling"] == 5
    assert tuple(venue.issuer.termsOf(venue.btc)) == (5, 200, 150, 10)
    with reverts("MalformedTerms"):
        venue.issuer.configure(venue.btc, (5, 150, 150, 10), sender=venue.admin)
    for synth, role in ((venue.btc, bytes(32)), (venue.usdc, keccak(b"LISTER_ROLE"))):
        with reverts("AccessControlUnauthorizedAccount", account=venue.bob.address, neededRole=role):
            venue.issuer.configure(synth, (5, 200, 150, 10), sender=venue.bob)


def test_ceiling_and_least_collateral(priced: Venue) -> None:
    priced.issuer.configure(priced.btc, (DEBT, 150, 120, 10), sender=priced.admin)
    with reverts("CeilingExceeded", debt=DEBT + 1, ceiling=DEBT):
        open_position(priced, REQUIRED + 1, DEBT + 1)
    with reverts("CollateralTooSmall", collateral=10**7 - 1):
        open_position(priced, 10**7 - 1, 1)
    open_position(priced)


def test_a_pause_is_for_new_debt(priced: Venue) -> None:
    venue = priced
    open_position(venue, REQUIRED + 10)
    until = venue.issuer.pause(sender=venue.admin).timestamp + 24 * HOUR
    assert venue.issuer.pausedUntil() == until
    with reverts("IsPaused", until=until):
        open_position(venue, 1, 1)
    venue.issuer.close(venue.btc, 5, 0, NO_APPROVAL, sender=venue.alice)
    open_position(venue, 1, 0)
    venue.issuer.unpause(sender=venue.admin)
    with reverts("PauseTooSoon"):
        venue.issuer.pause(sender=venue.admin)
