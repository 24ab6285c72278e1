"""How commands talk to the exchange: one connection per command, an answer or one line within seconds."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from offchain.cli.failures import Negative
from offchain.cli.secrets import open_key
from offchain.client import ExchangeUnreachable, HooatsClient, Refused
from offchain.domain.units import Address

CONNECT_SECONDS = 1.0
"""A person waits for it."""
T = TypeVar("T")


def connect(api: str, secret: bytes | None, account: Address | None = None) -> HooatsClient:
    return HooatsClient(api, secret, account=account, connect_seconds=CONNECT_SECONDS)


def ask(
    api: str,
    key: Path | None,
    password_file: Path | None,
    question: Callable[[HooatsClient], Awaitable[T]],
    *,
    sends: bool = False,
    account: Address | None = None,
) -> T:
    """What the exchange answers; `Negative` with its reason if it refuses.

    `sends`: the question is one request that changes something; whoever asks hears if it certainly did not.
    """
    secret = None if key is None else open_key(key, password_file).secret

    async def connected() -> T:
        async with connect(api, secret, account) as client:
            try:
                return await question(client)
            except Refused as refused:
                raise Negative(refused.message, remedy=refused.remedy) from None
            except ExchangeUnreachable as failure:
                if failure.is_sent or not sends:
                    raise
                remedy = f"Nothing was sent. {failure.remedy}"
                raise ExchangeUnreachable(failure.message, remedy=remedy, is_sent=False) from None

    return asyncio.run(connected())
