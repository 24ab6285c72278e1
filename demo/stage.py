"""The processes of the demo: chain, deployment, node, keepers. Each is a real process with its own log file.

Invariant: whatever was started here is ended here, by its process id, however the demo ends.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from demo.keys import Key
from offchain.domain.errors import ConfigurationError, HooatsError

ROOT = Path(__file__).resolve().parent.parent
COMPILED = ROOT / ".build" / "__local__.json"
"""What ape leaves when it has compiled the contracts."""
CHAIN_ID = 998
BLOCK_GAS = 3_000_000
BASE_FEE = 100_000_000
EPOCH_MILLIS = 5_000
"""Short epochs, so that a run of a minute holds several."""
KEEPERS = ("sync", "commit", "settle", "relay", "price", "list", "liquidate")


class StageFailure(HooatsError):
    """A process of the demo did not come up or went away."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stage:
    """Starts, kills, restarts and stops the processes; `folder` keeps their logs and all state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "node"
        self.keys = folder / "keys"
        self.registry = folder / "deployments" / f"{CHAIN_ID}.json"
        self.prices = folder / "prices.json"
        """The feed of the price keeper."""
        self.rpc_url = ""
        self.api_url = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str]] = {}
        for path in (folder, self.data, self.keys, self.registry.parent, folder / "logs"):
            path.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)  # as a node makes it

    # --- chain ---

    def start_chain(self) -> None:
        port = free_port()
        self.rpc_url = f"http://127.0.0.1:{port}"
        self._start(
            "anvil",
            [
                str(ROOT / "toolchain" / "anvil"),
                f"--port={port}",
                f"--chain-id={CHAIN_ID}",
                "--block-time=1",
                f"--gas-limit={BLOCK_GAS}",
                f"--block-base-fee-per-gas={BASE_FEE}",
                "--hardfork=cancun",
                "--order=fifo",
                "--slots-in-an-epoch=1",
                "--silent",
            ],
        )
        self._wait("anvil", lambda: self.rpc("eth_chainId") == hex(CHAIN_ID), 20)

    def rpc(self, method: str, *params: object) -> object:
        """One JSON-RPC call to the demo's own chain."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = httpx.post(self.rpc_url, json=body, timeout=10).json()
        if "error" in answer:
            raise StageFailure(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def deploy(self, deployer: Key, roles: Mapping[str, str]) -> float:
        """`ape run deploy`; returns its seconds."""
        self.rpc("anvil_setBalance", deployer.address, hex(10**21))
        roles_file = self.folder / "roles.json"
        roles_file.write_text(json.dumps(roles, indent=2))
        environment = {
            "HOOATS_DEPLOYER_KEY_FILE": str(deployer.path),
            "HOOATS_REGISTRY": str(self.registry),
            "APE_DATA_FOLDER": os.environ.get("APE_DATA_FOLDER", str(ROOT / ".build" / "ape")),
            "SOLCX_BINARY_PATH": os.environ.get("SOLCX_BINARY_PATH", str(ROOT / "toolchain" / "solc")),
        }
        ape = str(Path(sys.executable).parent / "ape")
        network = f"hyperliquid:testnet:{self.rpc_url}"
        command = [ape, "run", "deploy", "--network", network, "--roles", str(roles_file)]
        begun = time.monotonic()
        log = self.folder / "logs" / "deploy.log"
        with log.open("wb") as output:
            done = subprocess.run(
                command, cwd=ROOT, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT, timeout=240
            )
        if done.returncode != 0:
            raise StageFailure(f"the deployment failed, see {log}", remedy=_tail(log))
        return time.monotonic() - begun

    # --- node and keepers ---

    def start_node(self, attestation: Key, operator: Key) -> None:
        port = int(self.api_url.rsplit(":", 1)[1]) if self.api_url else free_port()
        self.api_url = f"http://127.0.0.1:{port}"
        flags = ["--data", self.data, "--registry", self.registry, "--attestation-key", attestation.path]
        flags += ["--operator", operator.address]
        self._start("node", [*_hooats("node"), *map(str, flags), f"--port={port}", f"--epoch-millis={EPOCH_MILLIS}"])

    def environment(self) -> dict[str, str]:
        """What the command line needs to know of this venue; without it, every command would take five flags."""
        return {
            "HOOATS_RPC": self.rpc_url,
            "HOOATS_API": self.api_url,
            "HOOATS_REGISTRY": str(self.registry),
            "HOOATS_CHAIN_ID": str(CHAIN_ID),
            "HOOATS_DATA": str(self.data),
        }

    def wait_ready(self, seconds: float = 90) -> None:
        def is_ready() -> bool:
            return httpx.get(f"{self.api_url}/readyz", timeout=2).status_code == 200

        self._wait("node", is_ready, seconds)

    def start_keeper(self, name: str, key: Key | None) -> None:
        flags = ["--data", self.data, "--registry", self.registry, "--rpc", self.rpc_url]
        if name == "price":
            # The demo writes its prices once: they count for as long as it runs.
            flags += ["--source", f"file:{self.prices}", "--max-source-age", "86400"]
        if name == "liquidate":
            flags += ["--api", self.api_url]
        if key is not None:
            flags += ["--key", key.path]
        self._start(name, [*_hooats("keeper", name), *map(str, flags)])

    def kill(self, name: str) -> None:
        """SIGKILL: no chance to clean up."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str, seconds: float = 15) -> None:
        """SIGTERM, and SIGKILL if it does not end."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        for name in reversed(list(self._processes)):
            self.stop(name, 5)

    def check_alive(self) -> None:
        """Raises `StageFailure` if a process that should run has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = self.folder / "logs" / f"{name}.log"
                raise StageFailure(f"{name} ended with status {process.returncode}, see {log}", remedy=_tail(log))

    def take_ended(self) -> list[tuple[str, int, str]]:
        """(name, status, command) of processes that have ended; each is told once, and no longer watched."""
        ended = [(name, process) for name, process in self._processes.items() if process.poll() is not None]
        for name, _ in ended:
            del self._processes[name]
        return [(name, process.returncode, " ".join(self._commands[name])) for name, process in ended]

    def describe(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self._processes.items()}

    def _start(self, name: str, command: list[str]) -> None:
        environment = {**os.environ, "HOOATS_CONFIG": os.devnull}  # not what lies in the checkout
        self._commands[name] = command
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _wait(self, name: str, is_ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                if is_ready():
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        log = self.folder / "logs" / f"{name}.log"
        raise StageFailure(f"{name} was not ready after {seconds:.0f} s, see {log}", remedy=_tail(log))


def hooats(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs the product's own command line, as a user would."""
    command = [*_hooats(), *arguments]
    variables = os.environ | dict(environment or {})
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=timeout)


def require(done: subprocess.CompletedProcess[str]) -> str:
    """Standard output of a command that must have succeeded."""
    if done.returncode != 0:
        raise StageFailure(f"{' '.join(map(str, done.args[-3:]))} failed", remedy=(done.stderr or done.stdout)[-500:])
    return done.stdout


def _hooats(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "offchain.cli", *arguments]


def _tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-1500:]
    except OSError as error:
        raise ConfigurationError(f"no log at {log}") from error
