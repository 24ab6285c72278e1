"""What the relay is asked for: every reason to refuse, how a request ends, what is remembered and for how long."""

from typing import Any

import pytest
from scene import ALICE, BASE, BOB, QUOTE, RICH, SETTLEMENT, STRANGER, VAULT, VENUE, Bench, address, open_market

from offchain.domain.chainlog import AgentRegistered, Deposited, LossDeclared
from offchain.domain.command import ObserveBlock, RequestAgent, RequestDeposit, decode, encode
from offchain.domain.eip712 import AgentTerms, agent_digest, domain_separator, permit_digest, separator_of
from offchain.domain.event import CommandRejected, RelayEnded, RelayRequested
from offchain.domain.limits import RELAYED_BY_STRANGERS_MAX, RELAYED_DEPOSIT_MIN, RELAYED_MAX, RELAYED_PER_ACCOUNT_MAX
from offchain.domain.reasons import RejectReason
from offchain.domain.units import Address, Digest
from offchain.engine.engine import Engine

MINIMUM = RELAYED_DEPOSIT_MIN * 10**6
DOMAIN = separator_of("USD Coin", "2", VENUE.chain_id, QUOTE)


@pytest.fixture
def bench() -> Bench:
    return open_market()


def deposit(bench: Bench, **changes: Any) -> RequestDeposit:
    values: dict[str, Any] = {
        "account": STRANGER,
        "amount": MINIMUM,
        "nonce": 0,
        "deadline": bench.at // 1000 + 600,
        "token_domain": Digest("0x" + DOMAIN.hex()),
        "signature": "0x" + "11" * 65,
        **changes,
    }
    return RequestDeposit(**{"signer": values["account"], **values})


def agent(bench: Bench, **changes: Any) -> RequestAgent:
    values: dict[str, Any] = {
        "account": ALICE,
        "agent": BOB,
        "expiry": bench.at // 1000 + 10_000,
        "notional": 5,
        "markets": (1,),
        "nonce": 0,
        "deadline": bench.at // 1000 + 600,
        "signature": "0x" + "11" * 65,
        **changes,
    }
    return RequestAgent(**{"signer": values["account"], **values})


def ask(bench: Bench, command: RequestDeposit | RequestAgent) -> RejectReason | None:
    """Why it was refused, if it was; through the bytes of the journal."""
    bench.do(decode(*encode(command)))
    refused = [event.reason for event in bench.events if isinstance(event, CommandRejected)]
    return refused[0] if refused else None


def check_restored(bench: Bench) -> None:
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.state_hash() == bench.engine.state_hash()
    assert list(restored.describe()) == list(bench.engine.describe())


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        (RejectReason.WRONG_SIGNER, {"signer": ALICE}),
        (RejectReason.INVALID_PARAMETER, {"amount": MINIMUM - 1}),
        (RejectReason.INVALID_PARAMETER, {"amount": 2**88}),
        (RejectReason.INVALID_PARAMETER, {"deadline": 1_700_000_059}),
        (RejectReason.INVALID_PARAMETER, {"deadline": 1_700_000_000 + 3_700}),
        (RejectReason.INVALID_PARAMETER, {"nonce": -1}),
    ],
)
def test_reasons_to_refuse_a_deposit(bench: Bench, reason: RejectReason, changes: dict[str, Any]) -> None:
    before = list(bench.engine.describe())
    assert ask(bench, deposit(bench, **changes)) == reason
    assert list(bench.engine.describe()) == before, "nothing is kept of it"


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        (RejectReason.WRONG_SIGNER, {"signer": BOB}),
        (RejectReason.INSUFFICIENT_BALANCE, {"account": STRANGER}),
        (RejectReason.INVALID_PARAMETER, {"agent": ALICE}),
        (RejectReason.INVALID_PARAMETER, {"agent": address(0)}),
        (RejectReason.INVALID_PARAMETER, {"expiry": 1_700_000_000}),
        (RejectReason.INVALID_PARAMETER, {"notional": 2**128}),
        (RejectReason.INVALID_PARAMETER, {"markets": tuple(range(65))}),
        (RejectReason.INVALID_PARAMETER, {"markets": (2**32,)}),
    ],
)
def test_reasons_to_refuse_an_agent(bench: Bench, reason: RejectReason, changes: dict[str, Any]) -> None:
    assert ask(bench, agent(bench, **changes)) == reason


def test_a_deposit_ends_with_the_log_of_its_amount(bench: Bench) -> None:
    command = deposit(bench)
    assert ask(bench, command) is None
    told = bench.only(RelayRequested)
    digest = permit_digest(DOMAIN, STRANGER, VAULT, command.amount, 0, command.deadline)
    assert told == RelayRequested(number=bench.engine.sequence, digest=Digest("0x" + digest.hex()), request=command)
    check_restored(bench)
    for account, token, amount in ((ALICE, QUOTE, MINIMUM), (STRANGER, BASE, MINIMUM), (STRANGER, QUOTE, MINIMUM + 1)):
        balance = bench.balance(account, token).settled + amount
        bench.see(Deposited, account=account, token=token, amount=amount, balance=balance)
        assert not bench.all(RelayEnded)
    bench.see(Deposited, account=STRANGER, token=QUOTE, amount=MINIMUM, balance=2 * MINIMUM + 1)
    ended = RelayEnded(number=told.number, digest=told.digest, account=STRANGER, transaction="0x02")
    assert bench.only(RelayEnded) == ended
    bench.see(Deposited, account=STRANGER, token=QUOTE, amount=MINIMUM, balance=3 * MINIMUM + 1)
    assert not bench.all(RelayEnded), "once"
    assert [event for event in bench.engine.describe() if isinstance(event, RelayEnded)] == [ended]
    check_restored(bench)


def test_after_a_loss_atoms_are_compared_in_units(bench: Bench) -> None:
    bench.see(LossDeclared, index=10**18, new_index=9 * 10**17, shortfall=1)
    ask(bench, deposit(bench))
    units = MINIMUM * 10 // 9
    bench.see(Deposited, account=STRANGER, token=QUOTE, amount=units, balance=units)
    assert bench.only(RelayEnded).transaction


def test_an_agent_ends_with_the_registration_of_its_terms(bench: Bench) -> None:
    command = agent(bench)
    assert ask(bench, command) is None
    terms = AgentTerms(BOB, command.expiry, 5, (1,))
    separator = domain_separator(VENUE.chain_id, SETTLEMENT)
    digest = agent_digest(separator, ALICE, terms, 0, command.deadline)
    assert bench.only(RelayRequested).digest == "0x" + digest.hex()
    check_restored(bench)
    bench.see(AgentRegistered, account=ALICE, **(terms._asdict() | {"notional": 6}))
    assert not bench.all(RelayEnded)
    bench.see(AgentRegistered, account=ALICE, **terms._asdict())
    assert bench.only(RelayEnded).transaction == "0x02"
    check_restored(bench)


def test_one_lapses_when_its_deadline_has_passed_on_chain(bench: Bench) -> None:
    ask(bench, command := deposit(bench))
    bench.do(ObserveBlock(block_number=9, block_time=command.deadline))
    assert not bench.all(RelayEnded), "that block may still take it"
    bench.do(ObserveBlock(block_number=10, block_time=command.deadline + 1))
    assert bench.only(RelayEnded).transaction == ""
    bench.see(Deposited, account=STRANGER, token=QUOTE, amount=MINIMUM, balance=MINIMUM)
    assert not bench.all(RelayEnded)


def test_the_same_is_taken_once_as_long_as_it_could_be_sent(bench: Bench) -> None:
    command = deposit(bench, deadline=bench.at // 1000 + 3_600)
    assert ask(bench, command) is None
    asked_at = bench.at
    assert ask(bench, command) == RejectReason.ALREADY_REQUESTED
    bench.see(Deposited, account=STRANGER, token=QUOTE, amount=MINIMUM, balance=MINIMUM)
    assert ask(bench, command) == RejectReason.ALREADY_REQUESTED, "credited, and not again"
    bench.wait(asked_at + 3_599_998 - bench.at)
    assert ask(bench, command) == RejectReason.INVALID_PARAMETER, "its deadline is too near by then"
    assert any(isinstance(event, RelayRequested) for event in bench.engine.describe())
    bench.wait(2)
    assert not any(isinstance(event, RelayRequested) for event in bench.engine.describe())
    check_restored(bench)


def test_what_is_forgotten_is_not_in_the_state_whoever_looked(bench: Bench) -> None:
    other = open_market()
    for one in (bench, other):
        ask(one, deposit(one))
    restored = Engine.restore(other.engine.snapshot())
    for sequence, step in enumerate((3_600_000, 1), bench.engine.sequence + 1):
        bench.at += step
        command = ObserveBlock(block_number=9, block_time=bench.at // 1000)
        assert bench.engine.apply(sequence, bench.at, command) == restored.apply(sequence, bench.at, command) == ()
        assert bench.engine.state_hash() == restored.state_hash()


def test_so_many_an_hour_and_no_more(bench: Bench) -> None:
    for nonce in range(RELAYED_PER_ACCOUNT_MAX):
        assert ask(bench, deposit(bench, nonce=nonce)) is None
    assert ask(bench, deposit(bench, nonce=99)) == RejectReason.TOO_MANY_REQUESTS_RELAYED
    assert ask(bench, deposit(bench, account=ALICE)) is None, "others may"
    bench.wait(3_600_000)
    assert ask(bench, deposit(bench, nonce=99)) is None


def test_strangers_do_not_shut_out_who_has_a_balance(bench: Bench) -> None:
    for number in range(RELAYED_BY_STRANGERS_MAX):
        assert ask(bench, deposit(bench, account=address(0x1000 + number))) is None
    assert ask(bench, deposit(bench)) == RejectReason.TOO_MANY_REQUESTS_RELAYED
    assert ask(bench, deposit(bench, account=ALICE)) is None
    check_restored(bench)
    known = [address(0x9000 + number) for number in range(RELAYED_MAX // RELAYED_PER_ACCOUNT_MAX)]
    for account in known:
        bench.see(Deposited, account=account, token=QUOTE, amount=RICH, balance=RICH)
        for nonce in range(RELAYED_PER_ACCOUNT_MAX):
            last = ask(bench, deposit(bench, account=account, nonce=nonce))
    assert last == RejectReason.TOO_MANY_REQUESTS_RELAYED
    assert ask(bench, deposit(bench, account=Address(ALICE), nonce=7)) == RejectReason.TOO_MANY_REQUESTS_RELAYED
