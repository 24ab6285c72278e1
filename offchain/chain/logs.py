"""Logs of Vault and Settlement to `domain.chainlog`, by the text of their events.

Invariant: a log is decoded only if it comes from the contract that emits the event; a look-alike from elsewhere is
nothing. Events without an event sequence (roles, upgrades) are not the engine's business and decode to None.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from offchain.chain.abi import Event
from offchain.chain.replies import MalformedReply, RawLog
from offchain.domain import chainlog as c
from offchain.domain.chainlog import AnyChainLog
from offchain.domain.units import Address, to_address

REFUSAL_BYTES = 3
"""A refusal in `BatchSettled.refusals`: uint16 offset, uint8 reason."""
CHANGES_HEAD_BYTES = 21
"""Before the changes of a token in `BatchSettled.changes`: address token, uint8 count."""
CHANGE_BYTES = 37
"""A change: address account, int136 delta."""

VAULT_EVENTS: dict[str, type[AnyChainLog]] = {
    "Deposited(uint64 indexed sequence, address indexed account, address indexed token, uint256 amount,"
    " uint256 balance)": c.Deposited,
    "WithdrawalRequested(uint64 indexed sequence, address indexed account, address indexed token, uint256 amount,"
    " address destination, uint40 maturesAt)": c.WithdrawalRequested,
    "WithdrawalRequestCancelled(uint64 indexed sequence, address indexed account, address indexed token)": (
        c.WithdrawalRequestCancelled
    ),
    "Withdrawn(uint64 indexed sequence, address indexed account, address indexed token, uint256 amount,"
    " uint256 balance, address destination, bool asCxpt, uint256 approval, uint256 requestRemaining)": c.Withdrawn,
    "CollateralLocked(uint64 indexed sequence, address indexed account, uint256 amount, uint256 balance,"
    " uint256 approval, uint256 requestRemaining)": c.CollateralLocked,
    "CollateralUnlocked(uint64 indexed sequence, address indexed account, uint256 amount, uint256 balance)": (
        c.CollateralUnlocked
    ),
    "SynthMinted(uint64 indexed sequence, address indexed token, address indexed account, uint256 amount,"
    " uint256 balance)": c.SynthMinted,
    "SynthBurned(uint64 indexed sequence, address indexed token, address indexed account, uint256 amount,"
    " uint256 balance, uint256 approval, uint256 requestRemaining)": c.SynthBurned,
    "SynthRegistered(uint64 indexed sequence, address indexed token)": c.SynthRegistered,
    "LossDeclared(uint64 indexed sequence, uint256 index, uint256 newIndex, uint256 shortfall)": c.LossDeclared,
}
SETTLEMENT_EVENTS: dict[str, type[AnyChainLog]] = {
    "BatchSettled(uint64 indexed sequence, uint64 indexed first, uint64 last, bytes refusals, bytes changes)": (
        c.BatchSettled
    ),
    "AmmLegSettled(uint64 indexed sequence, uint32 indexed market, uint64 fill, bool isBuy, uint128 amountIn,"
    " uint128 amountOut)": c.AmmLegSettled,
    "MarketListed(uint64 indexed sequence, uint32 indexed market, address indexed baseToken,"
    " uint128 baseAtomsPerLot, uint64 quoteAtomsPerTickLot, uint8 baseDecimals, uint8 quoteDecimals,"
    " string symbol)": c.MarketListed,
    "OrderCancelled(uint64 indexed sequence, address indexed account, uint64 nonce, uint40 effectiveAt)": (
        c.OrderCancelledOnChain
    ),
    "AllOrdersCancelled(uint64 indexed sequence, address indexed account, uint48 floor, uint40 effectiveAt)": (
        c.AllOrdersCancelledOnChain
    ),
    "AgentRegistered(uint64 indexed sequence, address indexed account, address indexed agent, uint40 expiry,"
    " uint128 notional, uint32[] markets)": c.AgentRegistered,
    "AgentRevoked(uint64 indexed sequence, address indexed account, address indexed agent, uint40 effectiveAt)": (
        c.AgentRevoked
    ),
}

_Table = dict[bytes, tuple[Event, type[AnyChainLog]]]


def _table(events: dict[str, type[AnyChainLog]]) -> _Table:
    parsed = [(Event(declaration), log) for declaration, log in events.items()]
    return {event.topic: (event, log) for event, log in parsed}


VAULT_TABLE = _table(VAULT_EVENTS)
SETTLEMENT_TABLE = _table(SETTLEMENT_EVENTS)


class LogDecoder:
    """Decodes the logs of one deployment."""

    def __init__(self, vault: Address, settlement: Address) -> None:
        self.addresses = (vault, settlement)
        self._tables = {vault: VAULT_TABLE, settlement: SETTLEMENT_TABLE}

    def decode(self, raw: RawLog, block_time: int) -> AnyChainLog | None:
        """None for a log without an event sequence, or of another contract. `MalformedReply` if it does not decode."""
        found = self._tables.get(raw.address, {}).get(raw.topics[0] if raw.topics else b"")
        if found is None:
            return None
        event, kind = found
        values = {_snake(name): value for name, value in event.decode(raw.topics, raw.data).items()}
        values["event_sequence"] = values.pop("sequence")
        values |= {"block_number": raw.block_number, "block_time": block_time, "transaction": raw.transaction}
        for name, change in _CHANGES.items():
            if name in values:
                values[name] = change(values[name])
        try:
            return msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            raise MalformedReply(f"{event.name}: {error}") from None


def decode_refusals(packed: bytes) -> tuple[tuple[int, int], ...]:
    """(fill offset, reason) pairs."""
    if len(packed) % REFUSAL_BYTES:
        raise MalformedReply(f"{len(packed)} bytes of refusals")
    return tuple(
        (int.from_bytes(packed[at : at + 2], "big"), packed[at + 2]) for at in range(0, len(packed), REFUSAL_BYTES)
    )


def decode_changes(packed: bytes) -> tuple[tuple[Address, Address, int], ...]:
    """(token, account, delta) triples, as the contract wrote them."""
    changes: list[tuple[Address, Address, int]] = []
    at = 0
    while at < len(packed):
        rows_at = at + CHANGES_HEAD_BYTES
        token, count = packed[at : at + 20], int.from_bytes(packed[at + 20 : rows_at], "big")
        at = rows_at + count * CHANGE_BYTES
        if at > len(packed) or count == 0:
            raise MalformedReply(f"{len(packed)} bytes of changes")
        rows = (packed[row_at : row_at + CHANGE_BYTES] for row_at in range(rows_at, at, CHANGE_BYTES))
        changes += [
            (to_address(token), to_address(row[:20]), int.from_bytes(row[20:], "big", signed=True)) for row in rows
        ]
    return tuple(changes)


_CHANGES: dict[str, Callable[[Any], Any]] = {
    "account": str.lower,
    "token": str.lower,
    "destination": str.lower,
    "base_token": str.lower,
    "agent": str.lower,
    "refusals": decode_refusals,
    "changes": decode_changes,
}


def _snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)
