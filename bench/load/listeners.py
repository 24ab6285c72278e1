"""`python -m bench.load.listeners HOST PORT COUNT SYMBOL READY`: connections that listen to a market's data and throw
it away, for as long as the process lives. The file READY appears when all of them are subscribed.

They stand for the many who watch: what sending to them costs the venue is in the figures, and so is reading it here.
One that is cut off ends the process, and the run.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from bench.load.wire import Replied, WebSocket

CHANNELS = ("book", "bbo", "trades")
START_SECONDS = 30
"""For a gateway that listens and has not found its publisher yet."""


def subscribe(connection: WebSocket, channel: str) -> None:
    """Asked again for as long as there is nobody to answer."""
    request, deadline = b'{"op":"subscribe","channel":"%s"}' % channel.encode(), time.monotonic() + START_SECONDS
    while True:
        try:
            return connection.ask(request)
        except Replied as refused:
            if '"UNAVAILABLE"' not in str(refused) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main() -> int:
    host, port, count, symbol, ready = sys.argv[1:]
    poll, connections = select.epoll(), {}
    for number in range(int(count)):
        connection = WebSocket(host, int(port))
        subscribe(connection, f"{CHANNELS[number % 3]}:{symbol}")
        connections[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    Path(ready).touch()
    while True:
        for number, _ in poll.poll():
            connections[number].throw_away()


if __name__ == "__main__":
    sys.exit(main())
