"""Which token a synth's symbol names, and which synths there are: the registry's, or created after the deployment.

Invariant: the SynthFactory decides, since it gives a symbol away once; the registry only spares asking.
"""

from collections.abc import Callable
from typing import Any

from offchain.chain.contracts import AmmFactory, AmmPair, SynthFactory, Token
from offchain.chain.registry import Registry
from offchain.chain.wallet import Endpoint
from offchain.domain.errors import ConfigurationError, InvalidInput
from offchain.domain.units import ZERO_ADDRESS, Address

Ask = Callable[..., tuple[Any, ...]]
"""(contract, function, *arguments) to what the view call returns."""


def all_synths(ask: Ask, registry: Registry) -> dict[str, Address]:
    """By symbol: the registry's, and later ones by their pools. Whoever lists a market opens one first."""
    found = {symbol: registry.synth(symbol) for symbol in registry.synths}
    if "AmmFactory" not in registry.contracts:
        return found
    factory, known = registry.address("AmmFactory"), {contract.address for contract in registry.contracts.values()}
    (count,) = ask(factory, AmmFactory.pair_count)
    for index in range(count):
        pair = Address(str(ask(factory, AmmFactory.pair_at, index)[0]).lower())
        if pair in known:
            continue
        base = Address(str(ask(pair, AmmPair.base)[0]).lower())
        if base not in known:
            found[str(ask(base, Token.symbol)[0])] = base
    return found


def find_synth(endpoint: Endpoint, registry: Registry, symbol: str) -> Address:
    """The synth's address; `InvalidInput` if there is none of this symbol."""
    if symbol in registry.synths:
        return registry.synth(symbol)
    try:
        factory = registry.address("SynthFactory")
    except ConfigurationError:
        factory = None
    if factory is not None:
        found = Address(str(endpoint.call(factory, SynthFactory.synth_of, symbol)[0]).lower())
        if found != ZERO_ADDRESS:
            return found
    known = ", ".join(all_synths(endpoint.call, registry)) or "none"
    raise InvalidInput(
        f"there is no synth {symbol[:40]}", field="synth", remedy=f"There are: {known}; symbols are case-sensitive"
    )
