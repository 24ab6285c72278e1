"""`hooats backup` and `hooats restore`: keep what cannot be rebuilt, and come back from it."""

import json
from pathlib import Path

import click
import msgspec

from offchain.chain.registry import load_registry
from offchain.cli import options
from offchain.cli.money import first_url
from offchain.operations.backup import back_up
from offchain.operations.restore import restore as restore_backup


@click.command()
@options.data
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path),
    help="New folder, or new archive if the name ends with .tar, .tar.gz or .tgz.",
)
@options.flag("--ops-url", "Ops database; SQLite in the data folder if not given.", default="")
@click.option("--with-secrets", is_flag=True, help="Also the secret of the sessions. Key files are never in a backup.")
@click.option("--quick", is_flag=True, help="Do not replay the copy: no state hash, no position on chain.")
@options.as_json
def backup(data: Path, to: Path, ops_url: str, with_secrets: bool, quick: bool, as_json: bool) -> None:
    """Back up the journal and the ops database of a node.

    The node may be running. Everything acknowledged before this command started is in the copy. The history and the
    epoch files are not: they are rebuilt from the journal.
    """
    url = options.ops_url(data, ops_url)
    manifest = back_up(data, to, url, with_secrets=with_secrets, replays=not quick)
    if as_json:
        click.echo(msgspec.json.encode(manifest).decode())
        return
    click.echo(f"{to}: sequences 1..{manifest.last_sequence}, {len(manifest.files)} files")
    if manifest.position is not None:
        click.echo(f"state hash {manifest.position.state_hash}")


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@options.data
@options.registry
@options.chain_id
@options.rpc
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Restore although the chain knows of more than the backup, or cannot be asked. Read the warning above.",
)
@options.as_json
def restore(
    source: Path, data: Path, registry: Path, chain_id: int, rpc: str, accept_loss: bool, as_json: bool
) -> None:
    """Restore the backup SOURCE into an empty data folder.

    First every byte of it is checked, and it is replayed.

    What was acknowledged after the backup is lost. A node that goes on from it gives sequences a second time for which
    it has signed receipts: whoever holds one can prove that. So a restore is refused if the chain knows of an epoch or
    a fill beyond the backup. Restore the newest copy of the journal that exists.
    """
    restored = restore_backup(source, data, load_registry(registry, chain_id), first_url(rpc), accepts_loss=accept_loss)
    last = restored.manifest.last_sequence
    if as_json:
        answer = {"lastSequence": last, "beyond": restored.beyond}
        click.echo(json.dumps(answer | msgspec.to_builtins(restored.position)))
        return
    click.echo(f"{data}: sequences 1..{last}, state hash {restored.position.state_hash}")
    if restored.beyond:
        click.echo(f"accepted loss: {restored.beyond}")
    click.echo(f"whatever was acknowledged after sequence {last} is lost; history and epochs are rebuilt at the start")
