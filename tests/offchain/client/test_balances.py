"""Balances by name: none is lost when two tokens have the same one."""

from typing import Any

import pytest

from offchain.client.http import HooatsClient

AMOUNTS = ("settled", "pending", "held", "leaving", "free", "used", "total", "withdrawable")


async def test_a_later_token_of_the_same_name_has_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(self: HooatsClient, path: str, session: bool) -> dict[str, Any]:
        amounts = dict.fromkeys(AMOUNTS, "1")
        tokens = [("USDC", "0x01"), ("BTC", "0x02"), ("BTC", "0x03")]
        return {"balances": [{"token": token, "address": address, **amounts} for token, address in tokens]}

    monkeypatch.setattr(HooatsClient, "_get", answer)
    async with HooatsClient("http://127.0.0.1:1") as client:
        assert {name: row.address for name, row in (await client.balances()).items()} == {
            "USDC": "0x01",
            "BTC": "0x02",
            "0x03": "0x03",
        }
