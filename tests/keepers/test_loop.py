"""What each keeper asks before it is ready: a key without the role ends at once, not at the first batch."""

from pathlib import Path

import msgspec
import pytest
from local_chain import LocalChain, Venue, address_of, key_of

from keepers.cycle import USAGE, Cycle, Heartbeat
from keepers.loop import KeeperSettings, make_keeper
from keepers.price import PriceSettings
from offchain.chain.roles import ROLES
from offchain.chain.rpc import Rpc
from offchain.domain.errors import ConfigurationError
from offchain.storage.ops import Ops


@pytest.mark.parametrize("name", ROLES)
async def test_a_key_without_the_role_is_refused_in_one_sentence(
    name: str, chain: LocalChain, venue: Venue, ops: Ops, tmp_path: Path
) -> None:
    there = venue.registry.contracts
    # Where this venue has no such contract, another answers: hasRole is the same in each.
    missing = {contract: there["Settlement"] for contract, _ in ROLES[name]} | {"SynthIssuer": there["Settlement"]}
    settings = KeeperSettings(
        rpc_urls=(chain.url,),
        registry=msgspec.structs.replace(venue.registry, contracts=missing | there),
        ops_url="",
        key=key_of("stranger"),
        price=PriceSettings(source=f"file:{tmp_path / 'prices.json'}"),
    )
    keeper = make_keeper(name, settings, ops, Rpc([chain.url]))
    with pytest.raises(ConfigurationError) as raised:
        await keeper.prepare()
    words = str(raised.value)
    assert f"the key of keeper {name}, {address_of('stranger')}, lacks" in words and "\n" not in words
    assert all(f"{role} of {contract}" in words for contract, role in ROLES[name])
    cycle = Cycle(keeper, pause_seconds=0, drain_seconds=0, heartbeat=Heartbeat(None, name))
    assert await cycle.run() == USAGE
