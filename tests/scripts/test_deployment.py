"""The plan: addresses before anything is sent, and calls that end in the same state wherever they were interrupted."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_abi.abi import decode, encode

from offchain.chain.abi import Function
from offchain.chain.contracts import (
    FEED,
    SYNTH_TERMS,
    AmmFactory,
    PriceOracle,
    Settlement,
    SynthFactory,
    SynthIssuer,
    Vault,
)
from offchain.domain.errors import ConfigurationError
from offchain.domain.units import ZERO_ADDRESS, Address
from scripts._artifacts import Artifact
from scripts._deployment import ARTIFACTS, Plan, make_plan, readable
from scripts._parameters import Parameters, load
from scripts._roles import GOVERNED, TWO_STEP, UNGOVERNED
from scripts._steps import (
    ACCEPT_ADMIN_OF,
    GRANT_ROLE,
    HAS_ROLE,
    OFFER_ADMIN,
    OFFERED_TO,
    RENOUNCE_ROLE,
    Step,
    role_id,
)

LOCAL = Path(__file__).resolve().parents[2] / "deployment" / "local.yaml"
DEPLOYER = Address("0x" + "d0" * 20)

CONSTRUCTORS = {
    "Timelock": "uint256 minDelay,address[] proposers,address[] executors,address admin",
    "CXPT": "address admin",
    "SynthERC20": "address minter_",
    "VaultProxy": "address implementation,bytes initialization",
    "Settlement": "address admin,address vault,address ammFactory",
    "OrderbookCommitment": "address admin",
    "SynthFactory": "address admin,address implementation",
    "PriceOracle": "address admin",
    "SynthIssuer": "address admin,address vault,address oracle",
    "AmmFactory": "address vault,address implementation",
    "AmmRouter": "address factory",
    "TwapSource": "address factory,uint32 window",
}
INITIALIZE = (
    "address admin,address quoteToken_,address cxpt,address cosigner_,address feeAccount_,"
    "address treasuryAccount_,address insuranceAccount_,uint128 outflowPerHour"
)
FUNCTIONS = {
    "Vault": {"initialize": INITIALIZE},
    "PriceOracle": {"post": "address[] synths,uint256[] prices", "priceOf": "address synth"},
}
LISTED = (SynthFactory, Vault, PriceOracle, SynthIssuer, AmmFactory, Settlement)


def inputs(text: str) -> list[dict[str, Any]]:
    pairs = (part.split() for part in text.split(",") if part)
    return [{"type": kind, "name": name} for kind, name in pairs]


def artifacts(initialize: str = INITIALIZE) -> dict[str, Artifact]:
    made = {}
    for name in ARTIFACTS:
        functions = {"initialize": initialize} if name == "Vault" else FUNCTIONS.get(name, {})
        abi = [{"type": "function", "name": key, "inputs": inputs(text)} for key, text in functions.items()]
        abi.append({"type": "constructor", "inputs": inputs(CONSTRUCTORS.get(name, ""))})
        made[name] = Artifact(name, abi, name.encode(), 1_000)
    return made


@pytest.fixture
def parameters() -> Parameters:
    return load(LOCAL, {})


@pytest.fixture
def plan(parameters: Parameters) -> Plan:
    return make_plan(parameters, artifacts(), DEPLOYER)


def addresses(plan: Plan) -> dict[str, Address]:
    return {creation.name: creation.address for creation in plan.contracts}


# --- creations ---


def test_two_deployments_share_nothing_or_everything(parameters: Parameters, plan: Plan) -> None:
    everything = len(addresses(plan))

    def overlap(changed: Parameters, deployer: Address = DEPLOYER, code: bytes = b"") -> int:
        made = artifacts()
        made["Settlement"] = made["Settlement"]._replace(creation_code=made["Settlement"].creation_code + code)
        return len(set(addresses(make_plan(changed, made, deployer)).values()) & set(addresses(plan).values()))

    def with_role(name: str) -> Parameters:
        return msgspec.structs.replace(parameters, roles=parameters.roles | {name: "0x" + "77" * 20})

    assert overlap(parameters) == everything
    for wired_later in ("settler", "committer", "poster", "lister", "guardian"):
        assert overlap(with_role(wired_later)) == everything
    for constructed in ("cosigner", "feeAccount", "treasuryAccount", "insuranceAccount", "proposer"):
        assert overlap(with_role(constructed)) == 0
    assert overlap(msgspec.structs.replace(parameters, version="2")) == 0
    assert overlap(parameters, deployer=Address("0x" + "d1" * 20)) == 0
    assert overlap(parameters, code=b"x") == 0


def test_a_named_quote_token_is_not_deployed(parameters: Parameters) -> None:
    token = "0x" + "Ab" * 20
    plan = make_plan(msgspec.structs.replace(parameters, quote_token=token), artifacts(), DEPLOYER)
    assert plan.quote_token == token.lower()
    assert "TestUSDC" not in addresses(plan)


def test_the_proxy_initialises_the_vault_in_its_constructor(parameters: Parameters, plan: Plan) -> None:
    by_name = {creation.name: creation for creation in plan.contracts}
    implementation, initialization = by_name["Vault"].arguments
    assert implementation == by_name["VaultImplementation"].address
    assert by_name["Vault"].interface is by_name["VaultImplementation"].artifact
    values = decode(["address"] * 7 + ["uint128"], initialization[4:])
    roles = ("cosigner", "feeAccount", "treasuryAccount", "insuranceAccount")
    expected = [DEPLOYER, plan.quote_token, by_name["CXPT"].address, *(parameters.role(role) for role in roles)]
    assert list(values) == [*expected, 1_000_000 * 10**6]


def test_arguments_go_by_name_not_by_position(parameters: Parameters) -> None:
    swapped = ",".join(reversed(INITIALIZE.split(",")))
    plan = make_plan(parameters, artifacts(swapped), DEPLOYER)
    initialization = next(creation for creation in plan.contracts if creation.name == "Vault").arguments[1]
    assert decode(["uint128"] + ["address"] * 7, initialization[4:])[-1] == DEPLOYER


def test_a_parameter_that_the_plan_does_not_know_stops_it(parameters: Parameters) -> None:
    with pytest.raises(ConfigurationError, match=r"Vault.initialize takes \(admin, .*, surprise\), not"):
        make_plan(parameters, artifacts(f"{INITIALIZE},address surprise"), DEPLOYER)


def test_arguments_in_json() -> None:
    assert readable([1, True, "a", b"\x01", ["0x2", 3]]) == ["1", True, "a", "0x01", ["0x2", "3"]]


# --- calls, against contracts of a few lines ---


class FakeContracts:
    """Roles, synths, markets and prices: what the calls of the plan change and ask."""

    def __init__(self, plan: Plan) -> None:
        self.names = {creation.address: creation.name for creation in plan.contracts}
        self.roles = {(address, bytes(32), DEPLOYER) for address, name in self.names.items() if name in GOVERNED}
        self.roles |= {(address, bytes(32), DEPLOYER) for address, name in self.names.items() if name in UNGOVERNED}
        self.done: dict[tuple[str, Any], bytes] = {}
        self.clones = {(clone.target, clone.payload): clone for clone in plan.clones}
        self.synths: set[Address] = set()
        self.offers: dict[Address, Address] = {}

    def look(self, target: Address, payload: bytes) -> bytes:
        if payload[:4] == HAS_ROLE.selector:
            return int((target, *HAS_ROLE.arguments(payload)) in self.roles).to_bytes(32)
        if payload[:4] == OFFERED_TO.selector:
            return encode(["address"], [self.offers.get(target, ZERO_ADDRESS)])
        function = self._function(payload)
        (asked,) = function.arguments(payload)
        empty = {"feedOf": encode([FEED], [(0, 0, 0, [])]), "termsOf": bytes(128)}
        return self.done.get((function.name, asked), empty.get(function.name, bytes(96)))

    def _function(self, payload: bytes) -> Function:
        for contract in LISTED:
            for function in vars(contract).values():
                if isinstance(function, Function) and function.selector == payload[:4]:
                    return function
        raise AssertionError("no such function")

    def perform(self, step: Step) -> None:
        if step.payload[:4] == RENOUNCE_ROLE.selector:
            role, holder = RENOUNCE_ROLE.arguments(step.payload)
            assert holder == DEPLOYER
            assert role != bytes(32) or self.names[step.target] not in TWO_STEP
            self.roles.discard((step.target, role, holder))
        elif step.payload[:4] == GRANT_ROLE.selector:
            self._require(step, "DEFAULT_ADMIN_ROLE")
            role, holder = GRANT_ROLE.arguments(step.payload)
            assert role != bytes(32) or self.names[step.target] not in TWO_STEP
            self.roles.add((step.target, role, holder))
        elif step.payload[:4] == OFFER_ADMIN.selector:
            self._require(step, "DEFAULT_ADMIN_ROLE")
            (self.offers[step.target],) = OFFER_ADMIN.arguments(step.payload)
        elif step.payload[:4] == ACCEPT_ADMIN_OF.selector:
            (target,) = ACCEPT_ADMIN_OF.arguments(step.payload)
            assert self.offers.pop(target) == step.target
            self.roles = {role for role in self.roles if role[:2] != (target, bytes(32))}
            self.roles.add((target, bytes(32), step.target))
        else:
            self._list(step)

    def _require(self, step: Step, role: str) -> None:
        assert (step.target, role_id(role), DEPLOYER) in self.roles, f"{step.label} is not allowed"

    def _list(self, step: Step) -> None:
        function = self._function(step.payload)
        arguments = function.arguments(step.payload)
        clone = self.clones.get((step.target, step.payload))
        match function.name:
            case "createSynth":
                self._require(step, "CREATOR_ROLE")
                self.done["synthOf", arguments[1]] = encode(["address"], [clone.address])
            case "registerSynth":
                self._require(step, "CREATOR_ROLE")
                (vault,) = (address for address, name in self.names.items() if name == "Vault")
                assert (vault, role_id("REGISTRAR_ROLE"), step.target) in self.roles
                self.synths.add(arguments[0])
                self.done["isSynth", arguments[0]] = encode(["bool"], [True])
            case "configure" if self.names[step.target] == "PriceOracle":
                self._require(step, "LISTER_ROLE")
                self.done["feedOf", arguments[0]] = encode([FEED], [arguments[1]])
            case "configure":
                self._require(step, "LISTER_ROLE")
                assert arguments[0] in self.synths
                self.done["termsOf", arguments[0]] = encode([SYNTH_TERMS], [arguments[1]])
            case "createPair":
                assert arguments[0] in self.synths
                self.done["pairOf", arguments[0]] = encode(["address"], [clone.address])
            case "listMarket":
                self._require(step, "LISTER_ROLE")
                assert arguments[1] in self.synths
                self.done["marketOf", arguments[0]] = encode(["address", "uint128", "uint64"], arguments[1:4])
            case "post":
                self._require(step, "POSTER_ROLE")
                for synth in arguments[0]:
                    self.done["priceOf", synth] = encode(["uint256"] * 4, [1, 1, 0, 1])

    def run(self, plan: Plan, at_most: int = 1_000) -> int:
        """Performs what is not done, in order; returns how many calls that took."""
        count = 0
        for step in (step for wave in (*plan.steps, *plan.last_steps) for step in wave):
            if count < at_most and not step.is_done(self.look):
                assert step.is_allowed(self.look), step.label
                self.perform(step)
                count += 1
        return count


STEPS = 51


def test_the_deployer_ends_with_no_role(plan: Plan) -> None:
    contracts = FakeContracts(plan)
    assert contracts.run(plan) == STEPS
    assert not [role for role in contracts.roles if role[2] == DEPLOYER]
    timelock = addresses(plan)["Timelock"]
    assert (addresses(plan)["Vault"], role_id("UPGRADER_ROLE"), timelock) in contracts.roles


@pytest.mark.parametrize("cut", range(STEPS))
def test_interrupted_after_any_call_it_ends_in_the_same_state(plan: Plan, cut: int) -> None:
    whole, interrupted = FakeContracts(plan), FakeContracts(plan)
    whole.run(plan)
    assert interrupted.run(plan, cut) == cut
    assert interrupted.run(plan) == STEPS - cut
    assert (interrupted.roles, interrupted.done) == (whole.roles, whole.done)
    assert interrupted.run(plan) == 0


def test_calls_of_one_wave_may_be_mined_in_any_order(plan: Plan) -> None:
    whole, reversed_waves = FakeContracts(plan), FakeContracts(plan)
    whole.run(plan)
    reversed_waves.run(
        plan._replace(steps=[wave[::-1] for wave in plan.steps], last_steps=[wave[::-1] for wave in plan.last_steps])
    )
    assert (reversed_waves.roles, reversed_waves.done) == (whole.roles, whole.done)


def test_after_the_hand_over_a_new_market_is_the_timelocks(parameters: Parameters, plan: Plan) -> None:
    contracts = FakeContracts(plan)
    contracts.run(plan)
    market = msgspec.structs.replace(parameters.markets[0], market=3, symbol="NEW")
    more = make_plan(msgspec.structs.replace(parameters, markets=(*parameters.markets, market)), artifacts(), DEPLOYER)
    pending = [step for wave in more.steps for step in wave if not step.is_done(contracts.look)]
    assert [step.label for step in pending] == ["Settlement: LISTER_ROLE to deployer", "list NEW"]
    assert not any(step.is_allowed(contracts.look) for step in pending)


def test_a_market_under_a_taken_number_is_a_mistake(parameters: Parameters, plan: Plan) -> None:
    contracts = FakeContracts(plan)
    contracts.run(plan)
    first, *rest = parameters.markets
    changed = (msgspec.structs.replace(first, quote_atoms_per_tick_lot=99), *rest)
    other = make_plan(msgspec.structs.replace(parameters, markets=changed), artifacts(), DEPLOYER)
    with pytest.raises(ConfigurationError, match="market 1 is listed with other terms"):
        contracts.run(other)


def test_a_poster_who_deploys_keeps_the_role(parameters: Parameters) -> None:
    own = msgspec.structs.replace(parameters, roles=parameters.roles | {"poster": DEPLOYER})
    plan = make_plan(own, artifacts(), DEPLOYER)
    contracts = FakeContracts(plan)
    contracts.run(plan)
    assert [role[1] for role in contracts.roles if role[2] == DEPLOYER] == [role_id("POSTER_ROLE")]
    assert contracts.run(plan) == 0
