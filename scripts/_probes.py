"""What is not established about an endpoint of HyperEVM, asked one question at a time.

Invariant: a question that cannot be answered says why; nothing is sent unless a key is given, and then only transfers
of nothing to oneself. Answers are what was seen, not what is documented. Deliberately no conclusions: a person reads
the report and changes the settings.
"""

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from offchain.domain.errors import HooatsError
from scripts._accounts import Signer
from scripts._chain import BIG_BLOCK_GAS, FEE_HEADROOM, Chain, reason_of, transaction_hash

RANGES: Final = (50, 51, 100, 1_000, 10_000)
"""Blocks of eth_getLogs that are tried; HyperEVM documents 50."""
ETHERSCAN_CHAINS: Final = "https://api.etherscan.io/v2/chainlist"
SAMPLE_BLOCKS: Final = 30
TRANSFER_GAS: Final = 21_000
BUMPS_PERCENT: Final = (1, 5, 10, 12, 50, 100)
NONCES_AHEAD: Final = 12
MINED_SECONDS: Final = 30
UNUSED: Final = "0x000000000000000000000000000000000000dead"


class Answer(NamedTuple):
    """`value` is "yes", "no", a value, or "unknown"; `detail` what was seen, or why it is unknown."""

    question: str
    value: str
    detail: str = ""


class Probe:
    """One endpoint. `signer` None: nothing is sent."""

    def __init__(self, chain: Chain, signer: Signer | None, fetch: Callable[[str], Any]) -> None:
        self._chain = chain
        self._signer = signer
        self._fetch = fetch

    def run(self) -> list[Answer]:
        questions: list[tuple[str, Callable[[], tuple[str, str]]]] = [
            ("Which gas limit do small blocks have?", self._gas_limit),
            ("How long is a small block?", self._block_time),
            ("Does it answer eth_usingBigBlocks and eth_bigBlockGasPrice?", self._big_blocks),
            ("Does eth_getLogs take a blockHash?", self._logs_by_hash),
            ("Which range does eth_getLogs take?", self._log_range),
            ("Do the tags safe and finalized resolve?", self._tags),
            ("Does it answer for the state of an old block?", self._old_state),
            ("Is the chain in Etherscan's list?", self._etherscan),
            ("What is the largest contract that it takes?", self._code_size),
            ("Was a reorg seen?", self._reorg),
            ("Does eth_getTransactionByHash find a pending transaction?", self._pending_lookup),
            ("Does the pending nonce count what is not mined?", self._pending_nonce),
            ("By how much must a replacement raise its fees?", self._replacement),
            ("How many nonces ahead does the mempool take?", self._nonce_window),
        ]
        return [self._answer(question, ask) for question, ask in questions]

    def _answer(self, question: str, ask: Callable[[], tuple[str, str]]) -> Answer:
        try:
            return Answer(question, *ask())
        except HooatsError as error:
            return Answer(question, "unknown", f"because {error.message}")

    # --- read only ---

    def _gas_limit(self) -> tuple[str, str]:
        head = int(self._chain.block()["number"])
        limits = sorted({int(self._chain.block(number)["gasLimit"]) for number in range(max(0, head - 9), head + 1)})
        return f"{limits[0]:,}", f"limits of the last blocks: {', '.join(f'{limit:,}' for limit in limits)}"

    def _block_time(self) -> tuple[str, str]:
        last = self._chain.block()
        first = self._chain.block(max(0, int(last["number"]) - SAMPLE_BLOCKS))
        blocks = int(last["number"]) - int(first["number"])
        if not blocks:
            return "unknown", "because the chain has one block"
        seconds = int(last["timestamp"]) - int(first["timestamp"])
        return f"{seconds / blocks:.2f} s", f"{blocks} blocks in {seconds} s"

    def _big_blocks(self) -> tuple[str, str]:
        flag = self._chain.ask("eth_usingBigBlocks", UNUSED)
        price = self._chain.ask("eth_bigBlockGasPrice")
        is_known = "error" not in flag and "error" not in price
        return ("yes" if is_known else "no"), f"flag: {_said(flag)}; price: {_said(price)}"

    def _logs_by_hash(self) -> tuple[str, str]:
        block = self._chain.block()
        answer = self._chain.ask("eth_getLogs", {"blockHash": "0x" + bytes(block["hash"]).hex()})
        return ("yes" if isinstance(answer.get("result"), list) else "no"), _said(answer)

    def _log_range(self) -> tuple[str, str]:
        head = int(self._chain.block()["number"])
        largest, refusal = 0, ""
        for blocks in RANGES:
            if blocks > head + 1:
                refusal = refusal or f"the chain has {head + 1} blocks"
                break
            query = {"address": UNUSED, "fromBlock": hex(head - blocks + 1), "toBlock": hex(head)}
            answer = self._chain.ask("eth_getLogs", query)
            if "error" in answer:
                refusal = f"{blocks} refused: {_said(answer)}"
                break
            largest = blocks
        if not largest:
            return "unknown", f"because {refusal}"
        return f"at least {largest} blocks", refusal or "more was not tried"

    def _tags(self) -> tuple[str, str]:
        seen = {}
        for tag in ("latest", "safe", "finalized"):
            result = self._chain.ask("eth_getBlockByNumber", tag, False).get("result")
            seen[tag] = int(result["number"], 16) if result else None
        detail = ", ".join(f"{tag} {number}" for tag, number in seen.items())
        return ("yes" if None not in seen.values() else "no"), detail

    def _old_state(self) -> tuple[str, str]:
        head = int(self._chain.block()["number"])
        old = max(0, head - 200)
        answer = self._chain.ask("eth_getBalance", UNUSED, hex(old))
        if "error" in answer:
            return "no", _said(answer)
        return "answers", f"block {old}; HyperEVM documents that the latest state is given instead, without an error"

    def _etherscan(self) -> tuple[str, str]:
        listed = self._fetch(ETHERSCAN_CHAINS)
        ids = {str(row.get("chainid")) for row in listed.get("result", [])}
        return ("yes" if str(self._chain.id) in ids else "no"), f"{len(ids)} chains listed"

    def _code_size(self) -> tuple[str, str]:
        """A creation that is only called: nothing is sent."""
        taken = 0
        for size in (24_576, 24_577, 32_768, 49_152):
            # PUSH3 size, PUSH1 0, RETURN: that many zeros as code.
            code = "0x62" + size.to_bytes(3, "big").hex() + "6000f3"
            request = {"from": UNUSED, "data": code, "gas": hex(BIG_BLOCK_GAS)}
            answer = self._chain.ask("eth_call", request, "latest")
            if "error" in answer:
                return (f"{taken:,} bytes" if taken else "unknown"), f"{size:,} refused: {_said(answer)}"
            taken = size
        return f"at least {taken:,} bytes", "more was not tried"

    def _reorg(self) -> tuple[str, str]:
        head = int(self._chain.block()["number"])
        numbers = range(max(0, head - 5), head + 1)
        before = {number: bytes(self._chain.block(number)["hash"]) for number in numbers}
        time.sleep(2)
        changed = [number for number in numbers if bytes(self._chain.block(number)["hash"]) != before[number]]
        if changed:
            return "yes", f"block {changed[0]} changed its hash within two seconds"
        return "no", f"blocks {numbers[0]} to {head} kept their hashes for two seconds; longer was not looked"

    # --- with a key ---

    def _pending_lookup(self) -> tuple[str, str]:
        signer = self._require_key()
        nonce = self._chain.nonce(signer.address)
        sent = self._transfer(nonce, self._base_fee())
        found = self._chain.ask("eth_getTransactionByHash", sent).get("result")
        self._wait(nonce + 1)
        if found is None:
            return "no", "null right after it was taken"
        is_pending = found.get("blockNumber") is None
        return ("yes", "without a block") if is_pending else ("unknown", "because it was mined before it was asked for")

    def _pending_nonce(self) -> tuple[str, str]:
        signer = self._require_key()
        nonce = self._chain.nonce(signer.address)
        self._transfer(nonce, self._base_fee())
        seen = int(self._chain.ask("eth_getTransactionCount", signer.address, "pending")["result"], 16)
        mined = int(self._chain.ask("eth_getTransactionCount", signer.address, "latest")["result"], 16)
        self._wait(nonce + 1)
        if mined > nonce:
            return "unknown", "because it was mined before the count was asked for"
        return ("yes" if seen > mined else "no"), f"latest {mined}, pending {seen}"

    def _replacement(self) -> tuple[str, str]:
        """Two nonces ahead, so that nothing is mined before the gap is closed."""
        signer = self._require_key()
        nonce = self._chain.nonce(signer.address)
        base_fee = self._base_fee()
        self._transfer(nonce + 1, base_fee)
        refused = []
        try:
            for percent in BUMPS_PERCENT:
                try:
                    self._transfer(nonce + 1, base_fee, percent)
                except HooatsError as error:
                    refused.append(f"{percent} %: {error.message}")
                    continue
                return f"{percent} % is enough", "; ".join(refused) or "less was not tried"
            return "none was taken", "; ".join(refused)
        finally:
            self._transfer(nonce, self._base_fee())
            self._wait(nonce + 2)

    def _nonce_window(self) -> tuple[str, str]:
        signer = self._require_key()
        nonce = self._chain.nonce(signer.address)
        taken, refusal = 0, "more was not tried"
        for ahead in range(1, NONCES_AHEAD + 1):
            try:
                self._transfer(nonce + ahead, self._base_fee())
            except HooatsError as error:
                refusal = f"{ahead} ahead refused: {error.message}"
                break
            taken = ahead
        self._transfer(nonce, self._base_fee())
        self._wait(nonce + taken + 1)
        return f"{taken + 1} with the next one" if taken < NONCES_AHEAD else f"at least {taken + 1}", refusal

    def _require_key(self) -> Signer:
        if self._signer is None:
            raise NotAsked("nothing is sent without --send and a funded key")
        return self._signer

    def _base_fee(self) -> int:
        return int(self._chain.block().get("baseFeePerGas", 0))

    def _transfer(self, nonce: int, base_fee: int, percent: int = 0) -> str:
        """Nothing to oneself, for `percent` more in both fees than at 0, rounded up."""
        signer = self._require_key()
        fee, tip = (-(-max(1, of) * (100 + percent) // 100) for of in (base_fee * FEE_HEADROOM, base_fee // 100))
        raw = signer.sign(
            {
                "type": 2,
                "chainId": self._chain.id,
                "nonce": nonce,
                "to": self._chain.web3.to_checksum_address(signer.address),
                "value": 0,
                "data": b"",
                "gas": TRANSFER_GAS,
                "maxFeePerGas": fee,
                "maxPriorityFeePerGas": tip,
            }
        )
        self._chain.send(raw)
        return transaction_hash(raw)

    def _wait(self, nonce: int) -> None:
        deadline = time.monotonic() + MINED_SECONDS
        signer = self._require_key()
        while int(self._chain.ask("eth_getTransactionCount", signer.address, "latest")["result"], 16) < nonce:
            if time.monotonic() > deadline:
                raise NotAsked(f"its transactions were not mined in {MINED_SECONDS} s")
            time.sleep(0.2)


class NotAsked(HooatsError):
    """A question that could not be put."""


def report(chain_id: int, endpoint: str, answers: list[Answer]) -> str:
    """The answers as Markdown."""
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    lines = [f"# Endpoint of chain {chain_id}", "", f"{endpoint}, {at}", ""]
    lines += ["| question | answer | seen |", "|---|---|---|"]
    for answer in answers:
        lines.append(f"| {answer.question} | {answer.value} | {answer.detail.replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def fetch_json(url: str) -> Any:
    """A public page; `NotAsked` if it cannot be had."""
    import httpx

    try:
        return httpx.get(url, timeout=15).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise NotAsked(f"{url.split('/')[2]} does not answer: {type(error).__name__}") from None


def _said(answer: dict[str, Any]) -> str:
    """An answer in a few words."""
    if "error" in answer:
        error = answer["error"]
        return reason_of(ValueError(error.get("message", error) if isinstance(error, dict) else error))[:120]
    result = answer.get("result")
    return f"{len(result)} logs" if isinstance(result, list) else str(result)[:80]
