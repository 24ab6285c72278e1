"""Countersignatures that are out: each a promise in `leaving` until the chain used it or its deadline passed there.

Invariant: what is promised was withdrawable when it was promised and stays out of reach for orders, so that a
countersigned debit can never make a matched fill fail.
"""

from offchain.domain.event import ApprovalGranted
from offchain.engine.timers import Timers


class Approvals:
    """By nonce; the deadlines are in unix seconds of the chain."""

    __slots__ = ("deadlines", "open")

    def __init__(self) -> None:
        self.open: dict[int, ApprovalGranted] = {}
        self.deadlines = Timers()

    def add(self, approval: ApprovalGranted) -> None:
        self.open[approval.nonce] = approval
        self.deadlines.set(approval.nonce, approval.deadline)

    def remove(self, nonce: int) -> ApprovalGranted:
        self.deadlines.cancel(nonce)
        return self.open.pop(nonce)

    def lapsed(self, block_time: int) -> ApprovalGranted | None:
        """One that no block from now on can use; earliest deadline first."""
        earliest = self.deadlines.earliest()
        if earliest is None or earliest[0] >= block_time:
            return None
        return self.open[earliest[1]]
