"""The pools as a wallet uses them: opened by anyone, filled, traded by permit, left; amounts are those of Python."""

from typing import Any

import pytest
from venue import EXIT_DELAY, LOT, PERMIT_TYPE, Venue, only, reverts

from offchain.domain import amm

BASE, QUOTE = 10 * 10**18, 650_000 * 10**6
NO_PERMIT = (0, 0, 0, bytes(32), bytes(32))
FOREVER = 2**40


class Pool:
    """The router, and the pool of hBTC with alice's liquidity in it."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.router = venue.create("AmmRouter", venue.factory)
        created = venue.factory.createPair(venue.btc, sender=venue.carol)
        address = only(created, venue.factory.PairCreated)["pair"]
        self.pair = venue.types["AmmPair"].at(address, fetch_from_explorer=False, detect_proxy=False)
        alice = venue.alice
        give_wallet(venue, alice, BASE)
        venue.usdc.mint(alice, QUOTE, sender=alice)
        venue.btc.approve(self.router, BASE, sender=alice)
        venue.usdc.approve(self.router, QUOTE, sender=alice)
        self.router.addLiquidity(venue.btc, BASE, QUOTE, BASE, QUOTE, alice, FOREVER, sender=alice)


def give_wallet(venue: Venue, account: Any, atoms: int) -> None:
    """hBTC out of the Vault, by the account's own matured request."""
    venue.give_lots(account, atoms // LOT)
    venue.vault.requestWithdrawal(venue.btc, atoms, account, sender=account)
    venue.mine_at(venue.now + EXIT_DELAY + 1)
    venue.vault.completeWithdrawal(account, venue.btc, sender=account)


@pytest.fixture
def pool(venue: Venue) -> Pool:
    return Pool(venue)


def test_liquidity_goes_in_and_comes_out(pool: Pool) -> None:
    venue, alice = pool.venue, pool.venue.alice
    assert tuple(pool.pair.reserves())[:2] == (BASE, QUOTE)
    assert (pool.pair.name(), pool.pair.symbol()) == ("HOOATS LP hBTC", "hBTC-LP")
    shares, supply = pool.pair.balanceOf(alice), pool.pair.totalSupply()
    pool.pair.approve(pool.router, shares, sender=alice)
    pool.router.removeLiquidity(venue.btc, shares, 0, 0, alice, FOREVER, NO_PERMIT, sender=alice)
    assert venue.btc.balanceOf(alice) == BASE * shares // supply
    assert venue.usdc.balanceOf(alice) == QUOTE * shares // supply


def test_a_permit_pays_for_a_swap(pool: Pool) -> None:
    venue, bob, amount = pool.venue, pool.venue.bob, 1_000 * 10**6
    venue.usdc.mint(bob, amount, sender=bob)
    message = {
        "owner": bob.address,
        "spender": pool.router.address,
        "value": amount,
        "nonce": 0,
        "deadline": FOREVER,
    }
    signature = venue.sign(bob, venue.usdc, PERMIT_TYPE, message, "HOOATS Test USDC")
    permit = (amount, FOREVER, signature[64], signature[:32], signature[32:64])
    expected = amm.amount_out(amount, QUOTE, BASE)
    pool.router.swapExactIn(venue.usdc, venue.btc, amount, expected, bob, FOREVER, permit, sender=bob)
    assert venue.btc.balanceOf(bob) == expected


def test_an_exact_output_costs_what_python_says(pool: Pool) -> None:
    venue, bob = pool.venue, pool.venue.bob
    needed = amm.amount_in(10**18, QUOTE, BASE)
    assert needed is not None
    venue.usdc.mint(bob, needed, sender=bob)
    venue.usdc.approve(pool.router, needed, sender=bob)
    with reverts("TooMuchIn", amount=needed, maximum=needed - 1):
        pool.router.swapExactOut(venue.usdc, venue.btc, 10**18, needed - 1, bob, FOREVER, NO_PERMIT, sender=bob)
    pool.router.swapExactOut(venue.usdc, venue.btc, 10**18, needed, bob, FOREVER, NO_PERMIT, sender=bob)
    assert (venue.usdc.balanceOf(bob), venue.btc.balanceOf(bob)) == (0, 10**18)


def test_what_has_no_pool_and_a_second_pool_are_refused(pool: Pool) -> None:
    venue, bob = pool.venue, pool.venue.bob
    with reverts("UnknownPool", token=venue.cxpt.address):
        pool.router.quoteExactIn(venue.usdc, venue.cxpt, 1)
    with reverts("NotPoolable", base=venue.usdc.address):
        venue.factory.createPair(venue.usdc, sender=bob)
    with reverts("PairExists", pair=pool.pair.address):
        venue.factory.createPair(venue.btc, sender=bob)
