"""Keys that sign orders for an account: until when, in which markets, and for how much more.

Invariant: what a budget has left is its notional less what its orders have traded, less what those that are open may
still trade at their own prices. So no fill is matched that the chain would refuse for the agent's sake, unless the
account ends the agent meanwhile.
"""

from __future__ import annotations

from offchain.domain.event import AgentChanged, RejectReason
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

    def refusal(self, at: int, market: int, notional: int) -> RejectReason | None:
        """Why an order that may trade that much does not enter."""
        if at >= self.ends_at or (self.markets and market not in self.markets):
            return RejectReason.AGENT_NOT_ENTITLED
        if self.left is not None and notional > self.left:
            return RejectReason.AGENT_LIMIT
        return None

    def spend(self, notional: int) -> None:
        """Or gives back what is below 0."""
        if self.left is not None:
            self.left -= notional
