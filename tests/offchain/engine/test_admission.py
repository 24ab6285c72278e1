"""Every reason to reject an order, one by one; and that a rejected order consumes nothing."""

from typing import Any

import pytest
from scene import (
    ALICE,
    BASE,
    BASE_ATOMS,
    BOB,
    BUY,
    DAVE,
    FOK,
    GTC,
    GTD,
    IOC,
    QUOTE,
    RICH,
    SELL,
    START,
    STRANGER,
    Bench,
    open_market,
)

from offchain.domain.chainlog import WithdrawalRequested
from offchain.domain.command import SetFees, SetMarketState, SetVenueState
from offchain.domain.event import OrderAccepted, OrderClosed, OrderRejected
from offchain.domain.limits import (
    NOTIONAL_ATOMS_MAX,
    OPEN_ORDERS_PER_ACCOUNT_MAX,
    PRICE_TICKS_MAX,
    SEQUENCE_AHEAD_MILLIS_MAX,
    SIZE_LOTS_MAX,
)
from offchain.domain.market import MarketState
from offchain.domain.order import Flags, Kind
from offchain.domain.reasons import RejectReason

POST_ONLY = int(Flags.POST_ONLY)


@pytest.fixture
def bench() -> Bench:
    return open_market()


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        (RejectReason.WRONG_SIGNER, {"signer": STRANGER}),
        (RejectReason.UNKNOWN_MARKET, {"market": 2}),
        (RejectReason.UNSUPPORTED, {"subaccount": 1}),
        (RejectReason.UNSUPPORTED, {"trigger": 5}),
        (RejectReason.UNSUPPORTED, {"flags": int(Flags.REDUCE_ONLY)}),
        (RejectReason.UNSUPPORTED, {"flags": 8}),
        (RejectReason.UNSUPPORTED, {"flags": int(Flags.AMM | Flags.POST_ONLY), "tif": IOC, "slot": 0}),
        (RejectReason.INVALID_PARAMETER, {"flags": int(Flags.AMM)}),
        (RejectReason.INVALID_PARAMETER, {"kind": Kind.MARKET, "tif": GTC}),
        (RejectReason.INVALID_PARAMETER, {"kind": Kind.MARKET, "tif": GTD, "expiry": START // 1000 + 60}),
        (RejectReason.INVALID_PARAMETER, {"tif": IOC, "flags": POST_ONLY}),
        (RejectReason.INVALID_PARAMETER, {"tif": GTD}),
        (RejectReason.INVALID_PARAMETER, {"expiry": 2**40}),
        (RejectReason.INVALID_PARAMETER, {"client_order_id": "x" * 37}),
        (RejectReason.INVALID_PARAMETER, {"client_order_id": "\u00e9" * 19}),
        (RejectReason.INVALID_SLOT, {"slot": 0}),
        (RejectReason.INVALID_SLOT, {"tif": IOC, "slot": 1}),
        (RejectReason.INVALID_SLOT, {"tif": FOK, "slot": 65_535}),
        (RejectReason.INVALID_PRICE, {"price": 0}),
        (RejectReason.INVALID_PRICE, {"price": PRICE_TICKS_MAX + 1}),
        (RejectReason.INVALID_SIZE, {"size": 0}),
        (RejectReason.INVALID_SIZE, {"size": SIZE_LOTS_MAX + 1}),
        (
            RejectReason.INVALID_SIZE,
            {"size": NOTIONAL_ATOMS_MAX // (PRICE_TICKS_MAX * 100) + 1, "price": PRICE_TICKS_MAX},
        ),
        (RejectReason.EXPIRED, {"expiry": START // 1000}),
        (RejectReason.EXPIRED, {"tif": GTD, "expiry": START // 1000 - 1}),
        (RejectReason.NONCE_TOO_FAR_AHEAD, {"sequence": START + SEQUENCE_AHEAD_MILLIS_MAX + 1_000}),
        (RejectReason.DEAD_NONCE, {"sequence": 0}),
        (RejectReason.FEE_CAP_TOO_LOW, {"max_fee": 2_499}),
        (RejectReason.INSUFFICIENT_BALANCE, {"size": RICH}),
    ],
)
def test_the_order_itself(bench: Bench, reason: RejectReason, changes: dict[str, Any]) -> None:
    before = bench.engine.ledger.find(ALICE, QUOTE)
    assert before is not None
    row = before.as_tuple()
    price, size = changes.pop("price", 100), changes.pop("size", 1)
    bench.place(ALICE, BUY, price, size, **changes)
    rejected = bench.only(OrderRejected)
    assert (rejected.reason, rejected.account) == (reason, ALICE)
    assert len(bench.events) == 1 and row == before.as_tuple()
    bench.place(ALICE, BUY, 100, 1)
    assert bench.accepted.account == ALICE


@pytest.mark.parametrize(
    "changes",
    [
        {"price": PRICE_TICKS_MAX // 2**40, "size": 1},
        {"max_fee": 2_500},
        {"expiry": 2**40 - 1},
        {"sequence": START + SEQUENCE_AHEAD_MILLIS_MAX},
        {"expiry": START // 1000 + 1},
        {"slot": 65_535},
        {"client_order_id": "x" * 36},
    ],
)
def test_the_last_value_that_is_allowed(bench: Bench, changes: dict[str, Any]) -> None:
    bench.place(ALICE, BUY, changes.pop("price", 100), changes.pop("size", 1), **changes)
    assert bench.accepted


def test_an_account_that_never_deposited(bench: Bench) -> None:
    bench.place(DAVE, BUY, 100, 1)
    assert bench.rejection == RejectReason.INSUFFICIENT_BALANCE
    assert DAVE not in bench.engine.accounts, "it leaves no trace"


def test_what_is_dead_in_a_slot(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, slot=7, sequence=START)
    bench.place(ALICE, BUY, 100, 1, slot=7, sequence=START)
    assert bench.rejection == RejectReason.DEAD_NONCE
    bench.place(ALICE, BUY, 100, 1, slot=7, sequence=START - 1)
    assert bench.rejection == RejectReason.DEAD_NONCE
    bench.place(ALICE, BUY, 100, 1, slot=8, sequence=START - 1)
    assert bench.accepted


def test_immediate_sequences_only_rise(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, tif=IOC, sequence=START)
    assert bench.accepted
    for sequence in (START, START - 1):
        bench.place(ALICE, BUY, 100, 1, tif=IOC, sequence=sequence)
        assert bench.rejection == RejectReason.DEAD_NONCE
    bench.place(BOB, BUY, 100, 1, tif=IOC, sequence=START - 1)
    assert bench.accepted


def test_below_the_floor(bench: Bench) -> None:
    bench.cancel_all(ALICE, floor=START + 10)
    bench.place(ALICE, BUY, 100, 1, sequence=START + 9)
    assert bench.rejection == RejectReason.DEAD_NONCE
    bench.place(ALICE, BUY, 100, 1, sequence=START + 10)
    assert bench.accepted


@pytest.mark.parametrize(
    ("state", "flags", "reason"),
    [
        (MarketState.POST_ONLY, 0, RejectReason.POST_ONLY_VENUE),
        (MarketState.POST_ONLY, POST_ONLY, None),
        (MarketState.CANCEL_ONLY, POST_ONLY, RejectReason.CANCEL_ONLY_VENUE),
        (MarketState.PAUSED, POST_ONLY, RejectReason.CANCEL_ONLY_VENUE),
    ],
)
def test_the_venue(bench: Bench, state: MarketState, flags: int, reason: RejectReason | None) -> None:
    bench.do(SetVenueState(state=state, reason="drill"))
    bench.place(ALICE, BUY, 100, 1, flags=flags)
    assert [event.reason for event in bench.all(OrderRejected)] == ([reason] if reason else [])
    bench.do(SetVenueState(state=MarketState.ACTIVE, reason=""))
    bench.place(ALICE, BUY, 100, 1)
    assert bench.accepted


@pytest.mark.parametrize(
    ("state", "flags", "reason"),
    [
        (MarketState.POST_ONLY, 0, RejectReason.POST_ONLY_VENUE),
        (MarketState.POST_ONLY, POST_ONLY, None),
        (MarketState.CANCEL_ONLY, POST_ONLY, RejectReason.MARKET_NOT_OPEN),
        (MarketState.PAUSED, POST_ONLY, RejectReason.MARKET_NOT_OPEN),
    ],
)
def test_the_market(bench: Bench, state: MarketState, flags: int, reason: RejectReason | None) -> None:
    bench.do(SetMarketState(market=1, state=state))
    bench.place(ALICE, BUY, 100, 1, flags=flags)
    assert [event.reason for event in bench.all(OrderRejected)] == ([reason] if reason else [])


def test_a_client_order_id_names_one_order(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, client_order_id="one")
    nonce = bench.accepted.nonce
    bench.place(ALICE, BUY, 101, 1, client_order_id="one")
    assert bench.rejection == RejectReason.DUPLICATE_CLIENT_ORDER_ID
    bench.place(BOB, BUY, 100, 1, client_order_id="one")
    assert bench.accepted
    bench.cancel(ALICE, nonce)
    bench.place(ALICE, BUY, 102, 1, client_order_id="one")
    assert bench.rejection == RejectReason.DUPLICATE_CLIENT_ORDER_ID, "closed, but recent"


def test_a_rejected_order_takes_neither_nonce_nor_name(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, RICH, slot=3, sequence=START, client_order_id="mine")
    assert bench.rejection == RejectReason.INSUFFICIENT_BALANCE
    bench.place(ALICE, BUY, 100, 1, slot=3, sequence=START, client_order_id="mine")
    assert bench.accepted.client_order_id == "mine"


def test_open_orders_are_bounded(bench: Bench) -> None:
    for _ in range(OPEN_ORDERS_PER_ACCOUNT_MAX):
        bench.place(ALICE, BUY, 100, 1)
    bench.place(ALICE, BUY, 100, 1)
    assert bench.rejection == RejectReason.TOO_MANY_OPEN_ORDERS
    bench.place(ALICE, BUY, 100, 2, slot=bench.nonce - 1, sequence=START + 10_000)
    assert bench.accepted, "a replacement does not add one"
    bench.place(ALICE, BUY, 100, 1, tif=IOC)
    assert bench.accepted, "an immediate order does not rest"
    bench.place(BOB, BUY, 100, 1)
    assert bench.accepted


def test_post_only_never_takes(bench: Bench) -> None:
    bench.place(BOB, SELL, 105, 1)
    for price in (105, 106):
        bench.place(ALICE, BUY, price, 1, flags=POST_ONLY)
        assert bench.rejection == RejectReason.POST_ONLY_WOULD_CROSS
    bench.place(ALICE, BUY, 104, 1, flags=POST_ONLY)
    assert bench.accepted
    bench.place(BOB, SELL, 104, 1, flags=POST_ONLY)
    assert bench.rejection == RejectReason.POST_ONLY_WOULD_CROSS


def test_post_only_may_cross_the_order_that_it_replaces(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, slot=5, sequence=START)
    bench.place(ALICE, SELL, 99, 1, slot=5, sequence=START + 1, flags=POST_ONLY)
    assert bench.accepted and bench.levels(BUY) == [] and bench.levels(SELL) == [(99, 1)]
    bench.place(BOB, SELL, 99, 1)
    bench.place(ALICE, BUY, 99, 1, slot=5, sequence=START + 2, flags=POST_ONLY)
    assert bench.rejection == RejectReason.POST_ONLY_WOULD_CROSS, "Bob's is there too"


def test_an_uncovered_account_may_only_cancel(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 1)
    nonce = bench.accepted.nonce
    fields = {"destination": ALICE, "matures_at": START // 1000 + 900}
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=RICH + 1, **fields)
    bench.place(ALICE, SELL, 100, 1)
    assert bench.rejection == RejectReason.CANCEL_ONLY_ACCOUNT
    bench.cancel(ALICE, nonce)
    assert bench.only(OrderClosed)
    bench.place(BOB, SELL, 100, 1)
    assert bench.accepted


def test_a_replacement_counts_the_old_hold_as_free(bench: Bench) -> None:
    lots = RICH
    bench.place(ALICE, SELL, 100, lots, slot=9, sequence=START)
    assert bench.balance(ALICE, BASE).free == 0
    bench.place(ALICE, SELL, 90, lots, slot=9, sequence=START + 1)
    assert [type(event) for event in bench.events[:2]] == [OrderClosed, OrderAccepted]
    assert bench.balance(ALICE, BASE).held == lots * BASE_ATOMS
    bench.place(ALICE, SELL, 90, lots + 1, slot=9, sequence=START + 2)
    assert bench.rejection == RejectReason.INSUFFICIENT_BALANCE
    assert bench.levels(SELL) == [(90, lots)], "the old one stays"
    bench.place(ALICE, BUY, 1, 10**10 + 1, slot=9, sequence=START + 3)
    assert bench.rejection == RejectReason.INSUFFICIENT_BALANCE, "a base hold frees no quote"


def test_the_fee_is_part_of_what_a_buyer_needs(bench: Bench) -> None:
    """100 ticks * 100 atoms * 1 lot = 10,000 and 0.25 %."""
    bench.see(WithdrawalRequested, account=BOB, token=QUOTE, amount=RICH - 10_024, destination=BOB, matures_at=1)
    bench.place(BOB, BUY, 100, 1)
    assert bench.rejection == RejectReason.INSUFFICIENT_BALANCE
    bench.do(SetFees(maker_fee_ppm=0, taker_fee_ppm=2_400))
    bench.place(BOB, BUY, 100, 1)
    assert bench.accepted and bench.balance(BOB).held == 10_024 and bench.balance(BOB).tradable == 0
