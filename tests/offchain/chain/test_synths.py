"""Which synths there are: those of the registry, and those that came later."""

import pytest
from local_chain import ADMIN, LocalChain, Venue

from offchain.chain.contracts import AmmFactory, SynthFactory
from offchain.chain.registry import Registry
from offchain.chain.synths import all_synths, find_synth
from offchain.chain.wallet import Endpoint
from offchain.domain.errors import InvalidInput
from offchain.domain.units import Address


def test_synths_of_after_the_deployment_are_found_by_their_pools(chain: LocalChain, venue: Venue) -> None:
    endpoint, known = Endpoint(chain.url), {"hBTC": venue.synth}
    assert all_synths(endpoint.call, venue.registry) == known
    synths, pools = (venue.registry.address(name) for name in ("SynthFactory", "AmmFactory"))
    created = chain.do(ADMIN, synths, SynthFactory.create_synth.encode("Solana", "hSOL"))
    later = Address("0x" + created["logs"][0]["topics"][1][-40:])
    chain.do(ADMIN, synths, SynthFactory.register_synth.encode(later))
    assert all_synths(endpoint.call, venue.registry) == known
    for synth in (venue.synth, later):
        chain.do(ADMIN, pools, AmmFactory.create_pair.encode(synth))
    assert all_synths(endpoint.call, venue.registry) == {**known, "hSOL": later}
    assert find_synth(endpoint, venue.registry, "hSOL") == later
    with pytest.raises(InvalidInput, match=r"no synth hFOO\. There are: hBTC, hSOL;"):
        find_synth(endpoint, venue.registry, "hFOO")


def test_a_venue_without_pools_has_those_of_its_registry(venue: Venue) -> None:
    contracts = {name: one for name, one in venue.registry.contracts.items() if name != "AmmFactory"}
    alone = Registry(chain_id=998, quote_token=venue.usdc, contracts=contracts)
    assert all_synths(lambda *_: pytest.fail("asked"), alone) == {"hBTC": venue.synth}
