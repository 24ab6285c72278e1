"""The lock files: complete, hashed, of one piece, and without ape in what runs as a daemon."""

import ast
import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-build.lock",
    "requirements-audit.lock",
    "requirements-bench.lock",
)
# Everything that only deploying and testing contracts needs, or that would be a sign of it.
APE = re.compile(r"^(?:ape-.*|eth-ape|.*-ape|eth-tester|py-evm|py-solc-x|pandas|numpy|ipython|evm-trace|ethpm-types)$")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[=<>~!;\[ ]", line)[0]) for line in requirements}


def entries(lock: str) -> dict[str, str]:
    """Name → the whole entry of a lock, with its hashes."""
    text = (ROOT / lock).read_text()
    return {normal(entry.split("==")[0]): entry for entry in re.split(r"\n(?=\S)", text.strip())}


def versions(lock: str) -> dict[str, str]:
    return {name: re.split(r"[\s;\\]", entry.split("==")[1])[0] for name, entry in entries(lock).items()}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_exact_and_hashed(lock: str) -> None:
    bad = [name for name, entry in entries(lock).items() if "==" not in entry or "--hash=sha256:" not in entry]
    assert not bad
    assert len(entries(lock)) >= 5


def test_the_bench_lock_is_of_the_peers_it_names() -> None:
    lock = (ROOT / "requirements-bench.lock").read_text()
    for line in (ROOT / "requirements-bench.in").read_text().splitlines():
        if not line.startswith("#"):
            assert f"\n{re.sub(r'[[].*[]]', '', line)} \\" in f"\n{lock}"


def test_the_runtime_lock_holds_no_ape() -> None:
    assert [name for name in entries("requirements.lock") if APE.match(name)] == []
    assert [name for name in entries("requirements-dev.lock") if APE.match(name)] != []


def test_a_package_has_one_version_in_all_locks() -> None:
    everything = versions("requirements-dev.lock")
    assert versions("requirements.lock").items() <= everything.items()
    build = versions("requirements-build.lock")
    assert {name: build[name] for name in build.keys() & everything.keys()}.items() <= everything.items()


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = names(project["dependencies"])
    extras = set().union(*(names(lines) for lines in project["optional-dependencies"].values()))
    assert direct <= entries("requirements.lock").keys()
    assert direct | extras <= entries("requirements-dev.lock").keys()


def test_daemons_import_only_what_is_declared() -> None:
    """An import that only the developer's venv satisfies would fail on the operator's host."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = names(project["dependencies"])
    owners = importlib.metadata.packages_distributions()
    ours = {"offchain", "keepers"}
    undeclared = set()
    for path in (path for package in ours for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            for top in {module.split(".")[0] for module in modules} - ours - sys.stdlib_module_names:
                if not declared & {normal(owner) for owner in owners.get(top, [])}:
                    undeclared.add(f"{path.relative_to(ROOT)} imports {top}")
    assert not undeclared


def test_the_npm_lock_is_hashed_and_names_no_host() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert [name for name, package in packages.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []


def test_npm_versions_are_exact() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    wanted = {**package["dependencies"], **package["optionalDependencies"]}
    assert [name for name, version in wanted.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
