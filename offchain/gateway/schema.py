"""Requests as they come off the wire, and their exact conversion to the domain.

One canonical form each: decimals are strings, integers are JSON integers or (64 bits and more) decimal strings, unknown
fields are refused. Invariant: a request converts exactly or is refused with an `ApiError` that names the field.
"""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from offchain.domain.beside import NOTHING_BESIDE, Beside, SelfTrade
from offchain.domain.eip712 import Withdrawal
from offchain.domain.errors import InvalidInput
from offchain.domain.keccak import keccak
from offchain.domain.limits import (
    AGENT_MARKETS_MAX,
    BULK_DEPTH,
    CLIENT_ORDER_ID_BYTES_MAX,
    COLLATERAL_PERCENT_MAX,
    COLLATERAL_PERCENT_MIN,
    GROUP_ACCOUNTS_MAX,
    ORDERS_PER_REQUEST_MAX,
    PAGE_LIMIT_MAX,
    PRICE_AGE_SECONDS_MAX,
    QUORUM_MAX,
    SUBACCOUNT_MAX,
    TOGETHER_MAX,
)
from offchain.domain.market import Market, parse_atoms, parse_decimal
from offchain.domain.order import BULK_SIGNATURE_BYTES, Flags, Kind, Order, Side, TimeInForce
from offchain.domain.reasons import RejectReason
from offchain.domain.units import PPM, Address, Digest, Ticks
from offchain.gateway.failures import ApiError, Code, invalid, undecodable
from offchain.security.signatures import canonical

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_SIGNATURE = re.compile(r"0x(?:[0-9a-fA-F]{130}|[0-9a-fA-F]{128})")
_BULK_SIGNATURE = re.compile(rf"0x[0-9a-fA-F]{{{2 * BULK_SIGNATURE_BYTES}}}")
_DIGEST = re.compile(r"0x[0-9a-fA-F]{64}")
_INTEGER = re.compile(r"0|[1-9][0-9]{0,77}")
_CLIENT_ORDER_ID = re.compile(r"[0-9A-Za-z._:-]*")

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
KINDS = {"limit": Kind.LIMIT, "market": Kind.MARKET}
TIMES_IN_FORCE = {tif.name: tif for tif in TimeInForce}
_USUAL = NOTHING_BESIDE.self_trade.name
_POST_ONLY, _AMM, _REDUCE_ONLY, _PROTECTED = map(int, (Flags.POST_ONLY, Flags.AMM, Flags.REDUCE_ONLY, Flags.PROTECTED))
_ON_LAST, _TAKE_PROFIT, _IMMEDIATE = map(int, (Flags.ON_LAST, Flags.TAKE_PROFIT, Flags.IMMEDIATE))
"""As plain numbers: a flag that is looked at costs a tenth so."""

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Uint32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Uint40 = Annotated[int, msgspec.Meta(ge=0, le=2**40 - 1)]
Uint48 = Annotated[int, msgspec.Meta(ge=0, le=2**48 - 1)]


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of all requests."""


class OrderRequest(Wire, frozen=True, kw_only=True):
    """An order with its EIP-712 signature. `price` and `size` are decimal strings of quote and base tokens.

    Signed in bulk by an agent, `signature` is the one over the tree, then the order's position and siblings in it.
    With `stopLossPrice` or `takeProfitPrice` it waits for that price. The last six fields are not signed: they need a
    session of the account, see docs/orders.md.
    """

    symbol: str
    side: Literal["buy", "sell"]
    type: Literal["limit", "market"] = "limit"
    time_in_force: Literal["GTC", "IOC", "FOK", "GTD"] = "GTC"
    price: Any
    size: Any
    max_fee_ppm: Int32
    nonce: str | int
    expiry: Uint40 = 0
    post_only: bool = False
    amm: bool = False
    """With the market's AMM pair only, whole or not at all; IOC, FOK or market."""
    reduce_only: bool = False
    stop_loss_price: Any = None
    take_profit_price: Any = None
    trigger_price_type: Literal["mark", "last"] | None = None
    """Of what the price is; the mark if it is not said."""
    immediate: bool = False
    """What does not match at once when its trigger comes is cancelled."""
    account: str
    subaccount: Annotated[int, msgspec.Meta(ge=0, le=SUBACCOUNT_MAX)] = 0
    protected: bool = False
    """Counts for the account's protection, and is cancelled when that trips."""
    signature: str
    client_order_id: str = ""
    visible_size: Any = None
    """Iceberg."""
    trailing_amount: Any = None
    """How far the trigger of a stop stays behind the price."""
    parent: str | int = 0
    """Nonce of the order that it waits for."""
    other: str | int = 0
    """Nonce of the order that it is one of two with."""
    self_trade_prevention: Literal["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE"] = "EXPIRE_MAKER"
    amend: bool = False
    """Only in place of an open order of its slot."""


class AmendRequest(Wire, frozen=True, kw_only=True):
    """A smaller `size` (with what has filled), which keeps the place in the queue; or an `order`, newly signed, in the
    slot of the one that it replaces."""

    size: Any = None
    order: OrderRequest | None = None


class AmendItem(Wire, frozen=True, kw_only=True):
    """An order of a batch that becomes smaller."""

    id: str
    size: Any


class BatchRequest(Wire, frozen=True, kw_only=True):
    """Cancels (ids), then amends, then orders. `all`: everything happens or nothing; `first`: the cancels, the amends
    and the first order that may enter; `each`: every item for itself."""

    mode: Literal["all", "first", "each"] = "all"
    cancels: list[str] = []
    amends: list[AmendItem] = []
    orders: list[msgspec.Raw] = []


class CancelAllAfterRequest(Wire, frozen=True, kw_only=True):
    """All orders are cancelled so many milliseconds from now, unless it is sent again before; 0: never mind."""

    timeout: int


class CancelRequest(Wire, frozen=True, kw_only=True):
    """A cancel that the owner signed (EIP-712 Cancel) instead of a session."""

    account: str
    nonce: str | int
    signature: str


class CancelAllRequest(Wire, frozen=True, kw_only=True):
    """Cancels everything and kills the sequences below `floor` (EIP-712 CancelAll)."""

    account: str
    floor: Uint48
    signature: str


class SessionRequest(Wire, frozen=True, kw_only=True):
    """Login: times in unix seconds, as signed (EIP-712 Session) by the account or an agent of it."""

    account: str
    issued_at: Uint40
    expiry: Uint40
    signature: str


class WithdrawRequest(Wire, frozen=True, kw_only=True):
    """A withdrawal that the owner signed (EIP-712 Withdraw); `token` is an address or a token's symbol."""

    account: str
    token: str
    amount: Any
    destination: str
    as_cxpt: bool = False
    nonce: str | int
    deadline: Uint40
    signature: str


class DepositRequest(Wire, frozen=True, kw_only=True):
    """A permit of the settlement token for the Vault that its owner signed (EIP-712 Permit), for the relay to use."""

    account: str
    amount: Any
    nonce: str | int
    deadline: Uint40
    signature: str


class AgentRequest(Wire, frozen=True, kw_only=True):
    """What the account signed (EIP-712 Agent), for the relay to register."""

    account: str
    agent: str
    expiry: Uint40
    notional: str | int
    markets: Annotated[list[Uint32], msgspec.Meta(max_length=AGENT_MARKETS_MAX)] = []
    nonce: str | int
    deadline: Uint40
    signature: str


class ApprovalRequest(Wire, frozen=True, kw_only=True):
    """Asks for the countersignature of a debit that the owner sends himself.

    Of a withdrawal it is over all that he will send: the last four fields are those of his `Withdraw`. The others have
    none of them.
    """

    purpose: Literal["withdraw", "lock", "burn"]
    token: str
    amount: Any
    destination: str = ""
    as_cxpt: bool = False
    nonce: str | int = 0
    deadline: Uint40 = 0


class BandRequest(Wire, frozen=True, kw_only=True):
    """How far beyond the mark limits may be, in millionths: of sales below it, of purchases above it; both 0: any."""

    symbol: str
    below_ppm: Annotated[int, msgspec.Meta(ge=0, le=PPM)]
    above_ppm: Annotated[int, msgspec.Meta(ge=0, le=100 * PPM)]


class GroupRequest(Wire, frozen=True, kw_only=True):
    """Accounts of one owner, whose orders do not meet unless they say that they may; `group` 0: of none."""

    accounts: Annotated[list[str], msgspec.Meta(min_length=1, max_length=GROUP_ACCOUNTS_MAX)]
    group: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class TakeBackRequest(Wire, frozen=True, kw_only=True):
    """An operator takes a matched fill back that sinks its batch; `reason` is journaled and told to both sides."""

    fill: str | int
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class MarketRequest(Wire, frozen=True, kw_only=True):
    """An operator's word on a market. `create` needs every field, the others take `action` and `symbol` only.
    `withdraw` is for a market that was asked for and is not listed yet.

    `lotSize`, `tickSize` and `ceiling` (most synth in debt) are decimal strings of whole tokens.
    """

    action: Literal["create", "withdraw", "resume", "pause", "delist", "cancel_only", "post_only"]
    symbol: str
    synth: str | None = None
    name: str | None = None
    lot_size: str | None = None
    tick_size: str | None = None
    ceiling: str | None = None
    initial_percent: Annotated[int, msgspec.Meta(ge=COLLATERAL_PERCENT_MIN, le=COLLATERAL_PERCENT_MAX)] | None = None
    maintenance_percent: Annotated[int, msgspec.Meta(ge=COLLATERAL_PERCENT_MIN, le=COLLATERAL_PERCENT_MAX)] | None = (
        None
    )
    bonus_percent: Annotated[int, msgspec.Meta(ge=1, le=COLLATERAL_PERCENT_MAX)] | None = None
    quorum: Annotated[int, msgspec.Meta(ge=1, le=QUORUM_MAX)] | None = None
    max_age_seconds: Annotated[int, msgspec.Meta(ge=1, le=PRICE_AGE_SECONDS_MAX)] | None = None
    max_move_ppm_per_minute: Annotated[int, msgspec.Meta(ge=1, le=PPM)] | None = None


NEW_MARKET_FIELDS = tuple(name for name in MarketRequest.__struct_fields__ if name not in ("action", "symbol"))


def wire_name(field: str) -> str:
    """camelCase of a field's name."""
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


class Submission(NamedTuple):
    """An order in the words of the domain."""

    order: Order
    signature: bytes
    client_order_id: str
    beside: Beside | None = None


Request = TypeVar("Request", bound=Wire)
Value = TypeVar("Value")
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


@cache
def _decoder(kind: type[Wire]) -> Callable[[bytes | msgspec.Raw], Any]:
    return msgspec.json.Decoder(kind).decode


def decode(kind: type[Request], body: bytes | msgspec.Raw) -> Request:
    """`ApiError` MALFORMED_JSON with the byte, or the field that is wrong."""
    try:
        request: Request = _decoder(kind)(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise undecodable(error, len(body)) from None
    return request


def decode_items(body: bytes) -> list[msgspec.Raw]:
    """The items of a JSON array, still undecoded, so that each is answered by itself."""
    try:
        items = _decode_items(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise undecodable(error, len(body)) from None
    if len(items) > ORDERS_PER_REQUEST_MAX:
        message = f"{len(items)} orders in a request"
        raise ApiError(Code.TOO_MANY_ORDERS, message, {"maximum": ORDERS_PER_REQUEST_MAX})
    return items


def parse_order(request: OrderRequest, market: Market) -> Submission:
    """Exact conversion; a price off tick or a size off lot is refused with the nearest valid value."""
    is_brief = request.type == "market" or request.time_in_force in ("IOC", "FOK")
    if request.amm and (request.post_only or not is_brief):
        raise _unusable("amm", "an order for the AMM pair does not rest", "IOC, FOK or market, and not postOnly")
    order = Order(
        account=parse_address(request.account, "account"),
        subaccount=request.subaccount,
        market=market.market,
        side=SIDES[request.side],
        kind=KINDS[request.type],
        time_in_force=TIMES_IN_FORCE[request.time_in_force],
        flags=_flags(request),
        price_ticks=parse_grid(market.parse_price, request.price, "price", RejectReason.INVALID_PRICE),
        size_lots=parse_grid(market.parse_size, request.size, "size", RejectReason.INVALID_SIZE),
        trigger_ticks=_trigger(request, market, is_brief=is_brief),
        max_fee_ppm=request.max_fee_ppm,
        nonce=parse_integer(request.nonce, 64, "nonce"),
        expiry=request.expiry,
    )
    client_order_id = parse_client_order_id(request.client_order_id)
    is_bulk = len(request.signature) == 2 + 2 * BULK_SIGNATURE_BYTES
    signature = parse_bulk_signature(request.signature) if is_bulk else parse_signature(request.signature)
    return Submission(order, signature, client_order_id, _beside(request, market))


def _flags(request: OrderRequest) -> int:
    return (
        _POST_ONLY * request.post_only
        | _AMM * request.amm
        | _REDUCE_ONLY * request.reduce_only
        | _ON_LAST * (request.trigger_price_type == "last")
        | _TAKE_PROFIT * (request.take_profit_price is not None)
        | _IMMEDIATE * request.immediate
        | _PROTECTED * request.protected
    )


def _trigger(request: OrderRequest, market: Market, *, is_brief: bool) -> Ticks:
    """0 if the order is not conditional."""
    stop, profit = request.stop_loss_price, request.take_profit_price
    if stop is None and profit is None:
        for name, is_given in (
            ("triggerPriceType", request.trigger_price_type is not None),
            ("immediate", request.immediate),
            ("trailingAmount", request.trailing_amount is not None),
        ):
            if is_given:
                raise _unusable(name, f"{name} is of an order with a trigger", "Give stopLossPrice or takeProfitPrice")
        return Ticks(0)
    field = "stopLossPrice" if profit is None else "takeProfitPrice"
    if stop is not None and profit is not None:
        raise _unusable(field, "an order has one trigger", "Sign two orders, and link them with `other`")
    if is_brief or request.post_only:
        words = "a conditional order is a limit order, GTC or GTD, and not postOnly"
        raise _unusable(field, words, "For a stop-market order: a worst price, GTC, and immediate")
    if request.trailing_amount is not None and profit is not None:
        raise _unusable("trailingAmount", "only a stop trails", "Give stopLossPrice")
    return parse_grid(market.parse_price, stop if profit is None else profit, field, RejectReason.INVALID_PRICE)


def _beside(request: OrderRequest, market: Market) -> Beside | None:
    """What travels beside the order; None if nothing does."""
    is_plain = request.parent == request.other == 0 and request.self_trade_prevention == _USUAL and not request.amend
    if is_plain and request.visible_size is None and request.trailing_amount is None:
        return None
    visible, trail = request.visible_size, request.trailing_amount
    off_tick, off_lot = RejectReason.INVALID_PRICE, RejectReason.INVALID_SIZE
    beside = Beside(
        display_lots=0 if visible is None else parse_grid(market.parse_size, visible, "visibleSize", off_lot),
        trail_ticks=0 if trail is None else parse_grid(market.parse_price, trail, "trailingAmount", off_tick),
        parent=parse_integer(request.parent, 64, "parent"),
        other=parse_integer(request.other, 64, "other"),
        self_trade=SelfTrade[request.self_trade_prevention],
        is_amend=request.amend,
    )
    return None if beside == NOTHING_BESIDE else beside


def _unusable(field: str, message: str, remedy: str) -> ApiError:
    return ApiError(Code.INVALID_FIELD, message, {"field": field, "remedy": remedy})


def parse_batch(body: bytes | msgspec.Raw) -> BatchRequest:
    """Not empty, and no more than may happen together."""
    request = decode(BatchRequest, body)
    count = len(request.cancels) + len(request.amends) + len(request.orders)
    if count > TOGETHER_MAX:
        raise ApiError(Code.TOO_MANY_ORDERS, f"{count} items in a batch", {"maximum": TOGETHER_MAX})
    if not count or (request.mode == "first" and not request.orders):
        raise ApiError(Code.MISSING_FIELD, "there is nothing in the batch", {"field": "orders"})
    return request


def checked(parse: Callable[[], Value]) -> Value:
    """INVALID_FIELD where the domain says InvalidInput."""
    try:
        return parse()
    except InvalidInput as error:
        raise invalid(error) from None


def parse_withdrawal(request: WithdrawRequest, token: Address, decimals: int) -> Withdrawal:
    return Withdrawal(
        account=parse_address(request.account, "account"),
        token=token,
        amount=parse_amount(request.amount, decimals),
        destination=parse_address(request.destination, "destination"),
        as_cxpt=request.as_cxpt,
        nonce=parse_integer(request.nonce, 256, "nonce"),
        deadline=request.deadline,
    )


def parse_amount(value: object, decimals: int) -> int:
    """Whole tokens as a decimal string to atoms, above 0 and within the Vault's 128 bits."""
    try:
        amount = parse_atoms(value, decimals, "amount")
    except InvalidInput as error:
        raise invalid(error) from None
    if not 0 < amount < 2**128:
        raise ApiError(Code.INVALID_FIELD, "amount is out of range", {"field": "amount"})
    return amount


def parse_address(text: str, field: str) -> Address:
    """Lower case, or with a right EIP-55 checksum."""
    if not _ADDRESS.fullmatch(text):
        raise ApiError(Code.INVALID_FIELD, f"{field} is not an address", {"field": field, "remedy": "0x and 40 digits"})
    lower = text.lower()
    if text[2:] not in (lower[2:], lower[2:].upper()) and text != checksummed(lower):
        message = f"{field} has a wrong EIP-55 checksum"
        raise ApiError(Code.INVALID_FIELD, message, {"field": field, "remedy": checksummed(lower)})
    return Address(lower)


@lru_cache(maxsize=16_384)
def checksummed(address: str) -> str:
    """EIP-55 form of a lower-case address."""
    digits = keccak(address[2:].encode()).hex()
    return "0x" + "".join(a.upper() if int(d, 16) >= 8 else a for a, d in zip(address[2:], digits, strict=False))


def parse_signature(text: str) -> bytes:
    """65 bytes, also of one that came in the 64 of ERC-2098: both are one signature, and are kept as one."""
    if not _SIGNATURE.fullmatch(text):
        message = "signature is not 65 or 64 bytes as 0x-hex"
        remedy = "r, s and v: 130 digits; or r and vs: 128"
        raise ApiError(Code.INVALID_SIGNATURE, message, {"field": "signature", "remedy": remedy})
    return canonical(bytes.fromhex(text[2:]))


def parse_bulk_signature(text: str) -> bytes:
    """The signature of an order that was signed in bulk, with the proof behind it: see `domain.order`."""
    if not _BULK_SIGNATURE.fullmatch(text):
        remedy = f"r, s, v, the position and {BULK_DEPTH} siblings: {2 * BULK_SIGNATURE_BYTES} digits"
        data = {"field": "signature", "remedy": remedy}
        raise ApiError(Code.INVALID_SIGNATURE, "signature is not that of an order signed in bulk", data)
    return bytes.fromhex(text[2:])


def parse_digest(text: str) -> Digest:
    """An order id from a path; ORDER_NOT_FOUND if it cannot be one."""
    if not _DIGEST.fullmatch(text):
        raise ApiError(Code.ORDER_NOT_FOUND, "no such order", {"remedy": "An id is 0x and 64 digits"})
    return Digest(text.lower())


def parse_relay_id(text: str) -> Digest:
    """The digest of a relayed message from a path."""
    if not _DIGEST.fullmatch(text):
        raise ApiError(Code.NOT_FOUND, "no such deposit", {"remedy": "An id is 0x and 64 digits"})
    return Digest(text.lower())


def parse_integer(value: str | int, bits: int, field: str) -> int:
    """A JSON integer or a decimal string without leading zeros, unsigned."""
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise ApiError(Code.INVALID_FIELD, f"{field} is not a decimal integer", {"field": field})
        value = int(value)
    if not 0 <= value < 1 << bits:
        raise ApiError(Code.INVALID_FIELD, f"{field} does not fit {bits} bits", {"field": field})
    return value


def parse_client_order_id(text: str, field: str = "clientOrderId") -> str:
    if len(text) > CLIENT_ORDER_ID_BYTES_MAX or not _CLIENT_ORDER_ID.fullmatch(text):
        remedy = f"At most {CLIENT_ORDER_ID_BYTES_MAX} letters, digits and . _ : -"
        raise ApiError(
            Code.INVALID_FIELD,
            f"{field} is not usable",
            {"field": field, "remedy": remedy},
        )
    return text


def parse_limit(text: str | None, default: int = 100) -> int:
    """`limit` of a list."""
    if text is None:
        return default
    if not _INTEGER.fullmatch(text) or not 1 <= int(text) <= PAGE_LIMIT_MAX:
        remedy = f"1 to {PAGE_LIMIT_MAX}"
        raise ApiError(Code.INVALID_FIELD, "limit is out of range", {"field": "limit", "remedy": remedy})
    return int(text)


def parse_grid(parse: Callable[[object, str], Value], value: object, field: str, off_grid: RejectReason) -> Value:
    """Tells a wrong type or form (INVALID_FIELD) from a value off tick, off lot or out of range."""
    try:
        return parse(value, field)
    except InvalidInput as error:
        raise invalid(error, off_grid if _is_decimal(value) else Code.INVALID_FIELD) from None


def _is_decimal(value: object) -> bool:
    try:
        parse_decimal(value, "")
    except InvalidInput:
        return False
    return True
