"""What gateways and their publisher are started with. Every bound of the ingress that an operator may move is here,
with its reason."""

from pathlib import Path

import msgspec

from offchain.domain.eip712 import domain_separator, separator_of
from offchain.domain.units import Address
from offchain.security.limits import BanTerms, Rate


class RateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Weights a second and bursts; see `routes` for the weight of a request. An order weighs 1.

    Cancels have budgets of their own at every level, so that whoever ran out of placements, or is banned for going on
    placing, can still get out.
    """

    address: Rate = Rate(2_000, 8_000)
    """Per client address (an IPv6 /64), all routes but cancels. Several traders share one behind a NAT."""
    address_cancel: Rate = Rate(4_000, 16_000)
    """Per client address, cancels: twice as many as placements."""
    account: Rate = Rate(500, 2_000)
    """Per account: what can be told apart only after a signature or session was checked."""
    cancel: Rate = Rate(2_000, 8_000)
    """Per account, cancels: a full book of 1,000 orders, and what was placed since."""
    connection: Rate = Rate(500, 1_000)
    """Per WebSocket connection, messages."""
    handshake: Rate = Rate(50, 500)
    """Per client address: TCP connections and WebSocket upgrades. A desk's bots all come back at once after a drain."""
    everyone: Rate = Rate(40_000, 80_000)
    """All placements and questions together: above what one process can answer, so that the rest is told so at once."""
    everyone_cancel: Rate = Rate(40_000, 80_000)
    """All cancels together."""
    ban: BanTerms = BanTerms()
    """Of addresses and accounts that go on after refusals; cancels are never banned."""


LIMITS = tuple(name for name in RateSettings.__struct_fields__ if name != "ban")
"""The budgets among the fields."""


class PublisherSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`socket` is where its gateways find it."""

    socket: Path
    sequencer_socket: Path
    history_url: str
    journal_folder: Path | None = None
    snapshots_folder: Path | None = None
    """Of the projector; without it, or without the journal, a start applies all of the feed."""
    chain_id: int
    quote_token: Address
    quote_decimals: int = 6
    ring_commands: int = 10_000
    """Commands whose messages are kept for resuming streams."""
    window_millis: int = 20
    """A channel has at most one message in so long; the first after a pause goes at once. 0: one for each group."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    port_file: Path | None = None
    """Where the port of its probes is written."""


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses are lower case. `port` 0 lets the system choose; the bound port is written to `port_file`."""

    host: str = "127.0.0.1"
    port: int = 8080
    port_file: Path | None = None
    shares_port: bool = False
    """Other gateways listen at the same port: the kernel gives each connection to one of them."""
    sequencer_socket: Path
    publisher_socket: Path
    history_url: str
    journal_folder: Path | None = None
    """Of the sequencer, for proofs; without it /v1/proofs refers to `hooats prove`."""
    session_key_file: Path
    chain_id: int
    vault: Address
    settlement: Address
    commitment: Address
    quote_token: Address
    quote_decimals: int = 6
    permit_name: str = ""
    """Of the settlement token's EIP-712 domain, with `permit_version`; empty: it has no permits, or they are not known,
    and no deposits are relayed."""
    permit_version: str = ""
    rates: RateSettings = RateSettings()
    connections_max: int = 1_000
    """WebSocket connections in all; each holds at most `send_queue_max` messages."""
    connections_per_address_max: int = 100
    """Of them, from one client address."""
    http_connections_max: int = 2_000
    """Before and besides WebSockets; beyond it a connection is cut without an answer. Each holds less than 300 kB."""
    http_connections_per_address_max: int = 256
    """A pool of 100 connections each for two programs of a desk."""
    send_queue_max: int = 512
    """Messages that wait for a slow reader before books are conflated or the connection is closed."""
    ring_commands: int = 10_000
    """What the publisher was started with, for clients to know."""
    trusted_proxies: str = ""
    """Addresses whose X-Forwarded-For is believed; none by default."""
    drain_seconds: int = 5

    @property
    def settlement_separator(self) -> bytes:
        return domain_separator(self.chain_id, self.settlement)

    @property
    def permit_separator(self) -> bytes | None:
        """Of the settlement token, where deposits are relayed."""
        if not self.permit_name:
            return None
        return separator_of(self.permit_name, self.permit_version, self.chain_id, self.quote_token)

    @property
    def vault_separator(self) -> bytes:
        return domain_separator(self.chain_id, self.vault)
