"""The list keeper: what it decides. On a real chain: tests/system and the demo."""

from typing import Any

import msgspec
import pytest

from keepers import list as keeper
from keepers.list import (
    KIND,
    PAUSE_SECONDS_MAX,
    RETRY_SECONDS,
    REVERTS_MAX,
    Done,
    GiveUp,
    Lister,
    Observation,
    Reverts,
    Send,
    decide,
    next_row,
)
from keepers.trial import Trial
from offchain.chain.listing import ListingStep
from offchain.domain.event import MarketRequested, MarketWithdrawn
from offchain.domain.units import Address
from offchain.storage.ops import OutboxRow
from offchain.storage.transactions import Transaction
from offchain.storage.transactions import TransactionState as S

REQUEST = MarketRequested(
    market=3,
    symbol="SOL-USDC",
    synth_symbol="hSOL",
    synth_name="HOOATS Solana",
    base_atoms_per_lot=10**16,
    quote_atoms_per_tick_lot=10,
    ceiling=10**24,
    initial_percent=150,
    maintenance_percent=130,
    bonus_percent=5,
    quorum=1,
    max_age_seconds=300,
    max_move_ppm_per_minute=10_000,
    by=Address("0x" + "11" * 20),
)
STEP = ListingStep("create hSOL", Address("0x" + "22" * 20), b"\x01", Address("0x" + "22" * 20), b"\x02", bool)


def seen(
    step: ListingStep | None, state: S | None = None, obstacle: str = "", retry_at: int = 0, now: int = 100
) -> Observation:
    return Observation(REQUEST, 0, step, obstacle, state, retry_at, now)


def test_nothing_asked_nothing_done() -> None:
    assert decide(None) == []


def test_the_first_missing_step_is_sent() -> None:
    assert decide(seen(STEP)) == [Send(REQUEST, 0, STEP)]
    assert decide(seen(STEP, S.FAILED)) == [Send(REQUEST, 0, STEP)]


@pytest.mark.parametrize("state", [S.PLANNED, S.SIGNED, S.SENT, S.MINED, S.FINAL])
def test_a_step_on_its_way_is_waited_for(state: S) -> None:
    """FINAL and still missing: the node that was asked lags."""
    assert decide(seen(STEP, state)) == []


def test_after_a_revert_it_waits() -> None:
    assert decide(seen(STEP, retry_at=110)) == []
    assert decide(seen(STEP, retry_at=110, now=110)) == [Send(REQUEST, 0, STEP)]


def reverted(times: int, at: int = 100, step: int = 0) -> Reverts:
    found = Reverts()
    for _ in range(times):
        found = found.again(step, "create hSOL: MalformedFeed()", at)
    return found


def test_reverts_in_a_row_pause_longer_and_longer() -> None:
    pauses = [reverted(times).retry_at - 100 for times in range(1, 20)]
    assert pauses[:REVERTS_MAX] == [RETRY_SECONDS] * REVERTS_MAX
    assert pauses == sorted(pauses) and pauses[REVERTS_MAX] == 2 * RETRY_SECONDS
    assert pauses[-1] == max(pauses) == PAUSE_SECONDS_MAX
    assert [reverted(times).is_aside for times in (0, REVERTS_MAX - 1, REVERTS_MAX)] == [False, False, True]


def test_another_step_begins_to_count_anew() -> None:
    """The one before was done by somebody."""
    moved = reverted(7).again(1, "register hSOL: NotLister()", 100)
    assert (moved.times, moved.retry_at, moved.is_aside) == (1, 100 + RETRY_SECONDS, False)


def test_what_keeps_reverting_does_not_hold_up_the_next() -> None:
    """One request that the oracle refused for ever once stood in the way of every market after it."""
    rows = [msgspec.structs.replace(REQUEST, market=number) for number in (3, 4, 5)]
    assert next_row(rows, {}, 100) == rows[0]
    assert next_row(rows, {3: reverted(REVERTS_MAX - 1)}, 100) == rows[0], "its role may be on its way"
    aside = reverted(REVERTS_MAX)
    assert next_row(rows, {3: aside}, 100) == rows[1]
    assert next_row(rows, {3: aside, 4: reverted(1)}, 100) == rows[1], "in order"
    assert next_row(rows, {3: aside, 4: aside, 5: aside}, 100) is None
    assert next_row(rows, {3: aside, 4: aside}, aside.retry_at) == rows[0], "it comes back"
    assert next_row([], {}, 100) is None


def test_all_steps_done() -> None:
    assert decide(seen(None, S.FINAL)) == [Done(REQUEST)]


def test_other_terms_under_the_same_number_are_left_alone() -> None:
    assert decide(seen(None, obstacle="market 3 is listed with other terms")) == [
        GiveUp(REQUEST, "market 3 is listed with other terms")
    ]


class World:
    """What a `Lister` touches: rows 3 and 4 of the outbox, a clock, and a chain that refuses market 3's step."""

    address = Address("0x" + "55" * 20)

    def __init__(self) -> None:
        rows = {3: REQUEST, 4: msgspec.structs.replace(REQUEST, market=4, symbol="GOOD-USDC")}
        self.rows = [OutboxRow(KIND, key, msgspec.json.encode(row), key, 0, "") for key, row in rows.items()]
        self.chain_time, self.requests = 100, 0
        self.done: set[int] = set()

    def check(self) -> None: ...

    async def advance(self) -> list[Transaction]:
        return []

    def open(self) -> list[Transaction]:
        return []

    def outbox_after(self, kind: str, key: int, limit: int) -> list[OutboxRow]:
        return [row for row in self.rows if row.key > key][:limit]

    def transaction_of(self, job: str) -> None:
        return None

    async def send(self, job: str, *_: object) -> None:
        self.done.add(int(job.split(":")[1]))


async def test_the_next_market_is_listed_and_the_first_is_come_back_to(monkeypatch: pytest.MonkeyPatch) -> None:
    world: Any = World()
    is_mended = False
    market = 0

    async def first_missing(self: Lister, request: MarketRequested) -> tuple[int, ListingStep | None]:
        nonlocal market
        market = request.market
        return 0, None if market in world.done else STEP

    async def try_out(*_: object) -> Trial:
        return Trial(gas=1) if market == 4 or is_mended else Trial(reason="MalformedFeed()")

    monkeypatch.setattr(Lister, "_first_missing", first_missing)
    monkeypatch.setattr(keeper, "try_out", try_out)
    lister = Lister(world, world, world, world, world)

    async def live(seconds: int) -> dict[str, Any]:
        for _ in range(seconds):
            world.chain_time += 1
            for action in lister.decide(await lister.observe()):
                await lister.act(action)
        return lister.describe()

    assert (await live(15))["listed"] == []
    told = await live(30)
    assert told["listed"] == ["GOOD-USDC"]
    assert told["waitingFor"] == {"SOL-USDC": "create hSOL: MalformedFeed()"}
    is_mended = True
    told = await live(60)
    assert told["listed"] == ["GOOD-USDC", "SOL-USDC"] and told["waitingFor"] == {}
    assert await lister.observe() is None


async def test_a_market_that_was_withdrawn_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the middle: what is done stays, and nobody waits for it any more."""
    world: Any = World()

    async def first_missing(self: Lister, request: MarketRequested) -> tuple[int, ListingStep | None]:
        return 0, None if request.market in world.done else STEP

    async def try_out(*_: object) -> Trial:
        return Trial(reason="MalformedFeed()")

    monkeypatch.setattr(Lister, "_first_missing", first_missing)
    monkeypatch.setattr(keeper, "try_out", try_out)
    lister = Lister(world, world, world, world, world)
    for action in lister.decide(await lister.observe()):
        await lister.act(action)
    assert list(lister.describe()["waitingFor"]) == ["SOL-USDC"]
    gone = MarketWithdrawn(market=3, symbol="SOL-USDC", by=REQUEST.by)
    world.rows[0] = OutboxRow(KIND, 3, msgspec.json.encode(gone), 3, 1, "")
    observation = await lister.observe()
    assert observation is not None and observation.request.symbol == "GOOD-USDC"
    assert lister.describe()["waitingFor"] == {}
