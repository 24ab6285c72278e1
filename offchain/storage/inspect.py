"""The journal as JSON lines: what `hooats journal inspect` prints, and the form in which golden journals are kept.

One line is one record. `payload` (hex) is the record's truth, so that reading lines back gives the same bytes;
`command` repeats it for people and is not read.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from offchain.domain.command import CancelAll, CancelOrder, Command, PlaceOrder, decode
from offchain.domain.errors import InvalidInput
from offchain.domain.order import Kind, Side, TimeInForce
from offchain.storage.frames import Record
from offchain.storage.reader import JournalReader


class Line(msgspec.Struct, frozen=True):
    sequence: int
    at: int
    kind: int
    version: int
    payload: str
    command: Any = None


_decode_line = msgspec.json.Decoder(Line).decode


def json_lines(folder: Path, from_sequence: int = 1) -> Iterator[str]:
    """Every complete record, one line each, without line ends."""
    return map(line_of, JournalReader(folder).read(from_sequence))


def line_of(record: Record) -> str:
    command = readable(decode(record.kind, record.version, record.payload))
    line = Line(record.sequence, record.at, record.kind, record.version, record.payload.hex(), command)
    return msgspec.json.encode(line).decode()


def records_of(lines: Iterable[str]) -> Iterator[Record]:
    """Inverse of `line_of`; blank lines and lines that start with # are comments. InvalidInput names the line."""
    for number, text in enumerate(lines, start=1):
        if not text.strip() or text.startswith("#"):
            continue
        try:
            line = _decode_line(text)
            payload = bytes.fromhex(line.payload)
        except (msgspec.MsgspecError, ValueError) as error:
            raise InvalidInput(f"line {number} is no journal line: {error}") from error
        yield Record(line.kind, line.version, line.sequence, line.at, payload)


def readable(command: Command) -> dict[str, Any]:
    """A command with its words instead of numbers and hex instead of bytes."""
    if isinstance(command, PlaceOrder):
        order = msgspec.to_builtins(command.order)
        order["side"] = Side(command.order.side).name
        order["kind"] = Kind(command.order.kind).name
        order["time_in_force"] = TimeInForce(command.order.time_in_force).name
        fields = {"signer": command.signer, "client_order_id": command.client_order_id}
        return {"type": "place_order", "order": order, **fields, "signature": "0x" + command.signature.hex()}
    if isinstance(command, CancelOrder | CancelAll):
        name = "cancel_order" if isinstance(command, CancelOrder) else "cancel_all"
        fields = {field: getattr(command, field) for field in command.__struct_fields__}
        return {"type": name, **fields, "signature": "0x" + command.signature.hex()}
    builtins: dict[str, Any] = msgspec.to_builtins(command)
    return builtins
