"""Orders signed by agents: within their terms as if the account had signed, and in no other case at all."""

import random

import pytest
from scene import ALICE, BOB, BUY, CAROL, DAVE, GTC, IOC, ITEMIZED_VENUE, QUOTE_ATOMS, SELL, Bench, open_market

from offchain.domain.chainlog import AgentRegistered, AgentRevoked
from offchain.domain.command import PlaceOrder, decode, encode
from offchain.domain.eip712 import bulk_proof, join_signature, order_digest, split_signature
from offchain.domain.errors import InvalidInput
from offchain.domain.event import CloseReason, OrderAccepted, OrderClosed, RejectReason
from offchain.domain.limits import AGENT_UNLIMITED
from offchain.domain.order import Side, to_row
from offchain.domain.reasons import RefusalCause
from offchain.domain.units import Address, from_hex
from offchain.engine.agents import Agent
from offchain.engine.engine import Engine

BOT = DAVE


@pytest.fixture
def bench() -> Bench:
    return open_market(venue=ITEMIZED_VENUE)


def register(
    bench: Bench, notional: int = AGENT_UNLIMITED, markets: tuple[int, ...] = (), seconds: int = 3_600
) -> None:
    expiry = bench.at // 1000 + seconds
    bench.see(AgentRegistered, account=ALICE, agent=BOT, expiry=expiry, notional=notional, markets=markets)


def agent_of(bench: Bench) -> Agent:
    return bench.engine.accounts[ALICE].agents[from_hex(BOT)]


def check_snapshot(bench: Bench) -> None:
    """What was restored is the same, and goes on the same."""
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.state_hash() == bench.engine.state_hash()
    assert restored.next_deadline() == bench.engine.next_deadline()
    other = restored.accounts[ALICE].agents.get(from_hex(BOT))
    assert other is None or (other.left, other.ends_at) == (agent_of(bench).left, agent_of(bench).ends_at)
    assert restored.batches.load.gas == bench.engine.batches.load.gas


def test_an_order_of_an_agent_is_the_accounts(bench: Bench) -> None:
    register(bench)
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    assert bench.accepted.account == ALICE
    check_snapshot(bench)
    bench.place(BOB, SELL, 1_000, 5, tif=IOC)
    check_snapshot(bench)
    bench.wait(2_000)
    batch = bench.engine.settlement_batch(1)
    assert {order.order.account for order in batch.orders} == {ALICE, BOB}
    bench.settle()


def test_nobody_but_a_registered_key_signs_for_an_account(bench: Bench) -> None:
    register(bench)
    for account, signer in ((ALICE, CAROL), (BOB, BOT), (ALICE, BOB)):
        bench.place(account, BUY, 1_000, 5, signer=signer)
        assert bench.rejection == RejectReason.WRONG_SIGNER
    assert bench.engine.find_order(bench.all(object)[0].digest) is None, "no stranger decides a first result"


def test_venues_whose_rules_do_not_count_agents_take_none_of_their_orders() -> None:
    bench = open_market()
    register(bench)
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    assert bench.rejection == RejectReason.WRONG_SIGNER


def test_an_agent_is_bound_by_its_markets(bench: Bench) -> None:
    register(bench, markets=(2, 7))
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    assert bench.rejection == RejectReason.AGENT_NOT_ENTITLED
    assert not bench.engine.accounts[ALICE].rejected, "whom it concerns may still sign the very same order"


def test_what_an_agent_signed_ends_with_its_registration(bench: Bench) -> None:
    register(bench, seconds=10)
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    later = bench.place(ALICE, BUY, 990, 5, signer=BOT, tif=GTC, expiry=bench.at // 1000 + 60)
    sooner = bench.place(ALICE, BUY, 980, 5, signer=BOT, expiry=bench.at // 1000 + 5)
    own = bench.place(ALICE, BUY, 970, 5)
    assert all(isinstance(events[0], OrderAccepted) for events in (later, sooner, own))
    bench.wait(5_000)
    assert bench.levels(BUY) == [(1_000, 5), (990, 5), (970, 5)]
    check_snapshot(bench)
    bench.wait(5_500)
    assert bench.levels(BUY) == [(970, 5)]
    assert {event.reason for event in bench.all(OrderClosed)} == {CloseReason.EXPIRED}
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    assert bench.rejection == RejectReason.AGENT_NOT_ENTITLED


def test_a_revocation_cancels_what_the_agent_signed(bench: Bench) -> None:
    register(bench)
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    bench.place(ALICE, BUY, 990, 5)
    bench.see(AgentRevoked, account=ALICE, agent=BOT, effective_at=bench.at // 1000 + 300)
    assert bench.only(OrderClosed).reason == CloseReason.CANCELED_ON_CHAIN
    assert bench.levels(BUY) == [(990, 5)]
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    assert bench.rejection == RejectReason.AGENT_NOT_ENTITLED
    check_snapshot(bench)
    register(bench)
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    assert bench.accepted


def test_a_budget_counts_what_was_traded_and_what_may_still_be(bench: Bench) -> None:
    register(bench, notional=10_000 * QUOTE_ATOMS)
    bench.place(ALICE, BUY, 1_000, 11, signer=BOT)
    assert bench.rejection == RejectReason.AGENT_LIMIT
    bench.place(ALICE, BUY, 1_000, 6, signer=BOT, slot=9)
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    assert bench.rejection == RejectReason.AGENT_LIMIT
    bench.place(ALICE, BUY, 1_000, 10, signer=BOT, slot=9)
    assert bench.accepted, "the order that it replaces makes room"
    check_snapshot(bench)
    bench.place(BOB, SELL, 990, 4, tif=IOC)
    bench.cancel(ALICE, next(iter(bench.engine.accounts[ALICE].open)))
    assert agent_of(bench).left == 6_000 * QUOTE_ATOMS
    check_snapshot(bench)
    bench.wait(2_000)
    bench.settle((0, RefusalCause.AGENT))
    assert agent_of(bench).left == 10_000 * QUOTE_ATOMS, "the chain counts no refused fill"
    check_snapshot(bench)


def test_a_seller_is_counted_at_the_best_price_that_he_may_get(bench: Bench) -> None:
    register(bench, notional=10_000 * QUOTE_ATOMS)
    bench.place(BOB, BUY, 2_000, 3)
    bench.place(ALICE, SELL, 1_000, 6, signer=BOT)
    assert bench.rejection == RejectReason.AGENT_LIMIT
    bench.place(ALICE, SELL, 1_000, 5, signer=BOT)
    assert agent_of(bench).left == (10_000 - 3 * 2_000 - 2 * 1_000) * QUOTE_ATOMS
    check_snapshot(bench)


def test_an_earlier_registrations_fills_are_not_given_back_to_a_later_one(bench: Bench) -> None:
    register(bench, notional=10_000 * QUOTE_ATOMS)
    bench.place(BOB, BUY, 1_000, 3)
    bench.place(ALICE, SELL, 1_000, 3, tif=IOC, signer=BOT)
    bench.see(AgentRevoked, account=ALICE, agent=BOT, effective_at=bench.at // 1000 + 300)
    register(bench, notional=7_000 * QUOTE_ATOMS)
    bench.wait(2_000)
    check_snapshot(bench)
    bench.settle((0, RefusalCause.AGENT))
    assert agent_of(bench).left == 7_000 * QUOTE_ATOMS
    check_snapshot(bench)


def test_a_budget_is_exact_over_many_orders(bench: Bench) -> None:
    """Left is the notional less what was traded, less what is open; and nothing is matched beyond it."""
    pick, notional = random.Random(5), 3_000_000 * QUOTE_ATOMS
    register(bench, notional=notional)
    traded, refused = 0, 0
    for number in range(3_000):
        account = pick.choice((ALICE, BOB, CAROL))
        before = bench.engine.batches.last_fill
        terms = pick.choice(tuple(Side)), 1_000 + pick.randrange(-9, 10), pick.randrange(1, 40)
        is_taker = pick.random() < 0.3
        bench.place(
            account,
            *terms,
            slot=0 if is_taker else pick.randrange(1, 9),
            tif=IOC if is_taker else GTC,
            signer=BOT if account == ALICE else account,
        )
        refused += bool(bench.all(OrderAccepted) == [])
        for fill in range(before + 1, bench.engine.batches.last_fill + 1):
            found = bench.engine.batches.unsettled[fill]
            traded += sum(found.notional for ticket in found.tickets if ticket.agent is not None)
        opened = bench.engine.accounts[ALICE].open.values()
        still = sum(ticket.price * ticket.remaining * QUOTE_ATOMS for ticket in opened)
        assert agent_of(bench).left == notional - traded - still >= 0
        if number % 100 == 0:
            check_snapshot(bench)
            bench.wait(2_000)
            while bench.engine.batches.next_batch is not None:
                bench.settle()
    assert refused > 100


def test_an_order_signed_in_bulk_keeps_its_proof_from_the_journal_to_the_batch(bench: Bench) -> None:
    register(bench)
    bench.place(ALICE, BUY, 1_000, 5, signer=BOT)
    order = bench.engine.accounts[ALICE].open.popitem()[1].order
    proof = bulk_proof([order], 0)
    kept = join_signature(bytes(64) + b"\x1b", proof)
    assert split_signature(kept) == (bytes(64) + b"\x1b", proof)
    assert split_signature(kept[:65]) == (kept[:65], None)
    command = PlaceOrder(order, kept, BOT, "mine")
    assert decode(*encode(command)) == command
    with pytest.raises(InvalidInput, match="only agents"):
        decode(*encode(PlaceOrder(order, kept, ALICE)))
    bench = open_market(venue=ITEMIZED_VENUE)
    register(bench)
    bench.do(command)
    bench.place(BOB, SELL, 1_000, 5, tif=IOC)
    assert bench.engine.batches.load.proofs == bench.engine.batches.load.agents == 1
    check_snapshot(bench)
    bench.wait(2_000)
    signed = next(one for one in bench.engine.settlement_batch(1).orders if one.order.account == ALICE)
    assert (signed.signature, signed.proof) == ("0x" + kept[:65].hex(), proof)


def test_rows_of_agents_are_as_their_commands(bench: Bench) -> None:
    rows = open_market(venue=ITEMIZED_VENUE)
    for one in (bench, rows):
        register(one, notional=50_000 * QUOTE_ATOMS)
    pick = random.Random(2)
    for _ in range(500):
        signer: Address = pick.choice((BOT, BOT, CAROL))
        side, price = pick.choice(tuple(Side)), 1_000 + pick.randrange(-5, 6)
        events = bench.place(pick.choice((ALICE, BOB)), side, price, 3, slot=pick.randrange(1, 9), signer=signer)
        sequence, at, command = bench.log[-1]
        assert isinstance(command, PlaceOrder)
        digest = order_digest(bench.engine.separator, command.order)
        rows.engine.apply_rows(sequence, at, [to_row(command.order, command.signature, from_hex(signer), digest)])
        assert rows.engine.take_events() == events
    assert rows.engine.state_hash() == bench.engine.state_hash()
