"""`hooats doctor`: is everything there that a node and its keepers need?"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from keepers.loop import KEEPERS
from offchain.chain.registry import Registry, load_registry
from offchain.cli import options
from offchain.cli.configuration import Configuration, keeper_defaults
from offchain.cli.failures import Negative
from offchain.domain.errors import InvalidInput
from offchain.domain.text import plain
from offchain.operations import machine, onchain, venue
from offchain.operations.findings import Finding, Verdict, guarded, ok
from offchain.operations.onchain import COSIGNER, Holder
from offchain.security.keys import load_key


@click.command()
@options.data
@options.registry
@options.chain_id
@options.rpc
@options.flag(
    "--attestation-key", "File with the key that signs receipts and countersignatures.", type=options.KEY_FILE
)
@click.option(
    "--keeper-key",
    "keeper_keys",
    multiple=True,
    metavar="NAME=FILE",
    help="A keeper and the file of its key; give it several times. Keys of [keeper.NAME] are looked at anyway.",
)
@options.password_file
@options.flag("--host", "Address that the gateway is to listen on.", default="127.0.0.1")
@options.flag("--port", "Port that the gateway is to listen on.", type=click.IntRange(0, 65535), default=8080)
@options.flag("--ops-url", "Ops database; SQLite in the data folder if not given.", default="")
@options.flag("--history-url", "History database; SQLite in the data folder if not given.", default="")
@options.as_json
@click.pass_context
def doctor(context: click.Context, /, as_json: bool, keeper_keys: tuple[str, ...], **given: Any) -> None:
    """Examine machine, data folder, chain and keys; change nothing.

    Whatever is wrong is shown with a remedy. The exit code is 1 if anything fails; a warning does not.
    """
    configuration = context.find_object(Configuration)
    keys = _configured_keys(configuration.tables if configuration else {})
    keys |= {name: (file, given["password_file"]) for name, file in map(_named_key, keeper_keys)}
    findings = []
    for finding in examine(keys=keys, **given):
        findings.append(finding)
        if not as_json:
            click.echo(_line(finding))
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings]))
    failing = sum(finding.verdict is Verdict.FAIL for finding in findings)
    if failing:
        raise Negative(f"{failing} of {len(findings)} checks fail")


def examine(
    *,
    data: Path,
    registry: Path,
    chain_id: int,
    rpc: str,
    keys: Mapping[str, tuple[Path, Path | None]],
    attestation_key: Path | None,
    password_file: Path | None,
    host: str,
    port: int,
    ops_url: str,
    history_url: str,
) -> Iterator[Finding]:
    """Everything in the order in which it is needed; `keys` are (key file, password file) by keeper."""
    ops, history = options.ops_url(data, ops_url), options.history_url(data, history_url)
    yield from machine.look_at_python()
    yield from guarded("data folder", lambda: machine.look_at_folder(data))
    yield from guarded("port", lambda: machine.look_at_port(data, host, port))
    yield from guarded("journal", lambda: venue.look_at_journal(data, chain_id))
    yield from guarded("databases", lambda: venue.look_at_databases(ops, history))
    yield from guarded("keeper", lambda: venue.look_at_keepers(data))
    holders: list[Holder] = []
    if attestation_key is not None:
        yield from guarded("key", lambda: _load(holders, COSIGNER, attestation_key, password_file))
    for name, (file, password) in keys.items():
        yield from guarded("key", lambda name=name, file=file, password=password: _load(holders, name, file, password))  # type: ignore[misc]
    leases = ["sync", *(f"key:{holder.address}" for holder in holders if holder.use != COSIGNER)]
    yield from guarded("lease", lambda: venue.look_at_leases(ops, leases))
    yield from _examine_chain([url.strip() for url in rpc.split(",")], registry, chain_id, holders)


def _examine_chain(urls: Sequence[str], registry: Path, chain_id: int, holders: Sequence[Holder]) -> Iterator[Finding]:
    loaded: list[Registry] = []

    def load() -> Iterator[Finding]:
        loaded.append(load_registry(registry, chain_id))
        yield ok("registry", f"{len(loaded[0].contracts)} contracts of chain {chain_id}")

    yield from guarded("registry", load)
    answering = []
    for url in urls:
        found = list(guarded("rpc", lambda url=url: onchain.look_at_endpoint(url, chain_id)))  # type: ignore[misc]
        yield from found
        if all(finding.check != "rpc" or finding.verdict is Verdict.OK for finding in found):
            answering.append(url)
    if not loaded or not answering:
        return
    yield from guarded("contracts", lambda: onchain.look_at_contracts(answering[0], loaded[0]))
    yield from guarded("permits", lambda: onchain.look_at_permits(answering[0], loaded[0]))
    yield from guarded("price feeds", lambda: onchain.look_at_feeds(answering[0], loaded[0]))
    for holder in holders:
        yield from guarded("key", lambda holder=holder: onchain.look_at_holder(answering[0], loaded[0], holder))  # type: ignore[misc]


def _load(holders: list[Holder], use: str, file: Path, password_file: Path | None) -> Iterator[Finding]:
    key = load_key(file, password_file)
    twin = next((holder.use for holder in holders if holder.address == key.address), None)
    holders.append(Holder(use, key.address))
    if file.stat().st_mode & machine.OTHERS:
        yield Finding("key", Verdict.WARN, f"others may read {file}", f"chmod go= {file}")
    if twin is not None:
        yield Finding("key", Verdict.FAIL, f"{use} and {twin} have the same key", "One key, one keeper: make another")
    else:
        yield ok("key", f"{use} is {key.address}")


def _configured_keys(tables: Mapping[str, Any]) -> dict[str, tuple[Path, Path | None]]:
    """Of the keepers that have a table of their own in the configuration file."""
    keepers, found = tables.get("keeper", {}), {}
    for name in KEEPERS:
        own = keeper_defaults(keepers, name)
        if isinstance(keepers.get(name), dict) and "key" in own:
            password = own.get("password_file")
            found[name] = (Path(own["key"]), None if password is None else Path(password))
    return found


def _named_key(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals or name not in KEEPERS:
        known = ", ".join(KEEPERS)
        raise InvalidInput(f"--keeper-key {text}: not NAME=FILE", remedy=f"NAME is one of {known}")
    return name, Path(file)


def _line(finding: Finding) -> str:
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.verdict:4}  {finding.check:17} {plain(finding.detail + remedy)}"
