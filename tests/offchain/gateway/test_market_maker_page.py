"""The numbers and codes of docs/journeys/market-maker.md are those in force; its commands are run by tests/docs."""

import re
from pathlib import Path

from offchain.gateway import bounds
from offchain.gateway.failures import STATUS
from offchain.gateway.settings import GatewaySettings, RateSettings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "journeys" / "market-maker.md").read_text()
ROWS = {
    "placements of an account": "account",
    "cancels of an account": "cancel",
    "requests of an address, by weight": "address",
    "cancels of an address": "address_cancel",
    "messages of a WebSocket": "connection",
    "new connections of an address": "handshake",
}


def test_the_limits_are_the_defaults() -> None:
    rates = RateSettings()
    for words, name in ROWS.items():
        rate = getattr(rates, name)
        assert f"| {words} | {rate.per_second:,} | {rate.burst:,} |" in PAGE
    assert "1 s, 2 s, 4 s … 256 s" in PAGE and (rates.ban.first_seconds, rates.ban.longest_seconds) == (1, 256)
    assert f"cut after {bounds.STALLED_SECONDS} s" in PAGE
    defaults = dict(
        zip(GatewaySettings.__struct_fields__[::-1], GatewaySettings.__struct_defaults__[::-1], strict=False)
    )
    assert f"{defaults['connections_per_address_max']} WebSockets of an address" in PAGE


def test_every_code_that_it_names_exists() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", PAGE)) - {"HOOATS_API"}
    assert named - set(STATUS) <= {"TCP_USER_TIMEOUT"}
    assert len(named) >= 10
