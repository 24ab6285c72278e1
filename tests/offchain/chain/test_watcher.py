"""Every final log reaches the inbox once, in order, without a gap, whatever the node does."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from chaos_rpc import ChaosRpc, Faults
from local_chain import ADMIN, LocalChain, Venue, address_of

from offchain.chain.contracts import Settlement, Vault
from offchain.chain.rpc import Rpc
from offchain.chain.watcher import HALT_LOOKS, WINDOWS_PER_LOOK, Watcher
from offchain.domain.chainlog import AgentRegistered, AgentRevoked, Deposited, OrderCancelledOnChain
from offchain.domain.errors import ChainError, ReorgBeyondInbox
from offchain.domain.order import make_nonce
from offchain.storage.ops import Ops
from offchain.storage.ops_schema import heads

DEPLOYED = 38
"""Event sequence of the venue's state."""


def make_watcher(rpc: Rpc, ops: Ops, venue: Venue, **settings: int) -> Watcher:
    return Watcher(rpc, ops, venue.vault, venue.settlement, first_block=venue.registry.first_block, **settings)


def deposit(chain: LocalChain, venue: Venue, trader: int = 0, amount: int = 5) -> None:
    chain.send(ADMIN, venue.vault, Vault.deposit_for.encode(address_of(f"trader {trader}"), amount))


async def settle_down(watcher: Watcher, chain: LocalChain, looks: int = 4) -> None:
    """Looks while the chain goes on by a few empty blocks."""
    for _ in range(looks):
        await watcher.look()
        chain.mine()
    await watcher.look()


@pytest.fixture
async def rpc(chain: LocalChain) -> AsyncIterator[Rpc]:
    async with Rpc([chain.url]) as made:
        yield made


async def test_the_past_then_the_present(chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc) -> None:
    watcher = make_watcher(rpc, ops, venue)
    await settle_down(watcher, chain)
    assert ops.last_event() == DEPLOYED
    deposit(chain, venue, 3, 77)
    chain.mine()
    await watcher.look()
    assert ops.last_event() == DEPLOYED, "a log without a block on top of it is not final"
    chain.mine()
    await watcher.look()
    (log,) = ops.inbox_after(DEPLOYED)
    assert isinstance(log, Deposited)
    assert (log.account, log.amount, log.event_sequence) == (address_of("trader 3"), 77, DEPLOYED + 1)
    assert ops.inbox_block()[0] == log.block_number


async def test_agents_and_many_cancels(chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc) -> None:
    """One transaction with several logs, and lists in logs: nothing is missing, each with its own sequence."""
    trader, agent = address_of("trader 3"), address_of("an agent")
    chain.fund(trader, agent)
    terms = (agent, 4_000_000_000, 10**20, (1, 7))
    nonces = [make_nonce(slot, 5) for slot in (3, 1, 2)]
    chain.do(trader, venue.settlement, Settlement.register_agent.encode(terms))
    chain.do(trader, venue.settlement, Settlement.cancel_many.encode(nonces))
    chain.do(agent, venue.settlement, Settlement.revoke_agent.encode(trader, agent))
    await settle_down(make_watcher(rpc, ops, venue), chain)
    registered, *cancelled, revoked = ops.inbox_after(DEPLOYED)
    assert isinstance(registered, AgentRegistered) and isinstance(revoked, AgentRevoked)
    assert (registered.account, registered.agent, registered.notional, registered.markets) == (
        trader,
        agent,
        10**20,
        (1, 7),
    )
    assert [log.nonce for log in cancelled if isinstance(log, OrderCancelledOnChain)] == nonces
    assert (revoked.account, revoked.agent) == (trader, agent)
    assert [log.event_sequence for log in (registered, *cancelled, revoked)] == [DEPLOYED + n for n in range(1, 6)]


async def test_the_cursor_follows_an_idle_chain_without_asking_for_logs(
    chain: LocalChain, venue: Venue, ops: Ops
) -> None:
    proxy = ChaosRpc(chain.url).start()
    async with Rpc([proxy.url]) as rpc:
        watcher = make_watcher(rpc, ops, venue)
        await settle_down(watcher, chain)
        before = proxy.record.methods["eth_getLogs"]
        await settle_down(watcher, chain, 6)
        assert proxy.record.methods["eth_getLogs"] == before
        assert ops.inbox_block()[0] == chain.head() - 1
    proxy.stop()


async def test_a_restart_goes_on(chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc) -> None:
    await settle_down(make_watcher(rpc, ops, venue), chain)
    deposit(chain, venue)
    chain.mine(3)
    again = make_watcher(rpc, ops, venue)
    await settle_down(again, chain)
    assert ops.last_event() == DEPLOYED + 1


async def test_ranges_adapt_to_what_the_node_takes(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    proxy = ChaosRpc(chain.url, Faults(range_blocks=7)).start()
    deposit(chain, venue)
    chain.mine(30)
    async with Rpc([proxy.url]) as rpc:
        watcher = make_watcher(rpc, ops, venue)
        await settle_down(watcher, chain, 8)
        assert ops.last_event() == DEPLOYED + 1
        assert watcher.range_halvings > 0
    assert max(proxy.record.ranges) <= 50
    proxy.stop()


async def test_a_reorg_before_finality_leaves_nothing_behind(
    chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc
) -> None:
    watcher = make_watcher(rpc, ops, venue)
    await settle_down(watcher, chain)
    deposit(chain, venue, 1, 11)
    chain.mine()
    await watcher.look()
    chain.rpc("anvil_reorg", 1, [])
    deposit(chain, venue, 2, 22)
    chain.mine()
    await settle_down(watcher, chain, 6)
    assert [(log.account, log.amount) for log in ops.inbox_after(DEPLOYED) if isinstance(log, Deposited)] == [
        (address_of("trader 2"), 22)
    ]
    assert watcher.reorgs == 1


async def test_a_reorg_of_empty_final_blocks_changes_nothing(
    chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc
) -> None:
    watcher = make_watcher(rpc, ops, venue)
    deposit(chain, venue)
    chain.mine()
    await settle_down(watcher, chain, 6)
    chain.rpc("anvil_reorg", 4, [])
    deposit(chain, venue, 4, 44)
    chain.mine(2)
    for _ in range(8):
        with_error = await look_or_error(watcher)
        assert not isinstance(with_error, ReorgBeyondInbox)
        chain.mine()
    assert ops.last_event() == DEPLOYED + 2


async def look_or_error(watcher: Watcher) -> ChainError | None:
    try:
        await watcher.look()
    except ChainError as error:
        return error
    return None


async def test_a_reorg_that_takes_a_final_log_halts(chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc) -> None:
    watcher = make_watcher(rpc, ops, venue)
    await settle_down(watcher, chain)
    deposit(chain, venue)
    chain.mine(2)
    await settle_down(watcher, chain, 2)
    assert ops.last_event() == DEPLOYED + 1
    chain.rpc("anvil_reorg", 6, [])
    chain.mine(3)
    outcomes = []
    for _ in range(HALT_LOOKS + 3):
        outcomes.append(await look_or_error(watcher))
        chain.mine()
    assert any(isinstance(outcome, ReorgBeyondInbox) for outcome in outcomes)
    assert ops.last_event() == DEPLOYED + 1, "the inbox is never rewritten"
    for is_forgotten in (False, True):
        if is_forgotten:  # as after a long downtime
            with ops.database.writing() as connection:
                connection.execute(heads.delete())
        again = make_watcher(rpc, ops, venue)
        restarted = []
        for _ in range(HALT_LOOKS + 3):
            restarted.append(await look_or_error(again))
            chain.mine()
        assert any(isinstance(outcome, ReorgBeyondInbox) for outcome in restarted), "a restart is no way around it"


async def test_a_log_that_a_node_hides_is_missed_and_found(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    proxy = ChaosRpc(chain.url, Faults(empty_logs=1)).start()
    async with Rpc([proxy.url]) as rpc:
        watcher = make_watcher(rpc, ops, venue)
        errors = []
        for _ in range(5):
            errors.append(await look_or_error(watcher))
            chain.mine()
        assert any("missing" in str(error) for error in errors if error)
        assert ops.inbox_block() == (0, 0), "the cursor does not move over a block whose logs are not known"
        proxy.faults.empty_logs = 0
        await settle_down(watcher, chain)
        assert ops.last_event() == DEPLOYED
    proxy.stop()


async def test_every_log_once_under_thirty_percent_faults(
    timed_chain: Callable[..., LocalChain], venue: Venue, ops: Ops
) -> None:
    chain = timed_chain()
    faults = Faults(
        http_502=0.05,
        drop_before=0.05,
        drop_after=0.05,
        wrong_id=0.05,
        truncated=0.05,
        http_429=0.05,
        omit_logs=0.3,
        empty_logs=0.2,
        duplicate_logs=0.3,
        range_blocks=50,
    )
    proxy = ChaosRpc(chain.url, faults, seed=7).start()

    async def no_wait(_: float) -> None:
        await asyncio.sleep(0)

    async with Rpc([proxy.url, proxy.url], sleep=no_wait) as rpc:
        watcher = make_watcher(rpc, ops, venue)
        for number in range(60):
            for trader in range(number % 4):
                deposit(chain, venue, trader, 1 + number)
            chain.mine()
            await look_or_error(watcher)
        for _ in range(40):
            chain.mine()
            await look_or_error(watcher)
    proxy.stop()
    expected = DEPLOYED + sum(number % 4 for number in range(60))
    sequences = [log.event_sequence for log in ops.inbox_after(0)]
    assert sequences == list(range(1, expected + 1))
    assert sum(proxy.record.faults.values()) > 50


async def test_a_log_of_another_fork_is_not_believed(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    proxy = ChaosRpc(chain.url, Faults(foreign_logs=1)).start()
    async with Rpc([proxy.url]) as rpc:
        watcher = make_watcher(rpc, ops, venue)
        errors = []
        for _ in range(4):
            errors.append(await look_or_error(watcher))
            chain.mine()
        assert any("another block" in str(error) for error in errors if error)
        assert ops.last_event() == 0
        proxy.faults.foreign_logs = 0
        await settle_down(watcher, chain)
        assert ops.last_event() == DEPLOYED
    proxy.stop()


async def test_a_long_way_behind_takes_several_looks(chain: LocalChain, venue: Venue, ops: Ops, rpc: Rpc) -> None:
    deposit(chain, venue)
    chain.mine(3 * WINDOWS_PER_LOOK)
    deposit(chain, venue)
    chain.mine(2)
    watcher = make_watcher(rpc, ops, venue, range_blocks=1)
    looks = 0
    while ops.last_event() < DEPLOYED + 2:
        assert ops.inbox_block() == (0, 0), "the cursor claims nothing before the last log is there"
        progress = await watcher.look()
        looks += 1
        chain.mine()
        assert looks < 12
    assert looks >= 4
    assert progress.is_caught_up


async def test_a_node_that_lags_is_waited_for(chain: LocalChain, venue: Venue, ops: Ops) -> None:
    proxy = ChaosRpc(chain.url, Faults(lag_blocks=3)).start()
    async with Rpc([proxy.url, chain.url]) as rpc:
        watcher = make_watcher(rpc, ops, venue)
        deposit(chain, venue)
        chain.mine()
        for _ in range(12):
            await look_or_error(watcher)
            chain.mine()
        assert ops.last_event() == DEPLOYED + 1
    proxy.stop()
