"""The plan of a deployment: which contracts at which addresses, then which calls make them one venue.

Invariant: the plan is a pure function of parameters, compiled contracts, deployer and factory; every contract has its
address before anything is sent, and every call can tell from the chain whether it is done. The order of WAVES is the
only order that matters: what is in one wave may be mined in any order. Deliberately no network and no clock here.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import ZERO_ADDRESS, Address
from scripts._artifacts import Artifact
from scripts._create2 import FACTORY, gas_floor, init_code, predict, salt_of
from scripts._listings import Clone, Listings
from scripts._parameters import Parameters
from scripts._roles import DEPLOYER, LISTING, hand_over, lasting
from scripts._steps import ADMIN_ROLE, Step, grant, has_role, is_true

NAMESPACE: Final = "HOOATS"
CONSTRUCTOR_ROLES: Final = ("cosigner", "feeAccount", "treasuryAccount", "insuranceAccount", "proposer")
ARTIFACTS: Final = (
    "Timelock",
    "TestUSDC",
    "CXPT",
    "SynthERC20",
    "Vault",
    "VaultProxy",
    "Settlement",
    "OrderbookCommitment",
    "SynthFactory",
    "PriceOracle",
    "SynthIssuer",
    "AmmPair",
    "AmmFactory",
    "AmmRouter",
    "TwapSource",
)


class Creation(NamedTuple):
    """One contract to create: `payload` is what the factory takes, `interface` how others call it."""

    name: str
    artifact: Artifact
    interface: Artifact
    arguments: list[Any]
    payload: bytes
    address: Address

    @property
    def salt(self) -> bytes:
        return self.payload[:32]

    @property
    def gas_floor(self) -> int:
        return gas_floor(self.payload, self.artifact.runtime_bytes)


class Plan(NamedTuple):
    """`creations`, `steps` and `last_steps` (after which the deployer can do nothing) in waves; a wave starts when the
    one before is mined. `clones` are what steps create."""

    creations: list[list[Creation]]
    steps: list[list[Step]]
    last_steps: list[list[Step]]
    clones: list[Clone]
    quote_token: Address
    markets: dict[str, dict[str, Any]]

    @property
    def addresses(self) -> dict[str, Address]:
        """Of everything, in the order of the registry."""
        made = {creation.name: creation.address for creation in self.contracts}
        return made | {clone.name: clone.address for clone in self.clones}

    @property
    def contracts(self) -> list[Creation]:
        return [creation for wave in self.creations for creation in wave]


def bind(entry: dict[str, Any], values: Mapping[str, Any], where: str) -> list[Any]:
    """Values in the order of the ABI entry's parameters. Underscores around a parameter's name do not count."""
    names = [item["name"].strip("_") for item in entry["inputs"]]
    if set(names) != set(values) or len(names) != len(values):
        raise ConfigurationError(f"{where} takes ({', '.join(names)}), not ({', '.join(values)})")
    return [values[name] for name in names]


def make_plan(parameters: Parameters, artifacts: Mapping[str, Artifact], deployer: Address) -> Plan:
    """The whole deployment."""
    builder = Builder(parameters, artifacts, deployer)
    waves = builder.create()
    contracts = {creation.name: creation for wave in waves for creation in wave}
    listings = Listings(parameters, {name: made.address for name, made in contracts.items()}, deployer)
    wiring = Wiring(parameters, contracts, listings, deployer)
    return Plan(
        creations=waves,
        steps=[wiring.grants(), *listings.waves(), wiring.prices()],
        last_steps=list(wiring.hand_over()),
        clones=listings.clones(artifacts),
        quote_token=builder.quote_token,
        markets={
            market.symbol: {"market": market.market, "baseToken": listings.synths[market.base]}
            for market in parameters.markets
        },
    )


def factory_of(parameters: Parameters) -> Address:
    return Address(parameters.factory.lower()) if parameters.factory else FACTORY


def fingerprint_of(parameters: Parameters, artifacts: Mapping[str, Artifact], deployer: Address) -> bytes:
    """Everything that goes into a constructor. It is in every salt, so that two deployments on one chain share nothing,
    not even a contract whose own arguments are the same: its admin may have been handed over."""
    said = {
        "deployer": deployer,
        "quoteToken": parameters.quote_token.lower(),
        "timelockDelaySeconds": parameters.timelock_delay_seconds,
        "outflowPerHour": parameters.outflow_units,
        "twapWindowSeconds": parameters.twap_window_seconds,
        "roles": {role: parameters.role(role) for role in CONSTRUCTOR_ROLES},
        "code": {name: keccak(artifacts[name].creation_code).hex() for name in ARTIFACTS},
    }
    return keccak(json.dumps(said, sort_keys=True).encode())


class Builder:
    """Creations with resolved constructor arguments."""

    def __init__(self, parameters: Parameters, artifacts: Mapping[str, Artifact], deployer: Address) -> None:
        self._parameters = parameters
        self._artifacts = artifacts
        self._deployer = deployer
        self._factory = factory_of(parameters)
        self._fingerprint = fingerprint_of(parameters, artifacts, deployer)
        self.quote_token = Address(parameters.quote_token.lower())

    def create(self) -> list[list[Creation]]:
        """Waves: what calls nobody; what calls its implementation; what asks the Vault; what asks that."""
        parameters, admin = self._parameters, self._deployer
        proposer = parameters.role("proposer")
        timelock = self._creation(
            "Timelock",
            minDelay=parameters.timelock_delay_seconds,
            proposers=[proposer],
            executors=[proposer],
            admin=ZERO_ADDRESS,
        )
        first = [timelock]
        if not self.quote_token:
            first.append(self._creation("TestUSDC"))
            self.quote_token = first[-1].address
        token = self._creation("CXPT", admin=admin)
        implementation = self._creation("VaultImplementation", artifact="Vault")
        vault = self._vault(implementation, token.address)
        synth = self._creation("SynthImplementation", artifact="SynthERC20", minter=vault.address)
        pair = self._creation("AmmPairImplementation", artifact="AmmPair")
        oracle = self._creation("PriceOracle", admin=admin)
        first += [
            token,
            implementation,
            self._creation("OrderbookCommitment", admin=admin),
            synth,
            oracle,
            self._creation("SynthIssuer", admin=admin, vault=vault.address, oracle=oracle.address),
            pair,
        ]
        synths = self._creation("SynthFactory", admin=admin, implementation=synth.address)
        pools = self._creation("AmmFactory", vault=vault.address, implementation=pair.address)
        last = [
            self._creation("AmmRouter", factory=pools.address),
            self._creation("TwapSource", factory=pools.address, window=parameters.twap_window_seconds),
            self._creation("Settlement", admin=admin, vault=vault.address, ammFactory=pools.address),
        ]
        return [first, [vault, synths], [pools], last]

    def _vault(self, implementation: Creation, token: Address) -> Creation:
        """The proxy, initialised by its own constructor: nobody can come between."""
        role = self._parameters.role
        initialization = self._call_by_name(
            implementation.artifact,
            "initialize",
            {
                "admin": self._deployer,
                "quoteToken": self.quote_token,
                "cxpt": token,
                "cosigner": role("cosigner"),
                "feeAccount": role("feeAccount"),
                "treasuryAccount": role("treasuryAccount"),
                "insuranceAccount": role("insuranceAccount"),
                "outflowPerHour": self._parameters.outflow_units,
            },
        )
        proxy = self._creation(
            "Vault", artifact="VaultProxy", implementation=implementation.address, initialization=initialization
        )
        return proxy._replace(interface=implementation.artifact)

    def _call_by_name(self, artifact: Artifact, function: str, values: Mapping[str, Any]) -> bytes:
        """Calldata with arguments by parameter name: two addresses cannot change places unnoticed."""
        entry = artifact.find("function", function)
        return artifact.call_data(function, bind(entry, values, f"{artifact.name}.{function}"))

    def _creation(self, name: str, /, artifact: str = "", **values: Any) -> Creation:
        compiled = self._artifacts[artifact or name]
        salt = salt_of(NAMESPACE, self._parameters.version, name, self._fingerprint)
        return make_creation(name, compiled, self._factory, salt, values)


def make_creation(
    name: str, compiled: Artifact, factory: Address, salt: bytes, values: Mapping[str, Any] = {}
) -> Creation:
    """A contract to create; `values` are its constructor's arguments by name."""
    constructor = compiled.find("constructor")
    arguments = bind(constructor, {key.strip("_"): value for key, value in values.items()}, compiled.name)
    code = init_code(compiled.creation_code, constructor["inputs"], arguments, compiled.name)
    return Creation(name, compiled, compiled, arguments, salt + code, predict(factory, salt, code))


class Wiring:
    """The calls that follow the creations, but for the listings."""

    def __init__(
        self,
        parameters: Parameters,
        contracts: Mapping[str, Creation],
        listings: Listings,
        deployer: Address,
    ) -> None:
        self._parameters = parameters
        self._contracts = contracts
        self._listings = listings
        self._deployer = deployer

    def address(self, name: str) -> Address:
        return self._contracts[name].address

    def grants(self) -> list[Step]:
        """Lasting roles, and those that the deployer holds until `hand_over`."""
        entries = lasting(self._parameters.role_addresses())
        return [
            *(self._grant(entry.contract, entry.role, self._holder(entry.holder), entry.holder) for entry in entries),
            *(self._lend(contract, role, self._listings.steps_of(contract)) for contract, role in LISTING),
            *(self._lend("PriceOracle", "POSTER_ROLE", prices) for prices in [self.prices()] if prices),
        ]

    def prices(self) -> list[Step]:
        """The first price of every synth that has one, in one call."""
        priced = [synth for synth in self._parameters.synths if synth.price_units]
        if not priced:
            return []
        oracle = self._contracts["PriceOracle"]
        tokens = [self._listings.synths[synth.symbol] for synth in priced]
        payload = oracle.interface.call_data("post", [tokens, [synth.price_units for synth in priced]])
        views = [oracle.interface.call_data("priceOf", [token]) for token in tokens]
        known = [is_true("PriceOracle.priceOf", oracle.address, view) for view in views]
        is_allowed = has_role("PriceOracle", oracle.address, ADMIN_ROLE, self._deployer)
        label = f"post the first price of {', '.join(synth.symbol for synth in priced)}"
        return [Step(label, oracle.address, payload, lambda look: all(ask(look) for ask in known), is_allowed)]

    def hand_over(self) -> tuple[list[Step], list[Step]]:
        """The last waves: afterwards the deployer's key is worth nothing."""
        addresses = {name: creation.address for name, creation in self._contracts.items()}
        return hand_over(addresses, self._parameters.role_addresses(), self._deployer)

    def _holder(self, name: str) -> Address:
        return self.address(name) if name in self._contracts else self._parameters.role(name)

    def _grant(self, contract: str, role: str, holder: Address, holder_name: str) -> Step:
        return grant(contract, self.address(contract), role, holder, holder_name, self._deployer)

    def _lend(self, contract: str, role: str, purpose: list[Step]) -> Step:
        """A role for the deployer, unless all that it is needed for is done."""
        step = self._grant(contract, role, self._deployer, DEPLOYER)
        return step._replace(is_done=lambda look: step.is_done(look) or all(item.is_done(look) for item in purpose))


def readable(value: Any) -> Any:
    """A constructor argument for JSON: integers as decimal strings, bytes as hex."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return [readable(item) for item in value]
