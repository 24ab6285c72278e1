"""The ledger against the Vault, at one event sequence."""

from collections import defaultdict

from local_chain import ADMIN, DEPOSIT, TRADERS, LocalChain, Matcher, Venue, address_of

from offchain.chain.contracts import Totals, Vault, settle_calldata
from offchain.chain.reconcile import Holding, conservation, reconcile
from offchain.chain.rpc import Rpc

SEQUENCE = 38


def ledger(venue: Venue) -> dict[Holding, int]:
    settled: defaultdict[Holding, int] = defaultdict(int)
    for number in range(TRADERS):
        settled[address_of(f"trader {number}"), venue.usdc] += DEPOSIT
        settled[address_of(f"trader {number}"), venue.synth] += 10**21
    return dict(settled)


async def test_they_agree(chain: LocalChain, venue: Venue) -> None:
    async with Rpc([chain.url]) as rpc:
        found = await reconcile(rpc, venue.vault, ledger(venue), SEQUENCE)
    assert found.agrees, found
    assert found.block_number == chain.head()


async def test_another_sequence_is_not_compared(chain: LocalChain, venue: Venue) -> None:
    chain.do(ADMIN, venue.vault, Vault.deposit_for.encode(address_of("trader 0"), 1))
    async with Rpc([chain.url]) as rpc:
        found = await reconcile(rpc, venue.vault, ledger(venue), SEQUENCE)
    assert not found.is_comparable
    assert not found.agrees
    assert found.differences == ()
    assert found.vault_sequence == SEQUENCE + 1


async def test_every_difference_is_named(chain: LocalChain, venue: Venue) -> None:
    settled = ledger(venue)
    settled[address_of("trader 3"), venue.usdc] -= 1
    settled[address_of("trader 4"), venue.synth] += 5
    async with Rpc([chain.url]) as rpc:
        found = await reconcile(rpc, venue.vault, settled, SEQUENCE)
        partly = await reconcile(rpc, venue.vault, settled, SEQUENCE, is_complete=False)
    assert {(item.account, item.token, item.ledger - item.vault) for item in found.differences} == {
        (address_of("trader 3"), venue.usdc, -1),
        (address_of("trader 4"), venue.synth, 5),
        ("", venue.usdc, -1),
        ("", venue.synth, 5),
    }
    assert len(partly.differences) == 2


async def test_after_a_batch(chain: LocalChain, venue: Venue) -> None:
    chain.do(address_of("settler"), venue.settlement, settle_calldata(Matcher(venue).batch(2), venue.fee_account))
    settled = ledger(venue)
    notional, lot = 100, 10**13
    for trader, sign in (("trader 0", 2), ("trader 1", -1), ("trader 2", -1)):
        settled[address_of(trader), venue.usdc] += sign * notional
        settled[address_of(trader), venue.synth] -= sign * lot
    async with Rpc([chain.url]) as rpc:
        found = await reconcile(rpc, venue.vault, settled, SEQUENCE + 1)
    assert found.agrees, found


def test_conservation() -> None:
    assert conservation(Totals(100, 30, 5, 1, 4, 70)) == (74, 74)
