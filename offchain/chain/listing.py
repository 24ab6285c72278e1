"""How a market comes on chain: the transactions, in order, and how the chain tells that one of them is done.

Invariant: a step is done or not by what the chain says, never by what was sent; nothing here sends. Each step needs the
ones before it, and repeating one that is done would revert. The terms of a synth and of its feed are set once by a
lister; changing them is the timelock's.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from offchain.chain.abi import Function
from offchain.chain.contracts import AmmFactory, PriceOracle, Settlement, SynthFactory, SynthIssuer, Vault
from offchain.chain.registry import Registry
from offchain.domain.event import MarketRequested
from offchain.domain.units import ZERO_ADDRESS, Address

CONTRACTS = ("SynthFactory", "Vault", "PriceOracle", "SynthIssuer", "AmmFactory", "Settlement")
"""What a registry must name for a market to be listed."""


class ListingStep(NamedTuple):
    """One transaction. `check` is a view call on `asked`; `is_done` reads what it returned, and raises
    `TermsDiffer` if another market, synth or feed stands where this one belongs."""

    label: str
    target: Address
    calldata: bytes
    asked: Address
    check: bytes
    is_done: Callable[[bytes], bool]


class TermsDiffer(ValueError):
    """The chain has something else under this name or number; the message says what."""


def predict_call(request: MarketRequested) -> bytes:
    """Calldata for SynthFactory that returns the synth's address, before and after it is created."""
    return SynthFactory.predict_synth.encode(request.synth_name, request.synth_symbol)


def decode_synth(answer: bytes) -> Address:
    return Address(str(SynthFactory.predict_synth.decode(answer)[0]).lower())


def listing_steps(
    registry: Registry, request: MarketRequested, synth: Address, sources: Sequence[Address] = ()
) -> tuple[ListingStep, ...]:
    """All steps of a market over `synth` (see `predict_call`). `sources` feed its price beside the posters."""
    factory, vault, oracle, issuer, pools, settlement = (registry.address(name) for name in CONTRACTS)
    terms = (request.ceiling, request.initial_percent, request.maintenance_percent, request.bonus_percent)
    feed = (request.quorum, request.max_age_seconds, request.max_move_ppm_per_minute, tuple(sources))
    row = (synth, request.base_atoms_per_lot, request.quote_atoms_per_tick_lot)
    market = request.market
    return (
        ListingStep(
            f"create {request.synth_symbol}",
            factory,
            SynthFactory.create_synth.encode(request.synth_name, request.synth_symbol),
            factory,
            SynthFactory.synth_of.encode(request.synth_symbol),
            _is_value(SynthFactory.synth_of, synth, f"{request.synth_symbol} is another synth"),
        ),
        ListingStep(
            f"register {request.synth_symbol}",
            factory,
            SynthFactory.register_synth.encode(synth),
            vault,
            Vault.is_synth.encode(synth),
            lambda answer: bool(Vault.is_synth.decode(answer)[0]),
        ),
        ListingStep(
            f"configure the price of {request.synth_symbol}",
            oracle,
            PriceOracle.configure.encode(synth, feed),
            oracle,
            PriceOracle.feed_of.encode(synth),
            lambda answer: bool(PriceOracle.feed_of.decode(answer)[0][0]),
        ),
        ListingStep(
            f"set the terms of {request.synth_symbol}",
            issuer,
            SynthIssuer.configure.encode(synth, terms),
            issuer,
            SynthIssuer.terms_of.encode(synth),
            lambda answer: any(SynthIssuer.terms_of.decode(answer)[0]),
        ),
        ListingStep(
            f"create the pool of {request.synth_symbol}",
            pools,
            AmmFactory.create_pair.encode(synth),
            pools,
            AmmFactory.pair_of.encode(synth),
            lambda answer: AmmFactory.pair_of.decode(answer)[0] != ZERO_ADDRESS,
        ),
        ListingStep(
            f"list {request.symbol}",
            settlement,
            Settlement.list_market.encode(
                market, synth, request.base_atoms_per_lot, request.quote_atoms_per_tick_lot, request.symbol
            ),
            settlement,
            Settlement.market_of.encode(market),
            _is_row(row, f"market {market} is listed with other terms"),
        ),
    )


def _is_value(view: Function, expected: Address, otherwise: str) -> Callable[[bytes], bool]:
    def is_done(answer: bytes) -> bool:
        (found,) = view.decode(answer)
        if found == ZERO_ADDRESS:
            return False
        if str(found).lower() != expected:
            raise TermsDiffer(f"{otherwise}: {found}")
        return True

    return is_done


def _is_row(expected: tuple[Address, int, int], otherwise: str) -> Callable[[bytes], bool]:
    def is_done(answer: bytes) -> bool:
        base, base_atoms, quote_atoms = Settlement.market_of.decode(answer)[0]
        if base == ZERO_ADDRESS:
            return False
        if (str(base).lower(), base_atoms, quote_atoms) != expected:
            raise TermsDiffer(otherwise)
        return True

    return is_done
