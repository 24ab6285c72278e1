"""`hooats replay` and `hooats journal`: read what happened, and check it against the chain."""

import json
from pathlib import Path

import click
import msgspec

from offchain.chain.contracts import OrderbookCommitment
from offchain.chain.registry import load_registry
from offchain.chain.wallet import Endpoint
from offchain.cli import options
from offchain.cli.failures import Negative
from offchain.cli.money import first_url
from offchain.domain.batch import EpochHeader
from offchain.domain.errors import InvalidInput
from offchain.domain.units import Address
from offchain.projector.replay import replay_journal, state_after
from offchain.storage.archive import archive, unarchive
from offchain.storage.databases import sqlite_path
from offchain.storage.inspect import json_lines
from offchain.storage.journal import durable_sequence, locked
from offchain.storage.ops import Ops
from offchain.storage.scan import RESTORE, archived, scan, segments
from offchain.storage.snapshots import KEPT, snapshot_files


@click.command()
@options.data
@options.registry
@options.chain_id
@options.flag("--rpc", "Compare every committed epoch with the contract on this chain.", type=options.ENDPOINTS)
@options.as_json
def replay(data: Path, registry: Path, chain_id: int, rpc: str | None, as_json: bool) -> None:
    """Replay the journal, and print its state hash.

    With --rpc: rebuild every epoch's header (both roots, state root, data hash) and compare it with the committed one.
    Epochs that were committed after this copy of the journal was made are named, and prove nothing.
    """
    replayed = replay_journal(_existing(data))
    engine = replayed.engine
    answer: dict[str, object] = {
        "sequence": engine.sequence,
        "stateHash": "0x" + engine.state_hash().hex(),
        "epochs": len(replayed.headers),
    }
    wrong: list[int] = []
    if rpc:
        contract = load_registry(registry, chain_id).address("OrderbookCommitment")
        committed, wrong = compare_epochs(Endpoint(first_url(rpc)), contract, replayed.headers)
        beyond = list(range(len(replayed.headers) + 1, committed + 1))
        answer |= {"epochsCommitted": committed, "epochsWrong": wrong, "epochsBeyond": beyond}
    click.echo(json.dumps(answer) if as_json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    if wrong:
        raise Negative(f"replay and chain differ in epochs {wrong}")


def compare_epochs(endpoint: Endpoint, contract: Address, headers: list[EpochHeader]) -> tuple[int, list[int]]:
    """(epochs committed on chain, numbers of those whose header is another one than was rebuilt)."""
    (last,) = endpoint.call(contract, OrderbookCommitment.last_epoch)
    wrong = []
    for header in headers[:last]:
        (committed,) = endpoint.call(contract, OrderbookCommitment.header_hash, header.epoch)
        if header.hash() != committed:
            wrong.append(header.epoch)
    return last, wrong


@click.group()
def journal() -> None:
    """Look into a node's journal."""


@journal.command("inspect")
@options.data
@click.option("--from", "first", type=click.IntRange(min=1), default=1, show_default=True, help="First sequence.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="At most this many records; 0 for all.")
def inspect(data: Path, first: int, limit: int) -> None:
    """Print the journal as JSON lines, one command a line."""
    for count, line in enumerate(json_lines(_existing(data), first), start=1):
        click.echo(line)
        if count == limit:
            break


@journal.command("verify")
@options.data
@options.flag("--ops-url", "Ops database, for the last epoch; SQLite in the data folder if not given.", default="")
@click.option("--no-replay", "is_quick", is_flag=True, help="Bytes and hashes only.")
def verify_journal(data: Path, ops_url: str, is_quick: bool) -> None:
    """Check every byte of the journal, and what it leads to.

    That is framing, checksums, sequence and hash chain; and that a replay has the state hash of the last epoch that was
    closed. The node must be stopped; nothing is changed. Exit code 1 if something is gone that was durable, or if the
    replay has another state.
    """
    folder = _existing(data)
    with locked(folder):
        tail, durable = scan(folder), durable_sequence(folder) or 0
        click.echo(f"sequences 1..{tail.last_sequence}, hash 0x{tail.last_hash.hex()}")
        if (gone := archived(folder)) is not None:
            click.echo(f"sequences {gone.first}..{gone.last} are archived; what follows continues their hash")
        if tail.torn_bytes:
            click.echo(f"a torn tail of {tail.torn_bytes} bytes follows; the node cuts it when it starts")
        if durable > tail.last_sequence:
            raise Negative(f"sequence {durable} was durable, and {tail.last_sequence} is the last", remedy=RESTORE)
        if not is_quick:
            _replay_to_epoch(folder, _last_epoch(options.ops_url(data, ops_url)))


def _replay_to_epoch(folder: Path, epoch: EpochHeader | None) -> None:
    if epoch is None:
        click.echo("no epoch was closed yet: nothing to compare a replay with")
        return
    if archived(folder) is not None:
        raise InvalidInput("only a whole journal can be replayed", remedy="hooats journal restore; or --no-replay")
    found = "0x" + state_after(folder, epoch.last).hex()
    if found != epoch.state_root:
        raise Negative(f"epoch {epoch.epoch} closed with state {epoch.state_root}, the replay has {found}")
    click.echo(f"epoch {epoch.epoch}, sequence {epoch.last}: the replay has its state {found}")


def _last_epoch(url: str) -> EpochHeader | None:
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    ops = Ops(url)
    try:
        row = ops.last_epoch()
    finally:
        ops.close()
    return None if row is None else msgspec.json.decode(row.payload, type=EpochHeader)


@journal.command("archive")
@options.data
@options.flag("--ops-url", "Ops database, for the last epoch; SQLite in the data folder if not given.", default="")
@click.option("--to", type=options.FOLDER, required=True, help="Folder of the archive; made if it is not there.")
def archive_journal(data: Path, ops_url: str, to: Path) -> None:
    """Move closed segments to an archive, compressed, with a manifest of their hashes.

    Only what neither a start (all snapshots are beyond it) nor the open epoch needs; the first segment stays. The node
    may run. Replays, proofs of archived orders, backups and new standbys need the segments back first.
    """
    folder = _existing(data)
    epoch = _last_epoch(options.ops_url(data, ops_url))
    kept = [snapshot_files(data / "snapshots"), snapshot_files(data / "snapshots" / "history")]
    if epoch is None or any(len(snapshots) < KEPT for snapshots in kept):
        click.echo("nothing to archive: that takes a closed epoch and two snapshots, of the history, too")
        return
    moved = archive(folder, to, min(epoch.last, *(int(snapshots[-1].stem) for snapshots in kept)))
    click.echo(f"{moved.segments} segments archived" + (f", up to sequence {moved.last}" if moved.last else ""))


@journal.command("restore")
@options.data
@click.option("--from", "source", type=options.FOLDER, required=True, help="Folder of the archive.")
def restore_journal(data: Path, source: Path) -> None:
    """Put archived segments back into the journal, checked against the manifest."""
    folder = _existing(data)
    moved = unarchive(source, folder)
    click.echo(f"{moved.segments} segments are back")


def _existing(data: Path) -> Path:
    """The journal's folder; `InvalidInput` if there is no segment in it, so that a mistyped folder is no empty one."""
    if not segments(data / "journal"):
        raise InvalidInput(f"there is no journal in {data}", field="--data", remedy="Name the data folder of a node")
    return data / "journal"
