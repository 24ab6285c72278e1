"""Goes on where an earlier run stopped: `python examples/resume.py KEY_FILE STATE_FILE [URL] [MESSAGES]`.

The state is the last `seq` of every channel. What came since is sent in order; only what the venue has no more is
answered with a snapshot instead, and a program can tell by `type`.
"""

import asyncio
import json
import sys
from pathlib import Path

from offchain.client import HooatsClient

CHANNELS = ("orders", "fills", "balances")


def load(state: str) -> dict[str, int]:
    file = Path(state)
    return json.loads(file.read_text()) if file.exists() else {}


def save(state: str, seen: dict[str, int]) -> None:
    Path(state).write_text(json.dumps(seen))


async def main(key: bytes, state: str, url: str = "http://127.0.0.1:8080", messages: str = "3") -> int:
    seen = load(state)
    async with HooatsClient(url, key) as client:
        stream = client.stream(CHANNELS, seen)
        for _ in range(int(messages)):
            message = await anext(stream)
            print(f"{message['type']} of {message['channel']}, sequence {message['seq']}", flush=True)
            save(state, stream.seen)
        await stream.aclose()
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
