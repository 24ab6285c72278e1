"""`ape run create_market`: one more market on a venue that stands."""

from pathlib import Path
from typing import Any

import click

from scripts._command import ROOT, Command, registry_option, signing_options

DECIMALS = 18


@click.command(cls=Command)
@signing_options("lister")
@registry_option()
@click.option("--market", type=int, required=True, help="Its number, unused until now; part of every signed order.")
@click.option("--symbol", required=True, help="Its symbol, as in SOL-USDC.")
@click.option("--synth", required=True, help="Symbol of the synth that it trades, as in hSOL; created if missing.")
@click.option("--name", required=True, help="Name of the synth, as in 'HOOATS Solana'.")
@click.option("--base-atoms-per-lot", type=int, required=True, help="Size of a lot in atoms (10^-18) of the synth.")
@click.option("--quote-atoms-per-tick-lot", type=int, required=True, help="What one lot costs at a price of one tick.")
@click.option("--ceiling", required=True, help="Most debt of the synth, in whole tokens.")
@click.option("--initial", "initial_percent", type=int, default=150, help="Collateral to debt when it is opened, in %.")
@click.option(
    "--maintenance", "maintenance_percent", type=int, default=130, help="Below it a debt is liquidated; in %."
)
@click.option("--bonus", "bonus_percent", type=int, default=8, help="What a liquidator earns, in %.")
@click.option("--quorum", type=int, default=1, help="Readings that make a price.")
@click.option("--max-age", "max_age_seconds", type=int, default=3_600, help="Seconds for which a reading counts.")
@click.option(
    "--max-move", "max_move_ppm_per_minute", type=int, default=20_000, help="Speed limit of the price, in ppm a minute."
)
@click.option("--source", "sources", multiple=True, help="Name in the registry of a source beside the posters; repeat.")
def cli(
    provider: Any,
    account: str | None,
    key_file: Path | None,
    password_file: Path | None,
    registry_file: Path | None,
    synth: str,
    name: str,
    ceiling: str,
    sources: tuple[str, ...],
    **terms: Any,
) -> None:
    """Bring a market on chain, with the lister's key: synth, price feed, terms of debt, pool, market row.

    What is done is found on the chain and not repeated: run it again after a failure. The terms of a synth and of a
    market are set once; another synth or row under the same name or number is refused.

    \b
      ape run create_market --market 3 --symbol SOL-USDC --synth hSOL --name "HOOATS Solana" \\
        --base-atoms-per-lot 10000000000000000 --quote-atoms-per-tick-lot 10 --ceiling 100000 \\
        --key-file lister.json --network hyperliquid:testnet
    """
    from offchain.domain.event import MarketRequested
    from offchain.domain.market import parse_atoms
    from scripts._accounts import find_signer
    from scripts._market import create_market
    from scripts._venue import open_venue

    venue = open_venue(provider, registry_file, ROOT)
    signer = find_signer(account, key_file, password_file, venue.chain.is_development, "lister")
    request = MarketRequested(
        synth_symbol=synth,
        synth_name=name,
        ceiling=parse_atoms(ceiling, DECIMALS, "ceiling"),
        by=signer.address,
        **terms,
    )
    create_market(venue, signer, request, list(sources), ROOT)
