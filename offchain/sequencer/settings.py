"""What a sequencer is started with, and its bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from offchain.domain.command import OpenVenue
from offchain.domain.errors import ConfigurationError
from offchain.telemetry.probes import OFF

Clock = Callable[[], int]
"""Unix milliseconds."""

GROUP_COMMANDS_MAX = 1_024
"""Of one group, so that nobody waits for more than that many others to be applied."""
GROUP_SECONDS_MAX = 0.001
"""Of applying one group, and the submission in which it is over: then the sockets are looked at."""
WAYS_OUT_IN_A_ROW_MAX = 512
"""Commands that only take orders out, after which one submission of orders that waits has its turn."""
ROWS_TOGETHER_MAX = 128
"""Rows of several submissions that are applied in one go: by then it saves no more, and a group has to end in time."""
GROUP_BYTES_MAX = 8 * 1024 * 1024
WAITING_COMMANDS_MAX = 16_384
"""Commands that wait for the disk; above it nothing more is read from the sockets."""
RING_COMMANDS = 50_000
RING_BYTES = 64 * 1024 * 1024
"""Recent groups for feeds; what is older is read from the journal."""
FIRST_RESULTS_MAX = 65_536
"""Orders whose first result is kept to the letter; of older ones the engine knows the present state."""
CONNECTION_BUFFER_BYTES_MAX = 256 * 1024 * 1024
"""Answers that a peer does not read: above it the connection is cut."""
SOCKET_PATH_BYTES_MAX = 107
"""Of a Unix socket, by the kernel."""


@dataclass(frozen=True, kw_only=True)
class SequencerSettings:
    """`data` is the node's folder: the journal lives in `data/journal`. `venue` opens an empty journal.

    `attestation_key` (32 bytes) signs receipts and countersignatures and is never shown.
    """

    data: Path
    socket: Path
    ops_url: str
    venue: OpenVenue
    attestation_key: bytes = field(repr=False)
    epoch_millis: int = 60_000
    epoch_orders: int = 10_000
    inbox_poll_millis: int = 100
    accepts_loss: bool = False
    """Start although the chain settled fills that the journal does not have."""
    term: int = 1
    """Which leader of this venue this one is; see `storage.standing`."""
    sync_follower: bool = False
    """Acknowledge only what a follower has on disk, too."""
    follow_host: str = "127.0.0.1"
    follow_port: int = OFF
    """Where followers from elsewhere may connect; 0 lets the system choose and writes it to `data/follow.port`."""
    follow_secret: bytes = field(default=b"", repr=False)
    """What they have to know."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = OFF
    """Of /livez, /readyz and /metrics; 0 lets the system choose and writes it to `data/sequencer.port`."""
    ring_commands: int = RING_COMMANDS
    ring_bytes: int = RING_BYTES

    def __post_init__(self) -> None:
        if len(self.attestation_key) != 32:
            raise ConfigurationError("the attestation key has not 32 bytes", remedy="Name the file of a private key")
        if len(str(self.socket).encode()) > SOCKET_PATH_BYTES_MAX:
            raise ConfigurationError(
                f"the socket path {self.socket} is too long", remedy=f"At most {SOCKET_PATH_BYTES_MAX} bytes"
            )
        if self.follow_port != OFF and not self.follow_secret:
            raise ConfigurationError("followers need a secret", remedy="Name its file with --follow-secret")
        if self.epoch_millis < 1 or self.epoch_orders < 1:
            raise ConfigurationError(
                f"an epoch of {self.epoch_millis} ms and {self.epoch_orders} orders never ends",
                remedy="Give it at least one millisecond and one order",
            )

    @property
    def journal_folder(self) -> Path:
        return self.data / "journal"

    @property
    def snapshots_folder(self) -> Path:
        """Written by the snapshotter."""
        return self.data / "snapshots"
