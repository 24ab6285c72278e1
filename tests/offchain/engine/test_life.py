"""The table of an order's life: every entry happens, and nothing else does."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ruled import RuledHistory
from scene import ALICE, BUY, CAROL, IOC, RICH, RULED_VENUE, SELL, START, Bench, open_market
from wishful import CalmHistory, WishfulHistory

from offchain.domain.beside import Beside
from offchain.domain.chainlog import OrderCancelledOnChain, WithdrawalRequested
from offchain.domain.command import CancelAllAfter, CancelMany, PostMark, Reading, SetMarketState
from offchain.domain.event import AnyEvent, OrderAccepted, OrderClosed, OrderTriggered
from offchain.domain.market import MarketState
from offchain.domain.reasons import CloseReason
from offchain.domain.terms import SetProtection
from offchain.engine.life import ORDER_LIFE, TRIGGERED, OrderState

WAITING, OPEN = OrderState.WAITING, OrderState.OPEN
PAGE = Path(__file__).parents[3] / "docs" / "orders.md"


class Lives:
    """Follows every order through the table."""

    def __init__(self) -> None:
        self.states: dict[str, OrderState] = {}
        self.walked: dict[tuple[OrderState, str], None] = {}

    def hear(self, events: tuple[AnyEvent, ...]) -> None:
        for event in events:
            if isinstance(event, OrderAccepted):
                assert event.digest not in self.states
                self.states[event.digest] = WAITING if event.is_waiting else OPEN
            elif isinstance(event, OrderTriggered) and event.refusal is None:
                self._go(event.digest, TRIGGERED)
            elif isinstance(event, OrderClosed):
                self._go(event.digest, event.reason)

    def _go(self, digest: str, trigger: str) -> None:
        step = self.states[digest], trigger
        self.states[digest] = ORDER_LIFE[step]
        self.walked[step] = None


def mark(bench: Bench, price: int) -> None:
    bench.do(PostMark(market=1, readings=(Reading(CAROL, price, bench.at // 1000),)))


def pair(bench: Bench, *, of_waiting: bool) -> None:
    """Alice has an order in slot 8; one in slot 9 is linked to it, and one of the two is done."""
    nonce = next(iter(bench.engine.accounts[ALICE].open))
    bench.place(ALICE, SELL, 110, 5, slot=9, trigger=50, beside=Beside(other=nonce))
    if of_waiting:
        mark(bench, 40)
    else:
        bench.place(CAROL, BUY, 110, 5, tif=IOC)


def refuse(bench: Bench) -> None:
    bench.place(CAROL, BUY, 110, 2, tif=IOC)
    bench.wait(1_000)
    bench.settle((0, 1))


ACTS: dict[str, Callable[[Bench], object]] = {
    TRIGGERED: lambda bench: mark(bench, 100),
    "FILLED": lambda bench: bench.place(CAROL, BUY, 110, 5, tif=IOC),
    "CANCELED": lambda bench: bench.cancel_all(ALICE),
    "REPLACED": lambda bench: bench.place(ALICE, SELL, 120, 1, slot=8),
    "EXPIRED": lambda bench: bench.wait(60_000),
    "IMMEDIATE_REMAINDER": lambda bench: bench.place(ALICE, SELL, 120, 1, tif=IOC),
    "SELF_TRADE": lambda bench: bench.place(ALICE, BUY, 110, 5),
    "UNCOVERED": lambda bench: bench.see(
        WithdrawalRequested,
        account=ALICE,
        token=bench.engine.books[1].market.base_token,
        amount=RICH * 10**12,
        destination=ALICE,
        matures_at=5,
    ),
    "FILL_REFUSED": refuse,
    "CANCELED_ON_CHAIN": lambda bench: bench.see(
        OrderCancelledOnChain, account=ALICE, nonce=next(iter(bench.engine.accounts[ALICE].open)), effective_at=5
    ),
    "DELISTED": lambda bench: bench.do(SetMarketState(market=1, state=MarketState.DELISTED)),
    "DISCONNECTED": lambda bench: bench.do(CancelMany(account=ALICE, signer=ALICE, is_disconnect=True)),
    "PROTECTED": lambda bench: [
        bench.place(ALICE, SELL, 105, 1, slot=7, flags=64),
        bench.place(CAROL, BUY, 105, 1, tif=IOC),
    ],
    "TIMED_OUT": lambda bench: [
        bench.do(CancelAllAfter(account=ALICE, signer=ALICE, timeout_millis=1_000)),
        bench.wait(1_000),
    ],
}


def act_of(state: OrderState, trigger: str) -> Callable[[Bench], object]:
    if trigger == CloseReason.LINKED:
        return lambda bench: pair(bench, of_waiting=state is OPEN)
    if trigger == CloseReason.TRIGGER_REFUSED:
        return lambda bench: [bench.do(SetMarketState(market=1, state=MarketState.PAUSED)), mark(bench, 100)]
    return ACTS[trigger]


def lived(state: OrderState, trigger: str) -> Lives:
    bench, lives = open_market(venue=RULED_VENUE), Lives()
    bench.do(SetProtection(account=ALICE, signer=ALICE, protection=0, window_millis=1_000, amount_max=1))
    apply = bench.engine.apply

    def do(command: object, after: int = 1) -> tuple[AnyEvent, ...]:
        bench.at += after
        bench.events = apply(bench.engine.sequence + 1, bench.at, command)  # type: ignore[arg-type]
        lives.hear(bench.events)
        return bench.events

    bench.do = do  # type: ignore[method-assign,assignment]
    expiry = START // 1000 + 30 if trigger == CloseReason.EXPIRED else 0
    if trigger == CloseReason.LINKED and state is WAITING:
        bench.place(ALICE, SELL, 110, 5, slot=8)
    else:
        trigger_price, flags = 100 if state is WAITING else 0, 64 if trigger == CloseReason.PROTECTED else 0
        bench.place(ALICE, SELL, 110, 5, slot=8, trigger=trigger_price, expiry=expiry, flags=flags)
    act_of(state, trigger)(bench)
    return lives


@pytest.mark.parametrize(("state", "trigger"), ORDER_LIFE)
def test_every_entry_happens(state: OrderState, trigger: str) -> None:
    assert (state, trigger) in lived(state, trigger).walked


def test_the_ends_are_ends() -> None:
    left = {state for state, _ in ORDER_LIFE}
    assert left == {WAITING, OPEN} and {trigger for _, trigger in ORDER_LIFE} == {TRIGGERED, *CloseReason}


@pytest.mark.parametrize("kind", [CalmHistory, WishfulHistory, RuledHistory])
def test_nothing_else_happens(kind: type[WishfulHistory]) -> None:
    lives = Lives()
    for _, _, _, events in kind(41).steps(1_500):
        lives.hear(events)
    assert len(lives.walked) >= 8


def test_the_page_has_the_table() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(("| waiting |", "| open |"))]
    cells = [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]
    told = {
        (OrderState(state), trigger): OrderState(end)
        for state, triggers, end, _ in cells
        for trigger in triggers.replace("`", "").split(", ")
    }
    assert told == ORDER_LIFE
