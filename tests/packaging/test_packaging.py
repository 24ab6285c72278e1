"""Units, container files and the sample configuration: every command in them parses, every file they copy exists."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from keepers.loop import KEEPERS
from offchain.cli import failures
from offchain.cli.configuration import keeper_defaults, load_configuration
from offchain.cli.program import hooats

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
SAMPLE = PACKAGING / "hooats.toml"
UNITS = sorted((PACKAGING / "systemd").glob("*.service"))
BINARY = "/opt/hooats/bin/hooats"
EXIT_CODES = {int(code) for code in re.findall(r"^(\d+) ", failures.__doc__ or "", flags=re.MULTILINE)}


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def commands_of(path: Path) -> list[list[str]]:
    """The arguments of hooats in a unit, for every keeper that a template may be started for."""
    line = unit(path)["Service"]["ExecStart"].replace("%d/", "/run/credentials/").replace("%%", "%")
    words = shlex.split(line)
    if words[:2] == ["/bin/sh", "-c"]:
        words = shlex.split(words[2].replace("$(date -u +%Y%m%dT%H%M%SZ)", "now").removeprefix("exec "))
    assert words[0] == BINARY
    names = [name for name in KEEPERS if name != "sync"] if "%i" in line else [""]
    return [[word.replace("%i", name) for word in words[1:]] for name in names]


def parsed(arguments: list[str]) -> dict[str, object]:
    """What a command would be run with, under the sample configuration. Fails for a flag that there is not."""
    root = hooats.make_context("hooats", list(arguments))
    name, command, rest = hooats.resolve_command(root, [*root.protected_args, *root.args])
    assert name is not None and command is not None
    tables = load_configuration(SAMPLE, hooats).tables[name]
    return dict(command.make_context(name, rest, parent=root, default_map=tables).params)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_commands_of_units(path: Path) -> None:
    for arguments in commands_of(path):
        found = parsed(arguments)
        assert found["data"] == Path("/var/lib/hooats")
        if "keeper" in path.name or "sync" in path.name:
            assert found["name"] == "sync" or str(found["key"]) == f"/run/credentials/{found['name']}.key"


@pytest.mark.parametrize("path", [path for path in UNITS if "backup" not in path.name], ids=lambda path: path.name)
def test_units_restart_only_where_it_helps(path: Path) -> None:
    service = unit(path)["Service"]
    codes = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert service["Restart"] == "on-failure" and codes < EXIT_CODES and failures.USAGE in codes
    assert failures.INTERNAL not in codes, "after a failing disk the next start is the recovery"
    assert service["Type"] == "notify" and int(service["WatchdogSec"]) >= 60


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_give_nothing_away(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["User"] == "hooats" and service["UMask"] == "0077"
    for setting, value in {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": ""}.items():
        assert service[setting] == value
    assert "key" not in service.get("Environment", "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """With a program that exists in place of ours."""
    files = []
    for path in sorted((PACKAGING / "systemd").iterdir()):
        name = path.name.replace("@.", "@settle.")
        text = path.read_text().replace(BINARY, sys.executable)
        (tmp_path / name).write_text(text)
        files.append(str(tmp_path / name))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "hooats" in line]
    assert not ours and done.returncode == 0, done.stderr


def test_the_sample_configuration() -> None:
    configuration = load_configuration(SAMPLE, hooats)
    tables = configuration.tables
    assert configuration.values == len(re.findall(r"^[a-z-]+ = ", SAMPLE.read_text(), flags=re.MULTILINE))
    ports = [
        tables["node"][name] for name in ("port", "metrics_port", "projector_metrics_port", "publisher_metrics_port")
    ]
    ports += [keeper_defaults(tables["keeper"], name)["metrics_port"] for name in ("sync", "settle", "commit", "relay")]
    assert len(set(ports)) == len(ports)
    keys = [own["key"] for own in tables["keeper"].values() if isinstance(own, dict) and "key" in own]
    assert len(set(keys)) == len(keys), "one key, one keeper"


def docker_lines() -> list[tuple[str, str]]:
    text = (PACKAGING / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_dockerfile_copies_what_exists() -> None:
    ignored = (PACKAGING / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [rest.split()[:-1] for word, rest in docker_lines() if word == "COPY" and "--from" not in rest]
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, f"{source} is not in the build context"
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= {source for sources in copied for source in sources}


def test_dockerfile_runs_the_program_as_nobody_special() -> None:
    lines = docker_lines()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    entry = next(rest for word, rest in lines if word == "ENTRYPOINT")
    assert yaml.safe_load(entry)[0] in scripts
    stages = [rest for word, rest in lines if word == "FROM"]
    assert len(stages) == 2 and "latest" not in str(lines)
    user = [rest for word, rest in lines if word == "USER"][-1]
    assert user.split(":")[0] not in ("root", "0")
    python = re.search(r"PYTHON=(\d+)\.(\d+)", str(lines))
    assert python is not None and (int(python[1]), int(python[2])) in ((3, 11), (3, 12))


def test_compose_commands_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = yaml.safe_load((PACKAGING / "compose.yaml").read_text())
    assert set(compose["services"]) == {"node", "sync", "settle", "commit", "relay"}
    for name, service in compose["services"].items():
        for variable, value in service["environment"].items():
            monkeypatch.setenv(variable, str(SAMPLE) if variable == "HOOATS_CONFIG" else value)
        found = parsed(service["command"])
        assert found["data"] == Path("/var/lib/hooats")
        assert f":{found['metrics_port']}/livez" in str(service["healthcheck"]["test"])
        secrets = service.get("secrets", [])
        key = found.get("attestation_key") or found.get("key")
        assert secrets == ([] if name == "sync" else [Path(str(key)).name])
        assert set(secrets) <= set(compose["secrets"])
        assert service["restart"] == "on-failure" and service["cap_drop"] == ["ALL"]
    assert (PACKAGING / compose["services"]["node"]["build"]["dockerfile"]).name == "Dockerfile"
    health = compose["services"]["node"]["healthcheck"]["test"]
    compile(health[3], "healthcheck", "exec")
