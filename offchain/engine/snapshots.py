"""The whole state as plain values: what the state hash covers and what a snapshot keeps.

Invariant: `load(dump(state))` gives the same hash and the same future. Maps are ordered by key in the canonical bytes,
so that the way by which a state was reached does not show.
"""

from typing import Any

import msgspec

from offchain.domain.command import OpenVenue
from offchain.domain.eip712 import domain_separator
from offchain.domain.event import AnyEvent, VenueState
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Order
from offchain.domain.units import Address, Digest
from offchain.engine.accounts import Account
from offchain.engine.book import Book, Resting
from offchain.engine.fills import Fill
from offchain.engine.ledger import Balance
from offchain.engine.state import Approval, State

VERSION = 1

_SCALARS = (
    "sequence",
    "at",
    "maker_fee_ppm",
    "taker_fee_ppm",
    "halted",
    "last_event_sequence",
    "epoch",
    "epoch_first",
    "epoch_count",
    "epoch_volume",
)
_FILL_NUMBERS = (
    "fill",
    "at",
    "market",
    "price",
    "size",
    "notional",
    "base",
    "maker_ppm",
    "taker_ppm",
    "maker_fee",
    "taker_fee",
    "taken_back",
)


def dump(state: State) -> dict[str, Any]:
    """Integers, strings, lists and maps only."""
    batches = state.batches
    return {
        "version": VERSION,
        "scalars": {name: int(getattr(state, name)) for name in _SCALARS},
        "venue": msgspec.to_builtins(state.venue),
        "states": [str(state.operator_state), str(state.gate_state), str(state.announced)],
        "markets": {
            str(number): [msgspec.to_builtins(market), str(state.market_states[number])]
            for number, market in state.markets.items()
        },
        "queues": {str(number): _queues(book) for number, book in state.books.items()},
        "accounts": {address: _account(account) for address, account in state.accounts.items()},
        "balances": {
            f"{a}:{t}": list(b.as_tuple()) for (a, t), b in state.ledger.balances.items() if any(b.as_tuple())
        },
        "batches": [batches.gas_max, batches.next_fill, batches.next_batch, batches.oldest, batches.first],
        "batch_orders": list(batches.orders),
        "closed": {str(batch): list(bounds) for batch, bounds in batches.closed.items()},
        "fills": {str(number): _fill(fill) for number, fill in batches.unsettled.items()},
        "tokens": dict.fromkeys(state.tokens, 1),
        "requests": {f"{account}:{token}": amount for (account, token), amount in state.requests.items()},
        "approvals": {str(n): [a.account, a.token, a.amount, a.deadline] for n, a in state.approvals.items()},
        "locked": {account: amount for account, amount in state.locked.items() if amount},
        "flows": dict(state.flows),
        "chain_block": list(state.chain_block),
        "timers": [list(timer) for timer in sorted(state.timers) if timer[2] == "batch"],
    }


def encode(state: State) -> bytes:
    return msgspec.json.encode(dump(state))


def canonical(value: Any) -> bytes:
    """Unambiguous bytes of plain values; maps sorted by key."""
    if value is None:
        return b"n"
    if isinstance(value, bool | int):
        text = str(int(value)).encode()
        return b"i%d:%b" % (len(text), text)
    if isinstance(value, str):
        text = value.encode()
        return b"s%d:%b" % (len(text), text)
    if isinstance(value, dict):
        parts = [canonical(key) + canonical(value[key]) for key in sorted(value)]
        return b"d%d:%b" % (len(parts), b"".join(parts))
    assert isinstance(value, list | tuple), type(value)
    return b"l%d:%b" % (len(value), b"".join(map(canonical, value)))


def load(state: State, raw: bytes) -> None:
    """Fills an empty state. ValueError for another version."""
    plain = msgspec.json.decode(raw)
    if not isinstance(plain, dict) or plain.get("version") != VERSION:
        raise ValueError("not a snapshot of this version")
    for name, number in plain["scalars"].items():
        setattr(state, name, number)
    state.halted = bool(state.halted)
    if plain["venue"] is not None:
        venue = state.venue = msgspec.convert(plain["venue"], OpenVenue)
        state.separator = domain_separator(venue.chain_id, venue.settlement)
    state.operator_state, state.gate_state, state.announced = map(VenueState, plain["states"])
    for number, (market, market_state) in plain["markets"].items():
        state.markets[int(number)] = msgspec.convert(market, Market)
        state.market_states[int(number)] = MarketState(market_state)
    by_digest = _load_accounts(state, plain["accounts"])
    for number, sides in plain["queues"].items():
        book = state.books[int(number)] = Book()
        for digests in sides:
            for digest in digests:
                book.add(by_digest[digest])
    for key, row in plain["balances"].items():
        account, token = key.split(":")
        state.ledger.balances[Address(account), Address(token)] = Balance(*row)
    _load_batches(state, plain)
    state.tokens = {Address(token): None for token in plain["tokens"]}
    for key, amount in plain["requests"].items():
        account, token = key.split(":")
        state.requests[Address(account), Address(token)] = amount
    state.approvals = {int(nonce): Approval(*row) for nonce, row in plain["approvals"].items()}
    state.locked = {Address(account): amount for account, amount in plain["locked"].items()}
    state.flows = {Address(token): amount for token, amount in plain["flows"].items()}
    state.chain_block = plain["chain_block"][0], plain["chain_block"][1]
    for timer in plain["timers"]:
        state.start_timer(*timer)
    for digest, resting in by_digest.items():
        if resting.order.expiry:
            what = f"{resting.order.account}:{digest}"
            state.start_timer(resting.order.expiry * 1000, resting.sequence, "expiry", what)


def _queues(book: Book) -> list[list[str]]:
    return [[resting.digest for level in half for resting in level] for half in book.halves]


def _account(account: Account) -> dict[str, Any]:
    return {
        "slots": {str(slot): sequence for slot, sequence in account.slots.items()},
        "immediate": account.immediate_sequence,
        "floor": account.floor,
        "cancel_only": int(account.cancel_only),
        "open": [_resting(resting) for resting in account.open.values()],
        "recent": [
            [digest, [msgspec.to_builtins(event) for event in result]] for digest, result in account.recent.items()
        ],
        "client_ids": dict(account.client_ids),
    }


def _resting(resting: Resting) -> list[Any]:
    return [
        resting.digest,
        resting.sequence,
        resting.at,
        msgspec.to_builtins(resting.order),
        resting.signature.hex(),
        resting.client_order_id,
        resting.hold_per_lot,
        resting.maker_ppm,
        resting.taker_ppm,
        resting.filled,
    ]


def _fill(fill: Fill) -> list[Any]:
    return [
        {name: int(getattr(fill, name)) for name in _FILL_NUMBERS},
        [
            [msgspec.to_builtins(fill.maker), fill.maker_digest, fill.maker_signature.hex()],
            [msgspec.to_builtins(fill.taker), fill.taker_digest, fill.taker_signature.hex()],
        ],
    ]


def _load_accounts(state: State, accounts: dict[str, Any]) -> dict[str, Resting]:
    by_digest: dict[str, Resting] = {}
    for address, row in accounts.items():
        account = state.account(Address(address))
        account.slots = {int(slot): sequence for slot, sequence in row["slots"].items()}
        account.immediate_sequence, account.floor = row["immediate"], row["floor"]
        account.cancel_only = bool(row["cancel_only"])
        account.client_ids = {name: Digest(digest) for name, digest in row["client_ids"].items()}
        for digest, result in row["recent"]:
            state.owners[Digest(digest)] = account.address
            account.recent[Digest(digest)] = msgspec.convert(result, tuple[AnyEvent, ...])
        for digest, sequence, at, order, signature, name, hold, maker_ppm, taker_ppm, filled in row["open"]:
            resting = Resting(
                sequence=sequence,
                at=at,
                digest=Digest(digest),
                order=msgspec.convert(order, Order),
                signature=bytes.fromhex(signature),
                client_order_id=name,
                hold_per_lot=hold,
                maker_ppm=maker_ppm,
                taker_ppm=taker_ppm,
                filled=filled,
            )
            account.open[resting.digest] = by_digest[digest] = resting
            state.owners[resting.digest] = account.address
            account.slot_orders[resting.order.slot] = resting.digest
    return by_digest


def _load_batches(state: State, plain: dict[str, Any]) -> None:
    batches = state.batches
    batches.gas_max, batches.next_fill, batches.next_batch, batches.oldest, batches.first = plain["batches"]
    batches.orders = {Digest(digest): None for digest in plain["batch_orders"]}
    batches.closed = {int(batch): (bounds[0], bounds[1]) for batch, bounds in plain["closed"].items()}
    for number, (numbers, sides) in plain["fills"].items():
        taken_back = bool(numbers.pop("taken_back"))
        (maker, maker_digest, maker_signature), (taker, taker_digest, taker_signature) = sides
        fill = Fill(
            **numbers,
            maker=msgspec.convert(maker, Order),
            taker=msgspec.convert(taker, Order),
            maker_digest=Digest(maker_digest),
            taker_digest=Digest(taker_digest),
            maker_signature=bytes.fromhex(maker_signature),
            taker_signature=bytes.fromhex(taker_signature),
        )
        fill.taken_back = taken_back
        batches.unsettled[int(number)] = fill
