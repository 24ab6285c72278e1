"""docs/frames.md says byte by byte what the code does: its tables are read and compared."""

import re
from pathlib import Path

from offchain.domain import wire
from offchain.domain.eip712 import RECEIPTS_TYPE
from offchain.domain.limits import BULK_DEPTH, FRAME_BYTES_MAX, ORDERS_PER_REQUEST_MAX
from offchain.domain.order import ORDER_FRAME_BYTES, SIGNATURE_BYTES, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.gateway.entry import ITEM_BYTES

PAGE = (Path(__file__).parents[2] / "docs" / "frames.md").read_text()


def tables(heading: str) -> list[list[list[str]]]:
    """The tables below a heading, without their heads: rows of cells."""
    (section,) = re.findall(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    found: list[list[list[str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.strip().splitlines()]
        found.append(rows[2:])
    return found


def fields(heading: str) -> list[tuple[str, int]]:
    return [(row[0], int(row[1])) for row in tables(heading)[0]]


def cut(content: bytes, layout: list[tuple[str, int]]) -> dict[str, bytes]:
    found, position = {}, 0
    for name, size in layout:
        found[name] = content[position : position + size]
        position += size
    assert position == len(content)
    return found


def number(part: bytes) -> int:
    return int.from_bytes(part, "big")


def test_the_head() -> None:
    head = wire.HEAD.pack(wire.VERSION, wire.MessageKind.BULK, 3, 2**60 + 5)
    parts = cut(head, fields("Head"))
    assert {name: number(part) for name, part in parts.items()} == {
        "version": 1,
        "kind": 2,
        "count": 3,
        "id": 2**60 + 5,
    }


def test_the_kinds_of_messages_and_their_items() -> None:
    rows = tables("Messages")[0]
    assert [(int(row[0]), row[1]) for row in rows] == [(int(kind), kind.name) for kind in wire.MessageKind]
    for row in rows:
        sizes = [int(size) for size in re.findall(r"\[(\d+)\]", row[5].partition(";")[0])]
        if row[2] == "to the venue":
            assert sum(sizes) == ITEM_BYTES[int(row[0])]
        elif row[1] == "RESULTS":
            assert sizes == [wire.RESULT_BYTES] and f"[{wire.ATTESTATION.size}]" in row[5]
    most = {row[1]: row[3] for row in rows}
    assert most["ORDERS"] == most["CANCELS"] == str(ORDERS_PER_REQUEST_MAX)
    assert most["BULK"] == str(1 << BULK_DEPTH)
    assert f"{FRAME_BYTES_MAX // 1024} KiB" in PAGE and f"signature[{SIGNATURE_BYTES}]" in rows[1][4]


def test_the_frame_of_an_order() -> None:
    terms = (Address("0x" + "ab" * 20), 7, 9, Side.SELL, Kind.MARKET, TimeInForce.FOK, 5)
    order = Order(*terms, Ticks(11), Lots(12), Ticks(13), -14, make_nonce(15, 16), 17)
    parts = cut(order.to_frame(), fields(f"order[{ORDER_FRAME_BYTES}]"))
    assert parts.pop("account").hex() == "ab" * 20
    assert int.from_bytes(parts.pop("maxFeePpm"), "big", signed=True) == -14
    assert {name: number(part) for name, part in parts.items()} == {
        "subaccount": 7,
        "market": 9,
        "side": 1,
        "kind": 1,
        "timeInForce": 2,
        "flags": 5,
        "priceTicks": 11,
        "sizeLots": 12,
        "triggerTicks": 13,
        "nonce": 15 << 48 | 16,
        "expiry": 17,
    }
    for enumeration, name in ((Side, "side"), (Kind, "kind"), (TimeInForce, "timeInForce")):
        (words,) = [row[2] for row in tables(f"order[{ORDER_FRAME_BYTES}]")[0] if row[0] == name]
        listed = dict(part.strip().split(" ")[::-1] for part in words.split(","))
        assert {word.upper(): int(value) for word, value in listed.items()} == {m.name: m.value for m in enumeration}


def test_a_result() -> None:
    layout, statuses, reasons = tables(f"result[{wire.RESULT_BYTES}]")
    packed = wire.RESULT.pack(1, 2, 3, 4, 5, 6, 7)
    parts = cut(packed, [(row[0], int(row[1])) for row in layout])
    assert [
        number(parts[name]) for name in ("sequence", "at", "status", "reason", "replayed", "filledLots", "fills")
    ] == [*range(1, 8)]
    assert {row[0]: int(row[1]) for row in statuses} == {str(word): value for word, value in wire.STATUSES.items()}
    listed = {row[0].replace("(none)", ""): int(row[1]) for row in reasons}
    assert listed == {str(word): value for word, value in wire.REASONS.items()}


def test_an_attestation() -> None:
    packed = wire.ATTESTATION.pack(1, 2, 3, b"r" * 32, b"s" * 65)
    parts = cut(packed, fields(f"attestation[{wire.ATTESTATION.size}]"))
    assert [number(parts[name]) for name in ("first", "last", "orders")] == [1, 2, 3]
    assert (parts["root"], parts["signature"]) == (b"r" * 32, b"s" * 65)
    assert f"`{RECEIPTS_TYPE}`" in PAGE
