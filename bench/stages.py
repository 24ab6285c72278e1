"""`python -m bench stages`: what each stage between a trader's bytes and the disk costs one order, as a multiple of one
bare recover in the same round, against its budget.

A budget was set in microseconds on a machine whose bare recover took REFERENCE_MICROS; here it is scaled by what a
recover takes now. Journal groups are timed by their processor time (the budget) and by the wall (records a second).
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench import machine, report
from bench.calibration import seconds_per_recovery
from bench.engines.hooats import Engine
from bench.publishing import Publishing
from bench.rounds import SLOWER_MAX
from bench.workloads import mixed
from offchain.client.orders import Signer, Ticket, sign_order
from offchain.domain import command, eip712
from offchain.domain.command import PlaceOrder
from offchain.domain.market import Market
from offchain.domain.order import Order, make_nonce
from offchain.domain.units import Address, from_hex
from offchain.engine import merkle
from offchain.gateway import schema
from offchain.security.signatures import recover
from offchain.storage.journal import Journal, Record

REFERENCE_MICROS = 31.06
CALIBRATING = 300
ROUNDS = 7
ORDERS = 500
TREES = (100_000, 1_000_000)
SEPARATOR = eip712.domain_separator(998, Address("0x" + "22" * 20))


class Stage(NamedTuple):
    """`run` does `items` of it; `budget` in reference microseconds each. `every`: only in every so many-th round.
    `ready` is called before `run`, and not timed."""

    name: str
    items: int
    run: Callable[[], None]
    budget: float | None
    every: int = 1
    ready: Callable[[], None] = lambda: None


class Measure(NamedTuple):
    micros: float
    wall_micros: float
    ratio: float


def market() -> Market:
    return Market(
        market=1,
        base_token=Address("0x" + "55" * 20),
        base_atoms_per_lot=10**14,
        quote_atoms_per_tick_lot=10,
        base_decimals=18,
        quote_decimals=6,
        symbol="BTC-USDC",
    )


def signed_orders(count: int) -> list[tuple[bytes, Order, bytes]]:
    """(the JSON a client posts, the order, its signature), of one account."""
    signer, listed, found = Signer(b"\x07" * 32), market(), []
    for number in range(count):
        ticket = Ticket(symbol=listed.symbol, side="buy", price=f"{60_000 + number % 100}.5", size="0.012")
        signed = sign_order(ticket, listed, make_nonce(1, 1_700_000_000_000 + number), 10_000, SEPARATOR, signer)
        found.append((msgspec.json.encode(signed.body), signed.order, from_hex(signed.body["signature"])))
    return found


def stages(folder: Path, trees: Sequence[int] = TREES, orders: int = ORDERS) -> list[Stage]:
    """All of them, inputs made."""
    made = signed_orders(orders)
    bodies = [body for body, _, _ in made]
    frames = [order.to_frame() for _, order, _ in made]
    hashed = [(eip712.order_digest(SEPARATOR, order), signature, order.account) for _, order, signature in made]
    return [
        Stage("decode a JSON order", orders, lambda: _decode(bodies), 0.8),
        Stage("decode a binary order", orders, lambda: _each(Order.from_frame, frames), 0.4),
        Stage("EIP-712 hash", orders, lambda: _hash([order for _, order, _ in made]), 2.6),
        Stage("recover and compare", orders, lambda: _recover(hashed), 1.08 * REFERENCE_MICROS),
        _engine(),
        _publisher(),
        Stage("merkle leaf", orders, lambda: _leaves(hashed), 0.7),
        *_journal(folder, made),
        *[stage for size in trees for stage in _trees(size)],
    ]


def _each(function: Callable[[Any], Any], values: Sequence[Any]) -> None:
    for value in values:
        function(value)


def _decode(bodies: Sequence[bytes]) -> None:
    listed = market()
    for body in bodies:
        schema.parse_order(schema.decode(schema.OrderRequest, body), listed)


def _hash(orders: Sequence[Order]) -> None:
    for order in orders:
        eip712.order_digest(SEPARATOR, order)


def _recover(hashed: Sequence[tuple[bytes, bytes, Address]]) -> None:
    for digest, signature, account in hashed:
        assert recover(digest, signature) == account


def _leaves(hashed: Sequence[tuple[bytes, bytes, Address]]) -> None:
    for number, (digest, _, _) in enumerate(hashed):
        merkle.standard_leaf(number, digest)


class _Matching:
    """The workload `mixed`, a chunk of it a round. Before a round the last one is settled and frames are made."""

    def __init__(self) -> None:
        workload = mixed(7, count=40_000)
        self._adapter = Engine(workload)
        self._operations = workload.preload + workload.operations
        self.chunk = self._adapter.chunk
        self._at = 0
        self._answers: Sequence[Any] = ()
        self._frames: Any = ()
        while self._at < len(workload.preload):
            self.ready()
            self.run()

    def ready(self) -> None:
        self._adapter.take(self._answers)
        self._frames = self._adapter.arriving(self._operations[self._at : self._at + self.chunk])
        self._at += self.chunk

    def run(self) -> None:
        self._answers = self._adapter.play(self._adapter.make(self._frames))


def _engine() -> Stage:
    matching = _Matching()
    return Stage("engine, with accounts", matching.chunk, matching.run, 2.0, ready=matching.ready)


def _publisher() -> Stage:
    publishing = Publishing()
    return Stage("publisher, feed to messages", publishing.size, publishing.run, 8.1, ready=publishing.ready)


class _Appending:
    """Groups of one size in a journal of its own."""

    def __init__(self, folder: Path, payloads: Sequence[tuple[int, int, bytes]], group: int, groups: int) -> None:
        self._journal = Journal.open(folder / f"group-{group}", chain_id=998)
        self._payloads, self._group, self._groups = payloads, group, groups
        self._records: list[list[Record]] = []

    def ready(self) -> None:
        sequence, payloads = self._journal.last_sequence, self._payloads
        self._records = [
            [
                Record(kind, version, sequence + group * self._group + at + 1, 1, payload)
                for at, (kind, version, payload) in zip(range(self._group), itertools.cycle(payloads), strict=False)
            ]
            for group in range(self._groups)
        ]

    def run(self) -> None:
        for records in self._records:
            self._journal.append(records)


def _journal(folder: Path, made: Sequence[tuple[bytes, Order, bytes]]) -> list[Stage]:
    """The budget is that of a natural batch, 16 and more; a group of one has none."""
    payloads = [command.encode(PlaceOrder(order, signature, order.account)) for _, order, signature in made]
    found = []
    for group, groups, budget in ((1, 50, None), (64, 8, 3.0), (1_024, 2, 3.0)):
        appending = _Appending(folder, payloads, group, groups)
        name = f"journal, fdatasync for every {group:,}"
        found.append(Stage(name, group * groups, appending.run, budget, ready=appending.ready))
    return found


MERKLE_SECONDS = 1.0
"""Budget of the root of a million leaves."""


def _trees(size: int) -> list[Stage]:
    """Both roots of an epoch, once in three rounds: nothing in them is disturbed for long."""
    hashes = [number.to_bytes(32, "big") for number in range(size)]
    pairs = list(enumerate(hashes))
    return [
        Stage(f"ordersRoot of {size:,}", size, lambda: _run(merkle.standard_root, pairs), MERKLE_SECONDS, every=3),
        Stage(f"commandsRoot of {size:,}", size, lambda: _run(merkle.indexed_root, hashes), MERKLE_SECONDS, every=3),
    ]


def _run(function: Callable[[Any], object], argument: object) -> None:
    function(argument)


def measure(found: Sequence[Stage], rounds: int = ROUNDS, seed: int = 7) -> dict[str, Any]:
    """Interleaved, each round in an order of its own; rounds with a slow calibration are dropped."""
    gc.collect()
    gc.freeze()
    gc.disable()
    played: list[tuple[float, dict[str, Measure]]] = []
    try:
        for number in range(rounds):
            order = [stage for stage in found if number % stage.every == 0]
            random.Random(seed * 1_000 + number).shuffle(order)
            recover_micros = seconds_per_recovery(CALIBRATING) * 1e6
            played.append((recover_micros, {stage.name: _time(stage, recover_micros) for stage in order}))
    finally:
        gc.enable()
        gc.unfreeze()
    best = min(recover_micros for recover_micros, _ in played)
    kept = [one for one in played if one[0] <= best * SLOWER_MAX]
    return {
        "machine": machine.described(),
        "load": machine.load(),
        "recover_micros": statistics.median(recover_micros for recover_micros, _ in kept),
        "kept": len(kept),
        "rounds": [{"recover_micros": one[0], "stages": {n: m._asdict() for n, m in one[1].items()}} for one in played],
        "rows": [_row(stage, [one[1][stage.name] for one in kept if stage.name in one[1]]) for stage in found],
    }


def _time(stage: Stage, recover_micros: float) -> Measure:
    stage.ready()
    wall, cpu = time.perf_counter(), time.process_time()
    stage.run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    micros = cpu / stage.items * 1e6
    return Measure(micros, wall / stage.items * 1e6, micros / recover_micros)


def _row(stage: Stage, measures: Sequence[Measure]) -> dict[str, Any]:
    """`gate`: the most that the ratio may be."""
    gate = None if stage.budget is None else stage.budget / REFERENCE_MICROS
    if not measures:
        return {"name": stage.name, "gate": gate, "items": stage.items}
    ratios = [measure.ratio for measure in measures]
    return {
        "name": stage.name,
        "items": stage.items,
        "micros": statistics.median(measure.micros for measure in measures),
        "wall_micros": statistics.median(measure.wall_micros for measure in measures),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "gate": gate,
    }


def table(run: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["| stage | µs | of a bare recover (min–max) | budget | |", "|---|---|---|---|---|"]
    for row in run["rows"]:
        if "ratio" not in row:
            lines.append(f"| {row['name']} | no quiet round | | | |")
            continue
        gate = row["gate"]
        spread = f"{row['ratio']:.3f} ({row['ratio_min']:.3f}–{row['ratio_max']:.3f})"
        micros = f"{row['micros']:.2f}"
        if row["name"].startswith("journal"):
            micros += f"; {1e6 / row['wall_micros']:,.0f}/s"
        if "Root" in row["name"]:
            micros += f"; {row['micros'] * row['items'] / 1e6:.2f} s"
        verdict = "" if gate is None else "holds" if row["ratio"] <= gate else "is missed"
        lines.append(f"| {row['name']} | {micros} | {spread} | {'' if gate is None else f'{gate:.3f}'} | {verdict} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench stages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--trees", type=int, nargs="*", default=list(TREES), help="leaves of the merkle trees")
    options = parser.parse_args(arguments)
    machine.BUILD.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="journal-", dir=machine.BUILD))
    try:
        run = measure(stages(folder, options.trees), options.rounds)
    finally:
        shutil.rmtree(folder)
    path = report.save("stages", run)
    place = run["machine"]
    print(
        f"\nstages; {place['cpu']}, commit {place['commit']}, {run['kept']} of {len(run['rounds'])} rounds kept; "
        f"a bare recover {run['recover_micros']:.1f} µs; load {run['load']['loadavg'][0]}\n"
    )
    print(table(run))
    print(f"\nraw rounds: {path.relative_to(machine.ROOT)}\n")
    return 0
