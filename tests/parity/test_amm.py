"""The pool of the chain and a naive one in Python do the same: 10,000 random operations, the same ones every time."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from naive_pool import NaivePool

from offchain.chain.abi import Function
from offchain.domain import amm

SEED = 20_261_121
HISTORIES = 10
OPERATIONS = 1_000
"""Per history, each of a pool of its own: 10,000 in all."""
CASES = 2_500

Ask = Callable[..., Any]

MINT, BURN, SWAP, DONATE, SKIM, SYNC = range(6)
OPERATION = "(uint8,uint256,uint256,uint256,uint256,uint256)"
RESULT = "(bool,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
RUN = Function(f"run({OPERATION}[])", f"{RESULT}[]")
QUOTES = Function("quotes(uint256[3][],bool)", "uint256[]")


class Operation(NamedTuple):
    """What is sent, and then called. Twin: `AmmHarness.Operation`."""

    kind: int
    base_in: int = 0
    quote_in: int = 0
    shares: int = 0
    base_out: int = 0
    quote_out: int = 0


Outcome = tuple[bool, int, int, int, int, int, int, int, int, int]
"""After an operation. Twin: `AmmHarness.Result`."""


def bits(chance: random.Random, most: int) -> int:
    """Uniform in magnitude, so that small and huge values both come."""
    return chance.getrandbits(chance.randint(0, most))


class Actor:
    """Draws operations, most of them possible, and tells what the naive pool makes of each."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._pool = NaivePool()
        self._shares = 0

    def draw(self) -> Operation:
        chance, pool = self._chance, self._pool
        if pool.supply == 0:
            return Operation(MINT, bits(chance, 90), bits(chance, 60))
        kind = chance.choices(range(6), (20, 15, 45, 5, 5, 10))[0]
        if kind == MINT:
            part = bits(chance, 20)
            base, quote = part * pool.base_reserve >> 18, part * pool.quote_reserve >> 18
            return Operation(MINT, max(0, base + chance.randint(-2, 2)), max(0, quote + chance.randint(-2, 2)))
        if kind == BURN:
            return Operation(BURN, shares=min(self._shares, bits(chance, 75)))
        if kind == SWAP:
            return self._draw_swap()
        return Operation(kind, bits(chance, 30), bits(chance, 30)) if kind == DONATE else Operation(kind)

    def _draw_swap(self) -> Operation:
        chance, pool = self._chance, self._pool
        if chance.random() < 0.1:
            return Operation(SWAP, *(bits(chance, 60) for _ in range(2)), 0, *(bits(chance, 60) for _ in range(2)))
        greed = chance.choice((0, 0, 0, 1))
        if chance.random() < 0.5:
            sold = bits(chance, max(1, pool.base_reserve.bit_length() + 2))
            out = amm.amount_out(pool.base_surplus + sold, pool.base_reserve, pool.quote_reserve)
            return Operation(SWAP, sold, 0, 0, 0, out + greed)
        paid = bits(chance, max(1, pool.quote_reserve.bit_length() + 2))
        out = amm.amount_out(pool.quote_surplus + paid, pool.quote_reserve, pool.base_reserve)
        return Operation(SWAP, 0, paid, 0, out + greed, 0)

    def perform(self, operation: Operation) -> Outcome:
        pool = self._pool
        pool.receive(operation.base_in, operation.quote_in, operation.shares)
        self._shares -= operation.shares
        done, first, second = self._call(operation)
        out = amm.amount_out(operation.base_in, pool.base_reserve, pool.quote_reserve)
        reserves = pool.base_reserve, pool.quote_reserve, pool.base_balance, pool.quote_balance
        return done, first, second, *reserves, pool.supply, pool.own_shares, out

    def _call(self, operation: Operation) -> tuple[bool, int, int]:
        pool = self._pool
        if operation.kind == MINT:
            minted = pool.mint()
            self._shares += minted or 0
            return minted is not None, minted or 0, 0
        if operation.kind == BURN:
            paid = pool.burn()
            return (True, *paid) if paid else (False, 0, 0)
        if operation.kind == SWAP:
            return pool.swap(operation.base_out, operation.quote_out), 0, 0
        if operation.kind == SKIM:
            return True, *pool.skim()
        if operation.kind == SYNC:
            pool.sync()
        return True, 0, 0


def test_pool_is_its_twin(ask_pool: Ask) -> None:
    done = 0
    for history in range(HISTORIES):
        actor = Actor(random.Random(SEED + history))
        operations: list[Operation] = []
        expected: list[Outcome] = []
        for _ in range(OPERATIONS):
            operations.append(actor.draw())
            expected.append(actor.perform(operations[-1]))
        found = ask_pool(RUN, [tuple(operation) for operation in operations])
        for at, (operation, outcome, result) in enumerate(zip(operations, expected, found, strict=True)):
            assert tuple(result) == outcome, f"history {history}, operation {at}: {operation}"
        done += sum(
            outcome[0] for operation, outcome in zip(operations, expected, strict=True) if operation.kind <= SWAP
        )
    assert done > HISTORIES * OPERATIONS // 3, "mints, burns and swaps that succeeded"


def test_quotes_are_the_formulas_of_the_domain(ask_pool: Ask) -> None:
    chance = random.Random(SEED)
    cases = [[bits(chance, 112), bits(chance, 112), bits(chance, 112)] for _ in range(CASES)]
    outs = ask_pool(QUOTES, cases, True)
    assert list(outs) == [amm.amount_out(*case) for case in cases]
    ins = ask_pool(QUOTES, cases, False)
    assert list(ins) == [amm.amount_in(*case) or 0 for case in cases]
