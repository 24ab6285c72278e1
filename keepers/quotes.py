"""Where the price keeper gets its prices: a file that a feeder replaces, or HyperCore's mid prices over HTTP.

Invariant: a quote is exact decimal text or it is refused with a reason; no float is ever made of it. A source answers
with what it has and how old that is; whether that is good enough is for the keeper to say. Deliberately no averaging of
several sources: that is the oracle's work, over several posters.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import httpx
import msgspec

from offchain.domain.errors import ConfigurationError, HooatsError
from offchain.domain.limits import SYNTH_NAME_BYTES_MAX
from offchain.domain.units import INDEX_ONE, QUOTE_DECIMALS

PRICE_MAX = 2**128 - 1
"""What the oracle takes."""
READ_SECONDS = 1.0
"""A source is read at most so often: HyperCore's API counts requests, and a jump must outlast several readings."""
TIMEOUT_SECONDS = 5.0
REPLY_BYTES_MAX = 4 * 1024 * 1024
"""All mid prices are some 20 kB."""
FUTURE_SECONDS_MAX = 5.0
"""Clocks of one machine and its file servers differ by less."""
FILE_BYTES_MAX = 1024 * 1024
FILE_SYNTHS_MAX = 100
"""Each is looked for on chain."""
DIGITS_MAX = 40

_SYMBOL = re.compile(rf"[!-~]{{1,{SYNTH_NAME_BYTES_MAX}}}")
_DECIMAL = re.compile(rf"([0-9]{{1,{DIGITS_MAX}}})(?:[.]([0-9]{{1,{DIGITS_MAX}}}))?")


class QuotesUnavailable(HooatsError):
    """The source gave nothing that can be read."""


class Quotes(NamedTuple):
    """`texts`: whatever the source says, by its own names; `at`: unix seconds at which it said so."""

    texts: Mapping[str, object]
    at: float


class QuoteSource(Protocol):
    async def read(self) -> Quotes:
        """`QuotesUnavailable` if it cannot be read or understood."""

    def name_of(self, symbol: str) -> str:
        """What the source calls the synth."""

    def symbols_of(self, quotes: Quotes) -> list[str]:
        """Synths that it speaks of, beside those that it is asked for."""

    async def close(self) -> None: ...


class FileQuotes:
    """JSON `{"hBTC": "61500.1", …}`; whoever writes it replaces the file as a whole."""

    def __init__(self, path: Path, names: Mapping[str, str]) -> None:
        self._path, self._names = path, dict(names)

    async def read(self) -> Quotes:
        try:
            with self._path.open("rb") as file:
                raw = file.read(FILE_BYTES_MAX + 1)
                at = os.fstat(file.fileno()).st_mtime
            if at > time.time() + FUTURE_SECONDS_MAX:
                raise QuotesUnavailable(f"price file {self._path} is dated in the future: it would never grow old")
        except OSError as error:
            raise QuotesUnavailable(f"cannot read price file {self._path}: {error.strerror}") from None
        if len(raw) > FILE_BYTES_MAX:
            raise QuotesUnavailable(f"price file {self._path} is larger than {FILE_BYTES_MAX} bytes")
        texts = _decode(raw, f"price file {self._path}")
        if len(texts) > FILE_SYNTHS_MAX:
            raise QuotesUnavailable(f"price file {self._path} names more than {FILE_SYNTHS_MAX} synths")
        return Quotes(texts, at)

    def name_of(self, symbol: str) -> str:
        return self._names.get(symbol, symbol)

    def symbols_of(self, quotes: Quotes) -> list[str]:
        return sorted(set(quotes.texts) - set(self._names.values()))

    async def close(self) -> None:
        return


class HyperliquidQuotes:
    """`POST {"type": "allMids"}`, answered with `{"BTC": "61500.5", …}`. hBTC is BTC unless mapped otherwise."""

    def __init__(
        self,
        url: str,
        names: Mapping[str, str],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._names, self._now = url, dict(names), now
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, transport=transport, trust_env=False)

    async def read(self) -> Quotes:
        asked_at = self._now()  # it was true then at the earliest, and may have waited on its way back
        try:
            raw = await self._ask()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise QuotesUnavailable(f"no answer from the price source: {type(error).__name__}") from None
        return Quotes(_decode(raw, "the price source's answer"), asked_at)

    def name_of(self, symbol: str) -> str:
        return self._names.get(symbol, symbol.removeprefix("h"))

    def symbols_of(self, quotes: Quotes) -> list[str]:
        return []  # hundreds of coins, nearly all without a synth

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self) -> bytes:
        content = bytearray()
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            self._client.stream("POST", self._url, json={"type": "allMids"}) as response,
        ):
            if response.status_code != 200:
                raise QuotesUnavailable(f"the price source answers HTTP {response.status_code}")
            async for part in response.aiter_bytes():
                content += part
                if len(content) > REPLY_BYTES_MAX:
                    raise QuotesUnavailable(f"the price source answers with more than {REPLY_BYTES_MAX} bytes")
        return bytes(content)


def make_source(text: str, names: Mapping[str, str]) -> QuoteSource:
    """`file:PATH` or `hyperliquid:URL`; `names` says what the source calls a synth. `ConfigurationError` otherwise."""
    kind, _, rest = text.partition(":")
    if kind == "file" and rest:
        return FileQuotes(Path(rest), names)
    if kind == "hyperliquid" and rest.startswith(("http://", "https://")):
        return HyperliquidQuotes(rest, names)
    raise ConfigurationError(
        f"price source {text[:60]!r} is not understood", remedy="Give --source file:PATH or hyperliquid:URL"
    )


def parse_names(pairs: Sequence[str]) -> dict[str, str]:
    """`hBTC=BTC` each."""
    names = {}
    for pair in pairs:
        symbol, equals, name = (part.strip() for part in pair.partition("="))
        if not symbol or not equals or not name:
            raise ConfigurationError(f"--map {pair[:60]!r} is not understood", remedy="Like --map hBTC=BTC")
        names[symbol] = name
    return names


def is_symbol(text: str) -> bool:
    """Whether a synth could be called so; a chain is not asked for anything else."""
    return _SYMBOL.fullmatch(text) is not None


def to_price_down(text: object, index: int = INDEX_ONE) -> int:
    """Units per whole synth (10^18 atoms) of exact decimal text, which is a price in USDC; a unit stands for `index`
    atoms of it (in INDEX_ONEths), fewer after a loss. What is finer than a unit is cut off. ValueError says what is
    wrong."""
    if not isinstance(text, str):
        raise ValueError(f"not decimal text: {str(text)[:40]!r}")
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError(f"not a decimal: {text[:40]!r}")
    if index <= 0:
        raise ValueError("a unit of the Vault is worth nothing")
    whole, fraction = found[1], found[2] or ""
    # Typed by name: 10**n is Any to a type checker.
    price: int = int(whole + fraction) * 10**QUOTE_DECIMALS * INDEX_ONE // (10 ** len(fraction) * index)
    if price == 0:
        raise ValueError(f"zero: {text[:40]!r}")
    if price > PRICE_MAX:
        raise ValueError(f"too large: {text[:40]!r}")
    return price


def _decode(raw: bytes, what: str) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise QuotesUnavailable(f'{what} is not a JSON object like {{"hBTC": "61500.1"}}') from None
