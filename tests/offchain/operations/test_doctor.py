"""`hooats doctor` on a healthy installation, and on one thing wrong after the other."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from local_chain import LocalChain, Venue, key_of

from offchain.chain.abi import Function
from offchain.chain.registry import Contract, Registry, write_registry
from offchain.cli.program import hooats
from offchain.domain.command import AdvanceTime, encode
from offchain.domain.units import Address
from offchain.operations import machine, onchain
from offchain.operations.findings import Finding, Verdict
from offchain.storage.history import History
from offchain.storage.journal import Journal, Record
from offchain.storage.ops import Ops


class Installation:
    """A data folder, a registry and keys for a chain."""

    def __init__(self, folder: Path, chain: LocalChain, venue: Venue) -> None:
        self.folder, self.chain, self.data = folder, chain, folder / "data"
        self.data.mkdir(mode=0o700)
        write_registry(folder / "998.json", venue.registry)
        for name in ("settler", "committer", "cosigner"):
            self.key(name).touch(0o600)
            self.key(name).write_text(key_of(name).hex())
        with Journal.open(self.data / "journal", chain_id=998) as journal:
            for sequence in (1, 2):
                kind, version, payload = encode(AdvanceTime())
                journal.append([Record(kind, version, sequence, 1, payload)])
        self.ops = Ops(f"sqlite:///{self.data / 'ops.sqlite'}")
        History(f"sqlite:///{self.data / 'history.sqlite'}").close()

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def examine(self, **changes: object) -> list[Finding]:
        given = {
            "data": self.data,
            "registry": self.folder / "998.json",
            "rpc": self.chain.url,
            "attestation-key": self.key("cosigner"),
            "port": 0,
        }
        keys = {"settle": self.key("settler"), "commit": self.key("committer")}
        keys |= changes.pop("keys", {})  # type: ignore[arg-type]
        flags = [f"--{name}={value}" for name, value in (given | changes).items()]
        flags += [f"--keeper-key={name}={file}" for name, file in keys.items()]
        done = CliRunner().invoke(hooats, ["doctor", "--json", *flags])
        findings = [Finding(**found) for found in json.loads(done.output.splitlines()[0])]
        is_failing = any(finding.verdict == Verdict.FAIL for finding in findings)
        assert (done.exception is not None) is is_failing
        assert all(finding.remedy for finding in findings if finding.verdict != Verdict.OK)
        return findings

    def failing(self, **changes: object) -> dict[str, str]:
        return {found.check: found.detail for found in self.examine(**changes) if found.verdict == Verdict.FAIL}

    def warnings(self, **changes: object) -> dict[str, str]:
        return {found.check: found.detail for found in self.examine(**changes) if found.verdict == Verdict.WARN}


@pytest.fixture
def installation(tmp_path: Path, chain: LocalChain, venue: Venue) -> Installation:
    chain.fund(*(onchain.Address(address) for address in venue.registry.roles.values()))
    chain.rpc("evm_setNextBlockTimestamp", int(time.time()))
    chain.mine()
    return Installation(tmp_path, chain, venue)


def test_all_is_well(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "FREE_BYTES_WARN", 0)
    monkeypatch.setattr(machine, "FREE_BYTES_FAIL", 0)
    findings = installation.examine()
    assert {found.check for found in findings if found.verdict != Verdict.OK} <= {"block mode", "disk speed"}, findings
    checks = {found.check for found in findings}
    wanted = {"python", "data folder", "disk space", "disk speed", "port", "journal", "ops database", "registry", "rpc"}
    wanted |= {"history database", "head", "contracts", "permits", "role", "key", "balance", "lease", "block mode"}
    assert wanted == checks


def test_keys_that_may_not(installation: Installation) -> None:
    found = installation.failing(keys={"settle": installation.key("committer"), "commit": installation.key("settler")})
    assert "SETTLER_ROLE" in found["role"] or "COMMITTER_ROLE" in found["role"]
    found = installation.failing(**{"attestation-key": installation.key("settler")})
    assert "cosigner" in found["key"] or "same key" in found["key"]
    assert "same key" in installation.failing(keys={"settle": installation.key("committer")})["key"]
    (installation.folder / "poor.key").write_text("77" * 32)
    assert "0.000000 HYPE" in installation.failing(keys={"relay": installation.folder / "poor.key"})["balance"]


def test_no_key_is_shown(installation: Installation) -> None:
    text = json.dumps(installation.examine())
    assert not any(key_of(name).hex() in text for name in ("settler", "committer", "cosigner"))


def test_a_chain_that_is_not_the_one(installation: Installation, tmp_path: Path) -> None:
    assert "no answer" in installation.failing(rpc="http://127.0.0.1:1")["rpc"]
    registry = json.loads((tmp_path / "998.json").read_text())
    registry["contracts"]["Vault"]["address"] = "0x" + "77" * 20
    (tmp_path / "998.json").write_text(json.dumps(registry))
    assert "no code" in installation.failing()["contracts"]
    assert "registry" in installation.failing(registry=tmp_path / "none.json")


def test_an_old_head_and_a_wrong_clock(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(onchain.time, "time", lambda: now + 300)
    assert "s old" in installation.failing()["head"]
    monkeypatch.setattr(onchain.time, "time", lambda: now - 300)
    assert "in the future" in installation.failing()["clock"]


def test_big_blocks(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    original = onchain.Endpoint.ask

    def ask(self: onchain.Endpoint, method: str, *params: object) -> object:
        return True if method == "eth_usingBigBlocks" else original(self, method, *params)

    monkeypatch.setattr(onchain.Endpoint, "ask", ask)
    assert "big blocks" in installation.failing()["block mode"]


def test_a_damaged_journal(installation: Installation) -> None:
    segment = next((installation.data / "journal").glob("0*"))
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-3])
    assert "journal" in installation.failing()
    segment.write_bytes(whole[:-60] + b"\0" + whole[-59:])
    assert "journal" in installation.failing()


def test_permissions_and_schema(installation: Installation) -> None:
    os.chmod(installation.data, 0o755)
    assert "others may read" in installation.warnings()["data folder"]
    with installation.ops.database.writing() as connection:
        connection.exec_driver_sql("UPDATE schema_versions SET version = 99")
    assert "99" in installation.failing()["ops database"]


def test_a_port_that_is_taken(installation: Installation) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert str(port) in installation.failing(port=port)["port"]
        (installation.data / "pids.json").write_text(json.dumps({"node": os.getpid()}))
        assert "port" not in installation.failing(port=port)


def test_keepers_that_halted_or_went_silent(installation: Installation) -> None:
    folder = installation.data / "keepers"
    folder.mkdir()
    now = int(time.time() * 1000)
    (folder / "settle.json").write_text(json.dumps({"state": "stopped", "exitCode": 5, "at": now}))
    (folder / "sync.json").write_text(json.dumps({"state": "running", "at": now - 100_000}))
    found = installation.examine()
    assert [item.verdict for item in found if item.check == "keeper"] == [Verdict.FAIL, Verdict.WARN]


def heartbeats(installation: Installation, **beats: dict[str, object]) -> None:
    """As keepers on this machine write them, just now."""
    folder = installation.data / "keepers"
    folder.mkdir(exist_ok=True)
    for name, beat in beats.items():
        written = {"host": socket.gethostname(), "at": int(time.time() * 1000)} | beat
        (folder / f"{name}.json").write_text(json.dumps(written))


def of_keepers(installation: Installation) -> list[tuple[Verdict, str, str]]:
    return [
        (Verdict(found.verdict), found.detail, found.remedy)
        for found in installation.examine()
        if found.check == "keeper"
    ]


def ended_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_killed_keeper_does_not_run_whatever_its_file_says(installation: Installation) -> None:
    heartbeats(installation, settle={"state": "running", "pid": ended_process()})
    ((verdict, words, remedy),) = of_keepers(installation)
    assert verdict is Verdict.WARN and "settle ended without a word" in words
    assert remedy.endswith("hooats keeper settle")
    (installation.data / "pids.json").write_text(json.dumps({"node": os.getpid()}))
    assert [verdict for verdict, _, _ in of_keepers(installation)] == [Verdict.FAIL]


def test_a_keeper_of_another_machine_is_known_by_its_age(installation: Installation) -> None:
    heartbeats(installation, settle={"state": "running", "pid": ended_process(), "host": "elsewhere"})
    ((verdict, words, _),) = of_keepers(installation)
    assert verdict is Verdict.OK and words.startswith("settle is running")


def test_a_stopped_keeper_beside_a_running_node_is_missed(installation: Installation) -> None:
    heartbeats(installation, relay={"state": "stopped", "exitCode": 0, "pid": ended_process()})
    assert of_keepers(installation) == [(Verdict.OK, "relay is stopped", "")]
    (installation.data / "pids.json").write_text(json.dumps({"node": os.getpid()}))
    assert of_keepers(installation) == [
        (Verdict.WARN, "relay is stopped, and the node runs", "Start it: hooats keeper relay")
    ]


def test_a_keeper_that_could_not_run_is_no_stopped_one(installation: Installation) -> None:
    heartbeats(installation, list={"state": "stopped", "exitCode": 2})
    ((verdict, words, _),) = of_keepers(installation)
    assert verdict is Verdict.FAIL and words == "list stopped with 2"


def test_leases_by_name(installation: Installation) -> None:
    installation.ops.acquire_lease("sync", "host/1/2", 60, int(time.time() * 1000))
    assert any("held by host/1/2" in found.detail for found in installation.examine() if found.check == "lease")


def test_examining_creates_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    flags = ["--data", str(data), "--registry", str(tmp_path / "no.json"), "--rpc", "http://127.0.0.1:1", "--port", "0"]
    done = CliRunner().invoke(hooats, ["doctor", *flags])
    assert done.exception is not None and list(tmp_path.iterdir()) == []


def test_keys_of_the_configuration_file(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "hooats.toml"
    file.write_text(f'data = "{installation.data}"\nrpc = "{installation.chain.url}"\n[keeper.settle]\nkey = "x.key"\n')
    done = CliRunner().invoke(hooats, ["--config", str(file), "doctor", "--json", "--port", "0"])
    assert "x.key" in done.output


def test_permits_are_signed_for_what_the_token_says(installation: Installation, venue: Venue) -> None:
    """Of every part of the domain; a token without permits is no domain's."""
    right = venue.registry
    for changes, words in (
        ({"permit_version": "2"}, "not signed for HOOATS Test USDC, version 2"),
        ({"permit_name": "USD Coin"}, "not signed for USD Coin"),
        ({"quote_token": right.address("Vault")}, "has no permits"),
    ):
        (found,) = onchain.look_at_permits(installation.chain.url, msgspec.structs.replace(right, **changes))
        assert found.verdict is Verdict.FAIL and words in found.detail and "permitName" in found.remedy
    (none,) = onchain.look_at_permits(installation.chain.url, msgspec.structs.replace(right, permit_name=""))
    assert none.verdict is Verdict.OK and "no deposits are relayed" in none.detail


def test_a_keeper_key_is_name_and_file() -> None:
    done = CliRunner().invoke(hooats, ["doctor", "--keeper-key", "settle"])
    assert "NAME is one of" in str(done.exception)


class Feeds:
    """An endpoint that knows the quorums of synths."""

    quorums: tuple[int, ...] = ()

    def __init__(self, url: str) -> None:
        self.left = list(self.quorums)

    def call(self, *_: object) -> tuple[tuple[int, int, int, tuple[()]]]:
        return ((self.left.pop(0), 600, 1, ()),)


@pytest.mark.parametrize(
    ("quorums", "verdict", "words"),
    [((1, 2), Verdict.WARN, "hA: the quorum is 1"), ((2, 3), Verdict.OK, "hA takes 2, hB takes 3")],
)
def test_a_quorum_of_one_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, quorums: tuple[int, ...], verdict: Verdict, words: str
) -> None:
    monkeypatch.setattr(Feeds, "quorums", quorums)
    monkeypatch.setattr(onchain, "Endpoint", Feeds)
    names = ("PriceOracle", "SynthERC20:hA", "SynthERC20:hB")
    contracts = {name: Contract(address=Address("0x" + "01" * 20)) for name in names}
    registry = Registry(chain_id=998, quote_token=Address("0x" + "02" * 20), contracts=contracts)
    (finding,) = onchain.look_at_feeds("http://x", registry)
    assert (finding.verdict, finding.check) == (verdict, "price feeds") and words in finding.detail


def test_a_synth_that_was_created_after_the_deployment_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its pool, of which the registry does not know."""
    old, new, pair = (Address("0x" + f"{number:02x}" * 20) for number in (1, 2, 3))
    answers = {"pairCount": 1, "pairAt": pair, "base": new, "symbol": "hNEW"}

    class Later:
        def __init__(self, url: str) -> None: ...

        def call(self, to: Address, function: Function, *arguments: object) -> tuple[Any, ...]:
            name = function.signature.partition("(")[0]
            return ((1 if arguments == (new,) else 2, 600, 1, ()),) if name == "feedOf" else (answers[name],)

    monkeypatch.setattr(onchain, "Endpoint", Later)
    contracts = {name: Contract(address=old) for name in ("PriceOracle", "AmmFactory", "SynthERC20:hOLD")}
    registry = Registry(chain_id=998, quote_token=old, contracts=contracts)
    (finding,) = onchain.look_at_feeds("http://x", registry)
    assert finding.verdict is Verdict.WARN and finding.detail == f"hNEW: {onchain.ONE_KEY}"
