"""Final logs: every kind, gaps, other balances, blocks."""

from typing import Any

import pytest
from laws import check
from scene import (
    ALICE,
    BASE,
    BASE_ATOMS,
    BOB,
    BUY,
    CAROL,
    DAVE,
    OTHER,
    QUOTE,
    RICH,
    SELL,
    START,
    TREASURY,
    Bench,
    market_log,
    open_market,
)

from offchain.domain.chainlog import (
    AgentRegistered,
    AgentRevoked,
    AllOrdersCancelledOnChain,
    CollateralLocked,
    CollateralUnlocked,
    Deposited,
    LossDeclared,
    OrderCancelledOnChain,
    SynthBurned,
    SynthMinted,
    SynthRegistered,
    WithdrawalRequestCancelled,
    WithdrawalRequested,
    Withdrawn,
)
from offchain.domain.command import CloseEpoch, ObserveLog, SetVenueState
from offchain.domain.event import (
    AccountRestricted,
    AgentChanged,
    ApprovalReleased,
    BalanceChanged,
    CloseReason,
    CommandRejected,
    Diverged,
    EpochClosed,
    IndexLowered,
    MarketOpened,
    OrderClosed,
    RejectReason,
    VenueStateChanged,
)
from offchain.domain.market import MarketState
from offchain.domain.order import make_nonce
from offchain.domain.reasons import VenueState
from offchain.engine.engine import Engine

OUT: dict[str, Any] = {"destination": ALICE, "as_cxpt": False, "approval": 0, "request_remaining": 0}
REQUEST: dict[str, Any] = {"destination": ALICE, "matures_at": START // 1000 + 900}


@pytest.fixture
def bench() -> Bench:
    return open_market()


def test_a_deposit(bench: Bench) -> None:
    bench.see(Deposited, account=DAVE, token=QUOTE, amount=7, balance=7)
    changed = bench.only(BalanceChanged)
    assert (changed.account, changed.token, changed.settled) == (DAVE, QUOTE, 7)
    bench.see(Deposited, account=DAVE, token=QUOTE, amount=5, balance=12)
    assert bench.balance(DAVE).settled == 12 and bench.engine.flows[QUOTE] == 3 * RICH + 12


@pytest.mark.parametrize("offset", [-1, 1])
def test_a_gap_or_a_repetition_halts_and_applies_nothing(bench: Bench, offset: int) -> None:
    last = bench.engine.last_event_sequence
    log = Deposited(
        event_sequence=last + 1 + offset,
        block_number=1,
        block_time=1,
        transaction="0x",
        account=ALICE,
        token=QUOTE,
        amount=5,
        balance=RICH + 5,
    )
    bench.do(ObserveLog(log=log))
    assert bench.events == (
        Diverged(what="event_sequence", expected=str(last + 1), observed=str(last + 1 + offset)),
        VenueStateChanged(state=VenueState.HALTED, reason="diverged"),
    )
    assert bench.balance(ALICE).settled == RICH and bench.engine.last_event_sequence == last


def test_another_balance_halts_for_good(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1)
    nonce = bench.accepted.nonce
    bench.see(Deposited, account=ALICE, token=QUOTE, amount=5, balance=RICH + 6)
    assert bench.only(Diverged).observed == str(RICH + 6) and bench.balance(ALICE).settled == RICH + 5
    bench.place(BOB, SELL, 100, 1)
    assert bench.rejection == RejectReason.CANCEL_ONLY_VENUE
    bench.approve(BOB, 5)
    assert bench.only(CommandRejected).reason == RejectReason.CANCEL_ONLY_VENUE
    bench.do(SetVenueState(state=MarketState.ACTIVE, reason="go on"))
    assert bench.events == () and bench.engine.gate.state is VenueState.HALTED
    bench.cancel(ALICE, nonce)
    assert bench.only(OrderClosed)
    bench.see(Deposited, account=BOB, token=QUOTE, amount=5, balance=RICH + 5)
    assert bench.balance(BOB).settled == RICH + 5
    bench.block(START // 1000 + 5)
    assert bench.engine.chain_block == (2, START // 1000 + 5)
    bench.do(CloseEpoch())
    assert bench.only(EpochClosed)


def test_a_request_is_out_of_reach_on_sight(bench: Bench) -> None:
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=100, **REQUEST)
    assert bench.balance(ALICE).as_tuple() == (RICH, 0, 0, 100)
    assert bench.balance(ALICE).tradable == bench.balance(ALICE).withdrawable == RICH - 100
    bench.see(WithdrawalRequestCancelled, account=ALICE, token=QUOTE)
    assert bench.balance(ALICE).leaving == 0


def test_a_second_request_is_news_to_the_chain(bench: Bench) -> None:
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=100, **REQUEST)
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=100, **REQUEST)
    assert bench.only(Diverged)


def test_a_request_cancels_what_it_uncovers(bench: Bench) -> None:
    for price in (1, 2, 3):
        bench.place(ALICE, BUY, price, RICH // 1_000)
    bench.place(ALICE, SELL, 100, 1)
    free = bench.balance(ALICE).tradable
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=free + 1, **REQUEST)
    assert [event.reason for event in bench.all(OrderClosed)] == [CloseReason.UNCOVERED]
    assert [price for price, _ in bench.levels(BUY)] == [2, 1] and bench.levels(SELL) == [(100, 1)]
    assert bench.all(AccountRestricted) == []


def test_drawing_on_a_request(bench: Bench) -> None:
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=100, **REQUEST)
    rest = {**OUT, "request_remaining": 40}
    bench.see(Withdrawn, account=ALICE, token=QUOTE, amount=60, balance=RICH - 60, **rest)
    assert bench.balance(ALICE).as_tuple() == (RICH - 60, 0, 0, 40)
    bench.see(Withdrawn, account=ALICE, token=QUOTE, amount=40, balance=RICH - 100, **OUT)
    assert bench.balance(ALICE).as_tuple() == (RICH - 100, 0, 0, 0)
    assert bench.engine.flows[QUOTE] == 3 * RICH - 100


def test_cxpt_credits_the_treasury(bench: Bench) -> None:
    bench.see(Withdrawn, account=ALICE, token=QUOTE, amount=60, balance=RICH - 60, **{**OUT, "as_cxpt": True})
    assert bench.balance(TREASURY).settled == 60 and bench.engine.flows[QUOTE] == 3 * RICH
    check(bench.engine)
    bench.see(Withdrawn, account=TREASURY, token=QUOTE, amount=10, balance=60, **{**OUT, "as_cxpt": True})
    assert bench.balance(TREASURY).settled == 60 and bench.all(Diverged) == []


def test_collateral(bench: Bench) -> None:
    rest = {"approval": 0, "request_remaining": 0}
    bench.see(CollateralLocked, account=ALICE, amount=70, balance=RICH - 70, **rest)
    assert bench.engine.locked == {ALICE: 70} and bench.engine.flows[QUOTE] == 3 * RICH
    check(bench.engine)
    bench.see(CollateralUnlocked, account=ALICE, amount=30, balance=RICH - 40)
    assert bench.engine.locked == {ALICE: 40}
    check(bench.engine)
    bench.see(CollateralUnlocked, account=ALICE, amount=41, balance=RICH + 1)
    assert bench.all(Diverged)


def test_minting_and_burning(bench: Bench) -> None:
    base = RICH * BASE_ATOMS
    bench.see(SynthMinted, token=BASE, account=ALICE, amount=9, balance=base + 9)
    rest = {"approval": 0, "request_remaining": 0}
    bench.see(SynthBurned, token=BASE, account=ALICE, amount=4, balance=base + 5, **rest)
    assert bench.balance(ALICE, BASE).settled == base + 5 and bench.engine.flows[BASE] == 3 * base + 5


@pytest.mark.parametrize("purpose", ["withdraw", "lock", "burn"])
def test_an_approval_is_released_when_used(bench: Bench, purpose: str) -> None:
    token = BASE if purpose == "burn" else QUOTE
    bench.approve(ALICE, 50, purpose=purpose, token=token)
    nonce = bench.engine.sequence
    before = bench.balance(ALICE, token).settled
    assert bench.balance(ALICE, token).leaving == 50
    rest = {"amount": 50, "balance": before - 50, "approval": nonce, "request_remaining": 0}
    if purpose == "withdraw":
        bench.see(Withdrawn, account=ALICE, token=QUOTE, destination=ALICE, as_cxpt=False, **rest)
    elif purpose == "lock":
        bench.see(CollateralLocked, account=ALICE, **rest)
    else:
        bench.see(SynthBurned, token=BASE, account=ALICE, **rest)
    assert bench.only(ApprovalReleased) == ApprovalReleased(nonce=nonce, account=ALICE, used=True)
    assert bench.balance(ALICE, token).as_tuple() == (before - 50, 0, 0, 0)
    check(bench.engine)


@pytest.mark.parametrize("changes", [{"approval": 99}, {"amount": 51, "balance": RICH - 51}])
def test_a_debit_that_nobody_countersigned_halts(bench: Bench, changes: dict[str, Any]) -> None:
    bench.approve(ALICE, 50)
    fields = {**OUT, "amount": 50, "balance": RICH - 50, "approval": bench.engine.sequence, **changes}
    bench.see(Withdrawn, account=ALICE, token=QUOTE, **fields)
    assert bench.only(Diverged).what.startswith("approval")


def test_an_approval_lapses_with_the_chains_time(bench: Bench) -> None:
    bench.approve(ALICE, 50)
    nonce, deadline = bench.engine.sequence, bench.at // 1000 + 120
    bench.block(deadline)
    assert bench.events == (), "a block at the deadline may still use it"
    bench.block(deadline + 1, number=3)
    assert bench.only(ApprovalReleased) == ApprovalReleased(nonce=nonce, account=ALICE, used=False)
    assert bench.balance(ALICE).leaving == 0
    bench.block(deadline, number=4)
    assert bench.only(CommandRejected).reason == RejectReason.INVALID_PARAMETER
    bench.block(deadline + 9, number=2)
    assert bench.only(CommandRejected).reason == RejectReason.INVALID_PARAMETER


def test_a_market_is_listed_once(bench: Bench) -> None:
    bench.do(ObserveLog(log=market_log(bench.engine.last_event_sequence + 1, market=2, base=OTHER)))
    assert bench.only(MarketOpened).symbol == "BASE2-USDC"
    assert 2 in bench.engine.books
    bench.do(ObserveLog(log=market_log(bench.engine.last_event_sequence + 1, market=2, base=OTHER)))
    assert bench.only(Diverged)


def test_a_registered_synth_is_known(bench: Bench) -> None:
    bench.approve(ALICE, 1, token=OTHER)
    assert bench.only(CommandRejected).reason == RejectReason.UNKNOWN_TOKEN
    bench.see(SynthRegistered, token=OTHER)
    bench.approve(ALICE, 1, token=OTHER)
    assert bench.only(CommandRejected).reason == RejectReason.INSUFFICIENT_BALANCE


def test_an_on_chain_cancel_is_honoured_at_once(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, slot=3, sequence=START)
    bench.see(OrderCancelledOnChain, account=ALICE, nonce=make_nonce(3, START + 5), effective_at=1)
    assert bench.only(OrderClosed).reason == CloseReason.CANCELED_ON_CHAIN
    bench.place(ALICE, BUY, 100, 1, slot=3, sequence=START + 5)
    assert bench.rejection == RejectReason.DEAD_NONCE
    bench.place(ALICE, BUY, 100, 1, slot=3, sequence=START + 6)
    bench.see(OrderCancelledOnChain, account=ALICE, nonce=make_nonce(3, START + 5), effective_at=1)
    assert bench.events == (), "it reaches no newer order"


def test_an_on_chain_floor_is_honoured_at_once(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, slot=3, sequence=START)
    bench.place(ALICE, BUY, 100, 1, slot=4, sequence=START + 8)
    bench.place(CAROL, BUY, 100, 1, slot=4, sequence=START)
    bench.see(AllOrdersCancelledOnChain, account=ALICE, floor=START + 8, effective_at=1)
    assert [(e.account, e.reason) for e in bench.all(OrderClosed)] == [(ALICE, CloseReason.CANCELED_ON_CHAIN)]
    assert bench.levels(BUY) == [(100, 2)]
    bench.place(ALICE, BUY, 100, 1, slot=5, sequence=START + 7)
    assert bench.rejection == RejectReason.DEAD_NONCE


AGENT: dict[str, Any] = {"account": DAVE, "agent": CAROL, "expiry": 9, "notional": 2**128 - 1, "markets": (2, 7)}


def test_agents_come_and_go(bench: Bench) -> None:
    without = len(bench.engine.snapshot())
    bench.see(AgentRegistered, **AGENT)
    registered = AgentChanged(**AGENT)
    assert bench.only(AgentChanged) == registered
    assert bench.engine.agents == {(DAVE, CAROL): registered}
    assert registered in bench.engine.describe()
    assert len(bench.engine.snapshot()) > without
    assert Engine.restore(bench.engine.snapshot()).agents == bench.engine.agents
    bench.see(AgentRevoked, account=DAVE, agent=CAROL, effective_at=300)
    assert bench.only(AgentChanged) == AgentChanged(**AGENT, is_revoked=True)
    again = AGENT | {"markets": (), "expiry": 10}
    bench.see(AgentRegistered, **again)
    assert bench.engine.agents == {(DAVE, CAROL): AgentChanged(**again)}
    assert bench.all(Diverged) == []


def test_a_key_may_be_the_agent_of_several_accounts(bench: Bench) -> None:
    bench.see(AgentRegistered, **AGENT)
    bench.see(AgentRegistered, **AGENT | {"account": ALICE})
    bench.see(AgentRevoked, account=DAVE, agent=CAROL, effective_at=300)
    revoked = {account: agent.is_revoked for (account, _), agent in bench.engine.agents.items()}
    assert revoked == {DAVE: True, ALICE: False}


def test_revoking_what_is_no_agent_is_a_divergence(bench: Bench) -> None:
    bench.see(AgentRegistered, **AGENT)
    bench.see(AgentRevoked, account=DAVE, agent=CAROL, effective_at=300)
    bench.see(AgentRevoked, account=DAVE, agent=CAROL, effective_at=300)
    assert bench.only(Diverged).what == f"agent {CAROL} of {DAVE}"


def test_a_loss_lowers_no_balance(bench: Bench) -> None:
    before = {key: balance.as_tuple() for key, balance in bench.engine.ledger.balances.items()}
    bench.see(LossDeclared, index=10**18, new_index=9 * 10**17, shortfall=2**130)
    told = IndexLowered(index=10**18, new_index=9 * 10**17, shortfall=2**130)
    assert bench.events == (told,)
    assert before == {key: balance.as_tuple() for key, balance in bench.engine.ledger.balances.items()}
    assert told in bench.engine.describe()
    restored = Engine.restore(bench.engine.snapshot())
    assert told in restored.describe() and restored.state_hash() == bench.engine.state_hash()


def test_one_cancel_of_many_at_a_time(bench: Bench) -> None:
    """`cancelMany` says of each slot what `cancel` says: the same log several times, each with its own sequence."""
    for slot in (1, 2, 3):
        bench.place(ALICE, SELL, 100 + slot, 1, slot=slot, sequence=START + 5)
    closed = []
    for slot in (1, 3):
        bench.see(OrderCancelledOnChain, account=ALICE, nonce=make_nonce(slot, START + 5), effective_at=1)
        closed += bench.all(OrderClosed)
    assert len(closed) == 2 and bench.levels(SELL) == [(102, 1)]
