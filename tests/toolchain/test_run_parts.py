"""The runner behind `make test`: every part runs, and any part that fails, or runs nothing, fails the whole."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_parts", ROOT / "toolchain" / "run_parts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_parts"] = module
    spec.loader.exec_module(module)
    return module


runner = load()


def pytest_part(folder: Path, name: str, source: str) -> "runner.Part":
    file = folder / f"test_{name}.py"
    file.write_text(source)
    command = runner.python("pytest", "-p", "no:ape_test", "-p", "no:cacheprovider", f"--rootdir={folder}", str(file))
    return runner.Part(name, command)


PASSING = "def test_a(): pass\n"
FAILING = "def test_a(): pass\ndef test_b(): assert False\n"


def test_all_parts_passing_is_success(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert runner.run_all([pytest_part(tmp_path, "good", PASSING)]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"


def test_a_failing_part_fails_the_whole_and_the_rest_still_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = [pytest_part(tmp_path, "bad", FAILING), pytest_part(tmp_path, "good", PASSING)]
    assert runner.run_all(parts) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "2 passed, 1 failed, 0 skipped"
    assert any(line.startswith("bad ") and "FAILED (exit 1)" in line for line in lines)


@pytest.mark.parametrize("source", ["", "raise RuntimeError('at import')\n"])
def test_a_part_that_executes_no_test_fails(tmp_path: Path, source: str) -> None:
    assert runner.run_all([pytest_part(tmp_path, "hollow", source)]) == 1


def test_success_without_any_test_is_a_failure(capfd: pytest.CaptureFixture[str]) -> None:
    assert runner.run_all([runner.Part("hollow", ("true",))]) == 1
    output = capfd.readouterr().out
    assert "no test was executed" in output
    assert output.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_a_command_that_does_not_exist_fails() -> None:
    assert runner.run_all([runner.Part("absent", ("no-such-command-anywhere",))]) == 1


def test_two_lanes_run_side_by_side_and_each_is_printed_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    meet = "import pathlib, time\ndef test_a():\n    mine, other = map(pathlib.Path, {!r})\n    mine.touch()\n"
    meet += "    end = time.time() + 30\n    while not other.exists():\n        assert time.time() < end\n"
    left, right = str(tmp_path / "left"), str(tmp_path / "right")
    parts = [
        pytest_part(tmp_path, "left", meet.format((left, right))),
        runner.dataclasses.replace(pytest_part(tmp_path, "right", meet.format((right, left))), lane=1),
    ]
    assert runner.run_all(parts) == 0
    output = capfd.readouterr().out
    assert output.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"
    first, second = (output.index(f"--- {name}: ") for name in ("left", "right"))
    between = output[min(first, second) : max(first, second)]
    assert between.count("1 passed") == 1, "one part's lines are between the other's"


def test_what_a_part_needs_ends_before_it(tmp_path: Path) -> None:
    mark = tmp_path / "made"
    make = "import time\nfrom pathlib import Path\ndef test_a():\n    time.sleep(0.3)\n    Path({!r}).touch()\n"
    need = f"from pathlib import Path\ndef test_a(): assert Path({str(mark)!r}).exists()\n"
    first = pytest_part(tmp_path, "first", make.format(str(mark)))
    second = runner.dataclasses.replace(pytest_part(tmp_path, "second", need), lane=1, after=("first",))
    assert runner.run_all([first, second]) == 0
    assert runner.run_all([second]) == 0, "what was not asked for is not waited for"


def test_what_needs_contracts_waits_for_the_compiler() -> None:
    parts = {part.name: part for part in runner.test_parts()}
    assert next(iter(parts)) == "compile" and parts["artifacts"].lane != parts["compile"].lane
    for name in parts.keys() - {"pure", *runner.COMPILED}:
        assert parts[name].lane == parts["compile"].lane or parts[name].after == runner.COMPILED, name


def test_the_report_tells_what_the_processes_of_a_part_used(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    burn = (
        "import subprocess, sys\ndef test_a():\n    program = 'import time\\nwhile time.process_time() < 0.5: pass'\n"
    )
    burn += "    subprocess.run([sys.executable, '-c', program], check=True)\n"
    assert runner.run_all([pytest_part(tmp_path, "busy", burn)]) == 0
    (line,) = (line for line in capfd.readouterr().out.splitlines() if line.startswith("busy "))
    assert float(line.partition(" s ")[2].split()[0]) >= 0.5


def test_every_test_is_in_one_part_of_the_python_ones() -> None:
    """What a part leaves out another one has."""
    parts = {part.name: part.command for part in runner.test_parts()}
    ignored = {word.removeprefix("--ignore=") for word in parts["python"] if word.startswith("--ignore=")}
    assert ignored == {"tests/contracts", *runner.JOURNEYS, *runner.PROGRAMS, *runner.PURE}
    assert all((ROOT / folder).is_dir() for folder in ignored)
    assert set(runner.JOURNEYS) < set(parts["journeys"]) and "tests/contracts" in parts["ape-embedded"]
    left_out = {word.removeprefix(f"--ignore={ROOT}/") for word in parts["pure"] if word.startswith("--ignore=")}
    offchain = {f"tests/offchain/{path.name}" for path in (ROOT / "tests" / "offchain").iterdir()}
    assert offchain - left_out == set(runner.PURE) - {"tests/model"}


def test_every_forge_test_is_in_one_part() -> None:
    parts = {part.name: part.command for part in runner.test_parts()}
    assert parts["invariants"][-2:] == ("--match-test", "^invariant")
    assert parts["forge"][-2:] == ("--no-match-test", "^invariant")


def test_pure_tests_need_no_contract() -> None:
    """They run while the contracts are compiled."""
    for folder in runner.PURE:
        for file in (ROOT / folder).rglob("*.py"):
            for word in ("local_chain", "chain_fixtures", ".build/forge", "_artifacts"):
                assert word not in file.read_text(), f"{file.relative_to(ROOT)}: {word}"


def test_a_failure_in_a_lane_fails_the_whole(tmp_path: Path) -> None:
    bad = runner.dataclasses.replace(pytest_part(tmp_path, "bad", FAILING), lane=1)
    assert runner.run_all([pytest_part(tmp_path, "good", PASSING), bad]) == 1


def test_a_check_needs_no_tests() -> None:
    assert runner.run_all([runner.Part("check", ("true",), counts_tests=False)]) == 0
    assert runner.run_all([runner.Part("check", ("false",), counts_tests=False)]) == 1


def test_no_part_at_all_is_a_failure_to_name_one() -> None:
    assert runner.main(["test", "no-such-part"]) == 2


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        (
            "Ran 2 test suites in 9.15ms (7.24ms CPU time): 5 tests passed, 1 failed, 2 skipped (8 total tests)",
            (5, 1, 2),
        ),
        ("============================== 1 passed in 1.66s ===============================", (1, 0, 0)),
        ("=== 2 failed, 40 passed, 3 skipped, 1 warning, 4 errors in 75.10s (0:01:15) ===", (40, 6, 3)),
        ("1 failed, 17 passed in 0.22s", (17, 1, 0)),
        ("============================ no tests ran in 0.01s =============================", None),
        ("asyncio: mode=auto, 3 passed earlier", None),
    ],
)
def test_closing_lines_are_read(line: str, counts: tuple[int, int, int] | None) -> None:
    assert runner.counts_in(line) == counts
