"""Keys that sign orders for an account: until when, in which markets, and for how much more.

Invariant: what a budget has left is its notional less what its orders have traded, less what those that are open may
still trade at their own prices; one that waits does not count before it enters. So no fill is matched that the chain
would refuse for the agent's sake, unless the account ends the agent meanwhile.
"""

from __future__ import annotations

from offchain.domain.event import AgentChanged
from offchain.domain.limits import AGENT_UNLIMITED
from offchain.domain.units import from_hex


class Agent:
    """One key of one account, as the chain registered it last."""

    __slots__ = ("ends_at", "key", "left", "markets", "notional", "since")

    def __init__(self, terms: AgentChanged, last_fill: int) -> None:
        self.key = from_hex(terms.agent)
        self.ends_at = 0 if terms.is_revoked else terms.expiry * 1000
        """Unix millis from which on it signs nothing more."""
        self.markets = terms.markets
        """Empty: every market."""
        self.notional = terms.notional
        self.left: int | None = None if terms.notional == AGENT_UNLIMITED else terms.notional
        """Quote atoms that it may still trade; None: no limit."""
        self.since = last_fill
        """Later fills are on the account of this registration."""

    def is_entitled(self, at: int, market: int) -> bool:
        return at < self.ends_at and (not self.markets or market in self.markets)

    def affords(self, notional: int) -> bool:
        """Whether it may still trade that much."""
        return self.left is None or notional <= self.left

    def spend(self, notional: int) -> None:
        """Or gives back what is below 0."""
        if self.left is not None:
            self.left -= notional
