"""What the demo claims, checked from outside: the journal replayed from nothing, the chain asked directly.

Invariant: no check asks the process whose work it checks.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from demo.report import Report
from demo.stage import ROOT, Stage, StageFailure, hooats
from demo.trading import Trading
from offchain.chain.contracts import OrderbookCommitment, Settlement
from offchain.chain.reconcile import Comparison, reconcile
from offchain.chain.registry import Registry, load_registry
from offchain.chain.roles import HAS_ROLE
from offchain.chain.rpc import Rpc
from offchain.chain.wallet import Endpoint
from offchain.cli.journals import compare_epochs
from offchain.cli.proofs import header_tuple
from offchain.domain.event import BalanceChanged
from offchain.domain.units import Address
from offchain.projector.replay import Replay, replay_journal

GOVERNED = ("Vault", "Settlement", "OrderbookCommitment", "SynthIssuer")


async def wait(stage: Stage, what: str, is_done: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Polls; `StageFailure` names what did not come."""
    deadline = time.monotonic() + seconds
    while not await is_done():
        if time.monotonic() > deadline:
            raise StageFailure(f"{what} did not come within {seconds:.0f} s")
        stage.check_alive()
        await asyncio.sleep(0.2)


def replay(stage: Stage) -> Replay:
    return replay_journal(stage.data / "journal")


def last_fill(stage: Stage) -> int:
    """Last fill that the chain has settled or refused."""
    contract = load_registry(stage.registry, 998).address("Settlement")
    return int(Endpoint(stage.rpc_url).call(contract, Settlement.last_fill)[0])


def backlog(stage: Stage) -> tuple[int, int, int]:
    """(fills that the ledger has not seen settled, closed epochs that are not committed, committed ones)."""
    replayed = replay(stage)
    contract = load_registry(stage.registry, 998).address("OrderbookCommitment")
    (committed,) = Endpoint(stage.rpc_url).call(contract, OrderbookCommitment.last_epoch)
    matched, settled, refused = replayed.fills()
    return len(matched) - len(settled) - len(refused), len(replayed.headers) - int(committed), int(committed)


async def compare(stage: Stage, registry: Registry) -> tuple[list[BalanceChanged], Comparison]:
    """The replayed ledger, and how it compares with the Vault."""
    replayed = await asyncio.to_thread(replay, stage)
    balances = replayed.balances()
    settled = {(row.account, row.token): row.settled for row in balances}
    async with Rpc([stage.rpc_url]) as rpc:
        sequence = replayed.engine.last_event_sequence
        return balances, await reconcile(rpc, registry.address("Vault"), settled, sequence)


async def wait_reconciled(stage: Stage, registry: Registry, report: Report, seconds: float) -> None:
    """Waits until ledger and Vault stand at one event sequence, then compares every balance."""
    deadline = time.monotonic() + seconds
    balances, comparison = await compare(stage, registry)
    while not comparison.is_comparable and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        balances, comparison = await compare(stage, registry)
    detail = f"{len(balances)} balances at event {comparison.ledger_sequence}"
    if not comparison.agrees:
        detail = f"ledger {comparison.ledger_sequence}, Vault {comparison.vault_sequence}: {comparison.differences[:3]}"
    report.check("reconciled", comparison.agrees, detail)
    tokens = {row.token for row in balances}
    pending = {token: sum(row.pending for row in balances if row.token == token) for token in tokens}
    sums = [difference for difference in comparison.differences if not difference.account]
    held = comparison.is_comparable and not sums and not any(pending.values())
    report.check("conserved", held, f"{len(tokens)} tokens" if held else f"{sums} pending {pending}")


def check_handover(rpc_url: str, registry: Registry, report: Report, deployer: Address) -> None:
    """Who may change what, by the chain's word, before anything is done with it."""
    endpoint, timelock = Endpoint(rpc_url), registry.address("Timelock")

    def is_admin(name: str, who: Address) -> bool:
        return bool(endpoint.call(registry.address(name), HAS_ROLE, bytes(32), who)[0])

    wrong = [name for name in GOVERNED if not is_admin(name, timelock) or is_admin(name, deployer)]
    report.check("handed_over", not wrong, f"not {', '.join(wrong)}" if wrong else f"{len(GOVERNED)} contracts")


def check_journal(stage: Stage, report: Report, trading: Trading) -> None:
    """Every acknowledged order is in the journal at its sequence; the replay reproduces every committed epoch."""
    replayed = replay(stage)
    outcomes = trading.outcomes.values()
    missing = [outcome.digest for outcome in outcomes if outcome.digest not in replayed.orders]
    receipted = [outcome for outcome in outcomes if outcome.sequence]
    moved = [one.digest for one in receipted if replayed.orders.get(one.digest) != one.sequence]
    unsequenced = [outcome for outcome in outcomes if not outcome.sequence]
    missing = [digest for digest in missing if digest not in {one.digest for one in unsequenced}]
    held = not missing and not moved and bool(receipted)
    detail = f"{len(receipted)} receipts" if held else f"missing {missing[:2]}, at another place {moved[:2]}"
    report.check("acknowledged", held, detail)
    report.check("node_killed", held, detail)
    contract = load_registry(stage.registry, 998).address("OrderbookCommitment")
    committed, wrong = compare_epochs(Endpoint(stage.rpc_url), contract, replayed.headers)
    report.check("replayed", 0 < committed <= len(replayed.headers) and not wrong, f"{committed} epochs committed")
    report.figure("epochs committed", committed)
    done = hooats("replay", "--data", str(stage.data), "--registry", str(stage.registry), "--rpc", stage.rpc_url)
    if done.returncode != 0:
        report.check("replayed", False, done.stderr[-200:])


def check_settlement(stage: Stage, report: Report, settler: Address, committer: Address, has_fills: bool) -> None:
    """Each fill is settled or refused exactly once, by the chain's word."""
    replayed = replay(stage)
    matched, settled, refused = replayed.fills()
    held = sorted(settled + refused) == matched and last_fill(stage) == len(matched)
    held = held and (bool(matched) or not has_fills)
    report.check("settled", held, f"{len(settled)} settled, {len(refused)} refused of {len(matched)}")
    report.figure("fills", f"{len(matched)} matched, {len(settled)} settled, {len(refused)} refused")
    report.figure("commands in the journal", f"{replayed.engine.sequence} in {len(replayed.headers)} closed epochs")
    _report_gas(stage, report, len(matched), settler, committer)


def _report_gas(stage: Stage, report: Report, fills: int, settler: Address, committer: Address) -> None:
    """Gas of what settler and committer sent, read from the receipts."""
    endpoint = Endpoint(stage.rpc_url)
    head = int(endpoint.ask("eth_blockNumber"), 16)
    gas: dict[str, list[int]] = {settler: [], committer: []}
    total = 0
    for number in range(1, head + 1):
        for receipt in endpoint.ask("eth_getBlockReceipts", hex(number)) or []:
            total += 1
            if receipt["from"] in gas:
                gas[receipt["from"]].append(int(receipt["gasUsed"], 16))
    report.figure("transactions on chain", f"{total} in {head} blocks")
    if gas[settler]:
        batches = gas[settler]
        report.figure("settle transactions", f"{len(batches)}, largest {max(batches):,} gas")
        report.figure("gas per fill", f"{sum(batches) // max(fills, 1):,}")
    if gas[committer]:
        report.figure("gas per epoch", f"{sum(gas[committer]) // len(gas[committer]):,}")


def check_proofs(stage: Stage, report: Report, trading: Trading) -> None:
    """One order of a committed epoch, proved three ways; a tampered copy refused by all three."""
    committed = {header.epoch: header for header in replay(stage).headers}
    last = max((header.last for header in committed.values()), default=0)
    chosen = next((one for one in trading.outcomes.values() if one.ok and 0 < one.sequence <= last), None)
    if chosen is None:
        report.check("proof_cli", False, "no order in a committed epoch")
        return
    proof = stage.folder / "proof.json"
    done = hooats("prove", chosen.digest, "--api", stage.api_url, "--out", str(proof))
    if done.returncode != 0:
        report.check("proof_cli", False, done.stderr[-300:])
        return
    known = ("--registry", str(stage.registry), "--rpc", stage.rpc_url)
    report.check("proof_cli", hooats("verify", str(proof), *known).returncode == 0, f"sequence {chosen.sequence}")
    report.check("proof_contract", _contract_confirms(stage, proof))
    report.check("proof_openzeppelin", _openzeppelin_confirms(proof))
    tampered = stage.folder / "tampered.json"
    body = json.loads(proof.read_text())
    body["leaf"][0] = int(body["leaf"][0]) + 1 if isinstance(body["leaf"][0], int) else str(int(body["leaf"][0]) + 1)
    tampered.write_text(json.dumps(body))
    refused = [
        hooats("verify", str(tampered), *known).returncode == 1,
        not _contract_confirms(stage, tampered),
        not _openzeppelin_confirms(tampered),
    ]
    report.check("tampered", all(refused), "its sequence raised by one")


def _contract_confirms(stage: Stage, proof: Path) -> bool:
    """The contract asked directly, with nothing of the product between but the ABI."""
    body = json.loads(proof.read_text())
    contract = load_registry(stage.registry, 998).address("OrderbookCommitment")
    path = [bytes.fromhex(node[2:]) for node in body["proof"]]
    leaf = int(body["leaf"][0]), bytes.fromhex(body["leaf"][1][2:])
    arguments = (header_tuple(body["header"]), *leaf, path)
    (held,) = Endpoint(stage.rpc_url).call(contract, OrderbookCommitment.verify_order, *arguments)
    return bool(held)


def _openzeppelin_confirms(proof: Path) -> bool:
    script = str(ROOT / "demo" / "verify_openzeppelin.mjs")
    return subprocess.run(["node", script, str(proof)], cwd=ROOT, capture_output=True, timeout=60).returncode == 0
