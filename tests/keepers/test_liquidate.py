"""The liquidate keeper: which positions are weak, and what it does about them. On a real chain: the demo."""

from hypothesis import given
from hypothesis import strategies as st

from keepers.liquidate import Absorb, Book, Liquidate, Observation, Warn, Weak, decide, is_weak
from offchain.domain.units import Address

BTC, ETH = Address("0x" + "b1" * 20), Address("0x" + "e1" * 20)
ONE, TWO, THREE = (Address("0x" + digit * 40) for digit in "123")
BOOK = Book(BTC, "BTC-USDC", "BTC", 18, 130, 60_000 * 10**6)


def weak(account: Address, debt: int, synth: Address = BTC, is_busy: bool = False) -> Weak:
    return Weak(synth, "BTC" if synth == BTC else "ETH", account, debt, 18, is_busy)


def test_weak_is_below_maintenance_to_the_atom() -> None:
    debt = 10**18
    enough = 60_000 * 10**6 * 130 // 100
    assert not is_weak(BOOK, enough, debt)
    assert is_weak(BOOK, enough - 1, debt)
    assert not is_weak(BOOK, 0, 0)
    assert is_weak(BOOK, 1, 1), "one atom of debt is worth a unit, rounded up, and needs 1.3 of them"


def test_largest_debts_first_as_far_as_the_stock_reaches() -> None:
    seen = Observation((weak(ONE, 5), weak(TWO, 9), weak(THREE, 3)), {BTC: 12}, 8)
    assert decide(seen) == [
        Liquidate(weak(TWO, 9), 9),
        Liquidate(weak(ONE, 5), 3),
        Warn(f"no BTC in the Vault account to liquidate {THREE} with"),
    ]


def test_a_position_under_water_goes_to_the_insurance_account() -> None:
    assert decide(Observation((weak(ONE, 0),), {BTC: 0}, 8)) == [Absorb(weak(ONE, 0))]


def test_what_is_in_flight_is_not_sent_again() -> None:
    assert decide(Observation((weak(ONE, 5, is_busy=True),), {BTC: 12}, 8)) == []


@given(
    st.lists(st.tuples(st.sampled_from([ONE, TWO, THREE]), st.integers(0, 50), st.sampled_from([BTC, ETH]))),
    st.integers(0, 100),
    st.integers(0, 8),
)
def test_never_more_than_the_stock_and_the_room(
    found: list[tuple[Address, int, Address]], stock: int, room: int
) -> None:
    positions = tuple(weak(account, debt, synth) for account, debt, synth in found)
    actions = decide(Observation(positions, {BTC: stock, ETH: stock}, room))
    sent = [action for action in actions if isinstance(action, Liquidate | Absorb)]
    assert len(sent) <= room
    for token in (BTC, ETH):
        burned = [act.debt for act in sent if isinstance(act, Liquidate) and act.position.synth == token]
        assert sum(burned) <= stock
        assert all(burned)
