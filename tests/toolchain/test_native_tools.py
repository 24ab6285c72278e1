"""The build must go red: the native forge tells of a failing test by its exit code, the launcher from npm does not."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TEST = """// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

contract FailingTest {{
    function test_one() external pure {{
        assert({condition});
    }}
}}
"""


def forge_test(project: Path, condition: str) -> subprocess.CompletedProcess[str]:
    (project / "test").mkdir()
    (project / "test" / "Failing.t.sol").write_text(TEST.format(condition=condition))
    compiler = ROOT / "toolchain" / "solc" / "solc-v0.8.30"
    (project / "foundry.toml").write_text(f'[profile.default]\nsolc = "{compiler}"\noffline = true\n')
    return subprocess.run(
        [ROOT / "toolchain" / "forge", "test"],
        cwd=project,
        env={key: value for key, value in os.environ.items() if not key.startswith(("FOUNDRY_", "FORGE_"))},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_failing_forge_test_is_a_failing_command(tmp_path: Path) -> None:
    ran = forge_test(tmp_path, "false")
    assert "1 failed" in ran.stdout
    assert ran.returncode != 0


def test_a_passing_forge_test_is_not(tmp_path: Path) -> None:
    ran = forge_test(tmp_path, "true")
    assert "1 passed" in ran.stdout
    assert ran.returncode == 0


@pytest.mark.parametrize("tool", ["forge", "anvil", "cast"])
def test_the_version_is_the_locked_one(tool: str) -> None:
    ran = subprocess.run([ROOT / "toolchain" / tool, "--version"], capture_output=True, text=True, check=True)
    assert "1.7.1" in ran.stdout


def test_a_missing_binary_is_named_with_its_remedy(tmp_path: Path) -> None:
    ran = subprocess.run(
        [ROOT / "toolchain" / "anvil"],
        env={**os.environ, "HOOATS_FOUNDRY_BIN": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "make setup" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
