"""`ape run verify`: the contracts compiled once more and compared with the chain, then shown to an explorer."""

from pathlib import Path
from typing import Any

import click

from scripts._command import PATH, ROOT, Command, Refusal, registry_option


@click.command(cls=Command)
@registry_option()
@click.option("--explorer-url", envvar="HOOATS_EXPLORER_URL", help="Explorer to upload the sources to.")
@click.option(
    "--explorer-kind",
    type=click.Choice(["sourcify", "blockscout", "etherscan"]),
    help="Which interface it speaks. Default: what the URL looks like.",
)
@click.option(
    "--explorer-key-file",
    envvar="HOOATS_EXPLORER_KEY_FILE",
    type=PATH,
    help="File with the explorer's API key, where it wants one.",
)
@click.option(
    "--output",
    type=PATH,
    help="Folder for the sources as standard JSON, to upload by hand. Default, without an explorer: "
    ".build/verify/<chain id>.",
)
def cli(
    provider: Any,
    registry_file: Path | None,
    explorer_url: str | None,
    explorer_kind: str | None,
    explorer_key_file: Path | None,
    output: Path | None,
) -> None:
    """Compile the contracts, compare them with what is on the chain, and upload the sources to an explorer.

    Every contract of the registry is compared: its code, and its constructor with arguments, which its CREATE2 address
    commits to. Nothing is uploaded unless all are equal. Exit status: 0 if all are, 1 if one is not.

    \b
      ape run verify --network hyperliquid:testnet
      ape run verify --network hyperliquid:testnet --explorer-url https://sourcify.dev/server
    """
    from scripts._explorer import find_explorer, upload, write_inputs
    from scripts._sources import compile_all
    from scripts._venue import open_venue
    from scripts._verify import verify_all

    venue = open_venue(provider, registry_file, ROOT)
    explorer = find_explorer(venue.chain.id, explorer_kind, explorer_url, explorer_key_file)
    verdicts = verify_all(venue, compile_all(ROOT))
    for verdict in verdicts:
        click.echo(f"{verdict.name:<28}{'ok  ' if verdict.is_verified else 'NOT '}{verdict.finding}")
    wrong = [verdict.name for verdict in verdicts if not verdict.is_verified]
    if wrong:
        commits = {venue.registry.contract(name).commit for name in wrong} - {""}
        raise Refusal(
            f"{len(wrong)} of {len(verdicts)} contracts are not of these sources: {', '.join(wrong)}. "
            f"They were deployed from commit {', '.join(sorted(commits)) or 'unknown'}: check it out"
        )
    click.echo(f"all {len(verdicts)} contracts are of these sources")
    if explorer is None or output is not None:
        folder = output or ROOT / ".build" / "verify" / str(venue.chain.id)
        write_inputs(folder, verdicts)
        click.echo(f"standard JSON of each, to upload by hand: {folder}")
    if explorer is not None:
        for verdict in verdicts:
            if verdict.compiled is not None:
                click.echo(f"{verdict.name:<28}{upload(explorer, venue.chain.id, verdict)}")
