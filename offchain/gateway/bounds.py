"""Bounds of the gateway's ingress that nobody needs to move, each with its reason; those that an operator may move are
in `settings`, those that the engine shares in `domain.limits`, those of the stream and the verifier beside their code.

Hitting one is an answer with a code, or the end of that connection: never a silent drop, and never at others' cost.
"""

from typing import Final

# --- connections ---
HEAD_BYTES_MAX: Final = 32 * 1024
"""Request line and headers; ours are below 2 kB."""
HEAD_SECONDS: Final = 10.0
"""For a whole head, from the connection on: who opens and says nothing holds a descriptor no longer."""
BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive."""
DISCARDED_BYTES_MAX: Final = 1024 * 1024
"""A body above BODY_BYTES_MAX is read and dropped up to here, so that the client sees the answer; then it is cut."""
STALLED_SECONDS: Final = 30
"""What was sent and is not taken for so long ends the connection, in the kernel (TCP_USER_TIMEOUT): neither a WebSocket
close nor an HTTP answer can be delivered to who does not read."""
SEND_BUFFER_BYTES: Final = 128 * 1024
"""Of the kernel, per connection: beyond it a slow reader is noticed, and costs no more memory."""

# --- sessions ---
WINDOW_MILLIS: Final = 30_000
"""How far a request's timestamp, or a login's issue time, may be from the gateway's clock."""
SEEN_MAX: Final = 200_000
"""Signatures of mutations remembered for the window; at the bound mutations by session are refused, not replayable."""
REVOKED_MAX: Final = 100_000
"""Revoked sessions remembered until they would have expired anyway."""
REVOKED_PER_ACCOUNT_MAX: Final = 1_000
"""Of those, of one account, so that nobody uses up the others'. One who ends more of them in a day ends all."""

# --- history ---
QUESTIONS_WAITING_MAX: Final = 64
"""For the history database: two threads answer about 1,000 a second; who would wait longer is told to come back."""
PROOFS_WAITING_MAX: Final = 4
"""A proof hashes the leaves of a whole epoch."""
