"""Flags of one keeper: refused for the others, and turned into its settings."""

from pathlib import Path

import pytest

from keepers.price import PriceSettings
from offchain.cli.keeper_flags import LIQUIDATE, OWNERS, PRICE, price_settings
from offchain.cli.program import hooats
from offchain.domain.errors import ConfigurationError

VALUES = {
    "source": "file:x",
    "map": "hBTC=BTC, hX=@107",
    "deviation_ppm": 1_000,
    "heartbeat": 30,
    "max_jump_percent": 5,
    "max_source_age": 20,
}


def test_settings() -> None:
    assert price_settings(VALUES) == PriceSettings(
        source="file:x",
        names={"hBTC": "BTC", "hX": "@107"},
        deviation_ppm=1_000,
        heartbeat_seconds=30,
        jump_percent=5,
        source_age_seconds=20,
    )
    assert price_settings(VALUES | {"map": ""}).names == {}


def test_what_is_missing_or_wrong() -> None:
    with pytest.raises(ConfigurationError, match="needs --source"):
        price_settings(VALUES | {"source": ""})
    with pytest.raises(ConfigurationError, match="'x' is not understood"):
        price_settings(VALUES | {"source": "x"})
    with pytest.raises(ConfigurationError, match="hBTC=BTC"):
        price_settings(VALUES | {"map": "hBTC"})


def test_every_flag_has_its_owner() -> None:
    command = hooats.commands["keeper"]
    names = {parameter.name for parameter in command.params}
    assert set(OWNERS) <= names
    assert len(OWNERS) == len(PRICE) + len(LIQUIDATE)


def test_a_flag_of_another_keeper_is_refused(tmp_path: Path) -> None:
    arguments = ["keeper", "sync", "--data", str(tmp_path), "--max-jump-percent", "5"]
    with pytest.raises(ConfigurationError, match="--max-jump-percent is a flag of keeper price, not of sync"):
        hooats.main(arguments, standalone_mode=False)
