"""Every event to its chain log, and nothing that is not one."""

from typing import Any

import msgspec
import pytest
from eth_abi.abi import encode

from offchain.chain.abi import Event
from offchain.chain.logs import SETTLEMENT_EVENTS, VAULT_EVENTS, LogDecoder
from offchain.chain.replies import MalformedReply, RawLog
from offchain.domain.chainlog import MarketListed
from offchain.domain.units import Address

VAULT, SETTLEMENT = Address("0x" + "a1" * 20), Address("0x" + "b2" * 20)
DECODER = LogDecoder(VAULT, SETTLEMENT)
EXAMPLES: dict[str, Any] = {
    "address": "0x" + "cd" * 20,
    "bool": True,
    "string": "hBTC-USDC",
    "bytes": bytes.fromhex("000381"),
    "uint32[]": (3, 2**32 - 1),
    "uint256": 2**128 - 1,
}


def example(kind: str, place: int) -> Any:
    return EXAMPLES.get(kind, 20 + place)


BTC, USDC = "0x" + "ab" * 20, "0x" + "12" * 20
CHANGES = (
    (BTC, "0x" + "cd" * 20, -(2**135)),
    (BTC, "0x" + "ef" * 20, 2**135 - 1),
    (USDC, "0x" + "cd" * 20, 1),
)
PACKED_CHANGES = bytes.fromhex(
    f"{'ab' * 20} 02 {'cd' * 20} 80 {'00' * 16} {'ef' * 20} 7f {'ff' * 16} {'12' * 20} 01 {'cd' * 20} {'00' * 16} 01"
)


def snake(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def raw_log(event: Event, emitter: Address) -> tuple[RawLog, dict[str, Any]]:
    values = {name: example(kind, i) for i, (name, kind) in enumerate(zip(event.names, event.types, strict=True))}
    if "changes" in values:
        values["changes"] = PACKED_CHANGES
    parts = list(zip(event.names, event.types, event.indexed, strict=True))
    topics = [event.topic, *(encode([kind], [values[name]]) for name, kind, indexed in parts if indexed)]
    kinds = [kind for _, kind, indexed in parts if not indexed]
    payload = encode(kinds, [values[name] for name, _, indexed in parts if not indexed])
    log = RawLog(emitter, tuple(topics), payload, 12, "0x" + "00" * 32, "0x" + "ee" * 32, 3)
    return log, values


ALL = [(VAULT, text, kind) for text, kind in VAULT_EVENTS.items()]
ALL += [(SETTLEMENT, text, kind) for text, kind in SETTLEMENT_EVENTS.items()]


@pytest.mark.parametrize(("emitter", "text", "kind"), ALL, ids=lambda value: getattr(value, "__name__", ""))
def test_fields_arrive_by_name(emitter: Address, text: str, kind: type[Any]) -> None:
    log, values = raw_log(Event(text), emitter)
    decoded = DECODER.decode(log, 1_700)
    assert type(decoded) is kind
    found = msgspec.structs.asdict(decoded)
    assert (found.pop("block_number"), found.pop("block_time"), found.pop("transaction")) == (
        12,
        1_700,
        "0x" + "ee" * 32,
    )
    assert found.pop("event_sequence") == values.pop("sequence")
    if "refusals" in found:
        assert found.pop("refusals") == ((3, 0x81),)
        values.pop("refusals")
        assert found.pop("changes") == CHANGES
        values.pop("changes")
    assert found == {snake(name): value for name, value in values.items()}
    assert msgspec.json.decode(msgspec.json.encode(decoded), type=kind) == decoded


def test_a_symbol_is_whatever_bytes_the_lister_gave() -> None:
    """It is final as any log is: bytes that are no text must not hold up those after it."""
    text = next(text for text in SETTLEMENT_EVENTS if text.startswith("MarketListed("))
    log, _ = raw_log(Event(text), SETTLEMENT)
    log = log._replace(data=log.data.replace(b"hBTC-USDC", b"hBTC\xff\x00\xc3()"))
    decoded = DECODER.decode(log, 1_700)
    assert isinstance(decoded, MarketListed) and decoded.symbol == "hBTC\ufffd\x00\ufffd()"
    assert msgspec.json.decode(msgspec.json.encode(decoded), type=MarketListed) == decoded


def test_a_look_alike_is_nothing() -> None:
    for emitter, text, _ in ALL:
        other = SETTLEMENT if emitter == VAULT else VAULT
        log, _ = raw_log(Event(text), other)
        assert DECODER.decode(log, 1) is None
        assert DECODER.decode(log._replace(address=Address("0x" + "99" * 20)), 1) is None


def test_events_without_a_sequence_are_not_ours() -> None:
    plain = RawLog(VAULT, (b"\x01" * 32,), b"", 1, "0x" + "00" * 32, "0x" + "00" * 32, 0)
    assert DECODER.decode(plain, 1) is None
    assert DECODER.decode(plain._replace(topics=()), 1) is None


@pytest.mark.parametrize(("emitter", "text", "kind"), ALL, ids=lambda value: getattr(value, "__name__", ""))
def test_what_does_not_decode_is_malformed(emitter: Address, text: str, kind: type[Any]) -> None:
    log, _ = raw_log(Event(text), emitter)
    for broken in (log._replace(topics=log.topics[:-1]), log._replace(topics=(*log.topics, b"\x00" * 32))):
        with pytest.raises(MalformedReply):
            DECODER.decode(broken, 1)
    if log.data:
        with pytest.raises(MalformedReply):
            DECODER.decode(log._replace(data=log.data[:-32]), 1)
    assert kind is not None
