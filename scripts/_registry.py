"""The registry file of a deployment: who is where on one chain, for every other program.

Invariant: the file is always whole (written beside, then renamed) and names only contracts that are on the chain with
their transaction mined. What was sent but not seen mined is kept in a file beside it, so that a deployment that was
killed finds its transactions again. Deliberately no network here.
"""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import Address


class Entry(NamedTuple):
    """One contract. `abi_hash` as `abi_hash` makes it; `bytecode_hash` is keccak256 of the code at the address; `salt`
    is of CREATE2, and "" for what another contract created."""

    address: Address
    abi_hash: str
    bytecode_hash: str
    constructor_arguments: list[Any]
    block: int
    transaction: str
    commit: str
    salt: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "abiHash": self.abi_hash,
            "bytecodeHash": self.bytecode_hash,
            "constructorArguments": self.constructor_arguments,
            "block": self.block,
            "transaction": self.transaction,
            "commit": self.commit,
        } | ({"salt": self.salt} if self.salt else {})


class RegistryFile:
    """The file of one chain, in memory and on disk. `order` is the order of names in the file."""

    def __init__(self, path: Path, chain_id: int) -> None:
        self.path = path
        self._pending_path = path.with_name(f".{path.name}.pending")
        self._chain_id = chain_id
        content = _read(path)
        if content and content.get("chainId") != chain_id:
            recorded = content.get("chainId")
            raise ConfigurationError(f"{path} is of chain {recorded}, not {chain_id}", remedy="Name another --registry")
        self._content: dict[str, Any] = content or {
            "chainId": chain_id,
            "quoteToken": "",
            "contracts": {},
            "markets": {},
        }
        self._contracts: dict[str, Any] = self._content["contracts"]
        self._pending: dict[str, str] = _read(self._pending_path)

    def address(self, name: str) -> Address | None:
        entry = self._contracts.get(name)
        return None if entry is None else Address(entry["address"].lower())

    def names(self) -> list[str]:
        return list(self._contracts)

    def transaction(self, name: str) -> str:
        return str(self._contracts[name]["transaction"])

    def forget(self) -> None:
        """Drops everything: the file describes a chain that is gone."""
        self._contracts.clear()
        self._content["markets"] = {}
        self._content.pop("operations", None)
        self._pending.clear()

    def pending(self, address: Address) -> str | None:
        """Hash of the transaction that was to create `address`."""
        return self._pending.get(address)

    def expect(self, address: Address, transaction: str) -> None:
        """To be called before `transaction`, which creates `address`, is sent."""
        self._pending[address] = transaction
        _write(self._pending_path, self._pending)

    def record(self, name: str, entry: Entry) -> None:
        self._contracts[name] = entry.to_json()
        self._save()

    def record_operation(self, operation: Mapping[str, Any]) -> None:
        """Adds what was scheduled on the timelock, or replaces it by id."""
        known = [item for item in self._content.get("operations", []) if item["id"] != operation["id"]]
        self._content["operations"] = [*known, dict(operation)]
        self._save()

    def record_market(self, symbol: str, row: Mapping[str, Any]) -> None:
        self._content["markets"][symbol] = dict(row)
        self._pending_path.unlink(missing_ok=True)
        self._save()

    def replace(self, name: str, entry: Mapping[str, Any]) -> None:
        """The contract that stands under a name from now on."""
        self._contracts[name] = dict(entry)
        self._save()

    def finish(
        self,
        order: list[str],
        quote_token: Address,
        markets: Mapping[str, dict[str, Any]],
        accounts: Mapping[str, Address],
        roles: Mapping[str, Address],
        factory: Address,
        permit: tuple[str, str] = ("", ""),
    ) -> bool:
        """Completes the file, in the order of names given; False if it was complete."""
        before = json.dumps(self._content)
        ordered = {name: self._contracts[name] for name in order}
        ordered |= self._contracts  # what came later, by create_market
        rows = self._content["markets"] | dict(markets)
        self._content |= {"quoteToken": quote_token, "contracts": ordered, "markets": rows}
        self._content |= {"accounts": dict(accounts), "roles": dict(roles), "factory": factory}
        self._content |= {"permitName": permit[0], "permitVersion": permit[1]}
        self._contracts = ordered
        self._pending_path.unlink(missing_ok=True)
        if json.dumps(self._content) == before and self.path.exists():
            return False
        self._save()
        return True

    def _save(self) -> None:
        _write(self.path, self._content)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One deployment at a time on one registry."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(f"another deployment is writing {self.path}", remedy="Let it end") from None
            yield


def abi_hash(abi: list[dict[str, Any]]) -> str:
    """keccak256 of the ABI as JSON with sorted keys, without spaces, entries sorted by that text."""
    entries = sorted(json.dumps(entry, sort_keys=True, separators=(",", ":")) for entry in abi)
    return "0x" + keccak(f"[{','.join(entries)}]".encode()).hex()


def commit_of(folder: Path) -> str:
    """The commit of the working tree, with "-dirty" if it differs from it; "unknown" outside a repository."""
    head = _git(folder, "rev-parse", "--verify", "HEAD")
    if not head:
        return "unknown"
    return f"{head}-dirty" if _git(folder, "status", "--porcelain", "--", "contracts") else head


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read registry {path}: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is not a registry")
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staging.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from None
