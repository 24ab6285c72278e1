"""Who holds which role of which contract once a deployment is done: one table for deploy, handover and status.

Invariant: a role that is not in the table is held by nobody. Holders are names: of a contract in the registry, or of a
role in the parameters. Deliberately no addresses here.
"""

from collections.abc import Container, Mapping
from typing import Final, NamedTuple

from offchain.domain.units import Address
from scripts._parameters import MORE_POSTERS
from scripts._steps import ADMIN_ROLE, Step, accept, grant, offer, renounce

TIMELOCK: Final = "Timelock"
DEPLOYER: Final = "deployer"


class Grant(NamedTuple):
    contract: str
    role: str
    holder: str


GOVERNED: Final = (
    "Vault",
    "Settlement",
    "OrderbookCommitment",
    "SynthFactory",
    "PriceOracle",
    "SynthIssuer",
)
"""Contracts whose admin is the timelock."""
TWO_STEP: Final = ("OrderbookCommitment", "SynthFactory", "PriceOracle", "SynthIssuer")
"""Those of them whose admin changes by offer and acceptance only (ITwoStepAdmin). The others have OpenZeppelin's plain
roles: there the two steps are two waves, and the second begins when the chain says that the timelock is admin."""
UNGOVERNED: Final = ("CXPT",)
"""Contracts that end without an admin: CXPT's one minter is the Vault's address, which never changes."""

LASTING: Final = (
    Grant("Vault", "SETTLEMENT_ROLE", "Settlement"),
    Grant("Vault", "CORE_ROLE", "SynthIssuer"),
    Grant("Vault", "UPGRADER_ROLE", TIMELOCK),
    Grant("Vault", "REGISTRAR_ROLE", "SynthFactory"),
    Grant("Vault", "GUARDIAN_ROLE", "guardian"),
    Grant("CXPT", "MINTER_ROLE", "Vault"),
    Grant("Settlement", "SETTLER_ROLE", "settler"),
    Grant("Settlement", "LISTER_ROLE", "lister"),
    Grant("Settlement", "GUARDIAN_ROLE", "guardian"),
    Grant("OrderbookCommitment", "COMMITTER_ROLE", "committer"),
    Grant("SynthFactory", "CREATOR_ROLE", "lister"),
    Grant("PriceOracle", "LISTER_ROLE", "lister"),
    Grant("PriceOracle", "POSTER_ROLE", "poster"),
    Grant("SynthIssuer", "LISTER_ROLE", "lister"),
    Grant("SynthIssuer", "GUARDIAN_ROLE", "guardian"),
)
"""Granted by the deployer. A guardian's role is harmless on a contract that cannot be paused."""
BUILT_IN: Final = (
    Grant(TIMELOCK, ADMIN_ROLE, TIMELOCK),
    Grant(TIMELOCK, "PROPOSER_ROLE", "proposer"),
    Grant(TIMELOCK, "CANCELLER_ROLE", "proposer"),
    Grant(TIMELOCK, "EXECUTOR_ROLE", "proposer"),
)
"""Granted by constructors."""
LISTING: Final = (
    ("SynthFactory", "CREATOR_ROLE"),
    ("PriceOracle", "LISTER_ROLE"),
    ("SynthIssuer", "LISTER_ROLE"),
    ("Settlement", "LISTER_ROLE"),
)
"""What a lister needs, and what the deployer is lent for the markets of the parameters."""


def lasting(holders: Container[str]) -> list[Grant]:
    """LASTING, and the posters beside the first that there are."""
    more = [Grant("PriceOracle", "POSTER_ROLE", name) for name in MORE_POSTERS if name in holders]
    return [*LASTING, *more]


def table(contracts: Mapping[str, Address], holders: Container[str]) -> list[Grant]:
    """Everything that is held, in the contracts that there are."""
    admins = [Grant(name, ADMIN_ROLE, TIMELOCK) for name in GOVERNED]
    return [entry for entry in (*BUILT_IN, *admins, *lasting(holders)) if entry.contract in contracts]


def roles_of(contract: str) -> list[str]:
    """The roles that a contract knows."""
    known = [ADMIN_ROLE] if contract in (*GOVERNED, *UNGOVERNED) else []
    return list(dict.fromkeys([*known, *(entry.role for entry in (*BUILT_IN, *LASTING) if entry.contract == contract)]))


def hand_over(
    contracts: Mapping[str, Address], holders: Mapping[str, Address], deployer: Address
) -> tuple[list[Step], list[Step]]:
    """The last two waves of a deployment: the timelock becomes admin or is offered it, and the deployer gives back what
    it was lent; then the timelock accepts, and the deployer gives up what is left. What `holders` names it for on
    purpose it keeps."""
    kept = {entry[:2] for entry in lasting(holders) if holders.get(entry.holder) == deployer}
    first = [
        *(
            (offer if name in TWO_STEP else grant)(
                name, contracts[name], ADMIN_ROLE, contracts[TIMELOCK], TIMELOCK, deployer
            )
            for name in GOVERNED
            if name in contracts
        ),
        *(
            renounce(name, contracts[name], role, deployer, DEPLOYER)
            for name in (*GOVERNED, *UNGOVERNED)
            if name in contracts
            for role in roles_of(name)
            if role != ADMIN_ROLE and (name, role) not in kept
        ),
    ]
    names = [name for name in (*UNGOVERNED, *GOVERNED) if name in contracts]
    second = [
        accept(name, contracts[name], contracts[TIMELOCK], TIMELOCK)
        if name in TWO_STEP
        else renounce(name, contracts[name], ADMIN_ROLE, deployer, DEPLOYER)
        for name in names
    ]
    return first, second
