"""How much may be asked: the budgets of addresses, accounts and connections.

Invariant: whatever is refused here cost no signature and no command. Cancels have a budget of their own, so that an
account that ran out of placements can still get out.
"""

import ipaddress
import time
from functools import lru_cache

from offchain.domain.units import Address
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.metrics import Metrics
from offchain.gateway.settings import RateSettings
from offchain.security.limits import Gcra, retry_after_seconds

_MILLI = 1_000_000


class Ingress:
    """`now` is read once per question, from the monotonic clock."""

    def __init__(self, rates: RateSettings, metrics: Metrics) -> None:
        self._rates = rates
        self._metrics = metrics
        self._addresses = Gcra(rates.address)
        self._accounts = Gcra(rates.account)
        self._cancels = Gcra(rates.cancel)

    def take_address(self, address: str, weight: int) -> None:
        """Per client address; RATE_LIMITED says when to come back."""
        self._take(self._addresses, network_of(address), weight, "address")

    def take_account(self, account: Address, weight: int = 1) -> None:
        self._take(self._accounts, account, weight, "account")

    def has_account_room(self, account: Address, weight: int, now: int) -> bool:
        """Whether the account may have that much now: asked before a signature is looked at, which alone may charge."""
        if weight <= self._rates.account.burst and not self._accounts.wait(account, weight, now):
            return True
        self._metrics.limited.labels("account").inc()
        return False

    def charge_account(self, account: Address, weight: int, now: int) -> None:
        """After `has_account_room`, once it is known who signed."""
        self._accounts.charge(account, weight, now)

    def take_cancel(self, account: Address) -> None:
        self._take(self._cancels, account, 1, "cancel")

    def connection(self) -> Gcra:
        """A limit of its own for one WebSocket connection."""
        return Gcra(self._rates.connection)

    def take_message(self, limit: Gcra) -> None:
        self._take(limit, "", 1, "connection")

    def _take(self, limit: Gcra, key: object, weight: int, name: str) -> None:
        delay = limit.take(key, weight, time.monotonic_ns())
        if delay:
            self._metrics.limited.labels(name).inc()
            data = {"limit": name, "perSecond": limit.rate.per_second, "retryAfterMs": -(-delay // _MILLI)}
            headers = {"Retry-After": str(retry_after_seconds(delay))}
            raise ApiError(Code.RATE_LIMITED, f"too many requests for this {name}", data, headers)


@lru_cache(maxsize=65_536)
def network_of(address: str) -> str:
    """Whoever has one IPv6 address has its whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
