"""Keys of the demo: derived from its seed, so that a run can be repeated. Worthless anywhere else."""

import os
from pathlib import Path
from typing import NamedTuple

from eth_account import Account

from offchain.domain.keccak import keccak
from offchain.domain.units import Address


class Key(NamedTuple):
    """`path` is the key file that the command line takes."""

    name: str
    secret: bytes
    address: Address
    path: Path


def derive(seed: int, name: str, folder: Path) -> Key:
    """The key of `name`, written to a file that only its owner may read."""
    secret = keccak(f"HOOATS demo {seed} {name}".encode())
    path = folder / f"{name}.key"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("0x" + secret.hex() + "\n")
    return Key(name, secret, Address(Account.from_key(secret).address.lower()), path)
