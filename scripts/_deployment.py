"""The plan of a deployment: which contracts at which addresses, then which calls make them one venue.

Invariant: the plan is a pure function of parameters, compiled contracts, deployer and factory; every contract has its
address before anything is sent, and every call can tell from the chain whether it is done. The order of WAVES is the
only order that matters: what is in one wave may be mined in any order. Deliberately no network and no clock here.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from eth_abi.abi import encode

from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import ZERO_ADDRESS, Address
from scripts._artifacts import Artifact
from scripts._create2 import FACTORY, gas_floor, init_code, predict, salt_of
from scripts._parameters import Parameters, SynthParameters
from scripts._roles import DEPLOYER, LASTING, hand_over
from scripts._steps import ADMIN_ROLE, Look, Step, grant, has_role, is_true

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
    "SynthIssuer",
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
    one before is mined."""

    creations: list[list[Creation]]
    steps: list[list[Step]]
    last_steps: list[list[Step]]
    quote_token: Address
    markets: dict[str, dict[str, Any]]

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
    first, second, third = builder.create()
    wiring = Wiring(parameters, {creation.name: creation for creation in (*first, *second, *third)}, deployer)
    return Plan(
        creations=[first, second, third],
        steps=[wiring.grants(), wiring.listings()],
        last_steps=list(wiring.hand_over()),
        quote_token=builder.quote_token,
        markets={
            market.symbol: {"market": market.market, "baseToken": wiring.address(synth_name(market.base))}
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
        "roles": {role: parameters.role(role) for role in CONSTRUCTOR_ROLES},
        "synths": [(synth.symbol, synth.name) for synth in parameters.synths],
        "code": {name: keccak(artifacts[name].creation_code).hex() for name in ARTIFACTS},
    }
    return keccak(json.dumps(said, sort_keys=True).encode())


def synth_name(symbol: str) -> str:
    """The registry's name of a synth."""
    return f"SynthERC20:{symbol}"


class Builder:
    """Creations with resolved constructor arguments."""

    def __init__(self, parameters: Parameters, artifacts: Mapping[str, Artifact], deployer: Address) -> None:
        self._parameters = parameters
        self._artifacts = artifacts
        self._deployer = deployer
        self._factory = factory_of(parameters)
        self._fingerprint = fingerprint_of(parameters, artifacts, deployer)
        self.quote_token = Address(parameters.quote_token.lower())

    def create(self) -> tuple[list[Creation], list[Creation], list[Creation]]:
        """Waves: what calls nobody, the proxy (which calls its implementation), what calls the Vault."""
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
        first += [
            token,
            implementation,
            self._creation("OrderbookCommitment", admin=admin),
            self._creation("SynthIssuer", admin=admin, vault=vault.address),
            *(self._synth(synth, vault.address) for synth in parameters.synths),
        ]
        return first, [vault], [self._creation("Settlement", admin=admin, vault=vault.address)]

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

    def _synth(self, synth: SynthParameters, minter: Address) -> Creation:
        name = synth_name(synth.symbol)
        return self._creation(name, artifact="SynthERC20", name_=synth.name, symbol_=synth.symbol, minter_=minter)

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
    """The calls that follow the creations."""

    def __init__(self, parameters: Parameters, contracts: Mapping[str, Creation], deployer: Address) -> None:
        self._parameters = parameters
        self._contracts = contracts
        self._deployer = deployer
        self._priced = [synth for synth in parameters.synths if synth.price_units]

    def address(self, name: str) -> Address:
        return self._contracts[name].address

    def grants(self) -> list[Step]:
        """Lasting roles, and those that the deployer holds until `hand_over`."""
        lasting = [entry for entry in LASTING if entry.contract in self._contracts]
        return [
            *(self._grant(entry.contract, entry.role, self._holder(entry.holder), entry.holder) for entry in lasting),
            self._lend("Vault", "REGISTRAR_ROLE", self._registrations()),
            self._lend("Settlement", "LISTER_ROLE", self._markets()),
            self._lend("SynthIssuer", "POSTER_ROLE", self._prices()),
        ]

    def listings(self) -> list[Step]:
        return [*self._registrations(), *self._markets(), *self._prices()]

    def hand_over(self) -> tuple[list[Step], list[Step]]:
        """The last waves: afterwards the deployer's key is worth nothing."""
        addresses = {name: creation.address for name, creation in self._contracts.items()}
        return hand_over(addresses, self._parameters.role_addresses(), self._deployer)

    def _registrations(self) -> list[Step]:
        vault = self._contracts["Vault"]
        return [
            self._step(
                f"register {synth.symbol}",
                "Vault",
                vault.interface.call_data("registerSynth", [token := self.address(synth_name(synth.symbol))]),
                _is_true("Vault", vault, "isSynth", [token]),
            )
            for synth in self._parameters.synths
        ]

    def _markets(self) -> list[Step]:
        settlement = self._contracts["Settlement"]
        return [
            self._step(
                f"list {market.symbol}",
                "Settlement",
                settlement.interface.call_data(
                    "listMarket",
                    [
                        market.market,
                        self.address(synth_name(market.base)),
                        market.base_atoms_per_lot,
                        market.quote_atoms_per_tick_lot,
                        market.symbol,
                    ],
                ),
                _is_listed(
                    settlement,
                    market.market,
                    [
                        self.address(synth_name(market.base)),
                        market.base_atoms_per_lot,
                        market.quote_atoms_per_tick_lot,
                    ],
                ),
            )
            for market in self._parameters.markets
        ]

    def _prices(self) -> list[Step]:
        issuer = self._contracts["SynthIssuer"]
        return [
            self._step(
                f"post the first price of {synth.symbol}",
                "SynthIssuer",
                issuer.interface.call_data(
                    "postPrice", [token := self.address(synth_name(synth.symbol)), synth.price_units]
                ),
                _is_true("SynthIssuer", issuer, "priceOf", [token]),
            )
            for synth in self._priced
        ]

    def _holder(self, name: str) -> Address:
        return self.address(name) if name in self._contracts else self._parameters.role(name)

    def _grant(self, contract: str, role: str, holder: Address, holder_name: str) -> Step:
        return grant(contract, self.address(contract), role, holder, holder_name, self._deployer)

    def _lend(self, contract: str, role: str, purpose: list[Step]) -> Step:
        """A role for the deployer, unless all that it is needed for is done."""
        step = self._grant(contract, role, self._deployer, DEPLOYER)
        return step._replace(is_done=lambda look: step.is_done(look) or all(item.is_done(look) for item in purpose))

    def _step(self, label: str, contract: str, payload: bytes, is_done: Callable[[Look], bool]) -> Step:
        is_allowed = has_role(contract, self.address(contract), ADMIN_ROLE, self._deployer)
        return Step(label, self.address(contract), payload, is_done, is_allowed)


def readable(value: Any) -> Any:
    """A constructor argument for JSON: integers as decimal strings, bytes as hex."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return [readable(item) for item in value]


def _is_true(where: str, creation: Creation, function: str, arguments: list[Any]) -> Callable[[Look], bool]:
    """Done when the first word that the view returns is not zero."""
    payload = creation.interface.call_data(function, arguments)
    return is_true(f"{where}.{function}", creation.address, payload)


def _is_listed(settlement: Creation, market: int, row: list[Any]) -> Callable[[Look], bool]:
    """Done when the row is there; a market is set once, so another row under its number is a mistake."""
    payload = settlement.interface.call_data("marketOf", [market])
    expected = encode(["address", "uint128", "uint64"], row)

    def is_done(look: Look) -> bool:
        answer = look(settlement.address, payload)
        if answer == bytes(len(expected)):
            return False
        if answer != expected:
            remedy = "A listed market never changes: list it under another number"
            raise ConfigurationError(f"market {market} is listed with other parameters", remedy=remedy)
        return True

    return is_done
