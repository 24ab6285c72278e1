"""The life of transactions on a real anvil, with what nodes and networks do to them."""

from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from chaos_rpc import ChaosRpc, Faults
from local_chain import ADMIN, BASE_FEE, CHAIN_ID, LocalChain, Venue, address_of, key_of

from offchain.chain.contracts import Settlement, Token
from offchain.chain.fees import FeePolicy
from offchain.chain.refusals import Refusal, classify
from offchain.chain.rpc import Rpc, RpcRefused
from offchain.chain.signing import SigningKey
from offchain.chain.transactions import LOST_NONCE_BLOCKS, LOST_NONCE_LOOKS, Sender
from offchain.domain.errors import ChainError, ChainUnreachable, ConfigurationError
from offchain.storage.ops import Ops
from offchain.storage.transactions import TransactionState

SETTLER = address_of("settler")
POLICY = FeePolicy(cap=100 * BASE_FEE, bump_seconds=10, resend_seconds=3)
GAS = 100_000


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A sender of the settler's key, its chain, and a token whose mint counts what had an effect."""

    def __init__(self, chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc, policy: FeePolicy = POLICY) -> None:
        self.chain, self.venue, self.ops, self.rpc, self.policy = chain, venue, ops, rpc, policy
        self.clock = Clock()
        self.sender = self.restart()

    def restart(self) -> Sender:
        """A new process over the same database."""
        key = SigningKey(key_of("settler"), CHAIN_ID)
        self.sender = Sender(self.rpc, self.ops, key, keeper="settle", fees=self.policy, now=self.clock)
        return self.sender

    async def mint(self, number: int, sender: Sender | None = None) -> None:
        """Job `number` mints 10^number, so that a second effect would show."""
        calldata = Token.mint.encode(SETTLER, 10**number)
        await (sender or self.sender).send(f"batch:{number}", self.venue.usdc, calldata, GAS)

    def minted(self) -> int:
        asked = {"to": self.venue.usdc, "data": "0x" + Token.balance_of.encode(SETTLER).hex()}
        return int(self.chain.rpc("eth_call", asked, "latest"), 16)

    def state(self, number: int) -> TransactionState:
        row = self.ops.transaction_of(f"batch:{number}")
        assert row is not None
        return row.state

    async def until_final(self, *numbers: int, blocks: int = 12) -> None:
        for _ in range(blocks):
            await self.sender.advance()
            if all(self.state(number) is TransactionState.FINAL for number in numbers):
                return
            self.chain.mine()
            self.clock.now += 1
        raise AssertionError({number: self.state(number) for number in numbers})


@pytest.fixture
async def bench(chain: LocalChain, venue: Venue, ops: Ops) -> AsyncIterator[Bench]:
    async with Rpc([chain.url]) as rpc:
        made = Bench(chain, venue, ops, rpc)
        await made.sender.start()
        yield made


async def test_a_life(bench: Bench) -> None:
    await bench.mint(1)
    assert bench.state(1) is TransactionState.SENT
    bench.chain.mine()
    await bench.sender.advance()
    assert bench.state(1) is TransactionState.MINED
    bench.chain.mine()
    (ended,) = await bench.sender.advance()
    assert (ended.job, ended.state) == ("batch:1", TransactionState.FINAL)
    assert bench.minted() == 10


async def test_a_job_has_one_transaction(bench: Bench) -> None:
    for _ in range(3):
        await bench.mint(1)
    await bench.until_final(1)
    await bench.mint(1)
    bench.chain.mine(2)
    await bench.sender.advance()
    assert bench.minted() == 10
    assert int(bench.chain.rpc("eth_getTransactionCount", SETTLER, "latest"), 16) == 1


async def test_eight_in_flight_in_order(bench: Bench) -> None:
    for number in range(10):
        await bench.mint(number)
    assert [row.nonce for row in bench.sender.open()] == list(range(8))
    assert bench.sender.room() == 0
    await bench.until_final(*range(8))
    assert bench.sender.room() == 8
    assert bench.minted() == 11_111_111


async def test_a_stuck_transaction_is_replaced_at_its_nonce(bench: Bench) -> None:
    await bench.mint(1)
    first = bench.sender.open()[0]
    bench.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(30 * BASE_FEE))
    bench.chain.mine()
    assert bench.minted() == 0
    bench.clock.now += 2
    await bench.sender.advance()
    attempts = bench.ops.attempts(first.id)
    assert len(attempts) == 2
    assert attempts[1].max_fee * 8 >= attempts[0].max_fee * 9
    assert attempts[1].priority_fee > attempts[0].priority_fee
    assert bench.sender.open()[0].nonce == first.nonce
    await bench.until_final(1)
    assert bench.minted() == 10


async def test_a_late_transaction_is_bumped_again_and_again_up_to_the_cap(bench: Bench) -> None:
    bench.policy = FeePolicy(cap=5 * BASE_FEE // 2, bump_seconds=10, resend_seconds=3)
    sender = bench.restart()
    await bench.mint(1)
    row = sender.open()[0]
    for _ in range(30):
        bench.clock.now += 11
        await sender.advance()
    attempts = bench.ops.attempts(row.id)
    assert 2 <= len(attempts) < 30, "the cap ends it"
    assert max(attempt.max_fee for attempt in attempts) <= bench.policy.cap
    sizes = [attempt.max_fee for attempt in attempts]
    assert all(new * 8 >= old * 9 for old, new in pairwise(sizes))
    await bench.until_final(1)
    assert bench.minted() == 10


async def test_the_receipt_of_an_older_version_counts(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    """The replacement never reaches the node that mines."""
    proxy = ChaosRpc(chain.url).start()
    async with Rpc([proxy.url]) as rpc:
        bench = Bench(chain, venue, ops, rpc)
        await bench.mint(1)
        proxy.faults.lose_transactions = 1
        bench.clock.now += 11
        await bench.sender.advance()
        row = bench.sender.open()[0]
        older, newer = ops.attempts(row.id)
        assert row.hash == newer.hash
        await bench.until_final(1)
        found = ops.transaction_of("batch:1")
        assert found is not None and found.hash == older.hash
        assert bench.minted() == 10
    proxy.stop()


async def test_a_dropped_transaction_is_sent_again_with_the_same_bytes(bench: Bench) -> None:
    await bench.mint(1)
    row = bench.sender.open()[0]
    bench.chain.rpc("anvil_dropTransaction", row.hash)
    bench.chain.mine(2)
    bench.clock.now += 4
    await bench.sender.advance()
    assert len(bench.ops.attempts(row.id)) == 1
    await bench.until_final(1)
    assert bench.minted() == 10


async def test_a_reorg_unmines_and_the_same_bytes_are_sent_again(bench: Bench) -> None:
    await bench.mint(1)
    bench.chain.mine()
    await bench.sender.advance()
    assert bench.state(1) is TransactionState.MINED
    bench.chain.rpc("anvil_reorg", 1, [])
    await bench.sender.advance()
    assert bench.state(1) is TransactionState.SENT
    assert bench.minted() == 0
    await bench.until_final(1)
    assert bench.minted() == 10


async def test_a_final_transaction_that_a_reorg_takes_after_all_is_sent_again(bench: Bench) -> None:
    await bench.mint(1)
    await bench.until_final(1)
    bench.chain.rpc("anvil_reorg", 2, [])
    assert bench.minted() == 0
    await bench.mint(2)
    await bench.until_final(2)
    assert bench.minted() == 110


async def test_a_nonce_that_somebody_else_used_fails_and_the_next_is_free(bench: Bench) -> None:
    await bench.mint(1)
    bench.chain.rpc("anvil_dropTransaction", bench.sender.open()[0].hash)
    bench.chain.do(SETTLER, bench.venue.usdc, Token.approve.encode(ADMIN, 1))
    ended = []
    for _ in range(LOST_NONCE_BLOCKS + LOST_NONCE_LOOKS + 4):
        bench.clock.now += 1
        ended += await bench.sender.advance()
        bench.chain.mine()
    assert [row.state for row in ended] == [TransactionState.FAILED]
    assert "another transaction" in ended[0].error
    await bench.mint(1)
    await bench.until_final(1)
    assert bench.minted() == 10


async def test_a_receipt_that_lags_behind_the_nonce_is_waited_for(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    proxy = ChaosRpc(chain.url, Faults(null_receipts=1)).start()
    async with Rpc([proxy.url]) as rpc:
        bench = Bench(chain, venue, ops, rpc)
        await bench.mint(1)
        chain.mine(2)
        for _ in range(4):
            assert await bench.sender.advance() == []
            chain.mine()
        proxy.faults.null_receipts = 0
        (ended,) = await bench.sender.advance()
        assert ended.state is TransactionState.FINAL
    proxy.stop()


async def test_a_key_that_was_used_elsewhere_before_starts_at_the_chains_nonce(bench: Bench) -> None:
    for _ in range(3):
        bench.chain.do(SETTLER, bench.venue.usdc, Token.approve.encode(ADMIN, 1))
    await bench.restart().start()
    await bench.mint(1)
    assert bench.sender.open()[0].nonce == 3
    await bench.until_final(1)


async def test_a_revert_fails_the_row_when_it_is_final(bench: Bench) -> None:
    await bench.sender.send("batch:1", bench.venue.settlement, Settlement.list_market.encode(1, ADMIN, 1, 1, "x"), GAS)
    bench.chain.mine()
    assert await bench.sender.advance() == []
    bench.chain.mine()
    (ended,) = await bench.sender.advance()
    assert ended.state is TransactionState.FAILED
    assert "reverted" in ended.error


async def test_bytes_that_no_node_takes_do_not_hold_up_the_rest(bench: Bench) -> None:
    calldata = Token.mint.encode(SETTLER, 10)
    await bench.sender.send("batch:1", bench.venue.usdc, calldata, 4_000_000)
    await bench.mint(2)
    await bench.until_final(2)
    assert bench.state(1) is TransactionState.FAILED
    await bench.mint(1)
    await bench.until_final(1)
    assert bench.minted() == 110


async def test_a_withdrawn_transaction_is_replaced_in_the_pool_and_the_next_follows(bench: Bench) -> None:
    await bench.mint(1)
    await bench.mint(2)
    row = bench.sender.open()[0]
    bench.sender.withdraw(row.id, "too old")
    bench.clock.now += 1
    await bench.sender.advance()  # the node has the first version, and wants to be paid more for another
    await bench.until_final(2)
    assert bench.minted() == 100
    failed = bench.ops.transaction(row.id)
    assert failed is not None and (failed.state, failed.error) == (TransactionState.FAILED, "too old")


async def test_a_withdrawn_transaction_that_a_block_took_first_is_final(bench: Bench) -> None:
    await bench.mint(1)
    bench.chain.mine()
    bench.sender.withdraw(bench.sender.open()[0].id, "too old")
    await bench.until_final(1)
    assert bench.minted() == 10


async def test_what_is_withdrawn_before_the_start_is_never_sent(bench: Bench) -> None:
    """Kept by a process that was killed before it sent it."""
    await bench.mint(1)
    row = bench.sender.open()[0]
    bench.chain.rpc("anvil_dropTransaction", row.hash)
    bench.restart().withdraw(row.id, "too old")
    await bench.sender.start()
    await bench.mint(2)
    await bench.until_final(2)
    assert bench.minted() == 100
    assert bench.state(1) is TransactionState.FAILED


async def test_killed_between_keeping_and_sending(bench: Bench) -> None:
    """The bytes are kept, no node has them: the next process sends these, and nothing else."""

    class Killed(BaseException):
        pass

    async def killed(_: bytes) -> str:
        raise Killed

    honest, bench.rpc.send_raw = bench.rpc.send_raw, killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await bench.mint(1)
    bench.rpc.send_raw = honest  # type: ignore[method-assign]
    assert bench.state(1) is TransactionState.SIGNED
    await bench.restart().start()
    row = bench.sender.open()[0]
    assert len(bench.ops.attempts(row.id)) == 1
    await bench.until_final(1)
    assert bench.minted() == 10


async def test_killed_between_planning_and_signing(bench: Bench) -> None:
    bench.ops.plan("batch:1", bench.sender.keeper, ADMIN, "0xdead", GAS, 0)
    await bench.restart().start()
    await bench.mint(1)
    await bench.until_final(1)
    assert bench.minted() == 10


async def test_the_answer_to_a_send_is_lost(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    proxy = ChaosRpc(chain.url).start()
    async with Rpc([proxy.url]) as rpc:
        bench = Bench(chain, venue, ops, rpc)
        await bench.sender.start()
        proxy.before_send = lambda _: setattr(proxy.faults, "drop_after", 1)
        await bench.mint(1)
        proxy.faults.drop_after, proxy.before_send = 0, None
        assert bench.state(1) is TransactionState.SIGNED
        await bench.until_final(1)
        assert bench.minted() == 10
    proxy.stop()


async def test_a_strict_node_with_many_faults(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    """HyperEVM's nonce window and replacement rule, lost transactions, lost answers, null receipts."""
    faults = Faults(
        nonce_window=8,
        replacement_percent=10,
        lose_transactions=0.2,
        drop_after=0.1,
        drop_before=0.1,
        http_502=0.05,
        null_receipts=0.2,
    )
    proxy = ChaosRpc(chain.url, faults, seed=3).start()

    async def no_wait(_: float) -> None:
        return None

    async with Rpc([proxy.url], sleep=no_wait) as rpc:
        bench = Bench(chain, venue, ops, rpc)
        for _ in range(150):
            for number in range(12):
                row = ops.transaction_of(f"batch:{number}")
                if bench.sender.room() and (row is None or row.state is TransactionState.FAILED):
                    try:
                        await bench.mint(number)
                    except ChainError:
                        break
            with suppress(ChainError):
                await bench.sender.advance()
            chain.mine()
            bench.clock.now += 2
            if all(ops.transaction_of(f"batch:{number}") for number in range(12)) and not bench.sender.open():
                break
        assert bench.minted() == 111_111_111_111
    proxy.stop()


async def test_no_node_is_no_answer(venue: Venue, chain: LocalChain, ops: Ops) -> None:
    chain.stop()

    async def no_wait(_: float) -> None:
        return None

    async with Rpc([chain.url], sleep=no_wait) as rpc:
        bench = Bench(chain, venue, ops, rpc)
        with pytest.raises(ChainUnreachable, match="no endpoint answers"):
            await bench.sender.start()


async def test_nothing_is_signed_without_the_lease(bench: Bench) -> None:
    def refuse() -> None:
        raise ConfigurationError("another process")

    key = SigningKey(key_of("settler"), CHAIN_ID)
    sender = Sender(bench.rpc, bench.ops, key, keeper="settle", fees=POLICY, check_lease=refuse)
    with pytest.raises(ConfigurationError):
        await bench.mint(1, sender)
    assert sender.open() == []


async def test_a_base_fee_above_the_cap_is_waited_out(bench: Bench) -> None:
    bench.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(200 * BASE_FEE))
    bench.chain.mine()
    await bench.sender.advance()
    await bench.mint(1)
    assert bench.sender.open() == []
    bench.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE))
    bench.chain.mine()
    await bench.sender.advance()
    await bench.mint(1)
    await bench.until_final(1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("already known", Refusal.KNOWN),
        ("transaction already imported", Refusal.KNOWN),
        ("nonce too low: next nonce 5, tx nonce 3", Refusal.NONCE_TOO_LOW),
        ("replacement transaction underpriced", Refusal.REPLACEMENT_UNDERPRICED),
        ("max fee per gas less than block base fee", Refusal.UNDERPRICED),
        ("transaction underpriced", Refusal.UNDERPRICED),
        ("Insufficient funds for gas * price + value", Refusal.NO_FUNDS),
        ("exceeds block gas limit", Refusal.IMPOSSIBLE),
        ("nonce too high", Refusal.NONCE_TOO_HIGH),
        ("the node is tired", Refusal.UNKNOWN),
    ],
)
def test_what_nodes_say(words: str, expected: Refusal) -> None:
    assert classify(RpcRefused("eth_sendRawTransaction", -32000, words)) is expected


def test_a_key_shows_nothing_of_itself(tmp_path: Path) -> None:
    key = SigningKey(key_of("settler"), CHAIN_ID)
    assert key_of("settler").hex() not in f"{key!r} {key.__dict__ if hasattr(key, '__dict__') else ''}"
    with pytest.raises(ConfigurationError) as caught:
        SigningKey(b"\x00" * 32, CHAIN_ID)
    assert "00" * 16 not in str(caught.value)
