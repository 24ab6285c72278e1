"""Words to systemd over its notification socket: ready, alive, stopping. Without one, nothing happens.

See sd_notify(3): a datagram of VARIABLE=value lines to the Unix socket named by NOTIFY_SOCKET.
"""

import contextlib
import os
import socket

READY = "READY=1"
ALIVE = "WATCHDOG=1"
STOPPING = "STOPPING=1"


def tell(words: str) -> None:
    """Never fails, never waits: a supervisor that does not listen is not our problem."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.setblocking(False)
        speaker.sendto(words.encode(), name)
