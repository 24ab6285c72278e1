"""Every `ape run …`: help in plain words, and each thing that a user gets wrong in one line that says what to do."""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from eth_account import Account

sys.path.append(str(Path(__file__).resolve().parents[1]))

from local_chain import CHAIN_ID, ROOT, LocalChain, free_port, key_of

NAMES = sorted(path.stem for path in (ROOT / "scripts").glob("[a-z]*.py"))
SIGNED = {"deploy": [], "create_market": [], "upgrade": ["--execute"], "probe_hyperevm": ["--send"]}
"""Commands that need a key, and what makes them ask for it."""
TERMS = ["--market", "3", "--symbol", "S", "--synth", "s", "--name", "n", "--ceiling", "1"]
TERMS += ["--base-atoms-per-lot", "1", "--quote-atoms-per-tick-lot", "1"]
KEYSTORE_ROUNDS = 1_000


@pytest.fixture(scope="module")
def anvil() -> Iterator[LocalChain]:
    chain = LocalChain().start()
    yield chain
    chain.stop()


def run(name: str, *arguments: str) -> Result:
    command = import_module(f"scripts.{name}").cli
    environment = dict.fromkeys(("HOOATS_REGISTRY", "HOOATS_DEPLOYER_KEY_FILE", "HOOATS_PARAMETERS"))
    return CliRunner().invoke(command, arguments, prog_name=name, env=environment)


def network(url: str) -> list[str]:
    return ["--network", f"hyperliquid:testnet:{url}"]


def one_line(result: Result) -> str:
    lines = [line for line in result.output.splitlines() if not line.startswith(("INFO", "WARNING"))]
    assert len(lines) == 1, result.output
    assert result.exit_code != 0
    assert lines[0].startswith("hooats: ")
    return lines[0]


def required(name: str) -> list[str]:
    return TERMS if name == "create_market" else []


def test_these_are_the_commands() -> None:
    commands = ["create_market", "deploy", "handover", "probe_hyperevm", "status", "upgrade", "verify"]
    assert commands == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_help_is_in_plain_words(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    summary, *_ = [line.strip() for line in result.output.splitlines()[2:] if line.strip()]
    assert summary[0].isupper()
    assert f"ape run {name}" in result.output  # an example
    options = result.output.split("Options:")[1]
    bare = [line for line in options.splitlines() if line.strip().startswith("--") and len(line.split("  ")) < 2]
    assert bare == []


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_flag(name: str) -> None:
    result = run(name, "--nonsense")
    line = one_line(result)
    assert "No such option: --nonsense" in line
    assert line.endswith(f"Try: ape run {name} --help")
    assert result.exit_code == 2


@pytest.mark.parametrize("name", NAMES)
def test_an_unreachable_node(name: str, tmp_path: Path) -> None:
    result = run(name, *required(name), *network(f"http://127.0.0.1:{free_port()}"))
    line = one_line(result)
    assert "No (supported) node found" in line
    assert "Start the node, or name another one: --network" in line


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("deploy", "probe_hyperevm")])
def test_no_registry(name: str, anvil: LocalChain, tmp_path: Path) -> None:
    flags = ["--execute"] if name == "upgrade" else required(name)
    line = one_line(run(name, *flags, *network(anvil.url), "--registry", str(tmp_path / "none.json")))
    assert "there is no deployment registry" in line
    assert "Run `ape run deploy`, or name another --registry" in line


def write_registry(path: Path) -> str:
    content = {"chainId": CHAIN_ID, "quoteToken": "0x" + "11" * 20, "markets": {}, "roles": {}}
    entry = {"address": "0x" + "22" * 20}
    path.write_text(json.dumps(content | {"contracts": {"Timelock": entry, "VaultImplementation": entry}}))
    return str(path)


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "/key: No such file or directory"),
        ("hello", "key file key holds no private key. 64 hex digits, or a keystore v3 JSON"),
        ("keystore", "key is a keystore. Name its password file with --password-file"),
        ("wrong password", "password"),
    ],
)
def test_a_key_that_is_none(name: str, content: str | None, message: str, anvil: LocalChain, tmp_path: Path) -> None:
    key, password = tmp_path / "key", tmp_path / "password"
    flags = [*SIGNED[name], *required(name), *network(anvil.url), "--key-file", str(key)]
    if name != "probe_hyperevm":
        flags += ["--registry", write_registry(tmp_path / "registry.json") if name != "deploy" else str(tmp_path / "r")]
    if content in ("keystore", "wrong password"):
        key.write_text(json.dumps(Account.encrypt(key_of("someone"), "right", "pbkdf2", KEYSTORE_ROUNDS)))
    elif content is not None:
        key.write_text(content)
    if content == "wrong password":
        password.write_text("wrong")
        flags += ["--password-file", str(password)]
    line = one_line(run(name, *flags))
    assert message in line
    assert key_of("someone").hex() not in line


def test_nobody_signs_for_the_proposer(anvil: LocalChain, tmp_path: Path) -> None:
    registry = write_registry(tmp_path / "registry.json")
    line = one_line(run("upgrade", "--execute", *network(anvil.url), "--registry", registry))
    assert line.endswith("Name one with --account ALIAS, --key-file FILE or HOOATS_PROPOSER_KEY_FILE")
    line = one_line(run("upgrade", "--execute", "--cancel", *network(anvil.url), "--registry", registry))
    assert "name one of --propose, --execute, --cancel, --keep-layout" in line


def test_a_network_that_ape_does_not_know() -> None:
    result = run("status", "--network", "hyperliquid:nowhere")
    assert "nowhere" in one_line(result)
    assert result.exit_code == 2


@pytest.mark.parametrize("name", ["status", "handover", "verify"])
def test_a_chain_without_the_venue(name: str, anvil: LocalChain, tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    vault = "0x" + "33" * 20
    path.write_text(json.dumps({"chainId": CHAIN_ID, "quoteToken": vault, "contracts": {"Vault": {"address": vault}}}))
    result = run(name, *network(anvil.url), "--registry", str(path))
    line = one_line(result)
    assert f"the Vault of {path} ({vault}) is not on this chain {CHAIN_ID}. Name the chain with --network" in line
    assert result.exit_code == 2


@pytest.mark.parametrize("name", SIGNED)
def test_help_says_what_an_account_is(name: str) -> None:
    assert "Alias of an ape account (ape accounts import ALIAS)" in " ".join(run(name, "--help").output.split())
