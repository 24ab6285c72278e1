"""The traders' own transactions: they are funded, deposit, open synth debts, cancel and exit on chain.

Invariant: every key signs only for its own account; the demo mints test USDC and gas money, nothing else.
"""

from collections.abc import Sequence

from demo.keys import Key
from demo.stage import Stage
from offchain.chain.contracts import Settlement, SynthIssuer, Token, Vault
from offchain.chain.registry import Registry
from offchain.chain.wallet import Receipt, Wallet
from offchain.client import HooatsClient
from offchain.domain.market import format_atoms
from offchain.domain.units import Address

USDC = 10**6
MAKER_DEPOSIT = 250_000 * USDC
TAKER_DEPOSIT = 50_000 * USDC
DEBTS = {"hBTC": 6 * 10**17, "hETH": 12 * 10**18}
"""Debt of each maker, in synth atoms: 0.6 hBTC and 12 hETH."""
COLLATERAL = {"hBTC": 70_000 * USDC, "hETH": 60_000 * USDC}


class Traders:
    """One wallet per trader on the demo's chain."""

    def __init__(self, stage: Stage, registry: Registry, keys: Sequence[Key], makers: int) -> None:
        self.keys = keys
        self.makers = makers
        self.registry = registry
        self.wallets = [Wallet(stage.rpc_url, key.secret) for key in keys]
        self._stage = stage

    def fund(self) -> None:
        """Gas money by the chain's own means, test USDC by the token's open mint."""
        for key in self.keys:
            self._stage.rpc("anvil_setBalance", key.address, hex(10**19))
        usdc = self.registry.quote_token
        sent = []
        for number, wallet in enumerate(self.wallets):
            amount = self.deposit_of(number)
            sent.append(wallet.send(usdc, Token.mint, wallet.address, 2 * amount, gas=120_000))
        self._wait(sent)

    def deposit_of(self, number: int) -> int:
        return MAKER_DEPOSIT if number < self.makers else TAKER_DEPOSIT

    def deposit(self) -> None:
        """Approves and deposits, one transaction each, all traders at once."""
        usdc, vault = self.registry.quote_token, self.registry.address("Vault")
        sent = []
        for number, wallet in enumerate(self.wallets):
            amount = self.deposit_of(number)
            sent.append(wallet.send(usdc, Token.approve, vault, 2**256 - 1, gas=80_000))
            sent.append(wallet.send(vault, Vault.deposit, amount, gas=250_000))
        self._wait(sent)

    async def open_debts(self, clients: Sequence[HooatsClient]) -> int:
        """Every maker locks collateral, countersigned, and mints synths. Returns the number of positions."""
        issuer = self.registry.address("SynthIssuer")
        sent: list[tuple[int, str]] = []
        for number in range(self.makers):
            for symbol, debt in DEBTS.items():
                collateral = COLLATERAL[symbol]
                granted = await clients[number].approval("lock", "USDC", format_atoms(collateral, 6))
                assert granted.signature is not None
                proof = (int(granted.nonce), granted.deadline, bytes.fromhex(granted.signature[2:]))
                synth, wallet = self.registry.synth(symbol), self.wallets[number]
                sent.append(
                    (number, wallet.send(issuer, SynthIssuer.open, synth, collateral, debt, proof, gas=600_000))
                )
        for number, transaction in sent:
            self.wallets[number].wait(transaction)
        return len(sent)

    def cancel_on_chain(self, number: int, nonce: int) -> Receipt:
        return self.wallets[number].transact(self.registry.address("Settlement"), Settlement.cancel, nonce)

    def request_withdrawal(self, number: int, atoms: int, destination: Address) -> Receipt:
        vault, usdc = self.registry.address("Vault"), self.registry.quote_token
        return self.wallets[number].transact(vault, Vault.request_withdrawal, usdc, atoms, destination)

    def complete_withdrawal(self, sender: int, account: Address) -> Receipt:
        """Anyone completes anyone's matured request."""
        vault, usdc = self.registry.address("Vault"), self.registry.quote_token
        return self.wallets[sender].transact(vault, Vault.complete_withdrawal, account, usdc)

    def token_balance(self, token: Address, owner: Address) -> int:
        """ERC-20 balance of a wallet, in atoms."""
        return int(self.wallets[0].call(token, Token.balance_of, owner)[0])

    def vault_balance(self, token: Address, account: Address) -> int:
        vault = self.registry.address("Vault")
        return int(self.wallets[0].call(vault, Vault.balance_of, account, token)[0])

    def _wait(self, sent: Sequence[str]) -> None:
        for transaction in sent:
            self.wallets[0].wait(transaction)
