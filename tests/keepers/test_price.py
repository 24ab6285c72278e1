"""The price keeper: what it decides, and prices that reach a real oracle; killed, late, and with a source that lies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chaos_rpc import ChaosRpc
from eth_abi.abi import encode
from local_chain import ADMIN, BLOCK_GAS, CHAIN_ID, CREATION_GAS, LocalChain, Venue, address_of, artifact, key_of
from mids_server import MidsServer

from keepers import price as price_keeper
from keepers.cycle import OK, USAGE
from keepers.lease import KeptLease
from keepers.marks import Marker
from keepers.price import (
    PPM,
    Average,
    Feed,
    Observation,
    Pending,
    Post,
    Pricer,
    PriceSettings,
    Reading,
    Withdraw,
    decide,
    flaw_of,
    take_readings,
)
from keepers.quotes import FileQuotes, Quotes
from offchain.chain.abi import Function
from offchain.chain.contracts import AmmFactory, PriceOracle, Token
from offchain.chain.fees import FeePolicy
from offchain.chain.registry import Contract, Registry, write_registry
from offchain.chain.rpc import Rpc, RpcRefused
from offchain.chain.signing import SigningKey
from offchain.chain.transactions import Sender
from offchain.domain.chainlog import MarketListed
from offchain.domain.keccak import keccak
from offchain.domain.units import Address
from offchain.storage.ops import Ops
from offchain.storage.transactions import TransactionState as S

SCRIPT = Path(__file__).with_name("keeper_process.py")
SETTINGS = PriceSettings(source="file:x")
BTC, ETH = Address("0x" + "b1" * 20), Address("0x" + "e1" * 20)
NOW = 10_000
PRICE = 60_000_000_000


# --- deciding ---


def feed(symbol: str = "hBTC", posted: int = PRICE, age: int = 0, accepted: int = PRICE) -> Feed:
    return Feed(symbol, BTC if symbol == "hBTC" else ETH, 600, posted, NOW - age if posted else 0, accepted)


def seen(
    *feeds: Feed,
    quotes: dict[str, Reading] | None = None,
    age: float | None = 0,
    pending: tuple[Pending, ...] = (),
    retry_at: int = 0,
) -> Observation:
    readings = quotes if quotes is not None else {feed.symbol: Reading(PRICE, "", 9) for feed in feeds}
    return Observation(NOW, feeds, readings, age, pending, retry_at)


def posts(observation: Observation, settings: PriceSettings = SETTINGS) -> dict[str, int]:
    found = [action for action in decide(observation, settings) if isinstance(action, Post)]
    return {symbol: price for action in found for symbol, _, price in action.prices}


def test_a_first_price_is_posted_with_a_deadline() -> None:
    assert decide(seen(feed(posted=0, accepted=0)), SETTINGS) == [Post((("hBTC", BTC, PRICE),), NOW + 60)]
    assert decide(seen(feed(posted=0), age=12.5), SETTINGS)[0] == Post((("hBTC", BTC, PRICE),), NOW + 47)
    patient = PriceSettings(source="file:x", source_age_seconds=86_400)
    assert decide(seen(feed(posted=0), age=5_000), patient)[0] == Post((("hBTC", BTC, PRICE),), NOW + 120)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_price_that_moved_is_posted(off: int) -> None:
    limit = PRICE * 2_500 // PPM
    for distance, expected in ((limit, {}), (limit + 1, {"hBTC": PRICE + off * (limit + 1)})):
        quotes = {"hBTC": Reading(PRICE + off * distance, "", 1)}
        assert posts(seen(feed(), quotes=quotes)) == expected


def test_a_price_that_grows_old_is_posted() -> None:
    assert posts(seen(feed(age=199))) == {}
    assert posts(seen(feed(age=200))) == {"hBTC": PRICE}
    often = PriceSettings(source="file:x", heartbeat_seconds=30)
    assert posts(seen(feed(age=29)), often) == {}
    assert posts(seen(feed(age=30)), often) == {"hBTC": PRICE}


def test_an_accepted_price_that_lags_is_moved_on() -> None:
    behind = PRICE * 95 // 100
    assert posts(seen(feed(age=59, accepted=behind))) == {}
    assert posts(seen(feed(age=60, accepted=behind))) == {"hBTC": PRICE}
    assert posts(seen(feed(age=60, accepted=PRICE * 998 // 1000))) == {}


def test_the_most_urgent_comes_first() -> None:
    quotes = {"hBTC": Reading(PRICE * 101 // 100, "", 1), "hETH": Reading(PRICE * 102 // 100, "", 1)}
    (post,) = decide(seen(feed(), feed("hETH"), quotes=quotes), SETTINGS)
    assert isinstance(post, Post)
    assert [symbol for symbol, _, _ in post.prices] == ["hETH", "hBTC"]


def test_an_old_source_is_never_posted() -> None:
    assert posts(seen(feed(posted=0), age=50)) == {"hBTC": PRICE}
    assert posts(seen(feed(posted=0), age=50.1)) == {}, "it would be too old in its block"
    assert posts(seen(feed(posted=0), age=None)) == {}


def test_what_is_missing_or_nonsense_stops_nobody_else() -> None:
    feeds = feed(posted=0), feed("hETH", posted=0)
    assert posts(seen(*feeds, quotes={"hETH": Reading(PRICE, "", 1)})) == {"hETH": PRICE}
    flawed = {"hBTC": Reading(0, "not a decimal"), "hETH": Reading(PRICE, "", 1)}
    assert posts(seen(*feeds, quotes=flawed)) == {"hETH": PRICE}


@pytest.mark.parametrize("price", [PRICE * 121 // 100, PRICE * 79 // 100])
def test_a_jump_must_persist(price: int) -> None:
    for agreeing, expected in ((1, {}), (2, {}), (3, {"hBTC": price})):
        assert posts(seen(feed(), quotes={"hBTC": Reading(price, "", agreeing)})) == expected
    assert "20 %" in flaw_of(feed(), Reading(price, "", 2), SETTINGS)
    assert posts(seen(feed(accepted=0), quotes={"hBTC": Reading(price, "", 1)})) == {"hBTC": price}
    assert posts(seen(feed(), quotes={"hBTC": Reading(PRICE * 120 // 100, "", 1)})) != {}


def test_readings_that_agree_are_counted() -> None:
    readings: dict[str, Reading] = {}
    for text, agreeing in (("100", 1), ("101", 2), ("120", 3), ("200", 1), ("-5", 0), ("200", 1), ("199", 2)):
        readings = take_readings(Quotes({"BTC": text}, 0), {"hBTC": "BTC", "hETH": "ETH"}, readings, 20)
        assert readings["hBTC"].agreeing == agreeing
        assert readings["hETH"] == Reading(0, "the source has no ETH")


def pending(price: int = PRICE, deadline: int = NOW + 10, is_mined: bool = False, id: int = 7) -> Pending:
    return Pending(id, is_mined, False, deadline, {BTC: price})


def test_a_waiting_post_counts_and_a_newer_one_supersedes_it() -> None:
    old = feed(posted=PRICE // 2, age=500)
    assert posts(seen(old, pending=(pending(),))) == {}
    moved = {"hBTC": Reading(PRICE * 101 // 100, "", 1)}
    assert posts(seen(old, quotes=moved, pending=(pending(),))) == {"hBTC": PRICE * 101 // 100}
    assert posts(seen(old, quotes=moved, pending=(pending(), pending(id=8)))) == {}, "no queue behind a stuck one"
    assert posts(seen(old, pending=(pending(deadline=NOW - 1, is_mined=True),))) == {}


def test_a_late_post_is_withdrawn_and_posted_anew() -> None:
    late = pending(deadline=NOW - 1)
    assert decide(seen(feed(posted=0), pending=(late,)), SETTINGS) == [
        Withdraw(7),
        Post((("hBTC", BTC, PRICE),), NOW + 60),
    ]
    assert Withdraw(7) in decide(seen(feed(), age=None, pending=(late,)), SETTINGS), "whatever the source does"
    assert decide(seen(feed(), pending=(late._replace(is_withdrawn=True),)), SETTINGS) == []


def test_after_a_revert_it_waits() -> None:
    assert posts(seen(feed(posted=0), retry_at=NOW + 1)) == {}
    assert posts(seen(feed(posted=0), retry_at=NOW)) == {"hBTC": PRICE}


def test_a_pool_is_looked_at_once() -> None:
    due = feed()._replace(needs_average=True)
    assert decide(seen(due), SETTINGS) == [Average("hBTC", BTC)]
    assert decide(seen(due)._replace(averaging=frozenset({BTC})), SETTINGS) == []
    assert Average("hBTC", BTC) in decide(seen(due, age=None), SETTINGS), "whatever the source does"


# --- a real oracle ---


class OracleVenue:
    """The venue with an oracle, of which two synths have a feed and a third has none."""

    def __init__(self, chain: LocalChain, venue: Venue) -> None:
        self.chain = chain
        chain.rpc("evm_setBlockGasLimit", hex(30_000_000))
        self.oracle = self.create("PriceOracle", encode(["address"], [ADMIN]))
        chain.rpc("evm_setBlockGasLimit", hex(BLOCK_GAS))
        chain.mine()
        self.btc = venue.synth
        self.registry: Registry = msgspec.structs.replace(
            venue.registry,
            contracts=venue.registry.contracts
            | {
                "PriceOracle": Contract(address=self.oracle),
                "SynthERC20:hETH": Contract(address=ETH),
                "SynthERC20:hNONE": Contract(address=Address("0x" + "01" * 20)),
            },
        )
        chain.fund(address_of("poster"))
        self.grant("LISTER_ROLE", ADMIN)
        self.grant("POSTER_ROLE", address_of("poster"))
        for synth in (self.btc, ETH):
            chain.do(ADMIN, self.oracle, PriceOracle.configure.encode(synth, (1, 600, 10_000, ())))

    def add_pool(self, venue: Venue) -> Address:
        """10 hBTC at 60,000, and a TwapSource that hBTC's feed counts on, with a window of half an hour."""
        chain = self.chain
        chain.rpc("evm_setBlockGasLimit", hex(30_000_000))
        implementation = self.create("AmmPair")
        factory = self.create("AmmFactory", encode(["address", "address"], [venue.vault, implementation]))
        twap = self.create("TwapSource", encode(["address", "uint32"], [factory, 1_800]))
        chain.do(ADMIN, factory, AmmFactory.create_pair.encode(self.btc))
        asked = {"to": factory, "data": "0x" + AmmFactory.pair_of.encode(self.btc).hex()}
        pair = Address("0x" + chain.rpc("eth_call", asked, "latest")[-40:])
        chain.fund(venue.vault)
        chain.do(venue.vault, self.btc, Token.mint.encode(pair, 10**19))
        chain.do(ADMIN, venue.usdc, Token.mint.encode(pair, 600_000 * 10**6))
        chain.do(ADMIN, pair, Function("mint(address)").encode(ADMIN))
        chain.do(ADMIN, self.oracle, PriceOracle.configure.encode(self.btc, (3, 600, 10_000, (twap,))))
        contracts = self.registry.contracts | {"TwapSource": Contract(address=twap)}
        self.registry = msgspec.structs.replace(self.registry, contracts=contracts)
        return twap

    def create(self, name: str, arguments: bytes = b"") -> Address:
        code = bytes.fromhex(artifact(name)["bytecode"]["object"][2:]) + arguments
        return Address(self.chain.do(ADMIN, None, code, CREATION_GAS)["contractAddress"].lower())

    def updates(self, twap: Address) -> int:
        """How often the poster told TwapSource to look."""
        head = self.chain.head()
        blocks = [self.chain.rpc("eth_getBlockByNumber", hex(number), True) for number in range(head + 1)]
        sent = [entry for block in blocks if block for entry in block["transactions"]]
        return sum(entry["to"] == twap and entry["from"] == address_of("poster") for entry in sent)

    def grant(self, role: str, holder: Address) -> None:
        grant = Function("grantRole(bytes32,address)")
        self.chain.do(ADMIN, self.oracle, grant.encode(keccak(role.encode()), holder))

    def price(self, synth: Address) -> int:
        return int(self.ask(PriceOracle.price_of, synth)[0])

    def posted(self, synth: Address) -> int:
        return int(self.ask(PriceOracle.post_of, address_of("poster"), synth)[0])

    def ask(self, function: Function, *arguments: object) -> tuple[Any, ...]:
        asked = {"to": self.oracle, "data": "0x" + function.encode(*arguments).hex()}
        return function.decode(bytes.fromhex(self.chain.rpc("eth_call", asked, "latest")[2:]))


def write_prices(path: Path, **prices: object) -> None:
    """As a feeder does: beside, then renamed."""
    staging = path.with_suffix(".new")
    staging.write_text(json.dumps(prices))
    staging.replace(path)


class Bench:
    def __init__(self, stage: OracleVenue, ops: Ops, path: Path, settings: PriceSettings) -> None:
        self.stage, self.path, self.ops = stage, path, ops
        rpc = Rpc([stage.chain.url])
        key = SigningKey(key_of("poster"), CHAIN_ID)
        lease = KeptLease(ops, f"key:{key.address}", 60)
        self.sender = Sender(rpc, ops, key, keeper="price", fees=FeePolicy(), check_lease=lease.check)
        self.pricer = Pricer(
            rpc,
            ops,
            self.sender,
            stage.registry,
            lease,
            source=FileQuotes(path, settings.names),
            settings=settings,
            gas_max=2_900_000,
            marker=Marker(ops, key, bytes(32)),
        )

    async def steps(self, number: int = 3) -> None:
        for _ in range(number):
            for action in self.pricer.decide(await self.pricer.observe()):
                await self.pricer.act(action)
            self.stage.chain.mine()

    def open_jobs(self) -> list[str]:
        return [row.job for row in self.sender.open()]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step looks at everything."""
    monkeypatch.setattr(price_keeper, "READ_SECONDS", 0)
    monkeypatch.setattr(price_keeper, "CHAIN_SECONDS", 0)
    monkeypatch.setattr(price_keeper, "FEEDS_SECONDS", 0)


@pytest.fixture
async def bench(chain: LocalChain, venue: Venue, ops: Ops, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(OracleVenue(chain, venue), ops, tmp_path / "prices.json", SETTINGS)
    await made.pricer.prepare()
    yield made
    await made.pricer.close()


async def test_prices_reach_the_oracle_and_follow_the_source(bench: Bench) -> None:
    stage = bench.stage
    write_prices(bench.path, hBTC="60000", hETH="2500.5", hNONE="1", hELSE="1")
    await bench.steps()
    assert (stage.price(stage.btc), stage.price(ETH)) == (PRICE, 2_500_500_000)
    sent = stage.chain.rpc("eth_getTransactionCount", address_of("poster"), "latest")
    assert int(sent, 16) == 1, "all synths in one transaction"

    write_prices(bench.path, hBTC="60100", hETH="2500.5")
    await bench.steps()
    assert stage.posted(stage.btc) == PRICE, "within 2,500 ppm"
    write_prices(bench.path, hBTC="60200", hETH="2500.6")
    await bench.steps()
    assert (stage.posted(stage.btc), stage.posted(ETH)) == (60_200_000_000, 2_500_500_000)
    assert bench.pricer.describe()["posted"] == {"hBTC": 60_200_000_000, "hETH": 2_500_500_000}


async def test_marks_of_listed_markets_follow_the_source_at_once(bench: Bench) -> None:
    """Below what the oracle is told of, and without a transaction; nonsense of the source is no mark."""
    fields = {"base_token": bench.stage.btc, "base_atoms_per_lot": 10**14, "quote_atoms_per_tick_lot": 10}
    place = {"event_sequence": 1, "block_number": 1, "block_time": 1, "transaction": "0x" + "00" * 32}
    listed = MarketListed(**place, **fields, market=7, symbol="BTC-USDC", base_decimals=18, quote_decimals=6)
    bench.ops.append_inbox([listed], 1, 1)
    write_prices(bench.path, hBTC="60000")
    await bench.steps()
    assert bench.pricer.describe()["marks"] == {"7": 600_000}
    (first,) = bench.ops.marks()[7]
    os.utime(bench.path, (first.time + 1, first.time + 1))
    write_prices(bench.path, hBTC="60000.1")
    os.utime(bench.path, (first.time + 1, first.time + 1))
    posts = len(bench.ops.transactions_of(bench.sender.keeper, tuple(S)))
    await bench.steps()
    ((reading,),) = bench.ops.marks().values()
    assert (reading.price_ticks, reading.time, reading.poster) == (600_001, first.time + 1, address_of("poster"))
    assert len(bench.ops.transactions_of(bench.sender.keeper, tuple(S))) == posts
    write_prices(bench.path, hBTC="-1")
    await bench.steps()
    assert bench.ops.marks()[7] == (reading,)


async def test_the_heartbeat_posts_what_has_not_moved(bench: Bench) -> None:
    write_prices(bench.path, hBTC="60000")
    await bench.steps()
    bench.stage.chain.rpc("evm_increaseTime", 200)
    bench.stage.chain.mine()
    await bench.steps()
    rows = bench.ops.transactions_of(bench.sender.keeper, (S.FINAL,))
    assert len(rows) == 2


async def test_a_missing_or_wrong_quote_is_told_and_stops_nobody(bench: Bench) -> None:
    stage = bench.stage
    write_prices(bench.path, hETH="2500")
    await bench.steps()
    assert (stage.price(stage.btc), stage.price(ETH)) == (0, 2_500_000_000)
    assert bench.pricer.describe()["missing"] == ["hBTC"]
    write_prices(bench.path, hBTC="-1", hETH="2600")
    await bench.steps()
    assert (stage.posted(stage.btc), stage.posted(ETH)) == (0, 2_600_000_000)
    assert bench.pricer.describe()["refused"] == {"hBTC": "not a decimal: '-1'"}


async def test_a_nonsense_name_in_the_file_stops_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One key of 900,000 letters once stopped every post: no node takes the call that looks it up."""
    stage, read_all = bench.stage, Rpc.read_all

    async def picky(self: Rpc, queries: Any) -> list[Any]:
        answers = await read_all(self, queries)
        bad = b"hBAD".hex()
        pairs = zip(queries, answers, strict=True)
        return [
            RpcRefused("eth_call", 1, "no") if bad in json.dumps(query.params) else answer for query, answer in pairs
        ]

    monkeypatch.setattr(Rpc, "read_all", picky)
    nonsense = {"h" * 900_000: "1", "h\u00e9": "1", "h BTC": "1", "": "1"}
    write_prices(bench.path, hBTC="60000", hETH="2500", hBAD="1", hELSE="1", **nonsense)
    await bench.steps()
    assert (stage.price(stage.btc), stage.price(ETH)) == (PRICE, 2_500_000_000)
    ignored = bench.pricer.describe()["ignored"]
    assert isinstance(ignored, dict)
    assert {name: len(name) for name in ignored} == {"": 0, "h" * 40: 40, "h BTC": 5, "h\\xe9": 5, "hBAD": 4}
    assert ignored["hBAD"] == "eth_call was refused (1): no" and ignored["h BTC"] == "not a symbol"
    write_prices(bench.path, hBTC="61000")
    await bench.steps()
    assert bench.pricer.describe()["ignored"] == {}


async def test_a_jump_waits_for_three_readings(bench: Bench) -> None:
    stage = bench.stage
    write_prices(bench.path, hBTC="60000")
    await bench.steps()
    for text in ("90000", "60000", "90000", "91000"):
        write_prices(bench.path, hBTC=text)
        await bench.steps(1)
    assert stage.posted(stage.btc) == PRICE
    assert "persist" in str(bench.pricer.describe()["refused"])
    await bench.steps(3)
    assert stage.posted(stage.btc) == 91_000_000_000


async def test_after_a_loss_prices_are_in_units_of_what_is_left(bench: Bench, venue: Venue) -> None:
    """The Vault loses a fifth: what costs 60,000 USDC costs 75,000 units. Twenty-five per cent more is a jump."""
    stage = bench.stage
    write_prices(bench.path, hBTC="60000", hETH="2500.0000019")
    await bench.steps()
    assert (stage.posted(stage.btc), stage.posted(ETH)) == (PRICE, 2_500_000_001)
    lose_a_fifth(stage.chain, venue)
    await bench.steps(1)
    assert stage.posted(stage.btc) == PRICE, "a jump must persist, whatever it comes from"
    await bench.steps(4)
    assert (stage.posted(stage.btc), stage.posted(ETH)) == (75_000_000_000, 3_125_000_002)
    assert bench.pricer.describe()["index"] == str(8 * 10**17)
    assert bench.pricer.describe()["refused"] == {}


def lose_a_fifth(chain: LocalChain, venue: Venue) -> None:
    """Nobody could: USDC itself is broken, or its issuer takes it."""
    chain.fund(venue.vault)
    asked = {"to": venue.usdc, "data": "0x" + Token.balance_of.encode(venue.vault).hex()}
    held = int(chain.rpc("eth_call", asked, "latest"), 16)
    chain.do(venue.vault, venue.usdc, Function("transfer(address,uint256)").encode(ADMIN, held // 5))
    chain.do(ADMIN, venue.vault, Function("declareLoss()").encode())


async def test_a_source_that_is_old_broken_or_gone_posts_nothing(bench: Bench) -> None:
    stage = bench.stage
    await bench.steps(1)
    assert "cannot read" in str(bench.pricer.describe()["fault"])
    write_prices(bench.path, hBTC="60000")
    os.utime(bench.path, (time.time() - 55, time.time() - 55))
    await bench.steps()
    assert stage.posted(stage.btc) == 0
    bench.path.write_text("{")
    await bench.steps()
    assert "not a JSON object" in str(bench.pricer.describe()["fault"])
    write_prices(bench.path, hBTC="60000")
    await bench.steps()
    assert stage.posted(stage.btc) == PRICE
    assert bench.pricer.describe()["fault"] == ""


async def test_whoever_is_no_poster_waits_and_says_so(bench: Bench) -> None:
    stage = bench.stage
    revoke = Function("revokeRole(bytes32,address)")
    stage.chain.do(ADMIN, stage.oracle, revoke.encode(keccak(b"POSTER_ROLE"), address_of("poster")))
    write_prices(bench.path, hBTC="60000")
    await bench.steps()
    assert "AccessControlUnauthorizedAccount" in str(bench.pricer.describe()["reverts"])
    stage.grant("POSTER_ROLE", address_of("poster"))
    stage.chain.rpc("evm_increaseTime", 10)
    stage.chain.mine()
    await bench.steps()
    assert stage.posted(stage.btc) == PRICE
    assert bench.pricer.describe()["reverts"] == ""


async def test_posts_that_do_not_fit_a_transaction_are_split(bench: Bench) -> None:
    bench.pricer._gas_max = 150_000
    write_prices(bench.path, hBTC="60000", hETH="2500")
    await bench.steps(5)
    assert (bench.stage.price(bench.stage.btc), bench.stage.price(ETH)) == (PRICE, 2_500_000_000)
    assert len(bench.ops.transactions_of(bench.sender.keeper, (S.FINAL,))) == 2


async def test_a_post_that_no_block_takes_is_withdrawn_and_never_lands(bench: Bench) -> None:
    """It stays in nobody's way: its nonce is used for nothing, and the new price follows."""
    stage, chain = bench.stage, bench.stage.chain
    write_prices(bench.path, hBTC="60000")
    for action in bench.pricer.decide(await bench.pricer.observe()):
        await bench.pricer.act(action)
    (row,) = bench.sender.open()
    chain.rpc("anvil_dropTransaction", row.hash)
    chain.rpc("evm_increaseTime", 61)
    chain.mine()
    write_prices(bench.path, hBTC="61000")
    await bench.steps(4)
    assert stage.price(stage.btc) == 61_000_000_000
    failed = bench.ops.transaction(row.id)
    assert failed is not None and failed.state is S.FAILED and "grew old" in failed.error
    # The bytes of the old post, found again by some node, cannot land any more.
    with pytest.raises(RuntimeError):
        chain.rpc("eth_sendRawTransaction", row.raw)
    assert bench.sender.open() == []


async def test_a_late_post_reverts_by_its_deadline(bench: Bench) -> None:
    stage = bench.stage
    late = PriceOracle.post_until.encode(int(time.time()) - 3_600, [stage.btc], [1])
    sent = stage.chain.send(address_of("poster"), stage.oracle, late, 200_000)
    stage.chain.mine()
    assert stage.chain.rpc("eth_getTransactionReceipt", sent)["status"] == "0x0"
    assert stage.price(stage.btc) == 0


async def test_pools_are_looked_at_where_a_feed_counts_on_it(
    chain: LocalChain, venue: Venue, ops: Ops, tmp_path: Path
) -> None:
    stage = OracleVenue(chain, venue)
    twap = stage.add_pool(venue)
    bench = Bench(stage, ops, tmp_path / "prices.json", SETTINGS)
    await bench.pricer.prepare()
    await bench.steps(4)
    assert stage.updates(twap) == 1, "not again before half a window is over"
    for seconds, expected in ((800, 1), (100, 2), (900, 3)):
        chain.rpc("evm_increaseTime", seconds)
        chain.mine()
        await bench.steps(4)
        assert stage.updates(twap) == expected
    asked = {"to": twap, "data": "0x" + Function("read(address)").encode(stage.btc).hex()}
    price, _ = Function("read(address)", "uint256", "uint40").decode(
        bytes.fromhex(chain.rpc("eth_call", asked, "latest")[2:])
    )
    assert abs(price - PRICE) <= 1
    await bench.pricer.close()


# --- as a process ---


class ProcessStage:
    """A chain with one-second blocks behind a proxy, and price keepers as processes."""

    def __init__(self, folder: Path, chain: LocalChain, venue: Venue) -> None:
        self.folder = folder
        self.stage = OracleVenue(chain, venue)
        self.proxy = ChaosRpc(chain.url).start()
        self.prices = folder / "prices.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        write_registry(folder / "998.json", self.stage.registry)

    def start(self, **price: object) -> subprocess.Popen[bytes]:
        given = {
            "rpc": [self.proxy.url],
            "registry": str(self.folder / "998.json"),
            "chain_id": CHAIN_ID,
            "ops": f"sqlite:///{self.folder / 'ops.sqlite'}",
            "keys": {"price": key_of("poster").hex()},
            "folder": str(self.folder),
            "price": {"source": f"file:{self.prices}"} | price,
        }
        file = self.folder / f"{len(self.processes)}.settings.json"
        file.write_text(json.dumps(given))
        with (self.folder / "price.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, str(SCRIPT), "price", str(file)], stderr=log, stdout=log)
        self.processes.append(process)
        return process

    def log(self) -> str:
        return (self.folder / "price.log").read_text()

    def heartbeat(self) -> dict[str, Any]:
        return json.loads((self.folder / "keepers" / "price.json").read_text())  # type: ignore[no-any-return]

    def until(self, what: Callable[[], bool], seconds: float = 25) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.05)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.proxy.stop()


@pytest.fixture
def processes(tmp_path: Path, timed_chain: Callable[..., LocalChain], venue: Venue) -> Iterator[ProcessStage]:
    made = ProcessStage(tmp_path, timed_chain(block_seconds=1), venue)
    yield made
    made.close()


def test_killed_with_sigkill_around_a_send(processes: ProcessStage) -> None:
    """Before a node has the bytes, and right after: the price arrives, and no nonce is left open."""
    stage = processes.stage
    for number, is_lost in enumerate((True, False)):
        price = 60_000 + 1_000 * number
        write_prices(processes.prices, hBTC=str(price))
        victim = processes.start()

        def kill(raw: str, victim: subprocess.Popen[bytes] = victim) -> None:
            victim.send_signal(signal.SIGKILL)
            victim.wait()

        processes.proxy.faults.lose_transactions = float(is_lost)
        processes.proxy.before_send = kill
        processes.until(lambda victim=victim: victim.poll() is not None)  # type: ignore[misc]
        processes.proxy.before_send, processes.proxy.faults.lose_transactions = None, 0
    write_prices(processes.prices, hBTC="62000")
    survivor = processes.start()
    processes.until(lambda: stage.posted(stage.btc) == 62_000_000_000)
    processes.until(lambda: processes.heartbeat()["inFlight"] == 0)
    survivor.send_signal(signal.SIGTERM)
    assert survivor.wait(15) == OK
    assert key_of("poster").hex() not in processes.log()


def test_killed_before_sending_and_started_when_the_price_is_old(processes: ProcessStage) -> None:
    """What an earlier process signed and no node has seen is never sent once its deadline has passed."""
    stage = processes.stage
    write_prices(processes.prices, hBTC="60000")
    victim = processes.start(source_age_seconds=20)

    def kill(raw: str) -> None:
        victim.send_signal(signal.SIGKILL)
        victim.wait()

    processes.proxy.faults.lose_transactions = 1
    processes.proxy.before_send = kill
    processes.until(lambda: victim.poll() is not None)
    processes.proxy.before_send, processes.proxy.faults.lose_transactions = None, 0
    stage.chain.rpc("evm_increaseTime", 60)
    stage.chain.rpc("evm_mine")
    before = len(processes.proxy.record.raw_transactions)
    write_prices(processes.prices, hBTC="50000")
    processes.start(source_age_seconds=20)
    processes.until(lambda: stage.price(stage.btc) != 0)
    assert stage.price(stage.btc) == 50_000_000_000, "the first price that the oracle ever saw"
    old = processes.proxy.record.raw_transactions[:before]
    assert not set(old) & set(processes.proxy.record.raw_transactions[before:])
    processes.until(lambda: processes.heartbeat()["inFlight"] == 0)


def test_mid_prices_of_hypercore(processes: ProcessStage, mids: MidsServer) -> None:
    stage = processes.stage
    mids.reply = b'{"BTC": "60000.5", "@107": "2500", "ETH": "9"}'
    processes.start(source=f"hyperliquid:{mids.url}", names={"hETH": "@107"})
    processes.until(lambda: stage.price(stage.btc) != 0)
    assert (stage.price(stage.btc), stage.price(ETH)) == (60_000_500_000, 2_500_000_000)
    mids.status = 500
    processes.until(lambda: "HTTP 500" in processes.heartbeat()["fault"])
    mids.status, mids.reply = 200, b'{"BTC": "60300"}'
    processes.until(lambda: stage.posted(stage.btc) == 60_300_000_000)
    processes.until(lambda: processes.heartbeat()["missing"] == ["hETH"])
    assert processes.heartbeat()["fault"] == ""


def test_a_second_process_with_the_same_key_is_refused(processes: ProcessStage) -> None:
    write_prices(processes.prices, hBTC="60000")
    first = processes.start()
    processes.until(lambda: "ready" in processes.log())
    assert processes.start().wait(15) == USAGE
    assert first.poll() is None


def test_a_source_that_is_not_understood_ends_it(processes: ProcessStage) -> None:
    assert processes.start(source="ftp:x").wait(15) == USAGE
    assert "Give --source file:PATH or hyperliquid:URL" in processes.log()
