"""What the demo says at the end: figures, and claims that were each checked.

Invariant: a claim that is not checked counts as failed, unless it was left out on purpose, which the report says.
"""

import sys
import time
from statistics import quantiles

CLAIMS = {
    "handed_over": "vault, settlement, commitment and issuer answer to the timelock, and no longer to the deployer",
    "relayed_deposit": "a wallet without gas deposited by a permit that the venue's relay sent",
    "relayed_agent": "it had an agent registered the same way, whose orders were refused before and taken after",
    "market_opened": "a market opened through the factory: synth, price, terms, pool, listing, by the list keeper",
    "market_book": "the new market traded in the book",
    "market_pool": "its synth traded with the AMM pool from a wallet",
    "amm_leg": "an order filled by the pool in a batch of the exchange",
    "liquidated": "a position below its maintenance ratio liquidated by the keeper",
    "settled": "every fill settled or refused on chain, none twice",
    "reconciled": "settled == Vault for every account and token, exactly",
    "conserved": "conservation per token",
    "replayed": "a clean replay of the journal gives the state hash of every committed epoch",
    "acknowledged": "every acknowledged order is in the journal",
    "on_chain_cancel": "an order cancelled on chain left the book",
    "request": "a withdrawal request left the tradable balance at once",
    "keeper_killed": "a keeper killed with SIGKILL went on",
    "node_killed": "the node killed with SIGKILL came back with every acknowledged order",
    "proof_cli": "one order proved by hooats verify",
    "proof_contract": "the same proof by OrderbookCommitment.verifyOrder",
    "proof_openzeppelin": "the same proof by @openzeppelin/merkle-tree",
    "tampered": "a tampered copy refused by all three",
    "instant": "an instant withdrawal, countersigned and relayed",
    "as_cxpt": "a withdrawal as CXPT",
    "forced": "a forced withdrawal with the operator stopped",
}

JOURNEYS = {
    "contract developer": (
        "contracts compiled and called on a chain with HyperEVM's parameters",
        ("settled", "conserved"),
    ),
    "deployer": (
        "contracts deployed, handed to the timelock, a market opened through them",
        ("handed_over", "market_opened"),
    ),
    "operator": (
        "node and keeper killed and back, nothing lost",
        ("keeper_killed", "node_killed", "acknowledged", "replayed"),
    ),
    "trader": (
        "a deposit without gas, orders in book and pool, one cancelled on chain, three ways out",
        (
            "relayed_deposit",
            "market_book",
            "market_pool",
            "amm_leg",
            "on_chain_cancel",
            "reconciled",
            "instant",
            "as_cxpt",
            "forced",
        ),
    ),
    "market maker": (
        "an agent's key quoted, a minted synth sold in the book, a weak debt liquidated",
        ("relayed_agent", "market_book", "liquidated"),
    ),
    "verifier": (
        "an order proved three ways, tampered copies refused, the log replayed to the root",
        ("proof_cli", "proof_contract", "proof_openzeppelin", "tampered", "replayed"),
    ),
}
"""One line for each user: what the run did for them, and the claims that it stands on."""


class Report:
    """Collects figures and claims; prints progress as it goes."""

    def __init__(self) -> None:
        self.verdict: bool | None = None
        """Whether every claim held; None until the report is printed."""
        self._begun = time.monotonic()
        self._held: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._skipped: dict[str, str] = {}
        self._figures: list[tuple[str, str]] = []

    def say(self, words: str) -> None:
        """A line of progress."""
        print(f"[{time.monotonic() - self._begun:6.1f} s] {words}", flush=True)

    def progress(self, words: str) -> None:
        """A line that the next one overwrites on a terminal; nothing elsewhere."""
        if sys.stdout.isatty():
            print(f"\r[{time.monotonic() - self._begun:6.1f} s] {words}\x1b[K", end="", flush=True)

    def end_progress(self) -> None:
        if sys.stdout.isatty():
            print(flush=True)

    def figure(self, name: str, value: object) -> None:
        self._figures.append((name, str(value)))

    def check(self, claim: str, held: bool, detail: str = "") -> bool:
        """Records a claim's result; a claim that failed once stays failed."""
        assert claim in CLAIMS, claim
        if held and claim not in self._failed:
            self._held[claim] = detail
        elif not held:
            self._held.pop(claim, None)
            self._failed[claim] = detail or "did not hold"
            self.say(f"FAILED: {CLAIMS[claim]}: {detail}")
        return held

    def skip(self, claim: str, why: str) -> None:
        """A claim that this run does not try."""
        assert claim in CLAIMS, claim
        self._skipped[claim] = why

    def finish(self) -> bool:
        """Prints the report; True only if every claim held."""
        print("\n" + "=" * 78)
        width = max(len(name) for name, _ in self._figures) if self._figures else 0
        for name, value in self._figures:
            print(f"  {name.ljust(width)}  {value}")
        print("-" * 78)
        for claim, words in CLAIMS.items():
            is_skipped = claim in self._skipped and claim not in self._failed
            mark = "ok    " if claim in self._held else "skip  " if is_skipped else "FAILED"
            detail = (self._skipped | self._failed | self._held).get(claim, "not checked")
            print(f"  {mark} {words}" + (f" ({detail})" if detail else ""))
        print("-" * 78)
        for user, (words, claims) in JOURNEYS.items():
            open_claims = [claim for claim in claims if claim not in self._held]
            skipped = [claim for claim in open_claims if claim in self._skipped and claim not in self._failed]
            mark = "FAILED" if len(skipped) < len(open_claims) else "skip  " if skipped else "ok    "
            why = f" (without: {', '.join(CLAIMS[claim] for claim in skipped)})" if skipped else ""
            print(f"  {mark} {user}: {words}{why}")
        print("=" * 78)
        good = self.verdict = not self._failed and set(self._held) | set(self._skipped) == set(CLAIMS)
        seconds = time.monotonic() - self._begun
        left_out = f", {len(self._skipped)} left out" if self._skipped else ""
        print(f"{'every claim held' if good else 'NOT every claim held'}{left_out}, {seconds:.0f} s", flush=True)
        return good


def percentiles(values: list[float]) -> str:
    """`p50 / p99 / max` in milliseconds of a list of seconds."""
    if len(values) < 2:
        return "too few samples"
    cuts = quantiles(values, n=100)
    return f"{cuts[49] * 1000:.1f} / {cuts[98] * 1000:.1f} / {max(values) * 1000:.1f} ms"
