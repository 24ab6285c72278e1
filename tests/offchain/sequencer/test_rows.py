"""Rows are commands in another form: the same journal, state and first results; one signature attests a whole group."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from venue_samples import (
    CHAIN,
    COMMITMENT,
    KEY,
    START,
    TRADERS,
    VENUE,
    Running,
    address,
    chunks,
    flow,
    fund,
    order,
    replay,
    running,
    settings,
)

from offchain.domain.command import CancelOrder, PlaceOrder, decode
from offchain.domain.eip712 import (
    RECEIPTS_TYPE,
    BulkProof,
    domain_separator,
    join_signature,
    order_digest,
    typed_data_template,
)
from offchain.domain.errors import HooatsError, InvalidInput, SequencerUnavailable
from offchain.domain.event import OrderAccepted, OrderRejected
from offchain.domain.order import SIGNED_FRAME, OrderStatus, Side, TimeInForce
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import from_hex
from offchain.domain.wire import ATTESTATION, REASONS, RESULT_BYTES, STATUSES, Result, unpack_result
from offchain.engine.merkle import verify_indexed
from offchain.security.signatures import address_of, recover
from offchain.sequencer.link import SequencerLink
from offchain.sequencer.rows import cancel_row, read_rows
from offchain.storage.reader import JournalReader
from offchain.storage.replica import Replica

SEPARATOR = domain_separator(CHAIN, VENUE.settlement)


def row(command: PlaceOrder) -> bytes:
    digest = order_digest(SEPARATOR, command.order)
    return command.order.to_frame() + command.signature + from_hex(command.signer) + digest


async def send(link: SequencerLink, rows: Sequence[bytes], *, is_bulk: bool = False) -> tuple[list[Result], bytes]:
    """Results and the attestation of their group."""
    answer: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()

    def deliver(results: bytes, attestation: bytes, error: HooatsError | None) -> None:
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result((results, attestation))

    link.submit_rows(b"".join(rows), deliver, is_bulk=is_bulk)
    results, attestation = await answer
    parts = [results[start : start + RESULT_BYTES] for start in range(0, len(results), RESULT_BYTES)]
    return [unpack_result(part) for part in parts], attestation


def mixed(count: int) -> list[PlaceOrder | CancelOrder]:
    """Orders that rest, trade, replace others, are refused, are not their account's; and cancels of some."""
    pick, commands = random.Random(4), list[PlaceOrder | CancelOrder]()
    for number, command in enumerate(flow(count)):
        draw = pick.random()
        if draw < 0.2 and number > 20:
            earlier = pick.choice([one for one in commands if isinstance(one, PlaceOrder)]).order
            commands.append(CancelOrder(earlier.account, earlier.nonce, earlier.account))
        elif draw < 0.3:
            trader, side = pick.choice(TRADERS), pick.choice(tuple(Side))
            force = pick.choice((TimeInForce.IOC, TimeInForce.FOK))
            commands.append(order(trader, side, 1_000 + pick.randrange(-6, 7), 7, number, 0, force))
        elif draw < 0.35:
            commands.append(order(TRADERS[0], Side.BUY, 1_000, 1, number, signer=TRADERS[1]))
        elif draw < 0.4:
            commands.append(order(TRADERS[2], Side.BUY, 0, 1, number))
        else:
            commands.append(command)
    return commands


def as_row(command: PlaceOrder | CancelOrder) -> bytes:
    return row(command) if isinstance(command, PlaceOrder) else cancel_row(from_hex(command.account), command.nonce)


def journal_bytes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "journal").glob("*.journal"))]


async def test_rows_leave_the_journal_that_commands_leave(tmp_path: Path) -> None:
    """To the byte; and the same state, and results that tell the same."""
    commands, folders = mixed(600), (tmp_path / "commands", tmp_path / "rows")
    acks, results, hashes = [], list[Result](), []
    for folder in folders:
        configured = settings(folder)
        fund(folder)
        async with running(configured, clock=lambda: START + 5_000) as run:
            await run.funded()
            link = await run.link()
            for chunk in chunks(commands, 23):  # type: ignore[arg-type]
                if folder.name == "rows":
                    results += (await send(link, [as_row(command) for command in chunk]))[0]
                else:
                    acks += await link.submit(chunk)
            hashes.append(run.sequencer.engine.state_hash())
            await link.close()
    assert hashes[0] == hashes[1] == replay(folders[1]).state_hash()
    segments = [journal_bytes(folder) for folder in folders]
    assert segments[0] == segments[1] and len(segments[0]) == 1
    assert [(ack.sequence, ack.at) for ack in acks] == [(result.sequence, result.at) for result in results]
    reasons = {result.reason for result in results}
    for ack, result, command in zip(acks, results, commands, strict=True):
        if isinstance(command, PlaceOrder):
            rejected = [event.reason for event in ack.events if isinstance(event, OrderRejected)]
            assert [result.reason] == rejected if rejected else any(isinstance(e, OrderAccepted) for e in ack.events)
            assert bool(rejected) == (result.status == OrderStatus.REJECTED)
    expected = {"", CloseReason.FILLED, CloseReason.IMMEDIATE_REMAINDER, CloseReason.CANCELED}
    assert reasons >= expected | {RejectReason.WRONG_SIGNER, RejectReason.INVALID_PRICE, RejectReason.ORDER_NOT_OPEN}


async def test_a_row_again_gets_its_first_result(tmp_path: Path) -> None:
    """Within one submission, later, as a command, after a restart, and when it was a command at first."""
    fund(tmp_path)
    configured = settings(tmp_path)
    maker, taker = order(TRADERS[0], Side.BUY, 1_000, 5, 1), order(TRADERS[1], Side.SELL, 1_000, 9, 2)
    async with running(configured) as run:
        await run.funded()
        link = await run.link()
        (first, second, third), _ = await send(link, [row(maker), row(taker), row(maker)])
        assert (first.status, first.reason, first.filled_lots) == ("open", "", 0)
        assert (second.status, second.filled_lots, second.fills) == ("open", 5, 1)
        assert third == first._replace(replayed=True), "as it was, although it has filled since"
        (again,), attestation = await send(link, [row(taker)])
        assert again == second._replace(replayed=True) and attestation == b""
        (ack,) = await link.submit([taker])
        assert ack.replayed and ack.sequence == second.sequence and isinstance(ack.events[0], OrderAccepted)
        named = order(TRADERS[2], Side.BUY, 900, 1, 3)
        (ack,) = await link.submit([named])
        (result,), _ = await send(link, [row(named)])
        assert (result.sequence, result.replayed, result.status) == (ack.sequence, True, "open")
        refused = order(TRADERS[3], Side.BUY, 0, 1, 4)
        (one, two), _ = await send(link, [row(refused), row(refused)])
        assert one.reason == RejectReason.INVALID_PRICE and two == one._replace(replayed=True)
        await link.close()
    async with running(configured) as run:
        link = await run.link()
        answers, _ = await send(link, [row(command) for command in (maker, taker, named, refused)])
        assert [answer.sequence for answer in answers] == [first.sequence, second.sequence, ack.sequence, one.sequence]
        assert all(answer.replayed for answer in answers)
        assert (answers[1].filled_lots, answers[1].fills) == (5, 1)
        assert answers[3].reason == RejectReason.INVALID_PRICE
        await link.close()


@pytest.mark.parametrize("others", [31, 63, 64, 200])
async def test_the_last_orders_first_results_are_kept_to_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """At least so many as are said, and not for ever; of older ones the present state is told."""
    monkeypatch.setattr("offchain.sequencer.recovery.FIRST_RESULTS_MAX", 64)
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        maker, taker = order(TRADERS[0], Side.BUY, 2_000, 5, 1), order(TRADERS[1], Side.SELL, 2_000, 5, 2)
        (first,), _ = await send(link, [row(maker)])
        await send(link, [row(taker)])
        for chunk in chunks(flow(others - 1, seed=50), 9):
            await send(link, [row(one) for one in chunk])
        (again,), _ = await send(link, [row(maker)])
        assert first.status == "open" and again.replayed and again.sequence == first.sequence
        if others <= 64:
            assert again == first._replace(replayed=True)
        if others == 200:
            assert (again.status, again.filled_lots) == ("closed", 5)
        await link.close()


async def test_a_stranger_decides_no_first_result(tmp_path: Path) -> None:
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        mine = order(TRADERS[0], Side.BUY, 1_000, 5, 1)
        strangers = PlaceOrder(mine.order, mine.signature, TRADERS[1])
        (one, two, three), _ = await send(link, [row(strangers), row(mine), row(strangers)])
        assert (one.reason, two.status, three.reason) == (RejectReason.WRONG_SIGNER, "open", RejectReason.WRONG_SIGNER)
        assert not two.replayed and not three.replayed
        await link.close()


def reference_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, by its own words."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return bytes(keccak(b"\x01" + reference_root(leaves[:split]) + reference_root(leaves[split:])))


async def test_one_signature_attests_all_orders_of_a_group(tmp_path: Path) -> None:
    """Checked with eth_account's typed data, eth_utils' hash and the tree as the RFC defines it."""
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        commands: list[Any] = [*flow(13), CancelOrder(TRADERS[0], 1, TRADERS[0])]
        results, attestation = await send(link, [as_row(command) for command in commands])
        first, last, orders, root, signature = ATTESTATION.unpack(attestation)
        assert (first, last, orders) == (results[0].sequence, results[-1].sequence, 13)
        digests = [order_digest(SEPARATOR, command.order) for command in commands[:13]]
        leaves = [
            bytes(keccak(b"\x00" + result.sequence.to_bytes(8, "big") + result.at.to_bytes(8, "big") + digest))
            for result, digest in zip(results[:13], digests, strict=True)
        ]
        assert root == reference_root(leaves)
        typed = typed_data_template(RECEIPTS_TYPE, CHAIN, COMMITMENT)
        typed["message"] = {"first": first, "last": last, "orders": orders, "root": root}
        signable = encode_typed_data(full_message=typed)
        digest = bytes(keccak(b"\x19" + signable.version + signable.header + signable.body))
        assert recover(digest, signature) == address_of(KEY)
        for result, order_hash in zip(results[:13], digests, strict=True):
            receipt = await link.group_receipt(result.sequence)
            assert (receipt.first, receipt.last, receipt.orders) == (first, last, orders)
            assert (from_hex(receipt.root), from_hex(receipt.signature)) == (root, signature), "given again, the same"
            assert from_hex(receipt.order_hash) == order_hash and receipt.at == result.at
            path = [from_hex(node) for node in receipt.proof]
            assert verify_indexed(root, leaves[receipt.position], receipt.position, orders, path)
        with pytest.raises(InvalidInput, match="no order"):
            await link.group_receipt(results[13].sequence)
        await link.close()


GOOD = row(order(TRADERS[0], Side.BUY, 1_000, 5, 1))


@pytest.mark.parametrize(
    "rows",
    [
        b"",
        GOOD[:-1],
        GOOD + GOOD[:20],
        GOOD[:25] + b"\x02" + GOOD[26:],
        GOOD[:26] + b"\x07" + GOOD[27:],
        GOOD[:27] + b"\x09" + GOOD[28:],
        GOOD[:20] + cancel_row(bytes(20), 1)[20:30] + GOOD[30:],
        GOOD * 1_025,
    ],
    ids=["none", "short", "odd", "side", "kind", "force", "half a cancel", "too many"],
)
async def test_rows_that_no_command_could_say_are_refused(tmp_path: Path, rows: bytes) -> None:
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        before = run.sequencer.engine.sequence
        with pytest.raises(InvalidInput):
            await send(link, [rows])
        assert run.sequencer.engine.sequence == before
        assert (await send(link, [GOOD]))[0][0].status == "open", "the connection goes on"
        await link.close()


def test_bulk_rows_are_of_agents() -> None:
    mine = order(TRADERS[0], Side.BUY, 1_000, 5, 1)
    proof = BulkProof(0, tuple("0x" + bytes(32).hex() for _ in range(5)))  # type: ignore[arg-type]
    kept, digest = join_signature(mine.signature, proof), order_digest(SEPARATOR, mine.order)
    head = mine.order.to_frame() + kept
    assert read_rows(head + from_hex(address(0x57)) + digest, True, 10) == 1
    with pytest.raises(InvalidInput, match="only agents"):
        read_rows(head + from_hex(TRADERS[0]) + digest, True, 10)
    with pytest.raises(InvalidInput, match="neither"):
        read_rows(cancel_row(bytes(20), 1)[:74] + kept + bytes(20) + digest, True, 10)


async def test_rows_under_way_end_with_the_connection(tmp_path: Path) -> None:
    """What was not answered is unknown, not refused."""
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        pending = asyncio.ensure_future(send(link, [GOOD]))
        await asyncio.sleep(0)
        await link.close()
        with pytest.raises(SequencerUnavailable):
            await pending
        with pytest.raises(SequencerUnavailable):
            await send(link, [GOOD])


async def test_rows_and_commands_share_groups(tmp_path: Path) -> None:
    """Both kinds at once from many connections: no order twice, and the journal replays to the same state."""
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        links = [await run.link() for _ in range(4)]
        orders = flow(800)

        async def work(number: int) -> list[int]:
            link, found = links[number], list[int]()
            for chunk in chunks(orders[number::4], 7):
                if number % 2:
                    found += [ack.sequence for ack in await link.submit(chunk)]
                else:
                    found += [result.sequence for result in (await send(link, [row(one) for one in chunk]))[0]]
            return found

        found = [sequence for part in await asyncio.gather(*map(work, range(4))) for sequence in part]
        assert len(set(found)) == 800
        await check_same(run, tmp_path)
        await check_digests(run, links[0], tmp_path / "journal")
        for link in links:
            await link.close()


async def check_digests(run: Running, link: SequencerLink, journal: Path) -> None:
    """Readers of the feed are told the digest of every order that was sequenced since the start."""
    replica = Replica()
    replica.advance(next(JournalReader(journal).groups()))
    async with asyncio.timeout(20), contextlib.aclosing(link.feed(2)) as groups:
        async for group in groups:
            commands = [decode(record.kind, record.version, record.payload) for record in group.records()]
            orders = [command.order for command in commands if isinstance(command, PlaceOrder)]
            assert group.digests == b"".join(order_digest(SEPARATOR, order) for order in orders)
            replica.advance(group)
            if group.last == run.sequencer.durable_sequence:
                break
    assert replica.engine.state_hash() == run.sequencer.engine.state_hash()


async def check_same(run: Running, folder: Path) -> None:
    assert replay(folder).state_hash() == run.sequencer.engine.state_hash()


def test_every_reason_and_status_has_a_number_of_its_own() -> None:
    closed = {str(reason) for reason in CloseReason} - {CloseReason.EXPIRED} | {"ORDER_EXPIRED"}
    assert {str(reason) for reason in RejectReason} | closed <= set(REASONS)
    assert len(set(REASONS.values())) == len(REASONS) and max(REASONS.values()) < 256
    assert set(OrderStatus) <= set(STATUSES) and len(set(STATUSES.values())) == len(STATUSES)
    assert all(REASONS[reason] < 128 for reason in RejectReason)
    assert len(GOOD) == SIGNED_FRAME.size
