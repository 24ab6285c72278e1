"""A market's parameters, set once on chain, and the exact conversion of decimal strings to ticks and lots.

Invariant: a decimal string converts exactly or is refused with the nearest valid value; nothing is rounded here.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

import msgspec

from offchain.domain.errors import InvalidInput
from offchain.domain.limits import PRICE_TICKS_MAX, SIZE_LOTS_MAX
from offchain.domain.units import Address, Atoms, Lots, Ticks

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,30})(?:\.([0-9]{1,30}))?")


class MarketState(StrEnum):
    ACTIVE = "ACTIVE"
    POST_ONLY = "POST_ONLY"
    CANCEL_ONLY = "CANCEL_ONLY"
    PAUSED = "PAUSED"
    """Nothing is accepted; resting orders stay and can be cancelled."""
    DELISTED = "DELISTED"
    """For good: every order was cancelled."""


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One row of Settlement's market table plus the decimals that display needs."""

    market: int
    symbol: str
    base_token: Address
    base_atoms_per_lot: int
    quote_atoms_per_tick_lot: int
    base_decimals: int
    quote_decimals: int

    def notional(self, price: Ticks, size: Lots) -> Atoms:
        """Quote atoms of `size` at `price`, exact."""
        return Atoms(price * size * self.quote_atoms_per_tick_lot)

    def base_atoms(self, size: Lots) -> Atoms:
        return Atoms(size * self.base_atoms_per_lot)

    @property
    def tick_fraction(self) -> tuple[int, int]:
        """Tick size as (numerator, denominator): quote per base, in whole tokens."""
        numerator = self.quote_atoms_per_tick_lot * 10**self.base_decimals
        return numerator, self.base_atoms_per_lot * 10**self.quote_decimals

    @property
    def lot_fraction(self) -> tuple[int, int]:
        """Lot size as (numerator, denominator), in whole base tokens."""
        return self.base_atoms_per_lot, 10**self.base_decimals

    @property
    def tick_size(self) -> str:
        return format_fraction(*self.tick_fraction)

    @property
    def lot_size(self) -> str:
        return format_fraction(*self.lot_fraction)

    def parse_price(self, text: object, field: str = "price") -> Ticks:
        """Decimal string to ticks; `InvalidInput` names the nearest valid price."""
        return Ticks(_parse(text, self.tick_fraction, PRICE_TICKS_MAX, field, "tick"))

    def parse_size(self, text: object, field: str = "size") -> Lots:
        """Decimal string to lots; `InvalidInput` names the nearest valid size."""
        return Lots(_parse(text, self.lot_fraction, SIZE_LOTS_MAX, field, "lot"))

    def format_price(self, price: Ticks) -> str:
        numerator, denominator = self.tick_fraction
        return _format_step(price * numerator, denominator)

    def format_size(self, size: Lots) -> str:
        numerator, denominator = self.lot_fraction
        return _format_step(size * numerator, denominator)

    def format_levels(self, levels: Iterable[tuple[int, int]]) -> list[list[str]]:
        """[price, size] of each (ticks, lots): `format_price` and `format_size` of many, at a third of the cost."""
        (ticks, per_tick), (lots, per_lot) = self.tick_fraction, self.lot_fraction
        return [[_format_step(price * ticks, per_tick), _format_step(size * lots, per_lot)] for price, size in levels]


def parse_decimal(text: object, field: str) -> tuple[int, int]:
    """Decimal string to (numerator, power of ten). No sign, exponent, float or leading zero is accepted."""
    if not isinstance(text, str):
        kind = type(text).__name__
        raise InvalidInput(
            f"{field} is a {kind}, not a string",
            field=field,
            remedy='Send decimals as strings: "1.5"',
        )
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InvalidInput(
            f"{field} is not a plain decimal: {text[:40]!r}",
            field=field,
            remedy='Like "1.5": no sign, no exponent',
        )
    whole, part = match.group(1), match.group(2) or ""
    return int(whole + part), len(part)


def parse_atoms(text: object, decimals: int, field: str) -> Atoms:
    """Decimal string of whole tokens to atoms, exactly or refused."""
    numerator, places = parse_decimal(text, field)
    scaled = numerator * 10**decimals
    if scaled % 10**places:
        raise InvalidInput(
            f"{field} has more than {decimals} decimals",
            field=field,
            remedy="Shorten it",
        )
    return Atoms(scaled // 10**places)


def format_atoms(atoms: int, decimals: int) -> str:
    """Atoms as a canonical decimal string: no exponent, no plus, no trailing zeros."""
    digits = str(abs(atoms)).zfill(decimals + 1)
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return f"{'-' if atoms < 0 else ''}{whole}{'.' if part else ''}{part}"


def format_fraction(numerator: int, denominator: int) -> str:
    """Canonical decimal string of an exact fraction; the denominator divides a power of ten."""
    sign = "-" if numerator < 0 else ""
    whole, rest = divmod(abs(numerator), denominator)
    digits = []
    while rest:
        digit, rest = divmod(rest * 10, denominator)
        digits.append(str(digit))
        assert len(digits) <= 60, "not a finite decimal"
    return f"{sign}{whole}" + ("." + "".join(digits) if digits else "")


_format_step = lru_cache(maxsize=16_384)(format_fraction)
"""Prices and sizes that a market shows come again and again."""


def _parse(text: object, step: tuple[int, int], maximum: int, field: str, unit: str) -> int:
    numerator, places = parse_decimal(text, field)
    step_numerator, step_denominator = step
    # Typed by name: 10**places is Any to a type checker, which cannot see that places >= 0.
    scaled_step: int = step_numerator * 10**places
    units, rest = divmod(numerator * step_denominator, scaled_step)
    if rest:
        nearest = min(units + 1 if 2 * rest >= scaled_step else max(units, 1), maximum)
        valid = format_fraction(nearest * step_numerator, step_denominator)
        raise InvalidInput(
            f"{field} {text} is not a multiple of the {unit} size {format_fraction(*step)}",
            field=field,
            remedy=f"The nearest valid {field} is {valid}",
            nearest=valid,
        )
    if not 0 < units <= maximum:
        limit = format_fraction(maximum * step_numerator, step_denominator)
        raise InvalidInput(
            f"{field} {text} is out of range",
            field=field,
            remedy=f"Above 0 and at most {limit}",
        )
    return units
