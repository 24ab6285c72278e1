"""The unit of every figure: one bare secp256k1 public key recovery on this machine, now.

Nothing that verifies an order by one call of libsecp256k1 can cost less, so what a stage or an order costs is told as a
multiple of it. `python -m bench.calibration` prints the seconds of one, in a process of its own.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from hashlib import sha256

from coincurve import PrivateKey
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

RECOVERIES = 2_000


def prepared(count: int) -> Callable[[], None]:
    """A call that recovers the keys of that many distinct signatures: nothing else is done in it."""
    key = PrivateKey(sha256(b"calibration").digest())
    inputs = []
    for number in range(count):
        message = sha256(number.to_bytes(4, "big")).digest()
        raw = key.sign_recoverable(message, hasher=None)
        signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        parsed = lib.secp256k1_ecdsa_recoverable_signature_parse_compact(
            GLOBAL_CONTEXT.ctx, signature, raw[:64], raw[64]
        )
        assert parsed
        inputs.append((signature, message))
    context, recover, point = GLOBAL_CONTEXT.ctx, lib.secp256k1_ecdsa_recover, ffi.new("secp256k1_pubkey *")

    def run() -> None:
        for signature, message in inputs:
            recover(context, point, signature, message)

    return run


def seconds_per_recovery(count: int = RECOVERIES) -> float:
    """On this processor, with the collector off."""
    run = prepared(count)
    was_enabled = gc.isenabled()
    gc.disable()
    start = time.process_time()
    run()
    spent = time.process_time() - start
    if was_enabled:
        gc.enable()
    return spent / count


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECOVERIES
    print(json.dumps({"engine": "calibration", "recover_seconds": seconds_per_recovery(count), "count": count}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
