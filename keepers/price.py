"""The price keeper: posts this poster's prices to PriceOracle, when they have moved or are growing old, and has
TwapSource look at the pools often enough where a feed counts on it.

Invariant: what it posts is what its source said, exactly, in units at the Vault's index: a source speaks of USDC, debts
and collateral are units, and after a declared loss a unit is less. It was said at most `source_age_seconds` ago, also
by the time that it is in a block: every post carries a deadline, after which the oracle refuses it, and one that is
still waiting then is withdrawn, whichever process sent it. Nonces keep the order of posts: a newer one always comes
after an older one.
A quote that is missing, nonsense, or too far from the accepted price stops nobody else's. Deliberately no view of what
other posters say: the median is the oracle's.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from keepers.lease import KeptLease
from keepers.marks import Mark, MarkedMarket, Marker, due_marks
from keepers.quotes import READ_SECONDS, Quotes, QuoteSource, QuotesUnavailable, is_symbol, to_price_down
from keepers.trial import try_out
from offchain.chain import rpc as questions
from offchain.chain.contracts import PriceOracle, SynthFactory, TwapSource, Vault
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.roles import check_roles
from offchain.chain.rpc import Query, Rpc, RpcRefused
from offchain.chain.transactions import Sender
from offchain.domain.units import INDEX_ONE, ZERO_ADDRESS, Address, from_hex
from offchain.storage.ops import Ops
from offchain.storage.transactions import Transaction, TransactionState

KIND = "price"
AVERAGE_KIND = "average"
AVERAGES_PER_WINDOW = 2
"""TwapSource needs an observation every three quarters of its window."""
PPM = 1_000_000
POSTS_OPEN_MAX = 2
"""Waiting for their block; more would only stand in line behind each other."""
POST_SECONDS_MAX = 120
"""A post that no block took for so long is not worth sending any more, however patient --max-source-age is."""
LANDING_SECONDS = 10
"""A quote must be young enough that it still is when its post is in a block."""
JUMP_READINGS = 3
"""So many readings in a row must agree on a jump."""
CHAIN_SECONDS = 5.0
"""What the oracle holds is read so often, and after every post of ours."""
FEEDS_SECONDS = 15.0
"""Synths without a feed, or not created yet, are looked for so often."""
LAG_SECONDS = 60
"""The oracle's speed is bounded, and it moves only when somebody posts: so often we do while it has not arrived."""
RETRY_SECONDS = 10
"""After a trial that reverted, by the chain's time: the poster's role may be on its way."""

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class PriceSettings:
    """`source` as for `quotes.make_source`; `names`: what the source calls a synth, by symbol. `heartbeat_seconds` 0: a
    third of the feed's maxAge."""

    source: str
    names: Mapping[str, str] = field(default_factory=dict)
    deviation_ppm: int = 2_500
    heartbeat_seconds: int = 0
    jump_percent: int = 20
    source_age_seconds: int = 60


class Reading(NamedTuple):
    """One synth's quote: `price` 0 if there is none, and `flaw` says why. `agreeing`: readings in a row, up to this
    one, that lie within the jump limit of each other."""

    price: int
    flaw: str = ""
    agreeing: int = 0


class Feed(NamedTuple):
    """What the oracle says about a synth: our own last post and the accepted price, 0 if never."""

    symbol: str
    synth: Address
    max_age: int
    posted: int
    posted_at: int
    accepted: int
    needs_average: bool = False
    """It counts on TwapSource, which should look at the pool now and has something to see."""


class Pending(NamedTuple):
    """A post of ours that is not final. `prices` by synth."""

    id: int
    is_mined: bool
    is_withdrawn: bool
    deadline: int
    prices: dict[Address, int]


class Observation(NamedTuple):
    """`now` is the chain's time; `age` the source's in seconds, None if it never answered."""

    now: int
    feeds: tuple[Feed, ...]
    readings: Mapping[str, Reading]
    age: float | None
    pending: tuple[Pending, ...]
    retry_at: int
    averaging: frozenset[Address] = frozenset()
    """Synths that TwapSource is being told to look at."""
    markets: tuple[MarkedMarket, ...] = ()
    """Of the exchange, which wants marks."""
    marked: Mapping[int, Mark] = {}
    """What was said of them last."""
    said_at: float = 0.0
    """When the source said the readings, by the clock of `clock`, unix seconds."""
    clock: float = 0.0


class Post(NamedTuple):
    """`prices`: (symbol, synth, price), the most urgent first."""

    prices: tuple[tuple[str, Address, int], ...]
    deadline: int


class Withdraw(NamedTuple):
    id: int


class Say(NamedTuple):
    """Marks for the exchange: no transaction."""

    marks: tuple[Mark, ...]


class Average(NamedTuple):
    symbol: str
    synth: Address


Action = Post | Withdraw | Average | Say


def decide(observation: Observation, settings: PriceSettings) -> list[Action]:
    """What to do now."""
    now, pending = observation.now, observation.pending
    actions: list[Action] = [
        Withdraw(post.id) for post in pending if not post.is_mined and not post.is_withdrawn and post.deadline < now
    ]
    actions += [
        Average(feed.symbol, feed.synth)
        for feed in observation.feeds
        if feed.needs_average and feed.synth not in observation.averaging
    ]
    if marks := _marks(observation, settings):
        actions.append(Say(tuple(marks)))
    waiting = sum(not post.is_mined for post in pending)
    left = settings.source_age_seconds - (observation.age if observation.age is not None else float("inf"))
    if left < LANDING_SECONDS or waiting >= POSTS_OPEN_MAX or observation.retry_at > now:
        return actions
    due = []
    for feed in observation.feeds:
        reading = observation.readings.get(feed.symbol)
        if reading is None or flaw_of(feed, reading, settings):
            continue
        urgency = _urgency(feed, reading.price, observation, settings)
        if urgency:
            due.append((-urgency, feed.symbol, feed.synth, reading.price))
    if due:
        prices = tuple((symbol, synth, price) for _, symbol, synth, price in sorted(due))
        actions.append(Post(prices, now + int(min(left, POST_SECONDS_MAX))))
    return actions


def _marks(observation: Observation, settings: PriceSettings) -> list[Mark]:
    """Of readings that might be posted, too."""
    good = {
        feed.synth: reading.price
        for feed in observation.feeds
        if (reading := observation.readings.get(feed.symbol)) and not flaw_of(feed, reading, settings)
    }
    return due_marks(observation.markets, good, observation.marked, observation.said_at, observation.clock)


def flaw_of(feed: Feed, reading: Reading, settings: PriceSettings) -> str:
    """Why this reading must not be posted, "" if it may."""
    if reading.flaw:
        return reading.flaw
    is_jump = feed.accepted and _is_apart(reading.price, feed.accepted, settings.jump_percent * PPM // 100)
    if is_jump and reading.agreeing < JUMP_READINGS:
        return f"more than {settings.jump_percent} % from the accepted price; waiting for it to persist"
    return ""


def _urgency(feed: Feed, price: int, observation: Observation, settings: PriceSettings) -> int:
    """How far the oracle's (or a waiting post's) price is off, in ppm and one; 0 if nothing needs to be posted."""
    known, at = feed.posted, feed.posted_at
    for post in observation.pending:
        if feed.synth in post.prices and (post.is_mined or post.deadline >= observation.now):
            known, at = post.prices[feed.synth], observation.now
    if known == 0:
        return PPM
    heartbeat = settings.heartbeat_seconds or feed.max_age // 3
    is_lagging = feed.accepted and _is_apart(price, feed.accepted, settings.deviation_ppm)
    if is_lagging:
        heartbeat = min(heartbeat, LAG_SECONDS)
    is_due = _is_apart(price, known, settings.deviation_ppm) or observation.now - at >= heartbeat
    return 1 + abs(price - known) * PPM // known if is_due else 0


def _is_apart(price: int, reference: int, ppm: int) -> bool:
    return abs(price - reference) * PPM > reference * ppm


def take_readings(
    quotes: Quotes,
    names: Mapping[str, str],
    before: Mapping[str, Reading],
    jump_percent: int,
    index: int = INDEX_ONE,
) -> dict[str, Reading]:
    """The readings of one answer of the source, in units at the Vault's `index`; `names` are its names by symbol,
    `before` the readings of the last."""
    readings = {}
    for symbol, name in names.items():
        if name not in quotes.texts:
            readings[symbol] = Reading(0, f"the source has no {name[:40]}")
            continue
        try:
            price = to_price_down(quotes.texts[name], index)
        except ValueError as error:
            readings[symbol] = Reading(0, str(error))
            continue
        last = before.get(symbol)
        agrees = last is not None and last.price and not _is_apart(price, last.price, jump_percent * PPM // 100)
        readings[symbol] = Reading(price, "", last.agreeing + 1 if agrees and last is not None else 1)
    return readings


class Pricer:
    """A `cycle.Keeper`."""

    name = "price"

    def __init__(
        self,
        rpc: Rpc,
        ops: Ops,
        sender: Sender,
        registry: Registry,
        lease: KeptLease,
        *,
        source: QuoteSource,
        settings: PriceSettings,
        gas_max: int,
        marker: Marker | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._rpc, self._ops, self._sender, self._registry, self._lease = rpc, ops, sender, registry, lease
        self._source, self._settings, self._gas_max, self._now = source, settings, gas_max, now
        self._marker = marker
        self._target, self._vault = registry.address("PriceOracle"), registry.address("Vault")
        self._index = INDEX_ONE
        """The Vault's, as last read."""
        self._twap = registry.address("TwapSource") if "TwapSource" in registry.contracts else None
        self._created: dict[str, Address] = {}
        """Synths that were created after the deployment; an address is for ever."""
        self._ignored: dict[str, str] = {}
        self._max_ages: dict[str, tuple[Address, int]] = {}
        self._averaged: set[str] = set()
        self._feeds: tuple[Feed, ...] = ()
        self._feeds_at = self._chain_at = self._read_at = -1e9
        self._quotes: Quotes | None = None
        self._readings: dict[str, Reading] = {}
        self._fault = ""
        self._retry_at = 0
        self._reverts = ""
        self._withdrawn: set[int] = set()
        self._posted: dict[str, int] = {}

    async def prepare(self) -> None:
        await self._lease.acquire()
        await self._rpc.check_chain(self._registry.chain_id)
        await check_contracts(self._rpc, self._registry, ("PriceOracle",))
        await check_roles(self._rpc, self._registry, self.name, self._sender.address)
        head = await self._rpc.read(questions.latest_header())
        # Before the sender looks after what an earlier process left: what is late must not be sent again.
        for post in self._pending():
            if not post.is_mined and post.deadline < head.time:
                self._withdraw(post.id)
        await self._sender.start()

    async def observe(self) -> Observation:
        self._lease.check()
        for row in await self._sender.advance():
            self._ended(row)
        is_new, before = await self._read_source(), self._index
        await self._read_chain()
        if self._index != before:
            # What was read before the loss is another price now: nothing to agree with.
            self._readings = {}
        if self._quotes is not None and (is_new or self._index != before):
            names = {symbol: self._source.name_of(symbol) for symbol in self._max_ages}
            limit = self._settings.jump_percent
            self._readings = take_readings(self._quotes, names, self._readings, limit, self._index)
        age = None if self._quotes is None else max(0.0, self._now() - self._quotes.at)
        return Observation(
            self._sender.chain_time,
            self._feeds,
            self._readings,
            age,
            tuple(self._pending()),
            self._retry_at,
            self._averaging(),
            () if self._marker is None else self._marker.markets,
            {} if self._marker is None else self._marker.said,
            0.0 if self._quotes is None else self._quotes.at,
            self._now(),
        )

    def decide(self, observation: Observation) -> Sequence[Action]:
        return decide(observation, self._settings)

    async def act(self, action: Action) -> bool:
        match action:
            case Withdraw(id):
                self._withdraw(id)
            case Post(prices, deadline):
                await self._post(prices, deadline)
            case Average(symbol, synth):
                await self._average(symbol, synth)
            case Say(marks):
                assert self._marker is not None, "decided without one"
                self._marker.say(marks)
        return False

    async def drain(self) -> int:
        self._lease.check()
        await self._sender.advance()
        return len(self._sender.open())

    async def close(self) -> None:
        self._lease.release()
        await self._source.close()
        await self._rpc.aclose()

    def describe(self) -> dict[str, object]:
        """`missing`: synths with a feed that have no price; `refused`: why a quote is not posted; `fault`: why the
        source could not be read; `ignored`: names of the source that are no synth's, and why; `reverts`: why the oracle
        refuses us; `index`: of the Vault, by which prices in USDC become units."""
        flaws = {
            feed.symbol: flaw
            for feed in self._feeds
            if feed.symbol in self._readings and (flaw := flaw_of(feed, self._readings[feed.symbol], self._settings))
        }
        age = None if self._quotes is None else round(self._now() - self._quotes.at, 1)
        return {
            "posted": dict(self._posted),
            "marks": {} if self._marker is None else {str(n): mark.ticks for n, mark in self._marker.said.items()},
            "missing": sorted(feed.symbol for feed in self._feeds if not self._price_of(feed.symbol)),
            "refused": flaws,
            "fault": self._fault,
            "ignored": dict(self._ignored),
            "reverts": self._reverts,
            "index": str(self._index),
            "sourceAge": age,
            "inFlight": len(self._sender.open()),
            "requests": self._rpc.requests,
        }

    # --- the source ---

    async def _read_source(self) -> bool:
        """True if there is a new reading. One that fails leaves the last in place, which grows old."""
        if time.monotonic() - self._read_at < READ_SECONDS:
            return False
        self._read_at = time.monotonic()
        try:
            self._quotes = await self._source.read()
        except QuotesUnavailable as error:
            if str(error) != self._fault:
                _log.warning("source", reason=str(error))
            self._fault = str(error)
            return False
        if self._fault:
            _log.info("source_recovered")
        self._fault = ""
        return True

    def _price_of(self, symbol: str) -> int:
        reading = self._readings.get(symbol)
        return reading.price if reading is not None else 0

    # --- the oracle ---

    async def _read_chain(self) -> None:
        now = time.monotonic()
        if now - self._feeds_at >= FEEDS_SECONDS:
            await self._find_feeds()
            if self._marker is not None:
                self._marker.find_markets()
            self._feeds_at, self._chain_at = now, -1e9
        if now - self._chain_at >= CHAIN_SECONDS:
            self._feeds = await self._ask_feeds()
            self._chain_at = now

    async def _find_feeds(self) -> None:
        """Which synths have a feed: of the registry's, and of those created since that the source speaks of."""
        synths = {symbol: self._registry.synth(symbol) for symbol in self._registry.synths}
        named = set(self._settings.names)
        if self._quotes is not None:
            named |= set(self._source.symbols_of(self._quotes))
        synths |= await self._find_synths(sorted(named - set(synths)))
        asked = [questions.call(self._target, PriceOracle.feed_of.encode(synth)) for synth in synths.values()]
        found, averaged = {}, set()
        for (symbol, synth), answer in zip(synths.items(), await self._ask(asked), strict=True):
            quorum, max_age, _, sources = PriceOracle.feed_of.decode(answer)[0]
            if quorum:
                found[symbol] = (synth, int(max_age))
            if self._twap in [str(source).lower() for source in sources]:
                averaged.add(symbol)
        if found.keys() != self._max_ages.keys():
            _log.info("feeds", symbols=sorted(found), without=sorted(set(synths) - set(found)))
        self._max_ages, self._averaged = found, averaged

    async def _find_synths(self, symbols: Sequence[str]) -> dict[str, Address]:
        """Those that were created after the deployment. A name that is none, or that the node refuses to look up, is
        left out, and stops nobody else's price."""
        if "SynthFactory" not in self._registry.contracts:
            return {}
        factory = self._registry.address("SynthFactory")
        ignored = {symbol: "not a symbol" for symbol in symbols if not is_symbol(symbol)}
        asked = [symbol for symbol in symbols if symbol not in self._created and symbol not in ignored]
        queries = [questions.call(factory, SynthFactory.synth_of.encode(symbol)) for symbol in asked]
        answers = await self._rpc.read_all(queries) if queries else []
        for symbol, answer in zip(asked, answers, strict=True):
            if isinstance(answer, RpcRefused):
                ignored[symbol] = str(answer)
                continue
            synth = Address(str(SynthFactory.synth_of.decode(answer)[0]).lower())
            if synth != ZERO_ADDRESS:
                self._created[symbol] = synth
        self._report_ignored(ignored)
        return {symbol: self._created[symbol] for symbol in symbols if symbol in self._created}

    def _report_ignored(self, reasons: Mapping[str, str]) -> None:
        """Names shortened and escaped: they are whatever somebody wrote into a file."""
        told = {ascii(name[:40])[1:-1]: reason[:200] for name, reason in reasons.items()}
        if told != self._ignored:
            _log.warning("ignored", names=told)
        self._ignored = told

    async def _ask(self, queries: Sequence[Query[bytes]]) -> list[bytes]:
        answers = []
        for answer in await self._rpc.read_all(queries) if queries else []:
            if isinstance(answer, RpcRefused):
                raise answer
            answers.append(answer)
        return answers

    async def _ask_feeds(self) -> tuple[Feed, ...]:
        asked = []
        for synth, _ in self._max_ages.values():
            asked.append(questions.call(self._target, PriceOracle.post_of.encode(self._sender.address, synth)))
            asked.append(questions.call(self._target, PriceOracle.price_of.encode(synth)))
        raw, *answers = await self._ask([questions.call(self._vault, Vault.index.encode()), *asked])
        (self._index,) = Vault.index.decode(raw)
        due = await self._due_averages()
        feeds = []
        for index, (symbol, (synth, max_age)) in enumerate(self._max_ages.items()):
            posted, posted_at = PriceOracle.post_of.decode(answers[2 * index])
            accepted = PriceOracle.price_of.decode(answers[2 * index + 1])[0]
            feeds.append(Feed(symbol, synth, max_age, posted, posted_at, accepted, symbol in due))
        return tuple(feeds)

    async def _due_averages(self) -> set[str]:
        """What TwapSource has not looked at for half a window, and would keep if it did now."""
        if self._twap is None or not self._averaged:
            return set()
        symbols = sorted(self._averaged)
        asked = [questions.call(self._twap, TwapSource.window.encode())]
        for symbol in symbols:
            synth = self._max_ages[symbol][0]
            asked.append(questions.call(self._twap, TwapSource.last_update.encode(synth)))
            asked.append(questions.call(self._twap, TwapSource.update.encode(synth)))
        window, *answers = await self._ask(asked)
        spacing = TwapSource.window.decode(window)[0] // AVERAGES_PER_WINDOW
        due = set()
        for index, symbol in enumerate(symbols):
            (last,) = TwapSource.last_update.decode(answers[2 * index])
            (is_kept,) = TwapSource.update.decode(answers[2 * index + 1])
            if is_kept and self._sender.chain_time - last >= spacing:
                due.add(symbol)
        return due

    # --- posting ---

    def _pending(self) -> list[Pending]:
        """Our posts that are not final, by nonce."""
        found = []
        for row in self._sender.open():
            if row.job.partition(":")[0] != KIND:
                continue
            deadline, synths, prices = PriceOracle.post_until.arguments(from_hex(row.calldata))
            by_synth = {Address(str(synth).lower()): price for synth, price in zip(synths, prices, strict=True)}
            is_mined = row.state is TransactionState.MINED
            found.append(Pending(row.id, is_mined, row.id in self._withdrawn, deadline, by_synth))
        return found

    def _averaging(self) -> frozenset[Address]:
        rows = [row for row in self._sender.open() if row.job.partition(":")[0] == AVERAGE_KIND]
        found = [TwapSource.update.arguments(from_hex(row.calldata))[0] for row in rows]
        return frozenset(Address(str(synth).lower()) for synth in found)

    async def _average(self, symbol: str, synth: Address) -> None:
        assert self._twap is not None, "decided without one"
        calldata = TwapSource.update.encode(synth)
        trial = await try_out(self._rpc, self._twap, calldata, self._sender.address)
        if not trial.succeeds:
            _log.warning("reverts", reason=trial.reason, average=symbol)
            return
        job = f"{AVERAGE_KIND}:{synth}:{self._sender.chain_block}"
        row = await self._sender.send(job, self._twap, calldata, trial.gas * 13 // 10)
        if row is not None:
            _log.info("sent", average=symbol, nonce=row.nonce, hash=row.hash)

    def _withdraw(self, id: int) -> None:
        _log.warning("withdrawn", id=id, reason="the price is too old to be posted")
        self._withdrawn.add(id)
        self._sender.withdraw(id, "the price grew old before a block took it")

    def _ended(self, row: Transaction) -> None:
        is_final = row.state is TransactionState.FINAL
        _log.info("final" if is_final else "failed", job=row.job, hash=row.hash, reason=row.error)
        self._withdrawn.discard(row.id)
        self._chain_at = -1e9
        if is_final and row.job.partition(":")[0] == KIND:
            _, synths, prices = PriceOracle.post_until.arguments(from_hex(row.calldata))
            symbols = {synth: symbol for symbol, (synth, _) in self._max_ages.items()}
            by_address = {str(synth).lower(): price for synth, price in zip(synths, prices, strict=True)}
            self._posted |= {symbols[Address(at)]: price for at, price in by_address.items() if at in symbols}

    async def _post(self, prices: tuple[tuple[str, Address, int], ...], deadline: int) -> None:
        """As many as fit a transaction, the most urgent first; the rest is due again at the next look."""
        while True:
            synths, values = [synth for _, synth, _ in prices], [price for _, _, price in prices]
            calldata = PriceOracle.post_until.encode(deadline, synths, values)
            trial = await try_out(self._rpc, self._target, calldata, self._sender.address)
            gas = trial.gas * 13 // 10
            if not trial.succeeds or gas <= self._gas_max or len(prices) == 1:
                break
            prices = prices[: len(prices) // 2]
        self._reverts = trial.reason
        if not trial.succeeds:
            self._retry_at = self._sender.chain_time + RETRY_SECONDS
            _log.error("reverts", reason=trial.reason, synths=[symbol for symbol, _, _ in prices])
            return
        # One post per block: a process that was killed here does not send it twice.
        row = await self._sender.send(f"{KIND}:{self._sender.chain_block}", self._target, calldata, gas)
        if row is not None and row.calldata == "0x" + calldata.hex():
            posted = {symbol: price for symbol, _, price in prices}
            _log.info("sent", prices=posted, nonce=row.nonce, hash=row.hash)
