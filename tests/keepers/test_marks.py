"""Marks: what is due, exactly in ticks; what is said reaches the database signed."""

import pytest

from keepers.marks import REPEAT_SECONDS, Mark, MarkedMarket, Marker, due_marks, to_ticks
from offchain.chain.signing import SigningKey
from offchain.domain.chainlog import MarketListed
from offchain.domain.eip712 import domain_separator, mark_digest
from offchain.domain.units import Address, from_hex
from offchain.security.signatures import recover
from offchain.storage.ops import Ops

SYNTH = Address("0x" + "55" * 20)
BTC = MarkedMarket(1, SYNTH, 10**14, 10)
"""Ticks of 0.1 USDC."""
PRICE = 61_500_100_000
NOW = 1_800_000_000


def test_a_price_in_ticks_is_rounded_to_the_nearest() -> None:
    assert to_ticks(PRICE, BTC) == 615_001
    assert [to_ticks(PRICE + units, BTC) for units in (49_999, 50_000, -50_000, -50_001)] == [
        615_001,
        615_002,
        615_001,
        615_000,
    ]


@pytest.mark.parametrize(
    ("last", "age", "price", "is_due"),
    [
        (None, 0, PRICE, True),
        (Mark(1, 615_001, NOW - 1), 0, PRICE, False),
        (Mark(1, 615_000, NOW - 1), 0, PRICE, True),
        (Mark(1, 615_001, NOW - REPEAT_SECONDS), 0, PRICE, True),
        (Mark(1, 615_000, NOW), 0, PRICE, False),
        (None, REPEAT_SECONDS + 1, PRICE, False),
        (None, 0, 0, False),
        (None, 0, 2**128, False),
    ],
    ids=["first", "same", "moved", "repeated", "same second", "old source", "no price", "no tick is so high"],
)
def test_what_is_due(last: Mark | None, age: int, price: int, is_due: bool) -> None:
    said = {} if last is None else {1: last}
    due = due_marks([BTC], {SYNTH: price}, said, NOW - age, NOW)
    assert due == ([Mark(1, 615_001, NOW)] if is_due else [])


def test_it_is_signed_and_replaces_what_was_said(tmp_path) -> None:
    ops = Ops(f"sqlite:///{tmp_path / 'ops.sqlite'}")
    fields = {"base_token": SYNTH, "base_atoms_per_lot": 10**14, "quote_atoms_per_tick_lot": 10}
    place = {"event_sequence": 1, "block_number": 1, "block_time": NOW, "transaction": "0x" + "00" * 32}
    listed = MarketListed(**place, **fields, market=1, symbol="BTC-USDC", base_decimals=18, quote_decimals=6)
    ops.append_inbox([listed], 1, NOW)
    separator, key = domain_separator(998, Address("0x" + "22" * 20)), SigningKey(b"\x05" * 32, 998)
    marker = Marker(ops, key, separator)
    marker.find_markets()
    assert marker.markets == (BTC,)
    for ticks in (615_001, 615_002):
        marker.say([Mark(1, ticks, NOW)])
        ((reading,),) = ops.marks().values()
        assert (reading.poster, reading.price_ticks, reading.time) == (key.address, ticks, NOW)
        assert recover(mark_digest(separator, 1, ticks, NOW), from_hex(reading.signature)) == key.address
    ops.close()
