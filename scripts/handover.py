"""`ape run handover`: the deployer ends with no power."""

from pathlib import Path
from typing import Any

import click

from scripts._command import ROOT, Command, Refusal, registry_option, signing_options


@click.command(cls=Command)
@signing_options("deployer")
@registry_option()
@click.option("--dry-run", is_flag=True, help="Show what would be done, and send nothing.")
def cli(
    provider: Any,
    account: str | None,
    key_file: Path | None,
    password_file: Path | None,
    registry_file: Path | None,
    dry_run: bool,
) -> None:
    """Give everything that the deployer holds to the timelock, or up.

    For a deployment that was made with --no-handover, and to make sure of one that was not. Exit status: 0 if the
    deployer holds nothing any more, 1 if it holds anything.

    \b
      ape run handover --dry-run --network hyperliquid:testnet
      ape run handover --account ALIAS --network hyperliquid:testnet
    """
    from scripts._accounts import find_signer
    from scripts._handover import deployer_of, perform, powers, waves_of
    from scripts._venue import open_venue

    venue = open_venue(provider, registry_file, ROOT)
    deployer = deployer_of(venue)
    waves = waves_of(venue, deployer)
    for number, wave in enumerate(waves, start=1):
        for step in wave:
            click.echo(f"to do, wave {number}: {step.label}")
    if any(waves) and not dry_run:
        perform(venue, find_signer(account, key_file, password_file, venue.chain.is_development), waves)
    left = powers(venue, deployer)
    if left:
        held = ", ".join(f"{power.role} of {power.contract}" for power in left)
        hint = "" if dry_run else ". Whoever is admin of it can revoke it: the timelock"
        raise Refusal(f"the deployer {deployer} holds {held}{hint}")
    click.echo(f"the deployer {deployer} holds nothing")
