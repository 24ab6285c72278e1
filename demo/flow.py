"""A flow of order actions: generated from a seed, or read from a file.

A flow file is JSON lines (optionally gzipped), one action a line, ordered by `at`; docs/flow.md describes it.
Invariant: the same seed gives the same actions, byte for byte. Nothing here knows keys, nonces or the network.
"""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from offchain.domain.errors import InvalidInput

MAKERS = 8
"""Traders 0..7 open synth debts and quote both sides; the rest take."""


class Action(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One action. `at` in milliseconds from the start; `id` names the order inside the flow (a cancel names it again).

    `slot` 0 is for immediate orders; an order in a slot that is taken replaces what rests there.
    """

    at: int
    trader: int
    op: Literal["place", "cancel"]
    id: int
    market: str = ""
    side: Literal["buy", "sell", ""] = ""
    type: Literal["limit", "market", ""] = ""
    tif: Literal["GTC", "IOC", ""] = ""
    price: str = ""
    size: str = ""
    slot: int = 0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Shape of one generated market, in ticks and lots of its decimals."""

    symbol: str
    mid_ticks: int
    tick_decimals: int
    lot_decimals: int
    spread_ticks: int
    quote_lots: tuple[int, int]
    take_lots: tuple[int, int]


BTC = Profile(
    symbol="BTC-USDC",
    mid_ticks=615_000,
    tick_decimals=1,
    lot_decimals=4,
    spread_ticks=60,
    quote_lots=(40, 260),
    take_lots=(20, 320),
)
ETH = Profile(
    symbol="ETH-USDC",
    mid_ticks=250_000,
    tick_decimals=2,
    lot_decimals=3,
    spread_ticks=40,
    quote_lots=(80, 600),
    take_lots=(40, 700),
)


def fixed(units: int, decimals: int) -> str:
    """Integer units as a canonical decimal string."""
    whole, part = divmod(units, 10**decimals)
    digits = str(part).rjust(decimals, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


class Generator:
    """Makers requote in bursts around a random walk, takers cross it, some orders are cancelled."""

    def __init__(self, seed: int, traders: int, profiles: tuple[Profile, ...] = (BTC, ETH)) -> None:
        self._random = random.Random(seed)
        self._traders = traders
        self._profiles = profiles
        self._mid = {profile.symbol: profile.mid_ticks for profile in profiles}
        self._resting: list[tuple[int, int]] = []
        self._next = 0

    def actions(self, orders: int, duration_millis: int) -> list[Action]:
        """About `orders` placements (exactly) plus their cancels, spread over the duration with bursts."""
        chance = self._random
        flow: list[Action] = []
        at = 0.0
        calm = duration_millis / orders
        while self._next < orders:
            burst = chance.random() < 0.08
            for _ in range(chance.randint(6, 24) if burst else 1):
                if self._next >= orders:
                    break
                at += calm * 0.15 if burst else chance.expovariate(1 / (calm * 1.7))
                flow.extend(self._step(int(at)))
        return flow

    def _step(self, at: int) -> Iterator[Action]:
        chance = self._random
        profile = chance.choice(self._profiles)
        self._mid[profile.symbol] += chance.choice((-1, 0, 0, 1)) * chance.randint(0, profile.spread_ticks // 8)
        roll = chance.random()
        if roll < 0.62:
            yield self._quote(at, profile)
        else:
            yield self._take(at, profile)
        if self._resting and chance.random() < 0.22:
            trader, order = self._resting.pop(chance.randrange(len(self._resting)))
            yield Action(at=at, trader=trader, op="cancel", id=order)

    def _quote(self, at: int, profile: Profile) -> Action:
        chance = self._random
        trader = chance.randrange(MAKERS)
        side: Literal["buy", "sell"] = chance.choice(("buy", "sell"))
        depth = int(chance.expovariate(1 / profile.spread_ticks)) + profile.spread_ticks // 4
        price = self._mid[profile.symbol] + (-depth if side == "buy" else depth)
        slot = 1 + (self._profiles.index(profile) * 2 + (side == "sell")) * 8 + chance.randrange(8)
        action = self._place(at, trader, profile, side, price, chance.randint(*profile.quote_lots), slot)
        self._resting.append((trader, action.id))
        return action

    def _take(self, at: int, profile: Profile) -> Action:
        chance = self._random
        trader = chance.randrange(MAKERS, self._traders)
        side: Literal["buy", "sell"] = "buy" if chance.random() < 0.6 else "sell"
        reach = int(chance.expovariate(1 / (profile.spread_ticks * 1.5))) + profile.spread_ticks // 4
        price = self._mid[profile.symbol] + (reach if side == "buy" else -reach)
        slot = 0 if chance.random() < 0.8 else 40 + chance.randrange(4)
        return self._place(at, trader, profile, side, price, chance.randint(*profile.take_lots), slot)

    def _place(
        self, at: int, trader: int, profile: Profile, side: Literal["buy", "sell"], price: int, lots: int, slot: int
    ) -> Action:
        self._next += 1
        market_order = slot == 0 and self._random.random() < 0.35
        return Action(
            at=at,
            trader=trader,
            op="place",
            id=self._next,
            market=profile.symbol,
            side=side,
            type="market" if market_order else "limit",
            tif="IOC" if slot == 0 else "GTC",
            price=fixed(price, profile.tick_decimals),
            size=fixed(lots, profile.lot_decimals),
            slot=slot,
        )


def generate(seed: int, orders: int, duration_millis: int, traders: int) -> list[Action]:
    """The demo's own flow."""
    return Generator(seed, traders).actions(orders, duration_millis)


def read(path: Path, traders: int) -> list[Action]:
    """A flow file. `InvalidInput` names the line and what is wrong with it."""
    opener = gzip.open if path.suffix == ".gz" else open
    decoder = msgspec.json.Decoder(Action)
    flow: list[Action] = []
    try:
        with opener(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    action = decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise InvalidInput(f"{path.name}:{number}: {error}", remedy="See docs/flow.md") from None
                if not 0 <= action.trader < traders:
                    raise InvalidInput(f"{path.name}:{number}: trader {action.trader}", remedy=f"Use 0..{traders - 1}")
                flow.append(action)
    except OSError as error:
        raise InvalidInput(f"cannot read flow {path}: {error.strerror or error}", remedy="Check FLOW=") from None
    if not flow:
        raise InvalidInput(f"{path} holds no action", remedy="See docs/flow.md")
    return sorted(flow, key=lambda action: action.at)


def write(path: Path, flow: list[Action]) -> None:
    encoder = msgspec.json.Encoder()
    path.write_bytes(b"".join(encoder.encode(action) + b"\n" for action in flow))
