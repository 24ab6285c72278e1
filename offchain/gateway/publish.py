"""Runs the publisher until SIGTERM: `python -m offchain.gateway.publish SETTINGS.json`.

It is nicer than the node's other processes: where the processors do not suffice, orders go before what is told of them.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from offchain.domain.errors import HooatsError
from offchain.gateway.collecting import collect_new
from offchain.gateway.publisher import Publisher
from offchain.gateway.settings import PublisherSettings
from offchain.storage.handed import decode_settings
from offchain.telemetry.logs import configure_logs
from offchain.telemetry.probes import listen

NICENESS = 5
"""A third of the share of a process that takes orders, and all that such leave."""


async def run_publisher(settings: PublisherSettings) -> None:
    """ConfigurationError if the port of its probes is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    publisher = Publisher(settings)
    listener = listen(publisher.probes(), settings.metrics_host, settings.metrics_port, settings.port_file)
    collecting = asyncio.create_task(collect_new(), name="collecting")
    try:
        await publisher.start()
        await stop.wait()
    finally:
        collecting.cancel()
        await publisher.close()
        if listener is not None:
            listener.close()


def main() -> int:
    configure_logs("publisher")
    os.nice(NICENESS)
    try:
        raw = Path(sys.argv[1]).read_bytes()
        uvloop.run(run_publisher(decode_settings(raw, PublisherSettings)))
    except (HooatsError, OSError, IndexError, msgspec.MsgspecError) as error:
        print(f"publisher: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
