"""The examples run against the real venue; those that need an AMM pair or an operator against the real engine."""

import asyncio
import sys
from pathlib import Path

import pytest
from conftest import KEYS

SECONDS = 100
"""Python starts slowly on a busy machine."""
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


async def run(name: str, *arguments: str, status: int = 0) -> str:
    command = (sys.executable, str(EXAMPLES / name), *arguments)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == status, output.decode()
    return output.decode()


@pytest.mark.asyncio(loop_scope="module")
async def test_examples(real, tmp_path) -> None:
    _, venue = real
    key = tmp_path / "a.key"
    key.write_text("0x" + KEYS[0].hex())
    assert "is canceled" in await run("place_order.py", str(key), venue.url)
    quotes, book = await asyncio.gather(
        run("quote.py", str(key), "BTC-USDC", "50000", venue.url), run("follow_book.py", "BTC-USDC", venue.url, "10")
    )
    assert quotes.count("open at") == 40
    assert "cancelled 2" in quotes
    assert "49999.5" in book
    protected = await run("protect.py", str(key), "BTC-USDC", "50000", venue.url)
    assert "protection 0: ACTIVE, at most 5 in 1000 ms" in protected and "cancelled 2" in protected
    assert "this account has no hXYZ" in await run("withdraw.py", str(key), "hXYZ", "1", venue.url, status=1)
    assert "999950 USDC are left" in await run("withdraw.py", str(key), "USDC", "50", venue.url)


@pytest.mark.asyncio
async def test_a_mistyped_folder_convicts_nobody(tmp_path) -> None:
    said = await run("prove_position.py", "12", str(tmp_path / "none"), "http://a", "http://b", "c.json", status=1)
    assert "holds no epochs" in said and "no epoch covers" not in said


@pytest.mark.asyncio
async def test_an_example_without_arguments_says_how_it_is_run() -> None:
    assert "`python examples/follow_book.py SYMBOL" in await run("follow_book.py", status=1)


@pytest.mark.asyncio
async def test_examples_with_a_pair_and_an_operator(engine_venue, tmp_path) -> None:
    venue, key = engine_venue, tmp_path / "a.key"
    key.write_text("0x" + KEYS[0].hex())
    async with venue.client(KEYS[1]) as maker:
        resting = await maker.place("BTC-USDC", "sell", "50300", "0.05")
        assert resting.order.status == "open"
    assert "cancelled 0" in await run("cancel.py", str(key), "all", venue.url)
    routed = await run("route.py", str(key), "BTC-USDC", "buy", "0.2", venue.url)
    assert "book: 0.05 of 0.05 at 50300" in routed and "amm: 0.15 of 0.15 at 50" in routed
    terms = ("ETH-USDC", "hETH", "HOOATS Ether")
    assert "it is REQUESTED" in await run("create_market.py", str(key), *terms, venue.url)
    assert "POOL_BUSY" in await run("swap_amm.py", str(key), "BTC-USDC", "buy", "0.1", "60000", venue.url, status=1)


@pytest.mark.asyncio
async def test_a_swap(engine_venue, tmp_path) -> None:
    key = tmp_path / "a.key"
    key.write_text("0x" + KEYS[0].hex())
    swapped = await run("swap_amm.py", str(key), "BTC-USDC", "sell", "0.1", "45000", engine_venue.url)
    assert "so 50000 before fees" in swapped and "sell 0.1 for 49" in swapped and "MATCHED" in swapped


@pytest.mark.asyncio(loop_scope="module")
async def test_examples_of_orders(real, tmp_path) -> None:
    """Arrays, replacing, retrying, and the same in ccxt's words."""
    _, venue = real
    key = tmp_path / "b.key"
    key.write_text("0x" + KEYS[1].hex())
    ladder = await run("batch.py", str(key), "BTC-USDC", "100", venue.url)
    assert ladder.count(": open, sequence") == 4 and "INSUFFICIENT_BALANCE" in ladder and "cancelled 4" in ladder
    moved = await run("replace.py", str(key), "BTC-USDC", "100", "101", venue.url)
    assert "100 is canceled: REPLACED" in moved and "101 is open" in moved
    retried = await run("retry.py", str(key), "BTC-USDC", "100", venue.url)
    assert "again: replayed True" in retried and "by its own name: open" in retried
    unified = await run("trade_as_ccxt.py", str(key), "BTC/USDC", "100", venue.url)
    assert "open: 0.0001 at 100.0" in unified and "canceled" in unified and "InsufficientFunds" in unified
    assert "SESSION_REVOKED: ended" in await run("logout.py", str(key), "this", venue.url)
    assert "SESSION_REVOKED: ended" in await run("logout.py", str(key), "all", venue.url)


@pytest.mark.asyncio(loop_scope="module")
async def test_examples_of_conditions_and_changes(real, tmp_path) -> None:
    _, venue = real
    key = tmp_path / "e.key"
    key.write_text("0x" + KEYS[1].hex())
    arguments = str(key), "BTC-USDC"
    stopped = await run("stop_loss.py", *arguments, "0.01", "40000", "39000", venue.url)
    assert "open, waits for 40000" in stopped and "cancelled: canceled" in stopped
    bracket = await run("bracket.py", *arguments, "0.01", "50", "60", "40", "39", venue.url)
    assert "entry: buy at 50, rests" in bracket and "stop: sell at 39, waits" in bracket
    assert "without the entry: LINKED" in bracket
    amended = await run("amend.py", *arguments, "100", "101", venue.url)
    assert "the same order: True" in amended and "100 is REPLACED, 101 is open" in amended
    assert "is not replaced: ORDER_NOT_OPEN" in amended
    moved = await run("requote.py", *arguments, "100", "90000", venue.url)
    assert "2 cancelled, quoted 99.9 and 90000.1" in moved and "cancelled 2, switch off: True" in moved


@pytest.mark.asyncio(loop_scope="module")
async def test_examples_of_streams(real, tmp_path) -> None:
    """An account that is followed while it trades, and a stream that goes on in another process."""
    _, venue = real
    key, state = tmp_path / "c.key", tmp_path / "state.json"
    key.write_text("0x" + KEYS[2].hex())
    first = await run("resume.py", str(key), str(state), venue.url, "3")
    assert first.count("snapshot of") == 3
    watching = asyncio.create_task(run("watch_account.py", str(key), venue.url, "8"))
    async with venue.client(KEYS[2]) as client:
        while not watching.done():
            placed = await client.place("BTC-USDC", "buy", "100", "0.01")
            await client.cancel(placed.order.id)
            await asyncio.sleep(0.2)
    watched = await watching
    assert "3 balances" in watched and ": open, 0 of 0.01" in watched and ": canceled, 0 of 0.01" in watched
    second = await run("resume.py", str(key), str(state), venue.url, "3")
    assert second.count("delta of") == 3, "what was missed, not a snapshot"


@pytest.mark.asyncio(loop_scope="module")
async def test_an_example_of_a_proof(real, tmp_path) -> None:
    _, venue = real
    key = tmp_path / "d.key"
    key.write_text("0x" + KEYS[0].hex())
    proved = await run("prove.py", str(key), "BTC-USDC", "100", venue.url)
    assert proved.count("ok: ") >= 3 and "NO: " not in proved


def test_every_example_is_run() -> None:
    """Here, by the tests of the chain, or by the pages of the journeys."""
    root = EXAMPLES.parent
    sources = [*(root / "docs" / "journeys").glob("*.md"), *(root / "tests").rglob("test_examples.py")]
    text = "".join(source.read_text() for source in sources)
    for example in EXAMPLES.glob("*.py"):
        assert f'run("{example.name}"' in text or f"examples/{example.name}" in text, example.name
