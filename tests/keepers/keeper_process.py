"""Runs a keeper as a process of its own: `python keeper_process.py NAME SETTINGS.json`."""

import json
import sys
from pathlib import Path

from keepers.loop import KeeperSettings, run_keeper
from keepers.price import PriceSettings
from offchain.chain.registry import load_registry


def main() -> int:
    name, file = sys.argv[1:]
    given = json.loads(Path(file).read_text())
    settings = KeeperSettings(
        rpc_urls=tuple(given["rpc"]),
        registry=load_registry(Path(given["registry"]), given["chain_id"]),
        ops_url=given["ops"],
        key=bytes.fromhex(given["keys"].get(name, "")),
        folder=Path(given["folder"]),
        poll_millis=100,
        resend_millis=1_000,
        lease_seconds=10,
        drain_seconds=5,
        price=PriceSettings(**given["price"]) if "price" in given else None,
    )
    return run_keeper(name, settings)


if __name__ == "__main__":
    sys.exit(main())
