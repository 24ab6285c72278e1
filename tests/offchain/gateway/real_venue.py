"""The real sequencer and projector as processes on a temporary folder, fed with deposits through the inbox."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from offchain.domain.batch import batch_rules
from offchain.domain.chainlog import AnyChainLog, Deposited, MarketListed
from offchain.domain.command import OpenVenue
from offchain.domain.limits import BLOCK_GAS_LIMIT, ORDER_RULES_MAX
from offchain.domain.units import Address
from offchain.security.signatures import address_of
from offchain.storage.ops import Ops

CHAIN_ID = 998
VAULT, SETTLEMENT, COMMITMENT, QUOTE, BASE, ETH = (Address("0x" + f"{n}{n}" * 20) for n in range(1, 7))
OPERATOR = [Address("0x" + f"{n:02x}" * 20) for n in (0xA1, 0xA2, 0xA3)]
ATTESTATION_KEY = b"\x07" * 32
ATTESTER = address_of(ATTESTATION_KEY)
OPENED = OpenVenue(
    chain_id=CHAIN_ID,
    vault=VAULT,
    settlement=SETTLEMENT,
    commitment=COMMITMENT,
    quote_token=QUOTE,
    quote_decimals=6,
    fee_account=OPERATOR[0],
    treasury_account=OPERATOR[1],
    insurance_account=OPERATOR[2],
    maker_fee_ppm=1_000,
    taker_fee_ppm=2_500,
    batch_interval_millis=200,
    batch_gas_max=1_400_000,
    fills_per_immediate_order_max=13,
    batch_rules=batch_rules(BLOCK_GAS_LIMIT),
    order_rules=ORDER_RULES_MAX,
)


class RealVenue:
    """`folder` keeps everything; `start` may be called again after `kill`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.history_url = f"sqlite:///{folder / 'history.sqlite'}"
        self.ops_url = f"sqlite:///{folder / 'ops.sqlite'}"
        self.journal_folder = folder / "journal"
        self._processes: dict[str, subprocess.Popen] = {}
        self._logs = 0

    def start(self, *roles: str, **options) -> None:
        arguments = {
            "data": str(self.folder),
            "socket": str(self.socket),
            "ops": self.ops_url,
            "history": self.history_url,
        }
        for role in roles:
            command = [sys.executable, __file__, role, json.dumps(arguments | options)]
            with (self.folder / f"{role}.log").open("ab") as log:
                self._processes[role] = subprocess.Popen(command, stdout=log, stderr=log)

    def tell(self, role: str, number: int) -> None:
        self._processes[role].send_signal(number)

    def kill(self, role: str, number: int = signal.SIGKILL) -> None:
        process = self._processes.pop(role)
        process.send_signal(number)
        process.wait(10)

    def stop(self) -> None:
        for role in list(self._processes):
            self.kill(role, signal.SIGTERM)

    def list_markets(self) -> None:
        fields = {"market": 1, "base_token": BASE, "base_atoms_per_lot": 10**14, "quote_atoms_per_tick_lot": 10}
        eth = {"market": 2, "base_token": ETH, "base_atoms_per_lot": 10**15, "quote_atoms_per_tick_lot": 10}
        decimals = {"base_decimals": 18, "quote_decimals": 6}
        self.observe(MarketListed, symbol="BTC-USDC", **fields, **decimals)
        self.observe(MarketListed, symbol="ETH-USDC", **eth, **decimals)

    def deposit(self, account: Address, token: Address, amount: int) -> None:
        """Once per account and token."""
        self.observe(Deposited, account=account, token=token, amount=amount, balance=amount)

    def observe(self, kind: type[AnyChainLog], **fields) -> None:
        self._logs += 1
        head = {"event_sequence": self._logs, "block_number": self._logs, "block_time": int(time.time())}
        ops = Ops(self.ops_url)
        try:
            ops.append_inbox([kind(**head, transaction="0x" + "00" * 32, **fields)], self._logs, head["block_time"])
        finally:
            ops.close()


def publish(data: Path, options: dict) -> int:
    import uvloop

    from offchain.gateway.publish import run_publisher
    from offchain.gateway.settings import PublisherSettings

    settings = PublisherSettings(
        socket=data / "p",
        sequencer_socket=Path(options["socket"]),
        history_url=options["history"],
        journal_folder=data / "journal",
        snapshots_folder=data / "snapshots",
        chain_id=CHAIN_ID,
        quote_token=QUOTE,
    )
    uvloop.run(run_publisher(settings))
    return 0


def main() -> int:
    role, raw = sys.argv[1:]
    options = json.loads(raw)
    data = Path(options["data"])
    if role == "sequencer":
        from offchain.sequencer.serve import run_sequencer
        from offchain.sequencer.settings import SequencerSettings

        return run_sequencer(
            SequencerSettings(
                data=data,
                socket=Path(options["socket"]),
                ops_url=options["ops"],
                venue=OPENED,
                attestation_key=ATTESTATION_KEY,
                epoch_millis=options.get("epoch_millis", 300),
                inbox_poll_millis=10,
            )
        )
    if role == "publisher":
        return publish(data, options)
    from offchain.projector.projector import ProjectorSettings
    from offchain.projector.serve import run_projector

    return run_projector(ProjectorSettings(data=data, ops_url=options["ops"], history_url=options["history"]))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    raise SystemExit(main())
