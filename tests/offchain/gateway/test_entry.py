"""Order entry in fixed frames, against the real sequencer: what is answered, what is refused before any work, and what
no bytes can do."""

import asyncio
import contextlib
import itertools
import random
import signal
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import KEYS, settings_for
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from real_venue import BASE, CHAIN_ID, COMMITMENT, OPENED, QUOTE, SETTLEMENT
from test_stream import open_socket

from offchain.client import Refused, Ticket
from offchain.client.orders import Signer
from offchain.domain import wire
from offchain.domain.chainlog import AgentRegistered, AgentRevoked
from offchain.domain.eip712 import (
    bulk_digest,
    bulk_levels,
    bulk_root,
    domain_separator,
    join_levels,
    order_digest,
    order_struct_hash,
    receipts_digest,
)
from offchain.domain.limits import AGENT_UNLIMITED, FRAME_BYTES_MAX, ORDERS_PER_REQUEST_MAX
from offchain.domain.order import SIGNED_FRAME, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Lots, Ticks
from offchain.domain.wire import MessageKind, unpack_result
from offchain.gateway.context import Gateway
from offchain.gateway.entry import ITEMS_PER_SLICE, ITEMS_PER_SUBMISSION, SUBMITTED_MAX
from offchain.gateway.settings import RateSettings
from offchain.security.limits import Rate
from offchain.security.signatures import recover

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALICE, BOB, CAROL, STRANGER = map(Signer, KEYS)
AGENT = Signer(b"\x21" * 32)
SEPARATOR = domain_separator(CHAIN_ID, SETTLEMENT)
_SEQUENCE = iter(range(2**40))


def order(account: Signer = ALICE, price: int = 50_000, size: int = 10, side: Side = Side.BUY, **changes) -> Order:
    """Each in a slot of its own; the price in ticks far from any other's."""
    number = next(_SEQUENCE)
    slot = changes.pop("slot", 1 + number % 60_000)
    values = {
        "account": account.address,
        "subaccount": 0,
        "market": 1,
        "side": side,
        "kind": Kind.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "flags": 0,
        "price_ticks": Ticks(price),
        "size_lots": Lots(size),
        "trigger_ticks": Ticks(0),
        "max_fee_ppm": 10_000,
        "nonce": make_nonce(slot, time.time_ns() // 1_000_000),
        "expiry": 0,
    }
    return Order(**(values | changes))


def signed(placed: Order, by: Signer | None = None) -> bytes:
    signer = by or next(one for one in (ALICE, BOB, CAROL, STRANGER) if one.address == placed.account)
    return placed.to_frame() + bytes.fromhex(signer.sign(order_digest(SEPARATOR, placed))[2:])


def message(kind: int, items: list[bytes], number: int = 7, before: bytes = b"") -> bytes:
    return wire.HEAD.pack(wire.VERSION, kind, len(items), number) + before + b"".join(items)


def orders(*placed: Order, number: int = 7) -> bytes:
    return message(MessageKind.ORDERS, [signed(one) for one in placed], number)


def bulk(placed: list[Order], by: Signer = AGENT) -> bytes:
    signature = bytes.fromhex(by.sign(bulk_digest(SEPARATOR, bulk_root(placed)))[2:])
    return message(MessageKind.BULK, [one.to_frame() for one in placed], 7, signature)


class Entry:
    """A connection that speaks frames."""

    def __init__(self, socket) -> None:
        self.json = socket

    async def next(self) -> tuple[int, list[wire.Result], bytes]:
        """(id, results, attestation)."""
        async with asyncio.timeout(5):
            while isinstance(content := await self.json.socket.recv(), str):
                pass
        version, kind, count, number = wire.HEAD.unpack_from(content)
        assert version == wire.VERSION
        if kind == MessageKind.FAULT:
            raise Fault(number, content[wire.HEAD.size], content[wire.HEAD.size + 1 :].decode())
        assert kind == MessageKind.RESULTS
        stop = wire.HEAD.size + count * wire.RESULT_BYTES
        parts = range(wire.HEAD.size, stop, wire.RESULT_BYTES)
        return number, [unpack_result(content[at : at + wire.RESULT_BYTES]) for at in parts], content[stop:]

    async def ask(self, content: bytes | list[bytes]) -> list[wire.Result]:
        await self.json.socket.send(content)
        return (await self.next())[1]

    async def fault(self, content: bytes) -> int:
        with pytest.raises(Fault) as found:
            await self.ask(content)
        return found.value.code


class Fault(Exception):
    def __init__(self, number: int, code: int, words: str) -> None:
        super().__init__(words)
        self.number, self.code, self.words = number, code, words


@contextlib.asynccontextmanager
async def open_entry(venue):
    async with open_socket(venue) as socket:
        yield Entry(socket)


def counted(gateway: Gateway) -> int:
    """How many signatures were looked at."""
    return gateway.signers.looked_at


async def test_an_order_is_placed_attested_and_shown(start_real_venue) -> None:
    async with start_real_venue() as (_, venue), open_entry(venue) as entry, venue.client() as client:
        mine = [order(price=50_000 + n) for n in range(3)]
        await entry.json.socket.send(orders(*mine, number=2**64 - 1))
        number, results, attestation = await entry.next()
        assert number == 2**64 - 1
        assert [(one.status, one.reason, one.replayed, one.filled_lots) for one in results] == [
            ("open", "", False, 0)
        ] * 3
        first, last, count, root, signature = wire.ATTESTATION.unpack(attestation)
        assert first <= results[0].sequence and results[2].sequence <= last and count >= 3
        digest = receipts_digest(domain_separator(CHAIN_ID, COMMITMENT), first, last, count, root)
        assert recover(digest, signature) == "0x" + Signer(b"\x07" * 32).address[2:]
        await venue.wait(lambda: venue.publisher.model.sequence >= last)
        shown = {one.id for one in await client.orders()}
        assert shown == {"0x" + order_digest(SEPARATOR, one).hex() for one in mine}


async def test_orders_trade_and_say_how_much(real) -> None:
    _, venue = real
    async with open_entry(venue) as entry:
        await entry.ask(orders(order(BOB, 60_000, 4, Side.SELL), order(CAROL, 60_000, 4, Side.SELL)))
        taker = order(ALICE, 60_000, 10, slot=0, time_in_force=TimeInForce.IOC)
        (result,) = await entry.ask(orders(taker))
        assert (result.status, result.reason, result.filled_lots, result.fills) == (
            "canceled",
            "IMMEDIATE_REMAINDER",
            8,
            2,
        )


async def test_an_order_again_gets_its_first_result_and_costs_no_recovery(real) -> None:
    _, venue = real
    async with open_entry(venue) as entry:
        mine = orders(order(), order())
        first = await entry.ask(mine)
        before = counted(venue.gateway)
        assert await entry.ask(mine) == [one._replace(replayed=True) for one in first]
        assert counted(venue.gateway) == before
        forged = bytearray(mine)
        forged[-2] ^= 1
        assert (await entry.ask(bytes(forged)))[1].reason in ("INVALID_SIGNATURE", "WRONG_SIGNER"), (
            "not the same request"
        )
        venue.gateway.entry._results.clear()
        assert await entry.ask(mine) == [one._replace(replayed=True) for one in first], "the sequencer knows it, too"
        venue.gateway.entry._results.clear()
        await asyncio.gather(*(entry.json.socket.send(content) for content in (mine, orders(order(), number=8))))
        answers = {number: attestation for number, _, attestation in [await entry.next(), await entry.next()]}
        assert answers[7] == b"" and len(answers[8]) == wire.ATTESTATION.size, "only what was sequenced now is attested"


async def test_what_is_refused_cheaply_costs_no_recovery_and_no_sequence(real) -> None:
    _, venue = real
    refused = {
        "INSUFFICIENT_BALANCE": order(STRANGER),
        "UNKNOWN_MARKET": order(market=77),
        "EXPIRED": order(expiry=int(time.time()) - 1),
        "INVALID_PRICE": order(price=0),
        "INVALID_SIZE": order(size=0),
    }
    async with open_entry(venue) as entry:
        await entry.ask(orders(order()))
        before, sequence = counted(venue.gateway), venue.publisher.model.sequence
        good = order()
        results = await entry.ask(orders(*refused.values()))
        assert [one.reason for one in results] == list(refused)
        assert all(one.sequence == 0 and one.status == "rejected" for one in results)
        assert counted(venue.gateway) == before
        kind = signed(order())
        broken = kind[:26] + b"\x09" + kind[27:]
        mixed = message(MessageKind.ORDERS, [broken, signed(good), signed(refused["UNKNOWN_MARKET"])])
        results = await entry.ask(mixed)
        assert [one.reason for one in results] == ["INVALID_PARAMETER", "", "UNKNOWN_MARKET"], "each in its place"
        assert results[1].sequence > sequence
        assert venue.gateway.trading.is_live()


async def test_nobody_trades_for_another(real) -> None:
    _, venue = real
    async with open_entry(venue) as entry:
        mine = order(ALICE)
        changed = bytearray(signed(order(ALICE)))
        changed[33] ^= 1
        nobody = signed(order(ALICE))[:74] + bytes(65)
        items = [signed(mine, BOB), bytes(changed), nobody]
        results = await entry.ask(message(MessageKind.ORDERS, items))
        assert [one.reason for one in results] == ["WRONG_SIGNER", "WRONG_SIGNER", "INVALID_SIGNATURE"]
        assert all(one.sequence == 0 for one in results), "nothing of it is in the journal"
        assert (await entry.ask(orders(mine)))[0].status == "open"


async def register(processes, venue, **terms) -> None:
    terms = {"expiry": 2**40 - 1, "notional": AGENT_UNLIMITED, "markets": ()} | terms
    processes.observe(AgentRegistered, account=ALICE.address, agent=AGENT.address, **terms)
    await venue.wait(lambda: AGENT.address in venue.publisher.model.agents.get(ALICE.address, {}))


async def test_agents_sign_one_by_one_and_in_bulk(start_real_venue) -> None:
    """Each order of a tree is settleable by itself: its proof is in the journal."""
    async with start_real_venue() as (processes, venue), open_entry(venue) as entry, venue.client() as client:
        one = order(ALICE)
        assert (await entry.ask(message(MessageKind.ORDERS, [signed(one, AGENT)])))[0].reason == "WRONG_SIGNER"
        await register(processes, venue)
        assert (await entry.ask(message(MessageKind.ORDERS, [signed(one, AGENT)])))[0].status == "open"
        tree = [order(ALICE, price=40_000 + n) for n in range(32)]
        before = counted(venue.gateway)
        results = await entry.ask(bulk(tree))
        assert [one.status for one in results] == ["open"] * 32
        assert counted(venue.gateway) == before + 1, "one recovery for all"
        assert await entry.ask(bulk(tree)) == [one._replace(replayed=True) for one in results]
        assert counted(venue.gateway) == before + 1, "the root is known"
        (part,) = await entry.ask(bulk([order(ALICE)]))
        assert part.status == "open", "a tree need not be full"
        mixed = await entry.ask(bulk([order(ALICE), order(BOB), order(ALICE, size=0)]))
        assert [one.reason for one in mixed] == ["", "WRONG_SIGNER", "INVALID_SIZE"]
        (own,) = await entry.ask(bulk([order(ALICE)], ALICE))
        assert own.reason == "WRONG_SIGNER", "only agents sign in bulk"
        ticket = Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.001")
        request = await client.sign(ticket)
        body = request.body | {"signature": AGENT.sign(bytes.fromhex(request.digest[2:]))}
        answer = await client.place_signed(request._replace(body=body))
        assert answer.order.id == request.digest, "also over JSON"
        single = await client.sign(ticket)
        levels = bulk_levels([order_struct_hash(single.order), order_struct_hash(order())])
        signature = bytes.fromhex(AGENT.sign(bulk_digest(SEPARATOR, levels[-1][0]))[2:])
        for position, code in ((1, "WRONG_SIGNER"), (40, "INVALID_SIGNATURE"), (0, "")):
            kept = bytearray(join_levels(signature, levels, 0))
            kept[65] = position
            body = single.body | {"signature": "0x" + kept.hex()}
            if code:
                with pytest.raises(Refused) as refused:
                    await client.place_signed(single._replace(body=body))
                assert refused.value.code == code
            else:
                answer = await client.place_signed(single._replace(body=body))
                assert answer.order.id == single.digest, "signed in bulk, one by one, in JSON"
        processes.observe(AgentRevoked, account=ALICE.address, agent=AGENT.address, effective_at=1)
        await venue.wait(lambda: venue.publisher.model.agents[ALICE.address][AGENT.address].is_revoked)
        (over,) = await entry.ask(message(MessageKind.ORDERS, [signed(order(ALICE), AGENT)]))
        assert over.reason == "AGENT_NOT_ENTITLED" and over.sequence, "the engine decides"
        assert await client.orders() == [], "what it signed is out"


async def test_cancels_by_session(start_real_venue) -> None:
    async with start_real_venue() as (_, venue), open_entry(venue) as entry, venue.client() as client:
        mine = [order(ALICE) for _ in range(4)]
        other = order(BOB)
        await entry.ask(orders(*mine, other))
        cancels = message(MessageKind.CANCELS, [wire.CANCEL.pack(one.nonce) for one in (*mine[:2], other)])
        assert {one.reason for one in await entry.ask(cancels)} == {"UNAUTHENTICATED"}
        all_of_them = message(MessageKind.CANCEL_ALL, [wire.CANCEL_ALL.pack(0)])
        assert await entry.fault(all_of_them) == wire.REASONS["UNAUTHENTICATED"]
        assert (await entry.json.login(client))["ok"]
        results = await entry.ask(cancels)
        assert [(one.status, one.reason) for one in results[:2]] == [("canceled", "CANCELED")] * 2
        (again,) = await entry.ask(message(MessageKind.CANCELS, [wire.CANCEL.pack(mine[0].nonce)]))
        assert again.reason == "ORDER_NOT_OPEN" and again.sequence
        (rest,) = await entry.ask(all_of_them)
        assert (rest.status, rest.fills) == ("canceled", 2)
        await venue.wait(lambda: venue.publisher.model.sequence >= rest.sequence)
        assert venue.publisher.model.open_of(BOB.address), "nobody else's"
        assert not venue.publisher.model.open_of(ALICE.address)


async def test_two_connections_and_json_share_one_order_of_things(real) -> None:
    """Many messages in flight at once over several connections: each is answered once, with its id."""
    _, venue = real
    async with contextlib.AsyncExitStack() as stack:
        entries = [await stack.enter_async_context(open_entry(venue)) for _ in range(4)]
        who = [ALICE, BOB, CAROL, ALICE]

        async def work(number: int) -> list[int]:
            entry, sent = entries[number], {}
            for turn in range(25):
                sent[turn] = [order(who[number]) for _ in range(1 + turn % 5)]
                await entry.json.socket.send(orders(*sent[turn], number=turn))
            found = []
            while sent:
                answered, results, _ = await entry.next()
                assert len(results) == len(sent.pop(answered))
                found += [one.sequence for one in results]
            return found

        parts = await asyncio.gather(*map(work, range(4)))
        sequences = [sequence for part in parts for sequence in part]
        assert len(sequences) == len(set(sequences)) == 4 * 75 and min(sequences) > 0


async def test_fragments_pieces_and_neighbours(real) -> None:
    """Frames that come in bits or several at once; a message in fragments is refused, and the connection goes on."""
    _, venue = real
    async with open_entry(venue) as entry:
        transport = entry.json.socket.transport
        content = orders(order(), order())
        frame = b"\x82\xfe" + struct.pack(">H", len(content)) + bytes(4) + content
        for byte in range(0, len(frame), 7):
            transport.write(frame[byte : byte + 7])
            await asyncio.sleep(0)
        assert len((await entry.next())[1]) == 2
        text = b'{"op":"ping","id":1}'
        transport.write(frame + b"\x81" + bytes((0x80 | len(text),)) + bytes(4) + text + frame)
        assert [len((await entry.next())[1]) for _ in range(2)] == [2, 2]
        async with asyncio.timeout(5):
            await entry.json.socket.send([content[:20], content[20:]])
            answer = await entry.json.next()
            while answer.get("error") is None:
                answer = await entry.json.next()
        assert answer["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"
        assert (await entry.ask(orders(order())))[0].status == "open"
        transport.write(b"\x82\xff" + struct.pack(">Q", FRAME_BYTES_MAX + 1) + bytes(4))
        await entry.json.socket.wait_closed()
        assert entry.json.socket.close_code == 1009


async def test_what_is_no_message_is_a_fault_and_nothing_happens(real) -> None:
    _, venue = real
    async with open_entry(venue) as entry:
        good = orders(order())
        malformed = [
            b"",
            good[:11],
            good[:-1],
            good + b"\x00",
            b"\x02" + good[1:],
            good[:1] + b"\x09" + good[2:],
            message(MessageKind.ORDERS, []),
            message(MessageKind.BULK, [], before=bytes(65)),
        ]
        for content in malformed:
            assert await entry.fault(content) == wire.REASONS["MALFORMED"], content
        many = message(MessageKind.CANCELS, [bytes(8)] * (ORDERS_PER_REQUEST_MAX + 1))
        assert await entry.fault(many) == wire.REASONS["TOO_MANY_ORDERS"]
        assert await entry.fault(message(MessageKind.BULK, [bytes(74)] * 33, before=bytes(65))) == 200
        assert (await entry.ask(good))[0].status == "open"


async def test_any_bytes_are_answered_and_break_nothing(real) -> None:
    _, venue = real
    pick = random.Random(3)
    async with open_entry(venue) as entry:
        good = [orders(order(), order()), bulk([order()]), message(MessageKind.CANCELS, [bytes(8)])]
        for _ in range(500):
            content = bytearray(pick.choice(good))
            for _ in range(pick.randrange(1, 4)):
                content[pick.randrange(len(content))] = pick.randrange(256)
            with contextlib.suppress(Fault):
                await entry.ask(bytes(content))
        assert (await entry.ask(orders(order())))[0].status == "open"
        assert not venue.gateway.metrics.failures._value.get()


async def test_no_bytes_raise(tmp_path: Path) -> None:
    """Without a sequencer: everything is refused, nothing is raised."""
    gateway = Gateway(settings_for(tmp_path))
    limit = gateway.ingress.connection()

    class Peer:
        def __init__(self) -> None:
            self.address, self.limit, self.heard = "", limit, list[bytes]()

        def reply(self, messages: Sequence[bytes]) -> None:
            self.heard.extend(messages)

    @example_settings(max_examples=300, deadline=None)
    @given(content=st.binary(max_size=400))
    def check(content: bytes) -> None:
        peer = Peer()
        gateway.entry.receive(peer, content)  # type: ignore[arg-type]
        assert len(peer.heard) == 1

    check()


async def test_rates_hold_before_any_signature_is_looked_at(start_real_venue) -> None:
    rates = RateSettings(
        address=Rate(1_000_000, 1_000_000),
        account=Rate(1, 5),
        cancel=Rate(1, 3),
        connection=Rate(1, 6),
    )
    async with start_real_venue(rates=rates) as (_, venue), open_entry(venue) as entry, venue.client() as client:
        results = await entry.ask(orders(*(order(ALICE) for _ in range(8))))
        assert [one.reason for one in results] == [""] * 5 + ["RATE_LIMITED"] * 3
        looked_at = counted(venue.gateway)
        assert (await entry.ask(orders(order(ALICE))))[0].reason == "RATE_LIMITED"
        assert counted(venue.gateway) == looked_at
        assert (await entry.ask(orders(order(BOB))))[0].status == "open", "a budget of his own"
        await entry.json.login(client)
        cancels = message(MessageKind.CANCELS, [wire.CANCEL.pack(1)] * 4)
        assert {one.reason for one in await entry.ask(cancels)} == {"RATE_LIMITED"}
        await entry.ask(orders(order(CAROL)))
        assert await entry.fault(orders(order(CAROL))) == wire.REASONS["RATE_LIMITED"], "messages of a connection"


async def test_what_waits_is_bounded(real, monkeypatch: pytest.MonkeyPatch) -> None:
    _, venue = real
    monkeypatch.setattr("offchain.gateway.entry.WAITING_MAX", 10)
    async with open_entry(venue) as entry:
        content = orders(*(order() for _ in range(6)))
        frame = b"\x82\xfe" + struct.pack(">H", len(content)) + bytes(4) + content
        entry.json.socket.transport.write(frame * 3)
        outcomes = []
        for _ in range(3):
            try:
                outcomes.append((await entry.next())[1][0].status)
            except Fault as fault:
                outcomes.append(fault.code)
        busy = wire.REASONS["RATE_LIMITED"]
        assert sorted(map(str, outcomes)) == sorted(map(str, ["open", busy, busy]))


async def test_cancels_wait_for_nobodys_signatures(real) -> None:
    """Sent behind 300 orders, a cancel is answered before them; and it has room where orders have none."""
    _, venue = real
    async with open_entry(venue) as entry, venue.client() as client:
        await entry.json.login(client)
        (mine,) = [order(ALICE)]
        await entry.ask(orders(mine))
        many = [orders(*(order(BOB) for _ in range(100)), number=number) for number in range(1, 4)]
        cancel = message(MessageKind.CANCELS, [wire.CANCEL.pack(mine.nonce)], 99)
        frames = [b"\x82\xfe" + struct.pack(">H", len(one)) + bytes(4) + one for one in many]
        frames.append(bytes((0x82, 0x80 | len(cancel))) + bytes(4) + cancel)
        entry.json.socket.transport.write(b"".join(frames))
        answers = [await entry.next() for _ in frames]
        places = {number: results[0].sequence for number, results, _ in answers}
        assert places[99] < min(places[number] for number in (2, 3)), places
        assert {number: results[0].status for number, results, _ in answers}[99] == "canceled"


@contextlib.asynccontextmanager
async def watched(gateway: Gateway):
    """How many signatures had been looked at, at every turn of the loop."""
    looked_at: list[int] = []

    async def watch() -> None:
        while True:
            looked_at.append(counted(gateway))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    try:
        yield looked_at
    finally:
        watching.cancel()


async def test_others_have_their_turn_while_signatures_are_looked_at(real, monkeypatch) -> None:
    """However much waits, the loop goes round after every slice; and what a few slices gave leaves at once."""
    _, venue = real
    count, submitted = 20, []
    submit_rows = venue.gateway.upstream.submit_rows

    def submit(rows: bytes, *rest, **options) -> None:
        submitted.append(len(rows) // SIGNED_FRAME.size)
        submit_rows(rows, *rest, **options)

    monkeypatch.setattr(venue.gateway.upstream, "submit_rows", submit)
    many = [orders(*(order(BOB) for _ in range(ITEMS_PER_SLICE)), number=number) for number in range(count)]
    frames = [b"\x82\xfe" + struct.pack(">H", len(one)) + bytes(4) + one for one in many]
    async with open_entry(venue) as entry, watched(venue.gateway) as looked_at:
        entry.json.socket.transport.write(b"".join(frames))
        answers = [await entry.next() for _ in many]
    assert all(one.status == "open" for _, results, _ in answers for one in results)
    assert max(after - before for before, after in itertools.pairwise(looked_at)) == ITEMS_PER_SLICE
    assert max(submitted) == ITEMS_PER_SUBMISSION and sum(submitted) == count * ITEMS_PER_SLICE


async def test_others_have_their_turn_while_an_array_of_orders_is_looked_at(real) -> None:
    _, venue = real
    async with venue.client(KEYS[1]) as client:
        tickets = [Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.001", slot=slot) for slot in range(1, 41)]
        async with watched(venue.gateway) as looked_at:
            placed = await client.place_all(tickets)
        assert all(one.order.status == "open" for one in placed)
        assert max(after - before for before, after in itertools.pairwise(looked_at)) == ITEMS_PER_SLICE
        await client.cancel_all()


async def test_orders_that_a_lost_connection_had_sent_do_not_outlive_it(real) -> None:
    """Whose orders are to end with it: those that were sent just before as well, wherever they wait."""
    _, venue = real
    async with venue.client(KEYS[1]) as client:
        async with open_entry(venue) as entry:
            await entry.json.login(client)
            await entry.json.ask(op="cancelOnDisconnect", enabled=True)
            many = [orders(*(order(BOB) for _ in range(100)), number=number) for number in range(16)]
            frames = [b"\x82\xfe" + struct.pack(">H", len(one)) + bytes(4) + one for one in many]
            entry.json.socket.transport.write(b"".join(frames))
            entry.json.socket.transport.close()
        gateway = venue.gateway
        await venue.wait(lambda: not len(gateway.sockets))
        await venue.wait(lambda: not (gateway._cancelling or gateway.entry._orders.items or gateway.entry._unanswered))
        assert await client.orders() == []


async def test_a_cancel_does_not_queue_at_the_sequencer_behind_all_that_was_offered(start_real_venue) -> None:
    """While the sequencer stands still, orders pile up; a cancel that comes after all of them goes before most."""
    async with start_real_venue() as (processes, venue), open_entry(venue) as entry, venue.client() as client:
        await entry.json.login(client)
        (mine,) = [order(ALICE)]
        await entry.ask(orders(mine))
        before = counted(venue.gateway)
        processes.tell("sequencer", signal.SIGSTOP)
        for number in range(1, 13):
            await entry.json.socket.send(orders(*(order(BOB) for _ in range(100)), number=number))
        await venue.wait(lambda: counted(venue.gateway) >= before + SUBMITTED_MAX)
        await entry.json.socket.send(message(MessageKind.CANCELS, [wire.CANCEL.pack(mine.nonce)], 99))
        await asyncio.sleep(0.2)
        processes.tell("sequencer", signal.SIGCONT)
        places = {number: results[0].sequence for number, results, _ in [await entry.next() for _ in range(13)]}
        assert places[99] < min(places[number] for number in range(8, 13)), places


async def test_the_outcome_is_unknown_when_the_sequencer_dies(start_real_venue) -> None:
    """And the same orders again tell; an order is placed once."""
    async with start_real_venue() as (processes, venue), open_entry(venue) as entry:
        mine = [order() for _ in range(40)]
        await entry.ask(orders(order()))
        for number, one in enumerate(mine):
            await entry.json.socket.send(orders(one, number=number))
        processes.kill("sequencer")
        answers = {}
        for _ in mine:
            try:
                number, (result,), _ = await entry.next()
                answers[number] = result.status
            except Fault as fault:
                answers[fault.number] = "not executed"
        assert len(answers) == 40 and set(answers.values()) <= {"open", "unknown", "not executed", "rejected"}
        processes.start("sequencer")
        await venue.wait(lambda: venue.gateway.trading.is_live(), 20)
        sequences = set()
        for number, one in enumerate(mine):
            (result,) = await entry.ask(orders(one))
            assert result.status == "open"
            assert result.replayed or answers[number] != "open"
            sequences.add(result.sequence)
        assert len(sequences) == 40
        assert OPENED.quote_token == QUOTE != BASE
