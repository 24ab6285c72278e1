"""`python -m bench.load.listeners HOST PORT COUNT SYMBOL READY`: connections that listen to a market's data and throw
it away, for as long as the process lives. The file READY appears when all of them are subscribed.

They stand for the many who watch: what sending to them costs the venue is in the figures, and so is reading it here.
One that is cut off ends the process, and the run.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path

from bench.load.wire import WebSocket

CHANNELS = ("book", "bbo", "trades")


def main() -> int:
    host, port, count, symbol, ready = sys.argv[1:]
    poll, connections = select.epoll(), {}
    for number in range(int(count)):
        connection = WebSocket(host, int(port))
        connection.ask(b'{"op":"subscribe","channel":"%s:%s"}' % (CHANNELS[number % 3].encode(), symbol.encode()))
        connections[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
    Path(ready).touch()
    while True:
        for number, _ in poll.poll():
            connections[number].throw_away()


if __name__ == "__main__":
    sys.exit(main())
