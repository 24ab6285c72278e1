"""A small venue for tests of the engine: accounts, one market, and a bench that stamps sequence and time."""

from typing import Any

import msgspec

from offchain.domain.batch import PACKED_RULES, batch_rules
from offchain.domain.chainlog import AnyChainLog, BatchSettled, Deposited, MarketListed, SynthRegistered
from offchain.domain.command import (
    AdvanceTime,
    CancelAll,
    CancelOrder,
    Command,
    ObserveBlock,
    ObserveLog,
    OpenVenue,
    PlaceOrder,
    RequestApproval,
)
from offchain.domain.event import AnyEvent, OrderAccepted, OrderRejected
from offchain.domain.limits import BLOCK_GAS_LIMIT, FILLS_PER_IMMEDIATE_ORDER_MAX
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine.engine import Engine
from offchain.engine.ledger import Balance

BUY, SELL = Side.BUY, Side.SELL
GTC, GTD, IOC, FOK = TimeInForce.GTC, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK
START = 1_700_000_000_000
"""Unix millis of the first command."""


def address(number: int) -> Address:
    return Address(f"0x{number:040x}")


VAULT, SETTLEMENT, COMMITMENT, QUOTE, BASE, OTHER = (address(0xC0 + number) for number in range(6))
FEES, TREASURY, INSURANCE = address(0xFE), address(0xFD), address(0xFC)
ALICE, BOB, CAROL, DAVE = (address(0xA0 + number) for number in range(4))
STRANGER = address(0x57)
BASE_ATOMS, QUOTE_ATOMS = 10**12, 100
"""Of the market: base atoms per lot, quote atoms per tick and lot."""
RICH = 10**12

VENUE = OpenVenue(
    chain_id=998,
    vault=VAULT,
    settlement=SETTLEMENT,
    commitment=COMMITMENT,
    quote_token=QUOTE,
    quote_decimals=6,
    fee_account=FEES,
    treasury_account=TREASURY,
    insurance_account=INSURANCE,
    maker_fee_ppm=1_000,
    taker_fee_ppm=2_500,
    batch_interval_millis=1_000,
    batch_gas_max=1_400_000,
    fills_per_immediate_order_max=13,
)


PACKED_VENUE = msgspec.structs.replace(
    VENUE, batch_rules=PACKED_RULES, fills_per_immediate_order_max=FILLS_PER_IMMEDIATE_ORDER_MAX
)
"""As the first nodes with packed batches opened it: VENUE has the rules of old journals."""
ITEMIZED_VENUE = msgspec.structs.replace(PACKED_VENUE, batch_rules=batch_rules(BLOCK_GAS_LIMIT))
"""As a node opens it."""

WISHFUL_VENUE = msgspec.structs.replace(ITEMIZED_VENUE, order_rules=1)
"""With conditional orders, and all that is beside an order."""
RULED_VENUE = msgspec.structs.replace(WISHFUL_VENUE, order_rules=2)
"""With every kind of order."""


def market_log(event_sequence: int, market: int = 1, base: Address = BASE) -> MarketListed:
    return MarketListed(
        event_sequence=event_sequence,
        block_number=1,
        block_time=START // 1000,
        transaction="0x01",
        market=market,
        base_token=base,
        base_atoms_per_lot=BASE_ATOMS,
        quote_atoms_per_tick_lot=QUOTE_ATOMS,
        base_decimals=18,
        quote_decimals=6,
        symbol=f"BASE{market}-USDC",
    )


class Bench:
    """An engine with a clock of its own. `events` are those of the last command."""

    def __init__(self, venue: OpenVenue | None = VENUE, at: int = START) -> None:
        self.engine = Engine()
        self.at = at
        self.log: list[tuple[int, int, Command]] = []
        self.events: tuple[AnyEvent, ...] = ()
        self.nonce = 0
        if venue is not None:
            self.do(venue)

    def do(self, command: Command, after: int = 1) -> tuple[AnyEvent, ...]:
        """Applies a command, `after` millis later than the last one."""
        self.at += after
        self.log.append((self.engine.sequence + 1, self.at, command))
        self.events = self.engine.apply(*self.log[-1])
        return self.events

    def wait(self, millis: int) -> tuple[AnyEvent, ...]:
        return self.do(AdvanceTime(), millis)

    # --- the chain ---

    def see(self, kind: type[AnyChainLog], **fields: Any) -> tuple[AnyEvent, ...]:
        """The next final log; `balance` is filled in unless it is given."""
        place = {
            "event_sequence": self.engine.last_event_sequence + 1,
            "block_number": 1,
            "block_time": self.at // 1000,
            "transaction": "0x02",
        }
        return self.do(ObserveLog(log=kind(**{**place, **fields})))

    def fund(self, account: Address, quote: int = 0, base: int = 0) -> None:
        """Deposits of both tokens; `base` in lots."""
        for token, amount in ((QUOTE, quote), (BASE, base * BASE_ATOMS)):
            if amount:
                balance = self.balance(account, token).settled + amount
                self.see(Deposited, account=account, token=token, amount=amount, balance=balance)

    def settle(self, *refusals: tuple[int, int]) -> tuple[AnyEvent, ...]:
        """The chain's log of the next batch."""
        batch = self.engine.batches.next_batch
        assert batch is not None
        return self.see(BatchSettled, first=batch.first, last=batch.last, refusals=refusals)

    def block(self, time: int, number: int = 2) -> tuple[AnyEvent, ...]:
        return self.do(ObserveBlock(block_number=number, block_time=time))

    # --- traders ---

    def place(
        self,
        account: Address,
        side: Side,
        price: int,
        size: int,
        *,
        slot: int | None = None,
        tif: TimeInForce = GTC,
        kind: Kind = Kind.LIMIT,
        flags: int = 0,
        expiry: int = 0,
        sequence: int | None = None,
        client_order_id: str = "",
        signer: Address | None = None,
        **other: Any,
    ) -> tuple[AnyEvent, ...]:
        """An order in a slot of its own (slot 0 if it is immediate), unless they are given."""
        self.nonce += 1
        is_immediate = tif in (IOC, FOK) or kind is Kind.MARKET
        chosen = slot if slot is not None else 0 if is_immediate else self.nonce
        nonce = make_nonce(chosen, START + self.nonce if sequence is None else sequence)
        order = Order(
            account=account,
            subaccount=other.get("subaccount", 0),
            market=other.get("market", 1),
            side=side,
            kind=kind,
            time_in_force=tif,
            flags=flags,
            price_ticks=Ticks(price),
            size_lots=Lots(size),
            trigger_ticks=Ticks(other.get("trigger", 0)),
            max_fee_ppm=other.get("max_fee", 10_000),
            nonce=nonce,
            expiry=expiry,
        )
        signature = self.nonce.to_bytes(64, "big") + b"\x1b"
        return self.do(PlaceOrder(order, signature, signer or account, client_order_id, other.get("beside")))

    def cancel(self, account: Address, nonce: int, signer: Address | None = None) -> tuple[AnyEvent, ...]:
        return self.do(CancelOrder(account, nonce, signer or account))

    def cancel_all(
        self, account: Address, market: int = 0, floor: int = 0, signer: Address | None = None
    ) -> tuple[AnyEvent, ...]:
        return self.do(CancelAll(account, market, floor, signer or account))

    def approve(self, account: Address, amount: int, **fields: Any) -> tuple[AnyEvent, ...]:
        values: dict[str, Any] = {
            "purpose": "withdraw",
            "account": account,
            "token": QUOTE,
            "amount": amount,
            "destination": account,
            "as_cxpt": False,
            "nonce": 1,
            "deadline": 0,
            "signature": "",
            "signer": account,
        }
        return self.do(RequestApproval(**{**values, **fields}))

    # --- looking ---

    def balance(self, account: Address, token: Address = QUOTE) -> Balance:
        return self.engine.ledger.find(account, token) or Balance(account, token)

    def levels(self, side: Side, market: int = 1) -> list[tuple[int, int]]:
        """(price, size), best first."""
        return [(level.price, level.size) for level in self.engine.books[market].ladder(side).best_first()]

    def only(self, kind: type[Any]) -> Any:
        """The one event of this kind of the last command."""
        (event,) = self.all(kind)
        return event

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def accepted(self) -> OrderAccepted:
        event: OrderAccepted = self.only(OrderAccepted)
        return event

    @property
    def rejection(self) -> str:
        event: OrderRejected = self.only(OrderRejected)
        return event.reason


def open_market(quote: int = RICH, base: int = RICH, venue: OpenVenue = VENUE) -> Bench:
    """A venue with one market, and Alice, Bob and Carol funded."""
    bench = Bench(venue)
    bench.see(SynthRegistered, token=BASE)
    bench.do(ObserveLog(log=market_log(2)))
    for account in (ALICE, BOB, CAROL):
        bench.fund(account, quote, base)
    return bench
