"""A venue that was deployed: its registry, and the chain that it is on.

Invariant: the registry is of the chain that answers. Deliberately no sending here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from offchain.chain.abi import Function
from offchain.chain.registry import Registry, load_registry
from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address
from scripts._chain import Chain
from scripts._run import PAIR, SYNTH, pause_for, registry_path

__all__ = ["PAIR", "SYNTH", "Venue", "artifact_of", "open_venue"]


class Venue(NamedTuple):
    chain: Chain
    registry: Registry
    path: Path

    @property
    def contracts(self) -> dict[str, Address]:
        return {name: contract.address for name, contract in self.registry.contracts.items()}

    @property
    def roles(self) -> Mapping[str, Address]:
        """Keys and the venue's own accounts, by role."""
        return {name: Address(value.lower()) for name, value in (self.registry.roles | self.registry.accounts).items()}

    def ask(self, to: Address, function: Function, *arguments: object) -> tuple[Any, ...]:
        """A view call, decoded."""
        return function.decode(self.chain.call(to, function.encode(*arguments)))

    def name_of(self, address: str) -> str:
        """Who is at an address, as the registry has it."""
        known = {address: name for name, address in self.roles.items()}
        known |= {address: name for name, address in self.contracts.items()}
        return known.get(Address(address.lower()), address.lower())


def open_venue(provider: Any, registry_file: Path | None, root: Path) -> Venue:
    """The venue on the connected chain. `ConfigurationError` if there is no registry of it, or nothing of that."""
    chain = Chain(provider.web3, pause_for(getattr(provider, "uri", None)))
    path = registry_path(registry_file, chain, root)
    venue = Venue(chain, load_registry(path, chain.id), path)
    vault = venue.contracts.get("Vault")
    if vault and not chain.code(vault):
        raise ConfigurationError(
            f"the Vault of {path} ({vault}) is not on this chain {chain.id}",
            remedy="Name the chain with --network, or its registry with --registry",
        )
    return venue


def artifact_of(name: str) -> str:
    """The compiled contract behind a name of the registry."""
    if name.startswith(SYNTH):
        return "SynthERC20"
    if name.startswith(PAIR):
        return "AmmPair"
    return {
        "Vault": "VaultProxy",
        "VaultImplementation": "Vault",
        "SynthImplementation": "SynthERC20",
        "AmmPairImplementation": "AmmPair",
    }.get(name, name)
