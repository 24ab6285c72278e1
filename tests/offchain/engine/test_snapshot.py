"""Snapshots: canonical, whole, and refused when they are not."""

import msgspec
import pytest
from histories import History
from scene import (
    ALICE,
    BASE,
    BOB,
    BUY,
    CAROL,
    GTD,
    IOC,
    PACKED_VENUE,
    QUOTE,
    RICH,
    SELL,
    Bench,
    market_log,
    open_market,
)

from offchain.domain.chainlog import SynthRegistered, WithdrawalRequested
from offchain.domain.command import AdvanceTime, ObserveLog, RefuseFill
from offchain.domain.keccak import keccak
from offchain.domain.units import Digest
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


def test_what_old_journals_do_not_know_is_in_no_hash() -> None:
    """Rules, settled slots, agents and losses are in a snapshot only where there are any."""
    bench = busy()
    bench.settle((0, 5))
    *_, later = msgspec.msgpack.decode(bench.engine.snapshot())
    assert not isinstance(later, dict)


def test_packed_rules_and_used_slots_are_in_a_snapshot() -> None:
    bench = Bench(PACKED_VENUE)
    bench.see(SynthRegistered, token=BASE)
    bench.do(ObserveLog(log=market_log(2)))
    for account in (ALICE, BOB):
        bench.fund(account, RICH, RICH)
    bench.place(ALICE, SELL, 100, 5, slot=7)
    bench.place(BOB, BUY, 100, 2, tif=IOC)
    bench.wait(1_000)
    bench.settle()
    bench.place(BOB, BUY, 100, 2, tif=IOC)
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.venue == PACKED_VENUE and restored.batches.rules == PACKED_VENUE.batch_rules
    assert {name: list(account.settled_slots) for name, account in restored.accounts.items() if account.open} == {
        ALICE: [7]
    }
    assert list(restored.accounts[BOB].settled_slots) == [0]
    assert restored.snapshot() == bench.engine.snapshot()


def test_what_stands_for_closed_orders_changes_nothing() -> None:
    """A snapshot puts their rows in their place: they are found, forgotten and hashed as before."""
    plain, often = open_market(), open_market()
    digests = list[Digest]()
    for step in range(30):
        for bench in (plain, often):
            bench.engine._state.memory.limit = 6
            bench.place(ALICE, SELL, 100, 3, client_order_id=f"m{step}")
            digests.append(bench.accepted.digest)
            maker = bench.accepted.nonce
            bench.place(BOB, BUY, 100, 2, tif=IOC)
            digests.append(bench.accepted.digest)
            bench.cancel(ALICE, maker)
            bench.wait(1_000)
            bench.settle((0, 5)) if step % 4 == 0 else bench.settle()
        if step % 3 == 0:
            often.engine.snapshot()
        if step % 5 == 4:
            often.engine = Engine.restore(often.engine.snapshot())
        for digest in digests:
            assert plain.engine.find_order(digest) == often.engine.find_order(digest)
        names = [plain.engine.find_client_order(ALICE, f"m{other}") for other in range(step + 1)]
        assert names == [often.engine.find_client_order(ALICE, f"m{other}") for other in range(step + 1)]
        assert list(map(bool, names)) == [other > step - 6 for other in range(step + 1)]
        assert [len(often.engine.accounts[account].closed) for account in (ALICE, BOB)] == [min(step + 1, 6)] * 2
        if step % 2:
            assert plain.engine.state_hash() == often.engine.state_hash()
    assert list(plain.engine.describe()) == list(often.engine.describe())


def test_a_closed_order_in_another_form_is_no_snapshot() -> None:
    """Its digest is read from where it stands in the bytes."""
    bench = open_market()
    bench.place(ALICE, SELL, 100, 3)
    bench.cancel(ALICE, bench.accepted.nonce)
    version, *tables = msgspec.msgpack.decode(bench.engine.snapshot())
    assert Engine.restore(msgspec.msgpack.encode((version, *tables))).state_hash() == bench.engine.state_hash()
    closed = next(account for account in tables[5] if account[4])[4]
    closed[0][0][0] += b"x"
    with pytest.raises(ValueError, match="canonical"):
        Engine.restore(msgspec.msgpack.encode((version, *tables)))
