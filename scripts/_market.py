"""One more market on a venue that stands: synth, price feed, terms of debt, pool, row of the market table.

Invariant: the calls are those of `offchain.chain.listing`, each sent only if the chain says that it is missing; the
registry names the market when all are done. Deliberately no state of trading: a new market is PAUSED until an operator
resumes it.
"""

from pathlib import Path

import click

from offchain.chain.listing import CONTRACTS, ListingStep, decode_synth, listing_steps, predict_call
from offchain.domain.errors import ConfigurationError
from offchain.domain.event import MarketRequested
from offchain.domain.units import Address
from scripts._accounts import Signer
from scripts._artifacts import load_artifacts
from scripts._chain import Mined, Sender
from scripts._listings import Clone, is_done, predict_pair
from scripts._recording import Recorder
from scripts._registry import RegistryFile, commit_of
from scripts._roles import LISTING
from scripts._steps import has_role
from scripts._venue import PAIR, SYNTH, Venue


def check_terms(request: MarketRequested) -> None:
    """The bounds of Settlement, SynthIssuer and PriceOracle, before anything is sent."""
    row = 0 < request.market < 2**32 and request.base_atoms_per_lot > 0 and request.quote_atoms_per_tick_lot > 0
    maintenance, bonus = request.maintenance_percent, request.bonus_percent
    debt = 110 <= maintenance < request.initial_percent <= 1_000 and bonus >= 1 and 100 + bonus < maintenance
    feed = request.quorum >= 1 and 0 < request.max_age_seconds <= 3_600 and request.max_move_ppm_per_minute > 0
    for is_right, what, remedy in (
        (row, "market number, lot or tick", "All are above 0, and the number is below 2^32"),
        (debt, "percentages", "110 <= maintenance < initial <= 1000, and 100 + bonus < maintenance"),
        (feed, "price feed", "A quorum from 1, an age up to 3600 seconds, a speed above 0"),
    ):
        if not is_right:
            raise ConfigurationError(f"the {what} of {request.symbol}: out of bounds", remedy=remedy)


def create_market(venue: Venue, signer: Signer, request: MarketRequested, sources: list[str], root: Path) -> None:
    """Everything that is missing, with the lister's key."""
    check_terms(request)
    for name in CONTRACTS:
        venue.registry.contract(name)
    chain = venue.chain
    synth = decode_synth(chain.call(venue.contracts["SynthFactory"], predict_call(request)))
    addresses = [venue.registry.address(name) for name in sources]
    if request.quorum <= 2 * len(addresses):
        remedy = "Name a quorum above twice the number of sources"
        raise ConfigurationError(f"{request.symbol}: its sources would be half of a quorum", remedy=remedy)
    steps = listing_steps(venue.registry, request, synth, addresses)
    missing = [step for step in steps if not is_done(step, chain.call)]
    registry = RegistryFile(venue.path, chain.id)
    with registry.lock():
        recorder = Recorder(chain, registry, commit_of(root))
        clones = _clones(venue, request.synth_symbol, synth, steps, root)
        if missing:
            _check_lister(venue, signer)
        sender = Sender(chain, signer, chain.nonce(signer.address), bool(chain.uses_big_blocks(signer.address)))
        for step in steps:
            clone = clones.get(step.calldata)
            if step in missing:
                _send(sender, step, clone, recorder)
            elif clone is not None and not recorder.is_recorded(clone):
                recorder.record_found(clone, clone.target)
        registry.record_market(request.symbol, {"market": request.market, "baseToken": synth})
    click.echo(f"{request.symbol} is market {request.market} over {request.synth_symbol} {synth}; {sender.gas:,} gas")
    click.echo("node and keepers list it, paused, when they have seen it; an operator resumes it")


def _send(sender: Sender, step: ListingStep, clone: Clone | None, recorder: Recorder) -> None:
    def done(mined: Mined) -> None:
        click.echo(f"  {step.label:<48}{mined.gas:>12,} gas  block {mined.block}")
        if clone is not None:
            recorder.record(clone, mined)

    sender.send(step.label, step.target, step.calldata, done, recorder.expecting(clone) if clone else None)
    sender.settle()


def _clones(
    venue: Venue, symbol: str, synth: Address, steps: tuple[ListingStep, ...], root: Path
) -> dict[bytes, Clone]:
    """What the steps create, by their calldata."""
    artifacts = load_artifacts(root, ("SynthERC20", "AmmPair"))
    create, pool = steps[0], steps[4]
    pair = predict_pair(venue.contracts, synth)
    return {
        create.calldata: Clone(SYNTH + symbol, artifacts["SynthERC20"], synth, create.target, create.calldata),
        pool.calldata: Clone(PAIR + symbol, artifacts["AmmPair"], pair, pool.target, pool.calldata),
    }


def _check_lister(venue: Venue, signer: Signer) -> None:
    for contract, role in LISTING:
        if not has_role(contract, venue.contracts[contract], role, signer.address)(venue.chain.call):
            who = venue.roles.get("lister", "unknown")
            raise ConfigurationError(
                f"{signer.address} has no {role} of {contract}", remedy=f"Sign with the key of {who}, the lister"
            )
