"""`ape run status`: what is deployed where, who may do what, and what is not as the registry says."""

import json
from pathlib import Path
from typing import Any

import click

from scripts._command import ROOT, Command, json_option, registry_option


@click.command(cls=Command)
@registry_option()
@click.option("--history", is_flag=True, help="Read the logs of all role changes too; slow on a public endpoint.")
@json_option
def cli(provider: Any, registry_file: Path | None, history: bool, as_json: bool) -> None:
    """Show what is deployed where, every role and who holds it, the timelock, pauses, balances and markets.

    The chain is compared with the registry. Exit status: 0 if everything is as the registry says, 1 if not.

    \b
      ape run status --network hyperliquid:testnet
    """
    from scripts._status import look
    from scripts._status_page import print_status
    from scripts._venue import open_venue

    status = look(open_venue(provider, registry_file, ROOT), history)
    if as_json:
        click.echo(json.dumps(status.to_json(), indent=2))
    else:
        print_status(status)
    if status.problems:
        raise SystemExit(1)
