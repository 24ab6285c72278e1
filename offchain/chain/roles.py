"""Which roles a keeper's key must have been granted. Whether it has them, `hooats doctor` and the keeper itself ask.

Deliberately no cache: a role may be revoked at any time, and what is refused then is told by the contract.
"""

from collections.abc import Mapping

from offchain.chain import rpc as questions
from offchain.chain.abi import Function
from offchain.chain.registry import Registry
from offchain.chain.rpc import Rpc
from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import Address

HAS_ROLE = Function("hasRole(bytes32,address)", "bool")
REMEDY = "Use the key that has it, or have it granted"

ROLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "settle": (("Settlement", "SETTLER_ROLE"),),
    "commit": (("OrderbookCommitment", "COMMITTER_ROLE"),),
    "price": (("PriceOracle", "POSTER_ROLE"),),
    "list": (
        ("SynthFactory", "CREATOR_ROLE"),
        ("Settlement", "LISTER_ROLE"),
        ("PriceOracle", "LISTER_ROLE"),
        ("SynthIssuer", "LISTER_ROLE"),
    ),
}
"""(contract, role) by keeper; keepers that are not here need none: what they send, anybody may."""


def asked(role: str, holder: Address) -> bytes:
    """Calldata of the question whether a contract has granted `role`, by its name."""
    return HAS_ROLE.encode(keccak(role.encode()), holder)


async def check_roles(rpc: Rpc, registry: Registry, keeper: str, holder: Address) -> None:
    """`ConfigurationError` unless `holder` may send what the keeper sends."""
    lacking = []
    for contract, role in ROLES.get(keeper, ()):
        answer = await rpc.read(questions.call(registry.address(contract), asked(role, holder)))
        if not HAS_ROLE.decode(answer)[0]:
            lacking.append(f"{role} of {contract}")
    if lacking:
        raise ConfigurationError(f"the key of keeper {keeper}, {holder}, lacks {', '.join(lacking)}", remedy=REMEDY)
