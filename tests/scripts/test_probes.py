"""The probes, on an anvil and behind HyperEVM's rules: they see the rules, and say what they cannot see."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider, Web3

sys.path.append(str(Path(__file__).resolve().parents[1]))

from chaos_rpc import ChaosRpc, Faults
from local_chain import BLOCK_GAS, LocalChain, key_of

from scripts._accounts import FileSigner
from scripts._chain import Chain
from scripts._probes import Answer, NotAsked, Probe, report

LISTED = {"result": [{"chainid": "1"}, {"chainid": "998"}]}


@pytest.fixture
def anvil() -> Iterator[LocalChain]:
    chain = LocalChain(block_seconds=1).start()
    chain.mine(60)
    yield chain
    chain.stop()


@pytest.fixture
def signer(anvil: LocalChain, tmp_path: Path) -> FileSigner:
    key = tmp_path / "probe.key"
    key.write_text(key_of("probe").hex())
    signer = FileSigner(key, None)
    anvil.fund(signer.address)
    return signer


def answers(url: str, signer: FileSigner | None, fetch: Callable[[str], Any] = lambda url: LISTED) -> dict[str, Answer]:
    probe = Probe(Chain(Web3(HTTPProvider(url))), signer, fetch)
    return {answer.question: answer for answer in probe.run()}


def find(seen: dict[str, Answer], words: str) -> Answer:
    return next(answer for question, answer in seen.items() if words in question)


def test_an_anvil_without_a_key(anvil: LocalChain) -> None:
    def unreachable(url: str) -> Any:
        raise NotAsked("api.etherscan.io does not answer: ConnectError")

    before = anvil.head()
    seen = answers(anvil.url, None, unreachable)
    assert len(seen) == 14
    assert find(seen, "gas limit").value == f"{BLOCK_GAS:,}"
    assert find(seen, "eth_usingBigBlocks").value == "no"
    assert find(seen, "blockHash").value == "yes"
    assert find(seen, "largest contract").value == "24,576 bytes"
    assert find(seen, "Etherscan") == Answer(
        "Is the chain in Etherscan's list?", "unknown", "because api.etherscan.io does not answer: ConnectError"
    )
    unsent = [answer for answer in seen.values() if "nothing is sent without" in answer.detail]
    assert len(unsent) == 4
    assert {answer.value for answer in unsent} == {"unknown"}
    blocks = range(before, anvil.head() + 1)
    assert not any(anvil.rpc("eth_getBlockByNumber", hex(number), False)["transactions"] for number in blocks)


def test_hyperevms_rules_are_seen(anvil: LocalChain, signer: FileSigner) -> None:
    rules = Faults(
        range_blocks=50,
        nonce_window=8,
        replacement_percent=10,
        small_block_gas=BLOCK_GAS,
        client_version="HyperEVM/v1",
    )
    proxy = ChaosRpc(anvil.url, rules).start()
    try:
        seen = answers(proxy.url, signer)
    finally:
        proxy.stop()
    assert find(seen, "eth_usingBigBlocks").value == "yes"
    assert find(seen, "Which range") == Answer(
        "Which range does eth_getLogs take?",
        "at least 50 blocks",
        "51 refused: query exceeds max block range 50",
    )
    assert find(seen, "replacement").value == "10 % is enough"
    assert "5 %: the node refused" in find(seen, "replacement").detail
    assert find(seen, "nonces ahead").value == "8 with the next one"
    assert find(seen, "Etherscan").value == "yes"
    # What was sent is mined: the key is left as it was found.
    assert anvil.rpc("eth_getTransactionCount", signer.address, "latest") == anvil.rpc(
        "eth_getTransactionCount", signer.address, "pending"
    )


def test_an_endpoint_that_fails_answers_nothing_and_everything_is_said(anvil: LocalChain) -> None:
    proxy = ChaosRpc(anvil.url).start()
    try:
        chain = Chain(Web3(HTTPProvider(proxy.url)))
        chain.is_development = False
        proxy.faults.is_down = True
        seen = Probe(chain, None, lambda url: LISTED).run()
    finally:
        proxy.stop()
    assert {answer.value for answer in seen} <= {"unknown", "no", "yes"}
    text = report(998, "somebody", seen)
    assert text.count("\n| ") == 1 + len(seen)
    assert "because" in text
