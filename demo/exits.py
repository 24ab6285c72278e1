"""Three ways out: countersigned and relayed, as CXPT, and by force with the operator dead.

Invariant: each is judged by what arrived in the wallet, to the atom.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from demo.report import Report
from demo.stage import Stage
from demo.traders import Traders
from offchain.chain.registry import Registry
from offchain.client import HooatsClient
from offchain.domain.limits import EXIT_DELAY_SECONDS
from offchain.domain.market import format_atoms
from offchain.domain.units import Address

INSTANT_ATOMS = 1_234_567_890
CXPT_ATOMS = 500_000_000
CXPT_PER_USDC_ATOM = 10**12
ARRIVAL_SECONDS = 40.0


class Exits:
    """The last acts of the demo."""

    def __init__(
        self, stage: Stage, report: Report, registry: Registry, traders: Traders, clients: Sequence[HooatsClient]
    ) -> None:
        self._stage = stage
        self._report = report
        self._registry = registry
        self._traders = traders
        self._clients = clients

    async def instant(self, number: int) -> None:
        """Signed by the owner, countersigned after a journaled hold, sent by the relay keeper."""
        usdc, wallet = self._registry.quote_token, self._traders.keys[number].address
        seconds = await self._withdraw(number, usdc, wallet, INSTANT_ATOMS, False, INSTANT_ATOMS)
        self._report.check("instant", seconds is not None, _after(seconds))

    async def as_cxpt(self, number: int) -> None:
        cxpt, wallet = self._registry.address("CXPT"), self._traders.keys[number].address
        expected = CXPT_ATOMS * CXPT_PER_USDC_ATOM
        seconds = await self._withdraw(number, cxpt, wallet, CXPT_ATOMS, True, expected)
        self._report.check("as_cxpt", seconds is not None, _after(seconds))

    async def forced(self, number: int, atoms: int, stop_operator: Callable[[], None]) -> None:
        """The request of the middle of the flow has matured: a stranger completes it, with nobody left to ask."""
        stop_operator()
        usdc, account = self._registry.quote_token, self._traders.keys[number].address
        self._stage.rpc("evm_increaseTime", EXIT_DELAY_SECONDS)
        self._stage.rpc("evm_mine")
        before = self._traders.token_balance(usdc, account)
        in_vault = self._traders.vault_balance(usdc, account)
        stranger = (number + 1) % len(self._traders.keys)
        await asyncio.to_thread(self._traders.complete_withdrawal, stranger, account)
        arrived = self._traders.token_balance(usdc, account) - before
        held = arrived == min(atoms, in_vault) and arrived > 0
        self._report.check("forced", held, f"{arrived / 10**6} USDC, completed by a stranger")

    async def _withdraw(
        self, number: int, token: Address, wallet: Address, atoms: int, as_cxpt: bool, expected: int
    ) -> float | None:
        """Seconds until exactly `expected` atoms arrived; None if they did not."""
        before = self._traders.token_balance(token, wallet)
        begun = time.monotonic()
        await self._clients[number].withdraw("USDC", format_atoms(atoms, 6), destination=wallet, as_cxpt=as_cxpt)
        while time.monotonic() - begun < ARRIVAL_SECONDS:
            arrived = await asyncio.to_thread(self._traders.token_balance, token, wallet) - before
            if arrived:
                return time.monotonic() - begun if arrived == expected else None
            await asyncio.sleep(0.2)
        return None


def _after(seconds: float | None) -> str:
    return "nothing arrived, or another amount" if seconds is None else f"after {seconds:.1f} s"
