"""A pool in whole numbers, as plain as it can be said. Twin of contracts/AmmPair.sol, but for time and events.

Invariant: it states the laws (the product after fees, shares in proportion) and uses none of the contract's formulas
where a law can be asked directly. Deliberately not the code that trades: that is `offchain.domain.amm`.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

MINIMUM_LIQUIDITY = 1_000
KEPT = Fraction(997, 1000)


@dataclass
class NaivePool:
    """Atoms and shares; `*_balance` is what is there, `*_reserve` what counts."""

    base_balance: int = 0
    quote_balance: int = 0
    base_reserve: int = 0
    quote_reserve: int = 0
    supply: int = 0
    own_shares: int = 0

    def receive(self, base: int, quote: int, shares: int = 0) -> None:
        self.base_balance += base
        self.quote_balance += quote
        self.own_shares += shares

    @property
    def base_surplus(self) -> int:
        return self.base_balance - self.base_reserve

    @property
    def quote_surplus(self) -> int:
        return self.quote_balance - self.quote_reserve

    def sync(self) -> None:
        self.base_reserve, self.quote_reserve = self.base_balance, self.quote_balance

    def skim(self) -> tuple[int, int]:
        paid = self.base_surplus, self.quote_surplus
        self.base_balance, self.quote_balance = self.base_reserve, self.quote_reserve
        return paid

    def mint(self) -> int | None:
        """The shares; None if it is refused."""
        if self.supply == 0:
            root = isqrt(self.base_surplus * self.quote_surplus)
            minted, supply = root - MINIMUM_LIQUIDITY, root
        else:
            part = min(Fraction(self.base_surplus, self.base_reserve), Fraction(self.quote_surplus, self.quote_reserve))
            minted = int(part * self.supply)
            supply = self.supply + minted
        if minted <= 0:
            return None
        self.supply = supply
        self.sync()
        return minted

    def burn(self) -> tuple[int, int] | None:
        """(base, quote) paid; None if it is refused."""
        if self.supply == 0:
            return None
        part = Fraction(self.own_shares, self.supply)
        base, quote = int(part * self.base_balance), int(part * self.quote_balance)
        if base == 0 or quote == 0:
            return None
        self.supply -= self.own_shares
        self.own_shares = 0
        self.receive(-base, -quote)
        self.sync()
        return base, quote

    def swap(self, base_out: int, quote_out: int) -> bool:
        if base_out + quote_out == 0 or base_out >= self.base_reserve or quote_out >= self.quote_reserve:
            return False
        base = self.base_reserve - base_out + KEPT * self.base_surplus
        quote = self.quote_reserve - quote_out + KEPT * self.quote_surplus
        if base * quote < self.base_reserve * self.quote_reserve:
            return False
        self.receive(-base_out, -quote_out)
        self.sync()
        return True
