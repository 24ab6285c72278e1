"""What a keeper needs to know to run."""

from dataclasses import dataclass, field
from pathlib import Path

from keepers.price import PriceSettings
from offchain.chain.fees import GWEI
from offchain.chain.registry import Registry
from offchain.chain.transactions import Tally
from offchain.chain.watcher import RANGE_BLOCKS_MAX
from offchain.domain.limits import BATCHES_IN_FLIGHT_MAX

GAS_MAX = 2_900_000
"""Most gas of one transaction: what a small HyperEVM block takes, with a little room."""


@dataclass(frozen=True, kw_only=True)
class KeeperSettings:
    """`key` is the keeper's own private key (32 bytes; none for sync). `folder` gets the heartbeat files.

    `requests_per_minute` per URL: None for 100, or for no limit if the URL is this machine's own node. Keepers that
    share a public endpoint share its limit: give each its part. `metrics_port`: 0 lets the system choose (the
    heartbeat says which), -1 for no listener.
    """

    rpc_urls: tuple[str, ...]
    registry: Registry
    ops_url: str
    key: bytes = field(default=b"", repr=False)
    folder: Path | None = None
    poll_millis: int = 500
    max_fee_wei: int = 50 * GWEI
    priority_fee_wei: int = 0
    bump_millis: int = 12_000
    resend_millis: int = 4_000
    confirmations: int = 1
    in_flight_max: int = BATCHES_IN_FLIGHT_MAX
    range_blocks: int = RANGE_BLOCKS_MAX
    gas_max: int = GAS_MAX
    requests_per_minute: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    lease_seconds: int = 15
    drain_seconds: float = 10.0
    tally: Tally = field(default_factory=Tally, compare=False)
    """Filled by the keeper's sender; read by its metrics."""
    price: PriceSettings | None = None
    """Of the price keeper alone."""
    api_url: str = ""
    """The exchange that countersigns the liquidate keeper's burns."""
