"""`hooats node` and `hooats keeper`: the processes that an operator runs."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from keepers.loop import KEEPERS, KeeperSettings, run_keeper
from offchain.chain.registry import Contract, Registry, load_registry, registry_path
from offchain.cli import options
from offchain.cli.configuration import Configuration, keeper_defaults
from offchain.cli.keeper_flags import check_owners, keeper_flags, price_settings
from offchain.cli.secrets import exposed
from offchain.domain.errors import ConfigurationError
from offchain.domain.limits import BLOCK_GAS_LIMIT, FEE_PPM_MAX
from offchain.domain.units import ZERO_ADDRESS
from offchain.security.keys import load_key, load_secret
from offchain.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from offchain.node import NodeSettings  # where it is used it is imported: no keeper needs the whole exchange

MAX_FEE_GWEI = 1_000_000
ELSEWHERE = ("attestation_key", "key", "password_file", "registry", "chain_id", "follow_secret")
"""Flags of a daemon that its settings are not made of, but of what they name."""
NOWHERE = Registry(
    chain_id=0,
    quote_token=ZERO_ADDRESS,
    contracts=dict.fromkeys(("Vault", "Settlement", "OrderbookCommitment"), Contract(address=ZERO_ADDRESS)),
    accounts=dict.fromkeys(("feeAccount", "treasuryAccount", "insuranceAccount"), ZERO_ADDRESS),
)
"""Stands in for the registry in settings that are only checked."""


@click.command()
@options.data
@options.registry
@options.chain_id
@options.flag(
    "--attestation-key",
    "File with the key that signs receipts and countersignatures.",
    type=options.KEY_FILE,
    required=True,
)
@options.password_file
@options.flag("--host", "Address to listen on.", default="127.0.0.1")
@options.flag(
    "--port",
    "Port of the gateway; 0 lets the system choose (see <data>/gateway.port).",
    type=click.IntRange(0, 65535),
    default=8080,
)
@options.flag(
    "--gateways",
    "Gateway processes that share the port; each looks at the signatures of what comes to it.",
    type=click.IntRange(1, 64),
    default=1,
)
@options.metrics_host
@options.metrics_port
@options.flag(
    "--projector-metrics-port",
    "The same of the projector (--metrics-port is the sequencer's, --port the gateway's).",
    type=click.IntRange(-1, 65535),
    default=0,
)
@options.flag("--publisher-metrics-port", "The same of the publisher.", type=click.IntRange(-1, 65535), default=0)
@options.flag("--ops-url", "Ops database; SQLite in the data folder if not given.", default="")
@options.flag("--history-url", "History database; SQLite in the data folder if not given.", default="")
@options.flag(
    "--maker-fee-ppm",
    "Maker fee of a new venue, millionths; below 0: a rebate, at most the taker fee.",
    type=click.IntRange(-FEE_PPM_MAX, FEE_PPM_MAX),
    default=2_500,
)
@options.flag(
    "--taker-fee-ppm",
    "Taker fee of a new venue, millionths.",
    type=click.IntRange(0, FEE_PPM_MAX),
    default=2_500,
)
@options.flag(
    "--batch-interval-millis", "Longest wait of a fill for its batch.", type=click.IntRange(min=0), default=1_000
)
@options.flag(
    "--block-gas-limit",
    "Gas of a block of the chain; a batch of a new venue takes at most 60 % of it.",
    type=click.IntRange(min=1),
    default=BLOCK_GAS_LIMIT,
)
@options.flag("--epoch-millis", "Longest epoch, if it holds an order.", type=click.IntRange(min=1), default=60_000)
@options.flag("--epoch-orders", "Most orders of an epoch.", type=click.IntRange(min=1), default=10_000)
@options.operators
@options.flag(
    "--follow", "Be the standby of the node at HOST:PORT (its --follow-port) or at its sequencer.sock.", default=""
)
@click.option("--promote", is_flag=True, help="Take over on a folder that followed. The old leader must be stopped.")
@click.option("--sync-follower", is_flag=True, help="Acknowledge only what a follower has on its disk, too.")
@options.flag("--follow-host", "Address where followers from elsewhere may connect.", default="127.0.0.1")
@options.flag(
    "--follow-port",
    "The port; 0 lets the system choose (see <data>/follow.port), -1 is none.",
    type=click.IntRange(-1, 65535),
    default=-1,
)
@options.flag(
    "--follow-secret", "File with what leader and followers both know; made if it is not there.", type=options.FILE
)
@click.option(
    "--accept-loss",
    "accepts_loss",
    is_flag=True,
    help="Start on an old copy of the journal although the chain settled more; the venue halts, and can be wound up.",
)
def node(
    attestation_key: Path,
    password_file: Path | None,
    registry: Path,
    chain_id: int,
    follow_secret: Path | None,
    **values: Any,
) -> None:
    """Run a node; with --follow, a standby that copies another one's journal.

    A node is sequencer, gateways, publisher, projector and snapshotter. Stop it with SIGTERM; starting it again is
    recovery.
    """
    from offchain.node import run_node

    book, secret = load_registry(registry, chain_id), load_key(attestation_key, password_file).secret
    shared = b"" if follow_secret is None else load_secret(follow_secret)
    settings = node_settings(book, secret, follow_secret=shared, **values)
    _begin("follower" if settings.follow else "sequencer", settings.attestation_key, (attestation_key, password_file))
    sys.exit(run_node(settings))


def node_settings(
    registry: Registry, attestation_key: bytes, *, data: Path, ops_url: str, history_url: str, **chosen: Any
) -> "NodeSettings":
    """Of the flags, by parameter; `chosen` are those that NodeSettings calls the same. `ConfigurationError` for what a
    node would not start with."""
    from offchain.node import NodeSettings

    return NodeSettings(
        data=data,
        registry=registry,
        ops_url=options.ops_url(data, ops_url),
        history_url=options.history_url(data, history_url),
        attestation_key=attestation_key,
        **chosen,
    )


def _keeper_defaults(context: click.Context, _: click.Parameter, name: str) -> str:
    """The file's [keeper.NAME] over its [keeper]; the name is parsed before the flags, which then find both."""
    context.default_map = keeper_defaults(context.default_map or {}, name)
    return name


@click.command()
@click.argument("name", type=click.Choice(sorted(KEEPERS)), is_eager=True, callback=_keeper_defaults)
@options.data
@options.registry
@options.chain_id
@options.rpc
@options.optional_key
@options.password_file
@options.flag("--ops-url", "Ops database; SQLite in the data folder if not given.", default="")
@options.flag("--poll-millis", "Pause between two looks.", type=click.IntRange(min=50), default=500)
@options.metrics_host
@options.metrics_port
@options.flag("--max-fee-gwei", "Never pay more than this per gas.", type=float, default=50.0)
@options.flag(
    "--requests-per-minute",
    "Most questions to each RPC endpoint; 0: no limit. Keepers on one public endpoint share its limit: split it.",
    type=click.IntRange(min=0),
    show_default="100, and no limit for this machine's own node",
)
@keeper_flags
def keeper(
    name: str, key: Path | None, password_file: Path | None, registry: Path, chain_id: int, **values: Any
) -> None:
    """Run the keeper NAME.

    sync reads the chain; the others send transactions, each with a key of its own. Kill it at any time; started again,
    it goes on.
    """
    check_owners(click.get_current_context(), name)
    if key is None and name != "sync":
        raise ConfigurationError(f"keeper {name} needs --key", remedy="Give the file of its own private key")
    secret = load_key(key, password_file).secret if key is not None else b""
    settings = keeper_settings(name, load_registry(registry, chain_id), secret, **values)
    _begin(f"keeper.{name}", settings.key, (key, password_file if key is not None else None))
    sys.exit(run_keeper(name, settings))


def keeper_settings(
    name: str,
    registry: Registry,
    key: bytes,
    *,
    data: Path,
    rpc: str,
    ops_url: str,
    poll_millis: int,
    metrics_host: str,
    metrics_port: int,
    max_fee_gwei: float,
    requests_per_minute: int | None,
    **own: Any,
) -> KeeperSettings:
    """Of the flags, by parameter; `own` are those of single keepers. `ConfigurationError` for what the keeper would not
    start with."""
    if not 0 < max_fee_gwei < MAX_FEE_GWEI:  # also what is no number
        remedy = f"Above 0 and below {MAX_FEE_GWEI}"
        raise ConfigurationError(f"--max-fee-gwei {max_fee_gwei} pays for nothing", remedy=remedy)
    return KeeperSettings(
        rpc_urls=tuple(url.strip() for url in rpc.split(",")),
        registry=registry,
        ops_url=options.ops_url(data, ops_url),
        key=key,
        poll_millis=poll_millis,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        max_fee_wei=int(max_fee_gwei * 1e9),
        requests_per_minute=requests_per_minute,
        folder=data,
        price=price_settings(own) if name == "price" else None,
        api_url=own["api"],
    )


def flaws(path: tuple[str, ...], values: Mapping[str, Any]) -> Iterator[ConfigurationError]:
    """What a command would refuse in these values, by parameter, before it does anything: its registry, and what a
    daemon's settings do not take. Keys are not read, and what may come from elsewhere is not missed."""
    try:
        registry = _registry_of(values) if "registry" in values else NOWHERE
        own = {name: value for name, value in values.items() if name not in ELSEWHERE}
        if path == ("node",):
            node_settings(registry, bytes(32), **own)
        elif path[0] == "keeper" and (path[1] != "price" or values["source"]):
            keeper_settings(path[1], registry, b"", **own)
    except ConfigurationError as error:
        yield error


def _registry_of(values: Mapping[str, Any]) -> Registry:
    """The one that is named. Where none is, it need not be in the default place yet."""
    path, chain_id = values["registry"], values["chain_id"]
    if path == options.DEPLOYMENTS and not registry_path(path, chain_id).exists():
        return NOWHERE
    return load_registry(path, chain_id)


def _begin(process: str, secret: bytes, files: tuple[Path | None, ...]) -> None:
    """What an operator should know before all else, as lines of the log like every other."""
    configure_logs(process, [secret] if secret else [])
    log = structlog.get_logger()
    configuration = click.get_current_context().find_object(Configuration)
    if configuration is not None and configuration.file is not None:
        log.info("configuration", file=str(configuration.file), named=configuration.is_named)
    for path in exposed(*files):
        log.warning("key", reason=f"others can read {path}", remedy=f"chmod go= {path}")
