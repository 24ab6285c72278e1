"""Deposits USDC into the Vault: `python examples/deposit.py KEY_FILE AMOUNT RPC REGISTRY_FILE`.

Two transactions of your own key: an allowance for exactly the amount, and the deposit.
"""

import json
import sys
from pathlib import Path

from offchain.chain.contracts import Token, Vault
from offchain.chain.registry import load_registry
from offchain.chain.wallet import Wallet
from offchain.domain.market import format_atoms, parse_atoms

USDC_DECIMALS = 6


def main(key: bytes, amount: str, rpc: str, registry_file: str) -> int:
    path = Path(registry_file)
    registry = load_registry(path, json.loads(path.read_text())["chainId"])
    vault, usdc = registry.address("Vault"), registry.quote_token
    wallet, atoms = Wallet(rpc, key), parse_atoms(amount, USDC_DECIMALS, "amount")
    wallet.transact(usdc, Token.approve, vault, atoms)
    receipt = wallet.transact(vault, Vault.deposit, atoms)
    (held,) = wallet.call(vault, Vault.balance_of, wallet.address, usdc)
    print(f"deposited {amount} USDC in {receipt.transaction}")
    print(f"the Vault holds {format_atoms(held, USDC_DECIMALS)} USDC for {wallet.address}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(main(secret, *sys.argv[2:]))
