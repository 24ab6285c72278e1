"""What the itemized rules know of a batch: fixed at the match, the same after a restore, and never too little."""

import random

import msgspec
import pytest
from scene import (
    ALICE,
    BASE,
    BOB,
    BUY,
    CAROL,
    DAVE,
    FEES,
    FOK,
    GTC,
    IOC,
    ITEMIZED_VENUE,
    QUOTE,
    SELL,
    Bench,
    address,
    market_log,
)

from offchain.domain.batch import ITEMIZED_RULES, PACKED_RULES, BatchRules
from offchain.domain.chainlog import (
    AllOrdersCancelledOnChain,
    OrderCancelledOnChain,
    SynthRegistered,
    WithdrawalRequested,
)
from offchain.domain.command import ObserveLog
from offchain.domain.event import BatchClosed, FillMatched
from offchain.domain.limits import FILLS_PER_IMMEDIATE_ORDER_MAX
from offchain.domain.order import make_nonce
from offchain.engine.engine import Engine
from offchain.engine.fills import Backlog
from offchain.engine.load import Load

UNITS, LOTS = 10**12, 10**6


def venue(*, is_known: bool = True, rules: BatchRules = ITEMIZED_VENUE.batch_rules) -> Bench:
    """ALICE sells, BOB buys; `is_known`: each has the other token, too, and so has the account of the fees."""
    bench = Bench(msgspec.structs.replace(ITEMIZED_VENUE, batch_rules=rules))
    bench.see(SynthRegistered, token=BASE)
    bench.do(ObserveLog(log=market_log(2)))
    bench.fund(ALICE, UNITS if is_known else 0, LOTS)
    bench.fund(BOB, UNITS, LOTS if is_known else 0)
    if is_known:
        bench.fund(FEES, 1)
    return bench


def load(bench: Bench) -> Load:
    return bench.engine.batches.load


def counts(bench: Bench) -> tuple[int, int, int, int, int]:
    """Orders, slots, fresh slots, rows, fresh rows."""
    found = load(bench)
    return len(found.orders), found.resting, sum(found.orders.values()), len(found.rows), found.fresh_rows


def trade(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 5, slot=1)
    bench.place(BOB, BUY, 100, 2, tif=IOC)


def test_strangers_to_a_token() -> None:
    bench = venue(is_known=False)
    trade(bench)
    assert counts(bench) == (2, 1, 1, 5, 3), "ALICE's units, BOB's lots and the fees are new"


def test_accounts_that_have_both() -> None:
    bench = venue()
    trade(bench)
    assert counts(bench) == (2, 1, 1, 5, 0)
    bench.wait(1_000)
    bench.settle()
    trade(bench)
    assert counts(bench) == (2, 1, 0, 5, 0), "the slot was used; an immediate order has none"


def test_what_is_owed_or_leaves_is_not_there() -> None:
    bench = venue()
    everything = LOTS * 10**12
    bench.see(WithdrawalRequested, account=BOB, token=BASE, amount=everything, matures_at=1, destination=BOB)
    trade(bench)
    assert counts(bench) == (2, 1, 1, 5, 1), "BOB's lots may have left by then"
    assert load(bench).requests == 1
    bench = venue()
    bench.place(ALICE, SELL, 100, LOTS, slot=1)
    bench.place(BOB, BUY, 100, LOTS, tif=IOC)
    bench.wait(1_000)
    bench.place(BOB, SELL, 100, 1, slot=1)
    bench.fund(CAROL, UNITS, 1)
    bench.place(CAROL, BUY, 100, 1, tif=IOC)
    bench.wait(1_000)
    bench.place(CAROL, BUY, 90, 1, slot=1)
    bench.place(BOB, SELL, 90, 1, tif=IOC)
    assert load(bench).fresh_rows == 0
    bench.place(ALICE, BUY, 80, 1, slot=2)
    bench.place(BOB, SELL, 80, 1, tif=IOC)
    assert load(bench).fresh_rows == 1, "ALICE owes all of her lots to an earlier batch"


def test_an_immediate_order_leaves_its_sequence_in_the_account_s_word() -> None:
    """So the word of the settlement token is never 0 again, whatever becomes of the balance."""
    bench = venue(is_known=False)
    for _ in range(2):
        trade(bench)
        bench.wait(1_000)
        bench.settle()
    units = bench.balance(BOB, QUOTE).settled
    bench.see(WithdrawalRequested, account=BOB, token=QUOTE, amount=units, matures_at=1, destination=BOB)
    bench.place(CAROL, BUY, 100, 1, slot=1)
    bench.fund(CAROL, UNITS)
    bench.place(CAROL, BUY, 100, 1, slot=1)
    bench.place(BOB, SELL, 100, 1, tif=IOC)
    assert load(bench).fresh_rows == 1, "CAROL's lots only"


def test_cancels_on_chain_cost_looks() -> None:
    bench = venue()
    bench.see(OrderCancelledOnChain, account=ALICE, nonce=make_nonce(3, 1), effective_at=1)
    trade(bench)
    assert load(bench).looks == 2
    for floor in (1, 2, 3):
        bench.see(AllOrdersCancelledOnChain, account=ALICE, floor=floor, effective_at=1)
    assert load(bench).looks == 2, "what comes after the match changes nothing"
    bench.place(ALICE, SELL, 99, 1, slot=4)
    bench.place(BOB, BUY, 99, 1, tif=IOC)
    assert load(bench).looks == 2 + 4


def test_a_fill_that_is_counted_later_is_counted_as_it_was() -> None:
    bench = venue()
    for number in range(3):
        bench.place(ALICE, SELL, 100, 1, slot=number + 1)
        bench.place(BOB, BUY, 100, 1, slot=number + 1, tif=GTC)
    for floor in (1, 2, 3):
        bench.see(AllOrdersCancelledOnChain, account=ALICE, floor=floor, effective_at=1)
    bench.fund(BOB, 5)
    assert (load(bench).fills, load(bench).looks) == (3, 0)
    bench.place(ALICE, SELL, 100, 1, slot=9)
    bench.place(BOB, BUY, 100, 1, slot=9, tif=GTC)
    assert (load(bench).fills, load(bench).looks) == (4, 3)


def random_batches(seed: int, rules: BatchRules) -> list[BatchClosed]:
    """Of strangers and old hands, who cancel on chain, and ask for their money, between two orders that match."""
    chance, bench = random.Random(seed), venue(rules=rules)
    people, closed, floors = [address(0x900 + number) for number in range(30)], [], 0
    for number, account in enumerate(people):
        bench.fund(account, UNITS if number % 3 else 0, 0 if number % 5 == 0 else LOTS)
    for number in range(600):
        account, side = chance.choice(people), chance.choice([BUY, SELL])
        bench.place(account, side, chance.randint(95, 105), chance.randint(1, 4), slot=number % 50 + 1, tif=GTC)
        closed += bench.all(BatchClosed)
        if number % 17 == 0:
            floors += 1
            bench.see(AllOrdersCancelledOnChain, account=account, floor=floors, effective_at=1)
        if number % 23 == 0:
            bench.see(WithdrawalRequested, account=account, token=BASE, amount=1, matures_at=1, destination=account)
        if number % 40 == 0:
            bench.wait(1_000)
            closed += bench.all(BatchClosed)
            while bench.engine.batches.next_batch is not None:
                bench.settle()
    return closed


@pytest.mark.parametrize("rules", [PACKED_RULES, ITEMIZED_RULES, ITEMIZED_VENUE.batch_rules])
def test_batches_close_where_they_would_if_every_fill_were_counted_at_once(
    rules: BatchRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [random_batches(seed, rules) for seed in range(3)]
    assert any(batch.last - batch.first > 5 for batch in found[0])
    monkeypatch.setattr(Backlog, "_look_ahead", lambda self: None)
    assert [random_batches(seed, rules) for seed in range(3)] == found


@pytest.mark.parametrize("is_known", [True, False])
def test_a_restored_engine_counts_on(is_known: bool) -> None:
    bench = venue(is_known=is_known)
    bench.see(OrderCancelledOnChain, account=ALICE, nonce=make_nonce(3, 1), effective_at=1)
    bench.see(WithdrawalRequested, account=ALICE, token=BASE, amount=1, matures_at=1, destination=ALICE)
    trade(bench)
    before = load(bench).gas
    bench.see(AllOrdersCancelledOnChain, account=ALICE, floor=1, effective_at=1)
    bench.fund(ALICE, 5)
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.snapshot() == bench.engine.snapshot()
    assert restored.batches.load.gas == load(bench).gas == before
    assert restored.venue == ITEMIZED_VENUE


def ladder(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.place(address(0x900 + number), SELL, 100 + number, 1, slot=1)


def crowd(bench: Bench, count: int, *, is_known: bool) -> None:
    for number in range(count):
        bench.fund(address(0x900 + number), UNITS if is_known else 0, LOTS)


@pytest.mark.parametrize(("rules", "makers"), [(ITEMIZED_RULES, 40), (ITEMIZED_VENUE.batch_rules, 26)])
@pytest.mark.parametrize("tif", [IOC, FOK])
def test_an_immediate_order_fills_against_known_makers_at_once(tif: object, rules: BatchRules, makers: int) -> None:
    """Forty, if what its accounts may do after the match is not looked at."""
    bench = venue(rules=rules)
    crowd(bench, 41, is_known=True)
    for _ in range(5):  # whoever was met has used its slot then
        ladder(bench, 41)
        bench.place(BOB, BUY, 1_000, 41, tif=IOC)
        bench.wait(1_000)
        while bench.engine.batches.next_batch is not None:
            bench.settle()
    ladder(bench, 41)
    before = bench.engine.batches.last_batch
    bench.place(BOB, BUY, 1_000, makers, tif=tif)
    assert len(bench.all(FillMatched)) == makers <= FILLS_PER_IMMEDIATE_ORDER_MAX == 40
    bench.wait(1_000)
    assert bench.engine.batches.last_batch == before + 1


def test_against_makers_who_have_nothing_it_ends_earlier_and_fits() -> None:
    bench = venue(is_known=False)
    crowd(bench, 41, is_known=False)
    ladder(bench, 41)
    bench.place(BOB, BUY, 1_000, 41, tif=IOC)
    matched = len(bench.all(FillMatched))
    assert 10 < matched < 40
    closed = bench.engine.batches.load
    assert closed.gas <= ITEMIZED_VENUE.batch_gas_max
    one_more = ITEMIZED_VENUE.batch_rules
    assert closed.gas + one_more.gas_per_order + 2 * one_more.gas_per_row > ITEMIZED_VENUE.batch_gas_max * 0.95


@pytest.mark.parametrize(("rules", "pairs"), [(ITEMIZED_RULES, 24), (ITEMIZED_VENUE.batch_rules, 13)])
def test_pairs_of_known_strangers_in_a_batch(rules: BatchRules, pairs: int) -> None:
    bench = venue(rules=rules)
    crowd(bench, 60, is_known=True)
    closed = []
    for _ in range(2):
        for number in range(0, 60, 2):
            bench.place(address(0x900 + number), SELL, 100, 1, slot=1)
            bench.place(address(0x901 + number), BUY, 100, 1, slot=1, tif=GTC)
            closed += bench.all(BatchClosed)
        bench.wait(1_000)
        while bench.engine.batches.next_batch is not None:
            bench.settle()
    assert max(batch.last - batch.first + 1 for batch in closed) == pairs


def test_rules_in_a_snapshot_are_the_venue_s() -> None:
    other = msgspec.structs.replace(
        ITEMIZED_VENUE.batch_rules, gas_per_row=1_234, gas_per_proof=7, gas_turned_max=10**7
    )
    bench = Bench(msgspec.structs.replace(ITEMIZED_VENUE, batch_rules=other))
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.venue is not None and restored.venue.batch_rules == other
    assert DAVE not in restored.accounts
