"""The shell blocks of README and docs, as scripts.

A block fenced as `sh` is run; one fenced otherwise is text. Blocks of a page run in one shell, in order, so that what
one exports the next one has. Deliberately no way to mark a command as not to be run: what is run elsewhere, word for
word, is listed in `ELSEWHERE` with where.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
JOURNEYS = ROOT / "docs" / "journeys"
PAGES = (ROOT / "README.md", *sorted(JOURNEYS.glob("*.md")))
GENERATED = ("cli.md",)

ELSEWHERE = {
    "make demo": "tests/docs/conftest.py, with STAY=1; whole before every release",
    "make demo STAY=1": "tests/docs/conftest.py",
    "make test": ".ci/run",
    "make lint": ".ci/run",
    "make lint test": ".ci/run",
    "ape test tests/contracts --network ethereum:local:test": "make test, part ape-embedded",
    "ape test tests/contracts --network ethereum:local:foundry": "make test, part ape-foundry",
    "toolchain/forge test": "make test, part forge",
    "make gas": "make test, part gas",
    "python -m pytest -q -p no:ape_test tests/chainfork/test_fork_smoke.py": "make test, part journeys",
}
"""Commands that a page names and something else runs: too long to run twice, or what runs this test."""

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:\.venv/bin/)?(?:hooats|ape|make|toolchain/\w+|python|curl) \S", re.MULTILINE)


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page.name, text.count("\n", 0, found.start()) + 2, found.group(1), found.group(2))
        for found in _FENCE.finditer(text)
    ]


def is_command(block: Block) -> bool:
    return _COMMAND.search(block.text) is not None


def runnable(block: Block) -> str:
    """The block without comments at line ends and without what is run elsewhere."""
    lines = []
    for line in block.text.splitlines():
        bare = re.sub(r"\s+#\s.*$", "", line).strip()
        if bare not in ELSEWHERE:
            lines.append(line)
    return "\n".join(lines)


def script_of(page: Path, session: Path) -> str:
    """One bash script: it stops at the first command that fails, having said which block that is in."""
    parts = ["set -euo pipefail", f"source {session}"]
    for block in blocks_of(page):
        if block.language == "sh":
            parts += [f"echo '### {block.page}:{block.line}'", runnable(block)]
    return "\n".join(parts) + "\n"
