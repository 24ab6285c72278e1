"""Distinct signed orders, made before the clock starts: no two of a run are the same, none is sent twice.

Accounts are traders of one market. Each goes round the slots it has, so that an order replaces the one that it sent
some rounds before, and the book keeps its size; a share of the orders crosses the spread instead. Orders of one account
stay in order: whoever sends them must keep an account on one connection.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from offchain.client.orders import SignedOrder, Signer, Ticket, sign_order
from offchain.domain.market import Market
from offchain.domain.order import ORDER_FRAME_BYTES, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.domain.wire import SIGNED_ORDER_BYTES

MIDDLE_TICKS, SPREAD_TICKS, DEPTH_TICKS = 600_000, 20, 200
MAX_FEE_PPM = 10_000


class Plan(NamedTuple):
    """What to sign. `crossing`: this share of the orders takes what the other side has near the middle."""

    market: Market
    separator: bytes
    accounts: int
    slots: int = 16
    crossing: float = 0.0
    seed: int = 7
    first_sequence: int = 0
    """Of the nonces, in milliseconds; 0: now."""
    is_packed: bool = False
    """As fixed frames instead of JSON: an order and its signature."""


SPOILT = b'"signature":"0x' + b"0" * 64
"""What a spoilt order holds and no other: r is 0, which no key signs."""


def spoil(orders: list[tuple[int, bytes]], every: int) -> list[tuple[int, bytes]]:
    """Every so many-th order with a signature that nobody made: a venue that takes it has not looked."""
    for at in range(every - 1, len(orders), every) if every else ():
        account, body = orders[at]
        is_packed = len(body) == SIGNED_ORDER_BYTES
        mark, start = (bytes(32), ORDER_FRAME_BYTES) if is_packed else (SPOILT, body.index(b'"signature":"0x'))
        orders[at] = account, body[:start] + mark + body[start + len(mark) :]
    return orders


def is_spoilt(order: bytes) -> bool:
    if len(order) == SIGNED_ORDER_BYTES:
        return not any(order[ORDER_FRAME_BYTES : ORDER_FRAME_BYTES + 32])
    return SPOILT in order


def key(account: int) -> bytes:
    """The private key of an account: known to everybody, and worth nothing."""
    return hashlib.sha256(b"HOOATS bench" + account.to_bytes(4, "big")).digest()


def addresses(count: int) -> list[Address]:
    return [Signer(key(account)).address for account in range(count)]


def presigned(plan: Plan, count: int, workers: int | None = None) -> list[tuple[int, bytes]]:
    """(account, JSON of the order), in the order in which they are to be sent."""
    workers = workers or len(os.sched_getaffinity(0))
    if not plan.first_sequence:
        plan = plan._replace(first_sequence=time.time_ns() // 1_000_000)
    shares = [list(range(first, plan.accounts, workers)) for first in range(min(workers, plan.accounts))]
    parts = [(plan, accounts, count) for accounts in shares]
    if len(parts) == 1:
        made = [_sign(parts[0])]
    else:
        with multiprocessing.get_context("spawn").Pool(len(parts)) as pool:
            made = pool.map(_sign, parts)
    found: list[tuple[int, bytes]] = [(0, b"")] * count
    for one in made:
        for position, account, body in one:
            found[position] = (account, body)
    return found


def _sign(part: tuple[Plan, Sequence[int], int]) -> list[tuple[int, int, bytes]]:
    """(position, account, JSON) of the orders of some accounts. Order `n` belongs to account `n % accounts`."""
    plan, accounts, count = part
    found = []
    for account in accounts:
        signer, chance = Signer(key(account)), random.Random(plan.seed * 1_000_003 + account)
        for turn, position in enumerate(range(account, count, plan.accounts)):
            signed = planned(plan, account, turn, chance, signer)
            if plan.is_packed:
                packed = signed.order.to_frame() + bytes.fromhex(signed.body["signature"][2:])
                found.append((position, account, packed))
            else:
                found.append((position, account, msgspec.json.encode(signed.body)))
    return found


def planned(plan: Plan, account: int, turn: int, chance: random.Random, signer: Signer) -> SignedOrder:
    """Even accounts buy below the middle, odd ones sell above it; one that crosses goes to the other side's depth."""
    is_buy = account % 2 == 0
    offset = SPREAD_TICKS + chance.randrange(DEPTH_TICKS)
    if chance.random() < plan.crossing:
        offset = -offset
    price = MIDDLE_TICKS - offset if is_buy else MIDDLE_TICKS + offset
    ticket = Ticket(
        symbol=plan.market.symbol,
        side="buy" if is_buy else "sell",
        price=plan.market.format_price(Ticks(price)),
        size=plan.market.format_size(Lots(chance.randint(1, 100))),
    )
    nonce = make_nonce(1 + turn % plan.slots, plan.first_sequence + turn)
    return sign_order(ticket, plan.market, nonce, MAX_FEE_PPM, plan.separator, signer)
