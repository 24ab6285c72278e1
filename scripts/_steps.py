"""One call of a plan, and the calls that move roles.

Invariant: whether a step is done is asked of the chain, never remembered; a done step is not repeated. Deliberately no
sending here.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from offchain.chain.abi import Function
from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import Address

Look = Callable[[Address, bytes], bytes]
"""A view call: (contract, calldata) -> what it returns."""

ADMIN_ROLE: Final = "DEFAULT_ADMIN_ROLE"
HAS_ROLE: Final = Function("hasRole(bytes32,address)", "bool")
GRANT_ROLE: Final = Function("grantRole(bytes32,address)")
RENOUNCE_ROLE: Final = Function("renounceRole(bytes32,address)")
OFFER_ADMIN: Final = Function("offerAdmin(address)")
OFFERED_TO: Final = Function("offeredTo()", "address")
ACCEPT_ADMIN_OF: Final = Function("acceptAdminOf(address)")


class Step(NamedTuple):
    """One call. `is_done` asks the chain; `is_allowed` tells whether the sender may still do it."""

    label: str
    target: Address
    payload: bytes
    is_done: Callable[[Look], bool]
    is_allowed: Callable[[Look], bool]


def role_id(role: str) -> bytes:
    """OpenZeppelin's convention: the hash of the name, and zero for the admin."""
    return bytes(32) if role == ADMIN_ROLE else keccak(role.encode())


def is_true(where: str, target: Address, payload: bytes) -> Callable[[Look], bool]:
    """True when the first word that the view returns is not zero."""

    def ask(look: Look) -> bool:
        answer = look(target, payload)
        if len(answer) < 32:
            raise ConfigurationError(f"{where} answered {len(answer)} bytes, not a word or more")
        return any(answer[:32])

    return ask


def has_role(name: str, contract: Address, role: str, holder: Address) -> Callable[[Look], bool]:
    return is_true(f"{name}.hasRole", contract, HAS_ROLE.encode(role_id(role), holder))


def grant(name: str, contract: Address, role: str, holder: Address, holder_name: str, admin: Address) -> Step:
    """`admin` is who sends it."""
    return Step(
        f"{name}: {role} to {holder_name}",
        contract,
        GRANT_ROLE.encode(role_id(role), holder),
        has_role(name, contract, role, holder),
        has_role(name, contract, ADMIN_ROLE, admin),
    )


def offer(name: str, contract: Address, role: str, holder: Address, holder_name: str, admin: Address) -> Step:
    """The first of the two steps of ITwoStepAdmin; `role` is the admin's."""
    holds = has_role(name, contract, role, holder)

    def is_offered(look: Look) -> bool:
        (offered_to,) = OFFERED_TO.decode(look(contract, OFFERED_TO.encode()))
        return str(offered_to).lower() == holder

    return Step(
        f"{name}: {role} offered to {holder_name}",
        contract,
        OFFER_ADMIN.encode(holder),
        lambda look: holds(look) or is_offered(look),
        has_role(name, contract, role, admin),
    )


def accept(name: str, contract: Address, timelock: Address, timelock_name: str) -> Step:
    """The second one. Anyone may send it: the timelock takes what it was offered, and the one who offered it is out."""
    return Step(
        f"{name}: {ADMIN_ROLE} accepted by {timelock_name}",
        timelock,
        ACCEPT_ADMIN_OF.encode(contract),
        has_role(name, contract, ADMIN_ROLE, timelock),
        lambda look: True,
    )


def renounce(name: str, contract: Address, role: str, holder: Address, holder_name: str) -> Step:
    """Anyone may give up what is theirs."""
    holds = has_role(name, contract, role, holder)
    return Step(
        f"{name}: {role} given up by {holder_name}",
        contract,
        RENOUNCE_ROLE.encode(role_id(role), holder),
        lambda look: not holds(look),
        lambda look: True,
    )
