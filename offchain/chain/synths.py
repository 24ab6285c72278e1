"""Which token a synth's symbol names: the registry's, or one that was created after the deployment.

Invariant: the SynthFactory decides, since it gives a symbol away once; the registry only spares asking.
"""

from offchain.chain.contracts import SynthFactory
from offchain.chain.registry import Registry
from offchain.chain.wallet import Endpoint
from offchain.domain.errors import ConfigurationError, InvalidInput
from offchain.domain.units import ZERO_ADDRESS, Address


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
    known = ", ".join(registry.synths) or "none"
    raise InvalidInput(
        f"there is no synth {symbol[:40]}",
        field="synth",
        remedy=f"The registry knows {known}; symbols are case-sensitive",
    )
