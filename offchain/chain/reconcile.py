"""Compares a ledger with the Vault: `settled` must be the Vault's balance, exactly, at one event sequence.

Invariant: amounts are compared only at the same event sequence; a ledger that is ahead or behind is not comparable, and
that is said, not guessed over. Read only: what a difference leads to is decided by the caller.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from offchain.chain import rpc as questions
from offchain.chain.contracts import Reconciliation, Totals, Vault, decode_reconciliation
from offchain.chain.rpc import Query, Rpc
from offchain.domain.units import Address

ACCOUNTS_PER_CALL = 250
"""Keeps one eth_call far below the gas that nodes allow for it."""

Holding = tuple[Address, Address]
"""(account, token)."""


class Difference(NamedTuple):
    """`account` "" stands for a sum over all accounts; `what` says which."""

    account: str
    token: Address
    what: str
    ledger: int
    vault: int


class Comparison(NamedTuple):
    """`ledger_sequence` and `vault_sequence` differ: nothing was compared, ask again. No differences: they agree."""

    block_number: int
    ledger_sequence: int
    vault_sequence: int
    differences: tuple[Difference, ...]

    @property
    def is_comparable(self) -> bool:
        return self.ledger_sequence == self.vault_sequence

    @property
    def agrees(self) -> bool:
        return self.is_comparable and not self.differences


async def reconcile(
    rpc: Rpc, vault: Address, settled: Mapping[Holding, int], sequence: int, *, is_complete: bool = True
) -> Comparison:
    """`settled` at event `sequence`, against the Vault now. `is_complete`: it holds every account that has a balance,
    so that its sums are compared with the Vault's totals, too."""
    accounts = sorted({account for account, _ in settled})
    tokens = sorted({token for _, token in settled})
    parts = [accounts[at : at + ACCOUNTS_PER_CALL] for at in range(0, len(accounts), ACCOUNTS_PER_CALL)] or [[]]
    differences: list[Difference] = []
    look = Reconciliation(0, sequence, (), ())
    for part in parts:
        look = await rpc.read(_question(vault, part, tokens))
        if look.sequence != sequence:
            return Comparison(look.block_number, sequence, look.sequence, ())
        for account, row in zip(part, look.balances, strict=True):
            for token, balance in zip(tokens, row, strict=True):
                expected = settled.get((account, token), 0)
                if expected != balance:
                    differences.append(Difference(account, token, "balance", expected, balance))
    sums: defaultdict[Address, int] = defaultdict(int)
    for (_, token), amount in settled.items():
        sums[token] += amount
    for token, totals in zip(tokens, look.totals, strict=True):
        if is_complete and sums[token] != totals.internal_total:
            differences.append(Difference("", token, "sum of balances", sums[token], totals.internal_total))
        inflow, held = conservation(totals)
        if inflow != held:
            differences.append(Difference("", token, "conservation", inflow, held))
    return Comparison(look.block_number, sequence, look.sequence, tuple(differences))


def conservation(totals: Totals) -> tuple[int, int]:
    """(deposits - withdrawals + minted - burned, balances + locked collateral): equal, or the Vault is broken."""
    inflow = totals.deposits - totals.withdrawals + totals.minted - totals.burned
    return inflow, totals.internal_total + totals.locked


def _question(vault: Address, accounts: list[Address], tokens: list[Address]) -> Query[Reconciliation]:
    asked = questions.call(vault, Vault.reconcile.encode(accounts, tokens))
    return Query(asked.method, asked.params, lambda value: decode_reconciliation(asked.parse(value)))
