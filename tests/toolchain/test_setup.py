"""The set-up names what is missing, in one line with its remedy, and does nothing when all is there."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tools(folder: Path, *names: str, **fakes: str) -> str:
    """A search path with nothing but `names` from this machine and `fakes`, scripts that print a text."""
    for name in ("sh", "dirname", *names):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    for name, output in fakes.items():
        (folder / name).write_text(f"#!/bin/sh\necho '{output}'\n")
        (folder / name).chmod(0o755)
    return str(folder)


def setup(path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "toolchain" / "setup"],
        env={"PATH": path, "HOME": os.environ.get("HOME", ""), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"toolchain_{name}", ROOT / "toolchain" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def base_python() -> str:
    return os.path.realpath(sys.executable)


def refused(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    for word in words:
        assert word in ran.stderr


def test_without_python(tmp_path: Path) -> None:
    refused(setup(tools(tmp_path)), "Python 3.11 or 3.12", "install")


def test_with_another_python_only(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    refused(setup(tools(tmp_path)), "Python 3.11 or 3.12", "HOOATS_PYTHON")


def test_without_node(tmp_path: Path) -> None:
    refused(setup(tools(tmp_path), HOOATS_PYTHON=base_python()), "node is missing", "Node.js 20")


def test_without_npm(tmp_path: Path) -> None:
    refused(setup(tools(tmp_path, node="v20.1.0"), HOOATS_PYTHON=base_python()), "npm is missing", "Node.js 20")


def test_with_an_old_node(tmp_path: Path) -> None:
    path = tools(tmp_path, node="v18.19.1", npm="9.2.0")
    refused(setup(path, HOOATS_PYTHON=base_python()), "v18.19.1 is too old", "Node.js 20")


def test_a_second_run_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    script = load("setup")
    monkeypatch.setattr(script, "make_venv", lambda: made.append(".venv"))
    monkeypatch.setattr(script, "make_node_modules", lambda: made.append("node_modules"))
    assert script.main() == 0
    assert made == []


def test_whoever_waits_is_told_how_much_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("setup").once(tmp_path, "key", lambda: None, "9 MB")
    assert capsys.readouterr().out.startswith(f"setting up {tmp_path.name} (9 MB) ...")


def test_an_interrupted_set_up_begins_anew(tmp_path: Path) -> None:
    script = load("setup")

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        script.once(tmp_path, "key", interrupted)
    made: list[str] = []
    for key in ("key", "key", "another key"):
        script.once(tmp_path, key, lambda key=key: made.append(key))
    assert made == ["key", "another key"]


def test_the_environment_of_the_venv() -> None:
    """Nothing has to be exported: the venv's own Python finds the compiler and keeps ape's files in the clone."""
    command = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    seen = json.loads(subprocess.run(command, env={"PATH": "/bin"}, capture_output=True, check=True).stdout)
    assert Path(seen["SOLCX_BINARY_PATH"], "solc-v0.8.30").is_file()
    assert Path(seen["APE_DATA_FOLDER"]) == ROOT / ".ape"
    assert seen["PATH"].split(os.pathsep) == [str(ROOT / "toolchain"), "/bin"]
