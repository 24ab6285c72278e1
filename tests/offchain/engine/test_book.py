"""The ladder against sorted lists, and that nothing of a removed order stays behind."""

import gc

from hypothesis import given
from hypothesis import strategies as st
from scene import ALICE, BUY, QUOTE, SELL, START

from offchain.domain.event import OrderAccepted
from offchain.domain.market import Market
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Digest, Lots, Ticks
from offchain.engine.book import Book
from offchain.engine.ledger import Balance
from offchain.engine.matching import Room, cross, is_fillable
from offchain.engine.orders import Account, Ticket

MARKET = Market(
    market=1,
    symbol="B-U",
    base_token=Address("0x" + "11" * 20),
    base_atoms_per_lot=1,
    quote_atoms_per_tick_lot=1,
    base_decimals=0,
    quote_decimals=0,
)
ACCOUNTS = [Account(Address(f"0x{number:040x}")) for number in range(3)]


def ticket(sequence: int, side: Side, price: int, size: int, account: Account = ACCOUNTS[0]) -> Ticket:
    terms = (account.address, 0, 1, side, Kind.LIMIT, TimeInForce.GTC, 0, Ticks(price), Lots(size), Ticks(0), 10_000)
    order = Order(*terms, make_nonce(1, START + sequence), 0)
    accepted = OrderAccepted(
        sequence=sequence,
        at=0,
        digest=Digest(f"0x{sequence:064x}"),
        account=account.address,
        subaccount=0,
        market=1,
        side=side,
        kind=0,
        time_in_force=0,
        flags=0,
        price_ticks=price,
        size_lots=size,
        nonce=order.nonce,
        expiry=0,
        client_order_id="",
        maker_fee_ppm=0,
        taker_fee_ppm=0,
    )
    return Ticket(order, b"", accepted, account, Balance(ALICE, QUOTE), 1)


Step = tuple[str, int, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("add", "add", "remove", "cross")), st.integers(1, 9), st.integers(1, 6), st.integers(0, 99)
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from(Side))
def test_against_sorted_lists(steps: list[Step], side: Side) -> None:
    """One side rests, the other only crosses; everything is compared after every step."""
    book, model = Book(MARKET), list[Ticket]()
    best_is_high = side is Side.BUY
    for number, (what, price, size, pick) in enumerate(steps, 1):
        account = ACCOUNTS[pick % 3]
        if what == "add":
            one = ticket(number, side, price, size, account)
            book.add(one)
            model.append(one)
        elif what == "remove" and model:
            one = model.pop(pick % len(model))
            book.remove(one)
            assert one.level is one.older is one.newer is None
        elif what == "cross":
            taker = ticket(number, side.opposite, price, size * 3, account)
            check_cross(book, model, taker, best_is_high)
        model.sort(key=lambda one: (-one.order.price_ticks if best_is_high else one.order.price_ticks, one.sequence))
        check_same(book, model, side)


def check_cross(book: Book, model: list[Ticket], taker: Ticket, best_is_high: bool) -> None:
    limit = taker.order.price_ticks
    meets = [
        one for one in model if (one.order.price_ticks >= limit if best_is_high else one.order.price_ticks <= limit)
    ]
    strangers = [one for one in meets if one.account is not taker.account]
    assert is_fillable(book, taker, Room(4)) == (sum(one.remaining for one in strangers[:4]) >= taker.remaining)
    assert book.is_crossed_by(taker.order.side, limit) == bool(meets)
    for one in model:
        assert book.is_crossed_by(taker.order.side, limit, one) == any(other is not one for other in meets)
    left, expected = taker.remaining, list[tuple[Ticket, int]]()
    for one in meets:
        if left == 0 or sum(lots > 0 for _, lots in expected) == 4:
            break
        lots = 0 if one.account is taker.account else min(left, one.remaining)
        expected.append((one, lots))
        left -= lots
    assert list(cross(book, taker, Room(4))) == expected
    assert taker.remaining == left
    for one, lots in expected:
        if lots == 0 or one.remaining == 0:
            model.remove(one)


def check_same(book: Book, model: list[Ticket], side: Side) -> None:
    sizes: dict[int, int] = {}
    for one in model:
        sizes[one.order.price_ticks] = sizes.get(one.order.price_ticks, 0) + one.remaining
    ladder = book.ladder(side)
    assert [(level.price, level.size) for level in ladder.best_first()] == list(sizes.items())
    queue = []
    for level in ladder.best_first():
        one = level.head
        while one is not None:
            queue.append(one)
            one = one.newer
    assert queue == model


def test_changes_are_told_once_with_the_size_at_the_end() -> None:
    book = Book(MARKET)
    first, second = ticket(1, BUY, 5, 3), ticket(2, BUY, 5, 4)
    book.add(first)
    book.add(second)
    book.remove(first)
    (change,) = book.take_changes()
    assert (change.side, change.price_ticks, change.size_lots) == (BUY, 5, 4)
    assert book.take_changes() == []
    book.remove(second)
    book.add(ticket(3, BUY, 5, 9))
    book.add(ticket(4, SELL, 8, 1))
    changes = [(change.side, change.price_ticks, change.size_lots) for change in book.take_changes()]
    assert changes == [(BUY, 5, 9), (SELL, 8, 1)]


def test_a_removed_order_leaves_no_cycle() -> None:
    """The collector is off in the sequencer: whatever leaves the book must die by its reference count."""
    book = Book(MARKET)
    gc.collect()
    gc.disable()
    try:
        for round_number in range(50):
            tickets = [ticket(round_number * 10 + n, BUY, 1 + n % 3, 1) for n in range(9)]
            for one in tickets:
                book.add(one)
            for one in tickets[::2]:
                book.remove(one)
            assert sum(1 for _ in cross(book, ticket(10_000 + round_number, SELL, 1, 99, ACCOUNTS[1]), Room(99))) == 4
            book.take_changes()
            del tickets, one
        assert gc.collect() == 0
    finally:
        gc.enable()
