"""One compiler, one set of settings: what forge tests is what ape deploys."""

import json
import os
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts._artifacts import load_artifacts

ROOT = Path(__file__).resolve().parents[2]
COMPILER = ROOT / "toolchain" / "solc" / "solc-v0.8.30"
MAX_CODE_BYTES = 24_576  # EIP-170


def solc(*flags: str, request: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMPILER, *flags], input=request, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def standard_json(functions: int) -> str:
    body = "\n".join(
        f"function f{n}(uint256 x) external pure returns (uint256) {{ return x + {n}; }}" for n in range(functions)
    )
    return json.dumps(
        {
            "language": "Solidity",
            "sources": {"A.sol": {"content": f"pragma solidity 0.8.30; contract A {{ {body} }}"}},
            "settings": {"outputSelection": {"*": {"*": ["abi", "evm.bytecode"], "": ["ast"]}}},
        }
    )


def test_the_compiler_tells_its_version() -> None:
    """The one that its package has: the wrapper does not load it to find out."""
    asked = ["node", "-e", "process.stdout.write(require('solc').version())"]
    version = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert version.startswith("0.8.30+")
    assert solc("--version").stdout.splitlines()[-1] == f"Version: {version}"


def test_a_long_answer_arrives_whole() -> None:
    answer = solc("--standard-json", "--allow-paths", ".", request=standard_json(100)).stdout
    assert len(answer) > 256 * 1024
    assert json.loads(answer)["contracts"]["A.sol"]["A"]["evm"]["bytecode"]["object"]


def test_a_native_compiler_of_another_version_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "solc"
    other.write_text("#!/bin/sh\necho 'Version: 0.8.31+commit.00000000'\n")
    other.chmod(0o755)
    ran = solc("--version", HOOATS_SOLC=str(other))
    assert ran.returncode == 1
    assert "is not solc 0.8.30" in ran.stderr


def test_a_native_compiler_of_the_same_version_is_used(tmp_path: Path) -> None:
    native = tmp_path / "solc"
    native.write_text('#!/bin/sh\necho "Version: 0.8.30+commit.73712a01 native $*"\n')
    native.chmod(0o755)
    assert "native --version" in solc("--version", HOOATS_SOLC=str(native)).stdout


@pytest.mark.parametrize(
    ("imported", "is_found"),
    [
        ("node_modules/@openzeppelin/contracts/token/ERC20/IERC20.sol", True),
        ("node_modules/../contracts/interfaces/ICXPT.sol", False),
        ("contracts/interfaces/ICXPT.sol", False),
    ],
)
def test_imports_are_read_from_node_modules_only(imported: str, is_found: bool) -> None:
    source = {"content": f'pragma solidity 0.8.30; import "{imported}"; contract A {{}}'}
    request = {
        "language": "Solidity",
        "sources": {"A.sol": source},
        "settings": {"outputSelection": {"*": {"A": ["evm.bytecode"]}}},
    }
    answer = json.loads(solc("--standard-json", request=json.dumps(request)).stdout)
    assert ("A" in answer.get("contracts", {}).get("A.sol", {})) is is_found


def test_a_native_compiler_is_told_where_node_modules_is(tmp_path: Path) -> None:
    native = tmp_path / "solc"
    native.write_text('#!/bin/sh\necho "Version: 0.8.30+commit.73712a01 native $*"\n')
    native.chmod(0o755)
    told = solc("--standard-json", "--base-path", "somewhere", HOOATS_SOLC=str(native)).stdout
    assert told.endswith(f"--standard-json --base-path somewhere --include-path {ROOT}\n")


def test_the_settings_are_the_same() -> None:
    forge = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    ape = yaml.safe_load((ROOT / "ape-config.yaml").read_text())["solidity"]
    assert forge["evm_version"] == ape["evm_version"] == "cancun"
    assert forge["optimizer"] is ape["optimize"] is True
    assert forge["optimizer_runs"] == ape["optimization_runs"]
    assert forge["via_ir"] is ape["via_ir"]
    assert forge["solc"] == str(COMPILER.relative_to(ROOT))
    assert COMPILER.name == f"solc-v{ape['version']}"


@cache
def built() -> dict[str, dict[str, Any]]:
    """Contract name → artifact of forge, for what stands in contracts/."""
    subprocess.run([ROOT / "toolchain" / "forge", "build", "--quiet"], cwd=ROOT, check=True, timeout=300)
    forge = {}
    for file in sorted((ROOT / ".build" / "forge" / "out").glob("*/*.json")):
        artifact = json.loads(file.read_text())
        for source, name in artifact.get("metadata", {}).get("settings", {}).get("compilationTarget", {}).items():
            if source.startswith("contracts/") and (ROOT / source).is_file():
                forge[name] = artifact
    return forge


# What the compiler appends to every code, also to one that another contract embeds: {"ipfs": hash, "solc": version}.
# The hash covers the settings to the letter, and ape writes the remappings without a slash at the end.
METADATA = re.compile(r"(?<=a2646970667358221220)[0-9a-f]{64}(?=64736f6c634300081e0033)")
LIBRARY = re.compile(r"__\$[0-9a-f]{34}\$__")  # the place of an address that linking fills in: a hash of a path too


def opcodes(code: str) -> str:
    return LIBRARY.sub("_" * 40, METADATA.sub("0" * 64, code.removeprefix("0x")))


@pytest.mark.timeout(600)
def test_forge_and_ape_make_the_same_code() -> None:
    """Of constructors and of what they leave behind, as ape made it when these were the sources."""
    made = {name: artifact["bytecode"]["object"] for name, artifact in built().items()}
    forge = {name: opcodes(code) for name, code in made.items() if len(code) > 2}
    artifacts = load_artifacts(ROOT, tuple(forge))
    ape = {name: opcodes(artifact.creation_code.hex()) for name, artifact in artifacts.items()}
    assert len(forge) > 40
    assert [name for name in forge if forge[name] != ape[name]] == []


@pytest.mark.timeout(600)
def test_what_was_built_is_for_cancun_and_fits_the_chain() -> None:
    forge = built()
    settings = {name: artifact["metadata"]["settings"] for name, artifact in forge.items()}
    assert {setting["evmVersion"] for setting in settings.values()} == {"cancun"}
    sizes = {
        name: len(artifact["deployedBytecode"]["object"].removeprefix("0x")) // 2 for name, artifact in forge.items()
    }
    assert {name: size for name, size in sizes.items() if size > MAX_CODE_BYTES} == {}
