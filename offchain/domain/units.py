"""Units as types, and the one law between them: notional = ticks * lots * quote_atoms_per_tick_lot.

Integers only. Every division says who loses the dust. Twin: `contracts/libraries/FeeMath.sol`.
"""

from typing import NewType

Ticks = NewType("Ticks", int)
Lots = NewType("Lots", int)
Atoms = NewType("Atoms", int)
"""Smallest parts of a token on chain; for the settlement token, the Vault's units."""
Ppm = NewType("Ppm", int)
Millis = NewType("Millis", int)
Sequence = NewType("Sequence", int)
"""Position of a command in the journal, from 1."""
FillId = NewType("FillId", int)
"""Position of a fill in the global fill sequence, from 1."""
Address = NewType("Address", str)
"""Lower-case hex with 0x, 42 characters."""
Digest = NewType("Digest", str)
"""32 bytes as lower-case hex with 0x, 66 characters."""

PPM = 1_000_000


def ceil_div(numerator: int, denominator: int) -> int:
    """Smallest integer >= numerator / denominator; denominator > 0."""
    return -(-numerator // denominator)


def fee_up(notional: int, ppm: int) -> int:
    """ceil(notional * ppm / 10^6) atoms, for a negative rate too (a rebate is rounded towards zero).

    The venue never loses the dust: fee_up(n, a) + fee_up(n, b) >= 0 whenever a + b >= 0.
    """
    return ceil_div(notional * ppm, PPM)


def to_address(raw: bytes) -> Address:
    """20 bytes to the address that is used as a key everywhere."""
    assert len(raw) == 20
    return Address("0x" + raw.hex())


def from_hex(value: str) -> bytes:
    return bytes.fromhex(value[2:])


INDEX_ONE = 10**18
"""The Vault's index at one token atom per unit. Twin: UnitIndex.ONE."""


def atoms_down(units: int, index: int) -> int:
    """What units of the settlement token pay, and show as worth, at this index. Twin: UnitIndex.toAtomsDown."""
    return units * index // INDEX_ONE


def units_down(atoms: int, index: int) -> int:
    """What atoms of the settlement token buy at this index; nothing if all is lost. Twin: UnitIndex.toUnitsDown."""
    return atoms * INDEX_ONE // index if index else 0


ZERO_ADDRESS = Address("0x" + "00" * 20)

QUOTE_DECIMALS = 6
"""Of the settlement token, USDC."""
SYNTH_DECIMALS = 18
"""Of every synth. Twin: SynthERC20."""
CXPT_DECIMALS = 18
"""Of the venue's token. Twin: CXPT."""
