"""The examples run against the real venue."""

import asyncio
import sys
from pathlib import Path

import pytest
from conftest import KEYS

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


async def run(name: str, *arguments: str) -> str:
    command = (sys.executable, str(EXAMPLES / name), *arguments)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, output.decode()
    return output.decode()


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
