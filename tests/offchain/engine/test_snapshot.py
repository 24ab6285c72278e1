"""Snapshots: canonical, whole, and refused when they are not."""

import msgspec
import pytest
from histories import History
from scene import ALICE, BOB, BUY, CAROL, GTD, IOC, QUOTE, RICH, SELL, Bench, open_market

from offchain.domain.chainlog import WithdrawalRequested
from offchain.domain.command import AdvanceTime, RefuseFill
from offchain.domain.keccak import keccak
from offchain.engine.engine import Engine
from offchain.engine.snapshot import VERSION


def busy() -> Bench:
    """A state with something in every table."""
    bench = open_market()
    bench.place(ALICE, SELL, 100, 5, client_order_id="ask")
    bench.place(CAROL, SELL, 101, 5, tif=GTD, expiry=bench.at // 1000 + 500)
    bench.place(BOB, BUY, 100, 2)
    bench.wait(1_000)
    bench.place(BOB, BUY, 101, 4, tif=IOC)
    bench.do(RefuseFill(fill=1, reason="x"))
    bench.approve(ALICE, 50, signature="0x01", deadline=bench.at // 1000 + 60)
    bench.see(WithdrawalRequested, account=CAROL, token=QUOTE, amount=RICH + 5, destination=CAROL, matures_at=5)
    bench.place(ALICE, BUY, 100, RICH)
    return bench


def test_the_hash_is_that_of_the_snapshot() -> None:
    engine = busy().engine
    assert engine.state_hash() == keccak(engine.snapshot())
    restored = Engine.restore(engine.snapshot())
    assert restored.snapshot() == engine.snapshot()
    assert list(restored.describe()) == list(engine.describe())
    assert restored.next_deadline() == engine.next_deadline()
    assert (restored.sequence, restored.at, restored.venue) == (engine.sequence, engine.at, engine.venue)
    assert restored.settlement_batch(1) == engine.settlement_batch(1)
    assert (restored.last_event_sequence, restored.chain_block) == (engine.last_event_sequence, engine.chain_block)


def test_a_restored_engine_goes_on_the_same_way() -> None:
    bench, other = busy(), busy()
    other.engine = Engine.restore(other.engine.snapshot())
    for one in (bench, other):
        one.place(BOB, BUY, 105, 20)
        one.wait(1_000)
        one.settle((0, 5))
        one.settle()
        one.wait(600_000)
        one.block(one.at // 1000)
    assert bench.events == other.events and bench.engine.state_hash() == other.engine.state_hash()


def test_every_command_changes_the_hash() -> None:
    """Two different states with one hash would be two stories with one root."""
    history, seen = History(21), set()
    for _ in history.steps(300):
        seen.add(history.engine.state_hash())
    assert len(seen) == 301


def test_an_empty_engine() -> None:
    engine = Engine.restore(Engine().snapshot())
    assert engine.venue is None and engine.state_hash() == Engine().state_hash()
    assert list(engine.describe()) == [] and engine.next_deadline() is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"\x90", msgspec.msgpack.encode([VERSION + 1]), msgspec.msgpack.encode(5), b"\xc1"],
)
def test_what_is_no_snapshot(raw: bytes) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        Engine.restore(raw)


def test_taking_a_snapshot_changes_nothing() -> None:
    bench, other = busy(), busy()
    bench.engine.snapshot()
    assert bench.do(AdvanceTime()) == other.do(AdvanceTime())
    assert bench.engine.state_hash() == other.engine.state_hash()
