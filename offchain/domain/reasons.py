"""Why: a command was refused, an order left the book, the chain refused a fill; and what a venue takes.

Values of events, for ever: names stand in journals' states, histories and answers.
"""

from enum import IntEnum, StrEnum


class RefusalCause(IntEnum):
    """Twin of Settlement's refusal reasons, low 7 bits; bit 0x80 says that the taker is at fault."""

    BALANCE = 1
    CANCELLED = 2
    EXPIRED = 3
    DEAD = 4
    OPERATOR = 5
    AMM = 6
    """The pair would have given less; nobody is at fault."""
    GROUP = 7
    """Another fill of the same fill-or-kill order was refused; nobody is at fault."""
    AGENT = 8
    """The agent who signed the order may not, or not any more."""


FAULTLESS = frozenset((RefusalCause.AMM, RefusalCause.GROUP))
"""Causes of which neither side is at fault."""


REFUSAL_TAKER_BIT = 0x80


class VenueState(StrEnum):
    ACTIVE = "ACTIVE"
    POST_ONLY = "POST_ONLY"
    CANCEL_ONLY = "CANCEL_ONLY"
    HALTED = "HALTED"
