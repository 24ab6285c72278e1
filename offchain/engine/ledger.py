"""Balances per (account, token): settled, pending, held, leaving. The only place that changes them.

free = settled + pending - held; tradable = max(0, free - leaving); withdrawable counts no incoming pending.
Invariant: `settled` moves only by final chain logs; per token the pendings of all accounts sum to zero.
"""

from collections.abc import Iterator

from offchain.domain.units import Address

Key = tuple[Address, Address]


class Balance:
    """Atoms (units for the settlement token)."""

    __slots__ = ("held", "leaving", "pending", "settled")

    def __init__(self, settled: int = 0, pending: int = 0, held: int = 0, leaving: int = 0) -> None:
        self.settled = settled
        self.pending = pending
        self.held = held
        self.leaving = leaving

    @property
    def free(self) -> int:
        return self.settled + self.pending - self.held

    @property
    def tradable(self) -> int:
        return max(0, self.free - self.leaving)

    @property
    def withdrawable(self) -> int:
        return max(0, self.settled + min(0, self.pending) - self.held - self.leaving)

    def as_tuple(self) -> tuple[int, int, int, int]:
        return self.settled, self.pending, self.held, self.leaving


class Ledger:
    """Remembers which balances a command touched, so that each is announced once."""

    __slots__ = ("balances", "touched")

    def __init__(self) -> None:
        self.balances: dict[Key, Balance] = {}
        self.touched: dict[Key, None] = {}

    def of(self, account: Address, token: Address) -> Balance:
        """For reading; an unknown pair is all zeros."""
        return self.balances.get((account, token)) or Balance()

    def _touch(self, account: Address, token: Address) -> Balance:
        key = account, token
        self.touched[key] = None
        balance = self.balances.get(key)
        if balance is None:
            balance = self.balances[key] = Balance()
        return balance

    def hold(self, account: Address, token: Address, atoms: int) -> None:
        """Negative releases."""
        balance = self._touch(account, token)
        balance.held += atoms
        assert balance.held >= 0

    def pend(self, account: Address, token: Address, atoms: int) -> None:
        self._touch(account, token).pending += atoms

    def settle(self, account: Address, token: Address, atoms: int) -> None:
        """A fill's leg is final: what was pending is settled."""
        balance = self._touch(account, token)
        balance.pending -= atoms
        balance.settled += atoms

    def credit(self, account: Address, token: Address, atoms: int) -> None:
        """Settled, by a chain log; negative debits."""
        self._touch(account, token).settled += atoms

    def leave(self, account: Address, token: Address, atoms: int) -> None:
        """Reserved for a request or countersignature; negative gives back."""
        balance = self._touch(account, token)
        balance.leaving += atoms
        assert balance.leaving >= 0

    def take_touched(self) -> Iterator[tuple[Key, Balance]]:
        """The balances touched since the last call, in order of first touch."""
        touched, self.touched = self.touched, {}
        for key in touched:
            yield key, self.balances[key]

    def totals(self, token: Address) -> tuple[int, int]:
        """(sum of settled, sum of pending) over all accounts."""
        rows = [balance for (_, held), balance in self.balances.items() if held == token]
        return sum(row.settled for row in rows), sum(row.pending for row in rows)
