"""The ladder against sorted lists, and that nothing of a removed order stays behind."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene import ALICE, BASE, BOB, BUY, CAROL, QUOTE, SELL, START, open_market

from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce, to_row
from offchain.domain.reasons import CloseReason
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine import matching
from offchain.engine.admission import open_lane
from offchain.engine.amending import take_place
from offchain.engine.book import Book, level_changes
from offchain.engine.closing import close
from offchain.engine.fills import Fill
from offchain.engine.matching import Room, cross, is_fillable
from offchain.engine.orders import PLACES_MIN, Lane, Ticket
from offchain.engine.state import State
from offchain.engine.trading import rest

ACCOUNTS = [ALICE, BOB, CAROL]
MAKERS = 4


@pytest.fixture(autouse=True)
def _small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "FILLS_PER_RESTING_ORDER_MAX", MAKERS)


class Scene:
    """One market in which everybody can pay everything, and tickets that were never checked."""

    def __init__(self) -> None:
        self.state: State = open_market(quote=10**15, base=10**15).engine._state
        self.state.take_events()
        self.book: Book = self.state.books[1]

    def ticket(self, sequence: int, side: Side, price: int, size: int, account: Address = ALICE) -> Ticket:
        terms = (account, 0, 1, side, Kind.LIMIT, TimeInForce.GTC, 0, Ticks(price), Lots(size), Ticks(0), 10_000)
        order, state = Order(*terms, make_nonce(sequence, START), 0), self.state
        one = Ticket()
        one.lane = open_lane(state, to_row(order, b"", b"", b"")[1])
        one.trader = state.trader(self.book, state.accounts[account])
        one.moment, one.sequence, one.key, one.signature = state.moment, sequence, sequence.to_bytes(32, "big"), b""
        one.price, one.size, one.remaining, one.max_fee_ppm = price, size, size, 10_000
        one.nonce, one.expiry, one.is_fresh, one.reason, one.level = order.nonce, 0, False, None, None
        one.agent = None
        one.hold_per_lot = 10**6 if side is BUY else self.book.market.base_atoms_per_lot
        one.balance.taken += one.hold_per_lot * size
        return one

    def add(self, one: Ticket) -> None:
        rest(self.state, self.book.ladder(one.side), one)

    def remove(self, one: Ticket) -> None:
        close(self.state, one, CloseReason.CANCELED)

    def lane(self, one: Ticket) -> Lane:
        return one.lane

    def cross(self, taker: Ticket) -> list[tuple[Ticket, int]]:
        """The makers it met, with the lots; 0 lots: left, being the taker's own."""
        self.state.effects.clear()
        cross(self.state, self.lane(taker), taker)
        met: list[tuple[Ticket, int]] = []
        for effect in self.state.effects:
            if isinstance(effect, Fill):
                assert effect.maker is not None
                met.append((effect.maker, effect.size_lots))
            elif isinstance(effect, tuple) and effect[0] is CloseReason.SELF_TRADE:
                met.append((effect[1], 0))
        return met


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
    scene, model = Scene(), list[Ticket]()
    best_is_high = side is Side.BUY
    for number, (what, price, size, pick) in enumerate(steps, 1):
        account = ACCOUNTS[pick % 3]
        if what == "add":
            one = scene.ticket(number, side, price, size, account)
            scene.add(one)
            model.append(one)
        elif what == "remove" and model:
            one = model.pop(pick % len(model))
            scene.remove(one)
            assert one.level is None
        elif what == "cross":
            taker = scene.ticket(number, side.opposite, price, size * 3, account)
            check_cross(scene, model, taker, best_is_high)
        model.sort(key=lambda one: (-one.price if best_is_high else one.price, one.sequence))
        check_same(scene.book, model, side)


def check_cross(scene: Scene, model: list[Ticket], taker: Ticket, best_is_high: bool) -> None:
    book, limit = scene.book, taker.price
    meets = [one for one in model if (one.price >= limit if best_is_high else one.price <= limit)]
    strangers = [one for one in meets if one.account is not taker.account]
    fillable = is_fillable(scene.lane(taker), taker, Room(MAKERS))
    assert fillable == (sum(one.remaining for one in strangers[:4]) >= taker.remaining)
    assert book.is_crossed_by(taker.side, limit) == bool(meets)
    for one in model:
        assert book.is_crossed_by(taker.side, limit, one) == any(other is not one for other in meets)
    left, expected = taker.remaining, list[tuple[Ticket, int]]()
    for one in meets:
        if left == 0 or sum(lots > 0 for _, lots in expected) == 4:
            break
        lots = 0 if one.account is taker.account else min(left, one.remaining)
        expected.append((one, lots))
        left -= lots
    assert scene.cross(taker) == expected
    assert taker.remaining == left
    for one, lots in expected:
        if lots == 0 or one.remaining == 0:
            model.remove(one)


def check_same(book: Book, model: list[Ticket], side: Side) -> None:
    sizes: dict[int, int] = {}
    for one in model:
        sizes[one.price] = sizes.get(one.price, 0) + one.remaining
    ladder = book.ladder(side)
    assert [(level.price, level.size) for level in ladder.best_first()] == list(sizes.items())
    assert ladder.best == next(iter(sizes), ladder.empty)
    assert [one for level in ladder.best_first() for one in level.orders()] == model


def test_changes_are_told_once_with_the_size_at_the_end() -> None:
    scene = Scene()
    touched = scene.state.touched_levels
    first, second = scene.ticket(1, BUY, 5, 3), scene.ticket(2, BUY, 5, 4)
    scene.add(first)
    scene.add(second)
    scene.remove(first)
    (change,) = level_changes(touched)
    touched.clear()
    assert (change.side, change.price_ticks, change.size_lots) == (BUY, 5, 4)
    scene.remove(second)
    scene.add(scene.ticket(4, SELL, 8, 1))
    scene.add(scene.ticket(3, BUY, 5, 9))
    changes = [(change.side, change.price_ticks, change.size_lots) for change in level_changes(touched)]
    assert changes == [(BUY, 5, 9), (SELL, 8, 1)]


def test_a_match_keeps_every_hold_covered_and_sums_to_nothing() -> None:
    """Whoever takes."""
    for side in Side:
        scene = Scene()
        state = scene.state
        scene.add(scene.ticket(1, side, 7, 5))
        scene.cross(scene.ticket(2, side.opposite, 7, 3, BOB))
        for token in (QUOTE, BASE):
            assert state.ledger.totals(token)[1] == 0
        (fill,) = state.backlog.unsettled.values()
        buyer, seller = (ALICE, BOB) if side is BUY else (BOB, ALICE)
        paid = state.ledger.of(buyer, QUOTE)
        assert -paid.pending == paid.owed == fill.notional + (fill.maker_fee if side is BUY else fill.taker_fee)
        sold = state.ledger.of(seller, BASE)
        assert -sold.pending == sold.owed == 3 * scene.book.market.base_atoms_per_lot


def test_a_removed_order_leaves_no_cycle() -> None:
    """The collector is off in the sequencer: whatever leaves the book must die by its reference count."""
    scene = Scene()
    gc.collect()
    gc.disable()
    try:
        for number in range(50):
            tickets = [scene.ticket(number * 10 + n, BUY, 1 + n % 3, 1) for n in range(9)]
            for one in tickets:
                scene.add(one)
            for one in tickets[::2]:
                scene.remove(one)
            assert len(scene.cross(scene.ticket(10_000 + number, SELL, 1, 99, BOB))) == 4
            scene.state.take_events()
            del tickets, one
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_places_of_orders_that_left_are_given_up() -> None:
    """Behind one that stays: a level does not grow by who comes and goes, and no amendment makes it longer to read."""
    scene = Scene()
    stays, last = scene.ticket(1, BUY, 5, 1), scene.ticket(2, BUY, 5, 1)
    for one in (stays, last):
        scene.add(one)
    level = stays.level
    assert level is not None
    for number in range(3, 3 + 40 * PLACES_MIN):
        one = scene.ticket(number, BUY, 5, 1)
        if number % 2:
            scene.add(one)
            scene.remove(one)
        else:
            take_place(scene.state, stays, one)
            scene.remove(stays)
            stays = one
        assert list(level.orders()) == [stays, last] and level.first() is stays and level.size == 2
        if number % PLACES_MIN == 0:
            scene.state.skip_events()
            assert len(level.queue) <= level.limit <= 2 * 2 + PLACES_MIN
    scene.remove(stays)
    scene.remove(last)
    assert not scene.book.bids.levels and level.first() is None


def test_of_many_amendments_in_one_group_the_last_has_the_place() -> None:
    scene = Scene()
    first, second = scene.ticket(1, BUY, 5, 1), scene.ticket(2, BUY, 5, 1)
    scene.add(first)
    scene.add(second)
    for number in range(3, 3_000):
        newer = scene.ticket(number, BUY, 5, 1)
        take_place(scene.state, first, newer)
        scene.remove(first)
        first = newer
    level = first.level
    assert level is not None and list(level.orders()) == [first, second]
    assert scene.cross(scene.ticket(3_000, SELL, 5, 2, BOB)) == [(first, 1), (second, 1)]
