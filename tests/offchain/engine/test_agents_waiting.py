"""Orders that an agent signed and that wait, are linked, shrink or show a part: its budget counts them all the same."""

import random

import pytest
from scene import ALICE, BOB, BUY, CAROL, DAVE, GTC, IOC, QUOTE_ATOMS, SELL, WISHFUL_VENUE, Bench, open_market

from offchain.domain.beside import Beside, SelfTrade
from offchain.domain.chainlog import AgentRegistered, AgentRevoked
from offchain.domain.command import AmendOrder, Intent, PlaceOrder, PostMark, Reading, Together
from offchain.domain.eip712 import order_digest
from offchain.domain.event import OrderAccepted, OrderClosed, OrderTriggered
from offchain.domain.order import Side, to_row
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import from_hex
from offchain.engine.engine import Engine

BOT, BRIEF = DAVE, 32


@pytest.fixture
def bench() -> Bench:
    bench = open_market(venue=WISHFUL_VENUE)
    bench.place(BOB, BUY, 95, 50)
    bench.place(BOB, SELL, 105, 50)
    return bench


def register(bench: Bench, notional: int, seconds: int = 3_600) -> None:
    expiry, atoms = bench.at // 1000 + seconds, notional * QUOTE_ATOMS
    bench.see(AgentRegistered, account=ALICE, agent=BOT, expiry=expiry, notional=atoms, markets=())


def left(bench: Bench) -> int:
    return (bench.engine.accounts[ALICE].agents[from_hex(BOT)].left or 0) // QUOTE_ATOMS


def mark(bench: Bench, price: int) -> None:
    """Also what a restored engine makes of it."""
    again = Engine.restore(bench.engine.snapshot())
    assert again.next_deadline() == bench.engine.next_deadline()
    bench.do(PostMark(market=1, readings=(Reading(CAROL, price, bench.at // 1000),)))
    assert again.apply(*bench.log[-1]) == bench.events
    assert again.snapshot() == bench.engine.snapshot()


def test_what_waits_counts_when_its_trigger_comes(bench: Bench) -> None:
    register(bench, 1_000)
    bench.place(ALICE, SELL, 90, 5, trigger=98, signer=BOT)
    assert left(bench) == 1_000
    mark(bench, 98)
    assert bench.only(OrderTriggered).refusal is None
    assert left(bench) == 1_000 - 5 * 95


def test_a_trigger_finds_no_budget_any_more(bench: Bench) -> None:
    register(bench, 1_000)
    bench.place(ALICE, SELL, 90, 5, trigger=98, signer=BOT)
    bench.place(ALICE, SELL, 100, 6, signer=BOT)
    mark(bench, 98)
    assert bench.only(OrderTriggered).refusal is RejectReason.AGENT_LIMIT
    assert left(bench) == 400


def test_what_waits_ends_with_its_agent(bench: Bench) -> None:
    register(bench, 1_000, seconds=10)
    bench.place(ALICE, SELL, 90, 5, trigger=98, signer=BOT)
    bench.wait(10_500)
    assert bench.only(OrderClosed).reason is CloseReason.EXPIRED
    register(bench, 1_000)
    bench.place(ALICE, SELL, 90, 5, trigger=98, signer=BOT)
    bench.see(AgentRevoked, account=ALICE, agent=BOT, effective_at=bench.at // 1000 + 300)
    assert bench.only(OrderClosed).reason is CloseReason.CANCELED_ON_CHAIN
    assert left(bench) == 1_000
    mark(bench, 98)
    assert not bench.all(OrderTriggered)
    bench.place(ALICE, SELL, 90, 5, trigger=98, signer=BOT)
    assert bench.rejection == RejectReason.AGENT_NOT_ENTITLED


def test_one_of_two_leaves_its_budget_to_the_other(bench: Bench) -> None:
    register(bench, 600)
    bench.place(ALICE, SELL, 110, 5, signer=BOT)
    profit = bench.accepted.nonce
    bench.place(ALICE, SELL, 90, 5, trigger=98, signer=BOT, beside=Beside(other=profit))
    assert left(bench) == 50
    mark(bench, 98)
    assert left(bench) == 600 - 5 * 95


def test_a_smaller_order_gives_its_budget_back(bench: Bench) -> None:
    register(bench, 1_000)
    bench.place(ALICE, BUY, 90, 10, signer=BOT, beside=Beside(display_lots=2))
    assert left(bench) == 100
    bench.do(AmendOrder(account=ALICE, signer=ALICE, nonce=bench.accepted.nonce, size_lots=4))
    assert left(bench) == 1_000 - 4 * 90
    bench.cancel_all(ALICE)
    assert left(bench) == 1_000


def test_a_stranger_and_an_agent_that_ended_decide_no_first_result(bench: Bench) -> None:
    """Whatever else is wrong with the order."""
    register(bench, 1_000, seconds=5)
    bench.wait(6_000)
    for market in (1, 9):
        bench.place(ALICE, BUY, 0, 0, signer=BOT, market=market)
        assert bench.rejection == RejectReason.AGENT_NOT_ENTITLED
    assert not bench.engine.accounts[ALICE].rejected


def test_an_agents_order_takes_no_place_among_those_that_come_together(bench: Bench) -> None:
    register(bench, 10_000)
    bench.place(ALICE, BUY, 90, 1)
    order = bench.engine.accounts[ALICE].open.popitem()[1].order
    bench = open_market(venue=WISHFUL_VENUE)
    register(bench, 10_000)
    rows = open_market(venue=WISHFUL_VENUE)
    register(rows, 10_000)
    for one in (bench, rows):
        one.do(Together(account=ALICE, signer=ALICE, orders=(Intent(order.to_frame()),)))
    digest = order_digest(bench.engine.separator, order)
    for signer in (BOT, ALICE):
        events = bench.do(PlaceOrder(order, bytes(65), signer), 0)
        assert bool(bench.all(OrderAccepted)) is (signer is ALICE)
        sequence = rows.engine.sequence + 1
        rows.engine.apply_rows(sequence, rows.at, [to_row(order, bytes(65), from_hex(signer), digest)])
        assert rows.engine.take_events() == events
    assert rows.engine.snapshot() == bench.engine.snapshot()


def test_a_budget_is_exact_over_many_wishes(bench: Bench) -> None:
    """Left is the notional less what was traded, less what is open and does not wait, shown or not."""
    pick, notional = random.Random(6), 60_000
    register(bench, notional)
    traded, seen = 0, 0
    for number in range(2_000):
        account, side = pick.choice((ALICE, BOB, CAROL)), pick.choice(tuple(Side))
        price, size = 100 + pick.randrange(-6, 7), pick.randrange(1, 20)
        beside = Beside(
            display_lots=pick.choice((0, 0, 3)),
            self_trade=pick.choice(tuple(SelfTrade)),
            other=pick.choice([0, *bench.engine.accounts[account].open]),
            parent=pick.choice([0, 0, 0, *bench.engine.accounts[account].open]),
        )
        is_taker, trigger = pick.random() < 0.2, pick.choice((0, 0, 0, price))
        bench.place(
            account,
            side,
            price,
            size,
            slot=0 if is_taker else pick.randrange(1, 12),
            tif=IOC if is_taker else GTC,
            trigger=0 if is_taker else trigger,
            signer=BOT if account == ALICE else account,
            beside=Beside(self_trade=beside.self_trade) if is_taker else beside if pick.random() < 0.6 else None,
        )
        if number % 7 == 0:
            mark(bench, 100 + pick.randrange(-6, 7))
        for fill in range(seen + 1, bench.engine.batches.last_fill + 1):
            found = bench.engine.batches.unsettled[fill]
            traded += sum(found.notional for ticket in found.tickets if ticket.agent is not None)
        seen = bench.engine.batches.last_fill
        opened = [ticket for ticket in bench.engine.accounts[ALICE].open.values() if not ticket.is_waiting]
        still = sum(ticket.price * ticket.left * QUOTE_ATOMS for ticket in opened)
        assert left(bench) * QUOTE_ATOMS == notional * QUOTE_ATOMS - traded - still >= 0
        if number % 100 == 0:
            bench.wait(2_000)
            while bench.engine.batches.next_batch is not None:
                bench.settle()
    assert traded > 40_000 * QUOTE_ATOMS
