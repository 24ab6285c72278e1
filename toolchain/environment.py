"""What every Python of `.venv` finds in its environment, so that nobody has to export anything.

`toolchain/setup.py` lets the interpreter of `.venv` run this file when it starts. It puts the native forge, anvil and
cast on the path, names the compiler for ape, and keeps ape's own files inside the clone. Nothing here is needed by, or
changes, what runs as a daemon.
"""

import os
import pathlib


def prepare(root: pathlib.Path, environ: "os._Environ[str]") -> None:
    """Fill `environ` for a clone at `root`; what the caller's shell has set on purpose stays."""
    toolchain = str(root / "toolchain")
    path = environ.get("PATH", os.defpath).split(os.pathsep)
    if toolchain not in path:
        environ["PATH"] = os.pathsep.join([toolchain, *path])
    environ["SOLCX_BINARY_PATH"] = str(root / "toolchain" / "solc")
    # Imported accounts live there too: outside `.build`, which `make clean` removes.
    environ.setdefault("APE_DATA_FOLDER", str(root / ".ape"))
    environ.setdefault("HYPEREVM_RPC", "https://rpc.hyperliquid-testnet.xyz/evm")


prepare(pathlib.Path(__file__).resolve().parent.parent, os.environ)
