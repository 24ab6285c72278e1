"""The docs say what is true: the command line page, the names of commands and of files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from offchain import __version__
from offchain.cli.program import hooats

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", ["cli", "metrics"])
def test_generated_pages_say_what_is(page: str) -> None:
    command = [sys.executable, str(ROOT / "toolchain" / f"{page}_reference.py")]
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert (ROOT / "docs" / f"{page}.md").read_text() == made, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_docs_exist(page: Path) -> None:
    for name in re.findall(r"`hooats ([a-z]+)", page.read_text()):
        assert name in hooats.commands, f"{page.name} names `hooats {name}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_named_in_docs_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for name in re.findall(r"`make ([a-z-]+)", page.read_text()):
        assert name in targets, f"{page.name} names `make {name}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_package_is_in_the_code_map() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for package in sorted(path.parent.name for path in (ROOT / "offchain").glob("*/__init__.py")):
        assert f"offchain/{package}" in text, package


def test_the_version_is_one() -> None:
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert declared is not None and declared.group(1) == __version__
