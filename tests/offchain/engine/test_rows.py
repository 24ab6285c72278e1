"""Orders as rows of their frames: the same as commands, however they are grouped; and nothing for a collector."""

import gc
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from histories import History
from ruled import RuledHistory
from scene import (
    ALICE,
    BOB,
    CAROL,
    ITEMIZED_VENUE,
    PACKED_VENUE,
    RICH,
    RULED_VENUE,
    START,
    STRANGER,
    VENUE,
    WISHFUL_VENUE,
    open_market,
)
from wishful import CalmHistory, WishfulHistory

from offchain.domain.command import CancelOrder, Command, OpenVenue, PlaceOrder, SetMarketState, SetVenueState
from offchain.domain.eip712 import order_digest
from offchain.domain.event import (
    AnyEvent,
    BalanceChanged,
    FillMatched,
    LevelChanged,
    OrderAccepted,
    OrderRejected,
    SubaccountChanged,
)
from offchain.domain.limits import PRICE_TICKS_MAX, SEQUENCE_AHEAD_MILLIS_MAX, SIZE_LOTS_MAX
from offchain.domain.market import MarketState
from offchain.domain.order import (
    CANCEL_TERMS,
    SIGNED_FRAME,
    Kind,
    Order,
    OrderRow,
    OrderStatus,
    Side,
    TimeInForce,
    from_row,
    make_nonce,
    pack_terms,
    to_row,
)
from offchain.domain.units import Lots, Ticks, from_hex
from offchain.engine.admission import refusal
from offchain.engine.engine import Engine
from offchain.engine.trading import Outcome

EAGER = msgspec.structs.replace(ITEMIZED_VENUE, batch_interval_millis=0)
"""Batches close with the next command."""
EAGER_WISHFUL = msgspec.structs.replace(EAGER, order_rules=1)
VENUES = pytest.mark.parametrize(
    ("kind", "venue"),
    [
        (History, ITEMIZED_VENUE),
        (History, PACKED_VENUE),
        (History, VENUE),
        (History, EAGER),
        (WishfulHistory, WISHFUL_VENUE),
        (CalmHistory, EAGER_WISHFUL),
        (RuledHistory, RULED_VENUE),
    ],
    ids=["itemized", "packed", "old", "eager", "wishful", "calm-eager", "ruled"],
)


def row_of(engine: Engine, command: Command) -> OrderRow | None:
    """Of what its account signed, without a name."""
    is_plain = isinstance(command, PlaceOrder) and not command.client_order_id and command.beside is None
    if isinstance(command, PlaceOrder) and is_plain and command.signer == command.order.account:
        signer = from_hex(command.signer)
        return to_row(command.order, command.signature, signer, order_digest(engine.separator, command.order))
    if isinstance(command, CancelOrder) and command.signer == command.account:
        return (
            from_hex(command.account),
            CANCEL_TERMS,
            0,
            0,
            0,
            0,
            command.nonce,
            0,
            bytes(65),
            from_hex(command.account),
            bytes(32),
        )
    return None


def told(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Without what a group tells once."""
    return [event for event in events if not isinstance(event, LevelChanged | BalanceChanged | SubaccountChanged)]


@VENUES
def test_a_row_is_as_its_command(kind: type[History], venue: OpenVenue) -> None:
    """To the event, its order and the byte of the state."""
    engine, rows = Engine(), 0
    for sequence, at, command, events in kind(21, venue=venue).steps(2_500):
        row = row_of(engine, command)
        if row is None:
            assert engine.apply(sequence, at, command) == events
        else:
            (outcome,) = engine.apply_rows(sequence, at, [row])
            assert engine.take_events() == events
            check_outcome(outcome, row, events)
            rows += 1
        if sequence % 50 == 0:
            assert engine.next_deadline() == Engine.restore(engine.snapshot()).next_deadline()
    assert rows > (1_000 if kind is History else 300)


def check_outcome(outcome: Outcome, row: OrderRow, events: Sequence[AnyEvent]) -> None:
    if row[4]:
        return  # What comes of it comes of its trigger.
    digest = "0x" + row[-1].hex()
    fills = [event for event in events if isinstance(event, FillMatched) and event.taker_digest == digest]
    if row[1] != CANCEL_TERMS:
        assert outcome.fills in (len(fills), 1), "an AMM fill is one, too"
        assert not fills or outcome.filled_lots == sum(fill.size_lots for fill in fills)
        rejected = [event.reason for event in events if isinstance(event, OrderRejected)]
        assert rejected == ([outcome.reason] if outcome.status is OrderStatus.REJECTED else [])
        assert bool(rejected) is not any(isinstance(event, OrderAccepted) for event in events)


@VENUES
def test_groups_end_where_single_commands_end(kind: type[History], venue: OpenVenue) -> None:
    """The same happenings in the same order; levels and balances are told once for each group."""
    single, grouped, pick = Engine(), Engine(), random.Random(5)
    waiting: list[OrderRow] = []
    expected: list[AnyEvent] = []

    def flush(at: int) -> None:
        grouped.apply_rows(grouped.sequence + 1, at, iter(waiting))
        assert told(grouped.take_events()) == told(expected)
        waiting.clear()
        expected.clear()

    now = START
    for _, at, command, _ in kind(22, venue=venue).steps(2_500):
        if not waiting:
            now = max(now, at)
        row = row_of(single, command)
        if (row is None or pick.random() < 0.03) and waiting:
            flush(now)
        events = single.apply(single.sequence + 1, now, command)
        if row is None:
            assert grouped.apply(grouped.sequence + 1, now, command) == events
        else:
            waiting.append(row)
            expected.extend(events)
        if not waiting and pick.random() < 0.1:
            assert grouped.state_hash() == single.state_hash()
            assert grouped.next_deadline() == single.next_deadline()
    flush(now)
    assert grouped.state_hash() == single.state_hash()


def drawn(pick: random.Random, at: int, sequence: int) -> Order:
    """An order that may enter, or with a field or two at the edge of what is allowed."""
    force = pick.choice((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK))
    slot = 0 if force in (TimeInForce.IOC, TimeInForce.FOK) else pick.randrange(1, 9)
    order = Order(
        account=pick.choice((ALICE, BOB, CAROL)),
        subaccount=0,
        market=1,
        side=pick.choice(tuple(Side)),
        kind=Kind.LIMIT,
        time_in_force=force,
        flags=pick.choice((0, 0, 1)) if slot else 0,
        price_ticks=Ticks(1_000 + pick.randrange(-8, 9)),
        size_lots=Lots(pick.choice((1, 5, 40))),
        trigger_ticks=Ticks(0),
        max_fee_ppm=10_000,
        nonce=make_nonce(slot, sequence),
        expiry=at // 1000 + 5 if force is TimeInForce.GTD else 0,
    )
    ahead = at + SEQUENCE_AHEAD_MILLIS_MAX
    changes: tuple[dict[str, Any], ...] = (
        {"expiry": pick.choice((at // 1000, at // 1000 + 1, 2**40 - 1, 2**40))},
        {"expiry": 0},
        {"nonce": make_nonce(slot, pick.choice((0, 1, sequence - 9, sequence - 1)))},
        {"nonce": make_nonce(pick.choice((0, 10)), pick.choice((ahead, ahead + 1)))},
        {"nonce": make_nonce(pick.choice((0, slot + 1)), sequence)},
        {"price_ticks": Ticks(pick.choice((0, 1, PRICE_TICKS_MAX, PRICE_TICKS_MAX + 1)))},
        {"size_lots": Lots(pick.choice((0, RICH, SIZE_LOTS_MAX, SIZE_LOTS_MAX + 1)))},
        {"max_fee_ppm": pick.choice((-1, 2_499, 2_500))},
        {"flags": pick.choice((1, 2, 4, 5))},
        {"kind": Kind.MARKET},
        {"trigger_ticks": Ticks(1)},
        {"subaccount": 1},
        {"market": 9},
        {"account": STRANGER},
    )
    for _ in range(pick.choice((0, 0, 1, 2))):
        order = msgspec.structs.replace(order, **pick.choice(changes))
    return order


@pytest.mark.parametrize("state", [MarketState.ACTIVE, MarketState.POST_ONLY, MarketState.CANCEL_ONLY])
def test_the_quick_look_lets_pass_what_the_whole_list_has_no_reason_against(state: MarketState) -> None:
    """Reason for reason, in a market and a venue that change their states on the way."""
    pick, bench = random.Random(3), open_market(quote=10**11, base=10**4)
    engine, agreed = bench.engine, dict[object, int]()
    for number in range(6_000):
        if number % 500 == 0:
            where = SetMarketState(market=1, state=state) if number % 1_000 else SetVenueState(state=state, reason="")
            bench.do(where)
        elif number % 500 == 100:
            bench.do(SetMarketState(market=1, state=MarketState.ACTIVE))
            bench.do(SetVenueState(state=MarketState.ACTIVE, reason=""))
        elif number % 700 == 0:
            bench.cancel_all(ALICE, floor=START + number)
        bench.wait(pick.choice((1, 200)))
        while engine.batches.next_batch is not None:
            bench.settle()
        order = drawn(pick, bench.at, START + number)
        row = to_row(order, b"", from_hex(order.account), order_digest(engine.separator, order))
        reason = refusal(engine._state, order, "")
        (outcome,) = engine.apply_rows(engine.sequence + 1, bench.at, [row])
        assert (outcome.reason if outcome.status is OrderStatus.REJECTED else None) == reason, order
        engine.take_events()
        agreed[reason] = agreed.get(reason, 0) + 1
    assert agreed[None] > 1_500 and len(agreed) >= 13, agreed


def test_a_signed_frame_is_unpacked_to_its_row() -> None:
    for _, _, command, _ in History(24).steps(200):
        if isinstance(command, PlaceOrder):
            row = to_row(command.order, command.signature, bytes(range(20)), bytes(range(32)))
            frame = command.order.to_frame() + command.signature + bytes(range(20)) + bytes(range(32))
            assert SIGNED_FRAME.unpack(frame) == row and SIGNED_FRAME.pack(*row) == frame
            assert from_row(row) == command.order


OPERATIONS = int(os.environ.get("HOOATS_FUZZ_OPERATIONS", "100000"))
"""`make fuzz` does a million."""


def test_operations_leave_nothing_to_collect() -> None:
    """Resting, crossing, replaced and cancelled orders: the collector is off in the sequencer, so whatever the engine
    lets go of must die by its reference count."""
    bench, pick = open_market(quote=10**30, base=10**18), random.Random(7)
    engine = bench.engine
    terms = [pack_terms(0, 1, side, 0, 0, 0) for side in (0, 1)]
    owners = [from_hex(ALICE), from_hex(BOB)]

    def stream(first: int) -> Iterator[OrderRow]:
        for number in range(first, first + 10_000):
            draw = pick.random()
            who = number & 1
            side = who if draw < 0.9 else 1 - who
            nonce = make_nonce(1 + (number >> 1) % 400, START + number)
            if draw < 0.3:
                nonce -= 200
                yield owners[who], CANCEL_TERMS, 0, 0, 0, 0, nonce, 0, b"", owners[who], b""
                continue
            price = 1_000 + (side or -1) * int(40 * draw) if draw < 0.85 else 1_000
            yield owners[who], terms[side], price, 5, 0, 10_000, nonce, 0, b"", owners[who], number.to_bytes(32, "big")

    gc.collect()
    gc.disable()
    try:
        for first in range(0, OPERATIONS, 10_000):
            engine.apply_rows(engine.sequence + 1, bench.at, stream(first))
            engine.take_events()
            bench.wait(1_000)
            while engine.batches.next_batch is not None:
                bench.settle()
            bench.log.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert engine.batches.last_fill > OPERATIONS // 100
    assert sum(len(account.open) for account in engine.accounts.values()) > 100
