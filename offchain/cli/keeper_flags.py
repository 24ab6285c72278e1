"""Flags that one keeper alone takes, and the settings that they make.

Another keeper's flags go the same way: a tuple of them, an entry in `OWNERS`, a function that makes the settings.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from keepers.price import LANDING_SECONDS, PriceSettings
from keepers.quotes import parse_names, split_source
from offchain.cli import options
from offchain.domain.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

PRICE = (
    options.flag(
        "--source",
        "price: where prices come from: file:PATH (JSON, replaced as a whole) or hyperliquid:URL.",
        default="",
    ),
    options.flag(
        "--map",
        "price: what the source calls synths, comma separated, like hBTC=BTC; HyperCore's names lack the h anyway.",
        default="",
    ),
    options.flag(
        "--deviation-ppm",
        "price: post when the price is off by more, millionths.",
        type=click.IntRange(min=1),
        default=2_500,
    ),
    options.flag(
        "--heartbeat",
        "price: post when the own post is older, seconds; 0: a third of the feed's maxAge.",
        type=click.IntRange(min=0),
        default=0,
    ),
    options.flag(
        "--max-jump-percent",
        "price: farther from the accepted price than this, it must persist for three readings.",
        type=click.IntRange(1, 1000),
        default=20,
    ),
    options.flag(
        "--max-source-age",
        "price: never post what the source said longer ago, seconds.",
        type=click.IntRange(min=2 * LANDING_SECONDS),
        default=60,
    ),
)
LIQUIDATE = (
    options.flag(
        "--api",
        "liquidate: URL of the exchange that countersigns.",
        type=options.GATEWAY,
        default="http://127.0.0.1:8080",
    ),
)
OWNERS = {
    "api": "liquidate",
    "source": "price",
    "map": "price",
    "deviation_ppm": "price",
    "heartbeat": "price",
    "max_jump_percent": "price",
    "max_source_age": "price",
}
"""Which keeper a flag is of, by its parameter."""


def keeper_flags(command: F) -> F:
    """All of them, in order."""
    for add in reversed((*PRICE, *LIQUIDATE)):
        command = add(command)
    return command


def check_owners(context: click.Context, keeper: str) -> None:
    """`ConfigurationError` for a flag of another keeper."""
    for parameter, owner in OWNERS.items():
        if owner != keeper and context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE:
            flag = "--" + parameter.replace("_", "-")
            raise ConfigurationError(f"{flag} is a flag of keeper {owner}, not of {keeper}", remedy=f"Leave {flag} out")


def price_settings(values: Mapping[str, Any]) -> PriceSettings:
    """`values` by parameter. `ConfigurationError` for a source or a map that is not understood."""
    if not values["source"]:
        raise ConfigurationError("keeper price needs --source", remedy="Give file:PATH or hyperliquid:URL")
    split_source(values["source"])
    return PriceSettings(
        source=values["source"],
        names=parse_names([pair for pair in values["map"].split(",") if pair.strip()]),
        deviation_ppm=values["deviation_ppm"],
        heartbeat_seconds=values["heartbeat"],
        jump_percent=values["max_jump_percent"],
        source_age_seconds=values["max_source_age"],
    )
