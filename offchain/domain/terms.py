"""What traders and operators say of accounts: a market maker's protection, fee tiers, money between sub-accounts.

Commands as those of `domain.command`, which has them all; fields are only added.
"""

import msgspec

from offchain.domain.units import Address


class SetProtection(msgspec.Struct, frozen=True, kw_only=True, tag="set_protection"):
    """A market maker's protection of `account`, in place of the one with this number, from nothing on.

    If what its protected orders in these markets (none: in all) fill within `window_millis` is worth more than
    `amount_max` quote atoms, or what they buy and what they sell differ by more than `delta_max` (0: no such limit),
    they are cancelled, and no more are accepted for `freeze_millis` (0: until it is reset). `window_millis` 0: no
    protection any more.
    """

    account: Address
    signer: Address
    protection: int
    window_millis: int
    markets: tuple[int, ...] = ()
    amount_max: int = 0
    delta_max: int = 0
    freeze_millis: int = 0


class ResetProtection(msgspec.Struct, frozen=True, kw_only=True, tag="reset_protection"):
    """Counts from nothing on, and takes protected orders again."""

    account: Address
    signer: Address
    protection: int


class FeeTier(msgspec.Struct, frozen=True):
    """Rates of whoever settled at least `volume_min` quote atoms on the 30 days before this one (UTC)."""

    volume_min: int
    maker_fee_ppm: int
    taker_fee_ppm: int


class CxptDiscount(msgspec.Struct, frozen=True):
    """Millionths of a fee that is no rebate, for whoever had at least `cxpt_min` atoms when the day began."""

    cxpt_min: int
    discount_ppm: int


class SetFeeSchedule(msgspec.Struct, frozen=True, kw_only=True, tag="set_fee_schedule"):
    """Tiers and discounts, each from the lower to the higher bound, for orders accepted from now on. Whoever reaches no
    tier pays what `SetFees` said. Both empty: no schedule any more, and no volumes."""

    tiers: tuple[FeeTier, ...]
    discounts: tuple[CxptDiscount, ...] = ()
    by: Address = Address("")


class ObserveCxpt(msgspec.Struct, frozen=True, kw_only=True, tag="observe_cxpt"):
    """How many atoms of CXPT accounts have, as the operator read them. Counts from the next day on."""

    atoms: tuple[tuple[Address, int], ...]
    by: Address = Address("")


class TransferBetween(msgspec.Struct, frozen=True, kw_only=True, tag="transfer_between", omit_defaults=True):
    """Moves settled money from a sub-account of `account` to another one. The chain does not hear of it.

    With a `client_id`, unique among the account's last TRANSFERS_REMEMBERED, the same again moves nothing.
    """

    account: Address
    signer: Address
    token: Address
    amount: int
    source: int
    target: int
    client_id: str = ""
