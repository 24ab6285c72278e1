"""An order as its own acknowledgement tells it, before the feed does."""

from offchain.domain.event import (
    AmmFillMatched,
    FillMatched,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    OrderTriggered,
)
from offchain.domain.market import Market
from offchain.domain.units import Digest, Lots
from offchain.gateway.records import FillRecord, OrderRecord
from offchain.sequencer.protocol import Ack, Cancelled


def answered_digest(ack: Ack, submitted: Digest) -> Digest:
    """The order that the ack speaks of: the submitted one, or the first with the same clientOrderId and terms."""
    if ack.replayed:
        for event in ack.events:
            if isinstance(event, OrderAccepted | OrderRejected):
                return event.digest
    return submitted


def fold_order(digest: Digest, ack: Ack, market: Market) -> tuple[OrderRecord | None, list[FillRecord]]:
    """The order right after its command and its fills in it; None if the ack does not name it."""
    order: OrderRecord | None = None
    fills: list[FillRecord] = []
    for event in ack.events:
        match event:
            case OrderAccepted() if event.digest == digest:
                order = OrderRecord.accepted(event)
            case FillMatched() if order is not None and digest in (event.taker_digest, event.maker_digest):
                fill = FillRecord.matched(event, market)
                fee = fill.taker_fee if fill.taker_digest == digest else fill.maker_fee
                order.move(Lots(fill.size_lots), fill.notional, fee, ack.at)
                fills.append(fill)
            case AmmFillMatched() if order is not None and event.taker_digest == digest:
                fill = FillRecord.matched_by_pair(event, market)
                order.move(Lots(fill.size_lots), fill.notional, fill.taker_fee, ack.at)
                fills.append(fill)
            case OrderAmended() if order is not None and event.digest == digest:
                order.amend(event, ack.at)
            case OrderTriggered() if order is not None and event.digest == digest:
                order.trigger(ack.at)
            case OrderClosed() if order is not None and event.digest == digest:
                order.close(event.reason, ack.at)
            case _:
                pass
    return order, fills


def left_by(cancelled: Cancelled) -> OrderRecord | None:
    """The order as a cancel left it, or found it where it was not open. What was paid is known only of one that never
    filled; None if there is no such order."""
    if not cancelled.order:
        return None
    accepted, *then = cancelled.order
    assert isinstance(accepted, OrderAccepted)
    order, now = OrderRecord.accepted(accepted), accepted.at
    if cancelled.ack is not None:
        then, now = [*then, *cancelled.ack.events], cancelled.ack.at
    for event in then:
        if isinstance(event, OrderAmended) and event.digest == order.digest:
            order.amend(event, now)
        elif isinstance(event, OrderClosed) and event.digest == order.digest:
            order.filled_lots = event.filled_lots
            order.close(event.reason, now)
    return order
