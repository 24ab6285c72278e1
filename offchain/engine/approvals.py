"""Countersignatures that are out: each a promise in `leaving` until the chain used it or its deadline passed there.

Invariant: what is promised was withdrawable when it was promised and stays out of reach for orders, so that a
countersigned debit can never make a matched fill fail.
"""

from typing import NamedTuple

from offchain.domain.event import ApprovalGranted
from offchain.domain.units import Address
from offchain.engine.timers import Timers


class Spent(NamedTuple):
    account: Address
    owner_nonce: int
    owner_deadline: int


class Approvals:
    """By nonce; the deadlines are in unix seconds of the chain."""

    __slots__ = ("_owner_deadlines", "_owner_nonces", "deadlines", "open", "spent")

    def __init__(self) -> None:
        self.open: dict[int, ApprovalGranted] = {}
        self.deadlines = Timers()
        self.spent: dict[int, Spent] = {}
        """Signed withdrawals that were granted once, by the nonce of their approval, until their own deadline."""
        self._owner_nonces: dict[tuple[Address, int], None] = {}
        self._owner_deadlines = Timers()

    def add(self, approval: ApprovalGranted) -> None:
        self.open[approval.nonce] = approval
        self.deadlines.set(approval.nonce, approval.deadline)

    def spend(self, nonce: int, spent: "Spent") -> None:
        """The owner's signature is used up: whoever has seen it cannot have it granted again, nor can a session."""
        self.spent[nonce] = spent
        self._owner_nonces[spent.account, spent.owner_nonce] = None
        self._owner_deadlines.set(nonce, spent.owner_deadline)

    def is_spent(self, account: Address, owner_nonce: int) -> bool:
        return (account, owner_nonce) in self._owner_nonces

    def forget_spent(self, block_time: int) -> None:
        """Drops those that the Vault would refuse from this block on."""
        while (earliest := self._owner_deadlines.earliest()) is not None and earliest[0] < block_time:
            self._owner_deadlines.pop()
            spent = self.spent.pop(earliest[1])
            del self._owner_nonces[spent.account, spent.owner_nonce]

    def remove(self, nonce: int) -> ApprovalGranted:
        self.deadlines.cancel(nonce)
        return self.open.pop(nonce)

    def lapsed(self, block_time: int) -> ApprovalGranted | None:
        """One that no block from now on can use; earliest deadline first."""
        earliest = self.deadlines.earliest()
        if earliest is None or earliest[0] >= block_time:
            return None
        return self.open[earliest[1]]
