"""Set the clone up: `.venv` and `node_modules`, exactly as locked, and nothing when they are already there.

With the argument `audit` it sets up what audits the contracts too: slither and halmos, in an environment of their own,
since they want other versions of what `.venv` holds. With `bench` it sets up the order books that `make bench` compares
with, in an environment of their own, since nothing of the product may come to need them.

Only Python 3.11 or 3.12, Node >= 20 with npm, and the PyPI and npm registries are needed; what is missing is named in
one line with its remedy. Each half leaves a stamp inside the folder that it made: a hash of all that the result
depends on. A folder without the right stamp is made anew, so that an interrupted set-up heals itself.
"""

import concurrent.futures
import fcntl
import hashlib
import json
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
NODE_MODULES = ROOT / "node_modules"
AUDIT = ROOT / ".build" / "audit"
BENCH = ROOT / ".build" / "bench" / "peers"
STAMP = ".hooats-stamp"
LAYOUT = "1"  # raise it when this file makes something else of the same locks

BUILD_LOCK = "requirements-build.lock"
DEV_LOCK = "requirements-dev.lock"
AUDIT_LOCK = "requirements-audit.lock"
BENCH_LOCK = "requirements-bench.lock"
FOUNDRY_VERSION = "1.7.1"


class Missing(Exception):
    """A prerequisite is not there; the message is one line that says which one, and what to do."""


def main(wanted=()) -> int:
    """Set up what is not set up; return the exit code."""
    with (ROOT / "toolchain" / "setup.py").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once: the second one waits, then finds it done
        try:
            check_node()
            make_halves()
            if "audit" in wanted:
                once(AUDIT, audit_key(), make_audit, "slither and halmos, 400 MB on disk, under a minute")
            if "bench" in wanted:
                once(BENCH, bench_key(), make_bench, "other order books, 500 MB on disk, one to two minutes")
        except Missing as missing:
            print(f"hooats: {missing}", file=sys.stderr)
            return 1
        except subprocess.CalledProcessError as failed:
            command = " ".join(str(part) for part in failed.cmd)
            print(f"hooats: set-up failed in: {command}", file=sys.stderr)
            return 1
    return 0


def make_halves() -> None:
    """Side by side: each waits for its registry and the disk at other times."""
    halves = (
        (VENV, python_key(), make_venv, "Python packages, 550 MB on disk, one to three minutes"),
        (NODE_MODULES, node_key(), make_node_modules, "compilers and libraries, 300 MB on disk, under a minute"),
    )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for made in [pool.submit(once, *half) for half in halves]:
            made.result()


def once(folder, key, make, expected="") -> None:
    """Call `make` unless `folder` bears the stamp `key`; `expected` tells whoever waits how much it is."""
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text() == key:
        return
    start = time.monotonic()
    print(f"setting up {folder.name}" + (f" ({expected})" if expected else "") + " ...", flush=True)
    make()
    stamp.write_text(key)
    print(f"setting up {folder.name}: {time.monotonic() - start:.0f} s", flush=True)


def key_of(*parts: str, files: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for part in (*parts, *((ROOT / name).read_text() for name in files)):
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


# Python


def machine() -> tuple[str, ...]:
    return platform.python_version(), platform.system(), platform.machine()


def python_key() -> str:
    # Of pyproject.toml only what gets installed counts: a changed linter setting is no reason to begin anew.
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = json.dumps([pyproject["build-system"], pyproject["project"], pyproject["tool"]["hatch"]])
    return key_of(LAYOUT, str(ROOT), *machine(), installed, files=(BUILD_LOCK, DEV_LOCK))


def make_venv() -> None:
    install = make_environment(VENV)
    run([*install, "--require-hashes", "-r", ROOT / DEV_LOCK])
    run([*install, "--editable", ROOT])
    site = next((VENV / "lib").glob("python3.*/site-packages"))
    environment = str(ROOT / "toolchain" / "environment.py")
    (site / "hooats_environment.pth").write_text(f"import runpy; runpy.run_path({environment!r})\n")


def make_environment(folder):
    """Make a bare environment anew, with what builds source-only packages; return the command that installs into it."""
    if folder.exists():
        shutil.rmtree(folder)
    made = run([sys.executable, "-m", "venv", folder], check=False, capture_output=True)
    if made.returncode != 0:
        raise Missing("Python's venv module is missing: install it (on Debian and Ubuntu: apt install python3-venv)")
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # Bytecode is made when a module is first imported: most never are.
    install = [*pip, "install", "-qq", "--no-compile", "--no-deps", "--no-build-isolation"]
    # Source-only packages are built by the locked setuptools, not by whichever one is newest today.
    run([*install, "--require-hashes", "--only-binary", ":all:", "-r", ROOT / BUILD_LOCK])
    return install


def audit_key() -> str:
    return key_of(LAYOUT, str(ROOT), *machine(), files=(BUILD_LOCK, AUDIT_LOCK))


def make_audit() -> None:
    run([*make_environment(AUDIT), "--require-hashes", "-r", ROOT / AUDIT_LOCK])


def bench_key() -> str:
    return key_of(LAYOUT, str(ROOT), *machine(), files=(BUILD_LOCK, BENCH_LOCK))


def make_bench() -> None:
    run([*make_environment(BENCH), "--require-hashes", "-r", ROOT / BENCH_LOCK])


# Node


def check_node() -> None:
    remedy = "install Node.js 20 or newer with npm"
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is missing: {remedy}")
    version = run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        raise Missing(f"node {version} is too old: {remedy}")


def node_key() -> str:
    return key_of(LAYOUT, platform.system(), platform.machine(), files=("package.json", "package-lock.json"))


def make_node_modules() -> None:
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    run(["npm", "ci", *quiet], stdout=subprocess.DEVNULL)
    # The lock holds the native Foundry builds that its registry had when it was made; others come by version.
    native = [f"@foundry-rs/{tool}-{foundry_platform()}" for tool in ("forge", "anvil", "cast")]
    lacking = [f"{name}@{FOUNDRY_VERSION}" for name in native if not (NODE_MODULES / name).is_dir()]
    if lacking:
        fetched = run(["npm", "install", "--no-save", "--no-package-lock", *quiet, *lacking], check=False)
        if fetched.returncode != 0:
            print(f"hooats: no {' '.join(lacking)}: let HOOATS_FOUNDRY_BIN name a folder with forge, anvil and cast")


def foundry_platform() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}-{machine}"


def run(command, *, check=True, **options):
    return subprocess.run(command, cwd=ROOT, check=check, stdin=subprocess.DEVNULL, **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
