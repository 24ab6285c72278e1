"""The end of a deployment: whatever the deployer holds becomes the timelock's, or is given up.

Invariant: the timelock is admin of everything before the deployer stops being it; where the contract knows two steps,
the timelock's own acceptance is what ends the deployer. Afterwards every role of every contract is asked for once more,
and what is left is an error. Deliberately no parameters: what is where, and who runs it, is in the registry.
"""

from typing import Final, NamedTuple

import click

from offchain.domain.errors import ChainError, ConfigurationError
from offchain.domain.units import Address
from scripts._accounts import Signer
from scripts._chain import Sender
from scripts._roles import DEPLOYER, hand_over, roles_of
from scripts._steps import HAS_ROLE, Step, role_id
from scripts._venue import Venue

WORD_BYTES: Final = 32


class Power(NamedTuple):
    contract: str
    role: str


def powers(venue: Venue, holder: Address) -> list[Power]:
    """Every role that an address holds anywhere in the venue. A question without an answer is an error, never a no."""
    asked = [Power(name, role) for name in venue.contracts for role in roles_of(name)]
    answers = venue.chain.call_many(
        [(venue.contracts[power.contract], HAS_ROLE.encode(role_id(power.role), holder)) for power in asked]
    )
    held = []
    for power, answer in zip(asked, answers, strict=True):
        if answer is None or len(answer) != WORD_BYTES:
            remedy = "Ask again, or ask another node"
            raise ChainError(f"{power.contract} did not say whether {holder} holds {power.role}", remedy=remedy)
        if any(answer):
            held.append(power)
    return held


def waves_of(venue: Venue, deployer: Address) -> list[list[Step]]:
    """What is left to do."""
    names = [name for name in venue.contracts if name != "Timelock"]
    contracts = {name: venue.contracts[name] for name in (*names, "Timelock")}
    waves = hand_over(contracts, {}, deployer)
    return [[step for step in wave if not step.is_done(venue.chain.call)] for wave in waves]


def deployer_of(venue: Venue) -> Address:
    if DEPLOYER not in venue.roles:
        raise ConfigurationError("the registry names no deployer", remedy="Run `ape run deploy` again")
    return venue.roles[DEPLOYER]


def perform(venue: Venue, signer: Signer, waves: list[list[Step]]) -> None:
    """In order; a wave starts when the one before is mined."""
    chain = venue.chain
    if signer.address != deployer_of(venue):
        raise ConfigurationError(
            f"{signer.address} is not the deployer", remedy=f"Sign with the key of {deployer_of(venue)}"
        )
    sender = Sender(chain, signer, chain.nonce(signer.address), bool(chain.uses_big_blocks(signer.address)))
    for wave in waves:
        for step in wave:
            if not step.is_done(chain.call):
                if not step.is_allowed(chain.call):
                    raise ConfigurationError(f"{step.label}: the deployer may not do it any more")
                sender.send(step.label, step.target, step.payload, lambda mined, step=step: _say(step))  # type: ignore[misc]
        sender.settle()


def _say(step: Step) -> None:
    click.echo(f"  {step.label}")
