"""The shapes of the gateway's answers, for `openapi.json` and for the tests that hold real answers against it.

Nothing is built from these at run time: `present` and the handlers write plain values, which is what makes them cheap.
"""

from typing import Any, Literal

from offchain.gateway.account_answers import (
    AgentsOut,
    Balances,
    CxptObservedOut,
    FeeSchedule,
    FeesOut,
    ProtectionNumber,
    Protections,
    ProtectionSetOut,
    ScheduleSet,
    Transferred,
)
from offchain.gateway.answer_types import (
    AccountAddress,
    Answer,
    Decimal,
    Digits,
    Hash,
    Hex,
    Level,
    MarketStateName,
    Millis,
    OrderStatusName,
    Seconds,
    Sequence,
    SideName,
)


class Problem(Answer, frozen=True, kw_only=True):
    """`code` is stable; `data` says more."""

    code: str
    message: str
    data: dict[str, Any]


class Error(Answer, frozen=True, kw_only=True):
    """Every answer of status 400 and above."""

    ok: Literal[False]
    error: Problem
    request_id: str


class Template(Answer, frozen=True, kw_only=True):
    """What eth_signTypedData_v4 takes, to be completed with a `message`."""

    types: dict[str, Any]
    primary_type: str
    domain: dict[str, Any]
    type_string: str
    fields: dict[str, str]


class PoolOut(Answer, frozen=True, kw_only=True):
    base: Decimal
    quote: Decimal
    price: Decimal | None
    price_rounding: Literal["down"]
    fee_ppm: int
    block_number: int


class BandOut(Answer, frozen=True, kw_only=True):
    """How far beyond the mark a limit may be, in millionths: of a sale below it, of a purchase above it."""

    below_ppm: int
    above_ppm: int


class MarketOut(Answer, frozen=True, kw_only=True):
    symbol: str
    market: int
    base: str
    quote: str
    state: MarketStateName
    pool: PoolOut | None
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee_ppm: int
    taker_fee_ppm: int
    mark: Decimal | None
    mark_timestamp: Millis | None
    band: "BandOut | None"
    base_token: AccountAddress
    base_decimals: int
    quote_decimals: int
    base_atoms_per_lot: Digits
    quote_atoms_per_tick_lot: Digits


class Markets(Answer, frozen=True, kw_only=True):
    markets: list[MarketOut]
    seq: Sequence


class Book(Answer, frozen=True, kw_only=True):
    """`checksum`: CRC32 over the best ten levels of each side."""

    symbol: str
    bids: list[Level]
    asks: list[Level]
    checksum: int
    seq: Sequence
    timestamp: Millis


class TradeOut(Answer, frozen=True, kw_only=True):
    """`side` is the taker's; a price of an AMM pair is rounded down, its cost is exact."""

    id: Digits
    timestamp: Millis
    side: SideName
    price: Decimal
    price_rounding: Literal["down"] | None = None
    liquidity: Literal["book", "amm"]
    amount: Decimal
    cost: Decimal


class Trades(Answer, frozen=True, kw_only=True):
    symbol: str
    trades: list[TradeOut]
    seq: Sequence


class PoolState(Answer, frozen=True, kw_only=True):
    symbol: str
    pool: PoolOut | None
    busy: bool
    seq: Sequence


class QuotePart(Answer, frozen=True, kw_only=True):
    """`limit` is the price to sign."""

    size: Decimal
    cost: Decimal
    fee: Decimal
    average: Decimal | None
    limit: Decimal


class Quote(Answer, frozen=True, kw_only=True):
    """`total`: what a buyer pays and a seller receives, with fees."""

    symbol: str
    side: SideName
    size: Decimal | None = None
    amount: Decimal | None = None
    state: MarketStateName
    amm_busy: bool
    book: QuotePart | None
    amm: QuotePart | None
    filled: Decimal
    cost: Decimal
    fee: Decimal
    total: Decimal
    average: Decimal | None
    price_rounding: Literal["down"]
    complete: bool
    seq: Sequence
    timestamp: Millis


class Loss(Answer, frozen=True, kw_only=True):
    index: Digits
    new_index: Digits
    shortfall: Digits


class Venue(Answer, frozen=True, kw_only=True):
    state: str
    reason: str | None
    maker_fee_ppm: int
    taker_fee_ppm: int
    fee_schedule: FeeSchedule | None
    markets: dict[str, MarketStateName]
    loss: Loss | None
    requested: list[str]
    seq: Sequence
    timestamp: Millis


class Epoch(Answer, frozen=True, kw_only=True):
    epoch: int
    timestamp: Millis
    hash: Hash
    header: dict[str, Any]


class Proof(Answer, frozen=True, kw_only=True):
    """Verifies with `hooats verify`, with the contract, and with @openzeppelin/merkle-tree."""

    chain_id: int
    contract: AccountAddress
    settlement: AccountAddress
    header: dict[str, Any]
    leaf: list[Any]
    proof: list[Hash]
    order: dict[str, Any]
    signature: Hex
    receipt: dict[str, Any]
    group_receipt: dict[str, Any] | None = None


class GroupReceiptOut(Answer, frozen=True, kw_only=True):
    """That an order has its place, under one signature of all that became durable with it; `proof` from the leaf up."""

    sequence: Sequence
    at: Millis
    order_hash: Hash
    first: Sequence
    last: Sequence
    orders: int
    position: int
    root: Hash
    proof: list[Hash]
    signature: Hex


class FeeOut(Answer, frozen=True, kw_only=True):
    cost: Decimal
    currency: str
    rate_ppm: int | None = None


class ReceiptOut(Answer, frozen=True, kw_only=True):
    """The attestation key's signature over (seq, timestamp, orderHash)."""

    seq: Sequence
    timestamp: Millis
    order_hash: Hash
    signature: Hex


class OrderOut(Answer, frozen=True, kw_only=True):
    """ccxt's order, and seq, nonce, slot, expiry, reason. Null: not known here, or not of this order. `waiting`: for
    its trigger or for another order, in no book and without a hold. `amount` is the size that it was amended to."""

    id: Hash
    client_order_id: str
    timestamp: Millis
    last_trade_timestamp: Millis | None
    last_update_timestamp: Millis
    symbol: str
    type: Literal["limit", "market"]
    side: SideName
    price: Decimal
    amount: Decimal
    cost: Decimal | None
    average: Decimal | None
    filled: Decimal
    remaining: Decimal
    time_in_force: Literal["GTC", "IOC", "FOK", "GTD"]
    post_only: bool
    amm: bool
    reduce_only: bool
    protected: bool
    trigger_price: Decimal | None
    take_profit_price: Decimal | None
    stop_loss_price: Decimal | None
    trigger_price_type: Literal["mark", "last"] | None
    immediate: bool
    waiting: bool
    status: OrderStatusName
    reason: str | None
    fee: FeeOut | None
    account: AccountAddress
    subaccount: int
    nonce: Digits
    slot: int
    expiry: Seconds
    seq: Sequence


class OrderWithReceipt(OrderOut, frozen=True, kw_only=True):
    receipt: ReceiptOut | None


class Surplus(Answer, frozen=True, kw_only=True):
    amount: Decimal
    currency: str


class FillOut(Answer, frozen=True, kw_only=True):
    """One leg."""

    id: Digits
    order: Hash
    timestamp: Millis
    symbol: str
    side: SideName
    taker_or_maker: Literal["taker", "maker"]
    price: Decimal
    price_rounding: Literal["down"] | None = None
    liquidity: Literal["book", "amm"]
    amount: Decimal
    cost: Decimal
    fee: FeeOut
    surplus: Surplus | None
    state: Literal["MATCHED", "BATCHED", "SETTLED", "REFUSED"]
    reason: str | None
    batch_id: int | None
    tx_hash: str | None


class Placed(Answer, frozen=True, kw_only=True):
    """`replayed`: the same order had been placed before, and this is its first result."""

    ok: Literal[True]
    order: OrderOut
    fills: list[FillOut]
    receipt: ReceiptOut | None
    replayed: bool


class Failed(Answer, frozen=True, kw_only=True):
    """An item of an array that was not accepted."""

    ok: Literal[False]
    error: Problem


class Orders(Answer, frozen=True, kw_only=True):
    """Newest first; `cursor` is null on the last page."""

    orders: list[OrderOut]
    cursor: Digits | None
    seq: Sequence


class Cancelled(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    seq: Sequence
    order: OrderOut


class Amended(Answer, frozen=True, kw_only=True):
    """Of a new size `fills` is empty and `receipt` null; of a new order they are as when it is placed. `replayed`: it
    was so already."""

    ok: Literal[True]
    seq: Sequence
    order: OrderOut
    fills: list[FillOut]
    receipt: ReceiptOut | None
    replayed: bool


class Changed(Answer, frozen=True, kw_only=True):
    """An item of a batch that cancelled or amended an order."""

    ok: Literal[True]
    order: OrderOut


class BatchOut(Answer, frozen=True, kw_only=True):
    """An answer per item, in the order of the request. Of the modes `all` and `first` a refusal is an error, and
    nothing was executed. `replayed`: the batch had been sent before, and this is what it came to then."""

    ok: Literal[True]
    seq: Sequence
    replayed: bool
    cancels: list[dict[str, Any]]
    amends: list[dict[str, Any]]
    orders: list[dict[str, Any]]


class Switch(Answer, frozen=True, kw_only=True):
    """`deadline`: when all orders of the account are cancelled; null if they are not."""

    ok: Literal[True]
    seq: Sequence
    deadline: Millis | None


class AllCancelled(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    seq: Sequence
    canceled: list[Hash]


class Fills(Answer, frozen=True, kw_only=True):
    """Newest first; `cursor` is null on the last page."""

    fills: list[FillOut]
    cursor: Digits | None
    seq: Sequence


class Credentials(Answer, frozen=True, kw_only=True):
    account: AccountAddress
    api_key: str
    secret: str
    expires_at: Millis


class Ended(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    ended: str


class ApprovalOut(Answer, frozen=True, kw_only=True):
    """`signature` is null if only the relay keeper has it."""

    purpose: Literal["withdraw", "lock", "burn"]
    account: AccountAddress
    token: AccountAddress
    amount: Decimal
    amount_atoms: Digits
    destination: AccountAddress
    as_cxpt: bool
    nonce: Digits
    deadline: Seconds
    owner_nonce: Digits
    owner_deadline: Seconds
    signature: Hex | None


class Approved(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    approval: ApprovalOut
    seq: Sequence
    replayed: bool


class DepositOut(Answer, frozen=True, kw_only=True):
    """`id`: the permit's digest. credited: a deposit of this amount arrived after it was asked for. lapsed: the
    deadline passed on chain first."""

    id: Hash
    account: AccountAddress
    amount: Decimal
    amount_atoms: Digits
    nonce: Digits
    deadline: Seconds
    status: Literal["pending", "credited", "lapsed"]
    transaction: Hex | None
    seq: Sequence


class Deposited(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    deposit: DepositOut
    replayed: bool


class AgentRequested(Answer, frozen=True, kw_only=True):
    """`id`: the digest of what the account signed."""

    id: Hash
    account: AccountAddress
    agent: AccountAddress
    expiry: Seconds
    notional: Digits
    markets: list[int]
    nonce: Digits
    deadline: Seconds
    status: Literal["pending", "registered", "lapsed"]
    transaction: Hex | None
    seq: Sequence


class AgentAsked(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    agent: AgentRequested
    replayed: bool


class MarketChanged(Answer, frozen=True, kw_only=True):
    """One of the three, by the action."""

    ok: Literal[True]
    seq: Sequence
    market: MarketOut | None = None
    requested: dict[str, Any] | None = None
    withdrawn: str | None = None


class Grouped(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    seq: Sequence
    group: int
    accounts: list[AccountAddress]


class TakenBack(Answer, frozen=True, kw_only=True):
    ok: Literal[True]
    seq: Sequence
    taken_back: list[Digits]


class Live(Answer, frozen=True, kw_only=True):
    live: bool


class Ready(Answer, frozen=True, kw_only=True):
    ready: bool
    checks: dict[str, bool]
    seq: Sequence


ANSWERS: dict[str, Any] = {
    "eip712": dict[str, Template],
    "markets": Markets,
    "book": Book,
    "trades": Trades,
    "pool": PoolState,
    "quote": Quote,
    "venue": Venue,
    "capabilities": dict[str, Any],
    "openapi": dict[str, Any],
    "epoch": Epoch,
    "group_receipt": GroupReceiptOut,
    "proof": Proof,
    "place": Placed,
    "orders": Orders,
    "cancel_all": AllCancelled,
    "order_by_client_id": OrderWithReceipt,
    "order": OrderWithReceipt,
    "cancel": Cancelled,
    "cancel_by_client_id": Cancelled,
    "amend": Amended,
    "amend_by_client_id": Amended,
    "batch": BatchOut,
    "cancel_all_after": Switch,
    "switch": Switch,
    "agents": AgentsOut,
    "fills": Fills,
    "balances": Balances,
    "login": Credentials,
    "logout_all": Ended,
    "logout": Ended,
    "withdraw": Approved,
    "deposit": Deposited,
    "deposit_status": DepositOut,
    "register_agent": AgentAsked,
    "approve": Approved,
    "administer": MarketChanged,
    "take_back": TakenBack,
    "set_band": MarketChanged,
    "set_group": Grouped,
    "fees": FeesOut,
    "protections": Protections,
    "set_protection": ProtectionSetOut,
    "remove_protection": ProtectionNumber,
    "reset_protection": ProtectionNumber,
    "transfer": Transferred,
    "set_fee_schedule": ScheduleSet,
    "observe_cxpt": CxptObservedOut,
}
"""By the name of the route's handler, which is its operationId."""
BATCH_ITEMS: dict[str, Any] = {"cancels": Changed, "amends": Changed, "orders": Placed}
"""What the items of a BatchOut are, unless they Failed: a union that no type here can say."""
CREATED = ("login",)
"""Operations that answer with 201; placing an order does so the first time."""
