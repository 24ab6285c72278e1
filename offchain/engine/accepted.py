"""An accepted order as a row of a snapshot, and back. There may be a million of them, nearly all of them closed.

Invariant: nothing of a closed order ever changes, so that from any time on the bytes of its row may stand for it. They
do once a snapshot was made or read: the next one has little to encode, and a start makes no object of what nobody may
ask for again.
"""

from functools import lru_cache
from typing import Any

import msgspec

from offchain.domain.order import pack_terms, unpack_terms
from offchain.domain.reasons import CloseReason
from offchain.engine.admission import open_lane
from offchain.engine.memory import Memory, key_of
from offchain.engine.orders import Account, Conditional, Lane, Moment, Ticket, Trader
from offchain.engine.state import State

Row = tuple[Any, ...]
REASONS = {str(reason): reason for reason in CloseReason}
_unpack_terms = lru_cache(maxsize=1024)(unpack_terms)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def accepted_row(ticket: Ticket) -> Row:
    """What was announced when it was accepted; one more element is its trigger."""
    moment, account = ticket.moment, ticket.trader.account
    head = ticket.key, ticket.sequence, moment.at, account.address, *_unpack_terms(ticket.lane.terms)
    prices = ticket.price, ticket.size, ticket.nonce, ticket.expiry
    row = *head, *prices, account.names.get(ticket.key, ""), moment.maker_ppm, moment.taker_ppm
    return (*row, ticket.trigger) if ticket.trigger else row


def name_of(accepted: Row) -> str:
    """The client order id in such a row."""
    return str(accepted[14])


class Places:
    """What orders have in common is looked up once."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lanes: dict[Row, tuple[Lane, Trader]] = {}
        self._moments: dict[Row, Moment] = {}

    def read(self, fields: Row) -> Ticket:
        """Open, and nowhere yet. Of a closed order nothing is kept that it was not announced with."""
        digest, sequence, at, address, subaccount, market, side, kind, force, flags, *rest_of_it = fields
        price, size, nonce, expiry, _, maker, taker, *trigger = rest_of_it
        terms, moment = (address, subaccount, market, side, kind, force, flags), (at, maker, taker)
        ticket = Ticket()
        if trigger:
            ticket = conditional = Conditional()
            (conditional.trigger,) = trigger
        try:
            ticket.lane, ticket.trader = self._lanes[terms]
        except KeyError:
            ticket.lane, ticket.trader = self._open(terms)
        try:
            ticket.moment = self._moments[moment]
        except KeyError:
            ticket.moment = self._moments[moment] = Moment(*moment)
        ticket.key, ticket.sequence = digest, sequence
        ticket.price, ticket.size, ticket.nonce, ticket.expiry = price, size, nonce, expiry
        ticket.signature, ticket.agent, ticket.max_fee_ppm = b"", None, 0
        ticket.hold_per_lot, ticket.remaining, ticket.reason, ticket.is_fresh = 0, size, None, False
        ticket.level = None
        return ticket

    def _open(self, terms: Row) -> tuple[Lane, Trader]:
        state, (address, subaccount, market, *_) = self._state, terms
        trader = state.trader(state.books[market], state.account(address), subaccount)
        found = self._lanes[terms] = open_lane(state, pack_terms(*terms[1:])), trader
        return found


# --- closed orders ---


def closed_rows(memory: Memory, account: Account) -> list[msgspec.Raw]:
    """Of an account, the oldest first; from now on they stand for the orders."""
    closed, fresh = account.closed, list[Ticket]()
    while closed and isinstance(newest := closed[-1], Ticket):
        fresh.append(newest)
        closed.pop()
    for ticket in reversed(fresh):
        row = _encode((accepted_row(ticket), ticket.filled, ticket.reason))
        memory.known[ticket.key] = row
        closed.append(row)
    return [msgspec.Raw(row) for row in closed]  # type: ignore[arg-type]


class _Named(msgspec.Struct, array_like=True):
    """As far as it has to be read to know its name; the rest is passed over."""

    key: bytes
    sequence: int
    at: int
    account: msgspec.Raw
    subaccount: int
    market: int
    side: int
    kind: int
    force: int
    flags: int
    price: int
    size: int
    nonce: int
    expiry: int
    name: str


class _Closed(msgspec.Struct, array_like=True):
    accepted: _Named


_decode_name = msgspec.msgpack.Decoder(_Closed).decode


def remember_closed(memory: Memory, account: Account, rows: list[msgspec.Raw]) -> None:
    """The closed orders of an account, the oldest first. ValueError for what is no such row."""
    known, closed = memory.known, account.closed
    for raw in rows:
        row = bytes(raw)
        named = _decode_name(row).accepted
        if key_of(row) != named.key:
            raise ValueError("a closed order is not in its canonical form")
        known[named.key] = row
        closed.append(row)
        if named.name:
            account.client_ids[named.name] = named.key
            account.names[named.key] = named.name


def read_closed(state: State, row: bytes) -> Ticket:
    """A closed order, as it was."""
    fields, filled, reason = _decode(row)
    ticket = Places(state).read(fields)
    ticket.remaining -= filled
    ticket.reason = REASONS[reason]
    return ticket
