"""What a deployment is made of: read from a parameter file, then overridden by a roles file, the environment, flags.

Invariant: what leaves `load` is complete and consistent; a value that is missing or wrong is named with its place in
the file. Deliberately no defaults for addresses in code: they are in the parameter files, where they can be read.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml  # type: ignore[import-untyped,unused-ignore]

from offchain.domain.errors import ConfigurationError, InvalidInput
from offchain.domain.limits import UPGRADE_DELAY_SECONDS_MIN
from offchain.domain.market import parse_atoms
from offchain.domain.units import QUOTE_DECIMALS, SYNTH_DECIMALS, ZERO_ADDRESS, Address

ROLES: Final = (
    "settler",
    "committer",
    "cosigner",
    "poster",
    "lister",
    "guardian",
    "feeAccount",
    "treasuryAccount",
    "insuranceAccount",
    "proposer",
)
"""Names of the addresses that a deployment needs; `deployment/README.md` says who they are."""
MORE_POSTERS: Final = ("poster2", "poster3", "poster4", "poster5")
"""Posters beside the first, on machines of their own; needed where a quorum asks for them."""
SEPARATE: Final = ("settler", "committer", "cosigner", "poster", "lister", "guardian")
"""Keys of running processes. A key that two processes send from would break both nonce sequences."""
SOURCES_MAX: Final = 4
"""Twin of PriceOracle's MAX_SOURCES."""

_ADDRESS: Final = "0x[0-9a-fA-F]{40}"


class SynthParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A synthetic token: terms of debt, and of its price feed.

    `ceiling` is the most debt in whole tokens; the percentages are of collateral to debt. `price` in whole quote
    tokens is posted once, so that positions can open at once; empty to leave it to the price keeper. `sources` are
    names of the registry, read beside the posters.
    """

    symbol: str
    name: str
    ceiling: str
    initial_percent: int
    maintenance_percent: int
    bonus_percent: int
    quorum: int
    max_age_seconds: int
    max_move_ppm_per_minute: int
    sources: tuple[str, ...] = ()
    price: str = ""

    @property
    def ceiling_atoms(self) -> int:
        return parse_atoms(self.ceiling, SYNTH_DECIMALS, f"ceiling of {self.symbol}")

    @property
    def price_units(self) -> int:
        """Quote units per whole token; 0 for none."""
        return parse_atoms(self.price, QUOTE_DECIMALS, f"price of {self.symbol}") if self.price else 0


class MarketParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A row of Settlement's market table; `base` names a synth of this file."""

    market: int
    symbol: str
    base: str
    base_atoms_per_lot: int
    quote_atoms_per_tick_lot: int


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One deployment. `version` is part of every salt: another version is another set of addresses.

    `outflow_per_hour` in whole quote tokens is the Vault's first cap on countersigned withdrawals, "0" for none.
    `twap_window_seconds` is the time over which TwapSource averages a pool's price. `quote_token` empty: a test USDC
    that anyone may mint is deployed. `factory` empty: the usual CREATE2 factory.
    """

    version: str
    timelock_delay_seconds: int
    outflow_per_hour: str
    synths: tuple[SynthParameters, ...]
    markets: tuple[MarketParameters, ...]
    twap_window_seconds: int = 1_800
    quote_token: str = ""
    factory: str = ""
    roles: dict[str, str] = {}

    @property
    def outflow_units(self) -> int:
        """Quote units per hour; 0 for no cap."""
        return (
            0 if self.outflow_per_hour == "0" else parse_atoms(self.outflow_per_hour, QUOTE_DECIMALS, "outflowPerHour")
        )

    def role(self, name: str) -> Address:
        return Address(self.roles[name].lower())

    @property
    def more_posters(self) -> tuple[str, ...]:
        return tuple(name for name in MORE_POSTERS if self.roles.get(name))

    def role_addresses(self) -> dict[str, Address]:
        return {name: self.role(name) for name in (*ROLES, *self.more_posters)}


def load(path: Path, overrides: Mapping[str, str], roles_file: Path | None = None) -> Parameters:
    """The parameters in `path`; `overrides` (names of ROLES and "quoteToken") win over the roles file, which wins over
    `path`. `ConfigurationError` names what is wrong."""
    content = _read(path, "Name another file with --parameters, or start from a copy of deployment/local.yaml")
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path.name} holds no parameters", remedy="Start from deployment/local.yaml")
    given = dict(overrides)
    named = content.get("roles") or {}
    chosen = {name: given[name] for name in (*ROLES, *MORE_POSTERS) if given.get(name)}
    try:
        parameters = msgspec.convert(
            content
            | {"roles": named | _read_roles(roles_file) | chosen}
            | ({"quoteToken": given["quoteToken"]} if given.get("quoteToken") else {}),
            Parameters,
        )
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigurationError(f"{path.name}: {error}", remedy=_remedy(str(error))) from None
    _check(parameters, path.name)
    return parameters


def _read_roles(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    roles = _read(path, "Name another file with --roles")
    if not isinstance(roles, dict):
        raise ConfigurationError(f"{path.name} is not a JSON object of roles and addresses")
    return roles


def _remedy(message: str) -> str:
    """What to do about a message of msgspec."""
    unknown = re.search(r"unknown field `(.*?)`(?: - at `\$\.(\w+))?", message)
    if unknown is None:
        is_type = message.startswith("Expected")
        return "Quote addresses and decimals" if is_type else "deployment/README.md explains every field"
    rows: dict[str, type[msgspec.Struct]] = {"synths": SynthParameters, "markets": MarketParameters}
    row = rows.get(unknown[2], Parameters)
    return _nearest(unknown[1], tuple(field.encode_name for field in msgspec.structs.fields(row)))


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"The nearest is {near[0]}; deployment/README.md has all" if near else f"Known are {', '.join(known)}"


def _read(path: Path, remedy: str) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}", remedy=remedy) from None
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path.name} cannot be parsed: {' '.join(str(error).split())[:200]}") from None


def _check(parameters: Parameters, name: str) -> None:
    _check_roles(parameters, name)
    for field, value in (("quoteToken", parameters.quote_token), ("factory", parameters.factory)):
        if value:
            _check_address(value, field)
    if parameters.timelock_delay_seconds < UPGRADE_DELAY_SECONDS_MIN:
        remedy = f"At least {UPGRADE_DELAY_SECONDS_MIN}: everyone can be out before an upgrade"
        raise ConfigurationError(f"{name}: timelockDelaySeconds is too short", remedy=remedy)
    synths = [synth.symbol for synth in parameters.synths]
    markets = parameters.markets
    for what, values in (
        ("synth", synths),
        ("market number", [market.market for market in markets]),
        ("market symbol", [market.symbol for market in markets]),
    ):
        if len(set(values)) != len(values):
            raise ConfigurationError(f"{name}: a {what} is listed twice")
    for market in markets:
        if market.base not in synths:
            raise ConfigurationError(f"{name}: market {market.symbol} trades {market.base}, which is not a synth of it")
        if not (0 < market.market < 2**32 and market.base_atoms_per_lot > 0 and market.quote_atoms_per_tick_lot > 0):
            raise ConfigurationError(f"{name}: market {market.symbol} has a number that is out of range")
    for synth in parameters.synths:
        _check_terms(synth, name)
        _check_quorum(synth, 1 + len(parameters.more_posters), name)
    try:
        _ = parameters.outflow_units, [(synth.price_units, synth.ceiling_atoms) for synth in parameters.synths]
    except InvalidInput as error:
        raise ConfigurationError(f"{name}: {error.message}", remedy=error.remedy) from None


def _check_terms(synth: SynthParameters, name: str) -> None:
    """The bounds of SynthIssuer and PriceOracle, before anything is sent."""
    maintenance, bonus = synth.maintenance_percent, synth.bonus_percent
    if not (110 <= maintenance < synth.initial_percent <= 1_000 and bonus >= 1 and 100 + bonus < maintenance):
        remedy = "110 <= maintenance < initial <= 1000, and 100 + bonus < maintenance"
        raise ConfigurationError(f"{name}: the percentages of {synth.symbol} do not fit", remedy=remedy)
    is_feed = synth.quorum >= 1 and 0 < synth.max_age_seconds <= 3_600 and synth.max_move_ppm_per_minute > 0
    if not is_feed or len(synth.sources) > SOURCES_MAX or synth.quorum <= 2 * len(synth.sources):
        remedy = (
            "quorum from 1 and above twice the number of sources, maxAgeSeconds up to 3600, a speed above 0, "
            f"at most {SOURCES_MAX} sources"
        )
        raise ConfigurationError(f"{name}: the price feed of {synth.symbol} does not fit", remedy=remedy)


def _check_quorum(synth: SynthParameters, posters: int, name: str) -> None:
    """A quorum that nobody can reach is a synth without a price; a price that the deployer posts is a quorum of one."""
    if synth.quorum > posters + len(synth.sources):
        raise ConfigurationError(
            f"{name}: {synth.symbol} needs {synth.quorum} readings of {posters} posters, {len(synth.sources)} sources",
            remedy=f"Name {', '.join(MORE_POSTERS[: synth.quorum - 1])} among the roles, each on a machine of its own",
        )
    if synth.price and synth.quorum > 1:
        raise ConfigurationError(
            f"{name}: {synth.symbol} has a price to begin with, and a quorum of {synth.quorum}",
            remedy="Leave the price to the posters",
        )


def _check_roles(parameters: Parameters, name: str) -> None:
    known = (*ROLES, *MORE_POSTERS)
    unknown = sorted(set(parameters.roles) - set(known))
    if unknown:
        raise ConfigurationError(f"unknown role {', '.join(unknown)}", remedy=_nearest(unknown[0], known))
    missing = [role for role in ROLES if not parameters.roles.get(role)]
    if missing:
        remedy = "Name them in a --roles file, by flags (--settler), or in the environment (HOOATS_SETTLER)"
        raise ConfigurationError(f"{name} names no address for {', '.join(missing)}", remedy=remedy)
    for role in (*ROLES, *parameters.more_posters):
        _check_address(parameters.roles[role], role)
    holders: dict[Address, str] = {}
    for role in (*SEPARATE, *parameters.more_posters):
        other = holders.setdefault(parameters.role(role), role)
        if other != role:
            raise ConfigurationError(f"{role} and {other} are the same address", remedy="Give each process its own key")


def _check_address(value: str, field: str) -> None:
    if re.fullmatch(_ADDRESS, value) is None or value == ZERO_ADDRESS:
        raise ConfigurationError(f"{field} is not an address: {value[:60]!r}", remedy="0x and 40 hex digits")
