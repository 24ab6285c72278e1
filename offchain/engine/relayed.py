"""What the relay was asked for within the last hour, and what came of it.

Invariant: as long as a request could be carried out it is here, by its digest, so that nobody has it sent twice; what
is older is nowhere in the state, whether anybody looked since or not.
"""

from collections.abc import Iterator
from typing import Any

from offchain.domain.event import RelayEnded, RelayRequested
from offchain.domain.limits import RELAY_SECONDS_MAX
from offchain.domain.relayed import RelayRequest, RequestAgent, RequestDeposit
from offchain.domain.units import Address, Digest
from offchain.engine.timers import Timers

_MEMORY_MILLIS = RELAY_SECONDS_MAX * 1000
_DEPOSIT = ["account", "token_domain", "signature", "signer", "deadline"]
_DEPOSIT_BIG = ["amount", "nonce"]
_AGENT = ["account", "agent", "expiry", "markets", "signature", "signer", "deadline"]
_AGENT_BIG = ["notional", "nonce"]


class Entry:
    """`at`: unix millis of its command. `ended` is None while the chain may still carry it out."""

    __slots__ = ("at", "ended", "is_stranger", "told")

    def __init__(self, told: RelayRequested, at: int, is_stranger: bool) -> None:
        self.told = told
        self.at = at
        self.is_stranger = is_stranger
        self.ended: RelayEnded | None = None


class Relayed:
    """By number, oldest first. `pass_time` comes before any question."""

    __slots__ = ("_by_account", "_by_digest", "_deadlines", "_entries", "strangers")

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._by_digest: dict[Digest, int] = {}
        self._by_account: dict[Address, dict[int, None]] = {}
        self._deadlines = Timers()
        """Of those that have not ended, in unix seconds of the chain."""
        self.strangers = 0
        """Requests of accounts that had no balance."""

    def __len__(self) -> int:
        return len(self._entries)

    def pass_time(self, at: int) -> None:
        """Forgets what is too old to be carried out."""
        while self._entries:
            number, entry = next(iter(self._entries.items()))
            if entry.at + _MEMORY_MILLIS > at:
                return
            del self._entries[number], self._by_digest[entry.told.digest]
            numbers = self._by_account[entry.told.request.account]
            del numbers[number]
            if not numbers:
                del self._by_account[entry.told.request.account]
            self._deadlines.cancel(number)
            self.strangers -= entry.is_stranger

    def knows(self, digest: Digest) -> bool:
        return digest in self._by_digest

    def count_of(self, account: Address) -> int:
        return len(self._by_account.get(account, ()))

    def open_of(self, account: Address) -> Iterator[RelayRequested]:
        """Those that have not ended, oldest first."""
        for number in self._by_account.get(account, ()):
            if self._entries[number].ended is None:
                yield self._entries[number].told

    def add(self, told: RelayRequested, at: int, *, is_stranger: bool) -> None:
        self._entries[told.number] = Entry(told, at, is_stranger)
        self._by_digest[told.digest] = told.number
        self._by_account.setdefault(told.request.account, {})[told.number] = None
        self._deadlines.set(told.number, told.request.deadline)
        self.strangers += is_stranger

    def end(self, number: int, transaction: str) -> RelayEnded:
        entry = self._entries[number]
        told = entry.told
        entry.ended = RelayEnded(
            number=number, digest=told.digest, account=told.request.account, transaction=transaction
        )
        self._deadlines.cancel(number)
        return entry.ended

    def late(self, block_time: int) -> int | None:
        """One whose deadline no block from now on can meet."""
        earliest = self._deadlines.earliest()
        return None if earliest is None or earliest[0] >= block_time else earliest[1]

    def describe(self, at: int) -> Iterator[RelayRequested | RelayEnded]:
        for entry in self._fresh(at):
            yield entry.told
            if entry.ended is not None:
                yield entry.ended

    # --- in a snapshot ---

    def rows(self, at: int) -> list[list[Any]]:
        return [
            [
                entry.told.number,
                entry.told.digest,
                entry.at,
                entry.is_stranger,
                None if entry.ended is None else entry.ended.transaction,
                *_request_row(entry.told.request),
            ]
            for entry in self._fresh(at)
        ]

    def read(self, rows: list[list[Any]]) -> None:
        for number, digest, at, is_stranger, transaction, *request in rows:
            told = RelayRequested(number=number, digest=digest, request=_read_request(request))
            self.add(told, at, is_stranger=is_stranger)
            if transaction is not None:
                self.end(number, transaction)

    def _fresh(self, at: int) -> Iterator[Entry]:
        return (entry for entry in self._entries.values() if entry.at + _MEMORY_MILLIS > at)


def _request_row(request: RelayRequest) -> list[Any]:
    is_deposit = isinstance(request, RequestDeposit)
    names, big = (_DEPOSIT, _DEPOSIT_BIG) if is_deposit else (_AGENT, _AGENT_BIG)
    plain = [getattr(request, name) for name in names]
    return ["deposit" if is_deposit else "agent", plain, [str(getattr(request, name)) for name in big]]


def _read_request(row: list[Any]) -> RelayRequest:
    kind, plain, texts = row
    names, big = (_DEPOSIT, _DEPOSIT_BIG) if kind == "deposit" else (_AGENT, _AGENT_BIG)
    values = dict(zip(names, plain, strict=True)) | dict(zip(big, map(int, texts), strict=True))
    if kind == "deposit":
        return RequestDeposit(**values)
    return RequestAgent(**values | {"markets": tuple(values["markets"])})
