"""The configuration file: precedence, unknown keys, wrong values, and what `config show` withholds."""

import json
import os
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from offchain import node
from offchain.chain.registry import write_registry
from offchain.cli import daemons
from offchain.cli.configuration import FILE_BYTES_MAX, Configuration, load_configuration
from offchain.cli.program import hooats
from offchain.domain.errors import ConfigurationError

FILE = """
data = "/srv/hooats"
rpc = ["https://user:pass@one.example/v2/0123456789abcdef0123", "https://two.example/evm?apikey=5ecre7"]
[node]
port = 81
[keeper]
max-fee-gwei = 20.0
requests_per_minute = 25
[keeper.settle]
key = "settler.key"
max_fee_gwei = 3
[order.place]
api = "http://127.0.0.1:9000"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hooats.toml"
    path.write_text(FILE)
    return path


def shown(file: Path, *words: str, **environment: str) -> dict[str, tuple[str, str]]:
    """Flag to (value, source)."""
    done = CliRunner().invoke(
        hooats, ["--config", str(file), "config", "show", *words, "--json"], env=environment, catch_exceptions=False
    )
    return {found["flag"]: (found["value"], found["source"]) for found in json.loads(done.output)}


def test_environment_over_file_over_default(file: Path) -> None:
    found = shown(file, "node", HOOATS_HOST="0.0.0.0")
    assert found["--port"] == ("81", "file")
    assert found["--data"] == ("/srv/hooats", "file")
    assert found["--host"] == ("0.0.0.0", "environment HOOATS_HOST")
    assert found["--epoch-orders"] == ("10000", "default")
    assert shown(file, "node", HOOATS_PORT="82")["--port"] == ("82", "environment HOOATS_PORT")


def test_a_flag_is_over_all(file: Path) -> None:
    seen: dict[str, object] = {}
    command = hooats.commands["node"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOATS_PORT", "82")
        patch.setattr(command, "callback", lambda **given: seen.update(given))
        arguments = ["--config", str(file), "node", "--port", "83", "--attestation-key", "k"]
        CliRunner().invoke(hooats, arguments, catch_exceptions=False)
    assert seen["port"] == 83 and seen["data"] == Path("/srv/hooats")


def test_a_keeper_has_a_table_of_its_own(file: Path) -> None:
    assert shown(file, "keeper", "settle")["--max-fee-gwei"] == ("3", "file")
    assert shown(file, "keeper", "commit")["--max-fee-gwei"] == ("20.0", "file")
    assert shown(file, "keeper", "commit")["--key"] == ("(none)", "default")
    assert shown(file, "keeper", "settle")["--requests-per-minute"] == ("25", "file")


@pytest.mark.parametrize(("name", "key", "gwei"), [("settle", "settler.key", 3.0), ("sync", None, 20.0)])
def test_what_a_keeper_is_run_with(file: Path, name: str, key: str | None, gwei: float) -> None:
    seen: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooats.commands["keeper"], "callback", lambda **given: seen.update(given))
        CliRunner().invoke(hooats, ["--config", str(file), "keeper", name], catch_exceptions=False)
    assert seen["key"] == (None if key is None else Path(key)) and seen["max_fee_gwei"] == gwei
    assert seen["requests_per_minute"] == 25


def test_nothing_secret_is_shown(file: Path) -> None:
    done = CliRunner().invoke(hooats, ["--config", str(file), "config", "show"], catch_exceptions=False)
    assert done.exit_code == 0 and "Delist" not in done.output
    assert "one.example" in done.output and "two.example/evm" in done.output
    for secret in ("pass", "0123456789abcdef0123", "5ecre7"):
        assert secret not in done.output.replace("--password-file", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[node]\nprot = 1", ("[node] prot", "nearest is port")),
        ("[nod]\nport = 1", ("[nod]", "nearest is node")),
        ("[keeper.setle]\nkey = 'k'", ("[keeper] setle", "no such keeper or flag; nearest is settle")),
        ("[keeper.settle]\nkee = 'k'", ("[keeper.settle] kee", "nearest is key")),
        ("prot = 1", ("at the top, prot: there is no such flag", "nearest is port")),
        ("[node]\nport = 'x'", ("[node] port: 'x' is not a whole number from 0 to 65535",)),
        ("[node]\nport = true", ("[node] port", "wrong kind")),
        ("[node]\nport = 70000", ("[node] port: 70000 is not a whole number from 0 to 65535",)),
        ("[node]\nport = [1, 2]", ("[node] port", "no plain value")),
        ("[balances]\njson = 1", ("[balances] json", "true or false")),
        ("[order]\napi = 'x'", ("[order] api",)),
        ("[node]\noperator = ['0x12']", ("[node] operator", "'0x12' is no address")),
        ("[doctor]\nkeeper-key = 3", ("[doctor] keeper-key", "no list")),
        ("node = 3", ("node",)),
        ("rpc = 'node.example:8545'", ("rpc: 'node.example:8545' is no URL", "Like http://")),
        ("[keeper]\nrpc = ['http://a', 'b']", ("[keeper] rpc: 'b' is no URL",)),
        ("[balances]\napi = 'ftp://x'", ("[balances] api: 'ftp://x' is no URL",)),
        ("[node]\ntaker-fee-ppm = -1", ("[node] taker-fee-ppm: -1 is not a whole number from 0 to 10000",)),
        ("[node]\nmaker-fee-ppm = -10001", ("[node] maker-fee-ppm", "from -10000 to 10000")),
        ("[node]\nepoch-millis = -5", ("[node] epoch-millis: -5 is not a whole number from 1 on",)),
        ("[node]\nepoch-orders = 0", ("[node] epoch-orders: 0 is not a whole number from 1 on",)),
        ("[node]\nbatch-interval-millis = -1", ("[node] batch-interval-millis", "from 0 on")),
        ("port = ", ("not TOML",)),
        ("data = 5", ("data = 5 is of the wrong kind. It takes text, in quotes",)),
        ("registry = 7", ("registry = 7 is of the wrong kind",)),
        ("rpc = 5", ("rpc = 5 is of the wrong kind",)),
        ("[node]\nattestation-key = 1.5", ("attestation-key = 1.5 is of the wrong kind",)),
        ("data = ''", ("data is empty",)),
        ("[keeper.settle]\nkey = ' '", ("[keeper.settle] key is empty",)),
        ("[node]\nepoch-millis = 1.5", ("[node] epoch-millis: 1.5 is not a whole number from 1 on",)),
        ("[node]\nport = 80.0", ("[node] port: 80.0 is not a whole number from 0 to 65535",)),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "hooats.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as failure:
        load_configuration(path, hooats)
    for word in (*words, str(path)):
        assert word in str(failure.value)
    assert "\n" not in str(failure.value)


MISTAKES = """
prot = 1
[node]
port = 70000
hots = "x"
[keeper.setle]
key = "k"
[doctor]
keeper-key = 3
"""


def test_check_lists_every_mistake_and_others_the_first(tmp_path: Path) -> None:
    path = tmp_path / "hooats.toml"
    path.write_text(MISTAKES)
    done = CliRunner().invoke(hooats, ["--config", str(path), "config", "check"])
    assert isinstance(done.exception, ConfigurationError) and "has 5 mistakes" in str(done.exception)
    lines = [line for line in done.output.splitlines() if line.startswith("mistake: ")]
    for word in ("prot", "70000", "hots", "setle", "keeper-key"):
        assert sum(word in line for line in lines) == 1, (word, lines)
    assert len(lines) == 5
    for command in (["config", "show"], ["market", "list"]):
        done = CliRunner().invoke(hooats, ["--config", str(path), *command])
        assert isinstance(done.exception, ConfigurationError)
        assert "prot" in str(done.exception) and "and 4 more: `hooats config check` lists all" in str(done.exception)


TOGETHER = """
registry = "{registry}"
[node]
maker-fee-ppm = -3000
[keeper]
max-fee-gwei = 0
[keeper.price]
source = "x"
max-fee-gwei = 1
[verify]
registry = "nowhere.json"
"""


def test_check_says_what_the_commands_would_refuse(tmp_path: Path) -> None:
    """The same sentences; what several would refuse is said once."""
    registry, path = tmp_path / "998.json", tmp_path / "hooats.toml"
    write_registry(registry, msgspec.structs.replace(daemons.NOWHERE, chain_id=998))
    path.write_text(TOGETHER.format(registry=tmp_path))
    done = CliRunner().invoke(hooats, ["--config", str(path), "config", "check"])
    node, keeper, price, verify = [line for line in done.output.splitlines() if line.startswith(f"mistake: {path}: ")]
    assert "hooats node: --maker-fee-ppm -3000: no venue opens with that. From -2500" in node
    assert "hooats keeper sync: --max-fee-gwei 0.0 pays for nothing. Above 0" in keeper
    assert "hooats keeper price: price source 'x' is not understood. Give --source" in price
    assert "hooats verify: there is no deployment registry nowhere.json" in verify
    assert "has 4 mistakes" in str(done.exception)
    (tmp_path / "attestation.key").write_text("11" * 32)
    words = ["--config", str(path), "node", "--attestation-key", str(tmp_path / "attestation.key")]
    refused = CliRunner().invoke(hooats, words).exception
    assert isinstance(refused, ConfigurationError) and node.endswith(f"hooats node: {refused}")


def test_check_does_not_miss_what_may_come_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, a price source, the registry: also from flags and the environment, which is read where the file is
    silent."""
    monkeypatch.chdir(tmp_path)
    Path("hooats.toml").write_text("[node]\nport = 81\n[keeper.price]\nmax-source-age = 60\n")
    assert CliRunner().invoke(hooats, ["--config", "hooats.toml", "config", "check"]).exit_code == 0
    words = ["--config", "hooats.toml", "config", "check"]
    done = CliRunner().invoke(hooats, words, env={"HOOATS_REGISTRY": "nowhere.json"})
    assert "there is no deployment registry nowhere.json" in done.output


def test_check_says_what_the_environment_has_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = {"HOOATS_PORT": "x", "HOOATS_RPC": "https://user:pass@/v2/5ecre7", "HOOATS_EPOCH_MILLIS": "0"}
    done = CliRunner().invoke(hooats, ["config", "check"], env=wrong)
    assert "environment has 3 mistakes" in str(done.exception)
    lines = {
        line.split(": ")[2]: line for line in done.output.splitlines() if line.startswith("mistake: environment: ")
    }
    assert lines.keys() == wrong.keys()
    assert lines["HOOATS_PORT"].endswith("'x' is not a whole number from 0 to 65535")
    assert "is no URL" in lines["HOOATS_RPC"] and "pass" not in done.output and "5ecre7" not in done.output


def test_what_the_environment_has_wrong_is_not_said_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "hooats.toml"
    path.write_text("[node]\nepoch-orders = 7\nprot = 1\n")
    done = CliRunner().invoke(hooats, ["--config", str(path), "config", "check"], env={"HOOATS_PORT": "x"})
    assert str(done.exception).startswith(f"{path} has 1 mistake and the environment has 1 mistake.")
    assert sum("mistake: " in line for line in done.output.splitlines()) == 2


def test_the_null_device_is_no_configuration() -> None:
    """Whoever wants none names it, so that a file that lies about is not taken."""
    assert load_configuration(Path(os.devnull), hooats).values == 0


@pytest.mark.parametrize("kind", ["device", "folder", "pipe", "large", "deep", "deep table"])
def test_what_is_no_configuration_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hooats.toml"
    if kind == "device":
        path = Path("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    else:
        path.write_text("a = " + "[" * 100_000 if kind == "deep" else f"[{'.'.join('a' * 50_000)}]")
    with pytest.raises(ConfigurationError) as failure:
        load_configuration(path, hooats)
    assert str(path) in str(failure.value) and len(str(failure.value)) < 400


@pytest.mark.parametrize("text", ['api = "http://x/\\u001b[31m"', '"a\\nb" = 1', '[node]\ndata = "a\\u0085"'])
def test_control_characters_are_refused_and_not_printed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hooats.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="control characters") as failure:
        load_configuration(path, hooats)
    assert str(failure.value).isprintable()


def test_a_file_that_nobody_named_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hooats.toml").write_text("[node]\nport = 5")
    done = CliRunner().invoke(hooats, ["config", "check"])
    assert "hooats: configuration from ./hooats.toml\n" in done.output and done.exit_code == 0
    named = CliRunner().invoke(hooats, ["--config", "hooats.toml", "config", "check"])
    assert "configuration from" not in named.output


def test_a_daemon_says_it_in_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With whatever else its operator should know; its standard error is JSON from the first line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hooats.toml").write_text("[node]\nport = 5")
    key = tmp_path / "attestation.key"
    key.write_text("11" * 32)
    key.chmod(0o644)
    monkeypatch.setattr(daemons, "load_registry", lambda *_: daemons.NOWHERE)
    monkeypatch.setattr(node, "run_node", lambda _: 0)
    with pytest.raises(SystemExit):
        hooats.main(["node", "--attestation-key", str(key)], standalone_mode=False)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("configuration", "info"), ("key", "warning")]
    assert lines[0]["file"] == "hooats.toml" and lines[0]["named"] is False
    assert lines[1]["reason"] == f"others can read {key}" and "11" * 32 not in str(lines)


def test_a_file_that_others_may_have_written_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hooats.toml"
    path.write_text("[node]\nport = 5")
    path.chmod(0o666)
    with pytest.raises(ConfigurationError, match="--config"):
        load_configuration(None, hooats)
    assert load_configuration(path, hooats).values == 1
    path.chmod(0o644)
    assert load_configuration(None, hooats).values == 1


def test_missing_file_is_an_error_and_a_missing_default_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_configuration(None, hooats) == Configuration(None, {}, 0)
    with pytest.raises(ConfigurationError, match=r"other\.toml"):
        load_configuration(Path("other.toml"), hooats)
    (tmp_path / "hooats.toml").write_text("[node]\nport = 5")
    assert load_configuration(None, hooats).tables["node"] == {"port": 5}


def test_check_counts_and_warns(file: Path) -> None:
    arguments = ["--config", str(file), "config", "check"]
    done = CliRunner().invoke(hooats, arguments, env={"HOOATS_PROT": "1"}, catch_exceptions=False)
    assert "ok, 8 values" in done.output
    assert "HOOATS_PROT is read by nothing; nearest is HOOATS_PORT" in done.output


def test_every_variable_has_one_meaning() -> None:
    """Two commands may share a variable only if the flag has the same name."""
    flags: dict[str, set[str]] = {}

    def visit(command: click.Command) -> None:
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                visit(inner)
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.envvar, str):
                flags.setdefault(option.envvar, set()).add(option.opts[0])

    visit(hooats)
    assert all(len(names) == 1 for names in flags.values()), flags


ONE, TWO = "0x" + "Ab" * 20, "0x" + "11" * 20


@pytest.mark.parametrize(
    ("arguments", "variable", "text"),
    [
        (["--operator", ONE, "--operator", TWO], "", ""),
        (["--operator", f"{ONE}, {TWO}"], "0x" + "22" * 20, ""),
        ([], f"{ONE},{TWO},{ONE}", ""),
        ([], "", f"operator = ['{ONE}', '{TWO}']"),
    ],
)
def test_operators_by_flag_environment_and_file(tmp_path: Path, arguments: list[str], variable: str, text: str) -> None:
    seen: dict[str, object] = {}
    path = tmp_path / "hooats.toml"
    path.write_text(f"[node]\n{text}\n")
    with pytest.MonkeyPatch.context() as patch:
        if variable:
            patch.setenv("HOOATS_OPERATORS", variable)
        patch.setattr(hooats.commands["node"], "callback", lambda **given: seen.update(given))
        words = ["--config", str(path), "node", "--attestation-key", "k", *arguments]
        assert CliRunner().invoke(hooats, words, catch_exceptions=False).exit_code == 0
    assert seen["operators"] == (ONE.lower(), TWO)


def test_an_operator_that_is_no_address() -> None:
    done = CliRunner().invoke(hooats, ["node", "--attestation-key", "k", "--operator", "0x12"])
    assert done.exit_code == 2 and "'0x12' is no address" in done.output
