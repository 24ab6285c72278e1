"""The command line as a user meets it: help for everything, one line per failure, the documented exit codes."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from offchain.cli.program import hooats
from offchain.storage.frames import Record
from offchain.storage.journal import Journal

ROOT = Path(__file__).parents[3]
KEY = "0x" + "11" * 32
ADDRESS = "0x" + "ab" * 20


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "offchain.cli", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "trader.key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    contracts = {name: {"address": ADDRESS} for name in ("Vault", "Settlement", "OrderbookCommitment")}
    path = tmp_path / "998.json"
    path.write_text(json.dumps({"chainId": 998, "quoteToken": ADDRESS, "contracts": contracts}))
    return path


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            found.extend(commands(inner, (*path, name)))
    return found


@pytest.mark.parametrize("path", commands(hooats), ids=lambda path: " ".join(path) or "hooats")
def test_help_is_in_plain_words(path: tuple[str, ...]) -> None:
    command: click.Command = hooats
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    names = ["-h", "--help"]  # a command keeps its help option, once it was asked for
    text = command.get_help(click.Context(command, info_name=" ".join(("hooats", *path)), help_option_names=names))
    assert "Usage:" in text and len(text.splitlines()) > 3
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{path} {parameter.name} has no help"


def one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_missing_key_file(tmp_path: Path, registry: Path) -> None:
    one_line(run("deposit", "1", "--key", tmp_path / "none", "--registry", registry), 2, "none")


def test_malformed_key_never_shows(tmp_path: Path, registry: Path) -> None:
    path = tmp_path / "bad.key"
    path.write_text("0x" + "5e" * 31)
    done = run("deposit", "1", "--key", path, "--registry", registry)
    one_line(done, 2, "bad.key")
    assert "5e5e" not in done.stderr + done.stdout


@pytest.mark.parametrize("text", [KEY, KEY[2:], KEY[:-1]])
def test_a_key_in_place_of_its_file_never_shows(text: str, registry: Path, tmp_path: Path) -> None:
    configured = tmp_path / "hooats.toml"
    configured.write_text(f"key = '{text}'\nattestation-key = '{text}'")
    one_line(run("deposit", "1", "--key", text, "--registry", registry), 2, "not the name of a file")
    for done in (
        run("balances", HOOATS_KEY=text),
        run("node", "--attestation-key", text),
        run("--config", configured, "balances"),
        run("config", "show", HOOATS_KEY=text, HOOATS_ATTESTATION_KEY=text),
    ):
        assert text[5:60] not in done.stderr + done.stdout
        assert "not the name of a file" in done.stderr or "withheld" in done.stdout


def test_unreachable_rpc(key: Path, registry: Path, closed_port: int) -> None:
    done = run("deposit", "1", "--key", key, "--registry", registry, "--rpc", f"http://127.0.0.1:{closed_port}")
    one_line(done, 3, "no answer from", "--rpc")


def test_missing_registry(key: Path, tmp_path: Path) -> None:
    one_line(run("balances", "--key", key, "--registry", tmp_path / "no.json"), 2, "no.json", "ape run deploy")


def test_registry_of_another_chain(key: Path, registry: Path) -> None:
    one_line(run("balances", "--key", key, "--registry", registry, "--chain-id", 999), 2, "998", "999")


def test_unreachable_gateway(key: Path, closed_port: int) -> None:
    started = time.monotonic()
    done = run("order", "list", "--key", key, "--api", f"http://127.0.0.1:{closed_port}")
    one_line(done, 4, str(closed_port), "--api")
    assert time.monotonic() - started < 6, "a second for the answer; the rest is the interpreter on a busy machine"


@pytest.mark.parametrize(
    ("command", "sends"),
    [
        ("order list", False),
        ("market list", False),
        ("quote BTC-USDC --side buy --size 1", False),
        ("prove 0x12", False),
        ("order place BTC-USDC buy 1 1", True),
        ("order cancel --all", True),
        ("market pause BTC-USDC", True),
    ],
)
def test_one_wording_for_an_exchange_that_does_not_answer(
    command: str, sends: bool, key: Path, closed_port: int
) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    done = run(*command.split(), HOOATS_KEY=str(key), HOOATS_API=url)
    nothing = "Nothing was sent. " if sends else ""
    words = f"hooats: no exchange answers at {url}. {nothing}Check --api (HOOATS_API), and that the venue runs\n"
    assert (done.returncode, done.stderr) == (4, words)


@pytest.mark.parametrize("amount", ["-1", "1e5", "1,5", "0.0000001", "NaN"])
def test_malformed_amount(key: Path, registry: Path, amount: str, closed_port: int) -> None:
    arguments = ("withdraw", "--key", key, "--registry", registry, "--api", f"http://127.0.0.1:{closed_port}")
    one_line(run(*arguments, "--", amount), 2, "amount")


def test_wrong_flag_names_it() -> None:
    done = run("node", "--colour")
    one_line(done, 2, "--colour", "hooats node --help")


def test_missing_argument_says_what_would_be_right(key: Path) -> None:
    one_line(run("order", "place", "BTC-USDC", "up", "--key", key), 2, "'up'", "SYMBOL {buy|sell} SIZE PRICE")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("order place --keyfile x", "hooats: No such option: --keyfile. Did you mean --key? Usage: "),
        (
            "config check --config F",
            "hooats: --config goes before the command: hooats --config …. Usage: hooats config",
        ),
        ("keeper foo", "hooats: 'foo' is no NAME. Usage: hooats keeper [OPTIONS] {"),
        (
            "order list --key k --status x",
            "hooats: Invalid value for '--status': 'x' is not one of 'open', 'closed'. Us",
        ),
        ("deposit -5 --key k", "a number here has no minus: amounts, sizes and prices are above 0. Usage"),
        ("order place A buy -0.1 1 --key k", "a number here has no minus: amounts, sizes and prices are above 0. Us"),
        ("order place A buy 1 1 --key k --slot 70000", "70000 is not in the range 0<=x<=65535. Usage"),
        ("order list --key k --account alice", "'alice' is not an address: 0x and 40 hex digits. Usage"),
        ("order place A buy 1 1 --key k --tif GTD", "--tif GTD needs --expiry, in unix seconds. Usage"),
        ("order place A buy 1 1 --key k --type market --tif GTC", "cannot be GTC; IOC or FOK can. Usage"),
    ],
)
def test_usage_reads_as_sentences(command: str, words: str) -> None:
    done = run(*command.split())
    one_line(done, 2, words)
    assert "?." not in done.stderr and done.stderr.count("liquidate") <= 1


@pytest.mark.parametrize("path", [p for p in commands(hooats) if p == () or len(p) == 1], ids=" ".join)
def test_summaries_are_whole_sentences(path: tuple[str, ...]) -> None:
    group: click.Command = hooats.commands[path[0]] if path else hooats
    for name, command in group.commands.items() if isinstance(group, click.Group) else ():
        summary = command.get_short_help_str(100 - len("  ") - 2 - max(map(len, group.commands)) - 2)
        assert not summary.endswith(("...", "e.g.")), f"{name}: {summary}"


def test_whose_position(registry: Path) -> None:
    one_line(run("debt", "show", "hBTC", "--registry", registry), 2, "whose position. Give --account, or --key")


def test_a_position_is_public(registry: Path) -> None:
    """Without a key the command gets as far as the synth."""
    one_line(run("debt", "show", "hBTC", "--registry", registry, "--account", ADDRESS), 2, "there is no synth hBTC")


def test_an_api_that_is_no_url(key: Path) -> None:
    one_line(run("order", "list", "--key", key, "--api", "localhost"), 2, "--api", "http://")


@pytest.mark.parametrize("fee", ["nan", "inf", "0", "-1", "1e400"])
def test_keeper_with_a_fee_that_is_none(fee: str, registry: Path, tmp_path: Path) -> None:
    done = run("keeper", "sync", "--data", tmp_path, "--registry", registry, "--max-fee-gwei", fee)
    assert done.returncode == 2
    assert "--max-fee-gwei" in done.stderr and "internal" not in done.stderr


def test_keeper_without_key(registry: Path, tmp_path: Path) -> None:
    one_line(run("keeper", "settle", "--registry", registry, "--data", tmp_path), 2, "--key")


def test_flag_has_an_environment_twin(key: Path, tmp_path: Path) -> None:
    done = run("balances", HOOATS_KEY=str(key), HOOATS_REGISTRY=str(tmp_path / "twin.json"))
    one_line(done, 2, "twin.json")


def test_verify_refuses_what_is_no_proof(tmp_path: Path, registry: Path) -> None:
    path = tmp_path / "proof.json"
    one_line(run("verify", path, "--registry", registry), 2, "proof.json")
    for text in ("{", "[" * 200_000):
        path.write_text(text)
        one_line(run("verify", path, "--registry", registry), 2, "not JSON")
    for text in ("[]", "{}", '{"chainId": 998, "header": []}'):
        path.write_text(text)
        done = run("verify", path, "--registry", registry)
        one_line(done, 1, "does not verify")
        assert "FAILED" in done.stdout
        lacks = "no contract, settlement, leaf, proof, order, signature)" if "chainId" in text else "none of the fields"
        assert f"the file is a whole proof (it has {lacks}" in done.stdout.splitlines()[0]
        assert ("hooats prove" in done.stderr) is ("chainId" not in text)


def test_replay_without_a_journal(tmp_path: Path) -> None:
    one_line(run("replay", "--data", tmp_path / "nowhere"), 2, "no journal")


@pytest.mark.parametrize("command", ["replay", "journal verify", "journal inspect", "backup --to b.tar", "doctor"])
@pytest.mark.parametrize("there", [False, True], ids=["no folder", "empty folder"])
def test_what_only_looks_creates_nothing(command: str, there: bool, tmp_path: Path, registry: Path) -> None:
    """A mistyped --data must neither look like a verified journal nor leave one for a node to start from."""
    data = tmp_path / "mistyped"
    if there:
        (data / "journal").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    words = [str(tmp_path / word) if word.endswith(".tar") else word for word in command.split()]
    done = run(*words, "--data", data, HOOATS_REGISTRY=str(registry), HOOATS_RPC="http://127.0.0.1:9")
    if command != "doctor":
        one_line(done, 2, "there is no journal in", str(data), "Name the data folder of a node")
        assert not done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_verifying_changes_nothing(tmp_path: Path) -> None:
    """A torn tail is for the node to cut; whoever verifies gets a word about it."""
    folder = tmp_path / "journal"
    with Journal.open(folder, chain_id=31337) as journal:
        journal.append([Record(1, 1, 1, 5, b"payload")])
    (segment,) = folder.glob("*.journal")
    segment.write_bytes(segment.read_bytes() + b"torn")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = run("journal", "verify", "--data", tmp_path)
    assert done.returncode == 0 and "sequences 1..1, hash 0x" in done.stdout
    assert "torn tail of 4 bytes" in done.stdout
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_verifying_tells_of_what_was_durable_and_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with Journal.open(folder, chain_id=31337) as journal:
        journal.append([Record(1, 1, 1, 5, b"payload")])
        journal.append([Record(1, 1, 2, 5, b"payload")])
    (segment,) = folder.glob("*.journal")
    segment.write_bytes(segment.read_bytes()[:-1])
    one_line(run("journal", "verify", "--data", tmp_path), 1, "sequence 2 was durable", "1 is the last")


def test_verifying_waits_for_no_node(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal", chain_id=31337) as journal:
        journal.append([Record(1, 1, 1, 5, b"payload")])
        one_line(run("journal", "verify", "--data", tmp_path), 2, "running process", "stop")


@pytest.mark.parametrize(
    ("name", "unneeded"),
    [("order", {"sqlalchemy", "offchain.node", "keepers.loop"}), ("keeper", {"offchain.node", "starlette"})],
)
def test_a_command_imports_what_it_needs_and_no_other_command(name: str, unneeded: set[str]) -> None:
    """Each costs a part of a second, at every `hooats order` and at every start of a daemon."""
    asked = f"import sys; from offchain.cli.program import hooats; hooats.commands['{name}']; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert not unneeded & set(done.stdout.split())
