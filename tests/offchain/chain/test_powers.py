"""Who may call what: every function that changes something, but for Vault and Settlement, is in the table.

What is in the table under a role is tried with every other key in tests/forge/Powers.t.sol.
"""

from pathlib import Path
from typing import Any

import pytest
from local_chain import artifact

POWERS = Path(__file__).resolve().parents[2] / "forge" / "Powers.t.sol"

ANYONE = "anyone"
"""For their own account or money only, or for everybody's good: see the interface."""
ADMIN = "DEFAULT_ADMIN_ROLE"
ROLES = {
    "grantRole": ADMIN,
    "revokeRole": ADMIN,
    "renounceRole": ANYONE,
}
TWO_STEPS = ROLES | {"offerAdmin": ADMIN, "acceptAdmin": ANYONE}
TOKEN = dict.fromkeys(("approve", "transfer", "transferFrom", "permit"), ANYONE)

TABLE: dict[str, dict[str, str]] = {
    "SynthFactory": TWO_STEPS | {"createSynth": "CREATOR_ROLE", "registerSynth": "CREATOR_ROLE"},
    "PriceOracle": TWO_STEPS
    | {"configure": "LISTER_ROLE", "post": "POSTER_ROLE", "postUntil": "POSTER_ROLE", "accept": ANYONE},
    "SynthIssuer": TWO_STEPS
    | {"configure": "LISTER_ROLE", "pause": "GUARDIAN_ROLE", "unpause": "GUARDIAN_ROLE"}
    | dict.fromkeys(("open", "close", "liquidate", "absorb"), ANYONE)
    | dict.fromkeys(("shutDown", "reprice", "settlePositions", "redeem"), ANYONE),
    "OrderbookCommitment": TWO_STEPS | {"commit": "COMMITTER_ROLE"},
    "CXPT": ROLES | TOKEN | {"mint": "MINTER_ROLE"},
    "SynthERC20": TOKEN | {"mint": "minter", "burn": "minter", "initialize": "once"},
    "AmmFactory": {"createPair": ANYONE},
    "AmmPair": TOKEN | dict.fromkeys(("mint", "burn", "swap", "skim", "sync"), ANYONE) | {"initialize": "once"},
    "AmmRouter": dict.fromkeys(("swapExactIn", "swapExactOut", "addLiquidity", "removeLiquidity"), ANYONE),
    "TwapSource": {"update": ANYONE},
    "HyperCoreSource": {},
    "Timelock": ROLES
    | dict.fromkeys(("schedule", "scheduleBatch"), "PROPOSER_ROLE")
    | dict.fromkeys(("execute", "executeBatch"), "EXECUTOR_ROLE")
    | dict.fromkeys(("onERC721Received", "onERC1155Received", "onERC1155BatchReceived"), ANYONE)
    | {"cancel": "CANCELLER_ROLE", "updateDelay": "itself", "acceptAdminOf": ANYONE},
}
VARIABLES = {
    "SynthFactory": "synthFactory",
    "PriceOracle": "prices",
    "SynthIssuer": "issuer",
    "OrderbookCommitment": "commitment",
}
"""What Powers.t.sol calls them."""
KEYED = {"LISTER_ROLE", "POSTER_ROLE", "GUARDIAN_ROLE", "CREATOR_ROLE", "COMMITTER_ROLE"}


def changing(name: str) -> set[str]:
    abi: list[dict[str, Any]] = artifact(name)["abi"]
    return {
        entry["name"]
        for entry in abi
        if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable")
    }


@pytest.mark.parametrize("name", TABLE)
def test_every_function_that_changes_something_is_somebodys(name: str) -> None:
    assert changing(name) == set(TABLE[name])


@pytest.mark.parametrize("name", VARIABLES)
def test_what_is_a_roles_is_tried_with_every_other_key(name: str) -> None:
    tried = POWERS.read_text()
    variable = {"SynthFactory": "synthFactory", "PriceOracle": "prices", "SynthIssuer": "issuer"}.get(
        name, "commitment"
    )
    for function, role in TABLE[name].items():
        if role in KEYED:
            assert f"abi.encodeCall({variable}.{function}, " in tried, function
        elif role == ADMIN:
            assert f"abi.encodeCall(target.{function}, " in tried, function


def test_tokens_and_pools_have_no_owner() -> None:
    """Nothing of them can be set, stopped or taken by anyone."""
    for name in ("AmmFactory", "AmmPair", "AmmRouter", "TwapSource", "HyperCoreSource"):
        assert set(TABLE[name].values()) <= {ANYONE, "once"}, name
