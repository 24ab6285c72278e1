"""The venue's state: the strictest of what the operator set, what the backlog allows, and a halt.

Invariant: a divergence from the chain halts for good; the backlog gate depends on nothing but the age of the oldest
undecided fill and the number of them, so it tightens at exact times and loosens with the chain's log.
"""

from typing import Final

from offchain.domain.limits import BACKLOG_CANCEL_ONLY_MILLIS, BACKLOG_POST_ONLY_MILLIS
from offchain.domain.market import MarketState
from offchain.domain.reasons import VenueState
from offchain.engine.fills import NEVER

STRICTNESS: Final = (VenueState.ACTIVE, VenueState.POST_ONLY, VenueState.CANCEL_ONLY, VenueState.HALTED)
OF_OPERATOR: Final = {
    MarketState.ACTIVE: VenueState.ACTIVE,
    MarketState.POST_ONLY: VenueState.POST_ONLY,
    MarketState.CANCEL_ONLY: VenueState.CANCEL_ONLY,
    MarketState.PAUSED: VenueState.HALTED,
}
"""A venue cannot be delisted."""
BACKLOG_REASON: Final = "backlog"
DIVERGED_REASON: Final = "diverged"


class Gate:
    """`state` and `reason` are as last announced; `refresh` brings them up to date."""

    __slots__ = (
        "_backlog",
        "deadline",
        "estimate",
        "estimate_max",
        "is_diverged",
        "is_stale",
        "oldest_at",
        "operator",
        "operator_reason",
        "reason",
        "state",
    )

    def __init__(self) -> None:
        self.operator = MarketState.ACTIVE
        self.operator_reason = ""
        self.is_diverged = False
        self.oldest_at = NEVER
        self.estimate = 0
        self.estimate_max = BACKLOG_POST_ONLY_MILLIS
        """As long as only the estimate grows, and not beyond this, nothing changes."""
        self._backlog = VenueState.ACTIVE
        self.deadline = NEVER
        """When the backlog tightens the gate, if it stays as it is."""
        self.state = VenueState.ACTIVE
        self.reason = ""
        self.is_stale = False
        """Something changed since `refresh`."""

    def watch(self, oldest_at: int, now: int, estimate: int) -> None:
        """The oldest undecided fill was matched at `oldest_at` (nothing is undecided: NEVER), and settling all of them
        takes an estimated `estimate` millis: the older of the two counts, or a long queue of young fills would be
        decided only after cancels and expiries bind."""
        self.is_stale = True
        self.oldest_at, self.estimate = oldest_at, estimate
        age = now - oldest_at
        if age > BACKLOG_CANCEL_ONLY_MILLIS:
            self._backlog, self.deadline = VenueState.CANCEL_ONLY, NEVER
        elif age > BACKLOG_POST_ONLY_MILLIS:
            self._backlog, self.deadline = VenueState.POST_ONLY, oldest_at + BACKLOG_CANCEL_ONLY_MILLIS + 1
        else:
            self._backlog = VenueState.ACTIVE
            self.deadline = NEVER if oldest_at == NEVER else oldest_at + BACKLOG_POST_ONLY_MILLIS + 1
        self.estimate_max = BACKLOG_POST_ONLY_MILLIS
        if estimate > BACKLOG_CANCEL_ONLY_MILLIS:
            self._backlog, self.estimate_max = VenueState.CANCEL_ONLY, NEVER
        elif estimate > BACKLOG_POST_ONLY_MILLIS:
            self.estimate_max = BACKLOG_CANCEL_ONLY_MILLIS
            if self._backlog is VenueState.ACTIVE:
                self._backlog = VenueState.POST_ONLY

    def set_operator(self, state: MarketState, reason: str) -> None:
        self.is_stale = True
        self.operator, self.operator_reason = state, reason

    def diverge(self) -> None:
        self.is_stale = self.is_diverged = True

    def refresh(self) -> bool:
        """Recomputes `state` and `reason`; true if either changed. The operator's reason comes before the backlog's."""
        self.is_stale = False
        state, reason = OF_OPERATOR[self.operator], self.operator_reason
        if STRICTNESS.index(self._backlog) > STRICTNESS.index(state):
            state, reason = self._backlog, BACKLOG_REASON
        if self.is_diverged:
            state, reason = VenueState.HALTED, DIVERGED_REASON
        changed = (state, reason) != (self.state, self.reason)
        self.state, self.reason = state, reason
        return changed
