"""The parts of one gateway, wired together once."""

import asyncio
import gc
import logging
import sys
import time

from offchain.domain.units import Address
from offchain.gateway.accounts import Accounts
from offchain.gateway.administration import Administration
from offchain.gateway.connection import Doors
from offchain.gateway.directory import Directory
from offchain.gateway.entry import Entry
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.hub import Hub
from offchain.gateway.ingress import Crowd, Ingress, Proxies
from offchain.gateway.metrics import Metrics
from offchain.gateway.past import Past
from offchain.gateway.publications import Publications
from offchain.gateway.relaying import Relaying
from offchain.gateway.resting import Resting
from offchain.gateway.revocations import POLL_SECONDS, Revocations
from offchain.gateway.sessions import Sessions, SpentMarks
from offchain.gateway.settings import GatewaySettings
from offchain.gateway.together import Batches
from offchain.gateway.trading import Trading
from offchain.gateway.upstream import Upstream
from offchain.security.keys import load_secret
from offchain.security.signatures import Signers

_log = logging.getLogger("hooats.gateway")
CANCEL_AGAIN_SECONDS = 0.2
"""While the sequencer is away: the orders of a connection that had asked for it are cancelled as soon as it is back."""


class Gateway:
    """`start` and `close` belong to the event loop that serves. ConfigurationError if a file cannot be read."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.model = Directory()
        self.upstream = Upstream(settings.sequencer_socket, settings.chain_id)
        self.publications = Publications(settings.publisher_socket, self.model, lambda: self.upstream.newest)
        self.hub = self.publications.readers = Hub(self.publications)
        self.ingress = Ingress(settings.rates, self.metrics)
        revocations = Revocations(settings.session_key_file.with_suffix(".revoked"), int(time.time()))
        spent = SpentMarks(settings.session_key_file.with_suffix(".spent"))
        secret = load_secret(settings.session_key_file)
        separator = settings.settlement_separator
        self.sessions = Sessions(secret, separator, spent, revocations, self.model.is_agent)
        self.signers = Signers()
        beside = self.publications, self.upstream, self.signers, self.ingress, self.metrics
        self.trading = Trading(settings, self.model, *beside)
        self.resting = Resting(self.model, self.publications, self.trading, self.ingress)
        self.batches = Batches(self.model, self.publications, self.trading, self.resting, self.ingress)
        self.accounts = Accounts(self.model, self.trading, self.ingress, settings.quote_decimals)
        self.entry = Entry(
            settings.settlement_separator,
            self.model,
            self.upstream,
            self.ingress,
            self.metrics,
            self.signers,
            self.trading.start_cancel_all,
        )
        self.administration = Administration(self.model, self.trading, settings.quote_decimals)
        self.relaying = Relaying(settings, self.publications, self.trading, self.ingress)
        self.past = Past(settings.history_url, settings.journal_folder)
        self.sockets = Crowd(settings.connections_max, settings.connections_per_address_max)
        doors = Crowd(settings.http_connections_max, settings.http_connections_per_address_max)
        self.doors = Doors(doors, self.ingress, Proxies(settings.trusted_proxies))
        self.is_draining = False
        self._watching: asyncio.Task[None] | None = None
        self._cancelling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self.upstream.start()
        await self.publications.start()
        self._watching = asyncio.create_task(self._watch_sessions(), name="sessions")
        gc.collect()
        gc.freeze()

    async def close(self) -> None:
        for task in (self._watching, *self._cancelling):
            if task is not None:
                task.cancel()
        await self.publications.close()
        await self.upstream.close()
        await asyncio.to_thread(self.past.close)

    def checks(self) -> dict[str, bool]:
        """What /readyz reports; ready if all are true."""
        return {
            "sequencer": self.upstream.is_live,
            "publisher": self.publications.is_live,
            "serving": not self.is_draining,
        }

    def bug(self, where: str, request_id: str = "") -> None:
        """Counts and logs the exception being handled; the client learns only that there was one, and its id."""
        self.metrics.failures.inc()
        _log.error("internal error in %s", where, exc_info=sys.exc_info(), extra={"request_id": request_id})

    def render_metrics(self) -> bytes:
        self.metrics.sequence.set(self.model.sequence)
        self.metrics.signatures.set(self.signers.looked_at)
        self.metrics.live.set(self.upstream.is_live)
        self.metrics.publisher.set(self.publications.is_live)
        self.metrics.connections.set(len(self.sockets))
        self.metrics.http_connections.set(len(self.doors.crowd))
        return self.metrics.render()

    def cancel_of_gone(self, account: Address) -> None:
        """A connection ended that had asked for its account's orders to be cancelled then; tried until it is done."""
        task = asyncio.create_task(self._cancel_of_gone(account), name="cancel on disconnect")
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def _cancel_of_gone(self, account: Address) -> None:
        while True:
            try:
                await self.resting.disconnected(account)
                return
            except ApiError as error:
                if error.code not in (Code.UNAVAILABLE, Code.UNKNOWN):
                    _log.warning("orders of a lost connection are not cancelled: %s", error.message)
                    return
            await asyncio.sleep(CANCEL_AGAIN_SECONDS)

    async def _watch_sessions(self) -> None:
        """A file that cannot be read now is asked again; what was known before stays known."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                self.sessions.refresh(time.time_ns() // 1_000_000)
            except (OSError, ValueError) as error:
                _log.error("ended sessions cannot be read: %s", error)
