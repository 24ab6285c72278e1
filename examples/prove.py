"""Proves that an order was received, and where: `python examples/prove.py KEY_FILE SYMBOL PRICE [URL]`.

The proof file is checked here as `hooats verify` does: the leaf is under the epoch's root, the receipt is signed.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused
from offchain.projector.proofs import verify_proof

SECONDS = 120


async def main(key: bytes, symbol: str, price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        market = (await client.markets())[symbol]
        placed = await client.place(symbol, "buy", price, market.lot_size)
        await client.cancel(placed.order.id)
        for _ in range(SECONDS):
            try:
                proof = await client.proof(placed.order.id)
                break
            except Refused as refused:
                print(f"{refused.code}: the epoch is still open", flush=True)
                await asyncio.sleep(1)
        else:
            return 1
    findings = verify_proof(proof)
    for finding in findings:
        print(f"{'ok' if finding.ok else 'NO'}: {finding.what}")
    return 0 if all(finding.ok for finding in findings) else 1


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
