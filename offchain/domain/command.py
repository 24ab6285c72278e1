"""Inputs of the engine, and their canonical payloads in the journal.

Whatever can change a result is a field of a command; `sequence` and `at` (unix milliseconds) are stamped by the
sequencer and stand beside it. Orders and cancels keep their signed bytes in fixed frames; the others are JSON. Kind
numbers and tags are for ever; fields are only added.
"""

import struct
from typing import ClassVar

import msgspec

from offchain.domain.batch import BatchRules
from offchain.domain.beside import BESIDE_BYTES, Beside
from offchain.domain.chainlog import AnyChainLog
from offchain.domain.errors import InvalidInput
from offchain.domain.limits import LOG_RECORD_BYTES_MAX, RECORD_BYTES_MAX
from offchain.domain.market import MarketState
from offchain.domain.order import BULK_SIGNATURE_BYTES, ORDER_FRAME_BYTES, SIGNATURE_BYTES, Order
from offchain.domain.relayed import RequestAgent, RequestDeposit
from offchain.domain.terms import ObserveCxpt, ResetProtection, SetFeeSchedule, SetProtection, TransferBetween
from offchain.domain.units import Address, from_hex, to_address

NO_SIGNATURE = bytes(SIGNATURE_BYTES)
"""Stands where a session, not a signature, authenticated the signer."""


class PlaceOrder(msgspec.Struct, frozen=True):
    """`signer` was recovered from `signature` over the order's digest by the gateway; replay recomputes it.

    Signed in bulk, by an agent, the signature is of BULK_SIGNATURE_BYTES: over the root that the proof in it leads to.
    """

    order: Order
    signature: bytes
    signer: Address
    client_order_id: str = ""
    beside: Beside | None = None


class CancelOrder(msgspec.Struct, frozen=True):
    """Cancels the order of `account` in the nonce's slot and kills its sequences up to the nonce's."""

    account: Address
    nonce: int
    signer: Address
    signature: bytes = NO_SIGNATURE


class CancelAll(msgspec.Struct, frozen=True):
    """Cancels the open orders of `account`, in one market or (0) in all; kills sequences below `floor` (0: none)."""

    account: Address
    market: int
    floor: int
    signer: Address
    signature: bytes = NO_SIGNATURE


class AmendOrder(msgspec.Struct, frozen=True, kw_only=True, tag="amend_order"):
    """Makes an open order smaller: `size_lots` is its new size with what has filled. It keeps its place in the queue.

    Off chain only: the signed size stands there, of which the venue settles less. Anything else needs a new signature.
    """

    account: Address
    nonce: int
    size_lots: int
    signer: Address


class CancelMany(msgspec.Struct, frozen=True, kw_only=True, tag="cancel_many"):
    """Cancels the open orders of `account`: of one market or (0) all, of one side or (None) both, of one sub-account
    or (None) all. `is_disconnect`: its connection is gone, which had asked for this."""

    account: Address
    signer: Address
    market: int = 0
    side: int | None = None
    subaccount: int | None = None
    is_disconnect: bool = False


class CancelAllAfter(msgspec.Struct, frozen=True, kw_only=True, tag="cancel_all_after"):
    """Cancels all orders of `account` so many milliseconds from now, unless it is sent again before; 0: never mind."""

    account: Address
    signer: Address
    timeout_millis: int


class Intent(msgspec.Struct, frozen=True):
    """An order that will follow as a `PlaceOrder`: its frame, and that of what is beside it, if anything is."""

    order: bytes
    client_order_id: str = ""
    beside: bytes = b""


class Together(msgspec.Struct, frozen=True, kw_only=True, tag="together"):
    """Cancels, amends (nonce, new size) and orders that happen all or not at all.

    The cancels and amends happen with this command; the orders, each signed by the account itself, are to follow at
    once, as commands of their own, and are accepted or rejected as is decided here. `is_first`: of the orders only the
    first that may enter is accepted.
    """

    account: Address
    signer: Address
    cancels: tuple[int, ...] = ()
    amends: tuple[tuple[int, int], ...] = ()
    orders: tuple[Intent, ...] = ()
    is_first: bool = False


class OpenVenue(msgspec.Struct, frozen=True, kw_only=True, tag="open_venue"):
    """First command of every journal: which contracts, and the parameters that matching depends on."""

    chain_id: int
    vault: Address
    settlement: Address
    commitment: Address
    quote_token: Address
    quote_decimals: int
    fee_account: Address
    treasury_account: Address
    insurance_account: Address
    maker_fee_ppm: int
    taker_fee_ppm: int
    batch_interval_millis: int
    batch_gas_max: int
    fills_per_immediate_order_max: int
    operators: tuple[Address, ...] = ()
    """Who may list, pause, resume and delist markets."""
    listed_state: MarketState = MarketState.ACTIVE
    """The state in which a market begins."""
    batch_rules: BatchRules = BatchRules()
    """What Settlement takes as one batch."""
    order_rules: int = 0
    """Which orders there are: see `SetOrderRules`."""


class AdvanceTime(msgspec.Struct, frozen=True, kw_only=True, tag="advance_time"):
    """Lets timers fire while nothing else happens."""


class CloseEpoch(msgspec.Struct, frozen=True, kw_only=True, tag="close_epoch"):
    """Ends the epoch with this very command. Refused while the epoch holds no order."""


class SetFees(msgspec.Struct, frozen=True, kw_only=True, tag="set_fees"):
    """Fee schedule for orders accepted from now on."""

    maker_fee_ppm: int
    taker_fee_ppm: int


class SetOrderRules(msgspec.Struct, frozen=True, kw_only=True, tag="set_order_rules"):
    """Which orders there are. 0: limit and market orders, post-only, for the pair. 1: reduce-only and conditional ones,
    too. 2: protected ones, and those of sub-accounts. Never fewer than before; older journals say nothing, and replay
    as they were."""

    order_rules: int


class SetTradeGroup(msgspec.Struct, frozen=True, kw_only=True, tag="set_trade_group"):
    """These accounts belong to one owner, as the operator knows: their orders do not meet, unless they say that they
    may. 0: to none. Only the operator says so, or anyone could have anyone's orders expire."""

    accounts: tuple[Address, ...]
    group: int
    by: Address = Address("")


class SetBand(msgspec.Struct, frozen=True, kw_only=True, tag="set_band"):
    """How far beyond the mark (without a fresh one: the last price) an order's limit may be, in millionths: of a sale
    below it, of a purchase above it. Both 0: no band."""

    market: int
    below_ppm: int
    above_ppm: int
    by: Address = Address("")


class Reading(msgspec.Struct, frozen=True):
    """What a poster says the price is, with its signature; `time` in unix seconds."""

    poster: Address
    price_ticks: int
    time: int
    signature: str = ""


class PostMark(msgspec.Struct, frozen=True, kw_only=True, tag="post_mark"):
    """A market's mark price is the median of these readings, of an even number the lower one."""

    market: int
    readings: tuple[Reading, ...]


class SetMarketState(msgspec.Struct, frozen=True, kw_only=True, tag="set_market_state"):
    """`by`: the operator who asked for it; empty if it was the process itself."""

    market: int
    state: MarketState
    by: Address = Address("")


class SetOperators(msgspec.Struct, frozen=True, kw_only=True, tag="set_operators"):
    """Replaces the venue's operators."""

    operators: tuple[Address, ...]


class RequestMarket(msgspec.Struct, frozen=True, kw_only=True, tag="request_market"):
    """An operator asks for a new market over a new synth; the list keeper brings it on chain.

    Decided here: the market's number and that symbol and synth are not taken. The rest are the terms that
    SynthIssuer, PriceOracle and Settlement get; their bounds are checked by the contracts.
    """

    symbol: str
    synth_symbol: str
    synth_name: str
    base_atoms_per_lot: int
    quote_atoms_per_tick_lot: int
    ceiling: int
    """Most synth atoms that may be in debt."""
    initial_percent: int
    maintenance_percent: int
    bonus_percent: int
    quorum: int
    max_age_seconds: int
    max_move_ppm_per_minute: int
    by: Address


class WithdrawMarket(msgspec.Struct, frozen=True, kw_only=True, tag="withdraw_market"):
    """An operator no longer wants a market that he asked for, and that is not listed yet. Its number stays taken; its
    names are free again."""

    market: int
    by: Address


class ObservePool(msgspec.Struct, frozen=True, kw_only=True, tag="observe_pool"):
    """Reserves of a market's AMM pair at a block. Not a log: only the latest matters, and none need follow another."""

    market: int
    base_reserve: int
    quote_reserve: int
    """In units of the settlement token."""
    block_number: int
    block_time: int


class SetVenueState(msgspec.Struct, frozen=True, kw_only=True, tag="set_venue_state"):
    """Operator's state of the whole venue; the backlog gate may be stricter."""

    state: MarketState
    reason: str


class RequestApproval(msgspec.Struct, frozen=True, kw_only=True, tag="request_approval"):
    """Asks for the countersignature of a debit. `purpose` is one of withdraw, lock, burn.

    A withdrawal to be relayed carries the owner's `Withdraw` signature; the others are sent by the owner.
    """

    purpose: str
    account: Address
    token: Address
    amount: int
    destination: Address
    as_cxpt: bool
    nonce: int
    deadline: int
    signature: str
    signer: Address


class RefuseFill(msgspec.Struct, frozen=True, kw_only=True, tag="refuse_fill"):
    """The operator takes a matched fill back, because it sinks its batch.

    `by`: the operator who asked for it; empty if it was the process itself.
    """

    fill: int
    reason: str
    by: Address = Address("")


class ObserveLog(msgspec.Struct, frozen=True, kw_only=True, tag="observe_log"):
    """A final log, in the contracts' own sequence."""

    log: AnyChainLog


class ObserveBlock(msgspec.Struct, frozen=True, kw_only=True, tag="observe_block"):
    """Every log up to this block has been observed; `block_time` in unix seconds."""

    block_number: int
    block_time: int


JsonCommand = (
    OpenVenue
    | AdvanceTime
    | CloseEpoch
    | SetFees
    | SetMarketState
    | SetOperators
    | RequestMarket
    | WithdrawMarket
    | ObservePool
    | SetVenueState
    | RequestApproval
    | RefuseFill
    | ObserveLog
    | ObserveBlock
    | SetOrderRules
    | SetTradeGroup
    | SetBand
    | PostMark
    | AmendOrder
    | CancelMany
    | CancelAllAfter
    | Together
    | SetProtection
    | ResetProtection
    | SetFeeSchedule
    | ObserveCxpt
    | TransferBetween
    | RequestDeposit
    | RequestAgent
)
Command = PlaceOrder | CancelOrder | CancelAll | JsonCommand


class Codec:
    """Commands to (kind, version, payload) and back."""

    KIND_PLACE: ClassVar[int] = 1
    KIND_CANCEL: ClassVar[int] = 2
    KIND_CANCEL_ALL: ClassVar[int] = 3
    KIND_PLACE_BULK: ClassVar[int] = 4
    KIND_PLACE_BESIDE: ClassVar[int] = 5
    KIND_PLACE_BULK_BESIDE: ClassVar[int] = 6
    KIND_JSON: ClassVar[int] = 16
    VERSION: ClassVar[int] = 1
    FIELDS: ClassVar[dict[int, str]] = {
        1: f"order[{ORDER_FRAME_BYTES}] signature[65] signer[20] client_order_id[..]",
        2: "account[20] nonce[8] signer[20] signature[65]",
        3: "account[20] market[4] floor[8] signer[20] signature[65]",
        4: f"order[{ORDER_FRAME_BYTES}] signature[65] position[1] siblings[..] signer[20] client_order_id[..]",
        5: f"order[{ORDER_FRAME_BYTES}] signature[65] signer[20] beside[{BESIDE_BYTES}] client_order_id[..]",
        6: f"order[{ORDER_FRAME_BYTES}] signature[65] position[1] siblings[..] signer[20] beside[{BESIDE_BYTES}] "
        "client_order_id[..]",
        16: "json, tagged by type",
    }
    """The field table that every journal segment repeats in its header."""


_CANCEL = struct.Struct(">20sQ20s65s")
_CANCEL_ALL = struct.Struct(">20sIQ20s65s")
_PLACE_TAIL, _BULK_TAIL = struct.Struct(">65s20s"), struct.Struct(f">{BULK_SIGNATURE_BYTES}s20s")
_PLACE_TAILS = {
    Codec.KIND_PLACE: _PLACE_TAIL,
    Codec.KIND_PLACE_BULK: _BULK_TAIL,
    Codec.KIND_PLACE_BESIDE: _PLACE_TAIL,
    Codec.KIND_PLACE_BULK_BESIDE: _BULK_TAIL,
}
PLACE_KINDS = frozenset(_PLACE_TAILS)
"""Of a PlaceOrder."""
_WITH_BESIDE = (Codec.KIND_PLACE_BESIDE, Codec.KIND_PLACE_BULK_BESIDE)
_JSON_DECODER: msgspec.json.Decoder[JsonCommand] = msgspec.json.Decoder(JsonCommand)
_JSON_ENCODER = msgspec.json.Encoder()
_LOG_HEAD = b'{"type":"observe_log",'


def encode(command: Command) -> tuple[int, int, bytes]:
    """(kind, version, payload): the bytes that the journal keeps and `commandsRoot` commits to."""
    if isinstance(command, PlaceOrder):
        is_bulk = len(command.signature) == BULK_SIGNATURE_BYTES
        tail = (_BULK_TAIL if is_bulk else _PLACE_TAIL).pack(command.signature, from_hex(command.signer))
        head, name = command.order.to_frame() + tail, command.client_order_id.encode()
        if command.beside is None:
            return Codec.KIND_PLACE_BULK if is_bulk else Codec.KIND_PLACE, 1, head + name
        kind = Codec.KIND_PLACE_BULK_BESIDE if is_bulk else Codec.KIND_PLACE_BESIDE
        return kind, 1, head + command.beside.to_frame() + name
    if isinstance(command, CancelOrder):
        account, signer = from_hex(command.account), from_hex(command.signer)
        return Codec.KIND_CANCEL, 1, pack_cancel(account, command.nonce, signer, command.signature)
    if isinstance(command, CancelAll):
        account, signer = from_hex(command.account), from_hex(command.signer)
        payload = _CANCEL_ALL.pack(account, command.market, command.floor, signer, command.signature)
        return Codec.KIND_CANCEL_ALL, 1, payload
    return Codec.KIND_JSON, 1, _JSON_ENCODER.encode(command)


def pack_cancel(account: bytes, nonce: int, signer: bytes, signature: bytes) -> bytes:
    """The payload of a CancelOrder."""
    return _CANCEL.pack(account, nonce, signer, signature)


def unpack_cancel(payload: bytes) -> tuple[bytes, int, bytes, bytes]:
    """Account, nonce, signer and signature. `struct.error` for bytes that are none."""
    account, nonce, signer, signature = _CANCEL.unpack(payload)
    return account, nonce, signer, signature


def bytes_max(kind: int, payload: bytes) -> int:
    """The most that the journal takes of a command like this one."""
    is_log = kind == Codec.KIND_JSON and payload.startswith(_LOG_HEAD)
    return LOG_RECORD_BYTES_MAX if is_log else RECORD_BYTES_MAX


def _decode_place(kind: int, payload: bytes) -> PlaceOrder:
    tail, beside = _PLACE_TAILS[kind], None
    signature, signer = tail.unpack_from(payload, ORDER_FRAME_BYTES)
    order, end = Order.from_frame(payload[:ORDER_FRAME_BYTES]), ORDER_FRAME_BYTES + tail.size
    if tail is _BULK_TAIL and signer == payload[:20]:
        raise ValueError("only agents sign in bulk")
    if kind in _WITH_BESIDE:
        beside = Beside.from_frame(payload[end : end + BESIDE_BYTES])
        end += BESIDE_BYTES
    return PlaceOrder(order, signature, to_address(signer), payload[end:].decode(), beside)


def decode(kind: int, version: int, payload: bytes) -> Command:
    """Inverse of `encode`; `InvalidInput` for bytes that no version of this code wrote."""
    if version != Codec.VERSION:
        raise InvalidInput(
            f"command kind {kind} has unknown version {version}",
            remedy="Run a newer hooats",
        )
    try:
        if kind in _PLACE_TAILS:
            return _decode_place(kind, payload)
        if kind == Codec.KIND_CANCEL:
            account, nonce, signer, signature = _CANCEL.unpack(payload)
            return CancelOrder(to_address(account), nonce, to_address(signer), signature)
        if kind == Codec.KIND_CANCEL_ALL:
            account, market, floor, signer, signature = _CANCEL_ALL.unpack(payload)
            return CancelAll(to_address(account), market, floor, to_address(signer), signature)
        if kind == Codec.KIND_JSON:
            return _JSON_DECODER.decode(payload)
    except (ValueError, struct.error, msgspec.DecodeError) as error:
        raise InvalidInput(f"command kind {kind} does not decode: {error}") from error
    raise InvalidInput(f"unknown command kind {kind}", remedy="Run a newer hooats")


RECORD_HEAD = struct.Struct(">IBBQQ")
"""length of the payload, kind, version, sequence, at: the head of a journal record."""


def record_bytes(kind: int, version: int, sequence: int, at: int, payload: bytes) -> bytes:
    """A journal record, whole: what `commandsRoot`'s leaves and the epoch's data hash are made of."""
    return RECORD_HEAD.pack(len(payload), kind, version, sequence, at) + payload
