"""The life of an order as a table: (state, trigger) -> state. What is not in it does not happen.

Invariant: an order begins WAITING or OPEN, in both cases with the word OrderAccepted; three states are ends, and never
left. OrderStatus, which ccxt knows, calls WAITING open, too.
"""

from enum import StrEnum
from typing import Final

from offchain.domain.reasons import CloseReason
from offchain.engine.orders import ORDER_TRANSITIONS


class OrderState(StrEnum):
    WAITING = "waiting"
    """For its trigger, or for another order: in no book, and without a hold."""
    OPEN = "open"
    """In the book, or about to match. Holds what it may cost."""
    CLOSED = "closed"
    CANCELED = "canceled"
    EXPIRED = "expired"


TRIGGERED: Final = "TRIGGERED"
"""The price, or the order that it waited for, and nothing speaks against it: OrderTriggered without a refusal."""
ONLY_OF_WAITING: Final = (CloseReason.TRIGGER_REFUSED,)
ONLY_OF_OPEN: Final = (
    CloseReason.FILLED,
    CloseReason.IMMEDIATE_REMAINDER,
    CloseReason.SELF_TRADE,
    CloseReason.UNCOVERED,
    CloseReason.FILL_REFUSED,
)
"""What takes a place in the book, a hold or a fill."""

ORDER_LIFE: Final[dict[tuple[OrderState, str], OrderState]] = {
    (OrderState.WAITING, TRIGGERED): OrderState.OPEN,
    **{
        (state, reason): OrderState(status)
        for state, never in ((OrderState.WAITING, ONLY_OF_OPEN), (OrderState.OPEN, ONLY_OF_WAITING))
        for (_, reason), status in ORDER_TRANSITIONS.items()
        if reason not in never
    },
}
