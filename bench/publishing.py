"""What the publisher does for an order, in one process: from the bytes of the feed to what gateways are sent.

The orders are those of `bench load`: each account goes round the slots it has, so that an order replaces the one it
sent some rounds before, and some cross. They come in groups of 64 with their digests, and eight groups share a window.
Nobody reads private channels; the market's are rendered.
"""

from __future__ import annotations

import random
from typing import Any, cast

from bench.load.presign import DEPTH_TICKS, MAX_FEE_PPM, MIDDLE_TICKS, SPREAD_TICKS, addresses
from bench.recovery import RecordingVenue
from bench.venue import QUOTE
from offchain.domain.command import Codec
from offchain.domain.eip712 import order_digest
from offchain.domain.order import SIGNED_FRAME, Kind, Order, OrderRow, Side, TimeInForce, make_nonce, to_row
from offchain.gateway import news
from offchain.gateway.channels import Channel, ChannelLog
from offchain.gateway.present import Tokens
from offchain.gateway.readmodel import ReadModel
from offchain.storage.frames import NO_HASH, Body, Record, decode_group
from offchain.storage.replica import Replica

ACCOUNTS, SLOTS, CROSSING = 200, 16, 0.1
GROUP, GROUPS_PER_WINDOW = 64, 8
FILLS_BEFORE_SETTLING = 200
READ = [Channel(f"{kind}:BASE1-USDC") for kind in ("book", "bbo", "trades")]


class Publishing:
    """`ready` makes a window's groups, `run` publishes them. The first windows are warm-up: the venue fills."""

    size = GROUP * GROUPS_PER_WINDOW

    def __init__(self, warm_up: int = 8) -> None:
        self._owners = addresses(ACCOUNTS)
        self._venue = RecordingVenue(self._owners[::2], self._owners[1::2])
        self._draw, self._made, self._hash = random.Random(7), 0, NO_HASH
        self._replica, self._model = Replica(), ReadModel()
        self._log = ChannelLog(self._model, Tokens(QUOTE, 6, self._model), GROUP)
        self._replica.advance(decode_group(self._seal()))
        self._model.apply(self._replica.describe())
        self._log.restart()
        self._window: list[bytes] = []
        for _ in range(warm_up):
            self.ready()
            self.run()

    def ready(self) -> None:
        self._window = []
        for _ in range(GROUPS_PER_WINDOW):
            self._window.append(self._orders())
            backlog = self._venue.engine.batches
            if backlog.last_fill - backlog.decided_fill > FILLS_BEFORE_SETTLING:
                self._venue.settle()
                self._window.append(self._seal())

    def run(self) -> None:
        log, model = self._log, self._model
        for content in self._window:
            for message in self._replica.follow(decode_group(content)):
                log.record(model.apply(message))
        updates = log.flush()
        log.review(lambda: ())
        told = [(one.name, None, updates[one].sequence, updates[one].text(one)) for one in READ if one in updates]
        news.encode(news.Updates(model.sequence, model.at, cast(Any, told)))

    def _orders(self) -> bytes:
        """One group, which the venue has, too."""
        venue = self._venue
        venue.at += 2
        rows = [self._row() for _ in range(GROUP)]
        first = venue.engine.sequence + 1
        venue.engine.apply_rows(first, venue.at, rows)
        venue.engine.skip_events()
        for sequence, row in enumerate(rows, first):
            frame = SIGNED_FRAME.pack(*row)[:-32]
            venue.records.append(Record(Codec.KIND_PLACE, Codec.VERSION, sequence, venue.at, frame))
        return self._seal(b"".join(row[-1] for row in rows))

    def _row(self) -> OrderRow:
        draw, number = self._draw, self._made % ACCOUNTS
        turn, is_buy = self._made // ACCOUNTS, number % 2 == 0
        self._made += 1
        offset = SPREAD_TICKS + draw.randrange(DEPTH_TICKS)
        if draw.random() < CROSSING:
            offset = -offset
        price, side = (MIDDLE_TICKS - offset, Side.BUY) if is_buy else (MIDDLE_TICKS + offset, Side.SELL)
        terms = 0, 1, side, Kind.LIMIT, TimeInForce.GTC, 0, price, draw.randint(1, 100), 0, MAX_FEE_PPM
        order = Order(self._owners[number], *terms, make_nonce(1 + turn % SLOTS, self._venue.at), 0)
        signer = bytes.fromhex(order.account[2:])
        return to_row(order, bytes(65), signer, order_digest(self._venue.engine.separator, order))

    def _seal(self, digests: bytes = b"") -> bytes:
        """What the venue did, as the feed sends it."""
        content, self._hash = Body.of(self._venue.records).seal(self._hash)
        self._venue.records = []
        return content + digests
