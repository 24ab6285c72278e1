"""Who remembers orders, and for how long.

Invariant: a digest is known while its order is open and for the last 10,000 closed and rejected ones of its account; a
client order id while its order is open or among those closed. So the same request gets the first result. Only orders of
accounts that the chain has named are remembered: memory costs somebody gas.
"""

from collections.abc import Iterable

from offchain.domain.event import OrderRejected
from offchain.domain.limits import RECENT_ORDERS_PER_ACCOUNT
from offchain.domain.units import from_hex
from offchain.engine.orders import Account, Ticket

_KEY = slice(6, 38)
"""In a row: three elements, of which the first has at least sixteen, and begins with the digest."""


def key_of(row: bytes) -> bytes:
    """The digest in the row of a closed order; see `accepted`."""
    return row[_KEY]


PARTS = 256


class Known:
    """First results by digest, in parts by its first byte: a table that outgrows itself is built anew, and while one of
    a million orders was, everybody waited for tens of milliseconds."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[dict[bytes, Ticket | bytes | OrderRejected]] = [{} for _ in range(PARTS)]

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, bytes)
        return key in self.parts[key[0]]

    def __getitem__(self, key: bytes) -> Ticket | bytes | OrderRejected:
        return self.parts[key[0]][key]

    def __setitem__(self, key: bytes, order: Ticket | bytes | OrderRejected) -> None:
        self.parts[key[0]][key] = order

    def __delitem__(self, key: bytes) -> None:
        del self.parts[key[0]][key]

    def update(self, orders: Iterable[tuple[bytes, Ticket | bytes | OrderRejected]]) -> None:
        parts = self.parts
        for key, order in orders:
            parts[key[0]][key] = order

    def get(self, key: bytes) -> Ticket | bytes | OrderRejected | None:
        """None also for what is no digest."""
        return self.parts[key[0]].get(key) if key else None

    def has_any(self, keys: Iterable[bytes]) -> bool:
        parts = self.parts
        for key in keys:  # noqa: SIM110 - half the time of a generator
            if key in parts[key[0]]:
                return True
        return False


class Memory:
    """Which orders are known: open and closed ones by their tickets, closed ones also by their rows. By digest."""

    __slots__ = ("known", "limit")

    def __init__(self, limit: int = RECENT_ORDERS_PER_ACCOUNT) -> None:
        self.known = Known()
        self.limit = limit

    def remember(self, ticket: Ticket, client_order_id: str) -> None:
        """An order that was accepted; a rejection of the same order is forgotten."""
        account, key = ticket.trader.account, ticket.key
        account.rejected.pop(key, None)
        if client_order_id:
            account.client_ids[client_order_id] = key
            account.names[key] = client_order_id
        self.known[key] = ticket

    def forget_oldest(self, account: Account) -> None:
        """Of its closed orders."""
        oldest = account.closed.popleft()
        key = oldest.key if isinstance(oldest, Ticket) else key_of(oldest)
        del self.known[key]
        name = account.names.pop(key, "")
        if name:
            del account.client_ids[name]

    def remember_rejected(self, account: Account, rejected: OrderRejected) -> None:
        """Keeps a first result; an order that is known already keeps the one it has."""
        key = from_hex(rejected.digest)
        if key in self.known:
            return
        self.known[key] = rejected
        account.rejected[key] = rejected
        if len(account.rejected) > self.limit:
            forgotten, _ = account.rejected.popitem(last=False)
            del self.known[forgotten]
