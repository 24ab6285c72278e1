"""The shapes of the answers about accounts: balances, agents, fees, protections. See `answers`."""

from typing import Literal

from offchain.gateway.answer_types import (
    AccountAddress,
    Answer,
    Decimal,
    Digits,
    Millis,
    Seconds,
    Sequence,
)


class BalanceOut(Answer, frozen=True, kw_only=True):
    """`free`, `used`, `total` are ccxt's; `withdrawable` is what a countersigned withdrawal may take,
    or a transfer of a sub-account's."""

    token: str
    address: AccountAddress
    settled: Decimal
    pending: Decimal
    held: Decimal
    leaving: Decimal
    free: Decimal
    used: Decimal
    total: Decimal
    withdrawable: Decimal


class SubaccountOut(BalanceOut, frozen=True, kw_only=True):
    """What a sub-account has of a balance."""

    subaccount: int


class AgentOut(Answer, frozen=True, kw_only=True):
    agent: AccountAddress
    expiry: Seconds
    notional: Digits
    markets: list[int]
    revoked: bool


class Balances(Answer, frozen=True, kw_only=True):
    """Of the account as a whole and, where more than one has some, of its sub-accounts; or (`subaccount`) of one."""

    account: AccountAddress
    subaccount: int | None
    balances: list[BalanceOut]
    subaccounts: list[SubaccountOut]
    cancel_only: bool
    agents: list[AgentOut]
    seq: Sequence


class AgentsOut(Answer, frozen=True, kw_only=True):
    """Who may sign orders of the account, as the chain says."""

    account: AccountAddress
    agents: list[AgentOut]
    seq: Sequence


class Transferred(Answer, frozen=True, kw_only=True):
    """`replayed`: it had been done before, at `seq`, and was not done again."""

    ok: Literal[True]
    seq: Sequence
    client_transfer_id: str
    token: str
    amount: Decimal
    from_subaccount: int
    to_subaccount: int
    replayed: bool


class TierOut(Answer, frozen=True, kw_only=True):
    """Rates of who settled so much on the 30 days before this one (UTC)."""

    volume_min: Decimal
    maker_fee_ppm: int
    taker_fee_ppm: int


class DiscountOut(Answer, frozen=True, kw_only=True):
    """Millionths of a fee, for who had so much CXPT when the day began."""

    cxpt_min: Decimal
    discount_ppm: int


class FeeSchedule(Answer, frozen=True, kw_only=True):
    tiers: list[TierOut]
    discounts: list[DiscountOut]


class FeesOut(Answer, frozen=True, kw_only=True):
    """Rates of what the account places now, with the discount. `tier`: how many bounds `volume` reached, which is of
    the 30 days before this one; `volumeToday` counts from tomorrow on. `next`: the tier above, if there is one."""

    account: AccountAddress
    maker_fee_ppm: int
    taker_fee_ppm: int
    tier: int
    discount_ppm: int
    volume: Decimal
    volume_today: Decimal
    cxpt: Decimal
    next: TierOut | None
    schedule: FeeSchedule | None
    seq: Sequence
    timestamp: Millis


class TrippedOut(Answer, frozen=True, kw_only=True):
    """What had filled within the window, and what was bought for less what was sold for."""

    timestamp: Millis
    amount: Decimal
    delta: Decimal


class ProtectionOut(Answer, frozen=True, kw_only=True):
    """Limits in the settlement token; no `symbols` means every market. FROZEN until `frozenUntil`, or if that is null
    until it is reset. `tripped`: what made it trip, null if it did not, or that is not known any more."""

    number: int
    symbols: list[str]
    window_millis: int
    amount_max: Decimal | None
    delta_max: Decimal | None
    freeze_millis: int
    state: Literal["ACTIVE", "FROZEN", "REMOVED"]
    frozen_until: Millis | None
    tripped: TrippedOut | None


class Protections(Answer, frozen=True, kw_only=True):
    """By number."""

    account: AccountAddress
    protections: list[ProtectionOut]
    seq: Sequence


class ProtectionSetOut(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    seq: Sequence
    protection: ProtectionOut


class ProtectionNumber(Answer, frozen=True, kw_only=True):
    """Which was taken away, or reset."""

    ok: Literal[True]
    seq: Sequence
    number: int


class ScheduleSet(Answer, frozen=True, kw_only=True):
    """Null: there is none any more."""

    ok: Literal[True]
    seq: Sequence
    schedule: FeeSchedule | None


class CxptObservedOut(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    seq: Sequence
    accounts: list[AccountAddress]
