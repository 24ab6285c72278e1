"""The shortest way through the venue: money in, one trade, money out. Also run on a fork."""

from venue import EXIT_DELAY, Fill, Venue, only


def test_smoke(venue: Venue) -> None:
    alice, bob = venue.alice, venue.bob
    venue.usdc.mint(alice, 1_000, sender=alice)
    venue.usdc.approve(venue.vault, 1_000, sender=alice)
    receipt = venue.vault.deposit(1_000, sender=alice)
    assert only(receipt, venue.vault.Deposited)["balance"] == 1_000
    venue.give_lots(bob, 10)

    assert venue.settle(Fill(venue.sell(bob, 90, 10), venue.buy(alice, 100, 10), 10)) == b""
    assert (venue.units(alice), venue.lots(alice)) == (100, 10)
    assert (venue.units(bob), venue.lots(bob)) == (900, 0)

    venue.vault.requestWithdrawal(venue.usdc, 900, bob, sender=bob)
    venue.next_at(venue.now + EXIT_DELAY)
    venue.vault.completeWithdrawal(bob, venue.usdc, sender=venue.relay)
    assert venue.usdc.balanceOf(bob) == 900
    venue.assert_conserved()
