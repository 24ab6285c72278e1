"""Building and signing: exact ticks and lots, nonces that never repeat, signatures that the contracts take."""

import re
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec
from coincurve import PrivateKey

from offchain.domain import eip712
from offchain.domain.errors import InvalidInput
from offchain.domain.keccak import keccak
from offchain.domain.limits import SLOT_MAX
from offchain.domain.market import Market
from offchain.domain.order import Flags, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Digest, Ticks, to_address

_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_KINDS = {"limit": Kind.LIMIT, "market": Kind.MARKET}


class Signer:
    """A private key of 32 bytes, not printed. `account` (0x-hex): whose orders it signs, if it is an agent's."""

    __slots__ = ("_key", "account", "address")

    def __init__(self, key: bytes, account: str | None = None) -> None:
        self._key = PrivateKey(key)
        self.address: Address = to_address(keccak(self._key.public_key.format(compressed=False)[1:])[12:])
        self.account = self.address if account is None else _account(account)

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def sign(self, digest: bytes) -> str:
        """r, s and v (27 or 28) over a digest of 32 bytes, as 0x-hex."""
        raw = self._key.sign_recoverable(digest, hasher=None)
        return "0x" + raw[:64].hex() + f"{raw[64] + 27:02x}"


def _account(text: str) -> Address:
    if not _ADDRESS.fullmatch(text):
        raise InvalidInput(f"account is not an address: {text[:50]}", field="account", remedy="0x and 40 hex digits")
    return Address(text.lower())


class Nonces:
    """Per slot: milliseconds, but always above the last one, also for two orders in one millisecond."""

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._clock = clock
        self._last: dict[int, int] = {}

    def next(self, slot: int) -> int:
        """A nonce of `slot` (0..65535)."""
        sequence = max(self._clock(), self._last.get(slot, 0) + 1)
        self._last[slot] = sequence
        return make_nonce(slot, sequence)


class Slots:
    """Slots for resting orders that name none: round robin over those that are not known to be taken."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._next = 1

    def take(self) -> int:
        for _ in range(SLOT_MAX):
            slot, self._next = self._next, self._next % SLOT_MAX + 1
            if slot not in self._taken:
                return slot
        raise AssertionError("more open orders than slots")

    def mark(self, slots: set[int]) -> None:
        """Replaces what is known to be taken."""
        self._taken = slots


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a trader wants. `slot` None picks one; naming a slot replaces the order that rests in it.

    `amm`: with the market's AMM pair only, whole or not at all; IOC, FOK or market. `stop_loss_price` or
    `take_profit_price`: waits until the mark (or the last price) is there. `visible_size` to `amend` are not signed;
    `parent` and `other` are nonces of orders of the account: what they mean is in docs/orders.md.
    """

    symbol: str
    side: Literal["buy", "sell"]
    price: str
    size: str
    type: Literal["limit", "market"] = "limit"
    time_in_force: Literal["GTC", "IOC", "FOK", "GTD"] = "GTC"
    slot: int | None = None
    expiry: int = 0
    post_only: bool = False
    amm: bool = False
    max_fee_ppm: int | None = None
    client_order_id: str = ""
    reduce_only: bool = False
    stop_loss_price: str | None = None
    take_profit_price: str | None = None
    trigger_price_type: Literal["mark", "last"] = "mark"
    immediate: bool = False
    visible_size: str | None = None
    trailing_amount: str | None = None
    parent: int = 0
    other: int = 0
    self_trade_prevention: Literal["EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE"] = "EXPIRE_MAKER"
    amend: bool = False
    subaccount: int = 0
    protected: bool = False
    """Counts for the account's protection, and is cancelled when that trips."""

    @property
    def is_immediate(self) -> bool:
        return self.type == "market" or self.time_in_force in ("IOC", "FOK")

    @property
    def trigger_price(self) -> str | None:
        return self.stop_loss_price if self.take_profit_price is None else self.take_profit_price

    @property
    def flags(self) -> int:
        wanted = {
            Flags.POST_ONLY: self.post_only,
            Flags.AMM: self.amm,
            Flags.REDUCE_ONLY: self.reduce_only,
            Flags.ON_LAST: self.trigger_price is not None and self.trigger_price_type == "last",
            Flags.TAKE_PROFIT: self.take_profit_price is not None,
            Flags.IMMEDIATE: self.immediate,
            Flags.PROTECTED: self.protected,
        }
        return sum(flag for flag, is_wanted in wanted.items() if is_wanted)

    @property
    def beside(self) -> dict[str, Any]:
        """What travels beside the order, in the wire's words; a session vouches for it."""
        wishes = {
            "visibleSize": self.visible_size,
            "trailingAmount": self.trailing_amount,
            "parent": str(self.parent) if self.parent else None,
            "other": str(self.other) if self.other else None,
            "selfTradePrevention": None if self.self_trade_prevention == "EXPIRE_MAKER" else self.self_trade_prevention,
            "amend": self.amend or None,
        }
        return {name: wish for name, wish in wishes.items() if wish is not None}


class SignedOrder(NamedTuple):
    """The body to post, and the order's id. `needs_session`: for what is not signed."""

    body: dict[str, Any]
    digest: Digest
    order: Order
    needs_session: bool = False


def sign_order(
    ticket: Ticket, market: Market, nonce: int, max_fee_ppm: int, separator: bytes, by: Signer
) -> SignedOrder:
    """`InvalidInput` if the price is off tick or the size off lot."""
    order = Order(
        account=by.account,
        subaccount=ticket.subaccount,
        market=market.market,
        side=_SIDES[ticket.side],
        kind=_KINDS[ticket.type],
        time_in_force=TimeInForce[ticket.time_in_force],
        flags=ticket.flags,
        price_ticks=market.parse_price(ticket.price),
        size_lots=market.parse_size(ticket.size),
        trigger_ticks=Ticks(0) if ticket.trigger_price is None else market.parse_price(ticket.trigger_price, "trigger"),
        max_fee_ppm=max_fee_ppm,
        nonce=nonce,
        expiry=ticket.expiry,
    )
    digest = eip712.order_digest(separator, order)
    body = {
        "symbol": ticket.symbol,
        "side": ticket.side,
        "type": ticket.type,
        "timeInForce": ticket.time_in_force,
        "price": ticket.price,
        "size": ticket.size,
        "maxFeePpm": max_fee_ppm,
        "nonce": str(nonce),
        "expiry": ticket.expiry,
        "postOnly": ticket.post_only,
        "amm": ticket.amm,
        "account": by.account,
        "signature": by.sign(digest),
        "clientOrderId": ticket.client_order_id,
        "reduceOnly": ticket.reduce_only,
        "protected": ticket.protected,
        "subaccount": ticket.subaccount,
        **_condition(ticket),
        **ticket.beside,
    }
    return SignedOrder(body, Digest("0x" + digest.hex()), order, bool(ticket.beside))


def _condition(ticket: Ticket) -> dict[str, Any]:
    """Of an order with a trigger."""
    if ticket.trigger_price is None:
        return {"immediate": True} if ticket.immediate else {}
    prices = {"stopLossPrice": ticket.stop_loss_price, "takeProfitPrice": ticket.take_profit_price}
    given = {name: price for name, price in prices.items() if price is not None}
    return given | {"triggerPriceType": ticket.trigger_price_type, "immediate": ticket.immediate}
