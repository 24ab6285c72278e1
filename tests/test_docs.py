"""The docs say what is true: commands, flags, variables, files, tests and pages that they name exist."""

import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from offchain import __version__
from offchain.cli.program import hooats
from offchain.gateway.routes import ROUTES

ROOT = Path(__file__).parent.parent
FOLDERS = ("docs", "deployment", "packaging")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
MADE = ("api.md", "cli.md", "metrics.md")
OTHER_VARIABLES = {
    "HOOATS_DEBUG": "offchain/cli/failures.py",
    "HOOATS_KEYS": "demo/session.py",
    "HOOATS_NETWORK": "demo/session.py",
    "HOOATS_REQUIRE": "bench/instructions.py",
    "HOOATS_REWRITE_GOLDEN": "tests/offchain/projector/test_golden.py",
    "HOOATS_SOLC": "toolchain/solc/solc-v0.8.30",
}
"""Variables that are no flag's twin, and where they are read or written."""
GENERAL = {"--help", "-h", "--version", "--network"}
"""Flags of every command; the last one is ape's."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def command_lines(text: str) -> Iterator[str]:
    """Every line of a fence, and every `span`, continued lines joined."""
    joined = text.replace("\\\n", " ")
    for block in re.findall(r"^```\w*\n(.*?)^```$", joined, flags=re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    prose = re.sub(r"^```.*?^```$", "", joined, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`]+)`", prose):
        yield " ".join(span.split())


def calls(text: str, program: str) -> Iterator[list[str]]:
    """The words after `program`, up to whatever ends a command in a shell."""
    for line in command_lines(text):
        for rest in re.findall(rf"(?:^|[|;&(] ?|\.venv/bin/){program} ([^|;&)#>]+)", line):
            try:
                yield shlex.split(rest)
            except ValueError:
                yield rest.split()


@pytest.mark.parametrize("page", ["api", "cli", "metrics"])
def test_generated_pages_say_what_is(page: str) -> None:
    command = [sys.executable, str(ROOT / "toolchain" / f"{page}_reference.py")]
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert (ROOT / "docs" / f"{page}.md").read_text() == made, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_named_in_docs_exist(page: Path) -> None:
    if page.name in MADE:
        return
    for words in calls(page.read_text(), "hooats"):
        check_call(f"{name_of(page)}: hooats {' '.join(words)}", words)


def check_call(where: str, words: list[str]) -> None:
    """Subcommand by subcommand, then the flags of the last one."""
    command: click.Command = hooats
    rest = list(words)
    while isinstance(command, click.Group) and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0].rstrip(",.")):
        word = rest.pop(0).rstrip(",.")
        assert word in command.commands, f"{where}: there is no {word}"
        command = command.commands[word]
    if command.name == "keeper" and rest and rest[0].islower():
        (argument,) = (one for one in command.params if isinstance(one, click.Argument))
        assert isinstance(argument.type, click.Choice)
        assert rest[0].rstrip(",.") in argument.type.choices, f"{where}: there is no such keeper"
    check_flags(where, command, rest)


def check_flags(where: str, command: click.Command, words: list[str]) -> None:
    known = {option for parameter in command.params for option in parameter.opts} | GENERAL
    for flag in (word.split("=")[0].rstrip(",.") for word in words if word.startswith("--")):
        assert flag in known, f"{where}: there is no {flag}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scripts_named_in_docs_exist(page: Path) -> None:
    for words in calls(page.read_text(), "ape run"):
        name, where = words[0].rstrip(",."), f"{name_of(page)}: ape run {' '.join(words)}"
        if not re.fullmatch(r"[a-z_]+", name):
            continue
        assert not name.startswith("_") and (ROOT / "scripts" / f"{name}.py").exists(), where
        check_flags(where, importlib.import_module(f"scripts.{name}").cli, words[1:])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_named_in_docs_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for words in calls(page.read_text(), "make"):
        assert words[0].rstrip(",.") in targets, f"{name_of(page)} names `make {words[0]}`"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_variables_named_in_docs_exist(page: Path) -> None:
    known = twins() | set(OTHER_VARIABLES)
    for name in re.findall(r"\bHOOATS_[A-Z][A-Z_]*[A-Z]\b", page.read_text()):
        assert name in known, f"{name_of(page)} names {name}"


def test_the_other_variables_are_where_they_are_said_to_be() -> None:
    for name, place in OTHER_VARIABLES.items():
        assert name in (ROOT / place).read_text(), f"{name} is not in {place}"


def twins() -> set[str]:
    """The variables of every flag of `hooats` and of the scripts."""
    scripts = [path.stem for path in (ROOT / "scripts").glob("[a-z]*.py")]
    waiting: list[click.Command] = [hooats, *(importlib.import_module(f"scripts.{name}").cli for name in scripts)]
    found: set[str] = set()
    while waiting:
        command = waiting.pop()
        waiting += command.commands.values() if isinstance(command, click.Group) else []
        for parameter in command.params:
            names = parameter.envvar or ()
            found |= {names} if isinstance(names, str) else set(names)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_routes_and_metrics_named_in_docs_exist(page: Path) -> None:
    shape = re.compile(r"\{\w+\}")
    routes = {f"{route.method} {shape.sub('{}', route.path)}" for route in ROUTES}
    for method, path in re.findall(r"`(GET|POST|PATCH|DELETE) (/v1/[^`?]+)", page.read_text()):
        assert f"{method} {shape.sub('{}', path)}" in routes, f"{name_of(page)} names {method} {path}"
    metrics = (ROOT / "docs" / "metrics.md").read_text()
    for name in re.findall(r"`(hooats_[a-z_]+)", page.read_text()):
        assert f"`{name}`" in metrics, f"{name_of(page)} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


def test_every_journey_is_on_the_list() -> None:
    folder = ROOT / "docs" / "journeys"
    listed = set(re.findall(r"\]\(([a-z-]+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {page.name for page in folder.glob("*.md")} - {"README.md"}
    readme = (ROOT / "README.md").read_text()
    for name in listed:
        assert f"docs/journeys/{name}" in readme, f"README.md does not lead to {name}"


def test_tests_named_in_docs_exist() -> None:
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tests").rglob("*.sol")]
    declared = re.compile(r"\b(?:def|function) ((?:test|invariant)_?\w+)|^class (\w+)\(RuleBased", re.MULTILINE)
    known = {one or other for path in sources for one, other in declared.findall(path.read_text())}
    for page in PAGES:
        for name in re.findall(r"`((?:test|invariant)_?[A-Za-z]\w*)`", page.read_text()):
            assert name in known, f"{name_of(page)} names {name}"


def test_every_example_is_run_by_a_test() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    pages = "\n".join(path.read_text() for path in (ROOT / "docs" / "journeys").glob("*.md"))
    for example in (ROOT / "examples").glob("*.py"):
        is_run = f'{example.name}"' in tests or f"\npython examples/{example.name} " in pages
        assert is_run, f"nothing runs examples/{example.name}"


def test_every_package_is_in_the_code_map() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for package in sorted(path.parent.name for path in (ROOT / "offchain").glob("*/__init__.py")):
        assert f"offchain/{package}" in text, package


def test_the_version_is_one() -> None:
    """It is said in the package alone; the changelog begins with it, and npm's files repeat it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"] and project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "offchain/__init__.py"}
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == __version__
    lock = json.loads((ROOT / "package-lock.json").read_text())
    package = json.loads((ROOT / "package.json").read_text())
    assert {package["version"], lock["version"], lock["packages"][""]["version"]} == {__version__}
    assert CliRunner().invoke(hooats, ["--version"]).output == f"hooats, version {__version__}\n"


@pytest.mark.parametrize(
    "page", ["README.md", "ARCHITECTURE.md", "SECURITY.md", "docs/journeys/trader.md", "docs/journeys/verifier.md"]
)
def test_the_longest_way_out_is_the_contracts_own(page: str) -> None:
    """Whoever says how soon one can leave says the worst: a last acceptance, a shutdown, its grace, and a request."""
    source = (ROOT / "contracts" / "interfaces" / "Types.sol").read_text()
    minutes = {"hours": 60, "minutes": 1}
    found = re.findall(
        r"constant (MAX_PRICE_AGE|SHUTDOWN_DELAY|SHUTDOWN_GRACE|EXIT_DELAY) = (\d+) (hours|minutes);", source
    )
    assert len(found) == 4
    hours, rest = divmod(sum(int(number) * minutes[unit] for _, number, unit in found), 60)
    text = " ".join((ROOT / page).read_text().split())
    assert set(re.findall(r"\d+ h \d+ min", text)) == {f"{hours} h {rest} min"}
