"""`python -m bench soak`: minutes at three quarters of the venue's capacity while every process of it is killed.

Who dies and when comes from a seed; SIGKILL, and the process starts again at once, as its supervisor would start it.
Then the journal is compared with what the clients were told: every acknowledged order is in it exactly once, at the
place that was said, however often it was sent; and the streams went on without a gap, or began again and said so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench import machine, report
from bench.load.main import WARM_UP, Bench
from bench.load.presign import Plan, addresses, presigned
from bench.load.retrying import RetryingClient, Told, packed
from bench.load.schedule import poisson
from bench.load.venue import LoadedVenue
from offchain.client import HooatsClient, LocalBook, follow_book
from offchain.client.stream import Stream
from offchain.domain.command import Codec
from offchain.domain.order import ORDER_FRAME_BYTES, Order
from offchain.domain.reasons import RejectReason
from offchain.domain.wire import REASONS
from offchain.storage.reader import JournalReader

PER_FRAME = 16
LEG_SECONDS = 60.0
"""Orders are signed for so long at a time, while nothing is sent."""
SHARE = 0.75
_REASONS = {number: str(word) for word, number in REASONS.items()}
QUIET_SECONDS = 60.0
"""In which the streams must catch up once nothing dies any more."""


class KilledVenue(LoadedVenue):
    """Whose processes come back."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.commands: dict[str, Sequence[str]] = {}

    def _start(self, name: str, command: Sequence[str]) -> None:
        self.commands[name] = command
        super()._start(name, command)

    def kill_one(self, name: str) -> None:
        process: subprocess.Popen[bytes] = self.processes[name]
        process.kill()
        process.wait()
        self._start(name, self.commands[name])


class Watched:
    """A book rebuilt from its stream, and the trades as they came."""

    def __init__(self, url: str, symbol: str) -> None:
        self.symbol = symbol
        self.client = HooatsClient(url, retry_seconds=QUIET_SECONDS)
        self.book: LocalBook | None = None
        self.snapshots = self.deltas = 0
        self.gaps: list[str] = []

    async def follow_book(self) -> None:
        async for book in follow_book(self.client, self.symbol):
            self.book = book

    async def follow_trades(self) -> None:
        """Every message must name the one before it, or be a snapshot, which says that something may be missing."""
        seen = -1
        async for message in Stream(self.client, [f"trades:{self.symbol}"]):
            if message["type"] == "snapshot":
                self.snapshots += 1
            else:
                self.deltas += 1
                if not message["prevSeq"] <= seen < message["seq"]:
                    self.gaps.append(f"after {seen} came {message['prevSeq']} to {message['seq']}")
            seen = message["seq"]

    async def caught_up(self) -> bool:
        """Whether the book is, in time, what REST says it is."""
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):
                told = await self.client.book(self.symbol, depth=1_000)
                if self.book is not None and all(self.book.levels(side) == told[side] for side in ("bids", "asks")):
                    return True
            await asyncio.sleep(0.2)
        return False


class Soak:
    """`legs` of load, each with the orders that were signed for it."""

    def __init__(self, venue: KilledVenue, options: argparse.Namespace, rate: float) -> None:
        self.venue, self.options, self.rate = venue, options, rate
        self.kills: list[tuple[float, str]] = []
        self.chance = random.Random(options.seed)
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        """Of orders that were sequenced and refused, by reason."""
        self.legs: list[tuple[int, Told]] = []
        """(first nonce, what was told)."""

    async def run(self) -> None:
        seconds = self.options.minutes * 60
        legs = max(1, round(seconds / LEG_SECONDS))
        names = sorted(set(self.venue.processes) - {"listeners"})
        left = [names[at % len(names)] for at in range(self.options.kills)]
        self.chance.shuffle(left)
        watched = Watched(f"http://{self.venue.host}:{self.venue.port}", self.venue.market.symbol)
        followers = [asyncio.create_task(one) for one in (watched.follow_book(), watched.follow_trades())]
        for leg in range(legs):
            share = left[leg * len(left) // legs : (leg + 1) * len(left) // legs]
            await self._leg(leg, seconds / legs, share)
        self.faults += [f"a follower ended: {one.exception()!r}" for one in followers if one.done()]
        if not await watched.caught_up():
            self.faults.append("the book of the stream is not that of REST")
        self.faults += watched.gaps
        self.counts.update(snapshots=watched.snapshots, deltas=watched.deltas)
        for one in followers:
            one.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await watched.client.close()

    async def _leg(self, leg: int, seconds: float, victims: Sequence[str]) -> None:
        accounts, count = self.options.accounts, int(self.rate * seconds)
        first = time.time_ns() // 1_000_000
        plan = Plan(self.venue.market, self.venue.separator, accounts, crossing=0.3, seed=self.options.seed + leg)
        orders = await asyncio.to_thread(presigned, plan._replace(first_sequence=first, is_packed=True), count)
        told = Told(count)
        self.legs.append((first, told))
        clients = self.options.connections
        begin = time.monotonic() + 0.5
        mine: list[list[int]] = [[] for _ in range(clients)]
        for position, (account, _) in enumerate(orders):
            mine[account % clients].append(position)
        due = poisson(self.rate / PER_FRAME / clients, max(map(len, mine)) // PER_FRAME + 1, self.options.seed + leg)
        running = []
        for number, positions in enumerate(mine):
            parts = [positions[at : at + PER_FRAME] for at in range(0, len(positions), PER_FRAME)]
            batches = [
                packed(at, part, [orders[one][1] for one in part], begin + due[at]) for at, part in enumerate(parts)
            ]
            url = f"ws://{self.venue.host}:{self.venue.port}/v1/ws"
            window = plan.slots * (accounts // clients) // PER_FRAME
            running.append(RetryingClient(url, batches, told, self.options.seed + number, max(1, window)).run())
        await asyncio.gather(self._kill(victims, seconds), *running)
        self.faults += told.faults

        self.counts.update(orders=count, again=told.again, reconnected=told.reconnected)
        self.counts.update(resent=told.resent, repeated=told.repeated)

    async def _kill(self, victims: Sequence[str], seconds: float) -> None:
        moments = sorted(self.chance.uniform(0.05, 0.9) * seconds for _ in victims)
        begun = time.monotonic()
        for moment, name in zip(moments, victims, strict=True):
            await asyncio.sleep(max(0.0, begun + moment - time.monotonic()))
            await asyncio.to_thread(self.venue.kill_one, name)
            self.kills.append((moment, name))

    def compare(self) -> None:
        """The journal with what was said; the venue is dead."""
        accounts = self.options.accounts
        places = {account: at for at, account in enumerate(addresses(accounts))}
        found = [bytearray(len(told.sequences)) for _, told in self.legs]
        used: dict[tuple[str, int], int] = {}
        """The highest sequence of a slot that an order was accepted with, so far in the journal."""
        for record in JournalReader(self.venue.folder / "journal").read():
            if record.kind not in (Codec.KIND_PLACE, Codec.KIND_PLACE_BULK):
                continue
            order = Order.from_frame(record.payload[:ORDER_FRAME_BYTES])
            for at, (first, told) in reversed(list(enumerate(self.legs))):
                position = (order.sequence - first) * accounts + places[order.account]
                if order.sequence >= first and position < len(told.sequences):
                    found[at][position] += 1
                    if told.sequences[position] != record.sequence:
                        words = f"journaled at {record.sequence}, told {told.sequences[position]}"
                        self.faults.append(f"order {position} of leg {at}: {words}")
                    self._judge(order, told, position, used)
                    break
        for at, (_, told) in enumerate(self.legs):
            for position, accepted in enumerate(told.accepted):
                self.counts["acknowledged"] += accepted
                if accepted and found[at][position] != 1:
                    self.faults.append(f"order {position} of leg {at} is {found[at][position]} times in the journal")

    def _judge(self, order: Order, told: Told, position: int, used: dict[tuple[str, int], int]) -> None:
        """Whether it was right to accept or refuse it: orders of the plan are refused for nothing but a slot whose
        sequence is used up."""
        slot = order.account, order.slot
        if told.accepted[position]:
            used[slot] = max(used.get(slot, 0), order.sequence)
            return
        reason = _REASONS[told.reasons[position]]
        self.refusals[reason] += 1
        if reason != RejectReason.DEAD_NONCE or used.get(slot, 0) < order.sequence:
            self.faults.append(f"order {position} was refused without a reason: {reason}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--accounts", type=int, default=64)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--orders", type=int, default=20_000, help="that find out the capacity")
    options = parser.parse_args(arguments)
    load = argparse.Namespace(**vars(options), crossing=0.3, spoil_every=0, window=16)
    with KilledVenue(addresses(options.accounts), True, options.gateways) as venue:
        bench = Bench(venue, load)
        bench.run("packed", PER_FRAME, bench.orders(WARM_UP, "packed"))
        capacity: float = bench.run("packed", PER_FRAME, bench.orders(options.orders, "packed")).summary()["achieved"]
        soak = Soak(venue, options, capacity * SHARE)
        asyncio.run(soak.run())
        venue.kill()
        soak.compare()
    found = {"capacity": capacity, "rate": soak.rate, **soak.counts, "refusals": soak.refusals}
    found |= {"kills": soak.kills, "faults": soak.faults}
    path = report.save("soak", {"machine": machine.described(), "options": vars(options), **found})
    died = ", ".join(f"{name} {times}" for name, times in sorted(Counter(name for _, name in soak.kills).items()))
    print(f"\nsoak, seed {options.seed}: {options.minutes:g} minutes at {soak.rate:,.0f} of {capacity:,.0f} orders/s")
    print(f"killed: {died or 'nobody'}; clients reconnected {soak.counts['reconnected']} times")
    print(f"{soak.counts['acknowledged']:,} of {soak.counts['orders']:,} orders acknowledged", end="; ")
    print(f"{sum(soak.refusals.values()):,} refused since a later order of their slot was there")
    print(f"{soak.counts['resent']:,} frames sent again after a refusal or a lost connection,", end=" ")
    print(f"{soak.counts['repeated']:,} for no reason; {soak.counts['again']:,} orders told again what was told")
    print(f"trades: {soak.counts['deltas']:,} messages without a gap, {soak.counts['snapshots']} new beginnings said")
    for fault in soak.faults[:20]:
        print(f"FAULT {fault}")
    print(f"{len(soak.faults)} faults; all of it: {json.dumps(str(path.relative_to(machine.ROOT)))}\n")
    return 1 if soak.faults else 0
