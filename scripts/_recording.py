"""What was created, written to the registry with the transaction that created it.

Invariant: the hash of a creating transaction is kept before it is sent, so that a run after a kill finds it again
without the history of the chain. Deliberately nothing is recorded without code at its address.
"""

from functools import partial

from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import Address
from scripts._chain import Chain, Mined, await_receipt
from scripts._deployment import Creation, readable
from scripts._listings import Clone
from scripts._registry import Entry, RegistryFile, abi_hash


class Recorder:
    """One registry file of one chain. `commit` is the sources'."""

    def __init__(self, chain: Chain, registry: RegistryFile, commit: str) -> None:
        self._chain = chain
        self._registry = registry
        self._commit = commit

    def is_recorded(self, made: Creation | Clone) -> bool:
        return self._registry.address(made.name) is not None

    def expecting(self, made: Creation | Clone) -> "partial[None]":
        """To be called with the hash, before the transaction is sent."""
        return partial(self._registry.expect, made.address)

    def record(self, made: Creation | Clone, mined: Mined) -> None:
        code = self._chain.code(made.address)
        if not code:
            raise ConfigurationError(f"no code of {made.name} at {made.address} after {mined.transaction}")
        entry = Entry(
            address=made.address,
            abi_hash=abi_hash(made.artifact.abi if isinstance(made, Clone) else made.interface.abi),
            bytecode_hash="0x" + keccak(code).hex(),
            constructor_arguments=[] if isinstance(made, Clone) else readable(made.arguments),
            block=mined.block,
            transaction=mined.transaction,
            commit=self._commit,
            salt="" if isinstance(made, Clone) else "0x" + made.salt.hex(),
        )
        self._registry.record(made.name, entry)

    def record_found(self, made: Creation | Clone, sent_to: Address) -> None:
        """For a contract that is there but not recorded: its transaction was noted before it was sent, or is
        searched."""
        noted = self._registry.pending(made.address)
        receipt = self._chain.receipt(noted) if noted is not None else None
        if noted is not None and receipt is not None and receipt["status"] == 1:
            mined = Mined(noted, int(receipt["blockNumber"]), int(receipt["gasUsed"]))
        else:
            mined = find_creation(self._chain, made, sent_to)
        self.record(made, mined)


def find_creation(chain: Chain, made: Creation | Clone, sent_to: Address) -> Mined:
    """Searches the chain's history for the transaction that created the contract; needs a node that serves it."""
    low, high = 0, int(chain.block()["number"])
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if chain.code(made.address, middle) else (middle + 1, high)
    for transaction in chain.block(low, full=True)["transactions"]:
        to = str(transaction.get("to") or "").lower()
        if to == sent_to and bytes(transaction["input"]) == made.payload:
            return await_receipt(chain, made.name, "0x" + bytes(transaction["hash"]).hex(), False)
    raise ConfigurationError(
        f"{made.name} is at {made.address}, but this node does not serve the history to find its transaction",
        remedy="Bring back the registry file of its deployment, or use an archive node",
    )
