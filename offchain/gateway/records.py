"""An order and a fill as the read model keeps them: what events said, in integers, and the fold of one more event.

Invariant: `filled_lots` + `remaining_lots` = `size_lots`, and `cost_atoms` and `fee_atoms` are the sums over the
order's fills (None where the fills are older than the gateway's snapshot; the history knows).
"""

from enum import StrEnum

import msgspec

from offchain.domain.event import (
    AmmFillImproved,
    AmmFillMatched,
    AnyEvent,
    BalanceChanged,
    BatchClosed,
    CloseReason,
    FillMatched,
    FillRefused,
    FillSettled,
    FillTakenBack,
    OrderAccepted,
    OrderAmended,
)
from offchain.domain.market import Market
from offchain.domain.order import OrderStatus
from offchain.domain.reasons import FAULTLESS, REFUSAL_TAKER_BIT, RefusalCause
from offchain.domain.relayed import RelayRequest
from offchain.domain.units import Address, Atoms, Digest, Lots, Ticks
from offchain.engine.ledger import Balance
from offchain.engine.orders import Ticket
from offchain.engine.state import balance_event
from offchain.storage.history import AMM

STATUS_OF: dict[str, OrderStatus] = {
    **dict.fromkeys(CloseReason, OrderStatus.CANCELED),
    CloseReason.FILLED: OrderStatus.CLOSED,
    CloseReason.EXPIRED: OrderStatus.EXPIRED,
}


class RelayRecord(msgspec.Struct):
    """What the relay was asked for, by its command's number; `transaction` is None while it may still be carried out,
    empty if it lapsed."""

    digest: Digest
    number: int
    request: RelayRequest
    transaction: str | None = None


class OrderRecord(msgspec.Struct, kw_only=True):
    """Times in unix milliseconds; `reason` is "" while open."""

    digest: Digest
    account: Address
    sequence: int
    at: int
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
    subaccount: int = 0
    trigger_ticks: int = 0
    is_waiting: bool = False
    """For its trigger, or for another order."""
    filled_lots: int = 0
    cost_atoms: int | None = 0
    fee_atoms: int | None = 0
    last_trade_at: int | None = None
    updated_at: int = 0
    status: OrderStatus = OrderStatus.OPEN
    reason: str = ""

    @classmethod
    def accepted(cls, event: OrderAccepted) -> "OrderRecord":
        known = 0 if event.filled_lots == 0 else None
        return cls(
            digest=event.digest,
            account=event.account,
            sequence=event.sequence,
            at=event.at,
            market=event.market,
            side=event.side,
            kind=event.kind,
            time_in_force=event.time_in_force,
            flags=event.flags,
            price_ticks=event.price_ticks,
            size_lots=event.size_lots,
            nonce=event.nonce,
            expiry=event.expiry,
            client_order_id=event.client_order_id,
            subaccount=event.subaccount,
            trigger_ticks=event.trigger_ticks,
            is_waiting=event.is_waiting,
            filled_lots=event.filled_lots,
            cost_atoms=known,
            fee_atoms=known,
            updated_at=event.at,
        )

    @property
    def remaining_lots(self) -> int:
        return self.size_lots - self.filled_lots

    def move(self, size: Lots, notional: int, fee: int, at: int) -> None:
        """A fill, or with negative numbers its refusal."""
        self.filled_lots += size
        if self.cost_atoms is not None and self.fee_atoms is not None:
            self.cost_atoms += notional
            self.fee_atoms += fee
        self.updated_at = at
        if size > 0:
            self.last_trade_at = at

    def amend(self, event: OrderAmended, at: int) -> None:
        self.size_lots, self.updated_at = event.size_lots, at

    def trigger(self, at: int) -> None:
        """It waits no more."""
        self.is_waiting, self.updated_at = False, at

    def close(self, reason: CloseReason, at: int) -> None:
        self.status = STATUS_OF[reason]
        self.reason = str(reason)
        self.is_waiting = False
        self.updated_at = at


class Unfilled(msgspec.Struct, frozen=True):
    """An order of which nothing is filled, as it was at some moment: its record is made when somebody asks for it.
    `closed_at` is 0 while it is open."""

    ticket: Ticket
    size_lots: int
    closed_at: int

    @property
    def account(self) -> Address:
        return self.ticket.account.address

    def record(self) -> OrderRecord:
        order = OrderRecord.accepted(self.ticket.accepted)
        order.size_lots = self.size_lots
        if self.closed_at:
            assert self.ticket.reason is not None
            order.close(self.ticket.reason, self.closed_at)
        return order


class Kept(msgspec.Struct, frozen=True):
    """A balance as it was at some moment, in the sums that the ledger keeps."""

    balance: Balance
    settled: int
    funds: int
    taken: int
    owed: int
    leaving: int

    @property
    def event(self) -> BalanceChanged:
        of = self.balance
        then = Balance(of.account, of.token)
        then.settled, then.funds, then.taken = self.settled, self.funds, self.taken
        then.owed, then.leaving = self.owed, self.leaving
        return balance_event(then)


class FillState(StrEnum):
    MATCHED = "MATCHED"
    BATCHED = "BATCHED"
    SETTLED = "SETTLED"
    REFUSED = "REFUSED"


class FillRecord(msgspec.Struct, kw_only=True):
    """Both legs of a fill. `reason` is that of a refusal, or why the operator takes it back.

    With an AMM pair there is only the taker's leg: `maker` is AMM, `price_ticks` the nearest tick, `notional` exact.
    """

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
    notional: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    maker_fee: int
    taker_fee: int
    state: FillState = FillState.MATCHED
    batch: int | None = None
    transaction: str = ""
    reason: str = ""
    surplus_atoms: int = 0
    """What the pair gave the taker beyond the promise: base of a buy, quote of a sale. 0 also where it is not known."""

    @classmethod
    def matched(cls, event: FillMatched, market: Market) -> "FillRecord":
        notional: Atoms = market.notional(Ticks(event.price_ticks), Lots(event.size_lots))
        return cls(
            fill=event.fill,
            market=event.market,
            at=event.at,
            maker_digest=event.maker_digest,
            taker_digest=event.taker_digest,
            maker=event.maker,
            taker=event.taker,
            taker_side=event.taker_side,
            price_ticks=event.price_ticks,
            size_lots=event.size_lots,
            notional=notional,
            maker_fee_ppm=event.maker_fee_ppm,
            taker_fee_ppm=event.taker_fee_ppm,
            maker_fee=event.maker_fee,
            taker_fee=event.taker_fee,
        )

    @classmethod
    def matched_by_pair(cls, event: AmmFillMatched, market: Market) -> "FillRecord":
        per_tick = event.size_lots * market.quote_atoms_per_tick_lot
        return cls(
            fill=event.fill,
            market=event.market,
            at=event.at,
            maker_digest=Digest(""),
            taker_digest=event.taker_digest,
            maker=AMM,
            taker=event.taker,
            taker_side=event.taker_side,
            price_ticks=(2 * event.quote + per_tick) // (2 * per_tick),
            size_lots=event.size_lots,
            notional=event.quote,
            maker_fee_ppm=0,
            taker_fee_ppm=event.taker_fee_ppm,
            maker_fee=0,
            taker_fee=event.taker_fee,
        )

    @property
    def is_amm(self) -> bool:
        return self.maker == AMM

    @property
    def accounts(self) -> set[Address]:
        """Whose fill it is."""
        return {self.taker} if self.is_amm else {self.maker, self.taker}

    def advance(self, event: AnyEvent) -> None:
        """MATCHED -> BATCHED -> SETTLED | REFUSED."""
        match event:
            case BatchClosed(batch=batch):
                self.state, self.batch = FillState.BATCHED, batch
            case FillSettled(transaction=transaction):
                self.state, self.transaction = FillState.SETTLED, transaction
            case FillRefused(transaction=transaction, reason=reason):
                self.state, self.transaction, self.reason = FillState.REFUSED, transaction, refusal_words(reason)
            case FillTakenBack(reason=text):
                self.reason = text
            case AmmFillImproved(amount=amount):
                self.surplus_atoms += amount
            case _:
                pass


def refusal_words(reason: int) -> str:
    """`MAKER_BALANCE`: who is at fault, and the cause; the cause alone (`AMM`, `GROUP`) if nobody is."""
    if reason in FAULTLESS:
        return RefusalCause(reason).name
    party = "TAKER" if reason & REFUSAL_TAKER_BIT else "MAKER"
    cause = reason & ~REFUSAL_TAKER_BIT
    try:
        return f"{party}_{RefusalCause(cause).name}"
    except ValueError:
        return f"{party}_{cause}"
