"""The table of known orders: whatever it grows to, no order waits for it."""

import random

from offchain.engine.memory import PARTS, Known


def test_it_is_a_table_by_digest() -> None:
    known, pick = Known(), random.Random(3)
    keys = [pick.randbytes(32) for _ in range(2_000)]
    for number, key in enumerate(keys):
        known[key] = number.to_bytes(2)
    assert all(known[key] == known.get(key) == number.to_bytes(2) for number, key in enumerate(keys))
    assert all(key in known for key in keys) and known.has_any(keys[:1]) and not known.has_any([])
    for key in keys[::2]:
        del known[key]
    assert [key in known for key in keys] == [number % 2 == 1 for number in range(2_000)]
    assert known.get(keys[0]) is None and known.get(b"") is None and not known.has_any(keys[::2])


def test_no_part_is_ever_much_of_the_whole() -> None:
    """Found by a load run: at 2/3 of every power of two the one table was built anew, for 10 ms at 88,000 orders."""
    known, pick = Known(), random.Random(4)
    for _ in range(50_000):
        known[pick.randbytes(32)] = b""
    sizes = [len(part) for part in known.parts]
    assert sum(sizes) == 50_000 and len(sizes) == PARTS and max(sizes) < 2 * 50_000 / PARTS
