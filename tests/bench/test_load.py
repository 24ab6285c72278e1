"""The load generator: what is signed, when it is sent, what is counted. The venue here is a few lines of socket."""

import json
import socket
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bench.load import drive as drive_module
from bench.load.drive import Frame, drive, framed
from bench.load.histogram import HIGHEST, Histogram
from bench.load.main import durable, main, table
from bench.load.presign import SPOILT, Plan, addresses, is_spoilt, presigned, spoil
from bench.load.schedule import poisson
from bench.load.venue import listed
from bench.load.wire import Replied, Rest, WebSocket
from bench.machine import ROOT
from offchain.domain.eip712 import domain_separator, frame_digest, order_digest
from offchain.domain.units import Address
from offchain.gateway import schema
from offchain.security.signatures import recover

SEPARATOR = domain_separator(998, Address("0x" + "22" * 20))
PLAN = Plan(listed(), SEPARATOR, accounts=4, slots=2, first_sequence=1_700_000_000_000)


# --- latencies ---


def test_a_bucket_keeps_three_digits() -> None:
    histogram = Histogram()
    for micros in (3, 999, 1_234_567):
        histogram.add(micros)
    assert histogram.at(0.3) == 3
    assert histogram.at(0.6) == 999
    assert histogram.at(1.0) == 1_234_567
    assert all(lower == 1_234_567 // 1024 * 1024 or lower < 1_000 for lower, _ in histogram)


def test_quantiles_are_those_of_the_values() -> None:
    histogram = Histogram()
    for micros in range(1, 100_001):
        histogram.add(micros)
    for share in (0.5, 0.99, 0.999):
        assert histogram.at(share) == pytest.approx(share * 100_000, rel=0.001)
    assert histogram.summary()["max"] == 100.0


def test_what_is_longer_than_the_longest_counts_as_that() -> None:
    histogram = Histogram()
    histogram.add(10 * HIGHEST)
    histogram.add(-5)
    assert (histogram.at(1.0), histogram.at(0.5), histogram.count) == (HIGHEST, 0, 2)


# --- schedule ---


def test_arrivals_come_at_the_rate_and_at_random() -> None:
    due = poisson(1_000.0, 20_000, 7)
    assert due == sorted(due)
    assert due == poisson(1_000.0, 20_000, 7)
    assert due[-1] == pytest.approx(20.0, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert sum(gap < 0.0001 for gap in gaps) / len(gaps) == pytest.approx(0.095, abs=0.02)


# --- orders ---


def test_presigned_orders_are_distinct_and_their_accounts_own() -> None:
    orders = presigned(PLAN, 24, workers=1)
    assert [account for account, _ in orders] == [0, 1, 2, 3] * 6
    digests, accounts = set(), addresses(4)
    for account, body in orders:
        submission = schema.parse_order(schema.decode(schema.OrderRequest, body), PLAN.market)
        digest = order_digest(SEPARATOR, submission.order)
        assert recover(digest, submission.signature) == accounts[account] == submission.order.account
        digests.add(digest)
    assert len(digests) == 24


def test_no_order_crosses_unless_some_shall() -> None:
    def prices(crossing: float, side: str) -> list[float]:
        bodies = [json.loads(body) for _, body in presigned(PLAN._replace(crossing=crossing), 200, workers=1)]
        return [float(body["price"]) for body in bodies if body["side"] == side]

    assert max(prices(0.0, "buy")) < min(prices(0.0, "sell"))
    assert max(prices(0.3, "buy")) > min(prices(0.3, "sell"))


def test_workers_make_what_one_makes() -> None:
    assert presigned(PLAN, 8, workers=2) == presigned(PLAN, 8, workers=1)


def test_spoilt_orders_are_signed_by_nobody() -> None:
    orders = spoil(presigned(PLAN, 10, workers=1), 4)
    assert [SPOILT in body for _, body in orders] == [False] * 3 + [True] + [False] * 3 + [True] + [False] * 2
    submission = schema.parse_order(schema.decode(schema.OrderRequest, orders[3][1]), PLAN.market)
    assert recover(order_digest(SEPARATOR, submission.order), submission.signature) is None


# --- sockets ---


def serving(serve: Callable[[socket.socket], None]) -> int:
    """The port of a server that takes one connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        taken, _ = listener.accept()
        with listener, taken:
            serve(taken)

    threading.Thread(target=run, daemon=True).start()
    return int(listener.getsockname()[1])


def text(payload: bytes) -> bytes:
    length = len(payload)
    head = bytes((0x81, length)) if length < 126 else b"\x81\x7e" + length.to_bytes(2, "big")
    return head + payload


def shake_hands(taken: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += taken.recv(4096)
    taken.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")


def frame_in(taken: socket.socket) -> tuple[int, bytes]:
    """(opcode, payload) of a short frame with a mask of zeros; opcode 8 at the end."""
    head = taken.recv(2, socket.MSG_WAITALL)
    if len(head) < 2:
        return 8, b""
    assert taken.recv(4, socket.MSG_WAITALL) == bytes(4)
    return head[0] & 15, taken.recv(head[1] & 127, socket.MSG_WAITALL)


def answering(delay: float = 0.0) -> Callable[[socket.socket], None]:
    """Answers frame by frame, an array item by item: an order `2` is refused. It beats and pings before."""

    def serve(taken: socket.socket) -> None:
        shake_hands(taken)
        taken.sendall(text(b'{"type":"heartbeat","ok":true}') + b"\x89\x02hi")
        while True:
            opcode, payload = frame_in(taken)
            if opcode == 8:
                return
            if opcode == 10:
                assert payload == b"hi"
                continue
            time.sleep(delay)
            request = json.loads(payload)
            answer = {"op": "order", "id": request["id"], "ok": True}
            if "orders" in request:
                answer["results"] = [{"ok": order != 2} for order in request["orders"]]
            content = text(json.dumps(answer).encode())
            taken.sendall(content[:3])
            taken.sendall(content[3:])

    return serve


def orders_of(count: int, accounts: int = 1) -> list[tuple[int, bytes]]:
    return [(at % accounts, b"%d" % (1 + at % 2)) for at in range(count)]


def test_a_closed_loop_answers_everything() -> None:
    connection = WebSocket("127.0.0.1", serving(answering()), window=2)
    outcome = drive([connection], framed([connection], orders_of(10), 2))
    assert (outcome.accepted, outcome.refused, outcome.unanswered) == (5, 5, 0)
    assert outcome.summary()["valid"]


def test_an_open_loop_counts_from_the_scheduled_time() -> None:
    """One frame at a time, 20 ms each, all due at once: the last one is 80 ms later than the first."""
    connection = WebSocket("127.0.0.1", serving(answering(0.02)), window=1)
    frames = framed([connection], orders_of(5), 1, [0.001] * 5)
    outcome = drive([connection], frames)
    assert outcome.accepted == 5
    assert outcome.latency.largest - outcome.latency.at(0.2) >= 4 * 20_000 - 1_000
    assert outcome.lateness.count == 1, "the others waited for the venue, not for the generator"


def test_a_frame_refused_as_a_whole_is_refused_order_by_order() -> None:
    def serve(taken: socket.socket) -> None:
        shake_hands(taken)
        frame_in(taken)
        taken.sendall(text(b'{"op":"order","id":0,"ok":false,"error":{"code":"RATE_LIMITED"}}'))
        time.sleep(0.2)

    connection = WebSocket("127.0.0.1", serving(serve))
    outcome = drive([connection], framed([connection], orders_of(3), 3))
    assert (outcome.accepted, outcome.refused, outcome.latency.count) == (0, 3, 3)


def test_a_venue_that_falls_silent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive_module, "PATIENCE_SECONDS", 0.2)
    connection = WebSocket("127.0.0.1", serving(lambda taken: (shake_hands(taken), time.sleep(3))[0]))
    outcome = drive([connection], framed([connection], orders_of(3), 1))
    assert outcome.unanswered == 3


def test_an_account_stays_on_its_connection() -> None:
    class Fake:
        window = 1

        def frame(self, number: int, orders: list[bytes]) -> bytes:
            return b",".join(orders)

    orders = [(account, b"%d" % account) for account in (0, 1, 2, 3, 0, 1, 2, 3)]
    frames = framed([Fake(), Fake()], orders, 2)  # type: ignore[list-item]
    left, right = (b"0", b"2"), (b"1", b"3")
    assert frames == [
        Frame(0, 0, b"0,2", left, 0.0),
        Frame(1, 1, b"1,3", right, 0.0),
        Frame(2, 0, b"0,2", left, 0.0),
        Frame(3, 1, b"1,3", right, 0.0),
    ]


def test_a_refused_handshake_says_what_the_venue_said() -> None:
    def serve(taken: socket.socket) -> None:
        taken.recv(4096)
        taken.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

    with pytest.raises(Replied, match="503"):
        WebSocket("127.0.0.1", serving(serve))


def test_rest_reads_an_answer_in_pieces() -> None:
    def serve(taken: socket.socket) -> None:
        taken.recv(4096)
        body = b'[{"ok":true},{"ok":false,"error":{"code":"X"}}]'
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        for at in range(0, len(answer), 30):
            taken.sendall(answer[at : at + 30])
            time.sleep(0.002)

    connection = Rest("127.0.0.1", serving(serve))
    outcome = drive([connection], framed([connection], orders_of(2), 2))
    assert (outcome.accepted, outcome.refused) == (1, 1)


def test_an_order_that_is_lost_or_twice_there_is_told() -> None:
    orders = [("0xa", "1"), ("0xa", "2")]
    assert durable(orders, [*orders, ("0xa", "3")]).startswith("all 2 acknowledged")
    assert durable(orders, orders[:1]).startswith("NOT DURABLE: 1 of 2")
    assert durable(orders, [*orders, orders[0]]).startswith("NOT DURABLE: 1 of 2")


def point_of(**changes: Any) -> dict[str, Any]:
    point: dict[str, Any] = {
        "via": "ws",
        "per_frame": 1,
        "loop": "closed",
        "offered": None,
        "achieved": 10.0,
        "of_ceiling": 0.5,
        "latency_ms": {"p50": 1.0, "p99": 2.0, "p99.9": 3.0, "max": 4.0, "count": 9},
        "lateness_ms": {"count": 0},
        "cpu_micros": {"gateway": 30.0, "load": 10.0},
        "of_cpu": 0.75,
        "fills_per_second": 0.0,
        "valid": True,
        "unanswered": 0,
        "refused": 1,
        "spoilt": 1,
    }
    return point | changes


def test_a_point_that_misses_a_spoilt_order_is_void() -> None:
    point = point_of(spoilt=2)
    assert "void: 1 refused, 2 were spoilt" in table([point])
    assert "void" not in table([point | {"refused": 2}])
    assert "40.0: gateway 30.0, load 10.0" in table([point])


def test_of_several_rounds_the_medians_are_told() -> None:
    shares = (0.4, 0.6, 0.5)
    rounds = [point_of(of_ceiling=share, achieved=share * 100, unanswered=0) for share in shares]
    (line,) = table([*rounds, point_of(via="rest")]).splitlines()[2:3]
    assert "| 50 | 0.500 (0.400–0.600) |" in line and "| 3 |" in line
    assert len(table([*rounds, point_of(via="rest")]).splitlines()) == 4
    assert "void: 4 unanswered" in table([*rounds, point_of(unanswered=4)])
    assert "not valid" in table([*rounds, point_of(valid=False)])


# --- fixed frames ---


def test_packed_orders_say_what_the_same_orders_say_in_json() -> None:
    packed, bodies = (presigned(PLAN._replace(is_packed=packed), 12, workers=1) for packed in (True, False))
    for (account, content), (_, body) in zip(packed, bodies, strict=True):
        submission = schema.parse_order(schema.decode(schema.OrderRequest, body), PLAN.market)
        assert content == submission.order.to_frame() + submission.signature
        assert recover(frame_digest(SEPARATOR, content), content[74:]) == addresses(4)[account]
    spoilt = spoil(packed, 4)
    assert [is_spoilt(content) for _, content in spoilt] == ([False] * 3 + [True]) * 3
    assert [is_spoilt(body) for _, body in spoil(bodies, 4)] == ([False] * 3 + [True]) * 3


def test_frames_go_to_a_venue_of_two_gateways_and_end_in_its_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way in, spoilt orders among them; then all are killed, and everything acknowledged is there."""
    saved: list[dict[str, Any]] = []
    monkeypatch.setattr("bench.report.save", lambda part, run: saved.append(run) or ROOT / "nowhere")
    few = ["--orders", "300", "--alone", "20", "--accounts", "40", "--shares", "--spoil-every", "50"]
    few += ["--listeners", "3", "--crossing", "0.5"]
    assert main([*few, "--via", "packed", "bulk", "ws", "--per-frame", "1", "16", "--gateways", "2"]) == 0
    (run,) = saved
    assert run["durable"].startswith("all ")
    assert run["longest_stall_ms"] > 0
    for point in run["points"]:
        assert point["unanswered"] == 0 and point["accepted"] > 10
        assert {"gateway", "sequencer", "listeners", "load"} <= set(point["cpu_micros"])
        assert point["refused"] == point["spoilt"] == (0 if point["via"] == "bulk" else point["refused"]), point
    assert {(point["via"], point["per_frame"]) for point in run["points"]} == {
        (via, size) for via in ("packed", "bulk", "ws") for size in (1, 16)
    }
    assert sum(point["fills_per_second"] for point in run["points"]) > 0
