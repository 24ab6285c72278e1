"""The commands that need an exchange, against one: `hooats market`, `quote` and `order`, in words and as JSON."""

import asyncio
import json

import pytest
from click.testing import CliRunner, Result
from conftest import KEYS

from offchain.cli.failures import Negative
from offchain.cli.program import hooats

pytestmark = pytest.mark.asyncio


class Shell:
    """Runs commands in another thread, since the gateway lives in this one's event loop."""

    def __init__(self, url: str, folder) -> None:
        self._url, self._folder = url, folder

    async def run(self, *arguments: str, key: int | None = None, answer: str | None = None) -> Result:
        words = [*arguments, "--api", self._url]
        if key is not None:
            path = self._folder / f"{key}.key"
            path.write_text("0x" + KEYS[key].hex())
            path.chmod(0o600)
            words += ["--key", str(path)]
        return await asyncio.to_thread(lambda: CliRunner().invoke(hooats, words, input=answer))

    async def ok(self, *arguments: str, key: int | None = None) -> str:
        done = await self.run(*arguments, key=key)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output


@pytest.fixture
def shell(engine_venue, tmp_path) -> Shell:
    return Shell(engine_venue.url, tmp_path)


async def test_an_order_is_a_line_or_json(shell) -> None:
    words = await shell.ok("order", "place", "BTC-USDC", "buy", "0.01", "1000", key=0)
    assert words.startswith("BTC-USDC buy 0.01 at 1000: open, 0 of 0.01 filled; 0x")
    assert len(words.splitlines()) == 1
    (listed,) = json.loads(await shell.ok("order", "list", "--json", key=0))
    assert listed["id"] in words
    assert "canceled (CANCELED)" in await shell.ok("order", "cancel", listed["id"], key=0)
    assert await shell.ok("order", "list", key=0) == "no open orders\n"
    assert (await shell.ok("order", "cancel", "--all", key=0)).startswith("cancelled 0 orders")


async def test_orders_that_wait_and_change(shell) -> None:
    stop = (
        "order",
        "place",
        "BTC-USDC",
        "sell",
        "0.02",
        "40000",
        "--stop-loss",
        "45000",
        "--immediate",
        "--reduce-only",
    )
    waits = await shell.ok(*stop, key=0)
    assert waits.startswith("BTC-USDC sell 0.02 at 40000, waits for 45000: open")
    smaller = await shell.ok("order", "amend", waits.split()[-1], "0.01", key=0)
    assert smaller.startswith("BTC-USDC sell 0.01 at 40000, waits for 45000: open")
    hidden = ("--visible", "0.01", "--self-trade", "EXPIRE_TAKER")
    await shell.ok("order", "place", "BTC-USDC", "sell", "0.05", "90000", *hidden, key=0)
    assert (await shell.ok("order", "cancel", "--all", "--side", "buy", key=0)).startswith("cancelled 0")
    assert (await shell.ok("order", "cancel-all-after", "60", key=0)) == "everything is cancelled in 60 s\n"
    assert (await shell.ok("order", "cancel-all-after", "0", key=0)) == "nothing is cancelled\n"
    assert (await shell.ok("order", "cancel", "--all", "--symbol", "BTC-USDC", key=0)).startswith("cancelled 2")
    wrong = await shell.run("order", "cancel", "0x1", "--side", "buy", key=0)
    assert wrong.exit_code == 2
    best = await shell.run("order", "place", "BTC-USDC", "buy", "1", "1", "--route", "best", "--reduce-only", key=0)
    assert best.exit_code == 2 and "condition" in best.output


async def test_an_order_with_the_pair(shell) -> None:
    words = await shell.ok("order", "place", "BTC-USDC", "buy", "0.01", "60000", "--amm", key=0)
    assert "with the AMM pair: closed, 0.01 of 0.01 filled at 50" in words
    never = await shell.run("order", "place", "BTC-USDC", "buy", "1", "1", "--amm", "--tif", "GTC", key=0)
    assert never.exit_code == 2 and "never rests" in never.output


async def test_the_best_route_and_its_quote(shell) -> None:
    await shell.ok("order", "place", "BTC-USDC", "sell", "0.05", "50300", key=1)
    told = await shell.ok("quote", "BTC-USDC", "--side", "buy", "--size", "0.2")
    assert told.startswith("buy 0.2 BTC-USDC costs ") and "book: 0.05 for 2515" in told and "AMM pair: 0.15" in told
    routed = await shell.ok("order", "place", "BTC-USDC", "buy", "0.2", "60000", "--route", "best", key=0)
    book, amm = routed.splitlines()
    assert book.startswith("book: BTC-USDC buy 0.05 at 50300: closed")
    assert amm.startswith("amm: BTC-USDC buy 0.15 ") and "closed" in amm
    nothing = await shell.run("order", "place", "BTC-USDC", "buy", "0.2", "1", "--route", "best", key=0)
    assert isinstance(nothing.exception, Negative)


async def test_markets_and_their_life(shell) -> None:
    assert "BTC-USDC  ACTIVE  tick 0.1  lot 0.0001  AMM 50000" in await shell.ok("market", "list")
    assert await shell.ok("market", "pause", "BTC-USDC", key=0) == "BTC-USDC is PAUSED\n"
    assert await shell.ok("market", "resume", "BTC-USDC", key=0) == "BTC-USDC is ACTIVE\n"
    terms = ("--synth", "hETH", "--name", "HOOATS Ether", "--lot", "0.001", "--tick", "0.01", "--ceiling", "1000")
    created = await shell.ok("market", "create", "--symbol", "ETH-USDC", *terms, key=0)
    assert "market 2" in created
    assert "ETH-USDC  REQUESTED" in await shell.ok("market", "list")
    refused = await shell.run("market", "pause", "BTC-USDC", key=1)
    assert isinstance(refused.exception, Negative) and "NOT_AN_OPERATOR" in str(refused.exception)
    asked = await shell.run("market", "delist", "BTC-USDC", key=0, answer="n\n")
    assert asked.exit_code == 1
    assert await shell.ok("market", "delist", "BTC-USDC", "--yes", key=0) == "BTC-USDC is DELISTED\n"


async def test_what_only_operators_undo(shell, engine_venue) -> None:
    terms = ("--synth", "hGOLD", "--name", "Gold", "--lot", "0.01", "--tick", "0.1", "--ceiling", "100")
    asked = await shell.ok("market", "create", "--symbol", "GOLD-USDC", *terms, key=0)
    assert "with --quorum 1 one posting key makes the price" in asked and "GOLD-USDC is asked for" in asked
    assert (await shell.run("market", "withdraw", "GOLD-USDC", key=1)).exit_code != 0
    assert await shell.ok("market", "withdraw", "GOLD-USDC", key=0) == "GOLD-USDC is not asked for any more\n"
    await shell.ok("order", "place", "BTC-USDC", "sell", "0.01", "100", key=1)
    await shell.ok("order", "place", "BTC-USDC", "buy", "0.01", "100", "--tif", "IOC", key=0)
    refused = await shell.run("market", "take-back", "1", "--reason", "mine", key=1)
    assert isinstance(refused.exception, Negative) and "operator" in str(refused.exception)
    done = await shell.ok("market", "take-back", "1", "--reason", "it sinks its batch", key=0)
    assert done == "taken back: 1; the next batch goes out without it\n"
    (fill,) = engine_venue.sequencer.engine.batches.unsettled.values()
    assert fill.is_taken_back
