"""Who governs the contracts, as the demo asks a real chain."""

import msgspec
import pytest
from local_chain import ADMIN, LocalChain, Venue, address_of

from demo.checks import GOVERNED, check_handover
from demo.report import CLAIMS, Report
from offchain.chain.registry import Contract
from offchain.domain.units import Address


@pytest.mark.parametrize(
    ("timelock", "deployer", "held"),
    [(ADMIN, address_of("gone"), True), (ADMIN, ADMIN, False), (address_of("other"), address_of("gone"), False)],
)
def test_the_handover_is_asked_of_the_chain(
    chain: LocalChain,
    venue: Venue,
    timelock: Address,
    deployer: Address,
    held: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    contracts = venue.registry.contracts | {"Timelock": Contract(address=timelock)}
    contracts |= {name: contracts["Settlement"] for name in GOVERNED if name not in contracts}
    report = Report()
    check_handover(chain.url, msgspec.structs.replace(venue.registry, contracts=contracts), report, deployer)
    report.finish()
    assert f"{'ok    ' if held else 'FAILED'} {CLAIMS['handed_over']}" in capsys.readouterr().out
