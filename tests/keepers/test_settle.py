"""The settle keeper: what it decides, and batches that settle on a real chain."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from chaos_rpc import ChaosRpc, Faults
from local_chain import ADMIN, CHAIN_ID, LocalChain, Matcher, Venue, address_of, key_of, open_pool

from keepers.lease import KeptLease
from keepers.settle import (
    Blame,
    Candidate,
    Halt,
    Observation,
    Send,
    Settler,
    Tried,
    TryOut,
    Wait,
    decide,
    gas_of,
    name_order,
)
from keepers.trial import Trial
from offchain.chain.abi import Function
from offchain.chain.contracts import Pausable, Settlement
from offchain.chain.fees import FeePolicy
from offchain.chain.rpc import Rpc
from offchain.chain.signing import SigningKey
from offchain.chain.transactions import Sender
from offchain.domain.batch import (
    AMM_MAKER,
    ITEMIZED_RULES,
    ONE_FILL,
    BatchFill,
    BatchItems,
    SettlementBatch,
    SignedOrder,
)
from offchain.domain.errors import ChainError, ConfigurationError, TransactionFailed
from offchain.domain.keccak import keccak
from offchain.domain.limits import BATCH_GAS_MAX
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.storage.ops import Ops, OutboxRow
from offchain.storage.transactions import TransactionState as S

FAILS, SUCCEEDS = Trial(reason="Overfilled(0)", error="Overfilled"), Trial(gas=200_000)


def batch(number: int, first: int, fills: int = 1) -> SettlementBatch:
    return SettlementBatch(number, first, (), (BatchFill(0, 1, 1, 0, 0),) * fills)


def row(number: int, first: int, state: S | None = None, fills: int = 1) -> Candidate:
    return Candidate(batch(number, first, fills), 0, state)


def seen(
    *candidates: Candidate, last: int = 0, room: int = 8, tried: Tried | None = None, reverts: int = 0
) -> Observation:
    return Observation(last, candidates, room, tried, reverts)


def sent(observation: Observation) -> list[int]:
    actions = decide(observation)
    assert all(isinstance(action, Send) for action in actions), actions
    return [action.candidate.batch.batch for action in actions if isinstance(action, Send)]


class TestDecide:
    def test_nothing_to_do(self) -> None:
        assert decide(seen()) == []
        assert decide(seen(row(1, 1, S.SENT))) == []

    def test_the_first_is_tried_out(self) -> None:
        assert decide(seen(row(1, 1))) == [TryOut(row(1, 1))]

    def test_then_it_is_sent_and_the_next_ones_with_it(self) -> None:
        tried = Tried(1, 0, SUCCEEDS, 0)
        assert sent(seen(row(1, 1), row(2, 2), row(3, 3), tried=tried)) == [1, 2, 3]
        assert sent(seen(row(1, 1), row(2, 2), row(3, 3), tried=tried, room=2)) == [1, 2]

    def test_what_was_tried_out_before_its_payload_was_replaced_is_tried_again(self) -> None:
        assert decide(seen(row(1, 1), tried=Tried(1, 5, SUCCEEDS, 0))) == [TryOut(row(1, 1))]

    def test_behind_those_in_flight_nothing_is_tried_out(self) -> None:
        assert sent(seen(row(1, 1, S.MINED), row(2, 2, S.SENT), row(3, 3), room=6)) == [3]

    def test_a_revert_is_tried_again_then_blamed(self) -> None:
        assert decide(seen(row(1, 1), tried=Tried(1, 0, FAILS, 0))) == [TryOut(row(1, 1))]
        assert decide(seen(row(1, 1), tried=Tried(1, 0, FAILS, 3))) == [Blame(row(1, 1), "Overfilled(0)")]

    def test_a_pause_is_waited_out(self) -> None:
        paused = Trial(reason="IsPaused(1800000000)", error="IsPaused")
        for repeats in (0, 3, 1_000):
            tries, waits = decide(seen(row(1, 1), tried=Tried(1, 0, paused, repeats), reverts=3))
            assert tries == TryOut(row(1, 1))
            assert isinstance(waits, Wait)
            assert "paused" in waits.reason

    def test_a_batch_that_keeps_reverting_on_chain_only(self) -> None:
        (action,) = decide(seen(row(1, 1), tried=Tried(1, 0, SUCCEEDS, 0), reverts=3))
        assert isinstance(action, Halt)
        assert decide(seen(row(1, 1), reverts=3)) == [TryOut(row(1, 1))]

    def test_those_in_flight_behind_a_failed_one_are_waited_for(self) -> None:
        (action,) = decide(seen(row(1, 1), row(2, 2, S.SENT), tried=Tried(1, 0, SUCCEEDS, 0)))
        assert isinstance(action, Wait)

    def test_a_final_batch_that_the_node_does_not_know(self) -> None:
        (action,) = decide(seen(row(1, 1, S.FINAL), row(2, 2)))
        assert isinstance(action, Wait)

    @pytest.mark.parametrize("candidates", [(row(1, 2),), (row(1, 1), row(2, 3)), (row(1, 1, fills=2), row(2, 2))])
    def test_fills_that_do_not_continue_halt(self, candidates: tuple[Candidate, ...]) -> None:
        (action,) = decide(seen(*candidates))
        assert isinstance(action, Halt)

    def test_a_batch_that_is_half_settled_halts(self) -> None:
        (action,) = decide(seen(row(1, 1, fills=4), last=2))
        assert isinstance(action, Halt)

    def test_gas(self) -> None:
        bound = ITEMIZED_RULES.gas(0, 1, items=FEES_ONLY)
        assert gas_of(batch(1, 1), None, 10**7) == bound
        assert gas_of(batch(1, 1), Trial(gas=bound), 10**7) == bound * 115 // 100
        assert gas_of(batch(1, 1), Trial(gas=10**8), 2_900_000) == 2_900_000

    def test_gas_of_an_amm_fill(self) -> None:
        leg = BatchFill(AMM_MAKER, 0, 1, 0, 0)
        with_leg = SettlementBatch(1, 1, (), (BatchFill(0, 1, 1, 0, 0), leg), (5,))
        bound = ITEMIZED_RULES.gas(0, 2, 1, items=FEES_ONLY)
        assert gas_of(with_leg, None, 10**7) == bound > ITEMIZED_RULES.gas(0, 2, items=FEES_ONLY)
        assert ITEMIZED_RULES.gas(1, 1, 1, 1, ONE_FILL) < BATCH_GAS_MAX, "it would never be closed"

    def test_gas_of_what_is_in_it(self) -> None:
        """As if nobody ever had anything; and never more than what closes a batch."""
        orders = tuple(signed(account, market, slot) for account in range(4) for market in (1, 2) for slot in (0, 1))
        made = SettlementBatch(1, 1, orders, (BatchFill(0, 1, 1, 0, 0),))
        items = BatchItems(resting=8, rows=13, fresh_rows=13, markets=2, agents=16)
        assert gas_of(made, None, 10**7) == min(BATCH_GAS_MAX, ITEMIZED_RULES.gas(16, 1, 0, 8, items))
        small = SettlementBatch(1, 1, orders[:2], (BatchFill(0, 1, 1, 0, 0),))
        items = BatchItems(resting=1, rows=3, fresh_rows=3, markets=1, agents=2)
        assert gas_of(small, None, 10**7) == ITEMIZED_RULES.gas(2, 1, 0, 1, items)
        turned = 2 * ITEMIZED_RULES.gas_per_order_turned + 3 * ITEMIZED_RULES.gas_per_row_turned
        assert gas_of(small, None, 10**7, is_wary=True) == ITEMIZED_RULES.gas(2, 1, 0, 1, items) + turned


FEES_ONLY = BatchItems(rows=1, fresh_rows=1)


def signed(account: int, market: int, slot: int) -> SignedOrder:
    tif = TimeInForce.GTC if slot else TimeInForce.IOC
    terms = (Address(f"0x{account:040x}"), 0, market, Side.BUY, Kind.LIMIT, tif, 0, Ticks(1), Lots(1), Ticks(0), 0)
    return SignedOrder(Order(*terms, make_nonce(slot, 1), 0), "0x")


def test_a_revert_names_the_order_of_the_packed_batch(venue: Venue) -> None:
    """There orders go by account and nonce; here by their first fill."""
    made = Matcher(venue).batch(5)
    for place, signed in enumerate(sorted(made.orders, key=lambda signed: (signed.order.account, signed.order.nonce))):
        words = name_order(made, Trial(reason="…", error="Overfilled", arguments=(place,)))
        assert words == f" (the order of {signed.order.account} with nonce {signed.order.nonce})"
    assert made.orders != tuple(sorted(made.orders, key=lambda signed: signed.order.account))
    assert name_order(made, Trial(reason="…", error="Overfilled", arguments=(6,))) == ""
    assert name_order(made, Trial(reason="…", error="LimitCrossed", arguments=(0,))) == ""


class Bench:
    """A settler over a chain, driven step by step or by `run`."""

    def __init__(self, url: str, venue: Venue, ops: Ops) -> None:
        self.rpc = Rpc([url], sleep=_no_wait)
        self.ops, self.venue = ops, venue
        key = SigningKey(key_of("settler"), CHAIN_ID)
        lease = KeptLease(ops, f"key:{key.address}", 60)
        fees = FeePolicy(bump_seconds=30, resend_seconds=1)
        self.sender = Sender(self.rpc, ops, key, keeper="settle", fees=fees, check_lease=lease.check)
        self.settler = Settler(self.rpc, ops, self.sender, venue.registry, lease, gas_max=2_900_000)

    async def step(self) -> None:
        for action in self.settler.decide(await self.settler.observe()):
            await self.settler.act(action)

    async def steps(self, chain: LocalChain, number: int) -> None:
        for _ in range(number):
            try:
                await self.step()
            except ChainError as error:
                if isinstance(error, TransactionFailed):
                    raise
            chain.mine()


async def _no_wait(_: float) -> None:
    await asyncio.sleep(0)


def put(ops: Ops, *batches: SettlementBatch) -> None:
    rows = [OutboxRow("batch", item.batch, msgspec.json.encode(item).decode(), item.batch) for item in batches]
    ops.put_outbox(rows, max(item.batch for item in batches))


def last_fill(chain: LocalChain, venue: Venue) -> int:
    asked = {"to": venue.settlement, "data": "0x" + Settlement.last_fill.encode().hex()}
    return int(chain.rpc("eth_call", asked, "latest"), 16)


@pytest.fixture
async def bench(chain: LocalChain, venue: Venue, ops: Ops) -> AsyncIterator[Bench]:
    made = Bench(chain.url, venue, ops)
    await made.settler.prepare()
    yield made
    await made.settler.close()


async def test_batches_settle_in_order(bench: Bench, chain: LocalChain, venue: Venue, ops: Ops) -> None:
    matcher = Matcher(venue)
    put(ops, *(matcher.batch(1 + number % 3) for number in range(12)))
    await bench.steps(chain, 8)
    assert last_fill(chain, venue) == 24
    states = [row.state for row in map(ops.transaction_of, (f"batch:{number}" for number in range(1, 13))) if row]
    assert states == [S.FINAL] * 12
    assert int(chain.rpc("eth_getTransactionCount", address_of("settler"), "latest"), 16) == 12


async def test_batches_behind_another_that_ran_out_of_gas_get_more(
    bench: Bench, chain: LocalChain, venue: Venue, ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent behind others cannot be tried out: after one that needed more than it got, all get what they could
    need, so that a trader who makes his batches dear slows nothing down for long."""
    too_low = msgspec.structs.replace(ITEMIZED_RULES, gas_base=90_000, gas_per_fresh_slot=0, gas_per_row=0)
    monkeypatch.setattr("keepers.settle.ITEMIZED_RULES", too_low)
    matcher = Matcher(venue)
    put(ops, *(matcher.batch() for _ in range(20)))
    await bench.steps(chain, 12)
    assert last_fill(chain, venue) == 20
    sent = int(chain.rpc("eth_getTransactionCount", address_of("settler"), "latest"), 16)
    assert 20 < sent <= 20 + 7, "none but those in flight beside the first ran out of gas"


async def test_a_new_process_goes_on_where_the_contract_is(
    bench: Bench, chain: LocalChain, venue: Venue, ops: Ops
) -> None:
    matcher = Matcher(venue)
    put(ops, *(matcher.batch() for _ in range(20)))
    await bench.steps(chain, 2)
    await bench.settler.close()
    again = Bench(chain.url, venue, ops)
    await again.settler.prepare()
    await again.steps(chain, 8)
    assert last_fill(chain, venue) == 20
    assert int(chain.rpc("eth_getTransactionCount", address_of("settler"), "latest"), 16) == 20
    await again.settler.close()


async def test_the_fill_that_sinks_its_batch_is_named(bench: Bench, chain: LocalChain, venue: Venue, ops: Ops) -> None:
    matcher = Matcher(venue)
    good, bad = matcher.batch(2), matcher.batch(9, spoiled=6)
    put(ops, good, bad, matcher.batch())
    with pytest.raises(TransactionFailed, match=r"fill 9 sinks batch 2 \(fills 3 to 11\): LimitCrossed\(6\)") as caught:
        await bench.steps(chain, 40)
    assert "take-back 9" in caught.value.remedy
    assert last_fill(chain, venue) == 2


async def test_the_order_that_sinks_its_batch_is_named(bench: Bench, chain: LocalChain, venue: Venue, ops: Ops) -> None:
    made = Matcher(venue).batch(4)
    forged = msgspec.structs.replace(made.orders[3], signature=made.orders[2].signature)
    put(ops, msgspec.structs.replace(made, orders=(*made.orders[:3], forged, made.orders[4])))
    named = rf"fill 3 sinks .* InvalidSigner.*the order of {forged.order.account} with nonce {forged.order.nonce}"
    with pytest.raises(TransactionFailed, match=named):
        await bench.steps(chain, 20)


async def test_a_batch_without_a_packed_form_stops_the_keeper(
    bench: Bench, chain: LocalChain, venue: Venue, ops: Ops
) -> None:
    made = Matcher(venue).batch()
    short = msgspec.structs.replace(made.orders[1], signature=made.orders[1].signature[:-2])
    put(ops, msgspec.structs.replace(made, orders=(made.orders[0], short)))
    with pytest.raises(TransactionFailed, match=r"batch 1: the signature of .* has no packed form"):
        await bench.steps(chain, 5)


async def test_a_fill_or_kill_order_sinks_its_batch_as_one(
    bench: Bench, chain: LocalChain, venue: Venue, ops: Ops
) -> None:
    """Its first fill is named, and taking that back takes all of them."""
    matcher = Matcher(venue)
    made = matcher.fok_batch(fills=3, spoiled=True)
    put(ops, made)
    with pytest.raises(TransactionFailed, match=r"fill 3 sinks batch 1 \(fills 1 to 5\): LimitCrossed\(4\)"):
        await bench.steps(chain, 20)
    gone = tuple(msgspec.structs.replace(fill, size_lots=0) for fill in made.fills[2:])
    mended = msgspec.structs.replace(made, fills=(*made.fills[:2], *gone))
    ops.put_outbox([], 2, [OutboxRow("batch", 1, msgspec.json.encode(mended).decode(), 2)])
    await bench.settler.close()
    again = Bench(chain.url, venue, ops)
    await again.settler.prepare()
    await again.steps(chain, 5)
    assert last_fill(chain, venue) == 5
    await again.settler.close()


async def test_the_taken_back_fill_lets_the_batch_through(
    bench: Bench, chain: LocalChain, venue: Venue, ops: Ops
) -> None:
    matcher = Matcher(venue)
    bad = matcher.batch(3, spoiled=1)
    put(ops, bad)
    with pytest.raises(TransactionFailed):
        await bench.steps(chain, 10)
    fills = list(bad.fills)
    fills[1] = msgspec.structs.replace(fills[1], size_lots=0)
    mended = msgspec.structs.replace(bad, fills=tuple(fills))
    ops.put_outbox([], 2, [OutboxRow("batch", 1, msgspec.json.encode(mended).decode(), 2)])
    await bench.settler.close()
    again = Bench(chain.url, venue, ops)
    await again.settler.prepare()
    await again.steps(chain, 5)
    assert last_fill(chain, venue) == 3
    await again.settler.close()


async def test_batches_with_amm_fills_settle(bench: Bench, chain: LocalChain, venue: Venue, ops: Ops) -> None:
    open_pool(chain, venue)
    matcher = Matcher(venue)
    put(ops, matcher.amm_batch(1_010_000), matcher.batch(2), matcher.amm_batch(1_000, fills=3))
    await bench.steps(chain, 6)
    assert last_fill(chain, venue) == 2 + 2 + 4  # the last leg is refused: nobody's fault


async def test_the_amm_fill_that_sinks_its_batch_is_named(
    bench: Bench, chain: LocalChain, venue: Venue, ops: Ops
) -> None:
    open_pool(chain, venue)
    put(ops, Matcher(venue).amm_batch(1_010_000, price=10_000, fills=4))
    with pytest.raises(TransactionFailed, match=r"fill 5 sinks batch 1 \(fills 1 to 5\): LimitCrossed\(4\)"):
        await bench.steps(chain, 20)


async def test_a_pause_halts_nothing(bench: Bench, chain: LocalChain, venue: Venue, ops: Ops) -> None:
    grant = Function("grantRole(bytes32,address)").encode(keccak(b"GUARDIAN_ROLE"), ADMIN)
    chain.do(ADMIN, venue.settlement, grant)
    chain.do(ADMIN, venue.settlement, Pausable.pause.encode())
    matcher = Matcher(venue)
    put(ops, matcher.batch(2), matcher.batch())
    await bench.steps(chain, 20)
    assert last_fill(chain, venue) == 0
    assert "paused by the guardian" in str(bench.settler.describe()["waitingFor"])
    chain.do(ADMIN, venue.settlement, Pausable.unpause.encode())
    await bench.steps(chain, 6)
    assert last_fill(chain, venue) == 3
    assert bench.settler.describe()["waitingFor"] == ""


async def test_a_settler_without_its_role_says_so(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    chain.fund(address_of("stranger"))
    made = Bench(chain.url, venue, ops)
    made.sender.address = address_of("stranger")
    with pytest.raises(ConfigurationError, match="lacks SETTLER_ROLE of Settlement"):
        await made.settler.prepare()
    await made.settler.close()


async def test_a_settler_that_loses_its_role_says_so(bench: Bench, chain: LocalChain, venue: Venue, ops: Ops) -> None:
    revoke = Function("revokeRole(bytes32,address)").encode(keccak(b"SETTLER_ROLE"), address_of("settler"))
    chain.do(ADMIN, venue.settlement, revoke)
    put(ops, Matcher(venue).batch())
    with pytest.raises(TransactionFailed, match="AccessControlUnauthorizedAccount"):
        await bench.steps(chain, 10)


async def test_a_reorg_in_mid_flight(bench: Bench, chain: LocalChain, venue: Venue, ops: Ops) -> None:
    matcher = Matcher(venue)
    put(ops, *(matcher.batch() for _ in range(10)))
    await bench.steps(chain, 3)
    chain.rpc("anvil_reorg", 3, [])
    assert last_fill(chain, venue) == 0
    await asyncio.sleep(1.1)  # the resend interval
    await bench.steps(chain, 10)
    assert last_fill(chain, venue) == 10


async def test_under_faults_every_fill_settles_once(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    faults = Faults(
        http_502=0.05, drop_before=0.05, drop_after=0.1, null_receipts=0.1, nonce_window=8, replacement_percent=10
    )
    proxy = ChaosRpc(chain.url, faults, seed=11).start()
    made = Bench(proxy.url, venue, ops)
    for _ in range(20):
        try:
            await made.settler.prepare()
            break
        except ChainError:
            continue
    matcher = Matcher(venue)
    put(ops, *(matcher.batch() for _ in range(15)))
    for _ in range(60):
        await made.steps(chain, 1)
        await asyncio.sleep(0.03)
        if last_fill(chain, venue) == 15:
            break
    assert last_fill(chain, venue) == 15
    await made.settler.close()
    proxy.stop()


async def test_two_full_batches_a_block(timed_chain: Callable[..., LocalChain], venue: Venue, ops: Ops) -> None:
    """Blocks of one second and 3M gas; each batch reserves 1.16M."""
    chain = timed_chain(block_seconds=1)
    made = Bench(chain.url, venue, ops)
    await made.settler.prepare()
    matcher = Matcher(venue)
    batches = [matcher.batch(16) for _ in range(12)]
    put(ops, *batches)
    first, deadline = chain.head(), time.monotonic() + 20
    while last_fill(chain, venue) < 12 * 16 and time.monotonic() < deadline:
        await made.step()
        await asyncio.sleep(0.2)
    blocks = chain.head() - first
    assert last_fill(chain, venue) == 12 * 16
    assert blocks <= 8, f"{blocks} blocks for 12 batches"
    await made.settler.close()
