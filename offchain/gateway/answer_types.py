"""What the gateway's answers are made of: exact numbers in words, times, names. See `answers`."""

from typing import Annotated, Literal

import msgspec

Decimal = Annotated[str, msgspec.Meta(pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$")]
"""Exact and canonical: no exponent, no plus, no trailing zeros."""
Digits = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]+$")]
Hex = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]*$")]
Hash = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}$")]
AccountAddress = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{40}$")]
Millis = Annotated[int, msgspec.Meta(ge=0, description="unix milliseconds")]
Seconds = Annotated[int, msgspec.Meta(ge=0, description="unix seconds")]
Sequence = Annotated[int, msgspec.Meta(ge=0, description="position in the journal")]
Level = Annotated[list[Decimal], msgspec.Meta(min_length=2, max_length=2, description="[price, size]")]
SideName = Literal["buy", "sell"]
MarketStateName = Literal["ACTIVE", "POST_ONLY", "CANCEL_ONLY", "PAUSED", "DELISTED"]
OrderStatusName = Literal["open", "closed", "canceled", "expired", "rejected"]


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of all."""
