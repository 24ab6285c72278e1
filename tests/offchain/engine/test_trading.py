"""Crossing, fees, cancels, replacing, expiring: examples to the atom."""

import pytest
from laws import check
from scene import (
    ALICE,
    BASE,
    BASE_ATOMS,
    BOB,
    BUY,
    CAROL,
    DAVE,
    FEES,
    FOK,
    GTC,
    GTD,
    IOC,
    QUOTE,
    RICH,
    SELL,
    START,
    STRANGER,
    VENUE,
    Bench,
    open_market,
)

from offchain.domain.command import CancelAll, CancelOrder, SetFees
from offchain.domain.event import (
    BatchClosed,
    CommandRejected,
    FillMatched,
    LevelChanged,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
)
from offchain.domain.limits import FILLS_PER_RESTING_ORDER_MAX, SEQUENCE_AHEAD_MILLIS_MAX
from offchain.domain.order import Kind, make_nonce
from offchain.domain.reasons import CloseReason, RejectReason


@pytest.fixture
def bench() -> Bench:
    return open_market()


def fills(bench: Bench) -> list[tuple[str, int, int]]:
    """(maker, price, size) of the last command's fills."""
    return [(event.maker, event.price_ticks, event.size_lots) for event in bench.all(FillMatched)]


def closes(bench: Bench) -> list[tuple[str, CloseReason, int]]:
    return [(event.account, event.reason, event.filled_lots) for event in bench.all(OrderClosed)]


def test_a_resting_order_holds_and_shows(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 3)
    held = 3 * (10_000 + 25)
    assert bench.balance(ALICE).as_tuple() == (RICH, 0, held, 0)
    assert bench.only(LevelChanged) == LevelChanged(market=1, side=0, price_ticks=100, size_lots=3)
    bench.place(BOB, SELL, 101, 2)
    assert bench.balance(BOB, BASE).held == 2 * BASE_ATOMS
    assert (bench.levels(BUY), bench.levels(SELL)) == ([(100, 3)], [(101, 2)])


def test_a_match_is_at_the_makers_price_and_pends_both_legs(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 5)
    maker = bench.accepted.digest
    bench.place(BOB, BUY, 103, 2)
    taker = bench.accepted.digest
    fill = bench.only(FillMatched)
    assert (fill.fill, fill.price_ticks, fill.size_lots, fill.taker_side) == (1, 100, 2, 0)
    assert (fill.maker_digest, fill.taker_digest, fill.maker, fill.taker) == (maker, taker, ALICE, BOB)
    assert (fill.maker_fee, fill.taker_fee) == (20, 50)
    assert bench.balance(BOB).as_tuple() == (RICH, -20_050, 0, 0)
    assert bench.balance(BOB, BASE).pending == 2 * BASE_ATOMS
    assert bench.balance(ALICE).pending == 20_000 - 20
    assert bench.balance(ALICE, BASE).as_tuple() == (RICH * BASE_ATOMS, -2 * BASE_ATOMS, 3 * BASE_ATOMS, 0)
    assert bench.balance(FEES).pending == 70
    assert closes(bench) == [(BOB, CloseReason.FILLED, 2)]
    assert bench.levels(SELL) == [(100, 3)]


def test_price_then_time(bench: Bench) -> None:
    bench.place(ALICE, SELL, 101, 1)
    bench.place(BOB, SELL, 100, 1)
    bench.place(ALICE, SELL, 100, 1)
    bench.place(CAROL, BUY, 101, 3)
    assert fills(bench) == [(BOB, 100, 1), (ALICE, 100, 1), (ALICE, 101, 1)]


def test_a_partial_fill_keeps_its_place(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 5)
    bench.place(BOB, BUY, 100, 5)
    bench.place(CAROL, SELL, 100, 3)
    bench.place(CAROL, SELL, 100, 3)
    assert fills(bench) == [(ALICE, 100, 2), (BOB, 100, 1)]
    assert bench.levels(BUY) == [(100, 4)]


def test_the_rest_of_a_limit_order_rests(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 2)
    bench.place(BOB, BUY, 100, 5)
    assert closes(bench) == [(ALICE, CloseReason.FILLED, 2)]
    assert (bench.levels(BUY), bench.levels(SELL)) == ([(100, 3)], [])
    check(bench.engine)


@pytest.mark.parametrize("kind", [Kind.LIMIT, Kind.MARKET])
def test_the_rest_of_an_immediate_order_is_cancelled(bench: Bench, kind: Kind) -> None:
    bench.place(ALICE, SELL, 100, 2)
    bench.place(ALICE, SELL, 104, 2)
    bench.place(BOB, BUY, 102, 5, tif=IOC, kind=kind)
    assert fills(bench) == [(ALICE, 100, 2)], "never beyond its worst price"
    assert closes(bench)[-1] == (BOB, CloseReason.IMMEDIATE_REMAINDER, 2)
    assert bench.balance(BOB).held == 0 and bench.levels(BUY) == []


def test_an_immediate_order_without_a_match_ends_unfilled(bench: Bench) -> None:
    bench.place(BOB, BUY, 102, 5, tif=IOC)
    assert bench.accepted and closes(bench) == [(BOB, CloseReason.IMMEDIATE_REMAINDER, 0)]


def test_fill_or_kill(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 2)
    bench.place(CAROL, SELL, 101, 2)
    bench.place(BOB, BUY, 100, 3, tif=FOK)
    assert (fills(bench), closes(bench)) == ([], [(BOB, CloseReason.IMMEDIATE_REMAINDER, 0)])
    bench.place(BOB, BUY, 101, 5, tif=FOK)
    assert fills(bench) == []
    bench.place(BOB, BUY, 101, 4, tif=FOK)
    assert fills(bench) == [(ALICE, 100, 2), (CAROL, 101, 2)]


def test_fill_or_kill_does_not_count_its_own_orders(bench: Bench) -> None:
    bench.place(BOB, SELL, 100, 5)
    bench.place(ALICE, SELL, 100, 1)
    bench.place(BOB, BUY, 100, 2, tif=FOK)
    assert fills(bench) == [] and bench.levels(SELL) == [(100, 6)], "and touches nothing when it fails"
    bench.place(BOB, BUY, 100, 1, tif=FOK)
    assert fills(bench) == [(ALICE, 100, 1)]


def test_an_immediate_order_has_few_fills(bench: Bench) -> None:
    most = VENUE.fills_per_immediate_order_max
    for _ in range(most + 1):
        bench.place(ALICE, SELL, 100, 1)
    bench.place(BOB, BUY, 100, most + 1, tif=FOK)
    assert fills(bench) == []
    bench.place(BOB, BUY, 100, most + 1, tif=IOC)
    assert len(fills(bench)) == most and closes(bench)[-1] == (BOB, CloseReason.IMMEDIATE_REMAINDER, most)
    bench.place(BOB, BUY, 100, 1, tif=FOK)
    assert len(fills(bench)) == 1


def test_self_trade_expires_the_maker(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 2)
    bench.place(BOB, SELL, 100, 2)
    bench.place(ALICE, BUY, 100, 3)
    assert closes(bench) == [(ALICE, CloseReason.SELF_TRADE, 0), (BOB, CloseReason.FILLED, 2)]
    assert fills(bench) == [(BOB, 100, 2)]
    assert (bench.levels(BUY), bench.levels(SELL)) == ([(100, 1)], [])
    assert bench.balance(ALICE, BASE).held == 0


def test_fees_are_those_of_acceptance(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 2)
    bench.do(SetFees(maker_fee_ppm=0, taker_fee_ppm=5_000))
    bench.place(BOB, BUY, 100, 1)
    fill = bench.only(FillMatched)
    assert (fill.maker_fee_ppm, fill.taker_fee_ppm, fill.maker_fee, fill.taker_fee) == (1_000, 5_000, 10, 50)


def test_a_rebate_never_exceeds_what_the_taker_pays(bench: Bench) -> None:
    bench.do(SetFees(maker_fee_ppm=-1_000, taker_fee_ppm=2_500))
    bench.place(ALICE, SELL, 100, 2)
    bench.place(BOB, BUY, 100, 1)
    assert (bench.only(FillMatched).maker_fee, bench.balance(ALICE).pending) == (-10, 10_010)
    bench.do(SetFees(maker_fee_ppm=0, taker_fee_ppm=300))
    bench.place(BOB, BUY, 100, 1)
    fill = bench.only(FillMatched)
    assert (fill.maker_fee_ppm, fill.taker_fee_ppm, fill.maker_fee + fill.taker_fee) == (-300, 300, 0)


def test_fees_round_up_and_holds_cover_every_way_to_fill(bench: Bench) -> None:
    bench.do(SetFees(maker_fee_ppm=333, taker_fee_ppm=777))
    bench.place(ALICE, BUY, 101, 7)
    for _ in range(7):
        bench.place(BOB, SELL, 99, 1)
        check(bench.engine)
    assert bench.balance(ALICE).held == 0
    assert bench.balance(ALICE).pending == -7 * (10_100 + 4)


def test_cancel(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 5, slot=4, sequence=START)
    bench.place(BOB, SELL, 100, 2)
    bench.cancel(ALICE, make_nonce(4, START), signer=STRANGER)
    assert bench.only(CommandRejected).reason == RejectReason.WRONG_SIGNER
    bench.cancel(ALICE, make_nonce(4, START - 1))
    assert bench.only(CommandRejected).reason == RejectReason.ORDER_NOT_OPEN
    bench.cancel(ALICE, make_nonce(5, 0))
    assert bench.only(CommandRejected).reason == RejectReason.ORDER_NOT_OPEN
    bench.cancel(STRANGER, make_nonce(4, START))
    assert bench.only(CommandRejected).reason == RejectReason.ORDER_NOT_OPEN
    bench.cancel(ALICE, make_nonce(4, START + SEQUENCE_AHEAD_MILLIS_MAX + 1_000))
    assert bench.only(CommandRejected).reason == RejectReason.NONCE_TOO_FAR_AHEAD
    bench.cancel(ALICE, make_nonce(4, START))
    assert closes(bench) == [(ALICE, CloseReason.CANCELED, 2)]
    assert bench.balance(ALICE).held == 0 and bench.levels(BUY) == []
    bench.cancel(ALICE, make_nonce(4, START))
    assert bench.only(CommandRejected).reason == RejectReason.ORDER_NOT_OPEN


def test_a_cancel_may_overtake_its_order(bench: Bench) -> None:
    assert bench.cancel(ALICE, make_nonce(4, START)) == ()
    bench.place(ALICE, BUY, 100, 1, slot=4, sequence=START)
    assert bench.rejection == RejectReason.DEAD_NONCE
    bench.place(ALICE, BUY, 100, 1, slot=4, sequence=START + 1)
    assert bench.accepted


def test_a_cancel_reaches_older_sequences_only(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, slot=4, sequence=START + 5)
    bench.cancel(ALICE, make_nonce(4, START + 9))
    assert closes(bench) == [(ALICE, CloseReason.CANCELED, 0)]
    bench.place(ALICE, BUY, 100, 1, slot=4, sequence=START + 9)
    assert bench.rejection == RejectReason.DEAD_NONCE


def test_cancel_all(bench: Bench) -> None:
    for number in range(4):
        bench.place(ALICE, BUY, 100 - number, 1, slot=number + 1, sequence=START + number)
    bench.place(BOB, BUY, 90, 1)
    bench.do(CancelAll(ALICE, 0, 0, STRANGER))
    assert bench.only(CommandRejected).reason == RejectReason.WRONG_SIGNER
    bench.cancel_all(ALICE, market=9)
    assert bench.only(CommandRejected).reason == RejectReason.UNKNOWN_MARKET
    bench.cancel_all(ALICE, floor=START + SEQUENCE_AHEAD_MILLIS_MAX + 1_000)
    assert bench.only(CommandRejected).reason == RejectReason.NONCE_TOO_FAR_AHEAD
    bench.cancel_all(ALICE, market=1)
    assert [reason for _, reason, _ in closes(bench)] == [CloseReason.CANCELED] * 4
    assert bench.levels(BUY) == [(90, 1)]
    assert bench.cancel_all(ALICE) == () and bench.cancel_all(DAVE) == ()


def test_a_replacement_takes_over_the_slot(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 5, slot=2, sequence=START)
    bench.place(BOB, SELL, 100, 1)
    bench.place(ALICE, BUY, 101, 2, slot=2, sequence=START + 1)
    assert closes(bench) == [(ALICE, CloseReason.REPLACED, 1)]
    assert bench.levels(BUY) == [(101, 2)]
    bench.place(ALICE, BUY, 101, 3, slot=2, sequence=START + 2)
    assert bench.all(LevelChanged) == [LevelChanged(market=1, side=0, price_ticks=101, size_lots=3)]


def test_a_rejected_replacement_changes_nothing(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 5, slot=2, sequence=START)
    bench.place(ALICE, BUY, 0, 5, slot=2, sequence=START + 1)
    assert [type(event) for event in bench.events] == [OrderRejected]
    assert bench.levels(BUY) == [(100, 5)]


def test_expiry_fires_before_the_command_of_its_instant(bench: Bench) -> None:
    expiry = bench.at // 1000 + 10
    bench.place(ALICE, BUY, 100, 5, tif=GTD, expiry=expiry)
    assert bench.engine.next_deadline() == expiry * 1000
    bench.wait(expiry * 1000 - 1 - bench.at)
    assert bench.events == ()
    bench.place(BOB, SELL, 100, 5)
    assert closes(bench) == [(ALICE, CloseReason.EXPIRED, 0)] and fills(bench) == []
    assert bench.engine.next_deadline() is None


def test_an_expiry_on_any_order_is_honoured(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 5, tif=GTC, expiry=bench.at // 1000 + 2)
    bench.wait(2_000)
    assert closes(bench) == [(ALICE, CloseReason.EXPIRED, 0)]


def test_a_filled_order_does_not_expire(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 5, tif=GTD, expiry=bench.at // 1000 + 2)
    bench.place(BOB, SELL, 100, 5)
    bench.wait(5_000)
    assert bench.all(OrderClosed) == [] and bench.only(BatchClosed)


def test_orders_expire_in_the_order_of_deadline_then_sequence(bench: Bench) -> None:
    later, sooner = bench.at // 1000 + 9, bench.at // 1000 + 5
    for account, expiry in ((ALICE, later), (BOB, sooner), (CAROL, sooner)):
        bench.place(account, BUY, 100, 1, tif=GTD, expiry=expiry)
    bench.wait(20_000)
    assert [account for account, _, _ in closes(bench)] == [BOB, CAROL, ALICE]


def test_nobody_else_can_spoil_an_orders_first_result(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, slot=1, sequence=START, signer=STRANGER)
    digest = bench.only(OrderRejected).digest
    assert bench.engine.find_order(digest) is None
    bench.place(ALICE, BUY, 100, 1, slot=1, sequence=START)
    assert bench.accepted.digest == digest


def test_first_results(bench: Bench) -> None:
    engine = bench.engine
    bench.place(ALICE, BUY, 100, 3, client_order_id="a")
    accepted = bench.accepted
    assert engine.find_order(accepted.digest) == (accepted,)
    assert engine.find_client_order(ALICE, "a") == accepted.digest
    assert engine.find_client_order(ALICE, "b") is None and engine.find_client_order(DAVE, "a") is None
    bench.place(BOB, SELL, 100, 1)
    found = engine.find_order(accepted.digest)
    assert found is not None and isinstance(found[0], OrderAccepted) and found[0].filled_lots == 1
    bench.do(CancelOrder(ALICE, accepted.nonce, ALICE))
    found = engine.find_order(accepted.digest)
    assert found is not None and found[1] == bench.only(OrderClosed)
    bench.place(ALICE, BUY, 100, RICH)
    rejected = bench.only(OrderRejected)
    assert engine.find_order(rejected.digest) == (rejected,)


def test_quote_token_of_the_venue_is_what_buyers_hold(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1)
    (ticket,) = bench.engine.accounts[ALICE].open.values()
    assert ticket.balance.token == QUOTE


def test_a_signed_cancel_all_sent_again_spares_later_orders(bench: Bench) -> None:
    """Found by attack: whoever has seen the signature could close all later orders with it."""
    early = bench.place(ALICE, SELL, 100, 1, slot=1, sequence=1_000)
    late = bench.place(ALICE, SELL, 101, 1, slot=2, sequence=9_000)
    assert early and late
    bench.do(CancelAll(ALICE, 0, 5_000, ALICE, b"\x01" * 65))
    (closed,) = bench.all(OrderClosed)
    assert closed.reason == CloseReason.CANCELED
    bench.do(CancelAll(ALICE, 0, 5_000, ALICE, b"\x01" * 65))
    assert not bench.all(OrderClosed)
    bench.do(CancelAll(ALICE, 0, 0, ALICE))
    assert len(bench.all(OrderClosed)) == 1


def test_a_resting_order_takes_a_bounded_number_of_makers(bench: Bench) -> None:
    for number in range(FILLS_PER_RESTING_ORDER_MAX + 5):
        bench.place(BOB, SELL, 100, 1, slot=number + 1)
    bench.place(ALICE, BUY, 100, FILLS_PER_RESTING_ORDER_MAX + 50)
    assert len(bench.all(FillMatched)) == FILLS_PER_RESTING_ORDER_MAX
    (closed,) = [event for event in bench.all(OrderClosed) if event.account == ALICE]
    assert closed.reason == CloseReason.IMMEDIATE_REMAINDER
