"""The node as a process: one owner per folder, damage is refused, SIGTERM drains, children come back."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from offchain.cli.daemons import NOWHERE
from offchain.domain.errors import ConfigurationError
from offchain.node import NodeSettings

ROOT = Path(__file__).parents[2]
CONTRACTS = ("Vault", "Settlement", "OrderbookCommitment", "SynthIssuer", "CXPT")


class Node:
    """`hooats node` on a folder of the test, without a chain: none is needed to take orders."""

    def __init__(self, folder: Path, name: str = "data") -> None:
        self.folder = folder
        self.data = folder / name
        addresses = {name: {"address": "0x" + f"{number + 1:02x}" * 20} for number, name in enumerate(CONTRACTS)}
        accounts = dict.fromkeys(("feeAccount", "treasuryAccount", "insuranceAccount"), "0x" + "fe" * 20)
        registry = {"chainId": 998, "quoteToken": "0x" + "cc" * 20, "contracts": addresses, "accounts": accounts}
        (folder / "998.json").write_text(json.dumps(registry))
        (folder / "cosigner.key").write_text("22" * 32)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def start(self, *more: object) -> "subprocess.Popen[str]":
        flags = ["--data", self.data, "--registry", self.folder / "998.json", "--port", self.port]
        flags += ["--attestation-key", self.folder / "cosigner.key"]
        command = [sys.executable, "-m", "offchain.cli", "node", *map(str, (*flags, *more))]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=1).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError("the node is not ready")

    def pids(self) -> dict[str, int]:
        content: dict[str, int] = json.loads((self.data / "pids.json").read_text())
        return content


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def running(node: Node) -> Iterator["subprocess.Popen[str]"]:
    process = node.start()
    node.wait_ready()
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(is_done: object, seconds: float = 15) -> None:
    assert callable(is_done)
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sigterm_drains_and_ends_the_children(node: Node, running: "subprocess.Popen[str]") -> None:
    pids = node.pids()
    running.terminate()
    assert running.wait(20) == 0
    wait_until(lambda: not any(map(is_alive, pids.values())))


def test_probes_and_metrics_of_all_its_processes(node: Node, running: "subprocess.Popen[str]") -> None:
    wait_until(lambda: all((node.data / f"{name}.port").exists() for name in ("projector", "publisher")))
    ports = {
        name: int((node.data / f"{name}.port").read_text())
        for name in ("gateway", "sequencer", "publisher", "projector")
    }
    for name, port in ports.items():
        wait_until(lambda port=port: httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200)
        assert httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
        assert f"hooats_{name}_sequence 1.0" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
    metrics = httpx.get(f"http://127.0.0.1:{ports['sequencer']}/metrics").text
    assert 'hooats_sequencer_venue_state{state="ACTIVE"} 1.0' in metrics


def test_nobody_else_may_read_its_folder(node: Node, running: "subprocess.Popen[str]") -> None:
    wait_until(lambda: (node.data / "history.sqlite").exists() and (node.data / "projector.port").exists())
    modes = {path.relative_to(node.data): path.stat().st_mode & 0o077 for path in [node.data, *node.data.rglob("*")]}
    assert not any(modes.values()), modes


def test_its_log_is_json_lines_without_the_key(node: Node, running: "subprocess.Popen[str]") -> None:
    running.terminate()
    output, _ = running.communicate(timeout=20)
    lines = [json.loads(line) for line in output.splitlines()]
    assert {"sequencer", "projector"} <= {line["process"] for line in lines}
    assert "22" * 32 not in output
    assert (node.data / "session.secret").read_text().strip()[2:] not in output


def test_a_stopping_node_answers_what_is_in_flight(node: Node, running: "subprocess.Popen[str]") -> None:
    """Requests that were taken before SIGTERM are answered, not cut off, and later ones find nobody."""
    body = b'{"orders": [' + b" " * 20_000
    with socket.create_connection(("127.0.0.1", node.port), 5) as slow:
        head = (
            f"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body) + 2}"
        )
        slow.sendall(head.encode() + b"\r\n\r\n" + body)
        time.sleep(0.3)
        began = time.monotonic()
        running.terminate()
        time.sleep(0.5)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{node.port}/livez", timeout=2)
        slow.sendall(b"]}")
        slow.settimeout(10)
        assert slow.recv(12).startswith(b"HTTP/1.1 4")
    assert running.wait(20) == 0
    assert time.monotonic() - began < 15


def test_two_nodes_on_one_folder(node: Node, running: "subprocess.Popen[str]") -> None:
    second = node.start()
    output, _ = second.communicate(timeout=30)
    assert second.returncode == 2, output
    assert str(running.pid) in output and "Traceback" not in output
    assert node.pids()["node"] == running.pid
    node.wait_ready()


@pytest.mark.skipif(sys.platform != "linux", reason="children are tied to the node by the Linux kernel")
def test_children_die_with_a_killed_node(node: Node, running: "subprocess.Popen[str]") -> None:
    pids = node.pids()
    running.kill()
    running.wait()
    wait_until(lambda: not any(map(is_alive, pids.values())))


@pytest.mark.parametrize("child", ["gateway", "publisher", "projector", "snapshotter"])
def test_a_killed_child_comes_back(node: Node, running: "subprocess.Popen[str]", child: str) -> None:
    before = node.pids()[child]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: node.pids()[child] != before)
    node.wait_ready()
    assert running.poll() is None


def test_a_damaged_journal_is_refused(node: Node, running: "subprocess.Popen[str]") -> None:
    running.terminate()
    running.wait(20)
    again = node.start()
    node.wait_ready()
    again.terminate()
    again.wait(20)
    segment = sorted((node.data / "journal").glob("0*"))[0]
    content = bytearray(segment.read_bytes())
    content[40] ^= 0xFF
    segment.write_bytes(content)
    refused = node.start()
    output, _ = refused.communicate(timeout=30)
    assert refused.returncode == 70, output
    assert segment.name in output and "Traceback" not in output


def test_a_missing_attestation_key_is_one_line(node: Node) -> None:
    (node.folder / "cosigner.key").unlink()
    process = node.start()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "cosigner.key" in output and len(output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"taker_fee_ppm": -1}, ("--taker-fee-ppm -1", "From 0 to 10000")),
        ({"maker_fee_ppm": -3_000}, ("--maker-fee-ppm -3000", "From -2500, a rebate")),
        ({"block_gas_limit": 1_000}, ("--block-gas-limit 1000", "60 % of a block")),
        ({"batch_interval_millis": -1}, ("--batch-interval-millis -1", "0 or more")),
        ({"operators": tuple(f"0x{number:040x}" for number in range(17))}, ("--operator", "At most 16")),
        ({"epoch_millis": -5}, ("an epoch of -5 ms and 10000 orders", "at least one")),
    ],
)
def test_what_no_venue_opens_with_is_one_line_that_names_the_flag(
    tmp_path: Path, flags: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError) as failure:
        NodeSettings(data=tmp_path, registry=NOWHERE, ops_url="", history_url="", attestation_key=bytes(32), **flags)
    told = str(failure.value)
    assert all(word in told for word in words) and "\n" not in told and len(told) < 150


def test_a_standby_takes_over(node: Node, tmp_path: Path) -> None:
    """It follows, refuses to lead by mistake, and leads when told to."""
    secret = ["--follow-secret", tmp_path / "follow.secret"]
    standby = Node(tmp_path, "standby")
    processes = [node.start("--sync-follower", "--follow-port", 0, *secret)]
    try:
        wait_until(lambda: (node.data / "follow.port").exists())
        port = (node.data / "follow.port").read_text().strip()
        processes.append(standby.start("--follow", f"127.0.0.1:{port}", *secret))
        node.wait_ready()
        processes[0].kill()
        early, _ = standby.start("--promote").communicate(timeout=60)
        assert f"belongs to the running process {processes[1].pid}" in early
        processes[1].terminate()
        assert processes[1].wait(20) == 0
        refused, _ = standby.start().communicate(timeout=60)
        assert "--promote" in refused
        processes.append(standby.start("--promote"))
        standby.wait_ready()
        assert json.loads((standby.data / "standing.json").read_text()) == {"term": 2, "is_follower": False}
        processes[2].terminate()
        assert processes[2].wait(20) == 0
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_gateways_share_a_port_and_one_may_die(node: Node) -> None:
    """The system chooses the port; the others go on taking connections, and all end with the node."""
    process = node.start("--gateways", 3, "--port", 0)
    try:
        wait_until(lambda: (node.data / "gateway.port").exists())
        node.port = int((node.data / "gateway.port").read_text())
        node.wait_ready()
        names = ("gateway", "gateway-2", "gateway-3")
        pids = node.pids()
        assert len({pids[name] for name in names}) == 3

        def answers() -> int:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"http://127.0.0.1:{node.port}/readyz", timeout=2).status_code
            return 0

        wait_until(lambda: [answers() for _ in range(20)] == [200] * 20)
        os.kill(pids["gateway-2"], signal.SIGKILL)
        wait_until(lambda: not is_alive(pids["gateway-2"]))
        wait_until(lambda: node.pids()["gateway-2"] != pids["gateway-2"])
        wait_until(lambda: [answers() for _ in range(20)] == [200] * 20)
        pids = node.pids()
        process.terminate()
        assert process.wait(20) == 0
        assert not any(is_alive(pids[name]) for name in names)
    finally:
        process.kill()
        process.communicate()
