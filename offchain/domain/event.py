"""Outputs of the engine. Everything outside it learns of changes only from these; frozen, tagged, fields only added.

Amounts are integers; the wire's decimal strings are the gateway's work. Digests and addresses are lower-case hex.
"""

from enum import StrEnum

import msgspec

from offchain.domain.reasons import VenueState
from offchain.domain.relayed import RelayRequest
from offchain.domain.terms import CxptDiscount, FeeTier
from offchain.domain.units import Address, Digest


class RejectReason(StrEnum):
    """Why a command changed nothing. A refusal is a value, never an exception."""

    WRONG_SIGNER = "WRONG_SIGNER"
    AGENT_NOT_ENTITLED = "AGENT_NOT_ENTITLED"
    """The agent's registration is over, or not for this market."""
    AGENT_LIMIT = "AGENT_LIMIT"
    """The agent's notional does not cover the order."""
    UNKNOWN_MARKET = "UNKNOWN_MARKET"
    MARKET_NOT_OPEN = "MARKET_NOT_OPEN"
    UNSUPPORTED = "UNSUPPORTED"
    INVALID_PRICE = "INVALID_PRICE"
    INVALID_SIZE = "INVALID_SIZE"
    INVALID_SLOT = "INVALID_SLOT"
    DEAD_NONCE = "DEAD_NONCE"
    NONCE_TOO_FAR_AHEAD = "NONCE_TOO_FAR_AHEAD"
    EXPIRED = "EXPIRED"
    FEE_CAP_TOO_LOW = "FEE_CAP_TOO_LOW"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    TOO_MANY_OPEN_ORDERS = "TOO_MANY_OPEN_ORDERS"
    DUPLICATE_CLIENT_ORDER_ID = "DUPLICATE_CLIENT_ORDER_ID"
    POST_ONLY_WOULD_CROSS = "POST_ONLY_WOULD_CROSS"
    POST_ONLY_VENUE = "POST_ONLY_VENUE"
    CANCEL_ONLY_VENUE = "CANCEL_ONLY_VENUE"
    CANCEL_ONLY_ACCOUNT = "CANCEL_ONLY_ACCOUNT"
    ORDER_NOT_OPEN = "ORDER_NOT_OPEN"
    NOTHING_TO_CLOSE = "NOTHING_TO_CLOSE"
    UNKNOWN_TOKEN = "UNKNOWN_TOKEN"
    UNKNOWN_FILL = "UNKNOWN_FILL"
    TOO_MANY_APPROVALS = "TOO_MANY_APPROVALS"
    INVALID_PARAMETER = "INVALID_PARAMETER"
    NOT_AN_OPERATOR = "NOT_AN_OPERATOR"
    MARKET_EXISTS = "MARKET_EXISTS"
    MARKET_DELISTED = "MARKET_DELISTED"
    NO_POOL = "NO_POOL"
    """The market has no AMM pair, or its reserves are not known well enough now."""
    POOL_BUSY = "POOL_BUSY"
    """An AMM fill of this market's pair is not decided yet."""
    REDUCE_ONLY_EXCEEDED = "REDUCE_ONLY_EXCEEDED"
    """A reduce-only sale of more than what is settled and free."""
    PRICE_OUT_OF_BAND = "PRICE_OUT_OF_BAND"
    TOO_MANY_WAITING_ORDERS = "TOO_MANY_WAITING_ORDERS"
    BATCH_REFUSED = "BATCH_REFUSED"
    """Another part of what was to happen together could not, or another order of it was the first that could."""
    NO_PROTECTION = "NO_PROTECTION"
    """A protected order where its account has set no protection, or a word about one that is not there."""
    PROTECTION_FROZEN = "PROTECTION_FROZEN"
    """The account's protection tripped, and was not reset."""
    ALREADY_REQUESTED = "ALREADY_REQUESTED"
    """The relay was asked for the very same a short while ago."""
    TOO_MANY_REQUESTS_RELAYED = "TOO_MANY_REQUESTS_RELAYED"
    """By the account, by strangers, or in all, within the hour."""
    DUPLICATE_CLIENT_TRANSFER_ID = "DUPLICATE_CLIENT_TRANSFER_ID"
    """Another transfer of the account has it."""


class CloseReason(StrEnum):
    """Why an order left the book, or never rested."""

    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REPLACED = "REPLACED"
    EXPIRED = "EXPIRED"
    IMMEDIATE_REMAINDER = "IMMEDIATE_REMAINDER"
    SELF_TRADE = "SELF_TRADE"
    UNCOVERED = "UNCOVERED"
    FILL_REFUSED = "FILL_REFUSED"
    CANCELED_ON_CHAIN = "CANCELED_ON_CHAIN"
    DELISTED = "DELISTED"
    """Its market is gone for good."""
    DISCONNECTED = "DISCONNECTED"
    """Its owner's connection, which had asked for it."""
    LINKED = "LINKED"
    """An order that it is linked to is done, or has taken its place."""
    TRIGGER_REFUSED = "TRIGGER_REFUSED"
    """Its trigger came, and it could not enter."""
    TIMED_OUT = "TIMED_OUT"
    """Its owner had asked for it, and did not ask for more time."""
    PROTECTED = "PROTECTED"
    """Its owner's protection tripped."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """Base of all."""


class OrderAccepted(Event, frozen=True, kw_only=True, tag="order_accepted"):
    """Resting, waiting or about to match. `filled_lots` is above 0 only in a snapshot. `sequence` is that of its
    command; `at` of an order that waited is when it entered the book."""

    sequence: int
    at: int
    digest: Digest
    account: Address
    subaccount: int
    market: int
    side: int
    kind: int
    time_in_force: int
    flags: int
    price_ticks: int
    size_lots: int
    nonce: int
    expiry: int
    client_order_id: str
    maker_fee_ppm: int
    taker_fee_ppm: int
    filled_lots: int = 0
    trigger_ticks: int = 0
    is_waiting: bool = False
    """Not in the book: for its trigger, or for another order."""


class OrderRejected(Event, frozen=True, kw_only=True, tag="order_rejected"):
    digest: Digest
    account: Address
    market: int
    client_order_id: str
    reason: RejectReason


class OrderClosed(Event, frozen=True, kw_only=True, tag="order_closed"):
    digest: Digest
    account: Address
    market: int
    reason: CloseReason
    filled_lots: int


class OrderRulesChanged(Event, frozen=True, kw_only=True, tag="order_rules_changed"):
    order_rules: int


class TradeGroupChanged(Event, frozen=True, kw_only=True, tag="trade_group_changed"):
    """These accounts belong together; 0: to none."""

    accounts: tuple[Address, ...]
    group: int


class BandChanged(Event, frozen=True, kw_only=True, tag="band_changed"):
    market: int
    below_ppm: int
    above_ppm: int


class MarkPosted(Event, frozen=True, kw_only=True, tag="mark_posted"):
    market: int
    price_ticks: int
    at: int


class OrderAmended(Event, frozen=True, kw_only=True, tag="order_amended"):
    """It is smaller now: `size_lots` with what has filled."""

    digest: Digest
    account: Address
    market: int
    size_lots: int


class OrderTriggered(Event, frozen=True, kw_only=True, tag="order_triggered"):
    """It waits no more: it enters the book, or (`refusal`) closes, because it could not."""

    digest: Digest
    account: Address
    market: int
    refusal: RejectReason | None = None


class CancelAllAfterSet(Event, frozen=True, kw_only=True, tag="cancel_all_after_set"):
    """All orders of the account are cancelled at this unix millisecond; 0: they are not."""

    account: Address
    deadline: int


class TogetherDecided(Event, frozen=True, kw_only=True, tag="together_decided"):
    """`reason`: why not, None if all of it happens. `index`: the order (after the cancels and the amends) that could
    not, or of those of which the first is wanted the one that enters."""

    account: Address
    reason: RejectReason | None
    index: int


class ProtectionSet(Event, frozen=True, kw_only=True, tag="protection_set"):
    """Fields as in `SetProtection`. It counts from nothing on."""

    account: Address
    protection: int
    window_millis: int
    markets: tuple[int, ...]
    amount_max: int
    delta_max: int
    freeze_millis: int


class ProtectionTripped(Event, frozen=True, kw_only=True, tag="protection_tripped"):
    """Its protected orders are cancelled, and refused until this unix millisecond (0: until it is reset)."""

    account: Address
    protection: int
    until: int
    amount: int
    """Quote atoms that they had filled within the window."""
    delta: int
    """Those that they had bought for, less those that they had sold for."""


class ProtectionReset(Event, frozen=True, kw_only=True, tag="protection_reset"):
    account: Address
    protection: int


class FillMatched(Event, frozen=True, kw_only=True, tag="fill_matched"):
    """A fill in state MATCHED. Fees in quote atoms; a negative one is a rebate."""

    fill: int
    market: int
    at: int
    maker_digest: Digest
    taker_digest: Digest
    maker: Address
    taker: Address
    taker_side: int
    price_ticks: int
    size_lots: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    maker_fee: int
    taker_fee: int


class AmmFillMatched(Event, frozen=True, kw_only=True, tag="amm_fill_matched"):
    """A fill in state MATCHED whose maker is the market's AMM pair. Provisional: it settles at `quote` or better for
    the taker, or is refused. `quote` and `taker_fee` in quote units."""

    fill: int
    market: int
    at: int
    taker_digest: Digest
    taker: Address
    taker_side: int
    size_lots: int
    quote: int
    taker_fee_ppm: int
    taker_fee: int


class AmmFillImproved(Event, frozen=True, kw_only=True, tag="amm_fill_improved"):
    """The pair gave more than was promised: `amount` of `token` for the taker, with the settling of `fill`."""

    fill: int
    taker: Address
    token: Address
    amount: int


class PoolChanged(Event, frozen=True, kw_only=True, tag="pool_changed"):
    market: int
    base_reserve: int
    quote_reserve: int
    block_number: int


class BatchClosed(Event, frozen=True, kw_only=True, tag="batch_closed"):
    """Fills first..last are BATCHED under this number; batches are consecutive."""

    batch: int
    first: int
    last: int


class FillSettled(Event, frozen=True, kw_only=True, tag="fill_settled"):
    fill: int
    transaction: str


class FillRefused(Event, frozen=True, kw_only=True, tag="fill_refused"):
    """`reason` as on chain: cause, and the taker's bit."""

    fill: int
    reason: int
    transaction: str


class MarketWithdrawn(Event, frozen=True, kw_only=True, tag="market_withdrawn"):
    """A market that was asked for is not wanted any more, and not listed yet."""

    market: int
    symbol: str
    by: Address


class FillTakenBack(Event, frozen=True, kw_only=True, tag="fill_taken_back"):
    """The operator will send this fill with size 0, so that the chain refuses it."""

    fill: int
    reason: str


class LevelChanged(Event, frozen=True, kw_only=True, tag="level_changed"):
    """New total size of a price level; 0 removes it."""

    market: int
    side: int
    price_ticks: int
    size_lots: int


class BalanceChanged(Event, frozen=True, kw_only=True, tag="balance_changed"):
    """Of the account, with all of its sub-accounts. `owed`: what unsettled fills take; withdrawable = settled - owed -
    held - leaving."""

    account: Address
    token: Address
    settled: int
    pending: int
    held: int
    leaving: int
    owed: int = 0


class SubaccountChanged(Event, frozen=True, kw_only=True, tag="subaccount_changed"):
    """The part of an account's balance that a sub-account has, where more than one has some of the token. Fields as in
    BalanceChanged, which has their sums."""

    account: Address
    subaccount: int
    token: Address
    settled: int
    pending: int
    held: int
    leaving: int
    owed: int


class AccountRestricted(Event, frozen=True, kw_only=True, tag="account_restricted"):
    account: Address
    cancel_only: bool


class ApprovalGranted(Event, frozen=True, kw_only=True, tag="approval_granted"):
    """A hold that the attestation key may countersign; `nonce` is the sequence of its command."""

    nonce: int
    purpose: str
    account: Address
    token: Address
    amount: int
    destination: Address
    as_cxpt: bool
    owner_nonce: int
    owner_deadline: int
    owner_signature: str
    deadline: int


class ApprovalReleased(Event, frozen=True, kw_only=True, tag="approval_released"):
    """The hold is gone: `used` on chain, or its deadline passed on chain without use."""

    nonce: int
    account: Address
    used: bool


class RelayRequested(Event, frozen=True, kw_only=True, tag="relay_requested"):
    """The relay may send `request` until its deadline; `number` is the sequence of its command."""

    number: int
    digest: Digest
    request: RelayRequest


class RelayEnded(Event, frozen=True, kw_only=True, tag="relay_ended"):
    """The chain did what was asked for, in `transaction`; or (then it is empty) its deadline passed there."""

    number: int
    digest: Digest
    account: Address
    transaction: str = ""


class AgentChanged(Event, frozen=True, kw_only=True, tag="agent_changed"):
    """`agent` may sign for `account` on these terms; `is_revoked`: no more. `notional` in quote units; no `markets`
    means every market."""

    account: Address
    agent: Address
    expiry: int
    notional: int
    markets: tuple[int, ...]
    is_revoked: bool = False


class IndexLowered(Event, frozen=True, kw_only=True, tag="index_lowered"):
    """A loss was declared on chain: a unit of the settlement token is worth less. Balances in units stay."""

    index: int
    new_index: int
    shortfall: int


class CommandRejected(Event, frozen=True, kw_only=True, tag="command_rejected"):
    """A command other than an order changed nothing."""

    reason: RejectReason


class OperatorsChanged(Event, frozen=True, kw_only=True, tag="operators_changed"):
    operators: tuple[Address, ...]


class MarketRequested(Event, frozen=True, kw_only=True, tag="market_requested"):
    """A market that the list keeper is to bring on chain under this number; fields as in `RequestMarket`."""

    market: int
    symbol: str
    synth_symbol: str
    synth_name: str
    base_atoms_per_lot: int
    quote_atoms_per_tick_lot: int
    ceiling: int
    initial_percent: int
    maintenance_percent: int
    bonus_percent: int
    quorum: int
    max_age_seconds: int
    max_move_ppm_per_minute: int
    by: Address


class MarketOpened(Event, frozen=True, kw_only=True, tag="market_opened"):
    market: int
    symbol: str
    base_token: Address
    base_atoms_per_lot: int
    quote_atoms_per_tick_lot: int
    base_decimals: int
    quote_decimals: int


class MarketStateChanged(Event, frozen=True, kw_only=True, tag="market_state_changed"):
    market: int
    state: str
    by: Address = Address("")


class VenueStateChanged(Event, frozen=True, kw_only=True, tag="venue_state_changed"):
    state: VenueState
    reason: str


class FeeScheduleChanged(Event, frozen=True, kw_only=True, tag="fee_schedule_changed"):
    """Of orders accepted from now on; both empty: there is none."""

    tiers: tuple[FeeTier, ...]
    discounts: tuple[CxptDiscount, ...]


class CxptObserved(Event, frozen=True, kw_only=True, tag="cxpt_observed"):
    """Counts from the day after `day` (days since 1970, UTC) on; until then `before` does."""

    account: Address
    atoms: int
    day: int = 0
    before: int = 0


class VolumeChanged(Event, frozen=True, kw_only=True, tag="volume_changed"):
    """What an account settled on a day (as above) in all, in quote atoms: told while there is a fee schedule."""

    account: Address
    day: int
    atoms: int


class TransferredBetween(Event, frozen=True, kw_only=True, tag="transferred_between"):
    """Between sub-accounts. `is_forced`: the target owed more than it had."""

    account: Address
    token: Address
    amount: int
    source: int
    target: int
    is_forced: bool = False


class TransferKnown(Event, frozen=True, kw_only=True, tag="transfer_known"):
    """The command at `sequence` had done this very transfer: nothing moved."""

    account: Address
    client_id: str
    sequence: int


class FeesChanged(Event, frozen=True, kw_only=True, tag="fees_changed"):
    maker_fee_ppm: int
    taker_fee_ppm: int


class EpochClosed(Event, frozen=True, kw_only=True, tag="epoch_closed"):
    """Roots are the projector's work."""

    epoch: int
    first: int
    last: int
    volume: int
    count: int


class Diverged(Event, frozen=True, kw_only=True, tag="diverged"):
    """The chain says something that this ledger does not: the venue halts."""

    what: str
    expected: str
    observed: str


AnyEvent = (
    OrderAccepted
    | OrderRejected
    | OrderClosed
    | OrderRulesChanged
    | TradeGroupChanged
    | BandChanged
    | MarkPosted
    | OrderAmended
    | OrderTriggered
    | CancelAllAfterSet
    | TogetherDecided
    | ProtectionSet
    | ProtectionTripped
    | ProtectionReset
    | FeeScheduleChanged
    | CxptObserved
    | VolumeChanged
    | TransferredBetween
    | TransferKnown
    | FillMatched
    | AmmFillMatched
    | AmmFillImproved
    | PoolChanged
    | BatchClosed
    | FillSettled
    | FillRefused
    | MarketWithdrawn
    | FillTakenBack
    | LevelChanged
    | BalanceChanged
    | SubaccountChanged
    | AccountRestricted
    | ApprovalGranted
    | ApprovalReleased
    | RelayRequested
    | RelayEnded
    | AgentChanged
    | IndexLowered
    | CommandRejected
    | OperatorsChanged
    | MarketRequested
    | MarketOpened
    | MarketStateChanged
    | VenueStateChanged
    | FeesChanged
    | EpochClosed
    | Diverged
)
