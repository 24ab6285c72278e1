"""Closed orders, fills, trades, epochs and proofs, from the history database: read only, and off the event loop.

The history is the projector's and lags the journal a little; whatever is younger comes from the read model. Invariant:
rows of another account are never asked for, so they cannot be answered.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from offchain.domain.errors import InvalidInput, StorageError
from offchain.domain.order import OrderStatus
from offchain.domain.units import Address, Digest
from offchain.gateway.bounds import PROOFS_WAITING_MAX, QUESTIONS_WAITING_MAX
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.records import FillRecord, FillState, OrderRecord, refusal_words
from offchain.projector.proofs import build_proof, header_json
from offchain.storage.history import FillRow, History, OrderRow
from offchain.storage.reader import JournalReader

T = TypeVar("T")
_log = logging.getLogger("hooats.gateway")

CLOSED = (OrderStatus.CLOSED, OrderStatus.CANCELED, OrderStatus.EXPIRED)
THREADS = 2
"""More would only compete with the event loop for the interpreter."""


class Past:
    """Opened on first use, since the projector may start later than the gateway."""

    def __init__(self, url: str, journal_folder: Path | None) -> None:
        self._url = url
        self._journal_folder = journal_folder
        self._history: History | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="history")
        self._proofs = asyncio.Semaphore(1)
        self._proofs_waiting = self._questions_waiting = 0
        self._opening = asyncio.Lock()

    def close(self) -> None:
        self._threads.shutdown()
        if self._history is not None:
            self._history.close()

    async def order(self, digest: Digest) -> OrderRecord | None:
        """Of any account: the caller checks whose it is."""
        row = await self._ask(lambda history: history.order(digest))
        return None if row is None else _order(row)

    async def client_order(self, account: Address, client_order_id: str) -> OrderRecord | None:
        row = await self._ask(lambda history: history.order_of_client(account, client_order_id))
        return None if row is None else _order(row)

    async def closed_orders(self, account: Address, market: int | None, before: int, limit: int) -> list[OrderRecord]:
        """Below the sequence `before`, newest first."""
        rows = await self._ask(lambda history: history.orders_of(account, before, limit, market or 0, CLOSED))
        return [_order(row) for row in rows]

    async def fills(self, account: Address, market: int | None, before: int, limit: int) -> list[FillRecord]:
        """Below the fill `before`, newest first."""
        rows = await self._ask(lambda history: history.fills_of(account, before, limit, market or 0))
        return [_fill(row) for row in rows]

    async def trades(self, market: int, before: int, limit: int) -> list[FillRecord]:
        """Below the fill `before`, newest first."""
        rows = await self._ask(lambda history: history.trades_of(market, before, limit))
        return [_fill(row) for row in rows]

    async def epoch(self, number: int) -> dict[str, Any] | None:
        row = await self._ask(lambda history: history.epoch(number))
        if row is None:
            return None
        return {"epoch": row.epoch, "timestamp": row.at, "hash": row.hash, "header": header_json(row.header)}

    async def proof(self, digest: Digest, receipt: str, group: dict[str, Any] | None) -> dict[str, Any]:
        """One at a time: the leaves of a whole epoch are hashed for it."""
        folder = self._journal_folder
        if folder is None:
            raise ApiError(Code.NOT_FOUND, "this gateway has no journal at hand", {"remedy": "Use `hooats prove`"})
        if self._proofs_waiting >= PROOFS_WAITING_MAX:
            raise _busy("proofs")
        self._proofs_waiting += 1
        try:
            async with self._proofs:
                return await self._ask(
                    lambda history: build_proof(history, JournalReader(folder), digest, receipt, group)
                )
        except InvalidInput as error:
            raise ApiError(Code.ORDER_NOT_FOUND, error.message, {"remedy": error.remedy}) from None
        finally:
            self._proofs_waiting -= 1

    async def _ask(self, question: Callable[[History], T]) -> T:
        if self._questions_waiting >= QUESTIONS_WAITING_MAX:
            raise _busy("history")
        loop = asyncio.get_running_loop()
        self._questions_waiting += 1
        try:
            async with self._opening:
                if self._history is None:
                    self._history = await loop.run_in_executor(self._threads, History, self._url)
            history = self._history
            return await loop.run_in_executor(self._threads, lambda: question(history))
        except StorageError as error:
            _log.warning("history does not answer: %s", error)
            message = "the history does not answer"
            raise ApiError(Code.UNAVAILABLE, message, {"retryAfterMs": 1000}, {"Retry-After": "1"}) from None
        finally:
            self._questions_waiting -= 1


def _busy(limit: str) -> ApiError:
    data = {"limit": limit, "retryAfterMs": 1000}
    return ApiError(Code.RATE_LIMITED, f"too many wait for the {limit} already", data, {"Retry-After": "1"})


def _order(row: OrderRow) -> OrderRecord:
    return OrderRecord(
        digest=row.digest,
        account=row.account,
        sequence=row.sequence,
        at=row.at,
        market=row.market,
        side=row.side,
        kind=row.kind,
        time_in_force=row.time_in_force,
        flags=row.flags,
        price_ticks=row.price_ticks,
        size_lots=row.size_lots,
        nonce=row.nonce,
        expiry=row.expiry,
        client_order_id=row.client_order_id,
        subaccount=row.subaccount,
        trigger_ticks=row.trigger_ticks,
        filled_lots=row.filled_lots,
        cost_atoms=row.cost_atoms,
        fee_atoms=row.fee_atoms,
        last_trade_at=row.last_trade_at,
        updated_at=row.updated_at,
        status=row.status,
        reason=row.reason,
    )


def _fill(row: FillRow) -> FillRecord:
    return FillRecord(
        fill=row.fill,
        market=row.market,
        at=row.at,
        maker_digest=row.maker_digest,
        taker_digest=row.taker_digest,
        maker=row.maker,
        taker=row.taker,
        taker_side=row.taker_side,
        price_ticks=row.price_ticks,
        size_lots=row.size_lots,
        notional=row.notional,
        maker_fee_ppm=row.maker_fee_ppm,
        taker_fee_ppm=row.taker_fee_ppm,
        maker_fee=row.maker_fee,
        taker_fee=row.taker_fee,
        state=FillState(row.state),
        batch=row.batch,
        transaction=row.transaction,
        reason=row.reason if row.refusal is None else refusal_words(row.refusal),
    )
