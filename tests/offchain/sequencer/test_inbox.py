"""What the chain says reaches the engine, whatever it says: a final log cannot be left out."""

import asyncio
from pathlib import Path

import pytest
from venue_samples import QUOTE, START, TRADERS, address, fund, funding, order, replay, running, settings, until

from offchain.domain.chainlog import AgentRegistered, AnyChainLog, Deposited, MarketListed
from offchain.domain.order import Side
from offchain.storage import ops as ops_module
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader

FIRST = len(funding()) + 1


def place(sequence: int) -> dict[str, object]:
    return {"event_sequence": sequence, "block_number": 11, "block_time": START // 1000 + 1, "transaction": "0x01"}


def agent(sequence: int = FIRST, markets: int = 6_100) -> AgentRegistered:
    terms = {"account": address(0xBAD), "agent": address(1), "expiry": 2**40 - 1, "notional": 1}
    return AgentRegistered(**place(sequence), **terms, markets=(2**32 - 1,) * markets)  # type: ignore[arg-type]


def listing(symbol: str) -> MarketListed:
    terms = {"market": 7, "base_token": address(0xB), "base_decimals": 18, "quote_decimals": 6}
    lots = {"base_atoms_per_lot": 10**12, "quote_atoms_per_tick_lot": 1}
    return MarketListed(**place(FIRST), **terms, **lots, symbol=symbol)  # type: ignore[arg-type]


def see(folder: Path, *logs: AnyChainLog) -> None:
    """Into the inbox, as the syncer would."""
    ops = Ops(f"sqlite:///{folder}/ops.sqlite")
    ops.append_inbox(logs, 11, START // 1000 + 1)
    ops.close()


@pytest.mark.parametrize(
    "log", [agent(), agent(markets=21_500), listing("A" * 70_000), listing("\x00" * 1_900_000)], ids=range(4)
)
async def test_no_log_is_too_long_for_the_node(tmp_path: Path, log: AnyChainLog) -> None:
    """Found by attack: one transaction of a stranger, with so many markets that the journal did not take it."""
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        see(tmp_path, log)
        await asyncio.wait_for(until(lambda: run.task.done() or run.sequencer.engine.chain_block[0] == 11), 20)
        assert not run.task.done(), run.task.exception()
        link = await run.link()
        assert len(await link.submit([order(TRADERS[0], Side.BUY, 1_000, 1, 1)])) == 1
        await link.close()
    state = run.sequencer.engine.state_hash()
    async with running(settings(tmp_path)) as run:
        assert run.sequencer.engine.state_hash() == state, "and it starts again"
    assert replay(tmp_path).state_hash() == state


async def test_a_log_that_was_too_long_is_taken_at_the_next_start(tmp_path: Path) -> None:
    """The inbox hands it over at every start, so it ended every start."""
    fund(tmp_path)
    see(tmp_path, agent())
    async with running(settings(tmp_path)) as run:
        await asyncio.wait_for(until(lambda: run.task.done() or run.sequencer.engine.last_event_sequence == FIRST), 10)
        assert not run.task.done(), run.task.exception()


async def test_many_long_logs_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that one poll brings is one group of the journal, whose length has four bytes."""
    monkeypatch.setattr(ops_module, "POLL_LENGTH_MAX", 200_000)
    fund(tmp_path)
    see(tmp_path, *(agent(FIRST + number) for number in range(20)))
    async with running(settings(tmp_path)) as run:
        await asyncio.wait_for(until(lambda: run.task.done() or run.sequencer.engine.chain_block[0] == 11), 10)
        assert not run.task.done(), run.task.exception()
        assert run.sequencer.engine.last_event_sequence == FIRST + 19
    assert replay(tmp_path).chain_block[0] == 11


async def test_orders_do_not_wait_for_a_crowd_of_logs(tmp_path: Path) -> None:
    """Found by a load run: hundreds of logs were one submission, and all of it kept the loop."""
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        place_of = [place(FIRST + number) for number in range(400)]
        see(tmp_path, *(Deposited(**each, account=TRADERS[0], token=QUOTE, amount=1, balance=0) for each in place_of))
        await until(lambda: run.sequencer.engine.last_event_sequence == FIRST + 399)
    sizes = [group.head.size for group in JournalReader(tmp_path / "journal").groups()]
    assert sum(sizes) > 400 and max(sizes) <= 50


@pytest.mark.parametrize("says", [True, False])
async def test_it_asks_only_when_something_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: bool
) -> None:
    """Of a database that says so; another one is asked every time."""
    looks, poll = list[int](), Ops.poll_inbox

    def counted(ops: Ops, *arguments: int) -> object:
        looks.append(1)
        return poll(ops, *arguments)

    monkeypatch.setattr(Ops, "poll_inbox", counted)
    monkeypatch.setattr("offchain.sequencer.inbox.LOOK_SECONDS", 60.0)
    if not says:
        monkeypatch.setattr(Ops, "changes", lambda _: None)
    fund(tmp_path)
    async with running(settings(tmp_path, inbox_poll_millis=5)) as run:
        await run.funded()
        await asyncio.sleep(0.1)
        before = len(looks)
        await asyncio.sleep(0.4)
        assert len(looks) > before if not says else len(looks) == before
        see(tmp_path, agent(markets=3))
        await asyncio.wait_for(until(lambda: run.sequencer.engine.last_event_sequence == FIRST), 10)


async def test_it_asks_now_and_then_although_nothing_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offchain.sequencer.inbox.LOOK_SECONDS", 0.05)
    looks, poll = list[int](), Ops.poll_inbox
    monkeypatch.setattr(Ops, "poll_inbox", lambda *arguments: looks.append(1) or poll(*arguments))
    fund(tmp_path)
    async with running(settings(tmp_path, inbox_poll_millis=5)) as run:
        await run.funded()
        goal = len(looks) + 3
        await asyncio.wait_for(until(lambda: len(looks) > goal), 10)
