"""The streams of the benchmark: the same ones for ever, and what the plain book makes of them."""

import random
from pathlib import Path

import pytest

from bench.operations import (
    ADD,
    CANCEL,
    MAKERS_OF_TAKE_MAX,
    MOVE,
    TAKE,
    Digest,
    Operation,
    PlainBook,
    PlainBooks,
    Workload,
)
from bench.workloads import SEEDS, WORKLOADS, stored

COUNT = 2_000
# A figure that was published names the hash of its workload: another hash is another benchmark.
HASHES = {
    "mixed": "248e0c8565fe9983",
    "moving": "c65a348a01ddc01f",
    "cancelling": "aa3374126147ad77",
    "avalanche": "6149f3bc874a2f23",
    "adversarial": "3f4c19632cca7514",
    "markets": "ed6e1259f18628a5",
    "feed": "dd027522ac051eb4",
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_seed_makes_the_same_stream_for_ever(name: str) -> None:
    assert WORKLOADS[name](7, count=COUNT).sha256[:16] == HASHES[name]


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_replayed_reaches_its_digest(name: str, seed: int) -> None:
    workload = WORKLOADS[name](seed, count=COUNT)
    books = PlainBooks(workload.markets)
    for operation in workload.preload + workload.operations:
        books.play(operation)
    assert books.digest == workload.digest
    assert abs(len(workload.operations) - COUNT) <= 10


def share(workload: Workload, kind: int) -> float:
    return sum(operation.kind == kind for operation in workload.operations) / len(workload.operations)


def test_the_mixes_are_as_described() -> None:
    mixed, moving, feed = (WORKLOADS[name](7, count=10_000) for name in ("mixed", "moving", "feed"))
    assert share(mixed, CANCEL) == pytest.approx(0.3, abs=0.02)
    assert share(moving, MOVE) == pytest.approx(0.82, abs=0.02)
    assert share(moving, TAKE) == pytest.approx(0.03, abs=0.01)
    assert share(feed, ADD) == pytest.approx(0.48, abs=0.02)
    assert share(feed, CANCEL) == pytest.approx(0.48, abs=0.02)
    assert 900 <= moving.digest.resting <= 1_000


def test_an_avalanche_sweeps_levels_by_the_dozen() -> None:
    workload = WORKLOADS["avalanche"](7, count=2_000)
    assert workload.digest.trades > 25 * 50
    assert workload.most_fills > 50


def test_orders_of_one_price_meet_in_the_order_of_their_arrival() -> None:
    book = PlainBook()
    for order in (1, 2, 3):
        book.add(order, 1, 100, 5)
    book.cancel(1)
    book.add(4, 0, 101, 6)
    assert book.left == {3: (1, 100, 4, 3)}
    assert (book.trades, book.quantity, book.notional) == (2, 6, 600)


def test_a_moved_order_queues_up_again() -> None:
    books = PlainBooks(1)
    for operation in (
        Operation(ADD, 1, 0, 1, 100, 5),
        Operation(ADD, 2, 0, 1, 100, 5),
        Operation(MOVE, 1, 0, 1, 100, 5),
        Operation(TAKE, 3, 0, 0, 100, 5),
    ):
        books.play(operation)
    assert list(books.books[0].left) == [1]


def test_what_is_taken_never_rests() -> None:
    book = PlainBook()
    book.add(1, 1, 100, 5)
    book.add(2, 0, 100, 9, rests=False)
    assert not book.left
    assert book.best(0) is None


def test_more_makers_than_hooats_takes_at_once_fail_the_generator() -> None:
    book = PlainBook()
    for order in range(MAKERS_OF_TAKE_MAX + 1):
        book.add(order, 1, 100, 1)
    with pytest.raises(AssertionError, match="meets 41 others"):
        book.add(99, 0, 100, 41, rests=False)


def test_the_plain_book_agrees_with_a_plainer_one() -> None:
    """Every resting order in one list, sorted anew for every order that comes."""
    chance = random.Random(5)
    book, resting, trades = PlainBook(), [], 0
    for number in range(2_000):
        if resting and chance.random() < 0.3:
            gone = resting.pop(chance.randrange(len(resting)))
            book.cancel(gone[0])
            continue
        side, price, size = chance.randrange(2), 100 + chance.randint(-9, 9), chance.randint(1, 9)
        book.add(number, side, price, size)
        sign = -1 if side else 1
        for other in sorted((o for o in resting if o[1] != side), key=lambda o: (sign * o[2], o[0])):
            if not size or sign * other[2] > sign * price:
                break
            taken = min(size, other[3])
            size, other[3], trades = size - taken, other[3] - taken, trades + 1
        resting = [other for other in resting if other[3]]
        if size:
            resting.append([number, side, price, size])
    assert book.trades == trades
    assert {order: found[:3] for order, found in book.left.items()} == {o[0]: tuple(o[1:]) for o in resting}


def test_a_stored_workload_is_read_back_whole(tmp_path: Path) -> None:
    path = stored(tmp_path, "markets", 11, count=500, preload=300)
    workload = WORKLOADS["markets"](11, count=500, preload=300)
    assert Workload.load(path) == workload
    assert isinstance(Workload.load(path).digest, Digest)
    assert stored(tmp_path, "markets", 11, count=500, preload=300) == path
