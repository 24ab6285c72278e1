"""The single writer in one process: durable before anything leaves, one order for everybody, first results."""

import asyncio
import errno
import gc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from journal_samples import FaultyDisk
from venue_samples import (
    COMMITMENT,
    QUOTE,
    START,
    TRADERS,
    VENUE,
    address,
    chunks,
    flow,
    fund,
    messages,
    order,
    placed,
    replay,
    running,
    settings,
    until,
)

from offchain.domain.command import (
    AdvanceTime,
    CancelAll,
    CancelMany,
    CancelOrder,
    CloseEpoch,
    ObservePool,
    PlaceOrder,
    RequestApproval,
    SetFees,
    decode,
)
from offchain.domain.eip712 import domain_separator, receipt_digest
from offchain.domain.errors import ConfigurationError, InvalidInput, JournalLocked, SequencerUnavailable, StorageError
from offchain.domain.event import BatchClosed, EpochClosed, FeesChanged, OrderAccepted, OrderClosed, OrderRejected
from offchain.domain.order import Side, TimeInForce
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import Address, from_hex
from offchain.engine.engine import Engine
from offchain.security.signatures import address_of, recover
from offchain.sequencer.link import SequencerLink
from offchain.sequencer.protocol import Ack, Cancelled, NamedCancel
from offchain.sequencer.sequencer import CancelSubmission, Submission
from offchain.sequencer.settings import WAYS_OUT_IN_A_ROW_MAX
from offchain.storage.frames import Group
from offchain.storage.ops import Ops, OutboxRow
from offchain.storage.reader import JournalReader
from offchain.storage.replica import FeedMessage

SLOW = "offchain.sequencer.sequencer.QUICK_SECONDS", 0.0
"""Every group goes by way of the journal's thread, so that a disk may hold it."""


def accepted(ack: Ack) -> OrderAccepted:
    return next(event for event in ack.events if isinstance(event, OrderAccepted))


async def test_a_cancel_by_name_takes_out_the_account_s_own_open_order(tmp_path: Path) -> None:
    alice, bob = TRADERS[:2]
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        mine = [order(alice, Side.BUY, 900, 1, number, slot=number, client_order_id=f"o{number}") for number in (1, 2)]
        ids = [accepted(ack).digest for ack in await link.submit(mine)]
        for foreign in (NamedCancel(bob, ids[0]), NamedCancel(bob, client_order_id="o1"), NamedCancel(alice)):
            assert await link.cancel(foreign) == Cancelled(())
        for other in (mine[0].order.nonce + 1, 0):
            kept = await link.cancel(NamedCancel(alice, ids[0], nonce=other, signature=bytes(65)))
            assert kept.ack is None and kept.order[0].nonce == mine[0].order.nonce, (
                "what was signed is of another order"
            )
        sequence = run.sequencer.engine.sequence
        first = await link.cancel(NamedCancel(alice, ids[0]))
        second = await link.cancel(NamedCancel(alice, client_order_id="o2"))
        assert [one.ack.sequence for one in (first, second)] == [sequence + 1, sequence + 2]
        assert [one.order[0].digest for one in (first, second)] == ids
        assert first.ack.events[0].digest == ids[0]
        again = await link.cancel(NamedCancel(alice, ids[0]))
        assert again.ack is None and again.order[-1].reason == CloseReason.CANCELED, "nothing is sequenced"
        await link.close()
    last = [decode(one.kind, one.version, one.payload) for one in JournalReader(tmp_path / "journal").read()][-2:]
    assert last == [CancelOrder(alice, one.order.nonce, alice) for one in mine]


async def test_who_wants_out_goes_before_all_orders_that_wait(tmp_path: Path) -> None:
    alice = TRADERS[0]
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        (ack,) = await run.sequencer.submit([order(alice, Side.BUY, 900, 1, 1)])
        named: asyncio.Future[Cancelled] = asyncio.get_running_loop().create_future()
        waiting = [asyncio.create_task(run.sequencer.submit([one])) for one in flow(20, seed=100)]
        await asyncio.sleep(0)
        run.sequencer.enqueue(CancelSubmission(NamedCancel(alice, accepted(ack).digest), named.set_result))
        everything: asyncio.Future[list[Ack]] = asyncio.get_running_loop().create_future()
        run.sequencer.enqueue(Submission([CancelAll(alice, 0, 0, alice)], everything.set_result))
        (last,) = await everything
        assert [(await named).ack.sequence, last.sequence] == [ack.sequence + 1, ack.sequence + 2]
        acks = await asyncio.gather(*waiting)
        assert all(one[0].sequence > last.sequence for one in acks)


async def test_orders_of_a_lost_connection_do_not_come_after_their_cancel(tmp_path: Path) -> None:
    """Nobody is there any more who could cancel what the connection had sent before it ended."""
    alice = TRADERS[0]
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        waiting = asyncio.create_task(run.sequencer.submit([order(alice, Side.BUY, 900, 1, 1)]))
        await asyncio.sleep(0)
        (gone,) = await run.sequencer.submit([CancelMany(account=alice, signer=alice, is_disconnect=True)])
        (ack,) = await waiting
        assert ack.sequence < gone.sequence
        assert [event.digest for event in gone.events if isinstance(event, OrderClosed)] == [accepted(ack).digest]


async def test_orders_are_taken_however_many_want_out(tmp_path: Path) -> None:
    alice, bob = TRADERS[:2]
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        placed_one, last_out = [asyncio.get_running_loop().create_future() for _ in range(2)]
        run.sequencer.enqueue(Submission([order(alice, Side.BUY, 900, 1, 1)], placed_one.set_result))
        for _ in range(2 * WAYS_OUT_IN_A_ROW_MAX):
            run.sequencer.enqueue(Submission([CancelAll(bob, 0, 0, bob)], lambda _: None))
        run.sequencer.enqueue(Submission([CancelAll(bob, 0, 0, bob)], last_out.set_result))
        (ack,), (last,) = await placed_one, await last_out
        assert last.sequence - ack.sequence == WAYS_OUT_IN_A_ROW_MAX + 1


async def test_orders_are_sequenced_journaled_and_attested(tmp_path: Path) -> None:
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        orders = flow(100)
        acks = [ack for chunk in chunks(orders, 9) for ack in await link.submit(chunk)]
        assert [ack.sequence for ack in acks] == list(range(acks[0].sequence, acks[0].sequence + 100))
        for command, ack in zip(orders, acks, strict=True):
            digest = accepted(ack).digest
            signed = receipt_digest(domain_separator(998, COMMITMENT), ack.sequence, ack.at, from_hex(digest))
            assert recover(signed, from_hex(ack.receipt)) == address_of(run.settings.attestation_key)
            assert accepted(ack).sequence == ack.sequence and accepted(ack).nonce == command.order.nonce
        assert await link.receipt(acks[50].sequence) == acks[50].receipt
        with pytest.raises(InvalidInput, match="no order"):
            await link.receipt(1)
        await link.close()
    assert run.task.result() == 0
    assert list(placed(tmp_path).values()) == orders
    assert replay(tmp_path).state_hash() == run.sequencer.engine.state_hash()


async def test_concurrent_submissions_share_groups(tmp_path: Path) -> None:
    fund(tmp_path)
    disk = FaultyDisk()
    async with running(settings(tmp_path), disk=disk) as run:
        await run.funded()
        links = [await run.link() for _ in range(4)]
        before = disk.synced
        jobs = [links[number % 4].submit([command]) for number, command in enumerate(flow(400))]
        acks = [ack for (ack,) in await asyncio.gather(*jobs)]
        assert disk.synced - before < 40, "one fsync serves many"
        assert sorted(ack.sequence for ack in acks) == list(range(20, 420))
        for link in links:
            await link.close()


async def test_nothing_leaves_before_the_fsync_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*SLOW)
    fund(tmp_path)
    disk = FaultyDisk()
    async with running(settings(tmp_path, inbox_poll_millis=1), disk=disk) as run:
        await run.funded()
        link, seen = await run.link(), list[Group]()

        async def consume() -> None:
            async for group in link.feed(run.sequencer.durable_sequence + 1):
                seen.append(group)

        feed = asyncio.create_task(consume())
        await asyncio.sleep(0.05)
        disk.gate.clear()
        first, second = (order(TRADERS[number], Side.BUY, 1_000, 1, 1) for number in (0, 1))
        answers = [asyncio.create_task(link.submit([command])) for command in (first, second, first)]
        await asyncio.sleep(0.3)
        assert run.sequencer.engine.sequence > run.sequencer.durable_sequence, "applied, and not durable"
        assert not any(answer.done() for answer in answers)
        assert not seen
        disk.gate.set()
        (one,), (two,), (again,) = await asyncio.gather(*answers)
        assert again.replayed and not one.replayed and again.sequence == one.sequence
        assert (again.events, again.receipt, again.at) == (one.events, one.receipt, one.at)
        await until(lambda: bool(seen) and seen[-1].last >= two.sequence)
        feed.cancel()
        await link.close()


async def test_duplicates_get_the_first_result(tmp_path: Path) -> None:
    fund(tmp_path)
    configured = settings(tmp_path)
    async with running(configured) as run:
        await run.funded()
        link = await run.link()
        mine = order(TRADERS[0], Side.BUY, 1_000, 5, 1, client_order_id="mine")
        one, two = await link.submit([mine, mine])
        assert (one.replayed, two.replayed) == (False, True)
        assert (one.sequence, one.events, one.receipt) == (two.sequence, two.events, two.receipt)
        (taker,) = await link.submit([order(TRADERS[1], Side.SELL, 1_000, 5, 1, 0, TimeInForce.IOC)])
        assert taker.sequence == one.sequence + 1
        (three,) = await link.submit([mine])
        assert three.replayed and three.events == one.events, "also after it was filled"
        resigned = order(TRADERS[0], Side.BUY, 1_000, 5, 2, client_order_id="mine")
        (four,) = await link.submit([resigned])
        assert four.replayed and four.sequence == one.sequence, "the same terms under the same client order id"
        other = order(TRADERS[0], Side.BUY, 1_001, 5, 3, client_order_id="mine")
        (five,) = await link.submit([other])
        assert not five.replayed
        assert [e.reason for e in five.events if isinstance(e, OrderRejected)] == [
            RejectReason.DUPLICATE_CLIENT_ORDER_ID
        ]
        stranger = order(TRADERS[0], Side.BUY, 1_000, 5, 1, client_order_id="mine", signer=TRADERS[2])
        (six,) = await link.submit([stranger])
        assert not six.replayed
        assert [e.reason for e in six.events if isinstance(e, OrderRejected)] == [RejectReason.WRONG_SIGNER]
        await link.close()
    async with running(configured) as run:
        link = await run.link()
        (later,) = await link.submit([mine])
        assert later.replayed and (later.sequence, later.events) == (one.sequence, one.events), "after a restart"
        assert later.receipt == one.receipt
        await link.close()


async def test_a_rejected_order_may_come_again(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as run:
        link = await run.link()
        early = order(TRADERS[0], Side.BUY, 1_000, 5, 1)
        (refused,) = await link.submit([early])
        assert isinstance(refused.events[0], OrderRejected) and refused.receipt
        fund(tmp_path)
        await run.funded()
        (taken,) = await link.submit([early])
        assert not taken.replayed and accepted(taken).sequence == taken.sequence
        await link.close()


async def test_one_clock_that_never_runs_back(tmp_path: Path) -> None:
    fund(tmp_path)
    times = iter([START, START + 50, START - 1000, START + 10, *[START + 20] * 1000])
    async with running(settings(tmp_path, inbox_poll_millis=1), clock=lambda: next(times, START + 30)) as run:
        await run.funded()
        await run.sequencer.submit(flow(5))
    at = [record.at for record in JournalReader(tmp_path / "journal").read()]
    assert at == sorted(at) and at[0] == START


async def test_timers_fire_while_nothing_happens(tmp_path: Path) -> None:
    fund(tmp_path)
    loop = asyncio.get_running_loop()
    origin = loop.time()
    async with running(
        settings(tmp_path, epoch_millis=300), clock=lambda: START + int((loop.time() - origin) * 1_000)
    ) as run:
        await run.funded()
        link = await run.link()
        closed: dict[str, FeedMessage] = {}

        async def consume() -> None:
            async for message in messages(link):
                for event in message.events:
                    if isinstance(event, BatchClosed | EpochClosed):
                        closed[type(event).__name__] = message
                if len(closed) == 2:
                    return

        feed = asyncio.create_task(consume())
        pair = [order(TRADERS[0], Side.BUY, 1_000, 5, 1), order(TRADERS[1], Side.SELL, 1_000, 5, 1)]
        acks = await link.submit(pair)
        await asyncio.wait_for(feed, 5)
        assert 0 <= closed["BatchClosed"].at - acks[1].at - VENUE.batch_interval_millis < 1_000
        assert 0 <= closed["EpochClosed"].at - acks[0].at - 300 < 1_000
        await link.close()
    commands = [decode(r.kind, r.version, r.payload) for r in JournalReader(tmp_path / "journal").read()]
    assert sum(isinstance(command, AdvanceTime) for command in commands) <= 2
    assert sum(isinstance(command, CloseEpoch) for command in commands) == 1


async def test_epochs_close_by_orders(tmp_path: Path) -> None:
    fund(tmp_path)
    async with running(settings(tmp_path, epoch_orders=10, epoch_millis=10**9)) as run:
        await run.funded()
        for chunk in chunks(flow(35), 5):
            await run.sequencer.submit(chunk)
        assert run.sequencer.memory.epoch.orders == 5
    engine, epochs = Engine(), []
    for record in JournalReader(tmp_path / "journal").read():
        events = engine.apply(record.sequence, record.at, decode(record.kind, record.version, record.payload))
        epochs += [event.count for event in events if isinstance(event, EpochClosed)]
    assert epochs == [10, 10, 10]


async def test_who_may_submit_what(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as run:
        link = await run.link()
        for own in (AdvanceTime(), VENUE):
            with pytest.raises(InvalidInput, match="sequencer's own"):
                await link.submit([own])
        with pytest.raises(InvalidInput, match="0 commands"):
            await link.submit([])
        with pytest.raises(InvalidInput, match="2000 commands"):
            await link.submit([CloseEpoch()] * 2000)
        (fees,) = await link.submit([SetFees(maker_fee_ppm=0, taker_fee_ppm=10)])
        assert isinstance(fees.events[0], FeesChanged) and not fees.receipt
        (cancel,) = await link.submit([CancelOrder(TRADERS[0], 1, TRADERS[0])])
        assert cancel.sequence == fees.sequence + 1
        await link.close()


async def test_a_full_disk_stops_the_process_and_loses_nothing(tmp_path: Path) -> None:
    fund(tmp_path)
    disk = FaultyDisk(number=errno.ENOSPC, short=100)
    configured, acknowledged = settings(tmp_path), dict[int, PlaceOrder]()
    async with running(configured, disk=disk) as run:
        await run.funded()
        link = await run.link()
        disk.fail_at = disk.calls + 40

        async def submit_all() -> None:
            for chunk in chunks(flow(2_000), 7):
                for ack, command in zip(await link.submit(chunk), chunk, strict=True):
                    acknowledged[ack.sequence] = command

        with pytest.raises(SequencerUnavailable):
            await submit_all()
        assert await asyncio.wait_for(run.task, 5) == 70
        with pytest.raises(SequencerUnavailable):
            await link.submit(flow(1))
        await link.close()
    assert 50 < len(acknowledged) < 2_000
    async with running(configured) as run:
        journaled = placed(tmp_path)
        assert all(journaled[sequence] == command for sequence, command in acknowledged.items())
        assert replay(tmp_path).state_hash() == run.sequencer.engine.state_hash()
        await run.sequencer.submit(flow(10, seed=5_000))


async def test_failed_fsync_answers_nobody(tmp_path: Path) -> None:
    fund(tmp_path)
    disk = FaultyDisk(number=errno.EIO)
    async with running(settings(tmp_path), disk=disk) as run:
        await run.funded()
        link = await run.link()
        disk.fail_at = disk.calls + 2  # write, then sync
        with pytest.raises(SequencerUnavailable):
            await link.submit(flow(1))
        assert disk.failed and await asyncio.wait_for(run.task, 5) == 70


async def test_two_nodes_on_one_folder(tmp_path: Path) -> None:
    async with running(settings(tmp_path)):
        with pytest.raises(JournalLocked):
            async with running(settings(tmp_path)):
                pass


async def test_another_exchanges_journal_is_refused(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    async with running(configured):
        pass
    for field, value in (("vault", address(1)), ("settlement", address(1)), ("chain_id", 999)):
        changed = {name: getattr(VENUE, name) for name in VENUE.__struct_fields__} | {field: value}
        with pytest.raises(ConfigurationError):
            async with running(settings(tmp_path, venue=type(VENUE)(**changed))):
                pass
    fees = {name: getattr(VENUE, name) for name in VENUE.__struct_fields__} | {"maker_fee_ppm": 7}
    async with running(settings(tmp_path, venue=type(VENUE)(**fees))) as run:
        assert run.sequencer.engine.venue == VENUE, "what was journaled stays in force"


async def test_a_venue_that_cannot_open_is_refused_by_its_field(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as failure:
        async with running(settings(tmp_path, venue=msgspec.structs.replace(VENUE, taker_fee_ppm=-1))):
            pass
    assert str(failure.value) == "no venue opens with this taker_fee_ppm. Start the node with another taker_fee_ppm"


async def test_another_journals_ops_database_is_refused(tmp_path: Path) -> None:
    async with running(settings(tmp_path / "one")):
        pass
    other = settings(tmp_path / "two", ops_url=f"sqlite:///{tmp_path}/one/ops.sqlite")
    with pytest.raises(ConfigurationError, match="another journal"):
        async with running(other, clock=lambda: START + 1):
            pass


async def test_stopping_answers_what_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*SLOW)
    fund(tmp_path)
    disk = FaultyDisk()
    async with running(settings(tmp_path), disk=disk) as run:
        await run.funded()
        link = await run.link()
        disk.gate.clear()
        answers = [asyncio.create_task(link.submit(chunk)) for chunk in chunks(flow(50), 5)]
        await asyncio.sleep(0.1)
        run.stop.set()
        await asyncio.sleep(0.1)
        late = asyncio.create_task(link.submit(flow(1, seed=900)))
        disk.gate.set()
        acks = [ack for answer in answers for ack in await answer]
        assert await asyncio.wait_for(run.task, 5) == 0
        with pytest.raises(SequencerUnavailable):
            await late
        await link.close()
    assert set(placed(tmp_path)) == {ack.sequence for ack in acks}


async def test_no_sequencer_no_answer(tmp_path: Path) -> None:
    with pytest.raises(SequencerUnavailable, match="no sequencer"):
        await SequencerLink.connect(tmp_path / "nobody")
    with pytest.raises(SequencerUnavailable):
        await anext(SequencerLink(tmp_path / "nobody").feed(1))


async def test_the_link_connects_anew(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    link = SequencerLink(configured.socket)
    for _ in range(2):
        async with running(configured):
            assert await link.submit([CloseEpoch()])
            assert link.connected and link.hello is not None and link.hello.chain_id == 998
        await asyncio.sleep(0.01)
        assert not link.connected
    await link.close()


async def test_a_failing_ops_database_delays_the_chain_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poll, polls = Ops.poll_inbox, list[int]()

    def failing(*arguments: Any) -> Any:
        polls.append(1)
        if len(polls) < 3:
            raise StorageError("injected")
        return poll(*arguments)

    monkeypatch.setattr(Ops, "poll_inbox", failing)
    monkeypatch.setattr("offchain.sequencer.inbox.PAUSE_AFTER_FAILURE_SECONDS", 0.05)
    async with running(settings(tmp_path)) as run:
        await until(lambda: bool(polls))
        assert (await run.sequencer.submit([CloseEpoch()]))[0].sequence == 2
        fund(tmp_path)
        await run.funded()


async def test_a_bug_ends_everything_and_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(settings(tmp_path)) as run:
        monkeypatch.setattr(Engine, "apply", lambda *_: 1 / 0)
        link = await run.link()
        remote = asyncio.create_task(link.submit([CloseEpoch()]))
        with pytest.raises(SequencerUnavailable):
            await run.sequencer.submit([CloseEpoch()])
        with pytest.raises(SequencerUnavailable):
            await remote
        with pytest.raises(ZeroDivisionError):
            await run.task
    monkeypatch.undo()
    async with running(settings(tmp_path)) as run:
        assert run.sequencer.durable_sequence == 1, "what was not durable never happened"


async def test_countersignatures_are_handed_over_once_durable(tmp_path: Path) -> None:
    fund(tmp_path)
    configured = settings(tmp_path)
    ops = Ops(configured.ops_url)

    def request(trader: Address, nonce: int, signature: str) -> RequestApproval:
        return RequestApproval(
            purpose="withdraw",
            account=trader,
            token=QUOTE,
            amount=5,
            destination=trader,
            as_cxpt=False,
            nonce=nonce,
            deadline=START // 1000 + 80_000,
            signature=signature,
            signer=trader,
        )

    async with running(configured) as run:
        await run.funded()
        requests = [request(TRADERS[0], 1, "0x" + "11" * 65), request(TRADERS[0], 2, "")]
        relayed, own = await run.sequencer.submit(requests)
        assert relayed.approval and own.approval and relayed.approval != own.approval
        await until(lambda: ops.last_countersignature() == relayed.sequence)
    with ops.database.writing() as connection:
        connection.exec_driver_sql("delete from countersignatures")
    async with running(configured):
        await until(lambda: ops.last_countersignature() == relayed.sequence)
    ops.put_outbox([OutboxRow("approval", relayed.sequence, "{}", relayed.sequence)], relayed.sequence)
    assert ops.outbox_after("approval", 0)[0].countersignature == relayed.approval
    ops.close()


async def test_serving_makes_no_cycles(tmp_path: Path) -> None:
    """The collector is off while serving, so that nothing may be left for it to do."""
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        commands = iter(chunks(flow(1_200), 20))
        for _ in range(20):
            await link.submit(next(commands))
        gc.collect()
        gc.disable()
        try:
            for chunk in commands:
                await link.submit(chunk)
            left = gc.collect()
        finally:
            gc.enable()
        assert left < 40, f"{left} objects in cycles after 800 orders"
        await link.close()


async def test_a_slow_disk_holds_the_senders_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the writer cannot take stays with the senders: its own queue is bounded, and nothing is lost."""
    monkeypatch.setattr("offchain.sequencer.sequencer.WAITING_COMMANDS_MAX", 200)
    monkeypatch.setattr(*SLOW)
    fund(tmp_path)
    disk = FaultyDisk()
    async with running(settings(tmp_path), disk=disk) as run:
        await run.funded()
        links = [await run.link() for _ in range(2)]
        disk.gate.clear()
        fillers = (f"{number:036d}" for number in range(10**6))
        orders = [msgspec.structs.replace(command, client_order_id=next(fillers)) for command in flow(8_000)]
        answers = [
            asyncio.create_task(links[number % 2].submit(chunk)) for number, chunk in enumerate(chunks(orders, 100))
        ]
        await asyncio.sleep(0.3)
        waiting = run.sequencer.waiting_commands
        assert 200 <= waiting < 6_000, "a few reads of the sockets at most"
        await asyncio.sleep(0.1)
        assert run.sequencer.waiting_commands == waiting
        disk.gate.set()
        acks = [ack for answer in answers for ack in await answer]
        assert len({ack.sequence for ack in acks}) == len(orders)
        for link in links:
            await link.close()


async def test_the_nodes_operators_replace_the_journals(tmp_path: Path) -> None:
    """Whoever starts the node decides; nothing is written while they are the same."""
    names = [(), (TRADERS[0],), (TRADERS[0],), (TRADERS[1], TRADERS[0]), ()]
    sequences = []
    for operators in names:
        configured = settings(tmp_path, venue=msgspec.structs.replace(VENUE, operators=operators))
        async with running(configured) as run:
            await until(lambda: run.sequencer.engine.operators == operators)  # noqa: B023
            await run.sequencer.submit([AdvanceTime()])
            sequences.append(run.sequencer.durable_sequence)
    assert sequences == [2, 4, 5, 7, 9]
    assert replay(tmp_path).operators == ()


async def test_pools_reach_the_engine_once(tmp_path: Path) -> None:
    """The latest row of a listed market; a row that says nothing new, or of no market, is no command."""
    fund(tmp_path)
    ops = Ops(f"sqlite:///{tmp_path}/ops.sqlite")

    def seen(block: int, market: int = 1) -> ObservePool:
        time = START // 1000
        return ObservePool(market=market, base_reserve=block, quote_reserve=7, block_number=block, block_time=time)

    async with running(settings(tmp_path)) as run:
        await run.funded()
        engine = run.sequencer.engine
        ops.put_pools([seen(20), seen(20, market=9)])
        await until(lambda: 1 in engine.pools)
        sequence = engine.sequence
        ops.put_pools([seen(19)])
        await asyncio.sleep(0.1)
        assert engine.sequence == sequence
        ops.put_pools([seen(21)])
        await until(lambda: engine.pools[1].block_number == 21)
        assert engine.sequence == sequence + 1 and list(engine.pools) == [1]
    ops.close()
    assert replay(tmp_path).pools == run.sequencer.engine.pools
