"""`python -m bench.load.audience HOST PORT SYMBOL COUNT STALLED FOLDER [LOGIN…]`: many who listen to a market's trades,
and tell how long each message took from the command's time to their hands (milliseconds, of one clock).

Some of them stop reading when the file FOLDER/stall appears, and go on when FOLDER/again does: what they find then is
told, too. One in ten of those listens to an account's own orders (LOGIN: lines of the stream that log in, one each, as
a mark is good once). FOLDER/end ends it, and FOLDER/audience.json says how it went.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from collections import Counter
from pathlib import Path

from bench.load.histogram import Histogram
from bench.load.wire import Replied, WebSocket

POLL_SECONDS = 0.05
RECEIVE_BYTES = 4_096
"""Of the kernel for one who will stall: the gateway shall notice."""
_TIME = re.compile(rb'"type":"delta".*?"timestamp":(\d+)')
_TOKEN = re.compile(r"resume from \d+")


class Listener(WebSocket):
    """`is_private`: of an account's orders."""

    is_private = False

    def deltas(self) -> list[int]:
        """When the commands were that the messages which are there tell of."""
        found = [_TIME.search(payload) for opcode, payload in self._messages() if opcode == 1]
        return [int(match.group(1)) for match in found if match]


class Audience:
    def __init__(self, host: str, port: int, symbol: str, count: int, stalled: int, logins: list[str]) -> None:
        self.poll = select.epoll()
        self.open: dict[int, Listener] = {}
        self.stalling: list[Listener] = []
        self.delays = Histogram()
        self.ends: Counter[str] = Counter()
        for number in range(count):
            listener = Listener(host, port)
            if number < stalled:
                listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
                self.stalling.append(listener)
            channel = f"trades:{symbol}"
            if number < len(logins):
                listener.is_private, channel = True, "orders"
                listener.ask(logins[number].encode())
            listener.ask(b'{"op":"subscribe","channel":"%s"}' % channel.encode())
            self.open[listener.socket.fileno()] = listener
            self.poll.register(listener.socket, select.EPOLLIN)

    def listen(self) -> None:
        """To those who read."""
        for number, _ in self.poll.poll(POLL_SECONDS):
            listener = self.open[number]
            try:
                deltas = listener.deltas()
            except (Replied, OSError) as error:
                self._end(listener, str(error))
                continue
            if not listener.is_private:
                now = time.time_ns() // 1_000
                for at in deltas:
                    self.delays.add(now - at * 1_000)

    def stall(self) -> None:
        """Those that were not cut off before: with so small a buffer, a burst may do it."""
        self.stalling = [listener for listener in self.stalling if listener.socket.fileno() in self.open]
        for listener in self.stalling:
            self.poll.unregister(listener.socket)

    def read_again(self) -> None:
        for listener in self.stalling:
            self.poll.register(listener.socket, select.EPOLLIN)

    def _end(self, listener: Listener, why: str) -> None:
        """Told apart by what it listened to."""
        how = "told where to resume" if _TOKEN.search(why) else f"ended: {why}"
        self.ends[f"{'private' if listener.is_private else 'public'} {how}"] += 1
        self.poll.unregister(listener.socket)
        del self.open[listener.socket.fileno()]
        listener.socket.close()


def main() -> int:
    host, port, symbol, count, stalled, name, *logins = sys.argv[1:]
    folder = Path(name)
    audience = Audience(host, int(port), symbol, int(count), int(stalled), logins)
    (folder / "audience.ready").touch()
    steps = [("stall", audience.stall), ("again", audience.read_again), ("end", None)]
    found, looked = dict[str, object](), 0.0
    audience.delays = Histogram()
    while steps:
        audience.listen()
        if time.monotonic() < looked + POLL_SECONDS:
            continue
        looked = time.monotonic()
        if not (folder / steps[0][0]).exists():
            continue
        (what, act), steps = steps[0], steps[1:]
        if act is not None:
            act()
        if what != "end":
            found[f"until {what}"] = {"messages": audience.delays.count, "delay_ms": audience.delays.summary()}
            audience.delays = Histogram()
    found |= {"ends": audience.ends, "open": len(audience.open)}
    (folder / "audience.json").write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
