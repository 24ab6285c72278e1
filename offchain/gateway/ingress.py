"""How much may be asked: the budgets of everyone together, of addresses, routes, accounts and connections.

    everyone -> address (banned?) -> address on this route -> [signature or session] -> account (banned?)

Invariant: whatever is refused here cost no signature and no command, and memory is bounded whoever asks. Cancels have
budgets of their own at every level and are never banned: who ran out of placements can still get out.
"""

import ipaddress
import time
from functools import lru_cache

from offchain.domain.units import Address
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.metrics import Metrics
from offchain.gateway.settings import RateSettings
from offchain.security.limits import Bans, Gcra, Rate, retry_after_seconds

_MILLI = 1_000_000


class Ingress:
    """`now` is read once per question, from the monotonic clock. Every `take` raises RATE_LIMITED with when to come
    back."""

    def __init__(self, rates: RateSettings, metrics: Metrics) -> None:
        self._rates = rates
        self._metrics = metrics
        self._everyone = Gcra(rates.everyone)
        self._everyone_cancels = Gcra(rates.everyone_cancel)
        self._addresses = Gcra(rates.address)
        self._address_cancels = Gcra(rates.address_cancel)
        self._handshakes = Gcra(rates.handshake)
        self._accounts = Gcra(rates.account)
        self._cancels = Gcra(rates.cancel)
        self._routes: dict[str, Gcra] = {}
        self._banned_addresses = Bans(rates.ban)
        self._banned_accounts = Bans(rates.ban)

    def take_address(self, address: str, weight: int, *, is_cancel: bool = False) -> None:
        """Of the client's address and of everyone together, or of neither."""
        network = network_of(address)
        if is_cancel:
            limit, name, bans = self._address_cancels, "addressCancel", None
            everyone, shared = self._everyone_cancels, "everyoneCancel"
        else:
            limit, name, bans = self._addresses, "address", self._banned_addresses
            everyone, shared = self._everyone, "everyone"
        now = time.monotonic_ns()
        if delay := everyone.wait("", weight, now):
            self._refuse(shared, everyone.rate, delay)
        self._take(limit, network, weight, name, bans)
        everyone.charge("", weight, now)

    def take_route(self, address: str, path: str, rate: Rate) -> None:
        """One request of an expensive route, per address."""
        limit = self._routes.setdefault(path, Gcra(rate))
        self._take(limit, network_of(address), 1, "route", self._banned_addresses)

    def take_handshake(self, address: str) -> None:
        """A TCP connection, or its upgrade to a WebSocket."""
        self._take(self._handshakes, network_of(address), 1, "handshake")

    def take_account(self, account: Address, weight: int = 1) -> None:
        self._take(self._accounts, account, weight, "account", self._banned_accounts)

    def account_room(self, account: Address, now: int) -> int:
        """How many orders the account may place now: asked before a signature is looked at, which alone may charge.

        Being refused for want of it brings no ban: anybody can send in another's name.
        """
        return 0 if self._banned_accounts.left(account, now) else self._accounts.room(account, now)

    def note_no_room(self, account: Address, now: int) -> None:
        """One order was refused for want of it."""
        self._metrics.limited.labels("ban" if self._banned_accounts.left(account, now) else "account").inc()

    def charge_account(self, account: Address, weight: int, now: int) -> None:
        """After `account_room`, once it is known who signed."""
        self._accounts.charge(account, weight, now)

    def take_cancel(self, account: Address) -> None:
        self._take(self._cancels, account, 1, "cancel")

    def connection(self) -> Gcra:
        """A limit of its own for one WebSocket connection."""
        return Gcra(self._rates.connection)

    def take_message(self, limit: Gcra) -> None:
        self._take(limit, "", 1, "connection")

    def _take(self, limit: Gcra, key: object, weight: int, name: str, bans: Bans | None = None) -> None:
        now = time.monotonic_ns()
        delay = 0 if bans is None else bans.left(key, now)
        is_banned = delay > 0
        if not is_banned:
            delay = limit.take(key, weight, now)
            if delay and bans is not None:
                ban = bans.refused(key, delay, now)
                is_banned, delay = ban > 0, max(delay, ban)
        if delay:
            self._refuse(name, limit.rate, delay, is_banned)

    def _refuse(self, name: str, rate: Rate, delay: int, is_banned: bool = False) -> None:
        self._metrics.limited.labels("ban" if is_banned else name).inc()
        data = {
            "limit": name,
            "perSecond": rate.per_second,
            "retryAfterMs": -(-delay // _MILLI),
            "banned": is_banned,
        }
        headers = {"Retry-After": str(retry_after_seconds(delay))}
        words = "went on after refusals, and waits now" if is_banned else "has no budget left for this"
        raise ApiError(Code.RATE_LIMITED, f"too many requests: {name} {words}", data, headers)


class Crowd:
    """How many connections are open, in all and from one network."""

    def __init__(self, all_max: int, network_max: int) -> None:
        self._all_max = all_max
        self._network_max = network_max
        self._inside: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        return self._count >= self._all_max

    def enter(self, address: str) -> bool:
        """False if it is full, or full for this address; only who entered leaves."""
        network = network_of(address)
        count = self._inside.get(network, 0)
        if self.is_full or count >= self._network_max:
            return False
        self._inside[network] = count + 1
        self._count += 1
        return True

    def leave(self, address: str) -> None:
        network = network_of(address)
        self._count -= 1
        self._inside[network] -= 1
        if not self._inside[network]:
            del self._inside[network]


@lru_cache(maxsize=65_536)
def network_of(address: str) -> str:
    """Whoever has one IPv6 address has its whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:  # of a socket that listens to both
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


class Proxies:
    """Whose X-Forwarded-For is believed, as uvicorn reads it: addresses and networks, or `*`."""

    def __init__(self, trusted: str) -> None:
        names = [name.strip() for name in trusted.split(",") if name.strip()]
        self._is_any = "*" in names
        self._names = set(names)
        self._networks = [network for name in names if (network := _network(name)) is not None]

    def __contains__(self, address: str) -> bool:
        if self._is_any or address in self._names:
            return True
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        return None
