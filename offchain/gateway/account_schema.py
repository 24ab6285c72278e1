"""Requests about what an account has and what it pays: protections, transfers between sub-accounts, fee tiers.

As `schema`: one canonical form, exact conversion, and a refusal names the field.
"""

from typing import Annotated, Any

import msgspec

from offchain.domain.limits import (
    CLIENT_ORDER_ID_BYTES_MAX,
    CXPT_OBSERVED_MAX,
    FEE_PPM_MAX,
    FEE_TIERS_MAX,
    NOTIONAL_ATOMS_MAX,
    PROTECTED_MARKETS_MAX,
    PROTECTION_FREEZE_MILLIS_MAX,
    PROTECTION_WINDOW_MILLIS_MAX,
    PROTECTIONS_PER_ACCOUNT_MAX,
    SUBACCOUNT_MAX,
)
from offchain.domain.market import parse_atoms
from offchain.domain.terms import CxptDiscount, FeeTier, ObserveCxpt, SetFeeSchedule
from offchain.domain.units import CXPT_DECIMALS, PPM, Address
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.schema import Wire, checked, parse_address, parse_integer

Subaccount = Annotated[int, msgspec.Meta(ge=0, le=SUBACCOUNT_MAX)]
FeePpm = Annotated[int, msgspec.Meta(ge=-FEE_PPM_MAX, le=FEE_PPM_MAX)]


class ProtectionRequest(Wire, frozen=True, kw_only=True):
    """Trips if what protected orders fill within the window is worth more than `amountMax`, or what they buy and sell
    differs by more than `deltaMax`: decimal strings of the settlement token, of which one or both are given. No
    `symbols` means every market; `freezeMillis` 0: until it is reset."""

    window_millis: Annotated[int, msgspec.Meta(ge=1, le=PROTECTION_WINDOW_MILLIS_MAX)]
    symbols: Annotated[list[str], msgspec.Meta(max_length=PROTECTED_MARKETS_MAX)] = msgspec.field(default_factory=list)
    amount_max: Any = None
    delta_max: Any = None
    freeze_millis: Annotated[int, msgspec.Meta(ge=0, le=PROTECTION_FREEZE_MILLIS_MAX)] = 0


class TransferRequest(Wire, frozen=True, kw_only=True):
    """`token` is an address or a symbol, `amount` a decimal string. `clientTransferId` is yours, unique among the
    account's last 1,000 transfers: the same again moves nothing and is answered as the first time."""

    client_transfer_id: Annotated[str, msgspec.Meta(min_length=1, max_length=CLIENT_ORDER_ID_BYTES_MAX)]
    token: str
    amount: Any
    from_subaccount: Subaccount
    to_subaccount: Subaccount


class TierRequest(Wire, frozen=True, kw_only=True):
    """`volumeMin` is a decimal string of the settlement token."""

    volume_min: Any
    maker_fee_ppm: FeePpm
    taker_fee_ppm: FeePpm


class DiscountRequest(Wire, frozen=True, kw_only=True):
    """`cxptMin` is a decimal string."""

    cxpt_min: Any
    discount_ppm: Annotated[int, msgspec.Meta(ge=1, le=PPM)]


class FeeScheduleRequest(Wire, frozen=True, kw_only=True):
    """Each from the lower to the higher bound; both empty: no schedule any more."""

    tiers: Annotated[list[TierRequest], msgspec.Meta(max_length=FEE_TIERS_MAX)]
    discounts: Annotated[list[DiscountRequest], msgspec.Meta(max_length=FEE_TIERS_MAX)] = msgspec.field(
        default_factory=list
    )


class CxptItem(Wire, frozen=True, kw_only=True):
    """`amount` is a decimal string of CXPT."""

    account: str
    amount: Any


class CxptRequest(Wire, frozen=True, kw_only=True):
    """Counts from the next day (UTC) on."""

    accounts: Annotated[list[CxptItem], msgspec.Meta(min_length=1, max_length=CXPT_OBSERVED_MAX)]


def parse_protection_number(value: str | int) -> int:
    number = parse_integer(value, 63, "protection")
    if number >= PROTECTIONS_PER_ACCOUNT_MAX:
        data = {"field": "protection", "remedy": f"0 to {PROTECTIONS_PER_ACCOUNT_MAX - 1}"}
        raise ApiError(Code.INVALID_FIELD, "protection is out of range", data)
    return number


def parse_notional(value: object, decimals: int, field: str, *, least: int = 1) -> int:
    """Whole tokens as a decimal string to atoms."""
    atoms = checked(lambda: parse_atoms(value, decimals, field))
    if not least <= atoms <= NOTIONAL_ATOMS_MAX:
        data = {"field": field, "remedy": "Above 0" if least else "0 or above"}
        raise ApiError(Code.INVALID_FIELD, f"{field} is out of range", data)
    return atoms


def parse_schedule(request: FeeScheduleRequest, by: Address, quote_decimals: int) -> SetFeeSchedule:
    return SetFeeSchedule(
        tiers=tuple(
            FeeTier(
                parse_notional(tier.volume_min, quote_decimals, "volumeMin"), tier.maker_fee_ppm, tier.taker_fee_ppm
            )
            for tier in request.tiers
        ),
        discounts=tuple(
            CxptDiscount(parse_notional(one.cxpt_min, CXPT_DECIMALS, "cxptMin"), one.discount_ppm)
            for one in request.discounts
        ),
        by=by,
    )


def parse_observation(request: CxptRequest, by: Address) -> ObserveCxpt:
    """Each account once."""
    rows = [
        (parse_address(row.account, "account"), parse_notional(row.amount, CXPT_DECIMALS, "amount", least=0))
        for row in request.accounts
    ]
    if len(dict(rows)) < len(rows):
        data = {"field": "accounts", "remedy": "Each account once"}
        raise ApiError(Code.INVALID_FIELD, "an account is there twice", data)
    return ObserveCxpt(atoms=tuple(rows), by=by)
