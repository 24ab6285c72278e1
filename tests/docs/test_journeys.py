"""Every command of README and of the journeys runs, as it is written, on a venue that was started as they say."""

import subprocess
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks_of, is_command, script_of

ALL = sorted({*PAGES, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deployment").glob("*.md")})


SECONDS_MAX = 400


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_run(page: Path, session_file: Path, shells: list[int], tmp_path: Path) -> None:
    script = tmp_path / "page.sh"
    script.write_text(script_of(page, session_file))
    # What a page leaves running as a job ends with its shell; what it disowns, with the venue.
    command = f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT; source {script}"
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    shells.append(process.pid)
    output, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, output[-6000:]


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_marked_to_be_run(page: Path) -> None:
    if page.name == "cli.md":
        return
    for block in blocks_of(page):
        if is_command(block):
            where = f"{page.name}:{block.line}"
            assert block.language == "sh", f"{where} holds commands: fence it as sh"
            assert page in PAGES, f"{where}: commands belong into README or docs/journeys, where they are run"
