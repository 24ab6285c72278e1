"""`hooats replay` and `hooats journal`: read what happened, and check it against the chain."""

import json
from pathlib import Path

import click

from offchain.chain.contracts import OrderbookCommitment
from offchain.chain.registry import load_registry
from offchain.chain.wallet import Endpoint
from offchain.cli import options
from offchain.cli.failures import Negative
from offchain.cli.money import first_url
from offchain.domain.batch import EpochHeader
from offchain.domain.errors import InvalidInput
from offchain.domain.units import Address
from offchain.projector.replay import replay_journal
from offchain.storage.inspect import json_lines
from offchain.storage.journal import durable_sequence, locked
from offchain.storage.scan import RESTORE, scan, segments


@click.command()
@options.data
@options.registry
@options.chain_id
@options.flag("--rpc", "Compare every committed epoch with the contract on this chain.", default="")
@options.as_json
def replay(data: Path, registry: Path, chain_id: int, rpc: str, as_json: bool) -> None:
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
def verify_journal(data: Path) -> None:
    """Check every byte of the journal.

    That is framing, checksums and hash chain. The node must be stopped; nothing is changed. Exit code 1 if something is
    gone that was durable.
    """
    folder = _existing(data)
    with locked(folder):
        tail, durable = scan(folder), durable_sequence(folder) or 0
    click.echo(f"sequences 1..{tail.last_sequence}, hash 0x{tail.last_hash.hex()}")
    if tail.torn_bytes:
        click.echo(f"a torn tail of {tail.torn_bytes} bytes follows; the node cuts it when it starts")
    if durable > tail.last_sequence:
        raise Negative(f"sequence {durable} was durable, and {tail.last_sequence} is the last", remedy=RESTORE)


def _existing(data: Path) -> Path:
    """The journal's folder; `InvalidInput` if there is no segment in it, so that a mistyped folder is no empty one."""
    if not segments(data / "journal"):
        raise InvalidInput(f"there is no journal in {data}", field="--data", remedy="Name the data folder of a node")
    return data / "journal"
