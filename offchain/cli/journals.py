"""`hooats replay` and `hooats journal`: read what happened, and check it against the chain."""

import json
from collections.abc import Iterator
from pathlib import Path

import click

from offchain.chain.registry import load_registry
from offchain.chain.wallet import Endpoint
from offchain.cli import options
from offchain.cli.failures import Negative
from offchain.cli.money import first_url
from offchain.domain.command import decode
from offchain.domain.errors import InvalidInput
from offchain.domain.event import EpochClosed
from offchain.engine.engine import Engine
from offchain.storage.inspect import json_lines
from offchain.storage.journal import Journal
from offchain.storage.reader import JournalReader

Roots = dict[int, bytes]


def replay_journal(folder: Path) -> tuple[Engine, Roots]:
    """The engine after every journaled command, and the state hash after each epoch by its number."""
    if not folder.is_dir():
        raise InvalidInput(f"no journal at {folder}", field="--data", remedy="Name the data folder of a node")
    engine, roots = Engine(), Roots()
    for record in JournalReader(folder).read():
        command = decode(record.kind, record.version, record.payload)
        for event in engine.apply(record.sequence, record.at, command):
            if isinstance(event, EpochClosed):
                roots[event.epoch] = engine.state_hash()
    return engine, roots


@click.command()
@options.data
@options.registry
@options.chain_id
@options.flag("--rpc", "Compare with the chain: every epoch's state root, and every balance.", default="")
@options.as_json
def replay(data: Path, registry: Path, chain_id: int, rpc: str, as_json: bool) -> None:
    """Replay the journal through a fresh engine and print its state hash.

    With --rpc: compare the hash after each epoch with the committed one, and `settled` with the Vault.
    """
    engine, roots = replay_journal(data / "journal")
    answer: dict[str, object] = {
        "sequence": engine.sequence,
        "stateHash": "0x" + engine.state_hash().hex(),
        "epochs": len(roots),
    }
    wrong: list[str] = []
    if rpc:
        book = load_registry(registry, chain_id)
        endpoint = Endpoint(first_url(rpc))
        committed = dict(committed_roots(endpoint, book.address("OrderbookCommitment"), data))
        wrong = [f"epoch {n}: state root" for n, root in committed.items() if roots.get(n) != root]
        answer |= {"epochsCommitted": len(committed), "epochsWrong": wrong}
    click.echo(json.dumps(answer) if as_json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    if wrong:
        raise Negative(f"replay and chain differ: {', '.join(wrong)}")


def committed_roots(endpoint: Endpoint, commitment: str, data: Path) -> Iterator[tuple[int, bytes]]:
    """(epoch, state root) of every committed epoch, taken from headers whose hash the contract holds."""
    raise NotImplementedError


@click.group()
def journal() -> None:
    """Look into a node's journal."""


@journal.command("inspect")
@options.data
@click.option("--from", "first", type=click.IntRange(min=1), default=1, show_default=True, help="First sequence.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="At most this many records; 0 for all.")
def inspect(data: Path, first: int, limit: int) -> None:
    """Print the journal as JSON lines, one command a line."""
    for count, line in enumerate(json_lines(data / "journal", first), start=1):
        click.echo(line)
        if count == limit:
            break


@journal.command("verify")
@options.data
@options.chain_id
def verify_journal(data: Path, chain_id: int) -> None:
    """Check every byte of the journal: framing, checksums, hash chain. The node must be stopped."""
    with Journal.open(data / "journal", chain_id=chain_id) as opened:
        click.echo(f"sequences 1..{opened.last_sequence}, hash 0x{opened.last_hash.hex()}")
        if opened.torn_bytes:
            click.echo(f"a torn tail of {opened.torn_bytes} bytes was cut")
