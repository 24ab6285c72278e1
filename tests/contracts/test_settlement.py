"""Settlement: what a batch moves, what it refuses, and what no operator can get past it."""

from itertools import permutations
from typing import Any

import pytest
from eth_utils import to_checksum_address
from msgspec import structs
from venue import CAP, EXIT_DELAY, HOUR, LOT, MARKET, NO_APPROVAL, WINDOW, AmmFill, Fill, Venue, only, reverts

from offchain.domain import eip712
from offchain.domain.batch import BatchFill, SettlementBatch, SignedOrder
from offchain.domain.eip712 import PURPOSE_LOCK
from offchain.domain.keccak import keccak
from offchain.domain.order import Flags, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.packed import ACCOUNT, FILL, HEADER, ORDER, QUOTE, pack
from offchain.domain.packed import MARKET as MARKET_ROW
from offchain.domain.units import ZERO_ADDRESS, Ticks, fee_up


@pytest.fixture
def funded(venue: Venue) -> Venue:
    """Alice has 1,000 units; Bob has 10 lots."""
    venue.give_units(venue.alice, 1_000)
    venue.give_lots(venue.bob, 10)
    return venue


def pair(venue: Venue, **changes: Any) -> tuple[Order, Order]:
    """Bob's resting sell of 10 lots at 100, and Alice's buy (with `changes`) that takes all of it. In a batch hers is
    order 0: her address is below his."""
    return venue.sell(venue.bob, 100, 10), venue.buy(venue.alice, 100, 10, **changes)


def assert_settles(venue: Venue, maker: Order, taker: Order) -> None:
    assert venue.settle(Fill(maker, taker, 10)) == b""
    assert (venue.units(venue.alice), venue.lots(venue.alice)) == (0, 10)


def assert_refused(venue: Venue, maker: Order, taker: Order, reason: int) -> None:
    before = venue.units(venue.bob), venue.lots(venue.bob)
    assert venue.settle(Fill(maker, taker, 10)) == bytes((0, 0, reason))
    assert (venue.units(venue.bob), venue.lots(venue.bob)) == before


def by_agent(venue: Venue, maker: Order, taker: Order, lots: int, agent: Any = None) -> SettlementBatch:
    """The next batch, in which the taker is signed by `agent`, the relay unless said otherwise."""
    batch = venue.batch([Fill(maker, taker, lots)])
    signature = "0x" + venue.sign_order(taker, agent or venue.relay).hex()
    return structs.replace(batch, orders=(batch.orders[0], SignedOrder(taker, signature)))


def settled(venue: Venue, batch: SettlementBatch) -> bytes:
    """The refusals."""
    return bytes(only(venue.send(batch), venue.settlement.BatchSettled)["refusals"])


# What a batch moves


def test_a_batch_of_three_fills(venue: Venue) -> None:
    alice, bob, carol, fees = venue.alice, venue.bob, venue.carol, venue.fees
    venue.give_units(alice, 100_000)
    venue.give_units(carol, 50_000)
    venue.give_lots(bob, 30)
    low, high = venue.sell(bob, 1_001, 20), venue.order(bob, Side.SELL, 1_003, 10, make_nonce(2, 1))
    resting, taking = venue.buy(carol, 2_000, 15), venue.immediate(alice, Side.BUY, 1_010, 15)
    fills = (
        Fill(low, taking, 12, maker_ppm=-100, taker_ppm=500),
        Fill(low, resting, 8, maker_ppm=0, taker_ppm=333),
        Fill(high, resting, 7, maker_ppm=200, taker_ppm=-100),
    )
    before = venue.vault.sequence()
    receipt = venue.send(venue.batch(fills))
    logged = only(receipt, venue.settlement.BatchSettled)
    assert {name: logged[name] for name in ("sequence", "first", "last", "refusals")} == {
        "sequence": before + 1,
        "first": 1,
        "last": 3,
        "refusals": b"",
    }
    assert venue.settlement.lastFill() == 3

    first, second, third = 12 * 1_001, 8 * 1_001, 7 * 1_003
    earned = fee_up(first, -100) + fee_up(first, 500) + fee_up(second, 333) + fee_up(third, 200) + fee_up(third, -100)
    assert venue.units(fees) == earned > 0
    assert venue.units(alice) == 100_000 - first - fee_up(first, 500)
    assert venue.units(carol) == 50_000 - second - fee_up(second, 333) - third - fee_up(third, -100)
    assert venue.units(bob) == first + second + third - fee_up(first, -100) - fee_up(third, 200)
    assert [venue.lots(who) for who in (alice, bob, carol)] == [12, 3, 15]
    usdc, btc = venue.usdc.address.lower(), venue.btc.address.lower()
    moved = {(usdc, who.address.lower()): venue.units(who) for who in (alice, bob, carol, fees)}
    moved |= {(btc, who.address.lower()): venue.lots(who) * LOT for who in (alice, bob, carol)}
    moved[usdc, venue.lower("alice")] -= 100_000
    moved[usdc, venue.lower("carol")] -= 50_000
    moved[btc, venue.lower("bob")] -= 30 * LOT
    assert venue.changes_of(receipt) == moved

    assert tuple(venue.settlement.slotOf(bob, 1)) == (1, 20)
    assert tuple(venue.settlement.slotOf(bob, 2)) == (1, 7)
    assert tuple(venue.settlement.slotOf(carol, 1)) == (1, 15)
    assert venue.vault.accountOf(alice).immediateSequence == 1
    venue.assert_conserved()


def test_a_rest_fills_in_a_later_batch_and_a_newer_order_takes_the_slot(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    assert venue.settle(Fill(maker, taker, 4)) == b""
    with reverts("Overfilled", order=1):
        venue.settle(Fill(maker, taker, 7))
    assert venue.settle(Fill(maker, taker, 5)) == b""
    assert tuple(venue.settlement.slotOf(venue.bob, 1)) == (1, 9)
    newer = venue.sell(venue.bob, 100, 1, sequence=2)
    assert venue.settle(Fill(newer, taker, 1)) == b""
    assert tuple(venue.settlement.slotOf(venue.bob, 1)) == (2, 1)
    other = venue.order(venue.alice, Side.BUY, 100, 1, make_nonce(2, 1))
    assert venue.settle(Fill(maker, other, 1)) == bytes((0, 0, 4))


@pytest.mark.parametrize("side", Side)
def test_the_order_hash_is_the_domain_hash(venue: Venue, side: Side) -> None:
    extremes = {"subaccount": 255, "flags": 2**16 - 1, "trigger_ticks": 7, "max_fee_ppm": -5, "expiry": 2**40 - 1}
    immediate = {"kind": Kind.MARKET, "time_in_force": TimeInForce.FOK}
    order = venue.order(venue.alice, side, 2**64 - 1, 2**63, 2**64 - 1, **extremes, **immediate)
    fields = tuple(eip712.order_message(order).values())
    expected = eip712.order_digest(venue.separator(venue.settlement), order)
    assert bytes(venue.settlement.hashOrder(fields)) == expected


@pytest.mark.parametrize("ppm", [0, 1, 333, 10_000])
def test_fees_and_rebates_round_as_the_domain_does(venue: Venue, ppm: int) -> None:
    venue.give_lots(venue.bob, 2**29 + 3)
    venue.give_units(venue.alice, 10**18)
    paid = earned = 0
    for sequence, (price, lots) in enumerate(((1, 1), (999, 1), (1_000_000, 1), (2**30 - 1, 2**29)), 1):
        maker = venue.sell(venue.bob, price, lots, sequence)
        fill = Fill(maker, venue.buy(venue.alice, price, lots, sequence), lots, maker_ppm=-ppm, taker_ppm=ppm)
        assert venue.settle(fill) == b""
        paid += price * lots + fee_up(price * lots, ppm)
        earned += price * lots - fee_up(price * lots, -ppm)
    assert (venue.units(venue.alice), venue.units(venue.bob)) == (10**18 - paid, earned)
    assert venue.units(venue.fees) == paid - earned >= 0


# What it refuses


def test_a_refusal_names_the_fill_and_who_is_at_fault(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    poor = venue.buy(venue.carol, 100, 5)
    fills = Fill(maker, poor, 5), Fill(maker, taker, 10)
    assert venue.settle(*fills) == bytes((0, 0, 0x81))
    assert (venue.lots(venue.carol), venue.lots(venue.alice), venue.units(venue.bob)) == (0, 10, 1_000)
    assert venue.settlement.lastFill() == 2
    assert tuple(venue.settlement.slotOf(venue.carol, 1)) == (0, 0)


def test_a_maker_without_the_lots_is_refused(funded: Venue) -> None:
    bare = funded.sell(funded.carol, 100, 10)
    assert funded.settle(Fill(bare, funded.buy(funded.alice, 100, 10), 10)) == bytes((0, 0, 1))


def test_what_a_fill_brings_pays_for_the_next(venue: Venue) -> None:
    venue.give_units(venue.alice, 1_000)
    venue.give_lots(venue.bob, 10)
    onward = venue.order(venue.alice, Side.SELL, 110, 10, make_nonce(2, 1))
    venue.give_units(venue.carol, 1_100)
    maker, taker = pair(venue)
    assert venue.settle(Fill(maker, taker, 10), Fill(onward, venue.buy(venue.carol, 110, 10), 10)) == b""
    assert (venue.units(venue.alice), venue.lots(venue.carol)) == (1_100, 10)


def test_the_operator_takes_a_fill_back(funded: Venue) -> None:
    maker, taker = pair(funded)
    receipt = funded.send(SettlementBatch(0, 1, (), (BatchFill(0, 0, 0, 0, 0),)))
    assert only(receipt, funded.settlement.BatchSettled)["refusals"] == bytes((0, 0, 5))
    assert_settles(funded, maker, taker)


# Fills with the AMM's pair


def test_a_purchase_from_the_pool(venue: Venue) -> None:
    pair = venue.open_pool(10_000, 1_000_000)
    venue.give_units(venue.alice, 2_000)
    taker = venue.immediate(venue.alice, Side.BUY, 105, 10, flags=Flags.AMM)
    before = venue.vault.sequence()
    given = pair.getAmountOut(1_020, False)
    receipt = venue.send(venue.batch([AmmFill(taker, 1_020, taker_ppm=500)]))
    assert only(receipt, venue.settlement.AmmLegSettled) == {
        "sequence": before + 1,
        "market": MARKET,
        "fill": 1,
        "isBuy": True,
        "amountIn": 1_020,
        "amountOut": given,
    }
    assert only(receipt, venue.settlement.BatchSettled)["sequence"] == before + 2
    assert venue.units(venue.alice) == 2_000 - 1_020 - fee_up(1_020, 500)
    assert venue.vault.balanceOf(venue.alice, venue.btc) == given > 10 * LOT
    assert venue.vault.balanceOf(pair, venue.usdc) == venue.vault.balanceOf(pair, venue.btc) == 0
    venue.assert_conserved()


def test_a_sale_to_the_pool_pays_for_a_fill_of_the_book(funded: Venue) -> None:
    venue = funded
    pair = venue.open_pool(10_000, 1_000_000)
    given = pair.getAmountOut(10 * LOT, True)
    taker = venue.immediate(venue.bob, Side.SELL, 90, 10, flags=Flags.AMM)
    venue.give_lots(venue.carol, 9)
    back = Fill(venue.sell(venue.carol, 100, 9), venue.buy(venue.bob, 100, 9), 9)
    assert venue.settle(AmmFill(taker, 950), back) == b""
    assert (venue.units(venue.bob), venue.lots(venue.bob)) == (given - 900, 9)
    venue.assert_conserved()


def test_a_pool_that_gives_less_refuses_and_nobody_is_at_fault(venue: Venue) -> None:
    venue.open_pool(10_000, 1_000_000)
    venue.give_units(venue.alice, 2_000)
    taker = venue.immediate(venue.alice, Side.BUY, 105, 10, flags=Flags.AMM)
    assert venue.settle(AmmFill(taker, 1_000)) == bytes((0, 0, 6))
    assert venue.units(venue.alice) == 2_000
    with reverts("LimitCrossed", fill=0):
        venue.settle(AmmFill(venue.immediate(venue.alice, Side.BUY, 100, 10, 2, flags=Flags.AMM), 1_001))
    with reverts("Mismatched", fill=0):
        venue.settle(AmmFill(venue.immediate(venue.alice, Side.BUY, 105, 10, 2), 1_020))


# The guardian


def test_a_pause_of_settlement_ends_by_itself(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    receipt = venue.settlement.pause(sender=venue.admin)
    until = receipt.timestamp + 24 * HOUR
    assert venue.settlement.pausedUntil() == until
    venue.next_at(until - 1)
    with reverts("IsPaused", until=until):
        venue.settle(Fill(maker, taker, 10))
    venue.next_at(until)
    assert_settles(venue, maker, taker)
    with reverts("PauseTooSoon"):
        venue.settlement.pause(sender=venue.admin)
    with reverts("AccessControlUnauthorizedAccount", account=venue.settler.address):
        venue.settlement.pause(sender=venue.settler)


# No free option


def test_free_option_request(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    venue.vault.requestWithdrawal(venue.usdc, 1_000, venue.alice, sender=venue.alice)
    matures = venue.now + EXIT_DELAY
    with venue.chain.isolate():
        venue.next_at(matures - 1)
        assert_settles(venue, maker, taker)
    venue.next_at(matures)
    assert_refused(venue, maker, taker, 0x81)
    venue.vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob)
    assert venue.usdc.balanceOf(venue.alice) == 1_000


def test_free_option_cancel(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    receipt = venue.settlement.cancel(taker.nonce, sender=venue.alice)
    binds = receipt.timestamp + WINDOW
    assert only(receipt, venue.settlement.OrderCancelled) == {
        "sequence": venue.vault.sequence(),
        "account": venue.alice.address,
        "nonce": taker.nonce,
        "effectiveAt": binds,
    }
    with venue.chain.isolate():
        venue.next_at(binds - 1)
        assert_settles(venue, maker, taker)
    venue.next_at(binds)
    assert_refused(venue, maker, taker, 0x82)
    # A later order in the slot is another order.
    assert_settles(venue, maker, venue.buy(venue.alice, 100, 10, sequence=2))


def test_free_option_cancel_all(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    receipt = venue.settlement.cancelAll(2, sender=venue.alice)
    binds = receipt.timestamp + WINDOW
    assert only(receipt, venue.settlement.AllOrdersCancelled) == {
        "sequence": venue.vault.sequence(),
        "account": venue.alice.address,
        "floor": 2,
        "effectiveAt": binds,
    }
    with venue.chain.isolate():
        venue.next_at(binds - 1)
        assert_settles(venue, maker, taker)
    venue.next_at(binds)
    assert_refused(venue, maker, taker, 0x82)
    assert venue.vault.accountOf(venue.alice).cancelFloor == 2
    assert_settles(venue, maker, venue.buy(venue.alice, 100, 10, sequence=2))


def test_free_option_expiry(funded: Venue) -> None:
    venue, expiry = funded, funded.now + 10
    maker, taker = pair(venue, time_in_force=TimeInForce.GTD, expiry=expiry)
    with venue.chain.isolate():
        venue.next_at(expiry + WINDOW - 1)
        assert_settles(venue, maker, taker)
    venue.next_at(expiry + WINDOW)
    assert_refused(venue, maker, taker, 0x83)


def test_free_option_lock(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    own = venue.approve(venue.alice, venue.usdc, 1_000, PURPOSE_LOCK, signer=venue.alice)
    with reverts("InvalidSigner", recovered=venue.alice.address):
        venue.issuer.open(venue.btc, 1_000, 0, own, sender=venue.alice)
    with reverts("NoRequest"):
        venue.issuer.open(venue.btc, 1_000, 0, NO_APPROVAL, sender=venue.alice)
    assert_settles(venue, maker, taker)


def test_free_option_burn(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    with reverts("NoRequest"):
        venue.vault.burnSynth(venue.btc, venue.bob, 10 * LOT, NO_APPROVAL, sender=venue.admin)
    venue.vault.requestWithdrawal(venue.btc, 10 * LOT, venue.bob, sender=venue.bob)
    with reverts("RequestNotMatured"):
        venue.vault.burnSynth(venue.btc, venue.bob, 10 * LOT, NO_APPROVAL, sender=venue.admin)
    assert_settles(venue, maker, taker)


# What the operator cannot do


def test_a_batch_settles_once(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    batch = venue.batch([Fill(maker, taker, 1)])
    venue.send(batch)
    with reverts("NotConsecutive", first=1, expected=2):
        venue.send(batch)
    with reverts("NotConsecutive", first=3, expected=2):
        venue.send(venue.batch([Fill(maker, taker, 1)], first=3))


def test_an_immediate_order_settles_in_one_batch(funded: Venue) -> None:
    venue = funded
    maker, taker = venue.sell(venue.bob, 100, 10), venue.immediate(venue.alice, Side.BUY, 100, 10)
    assert venue.settle(Fill(maker, taker, 4), Fill(maker, taker, 4)) == b""
    with reverts("MalformedOrder"):
        venue.settle(Fill(maker, taker, 2))


def test_only_the_settler_settles(funded: Venue) -> None:
    batch = funded.batch([Fill(*pair(funded), 1)])
    role = keccak(b"SETTLER_ROLE")
    with reverts("AccessControlUnauthorizedAccount", account=funded.bob.address, neededRole=role):
        funded.settlement.settle(funded.packed(batch), sender=funded.bob)


def test_every_order_is_signed_by_its_account(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    with reverts("InvalidSigner", order=0, recovered=venue.bob.address):
        venue.send(venue.batch([Fill(maker, taker, 1)], signer=venue.bob))
    batch = venue.batch([Fill(maker, taker, 1)])
    of_maker, of_taker = (bytes.fromhex(signed.signature[2:]) for signed in batch.orders)
    packed = venue.packed(batch)
    for at, spoiled in (
        (of_taker[:32], bytes(32)),
        (of_taker[:32], b"\xff" * 32),
        (of_taker[33:64], bytes(31)),
        (of_taker[:32], of_maker[:32]),
    ):
        assert packed.count(at) == 1
        with reverts("InvalidSigner", order=0):
            venue.send(packed.replace(at, spoiled))
    swapped = [structs.replace(signed, signature=other.signature) for signed, other in permutations(batch.orders)]
    with reverts("InvalidSigner", order=0):
        venue.send(structs.replace(batch, orders=tuple(swapped)))


def test_a_signature_with_high_s_is_none(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    batch = venue.batch([Fill(maker, taker, 1)])
    signature = bytes.fromhex(batch.orders[1].signature[2:])
    vs = (int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255).to_bytes(32, "big")
    packed = venue.packed(batch)
    assert packed.count(vs) == 1
    for high in (eip712.LOW_S_MAX + 1, 2**255 - 1):
        with reverts("InvalidSigner", order=0, recovered=to_checksum_address(ZERO_ADDRESS)):
            venue.send(packed.replace(vs, high.to_bytes(32, "big")))
    venue.send(packed)


def test_a_changed_order_is_not_the_one_that_was_signed(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    batch = venue.batch([Fill(maker, taker, 1)])
    signed_maker, signed_taker = batch.orders
    changed = structs.replace(signed_taker, order=structs.replace(taker, price_ticks=Ticks(200)))
    with reverts("InvalidSigner", order=0):
        venue.send(structs.replace(batch, orders=(signed_maker, changed)))


def test_limits_sizes_and_fees_hold(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    with reverts("LimitCrossed", fill=0):
        venue.settle(Fill(maker, venue.buy(venue.alice, 99, 10), 1))
    with reverts("Overfilled", order=1):
        venue.settle(Fill(maker, taker, 11))
    with reverts("FeeAboveCap", fill=0):
        venue.settle(Fill(maker, taker, 1, taker_ppm=CAP + 1))
    with reverts("FeeAboveCap", fill=0):
        venue.settle(Fill(maker, venue.buy(venue.alice, 100, 10, max_fee_ppm=99), 1, taker_ppm=100))
    with reverts("FeeAboveCap", fill=0):
        venue.settle(Fill(maker, taker, 1, maker_ppm=-101, taker_ppm=100))


def test_orders_that_do_not_trade_with_each_other(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    same_side = venue.sell(venue.alice, 100, 10)
    own = venue.order(venue.bob, Side.BUY, 100, 10, make_nonce(2, 1))
    immediate = venue.immediate(venue.bob, Side.SELL, 100, 10)
    passive = venue.buy(venue.alice, 100, 10, flags=Flags.POST_ONLY)
    for left, right in ((maker, same_side), (maker, own), (immediate, taker), (maker, passive)):
        with reverts("Mismatched", fill=0):
            venue.settle(Fill(left, right, 1))


def test_orders_make_sense(funded: Venue) -> None:
    venue, maker = funded, funded.sell(funded.bob, 100, 10)
    for taker in (
        venue.buy(venue.alice, 0, 10),
        venue.buy(venue.alice, 100, 0),
        venue.buy(venue.alice, 100, 10, kind=Kind.MARKET),
        venue.buy(venue.alice, 100, 10, time_in_force=TimeInForce.IOC),
        venue.order(venue.alice, Side.BUY, 100, 10, make_nonce(0, 1)),
    ):
        with reverts("MalformedOrder", order=0):
            venue.settle(Fill(maker, taker, 1))
    with reverts("UnknownMarket", market=9):
        venue.settle(Fill(maker, venue.buy(venue.alice, 100, 10, market=9), 1))


def test_batches_make_sense(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    batch = venue.batch([Fill(maker, taker, 1)])
    packed = venue.packed(batch)
    tables, end = HEADER.size + MARKET_ROW.size + 3 * ACCOUNT.size, len(packed) - FILL.size
    one, two = packed[tables : tables + ORDER.size], packed[tables + ORDER.size : end]
    head, taken_back = HEADER.unpack_from(packed), bytes(FILL.size)
    foreign = FILL.pack(0, 2, 1, bytes(3), bytes(3))
    with_quote = HEADER.pack(*head[:6], 1, head[7]) + packed[HEADER.size :] + QUOTE.pack((1).to_bytes(16, "big"))
    for malformed in (
        HEADER.pack(1, 0, 0, 0, 0, 0, 0, 0),
        HEADER.pack(1, 0, 0, 0, 0, 101, 0, 0) + taken_back * 101,
        packed[:-1],
        packed + b"\x00",
        packed[:tables] + two + one + packed[end:],
        packed[:end] + foreign,
        with_quote,
        pack(batch, venue.lower("treasury")),
    ):
        with reverts("MalformedBatch"):
            venue.send(malformed)
    venue.send(packed)


# Fill-or-kill


def test_a_fill_or_kill_order_settles_whole_or_not_at_all(funded: Venue) -> None:
    venue, taker = funded, funded.immediate(funded.alice, Side.BUY, 100, 10, time_in_force=TimeInForce.FOK)
    rich, bare = venue.sell(venue.bob, 100, 10), venue.sell(venue.carol, 100, 4)
    with reverts("Mismatched", fill=0):
        venue.settle(Fill(rich, taker, 9))
    assert venue.settle(Fill(rich, taker, 6), Fill(bare, taker, 4)) == bytes((0, 0, 7, 0, 1, 1))
    assert (venue.units(venue.alice), venue.lots(venue.bob)) == (1_000, 10)
    again = venue.immediate(venue.alice, Side.BUY, 100, 10, 2, time_in_force=TimeInForce.FOK)
    assert_settles(venue, rich, again)


# Agents


def test_an_agent_trades_within_its_terms(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    terms = venue.terms(venue.relay, notional=700)
    receipt = venue.settlement.registerAgent(tuple(terms), sender=venue.alice)
    assert only(receipt, venue.settlement.AgentRegistered) == {
        "sequence": venue.vault.sequence(),
        "account": venue.alice.address,
        "agent": venue.relay.address,
        "expiry": terms.expiry,
        "notional": 700,
        "markets": [],
    }
    batch = by_agent(venue, maker, taker, 6)
    assert settled(venue, batch) == b""
    assert (venue.units(venue.alice), venue.lots(venue.alice)) == (400, 6)
    assert tuple(venue.settlement.agentOf(venue.alice, venue.relay, MARKET)) == (True, 100, 1)
    assert settled(venue, by_agent(venue, maker, taker, 2)) == bytes((0, 0, 0x88))
    assert settled(venue, by_agent(venue, maker, taker, 1)) == b""
    with reverts("InvalidSigner", order=0, recovered=venue.carol.address):
        venue.send(by_agent(venue, maker, taker, 1, agent=venue.carol))


def test_an_agent_trades_only_in_its_markets(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    terms = venue.terms(venue.relay, markets=(MARKET + 1,))
    venue.settlement.registerAgent(tuple(terms), sender=venue.alice)
    assert settled(venue, by_agent(venue, maker, taker, 1)) == bytes((0, 0, 0x88))


def test_free_option_agent(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    venue.settlement.registerAgent(tuple(venue.terms(venue.relay)), sender=venue.alice)
    with reverts("NotYours"):
        venue.settlement.revokeAgent(venue.alice, venue.relay, sender=venue.bob)
    receipt = venue.settlement.revokeAgent(venue.alice, venue.relay, sender=venue.relay)
    binds = receipt.timestamp + WINDOW
    assert only(receipt, venue.settlement.AgentRevoked)["effectiveAt"] == binds
    with venue.chain.isolate():
        venue.next_at(binds - 1)
        assert settled(venue, by_agent(venue, maker, taker, 10)) == b""
    venue.next_at(binds)
    assert settled(venue, by_agent(venue, maker, taker, 10)) == bytes((0, 0, 0x88))


def test_anyone_brings_a_signed_registration_once(funded: Venue) -> None:
    venue, settlement = funded, funded.settlement
    terms, deadline = venue.terms(venue.carol), venue.now + HOUR
    signature = venue.sign_agent(venue.alice, terms, 0, deadline)
    compact = signature[:32] + bytes((signature[32] | (signature[64] - 27) << 7,)) + signature[33:64]
    with reverts("InvalidSigner", order=0):
        settlement.registerAgentFor(venue.bob, tuple(terms), deadline, signature, sender=venue.relay)
    settlement.registerAgentFor(venue.alice, tuple(terms), deadline, compact, sender=venue.relay)
    assert tuple(settlement.agentOf(venue.alice, venue.carol, MARKET)) == (True, 10**12, 1)
    with reverts("InvalidSigner", order=0):
        settlement.registerAgentFor(venue.alice, tuple(terms), deadline, signature, sender=venue.relay)
    second = venue.sign_agent(venue.alice, terms, 1, deadline)
    with reverts("AgentStillBinds"):
        settlement.registerAgentFor(venue.alice, tuple(terms), deadline, second, sender=venue.relay)
    venue.next_at(deadline + 1)
    with reverts("DeadlinePassed", deadline=deadline):
        settlement.registerAgentFor(venue.alice, tuple(terms), deadline, signature, sender=venue.relay)


def test_only_an_agent_signs_in_bulk(funded: Venue) -> None:
    venue, maker = funded, funded.sell(funded.bob, 100, 10)
    takers = [venue.immediate(venue.alice, Side.BUY, 100, 5, sequence) for sequence in (1, 2, 3)]
    first = venue.batch([Fill(maker, takers[0], 5), Fill(maker, takers[2], 5)])
    signed = venue.bulk_signed(takers, venue.relay)
    batch = structs.replace(first, orders=(first.orders[0], signed[0], signed[2]))
    with reverts("InvalidSigner", recovered=venue.relay.address):
        venue.send(batch)
    own = venue.bulk_signed(takers, venue.alice)
    with reverts("InvalidSigner", recovered=venue.alice.address):
        venue.send(structs.replace(first, orders=(first.orders[0], own[0], own[2])))
    venue.settlement.registerAgent(tuple(venue.terms(venue.relay)), sender=venue.alice)
    assert settled(venue, batch) == b""
    assert (venue.units(venue.alice), venue.lots(venue.alice)) == (0, 10)


def test_cancel_many(funded: Venue) -> None:
    venue, (maker, taker) = funded, pair(funded)
    other = venue.order(venue.alice, Side.BUY, 100, 10, make_nonce(2, 1))
    receipt = venue.settlement.cancelMany([taker.nonce, other.nonce], sender=venue.alice)
    logs = list(receipt.decode_logs(venue.settlement.OrderCancelled.abi))
    assert [log.event_arguments["nonce"] for log in logs] == [taker.nonce, other.nonce]
    venue.next_at(receipt.timestamp + WINDOW)
    assert venue.settle(Fill(maker, taker, 5), Fill(maker, other, 5)) == bytes((0, 0, 0x82, 0, 1, 0x82))


# Markets


def test_list_a_market(venue: Venue) -> None:
    settlement, admin = venue.settlement, venue.admin
    receipt = settlement.listMarket(7, venue.btc, 5, 3, "hBTC-TWO", sender=admin)
    assert only(receipt, settlement.MarketListed) == {
        "sequence": venue.vault.sequence(),
        "market": 7,
        "baseToken": venue.btc.address,
        "baseAtomsPerLot": 5,
        "quoteAtomsPerTickLot": 3,
        "baseDecimals": 18,
        "quoteDecimals": 6,
        "symbol": "hBTC-TWO",
    }
    assert tuple(settlement.marketOf(7)) == (venue.btc.address, 5, 3)
    with reverts("MarketExists", market=MARKET):
        settlement.listMarket(MARKET, venue.btc, 5, 3, "", sender=admin)
    for token, lot, tick in ((venue.usdc, 1, 1), (venue.btc, 0, 1), (venue.btc, 1, 0)):
        with reverts("MalformedMarket", market=8):
            settlement.listMarket(8, token, lot, tick, "", sender=admin)
    with reverts("AccessControlUnauthorizedAccount", account=venue.bob.address):
        settlement.listMarket(8, venue.btc, 1, 1, "", sender=venue.bob)
