"""An upgrade of the Vault: checked, announced, waited for, executed.

Invariant: nothing is scheduled whose storage does not fit that of the code in the proxy's slot, nor beside another
upgrade; nothing is executed over an implementation that it was not compared with; what is scheduled is printed in words
first; the registry follows the chain, so that every step may be repeated. Deliberately no call with the upgrade: a new
implementation that needs one gets a proposal of its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec

from offchain.chain.abi import Function
from offchain.chain.registry import Contract, Operation
from offchain.domain.errors import ConfigurationError, TransactionFailed
from offchain.domain.keccak import keccak
from offchain.domain.units import Address
from scripts._accounts import Signer
from scripts._artifacts import Artifact, load_artifacts
from scripts._blocks import choose_blocks, room_for
from scripts._chain import Mined, Sender
from scripts._create2 import CODE_BYTES_MAX, predict, salt_of
from scripts._deployment import NAMESPACE, Creation, make_creation, readable
from scripts._layout import FOLDER, Kept, additions, differences, layout_of, read_layout, write_layout
from scripts._registry import RegistryFile, abi_hash, commit_of
from scripts._sources import compile_all
from scripts._status import IMPLEMENTATION_SLOT
from scripts._status_page import moment
from scripts._steps import has_role
from scripts._timelock import (
    CANCEL,
    DONE_TIMESTAMP,
    EXECUTE,
    MIN_DELAY,
    NO_PREDECESSOR,
    SCHEDULE,
    operation_id,
    pending_operations,
    timestamp_of,
)
from scripts._venue import Venue
from scripts._verify import fingerprint

UPGRADE: Final = Function("upgradeToAndCall(address,bytes)")
PROXY: Final = "Vault"


class Proposal(NamedTuple):
    """What is to be scheduled. `creation` is the new implementation; `grown` what its storage adds."""

    creation: Creation
    operation: Operation
    grown: list[str]


def keep_layout(root: Path, contract: str) -> Path:
    """Keeps the storage of a contract of the sources as that of the Vault that runs."""
    compiled = compile_all(root)
    if contract not in compiled:
        raise ConfigurationError(f"contracts/ has no {contract}", remedy="Name the one that runs")
    made = compiled[contract]
    kept = Kept(fingerprint(made.runtime, made.immutables), made.immutables, layout_of(root, contract))
    return write_layout(root / FOLDER, PROXY, kept)


class Upgrade:
    """One venue, and who signs for the timelock."""

    def __init__(self, venue: Venue, registry: RegistryFile, root: Path) -> None:
        self._venue = venue
        self._registry = registry
        self._root = root
        self._timelock = venue.contracts["Timelock"]

    def plan(self, name: str) -> Proposal:
        """Checks the storage and predicts everything; nothing is sent."""
        replaced = self._running()
        old, new = self._stored(replaced), layout_of(self._root, name)
        problems = differences(old, new)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise ConfigurationError(
                f"the storage of {name} does not fit the deployed one: {problems[0]}{more}",
                remedy="Keep every member where it is, and add new ones at the end",
            )
        artifact = load_artifacts(self._root, (name,))[name]
        if artifact.runtime_bytes > CODE_BYTES_MAX:
            raise ConfigurationError(f"{name} has {artifact.runtime_bytes:,} bytes, more than {CODE_BYTES_MAX:,}")
        creation = make_creation(name, artifact, self._factory(), salt_of(NAMESPACE, "upgrade", name))
        self._check_new(artifact, creation, replaced)
        operation = self._operation(creation, replaced)
        self._check_alone(operation)
        return Proposal(creation, operation, additions(old, new))

    def preview(self, proposal: Proposal) -> None:
        """The proposal in words."""
        creation, operation = proposal.creation, proposal.operation
        recorded = self._venue.contracts["VaultImplementation"]
        aside = "" if recorded == operation.replaces else f" (the registry has {recorded})"
        click.echo(f"upgrade of {PROXY} on chain {self._venue.chain.id}")
        for what, value in (
            ("target", f"{PROXY} {operation.target}"),
            ("function", UPGRADE.signature),
            ("  implementation", f"{creation.name} {creation.address}, {creation.artifact.runtime_bytes:,} bytes"),
            ("  call", "none"),
            ("replaces", operation.replaces + aside),
            ("storage", f"fits; new: {', '.join(proposal.grown) or 'nothing'}"),
            ("value", "0"),
            ("delay", f"{operation.delay_seconds / 3_600:g} h"),
            ("predecessor", "none"),
            ("salt", operation.salt),
            ("operation", operation.id),
            ("executable", f"from {moment(operation.executable_at)}, if it is scheduled now"),
            ("calldata", operation.calldata),
        ):
            click.echo(f"  {what:<18}{value}")

    def propose(self, proposal: Proposal, proposer: Signer, deployer: Signer) -> None:
        """Creates the implementation and schedules the upgrade, unless the chain has them already."""
        self._require(proposer, "PROPOSER_ROLE")
        operation = proposal.operation
        mined = self._create(proposal.creation, deployer)
        at = timestamp_of(self._venue, bytes.fromhex(operation.id[2:]))
        if at:
            click.echo(f"scheduled already, executable from {moment(at)}")
        else:
            payload = SCHEDULE.encode(*self._call(operation), operation.delay_seconds)
            self._send("schedule the upgrade", payload, proposer)
            at = timestamp_of(self._venue, bytes.fromhex(operation.id[2:]))
            click.echo(f"scheduled as {operation.id}, executable from {moment(at)}")
        contract = self._contract(proposal.creation, mined)
        self._record(msgspec.structs.replace(operation, executable_at=at, implementation=contract))

    def execute(self, operation: Operation, signer: Signer) -> None:
        """Executes what is ready; refuses with the remaining time before."""
        at = timestamp_of(self._venue, bytes.fromhex(operation.id[2:]))
        if at != DONE_TIMESTAMP:
            self._check_ready(operation, at)
            self._check_replaced(operation)
            self._require(signer, "EXECUTOR_ROLE")
            self._send("execute the upgrade", EXECUTE.encode(*self._call(operation)), signer)
        assert operation.implementation is not None
        found = self._running()
        if found != operation.implementation.address:
            raise TransactionFailed(f"{PROXY} runs {found}, not {operation.implementation.address}")
        self._registry.replace("VaultImplementation", _entry(operation.implementation))
        self._record(msgspec.structs.replace(operation, state="executed"))
        click.echo(f"{PROXY} runs {operation.implementation.address}. Commit the registry, and then the new layout:")
        click.echo(f"  ape run upgrade --keep-layout {operation.implementation.artifact or PROXY}")

    def cancel(self, operation: Operation, signer: Signer) -> None:
        self._require(signer, "CANCELLER_ROLE")
        if timestamp_of(self._venue, bytes.fromhex(operation.id[2:])) > DONE_TIMESTAMP:
            self._send("cancel the upgrade", CANCEL.encode(bytes.fromhex(operation.id[2:])), signer)
        self._record(msgspec.structs.replace(operation, state="cancelled"))
        click.echo(f"cancelled {operation.id}")

    def find(self, wanted: str | None) -> Operation:
        """The scheduled operation of this id, or the only one."""
        scheduled = [item for item in self._venue.registry.operations if item.state == "scheduled"]
        matching = [item for item in scheduled if wanted is None or item.id == wanted.lower()]
        if len(matching) == 1:
            return matching[0]
        known = ", ".join(item.id for item in scheduled) or "nothing"
        remedy = "Name one with --operation" if scheduled else "Schedule one with --propose"
        raise ConfigurationError(f"the registry has {known} scheduled", remedy=remedy)

    # --- parts ---

    def _running(self) -> Address:
        """The implementation, from the proxy's slot: the registry may lag behind."""
        return Address(f"0x{self._venue.chain.storage(self._venue.contracts[PROXY], IMPLEMENTATION_SLOT)[12:].hex()}")

    def _stored(self, implementation: Address) -> dict[str, Any]:
        """The storage of the code that runs: kept, or that of the sources where they are what it was made of."""
        code = self._venue.chain.code(implementation)
        kept = read_layout(self._root / FOLDER, PROXY)
        if fingerprint(code, kept.immutables) == kept.bytecode_hash:
            return kept.storage
        name = self._venue.registry.contract("VaultImplementation").artifact or PROXY
        made = compile_all(self._root).get(name)
        if made and fingerprint(code, made.immutables) == fingerprint(made.runtime, made.immutables):
            return layout_of(self._root, name)
        raise ConfigurationError(
            f"{FOLDER}/{PROXY}.json is not the layout of what {PROXY} runs, {implementation}",
            remedy=f"Check out the commit that it was deployed from, run `ape run upgrade --keep-layout {name}`, "
            "and bring the file here",
        )

    def _check_alone(self, operation: Operation) -> None:
        """Two at once would both be compared with the storage of today."""
        own = {item.id for item in self._venue.registry.operations if item.target == operation.target}
        for other in pending_operations(self._venue):
            if other.id in own and other.id != operation.id:
                raise ConfigurationError(
                    f"another upgrade is scheduled: {other.summary}",
                    remedy=f"--execute it, or --cancel it: --operation {other.id}",
                )

    def _check_replaced(self, operation: Operation) -> None:
        found = self._running()
        if found != operation.replaces:
            raise ConfigurationError(
                f"{PROXY} runs {found}, and this upgrade was compared with {operation.replaces or 'nothing known'}",
                remedy=f"--cancel it and propose it again: --operation {operation.id}",
            )

    def _factory(self) -> Any:
        if not self._venue.registry.factory:
            raise ConfigurationError("the registry names no CREATE2 factory", remedy="Run `ape run deploy` again")
        return self._venue.registry.factory

    def _check_new(self, artifact: Artifact, creation: Creation, replaced: Address) -> None:
        current = self._venue.registry.contract("VaultImplementation")
        code = creation.payload[32:]
        is_same = current.salt and predict(self._factory(), bytes.fromhex(current.salt[2:]), code) == current.address
        if creation.address == replaced or (is_same and current.address == replaced):
            raise ConfigurationError(
                f"{artifact.name} is what {PROXY} runs already, at {replaced}",
                remedy="Change the contract, or name another one",
            )

    def _operation(self, creation: Creation, replaced: Address) -> Operation:
        """Its salt counts the upgrades that were executed: a way back is another operation."""
        executed = sum(item.state == "executed" for item in self._venue.registry.operations)
        salt = keccak(f"{NAMESPACE}:upgrade:{creation.address}:{executed}".encode())
        target, payload = self._venue.contracts[PROXY], UPGRADE.encode(creation.address, b"")
        delay = int(MIN_DELAY.decode(self._venue.chain.call(self._timelock, MIN_DELAY.encode()))[0])
        return Operation(
            id="0x" + operation_id(target, payload, NO_PREDECESSOR, salt).hex(),
            summary=f"upgrade {PROXY} to {creation.name} {creation.address}",
            target=target,
            calldata="0x" + payload.hex(),
            predecessor="0x" + NO_PREDECESSOR.hex(),
            salt="0x" + salt.hex(),
            delay_seconds=delay,
            executable_at=int(self._venue.chain.block()["timestamp"]) + delay,
            replaces=replaced,
        )

    def _call(self, operation: Operation) -> tuple[Any, ...]:
        payload, predecessor, salt = (
            bytes.fromhex(text[2:]) for text in (operation.calldata, operation.predecessor, operation.salt)
        )
        return operation.target, 0, payload, predecessor, salt

    def _create(self, creation: Creation, deployer: Signer) -> Mined | None:
        """None if it is there already."""
        chain = self._venue.chain
        if chain.code(creation.address):
            click.echo(f"{creation.name} is at {creation.address} already")
            return None
        limit = int(chain.block()["gasLimit"])
        large = f"{creation.name} (over {creation.gas_floor:,})" if creation.gas_floor > limit else ""
        big_blocks = choose_blocks(chain, deployer.address, large, limit)
        sender = Sender(chain, deployer, chain.nonce(deployer.address), big_blocks)
        made: list[Mined] = []
        with room_for(chain, bool(large), limit):
            sender.send(creation.name, self._factory(), creation.payload, made.append)
            sender.settle()
        click.echo(f"created {creation.name} at {creation.address}, {made[0].gas:,} gas")
        return made[0]

    def _contract(self, creation: Creation, mined: Mined | None) -> Contract:
        known = [
            item.implementation
            for item in self._venue.registry.operations
            if item.implementation is not None and item.implementation.address == creation.address
        ]
        if known and mined is None:
            return known[0]
        return Contract(
            address=creation.address,
            abi_hash=abi_hash(creation.interface.abi),
            bytecode_hash="0x" + keccak(self._venue.chain.code(creation.address)).hex(),
            constructor_arguments=readable(creation.arguments),
            block=mined.block if mined else 0,
            transaction=mined.transaction if mined else "",
            commit=commit_of(self._root),
            salt="0x" + creation.salt.hex(),
            artifact=creation.artifact.name,
        )

    def _check_ready(self, operation: Operation, at: int) -> None:
        if not at:
            raise ConfigurationError(
                f"the timelock does not know {operation.id}", remedy="It was cancelled, or is of another chain"
            )
        left = at - int(self._venue.chain.block()["timestamp"])
        if left > 0:
            hours, seconds = divmod(left, 3_600)
            raise ConfigurationError(
                f"not executable for another {hours} h {seconds // 60} min", remedy=f"Try again after {moment(at)}"
            )

    def _require(self, signer: Signer, role: str) -> None:
        if not has_role("Timelock", self._timelock, role, signer.address)(self._venue.chain.call):
            who = self._venue.roles.get("proposer", "unknown")
            raise ConfigurationError(
                f"{signer.address} has no {role} of the timelock", remedy=f"Sign with the key of {who}, the proposer"
            )

    def _send(self, label: str, payload: bytes, signer: Signer) -> None:
        chain = self._venue.chain
        sender = Sender(chain, signer, chain.nonce(signer.address), bool(chain.uses_big_blocks(signer.address)))
        sender.send(label, self._timelock, payload, lambda mined: None)
        sender.settle()

    def _record(self, operation: Operation) -> None:
        self._registry.record_operation(msgspec.to_builtins(operation))


def _entry(contract: Contract) -> Mapping[str, Any]:
    entry: dict[str, Any] = msgspec.to_builtins(contract)
    return entry
