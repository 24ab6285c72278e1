"""The synths, price feeds, pools and markets of the parameters, as calls of the deployer.

Invariant: the calls, and how the chain tells that one is done, are those of `offchain.chain.listing`, which the list
keeper follows too; here they are only put into waves. Every synth and pool has its address before it is created.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from eth_abi.abi import encode

from offchain.chain.listing import ListingStep, TermsDiffer, listing_steps
from offchain.chain.registry import Contract, Registry
from offchain.domain.errors import ChainError, ChainUnreachable, ConfigurationError
from offchain.domain.event import MarketRequested
from offchain.domain.keccak import keccak
from offchain.domain.units import Address, from_hex
from scripts._artifacts import Artifact
from scripts._create2 import predict_clone
from scripts._parameters import Parameters, SynthParameters
from scripts._roles import GOVERNED
from scripts._steps import ADMIN_ROLE, Look, Step, has_role

NO_MARKET: Final = 0
"""The number of a request for a synth without a market: its last step is left out."""


class Clone(NamedTuple):
    """A contract that another one creates, when `payload` is sent to `target`."""

    name: str
    artifact: Artifact
    address: Address
    target: Address
    payload: bytes


class Listings:
    """`synths` is symbol -> address."""

    def __init__(self, parameters: Parameters, contracts: Mapping[str, Address], deployer: Address) -> None:
        self._parameters = parameters
        self._contracts = contracts
        self._deployer = deployer
        self.synths = {synth.symbol: predict_synth(contracts, synth.name, synth.symbol) for synth in parameters.synths}
        self._steps = [self._listing(request) for request in self._requests()]

    def waves(self) -> list[list[Step]]:
        """Synths and their feeds; their registration; what asks the Vault whether they are registered."""
        waves: list[list[Step]] = [[], [], []]
        for create, register, feed, terms, pool, *market in self._steps:
            for wave, steps in zip(waves, ([create, feed], [register], [terms, pool, *market]), strict=True):
                wave += [step for step in steps if not _is_among(step, wave)]
        return waves

    def steps_of(self, contract: str) -> list[Step]:
        return [step for wave in self.waves() for step in wave if step.target == self._contracts[contract]]

    def clones(self, artifacts: Mapping[str, Artifact]) -> list[Clone]:
        """The synths and pools, in the order of the parameters."""
        found: dict[str, Clone] = {}
        for request, (create, _, _, _, pool, *_) in zip(self._requests(), self._steps, strict=True):
            symbol = request.synth_symbol
            synth = self.synths[symbol]
            for name, artifact, address, step in (
                (f"SynthERC20:{symbol}", "SynthERC20", synth, create),
                (f"AmmPair:{symbol}", "AmmPair", predict_pair(self._contracts, synth), pool),
            ):
                found[name] = Clone(name, artifacts[artifact], address, step.target, step.payload)
        return sorted(found.values(), key=lambda clone: clone.name.split(":")[0], reverse=True)

    def _requests(self) -> list[MarketRequested]:
        """One for every market, and one for every synth that no market trades."""
        synths = {synth.symbol: synth for synth in self._parameters.synths}
        traded = {market.base for market in self._parameters.markets}
        return [
            *(
                _request(
                    synths[market.base],
                    self._deployer,
                    market.market,
                    market.symbol,
                    market.base_atoms_per_lot,
                    market.quote_atoms_per_tick_lot,
                )
                for market in self._parameters.markets
            ),
            *(_request(synth, self._deployer) for synth in synths.values() if synth.symbol not in traded),
        ]

    def _listing(self, request: MarketRequested) -> list[Step]:
        registry = registry_of(self._contracts)
        symbol = request.synth_symbol
        wanted = next(synth.sources for synth in self._parameters.synths if synth.symbol == symbol)
        unknown = [name for name in wanted if name not in self._contracts]
        if unknown:
            raise ConfigurationError(f"{symbol} has a source {unknown[0]}, which the deployment does not have")
        sources = [self._contracts[name] for name in wanted]
        steps = listing_steps(registry, request, self.synths[symbol], sources)
        return [self._step(step) for step in (steps if request.market != NO_MARKET else steps[:-1])]

    def _step(self, step: ListingStep) -> Step:
        name = next(name for name, address in self._contracts.items() if address == step.target)
        is_allowed: Callable[[Look], bool] = lambda look: True  # noqa: E731
        if name in GOVERNED:
            is_allowed = has_role(name, step.target, ADMIN_ROLE, self._deployer)
        return Step(step.label, step.target, step.calldata, lambda look: is_done(step, look), is_allowed)


def is_done(step: ListingStep, look: Look) -> bool:
    """What the chain says. A view that refuses to answer says that it is missing."""
    try:
        return step.is_done(look(step.asked, step.check))
    except TermsDiffer as error:
        remedy = "A listed market never changes: list it under another number, and another synth under another symbol"
        raise ConfigurationError(str(error), remedy=remedy) from None
    except ChainUnreachable:
        raise
    except ChainError:
        return False


def registry_of(contracts: Mapping[str, Address]) -> Registry:
    """As much of a registry as `listing_steps` asks for."""
    known = {name: Contract(address=address) for name, address in contracts.items()}
    return Registry(chain_id=0, quote_token=Address(""), contracts=known)


def predict_synth(contracts: Mapping[str, Address], name: str, symbol: str) -> Address:
    """Where SynthFactory puts it. Twin: SynthFactory.predictSynth."""
    salt = keccak(encode(["string", "string"], [name, symbol]))
    return predict_clone(contracts["SynthFactory"], salt, contracts["SynthImplementation"])


def predict_pair(contracts: Mapping[str, Address], base: Address) -> Address:
    """Where AmmFactory puts it. Twin: AmmFactory.predictPair."""
    return predict_clone(contracts["AmmFactory"], from_hex(base).rjust(32, b"\0"), contracts["AmmPairImplementation"])


def _request(synth: SynthParameters, by: Address, *row: Any) -> MarketRequested:
    market, symbol, base_atoms, quote_atoms = row or (NO_MARKET, "", 0, 0)
    return MarketRequested(
        market=market,
        symbol=symbol,
        synth_symbol=synth.symbol,
        synth_name=synth.name,
        base_atoms_per_lot=base_atoms,
        quote_atoms_per_tick_lot=quote_atoms,
        ceiling=synth.ceiling_atoms,
        initial_percent=synth.initial_percent,
        maintenance_percent=synth.maintenance_percent,
        bonus_percent=synth.bonus_percent,
        quorum=synth.quorum,
        max_age_seconds=synth.max_age_seconds,
        max_move_ppm_per_minute=synth.max_move_ppm_per_minute,
        by=by,
    )


def _is_among(step: Step, wave: list[Step]) -> bool:
    """Two markets may trade one synth."""
    return any((other.target, other.payload) == (step.target, step.payload) for other in wave)
