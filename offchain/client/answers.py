"""The gateway's answers as types. Fields that a newer gateway adds are ignored. Decimals stay strings: convert them
with `domain.market`, never with float."""

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all."""


class Fee(Answer, frozen=True, kw_only=True):
    cost: str
    currency: str
    rate_ppm: int | None = None


class Receipt(Answer, frozen=True, kw_only=True):
    """The attestation key's signature over (seq, timestamp, orderHash)."""

    seq: int
    timestamp: int
    order_hash: str
    signature: str


class Order(Answer, frozen=True, kw_only=True):
    """Times in unix milliseconds; `status` is open, closed, canceled, expired or rejected. `waiting`: for its trigger
    or for another order."""

    id: str
    client_order_id: str
    timestamp: int
    last_trade_timestamp: int | None
    last_update_timestamp: int
    symbol: str
    type: str
    side: str
    price: str
    amount: str
    cost: str | None
    average: str | None
    filled: str
    remaining: str
    time_in_force: str
    post_only: bool
    amm: bool = False
    reduce_only: bool = False
    trigger_price: str | None = None
    take_profit_price: str | None = None
    stop_loss_price: str | None = None
    trigger_price_type: str | None = None
    immediate: bool = False
    waiting: bool = False
    status: str
    reason: str | None
    fee: Fee | None
    account: str
    subaccount: int = 0
    protected: bool = False
    nonce: str
    slot: int
    expiry: int
    seq: int
    receipt: Receipt | None = None


class Surplus(Answer, frozen=True, kw_only=True):
    """What the AMM pair gave beyond its promise."""

    amount: str
    currency: str


class Fill(Answer, frozen=True, kw_only=True):
    """One leg; `state` is MATCHED, BATCHED, SETTLED or REFUSED. `liquidity` is book or amm; a price of amm is rounded
    down, its cost is exact."""

    id: str
    order: str
    timestamp: int
    symbol: str
    side: str
    taker_or_maker: str
    price: str
    amount: str
    cost: str
    fee: Fee
    state: str
    reason: str | None
    batch_id: int | None
    tx_hash: str | None
    liquidity: str = "book"
    surplus: Surplus | None = None


class Placed(Answer, frozen=True, kw_only=True):
    """`replayed`: the same order had been placed before, and this is its first result."""

    order: Order
    fills: list[Fill]
    receipt: Receipt | None
    replayed: bool


class Agent(Answer, frozen=True, kw_only=True):
    """A key that may sign orders; `notional` in atoms of the settlement token, no `markets`: every one."""

    agent: str
    expiry: int
    notional: str
    markets: list[int]
    revoked: bool


class Balance(Answer, frozen=True, kw_only=True):
    token: str
    address: str
    settled: str
    pending: str
    held: str
    leaving: str
    free: str
    used: str
    total: str
    withdrawable: str


class Deposit(Answer, frozen=True, kw_only=True):
    """A relayed one. `status` is pending, credited or lapsed; `transaction` that of the credit."""

    id: str
    account: str
    amount: str
    amount_atoms: str
    nonce: str
    deadline: int
    status: str
    transaction: str | None
    seq: int


class AgentRequest(Answer, frozen=True, kw_only=True):
    """A relayed registration. `status` is pending, registered or lapsed."""

    id: str
    account: str
    agent: str
    expiry: int
    notional: str
    markets: list[int]
    nonce: str
    deadline: int
    status: str
    transaction: str | None
    seq: int


class SubaccountBalance(Balance, frozen=True, kw_only=True):
    """What a sub-account has of a balance; `withdrawable` is what a transfer may take."""

    subaccount: int


class Trip(Answer, frozen=True, kw_only=True):
    """What had filled within the window, and what was bought for less what was sold for."""

    timestamp: int
    amount: str
    delta: str


class Protection(Answer, frozen=True, kw_only=True):
    """`state` is ACTIVE, FROZEN (until `frozen_until`, or if that is None until it is reset) or REMOVED."""

    number: int
    symbols: list[str]
    window_millis: int
    amount_max: str | None
    delta_max: str | None
    freeze_millis: int
    state: str
    frozen_until: int | None
    tripped: Trip | None


class Tier(Answer, frozen=True, kw_only=True):
    volume_min: str
    maker_fee_ppm: int
    taker_fee_ppm: int


class Transfer(Answer, frozen=True, kw_only=True):
    """`replayed`: it had been done before, at `seq`, and was not done again."""

    client_transfer_id: str
    seq: int
    replayed: bool


class Fees(Answer, frozen=True, kw_only=True):
    """Rates in millionths, with the discount; `volume` is that of the 30 days before this one."""

    account: str
    maker_fee_ppm: int
    taker_fee_ppm: int
    tier: int
    discount_ppm: int
    volume: str
    volume_today: str
    cxpt: str
    next: Tier | None
    schedule: dict[str, Any] | None


class Approval(Answer, frozen=True, kw_only=True):
    """A countersignature for the Vault; `signature` is None if only the relay keeper has it. Deadlines in seconds.

    `owner_nonce` and `owner_deadline` are those of the `Withdraw` that is countersigned, which must be sent as it is.
    """

    purpose: str
    account: str
    token: str
    amount: str
    amount_atoms: str
    destination: str
    as_cxpt: bool
    nonce: str
    deadline: int
    signature: str | None
    owner_nonce: str = "0"
    owner_deadline: int = 0


class Pool(Answer, frozen=True, kw_only=True):
    """Reserves of a market's AMM pair as of a block; `price` (rounded down, before fees) is None if it is empty."""

    base: str
    quote: str
    price: str | None
    fee_ppm: int
    block_number: int


class QuotePart(Answer, frozen=True, kw_only=True):
    """What goes to the book, or to the AMM pair; `limit` is the price to sign."""

    size: str
    cost: str
    fee: str
    average: str
    limit: str


class Quote(Answer, frozen=True, kw_only=True):
    """How a trade would be split now. `total`: what a buyer pays and a seller receives, with fees; `filled` is less
    than `size` if limit or liquidity end before it. `amm_busy`: the pair is left out until its last trade settled."""

    symbol: str
    side: str
    size: str | None = None
    amount: str | None = None
    state: str
    amm_busy: bool
    book: QuotePart | None
    amm: QuotePart | None
    filled: str
    cost: str
    fee: str
    total: str
    average: str | None
    complete: bool
    seq: int


class MarketAnswer(Answer, frozen=True, kw_only=True):
    symbol: str
    market: int
    state: str
    maker_fee_ppm: int
    taker_fee_ppm: int
    base_token: str
    base_decimals: int
    quote_decimals: int
    base_atoms_per_lot: str
    quote_atoms_per_tick_lot: str
    tick_size: str = ""
    lot_size: str = ""
    mark: str | None = None
    mark_timestamp: int | None = None
    band: dict[str, int] | None = None
    pool: Pool | None = None


def convert(value: Any, kind: type[T]) -> T:
    """A decoded JSON value as one of the types."""
    return msgspec.convert(value, kind)
