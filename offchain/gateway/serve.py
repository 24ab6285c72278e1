"""Runs one gateway until SIGTERM: `run_gateway(settings)`, or `python -m offchain.gateway.serve SETTINGS.json`
(`-` reads the settings from standard input).

SIGTERM drains: /readyz says 503, streams are closed with 1012, requests in flight are answered, then the process ends
with 0. The bound port goes to `port_file` once requests are served.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette

from offchain.domain.errors import ConfigurationError, HooatsError
from offchain.domain.limits import FRAME_BYTES_MAX
from offchain.gateway.app import create_app
from offchain.gateway.bounds import SEND_BUFFER_BYTES, STALLED_SECONDS
from offchain.gateway.collecting import collect_by_age
from offchain.gateway.connection import BoundedProtocol
from offchain.gateway.context import Gateway
from offchain.gateway.settings import GatewaySettings
from offchain.gateway.socket import EntryProtocol
from offchain.security.keys import load_secret
from offchain.storage.handed import decode_settings
from offchain.telemetry.logs import configure_logs

PING_SECONDS = 20.0


class _Server(uvicorn.Server):
    """Announces its port, and knows when it drains."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._collecting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._collecting = asyncio.create_task(collect_by_age(), name="collecting")
        port_file = self._gateway.settings.port_file
        if self.started and port_file is not None and sockets:
            staging = port_file.with_name(f".{port_file.name}.{os.getpid()}")
            staging.write_text(f"{sockets[0].getsockname()[1]}\n")
            staging.replace(port_file)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.is_draining = True
        await super().shutdown(sockets=sockets)
        if self._collecting is not None:
            self._collecting.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's, but the process ends with 0 instead of raising the signal again."""
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def run_gateway(settings: GatewaySettings) -> int:
    """0 after a drain. ConfigurationError if it cannot start."""
    app = create_app(settings)
    config = configure(app, settings)
    listener = bind(settings.host, settings.port, shared=settings.shares_port)
    _Server(config, app.state.gateway).run(sockets=[listener])
    return 0


def configure(app: Starlette, settings: GatewaySettings) -> uvicorn.Config:
    """Everything that bounds a connection is here or in `connection`."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws=EntryProtocol,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws_max_size=FRAME_BYTES_MAX,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=settings.drain_seconds,
    )


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket whose connections buffer little in the kernel, so that a slow reader is noticed; a stalled one ends."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}", remedy="Choose another --port") from None
    return listener


def main() -> int:
    try:
        raw = sys.stdin.buffer.read() if sys.argv[1] == "-" else Path(sys.argv[1]).read_bytes()
        settings = decode_settings(raw, GatewaySettings)
        configure_logs("gateway", [load_secret(settings.session_key_file)])
        return run_gateway(settings)
    except (HooatsError, OSError, IndexError, msgspec.MsgspecError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
