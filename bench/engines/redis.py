"""A book in Redis, as many venues have one: a sorted set a side, a hash of orders, matching in Lua inside the server.

The server is one of its own, on a Unix socket in a temporary folder, without persistence. Fifty calls travel in one
pipeline. The client is a plain socket: it costs less than a client library, which favours Redis. An order's member is
its number in ten digits, so that members of one score sort by time; the score is the price, negated for bids, which a
double holds exactly here.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.engines.adapter import Absent, Adapter
from bench.operations import Operation, Workload

PIPELINE = 50

LUA = """
local kind, order, market, side = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local price, size, queued = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local own, other = 'b' .. market .. ':' .. side, 'b' .. market .. ':' .. (1 - side)
if kind == '1' or kind == '2' then
  local found = redis.call('HGET', 'members', order)
  if found then
    redis.call('ZREM', own, found)
    redis.call('HDEL', 'left', found)
    redis.call('HDEL', 'members', order)
  end
  if kind == '1' then return found and 1 or 0 end
end
local trades, quantity, notional = 0, 0, 0
while size > 0 do
  local best = redis.call('ZRANGE', other, 0, 0, 'WITHSCORES')
  if not best[1] then break end
  local at = math.abs(tonumber(best[2]))
  if side == 0 and at > price or side == 1 and at < price then break end
  local left = tonumber(redis.call('HGET', 'left', best[1]))
  local taken = math.min(size, left)
  size, trades, quantity, notional = size - taken, trades + 1, quantity + taken, notional + taken * at
  if taken == left then
    redis.call('ZREM', other, best[1])
    redis.call('HDEL', 'left', best[1])
    redis.call('HDEL', 'members', string.match(best[1], ':(.*)$'))
  else
    redis.call('HSET', 'left', best[1], left - taken)
  end
end
if size > 0 and kind ~= '3' then
  local member = queued .. ':' .. order
  redis.call('ZADD', own, side == 0 and -price or price, member)
  redis.call('HSET', 'left', member, size)
  redis.call('HSET', 'members', order, member)
end
return {trades, quantity, notional}
"""


class Engine(Adapter):
    """Compared by wall time: the work is done in the server's process."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        program = shutil.which("redis-server")
        if program is None:
            raise Absent("no redis-server on the path (on Debian and Ubuntu: apt install redis-server)")
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "socket"
        arguments = ("--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", path.parent)
        self.server = subprocess.Popen(
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.socket = _connected(path)
        self.replies = self.socket.makefile("rb")
        self.socket.sendall(_command("SCRIPT", "LOAD", LUA))
        self.script = self._reply()
        self.queued = 0

    @property
    def chunk(self) -> int:
        return PIPELINE

    def make(self, arrived: Sequence[Operation]) -> Any:
        """The bytes of the pipeline."""
        return b"".join(map(self._call, arrived)), len(arrived)

    def _call(self, operation: Operation) -> bytes:
        self.queued += 1
        return _command("EVALSHA", self.script, 0, *operation, f"{self.queued:010d}")

    def play(self, calls: Any) -> Sequence[Any]:
        pipeline, count = calls
        self.socket.sendall(pipeline)
        return [self._reply() for _ in range(count)]

    def take(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, list):
                self.trades, self.quantity, self.notional = (
                    self.trades + answer[0],
                    self.quantity + answer[1],
                    self.notional + answer[2],
                )

    def elsewhere(self) -> float:
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resting(self) -> int:
        self.socket.sendall(_command("HLEN", "left"))
        return int(self._reply())

    def close(self) -> None:
        self.replies.close()
        self.socket.close()
        self.server.terminate()
        self.server.wait()
        self.folder.cleanup()

    def _reply(self) -> Any:
        line = self.replies.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        if kind == b"$":
            return self.replies.read(int(rest) + 2)[:-2].decode()
        raise RuntimeError(f"redis answers {line!r}")


def _command(*parts: object) -> bytes:
    texts = [str(part).encode() for part in parts]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)


def _connected(path: Path) -> socket.socket:
    for _ in range(200):
        found = socket.socket(socket.AF_UNIX)
        try:
            found.connect(str(path))
        except OSError:
            found.close()
            time.sleep(0.025)
        else:
            return found
    raise Absent("redis-server does not start")
