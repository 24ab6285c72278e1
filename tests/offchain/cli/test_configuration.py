"""The configuration file: precedence, unknown keys, wrong values, and what `config show` withholds."""

import json
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from offchain.cli import daemons
from offchain.cli.configuration import FILE_BYTES_MAX, Configuration, load_configuration, redacted
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
        ("port = ", ("not TOML",)),
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
    monkeypatch.setattr(daemons, "load_registry", lambda *_: None)
    monkeypatch.setattr(daemons, "run_node", lambda _: 0)
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


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("sqlite:////var/lib/hooats/a_rather_long_name.sqlite", "sqlite:////var/lib/hooats/a_rather_long_name.sqlite"),
        ("postgresql://me:pw@db/ops", "postgresql://(withheld)@db/ops"),
        ("https://h/v2/" + "a" * 32, "https://h/v2/(withheld)"),
        ("hyperliquid:http://u:pw@h.io/", "hyperliquid:http://(withheld)@h.io/"),
        ("hyperliquid:https://h/" + "a" * 32 + "?k=v", "hyperliquid:https://h/(withheld)?(withheld)"),
        ("http://user:p,w@h/x", "http://(withheld)@h/x"),
        ("http://user:p/w?@h/x", "http://(withheld)@h/x"),
        ("http://u:p@q@h/x", "http://(withheld)@h/x"),
        ("http://a/x,http://u:p@b,http://c", "http://a/x,http://(withheld)@b,http://c"),
        ("sqlite+pysqlcipher://:pass@/x?key=k", "sqlite+pysqlcipher://(withheld)@/x?(withheld)"),
    ],
)
def test_redacted(url: str, expected: str) -> None:
    assert redacted(url) == expected


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
