"""Reads of a public endpoint: few requests, small ranges, and a revert that is no failure."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_abi.abi import encode
from web3 import HTTPProvider, Web3

sys.path.append(str(Path(__file__).resolve().parents[1]))

from chaos_rpc import ChaosRpc, Faults
from local_chain import ADMIN, LocalChain, artifact

from offchain.chain.contracts import Token
from offchain.domain.units import Address
from scripts._chain import AGGREGATE, MULTICALL, Chain

PAUSE = 0.001


@pytest.fixture
def proxy() -> Iterator[ChaosRpc]:
    anvil = LocalChain().start()
    anvil.fund(ADMIN)
    anvil.rpc("evm_setBlockGasLimit", hex(30_000_000))
    proxy = ChaosRpc(anvil.url, Faults(range_blocks=50)).start()
    yield proxy
    proxy.stop()
    anvil.stop()


def token(proxy: ChaosRpc) -> Address:
    """A test USDC, and blocks after it."""
    anvil = proxy.answer
    code = "0x" + artifact("TestUSDC")["bytecode"]["object"][2:]
    anvil({"id": 1, "method": "anvil_impersonateAccount", "params": [ADMIN]})
    fields = {"from": ADMIN, "data": code, "gas": hex(2_500_000), "maxFeePerGas": hex(10**10)}
    fields["maxPriorityFeePerGas"] = "0x0"
    sent = anvil({"id": 1, "method": "eth_sendTransaction", "params": [fields]})["result"]
    anvil({"id": 1, "method": "anvil_mine", "params": [hex(120)]})
    receipt = anvil({"id": 1, "method": "eth_getTransactionReceipt", "params": [sent]})["result"]
    return Address(receipt["contractAddress"].lower())


def test_calls_one_by_one_and_together(proxy: ChaosRpc) -> None:
    usdc = token(proxy)
    calls = [(usdc, Token.decimals.encode()), (usdc, b"\x12\x34\x56\x78"), (usdc, Token.balance_of.encode(ADMIN))]
    one_by_one = Chain(Web3(HTTPProvider(proxy.url)), PAUSE).call_many(calls)
    assert one_by_one == [encode(["uint8"], [6]), None, bytes(32)]
    asked: list[bytes] = []

    class WithMulticall(Chain):
        def code(self, address: Address, block: int | None = None) -> bytes:
            return b"\x01" if address == MULTICALL else b""

        def call(self, to: Address, payload: bytes) -> bytes:
            assert to == MULTICALL
            asked.append(payload)
            (batch,) = AGGREGATE.arguments(payload)
            assert [(target, data) for target, _, data in batch] == calls
            return encode(["(bool,bytes)[]"], [[(answer is not None, answer or b"") for answer in one_by_one]])

    assert WithMulticall(Web3(HTTPProvider(proxy.url)), PAUSE).call_many(calls) == one_by_one
    assert len(asked) == 1


def test_logs_in_ranges_that_the_endpoint_serves(proxy: ChaosRpc) -> None:
    usdc = token(proxy)
    chain = Chain(Web3(HTTPProvider(proxy.url)), PAUSE)
    head = int(chain.block()["number"])
    assert chain.logs([usdc], [], 0, head) == []
    assert max(proxy.record.ranges) == 50
    assert sum(proxy.record.ranges) == head + 1
