"""The deployment registry `deployments/<chain id>.json`: which contract is where, and what its code must be.

    {"chainId": 998, "quoteToken": "0x…", "contracts": {"Vault": {"address", "abiHash", "bytecodeHash",
     "constructorArguments", "block", "transaction", "commit"}}, "markets": {"BTC-USDC": {"market", "baseToken"}},
     "accounts": {"feeAccount": "0x…", …}, "roles": {"settler": "0x…", …}, "factory": "0x…", "operations": [{…}]}

Invariant: the file is always whole (written beside, then renamed). Synths are contracts named `SynthERC20:<symbol>`.
Deliberately no defaults: a contract that is not named is an error, never address zero.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from offchain.chain import rpc as questions
from offchain.chain.rpc import Rpc
from offchain.domain.errors import ConfigurationError, MissingContract
from offchain.domain.keccak import keccak
from offchain.domain.units import Address

SYNTH_PREFIX = "SynthERC20:"


class Contract(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry; hashes as 0x-hex, "" if unknown. `block` is where its code appeared."""

    address: Address
    abi_hash: str = ""
    bytecode_hash: str = ""
    constructor_arguments: list[Any] = []
    block: int = 0
    transaction: str = ""
    commit: str = ""
    salt: str = ""
    """Of CREATE2; "" for what another contract created."""
    artifact: str = ""
    """The compiled contract, where the name of the entry does not say it: after an upgrade."""


class MarketEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    market: int
    base_token: Address = Address("")


class Operation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was scheduled on the timelock; `state` is scheduled, executed or cancelled."""

    id: str
    summary: str
    target: Address
    calldata: str
    predecessor: str
    salt: str
    delay_seconds: int
    executable_at: int
    state: str = "scheduled"
    replaces: Address = Address("")
    """The implementation that ran when the storage was compared: it is executed over no other."""
    implementation: Contract | None = None
    """What replaces VaultImplementation when it is executed."""


class Registry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A deployment, as written by `ape run deploy`."""

    chain_id: int
    quote_token: Address
    contracts: dict[str, Contract]
    markets: dict[str, MarketEntry] = {}
    accounts: dict[str, Address] = {}
    """The venue's own Vault accounts: feeAccount, treasuryAccount, insuranceAccount."""

    permit_name: str = ""
    """Of the settlement token's EIP-712 domain, with `permit_version`: read from the token at deployment. Empty: it has
    no permits, and no deposits are relayed."""
    permit_version: str = ""
    roles: dict[str, Address] = {}
    """Who runs what: settler, committer, cosigner, poster, lister, guardian, proposer, deployer."""
    factory: Address = Address("")
    """The CREATE2 factory that everything came through."""
    operations: tuple[Operation, ...] = ()

    def account(self, name: str) -> Address:
        """`ConfigurationError` if the deployment has none of this name."""
        if name not in self.accounts:
            raise ConfigurationError(
                f"the registry of chain {self.chain_id} names no {name}", remedy="Run `ape run deploy` again"
            )
        return Address(self.accounts[name].lower())

    def contract(self, name: str) -> Contract:
        """`ConfigurationError` if the deployment has none of this name."""
        if name not in self.contracts:
            known = ", ".join(self.contracts) or "nothing"
            raise ConfigurationError(
                f"the registry of chain {self.chain_id} names no {name}, but {known}", remedy="Deploy first, see README"
            )
        return self.contracts[name]

    def address(self, name: str) -> Address:
        return self.contract(name).address

    def synth(self, symbol: str) -> Address:
        return self.address(SYNTH_PREFIX + symbol)

    @property
    def synths(self) -> tuple[str, ...]:
        """Symbols of the synths, in the order of their deployment."""
        return tuple(name.removeprefix(SYNTH_PREFIX) for name in self.contracts if name.startswith(SYNTH_PREFIX))

    @property
    def first_block(self) -> int:
        """No log of Vault or Settlement is older."""
        return min(self.contract(name).block for name in ("Vault", "Settlement"))


def registry_path(path: Path, chain_id: int) -> Path:
    """`path` itself, or `<chain id>.json` if it is a folder."""
    return path / f"{chain_id}.json" if path.is_dir() else path


def load_registry(path: Path, chain_id: int) -> Registry:
    """The registry in a file, or in a folder of them. `ConfigurationError` names what is wrong with it."""
    file = registry_path(path, chain_id)
    try:
        registry = msgspec.json.decode(file.read_bytes(), type=Registry)
    except FileNotFoundError:
        remedy = "Run `ape run deploy`, or name another --registry"
        raise ConfigurationError(f"there is no deployment registry {file}", remedy=remedy) from None
    except OSError as error:
        raise ConfigurationError(f"cannot read registry {file}: {error.strerror or error}") from None
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"registry {file} is malformed: {error}", remedy="Deploy again") from None
    if registry.chain_id != chain_id:
        raise ConfigurationError(
            f"registry {file} is of chain {registry.chain_id}, not {chain_id}", remedy="Check --registry and --chain-id"
        )
    return _normalized(registry, file)


def write_registry(path: Path, registry: Registry) -> None:
    """Replaces the file as a whole."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    content = json.dumps(msgspec.to_builtins(registry), indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staging.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigurationError(f"cannot write registry {path}: {error.strerror or error}") from None


async def check_contracts(rpc: Rpc, registry: Registry, names: tuple[str, ...]) -> None:
    """`MissingContract` unless each has code at its address: the deployed one, if the registry knows its hash."""
    for name in names:
        contract = registry.contract(name)
        answer = await rpc.read(questions.code_at(contract.address))
        if not answer:
            raise MissingContract(
                f"there is no code at {contract.address} ({name})",
                remedy="The registry is of another chain or of one that was reset: deploy again",
            )
        expected, found = contract.bytecode_hash.lower(), "0x" + keccak(answer).hex()
        if expected and expected != found:
            raise MissingContract(
                f"the code at {contract.address} is not the {name} that was deployed", remedy="Check --registry"
            )


def _normalized(registry: Registry, file: Path) -> Registry:
    contracts = {
        name: msgspec.structs.replace(contract, address=_address(contract.address, f"{name} in {file}"))
        for name, contract in registry.contracts.items()
    }
    markets: Mapping[str, MarketEntry] = {
        symbol: msgspec.structs.replace(market, base_token=Address(market.base_token.lower()))
        for symbol, market in registry.markets.items()
    }
    quote_token = _address(registry.quote_token, f"quoteToken in {file}")
    return msgspec.structs.replace(registry, contracts=contracts, markets=dict(markets), quote_token=quote_token)


def _address(value: str, what: str) -> Address:
    try:
        if len(value) == 42 and value[:2] == "0x" and len(bytes.fromhex(value[2:])) == 20:
            return Address(value.lower())
    except ValueError:
        pass
    raise ConfigurationError(f"{what} is not an address: {value[:60]!r}", remedy="0x and 40 hex digits")
