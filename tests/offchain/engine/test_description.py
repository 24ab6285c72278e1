"""A state as events: whole, and in an order that does not depend on history."""

from scene import ALICE, BOB, BUY, QUOTE, RICH, SELL, Bench, open_market

from offchain.domain.chainlog import WithdrawalRequested
from offchain.domain.event import (
    AccountRestricted,
    ApprovalGranted,
    BalanceChanged,
    FeesChanged,
    LevelChanged,
    MarketOpened,
    MarketStateChanged,
    OrderAccepted,
    VenueStateChanged,
)


def described(bench: Bench, kind: type[object]) -> list[object]:
    return [event for event in bench.engine.describe() if isinstance(event, kind)]


def test_everything_a_read_model_needs() -> None:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, BUY, 100, 2)
    bench.place(BOB, BUY, 90, 1)
    bench.approve(BOB, 9)
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=2 * RICH, destination=ALICE, matures_at=5)
    kinds = [type(event) for event in bench.engine.describe()]
    order = [
        MarketOpened,
        MarketStateChanged,
        FeesChanged,
        VenueStateChanged,
        OrderAccepted,
        LevelChanged,
        AccountRestricted,
        BalanceChanged,
        ApprovalGranted,
    ]
    assert list(dict.fromkeys(kinds)) == order
    assert [event.filled_lots for event in described(bench, OrderAccepted)] == [2, 0]  # type: ignore[attr-defined]
    levels = [(e.side, e.price_ticks, e.size_lots) for e in described(bench, LevelChanged)]  # type: ignore[attr-defined]
    assert levels == [(BUY, 90, 1), (SELL, 100, 3)]
    assert described(bench, AccountRestricted) == [AccountRestricted(account=ALICE, cancel_only=True)]
    assert len(described(bench, BalanceChanged)) == 7


def test_an_unopened_venue_has_nothing_to_tell() -> None:
    assert list(Bench(None).engine.describe()) == []
