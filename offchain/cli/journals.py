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
from offchain.domain.units import Address
from offchain.projector.replay import replay_journal
from offchain.storage.inspect import json_lines
from offchain.storage.journal import Journal


@click.command()
@options.data
@options.registry
@options.chain_id
@options.flag("--rpc", "Compare every committed epoch with the contract on this chain.", default="")
@options.as_json
def replay(data: Path, registry: Path, chain_id: int, rpc: str, as_json: bool) -> None:
    """Replay the journal through a fresh engine and print its state hash.

    With --rpc: rebuild every epoch's header (both roots, state root, data hash) and compare it with the committed one.
    """
    replayed = replay_journal(data / "journal")
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
        answer |= {"epochsCommitted": committed, "epochsWrong": wrong}
    click.echo(json.dumps(answer) if as_json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    if wrong:
        raise Negative(f"replay and chain differ in epochs {wrong}")


def compare_epochs(endpoint: Endpoint, contract: Address, headers: list[EpochHeader]) -> tuple[int, list[int]]:
    """(epochs committed on chain, numbers of those whose header is another one than was rebuilt)."""
    (last,) = endpoint.call(contract, OrderbookCommitment.last_epoch)
    rebuilt = {header.epoch: header.hash() for header in headers}
    wrong = []
    for epoch in range(1, last + 1):
        (committed,) = endpoint.call(contract, OrderbookCommitment.header_hash, epoch)
        if rebuilt.get(epoch) != committed:
            wrong.append(epoch)
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
