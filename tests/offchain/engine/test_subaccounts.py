"""Sub-accounts: whose money an order holds, what moves between them, and what happens if one owes more than it has."""

from typing import Any

import msgspec
import pytest
from laws import check
from scene import (
    ALICE,
    BASE,
    BASE_ATOMS,
    BOB,
    BUY,
    CAROL,
    FOK,
    IOC,
    QUOTE,
    QUOTE_ATOMS,
    RULED_VENUE,
    SELL,
    WISHFUL_VENUE,
    Bench,
    open_market,
)

from offchain.domain.beside import Beside, SelfTrade
from offchain.domain.chainlog import Deposited, WithdrawalRequested, Withdrawn
from offchain.domain.command import CancelMany, decode, encode
from offchain.domain.event import (
    AccountRestricted,
    ApprovalGranted,
    BalanceChanged,
    CloseReason,
    CommandRejected,
    FillMatched,
    OrderClosed,
    RejectReason,
    SubaccountChanged,
    TransferKnown,
    TransferredBetween,
)
from offchain.domain.limits import TRANSFERS_REMEMBERED
from offchain.domain.terms import TransferBetween
from offchain.domain.units import Address
from offchain.engine.engine import Engine
from offchain.engine.parts import find_part, settled_of

COST = 100 * QUOTE_ATOMS
MONEY = 1_000 * COST
WITHDRAWAL = {"destination": ALICE, "as_cxpt": False, "approval": 0, "request_remaining": 0}
TRANSFER = TransferBetween(account=ALICE, signer=ALICE, token=QUOTE, amount=10 * COST, source=0, target=3)


@pytest.fixture
def bench() -> Bench:
    return open_market(quote=MONEY, base=1_000, venue=RULED_VENUE)


def part(bench: Bench, number: int, token: Address = QUOTE) -> tuple[int, int, int, int]:
    """settled, pending, held, leaving"""
    found = find_part(bench.engine.ledger, ALICE, token, number)
    return (0, 0, 0, 0) if found is None else found.as_tuple()


def move(bench: Bench, amount: int, source: int, target: int, token: Address = QUOTE) -> None:
    bench.do(msgspec.structs.replace(TRANSFER, amount=amount, source=source, target=target, token=token))
    assert bench.only(TransferredBetween).amount == amount


def closings(bench: Bench) -> list[CloseReason]:
    return [event.reason for event in bench.all(OrderClosed)]


def test_an_order_holds_its_own_part(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1, subaccount=3)
    assert bench.rejection is RejectReason.INSUFFICIENT_BALANCE
    move(bench, 10 * COST, 0, 3)
    bench.place(ALICE, BUY, 100, 9, subaccount=3)
    assert bench.accepted.subaccount == 3
    assert part(bench, 3)[2] > 9 * COST and part(bench, 0) == (MONEY - 10 * COST, 0, 0, 0)
    bench.place(ALICE, BUY, 100, 1, subaccount=3)
    assert bench.rejection is RejectReason.INSUFFICIENT_BALANCE
    bench.place(ALICE, BUY, 100, 100)
    assert bench.accepted
    check(bench.engine)


def test_a_fill_is_its_parts(bench: Bench) -> None:
    move(bench, 10 * COST, 0, 3)
    bench.place(ALICE, BUY, 100, 5, subaccount=3)
    bench.place(BOB, SELL, 100, 5)
    assert part(bench, 3, BASE)[1] == 5 * BASE_ATOMS and part(bench, 0, BASE) == (1_000 * BASE_ATOMS, 0, 0, 0)
    whole = {event.token: event for event in bench.all(BalanceChanged) if event.account == ALICE}
    assert whole[BASE].pending == 5 * BASE_ATOMS and whole[BASE].settled == 1_000 * BASE_ATOMS
    parts = {(event.token, event.subaccount): event.pending for event in bench.all(SubaccountChanged)}
    assert parts[BASE, 3] == 5 * BASE_ATOMS
    bench.wait(1_000)
    bench.settle()
    assert part(bench, 3, BASE) == (5 * BASE_ATOMS, 0, 0, 0)
    assert settled_of(bench.engine.ledger, ALICE, BASE) == 1_005 * BASE_ATOMS
    again = Engine.restore(bench.engine.snapshot())
    assert again.snapshot() == bench.engine.snapshot() and list(again.describe()) == list(bench.engine.describe())
    check(bench.engine)


@pytest.mark.parametrize("mode", [0, 3])
def test_parts_of_one_account_never_trade(bench: Bench, mode: int) -> None:
    move(bench, 10 * COST, 0, 1)
    bench.place(BOB, SELL, 100, 1)
    bench.place(ALICE, SELL, 100, 5)
    bench.place(ALICE, BUY, 100, 3, subaccount=1, beside=Beside(self_trade=SelfTrade(mode)))
    assert closings(bench)[0] is CloseReason.SELF_TRADE
    assert [fill.maker for fill in bench.all(FillMatched)] == [BOB]
    assert bench.levels(BUY) == [(100, 2)] and bench.levels(SELL) == []


def test_the_taker_gives_way_if_it_says_so(bench: Bench) -> None:
    move(bench, 10 * COST, 0, 1)
    bench.place(ALICE, SELL, 100, 5)
    bench.place(ALICE, BUY, 100, 3, subaccount=1, beside=Beside(self_trade=SelfTrade.EXPIRE_TAKER))
    assert closings(bench) == [CloseReason.SELF_TRADE] and bench.levels(SELL) == [(100, 5)]


def test_a_fill_or_kill_order_counts_no_other_part(bench: Bench) -> None:
    move(bench, 10 * COST, 0, 1)
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, SELL, 100, 2)
    bench.place(ALICE, BUY, 100, 3, subaccount=1, tif=FOK)
    assert closings(bench) == [CloseReason.IMMEDIATE_REMAINDER] and bench.levels(SELL) == [(100, 7)]
    bench.place(ALICE, BUY, 100, 2, subaccount=1, tif=FOK)
    assert len(bench.all(FillMatched)) == 1 and bench.levels(SELL) == []


def test_cancel_by_part(bench: Bench) -> None:
    move(bench, 10 * COST, 0, 1)
    bench.place(ALICE, BUY, 90, 1)
    bench.place(ALICE, BUY, 91, 1, subaccount=1)
    bench.do(CancelMany(account=ALICE, signer=ALICE, subaccount=1))
    assert bench.levels(BUY) == [(90, 1)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signer": BOB}, RejectReason.WRONG_SIGNER),
        ({"token": CAROL}, RejectReason.UNKNOWN_TOKEN),
        ({"amount": 0}, RejectReason.INVALID_PARAMETER),
        ({"amount": -1}, RejectReason.INVALID_PARAMETER),
        ({"target": 0}, RejectReason.INVALID_PARAMETER),
        ({"target": 256}, RejectReason.INVALID_PARAMETER),
        ({"source": -1}, RejectReason.INVALID_PARAMETER),
        ({"amount": MONEY + 1}, RejectReason.INSUFFICIENT_BALANCE),
        ({"source": 4}, RejectReason.INSUFFICIENT_BALANCE),
    ],
)
def test_what_cannot_move(bench: Bench, changes: dict[str, Any], reason: RejectReason) -> None:
    bench.do(msgspec.structs.replace(TRANSFER, **changes))
    assert bench.only(CommandRejected).reason is reason


def test_what_is_held_or_unsettled_does_not_move(bench: Bench) -> None:
    bench.place(BOB, BUY, 100, 50)
    bench.place(ALICE, SELL, 100, 50, tif=IOC)
    bench.place(ALICE, BUY, 50, 10)
    free = bench.balance(ALICE).withdrawable
    assert free < MONEY and bench.balance(ALICE).tradable > free
    bench.do(msgspec.structs.replace(TRANSFER, amount=free + 1))
    assert bench.only(CommandRejected).reason is RejectReason.INSUFFICIENT_BALANCE
    move(bench, free, 0, 3)


def test_an_older_venue_has_none() -> None:
    bench = open_market(venue=WISHFUL_VENUE)
    bench.do(TRANSFER)
    assert bench.only(CommandRejected).reason is RejectReason.UNSUPPORTED
    bench.place(ALICE, SELL, 100, 1, subaccount=1)
    assert bench.rejection is RejectReason.UNSUPPORTED


# --- the chain knows the account only ---


def request(bench: Bench, amount: int) -> None:
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=amount, destination=ALICE, matures_at=5)


def test_a_request_on_chain_draws_on_the_other_parts(bench: Bench) -> None:
    """First the orders of sub-account 0 go, then what others have free, then their newest orders."""
    move(bench, 300 * COST, 0, 1)
    move(bench, 300 * COST, 0, 2)
    bench.place(ALICE, BUY, 100, 390)
    bench.place(ALICE, BUY, 99, 290, subaccount=1)
    bench.place(ALICE, BUY, 98, 100, subaccount=2)
    bench.place(ALICE, BUY, 97, 100, subaccount=2)
    request(bench, 600 * COST)
    assert closings(bench) == [CloseReason.UNCOVERED] * 2
    forced = [(event.source, event.target) for event in bench.all(TransferredBetween) if event.is_forced]
    assert forced == [(1, 0), (2, 0), (2, 0)]
    assert bench.levels(BUY) == [(99, 290), (98, 100)] and not bench.all(AccountRestricted)
    assert part(bench, 0) == (600 * COST, 0, 0, 600 * COST)
    check(bench.engine)


def test_what_is_missing_everywhere_restricts_the_account(bench: Bench) -> None:
    move(bench, 300 * COST, 0, 1)
    bench.place(ALICE, BUY, 99, 290, subaccount=1)
    bench.place(BOB, SELL, 99, 290)
    request(bench, MONEY)
    assert bench.only(AccountRestricted).cancel_only
    bench.place(ALICE, BUY, 50, 1, subaccount=1)
    assert bench.rejection is RejectReason.CANCEL_ONLY_ACCOUNT
    bench.see(Withdrawn, account=ALICE, token=QUOTE, amount=MONEY, balance=0, **WITHDRAWAL)
    assert not bench.engine.gate.is_diverged and settled_of(bench.engine.ledger, ALICE, QUOTE) == 0
    bench.wait(1_000)
    bench.settle((0, 1))
    assert not bench.only(AccountRestricted).cancel_only
    assert part(bench, 0)[0] == part(bench, 1)[0] == 0
    check(bench.engine)


def test_a_deposit_covers_another_part(bench: Bench) -> None:
    move(bench, 300 * COST, 0, 1)
    bench.place(ALICE, BUY, 99, 290, subaccount=1)
    bench.place(BOB, SELL, 99, 290)
    request(bench, MONEY)
    assert bench.only(AccountRestricted).cancel_only
    bench.see(Deposited, account=ALICE, token=QUOTE, amount=MONEY, balance=2 * MONEY)
    assert not bench.only(AccountRestricted).cancel_only


def test_a_countersignature_leaves_what_others_owe(bench: Bench) -> None:
    """The account's unsettled fills are paid out of one balance on chain."""
    move(bench, 300 * COST, 0, 1)
    bench.approve(ALICE, 700 * COST + 1)
    assert bench.only(CommandRejected).reason is RejectReason.INSUFFICIENT_BALANCE
    bench.approve(ALICE, 700 * COST)
    assert bench.only(ApprovalGranted).amount == 700 * COST


NAMED = msgspec.structs.replace(TRANSFER, client_id="rent")


def test_a_transfer_with_a_name_is_done_once(bench: Bench) -> None:
    """Also by an engine that was restored, or that replays; and the first sequence is named."""
    bench.do(NAMED)
    first = bench.engine.sequence
    assert bench.only(TransferredBetween).amount == 10 * COST
    bench.engine = Engine.restore(bench.engine.snapshot())
    for _ in range(2):
        before = bench.engine.snapshot()
        bench.do(NAMED)
        assert bench.only(TransferKnown) == TransferKnown(account=ALICE, client_id="rent", sequence=first)
        assert part(bench, 3)[0] == 10 * COST and not bench.all(BalanceChanged)
        assert Engine.restore(bench.engine.snapshot()).snapshot() == bench.engine.snapshot() != before
    bench.do(msgspec.structs.replace(NAMED, client_id="", amount=1))
    bench.do(msgspec.structs.replace(NAMED, client_id="", amount=1))
    assert part(bench, 3)[0] == 10 * COST + 2, "without a name each is one"


def test_another_transfer_under_the_name_is_refused(bench: Bench) -> None:
    bench.do(NAMED)
    for changes in ({"amount": 1}, {"target": 4}, {"source": 3, "target": 0}, {"token": BASE}):
        bench.do(msgspec.structs.replace(NAMED, **changes))
        assert bench.only(CommandRejected).reason is RejectReason.DUPLICATE_CLIENT_TRANSFER_ID
    bench.do(msgspec.structs.replace(NAMED, account=BOB, signer=BOB))
    assert bench.only(TransferredBetween).account == BOB, "names are the account's own"
    bench.do(msgspec.structs.replace(NAMED, client_id="x" * 37))
    assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER


def test_what_was_refused_may_be_asked_again(bench: Bench) -> None:
    """A refusal means that nothing moved: its name is still free."""
    more = msgspec.structs.replace(NAMED, amount=MONEY + 1)
    bench.do(more)
    assert bench.only(CommandRejected).reason is RejectReason.INSUFFICIENT_BALANCE
    bench.see(Deposited, account=ALICE, token=QUOTE, amount=1, balance=MONEY + 1)
    bench.do(more)
    assert bench.only(TransferredBetween).amount == MONEY + 1


def test_the_oldest_names_are_forgotten(bench: Bench) -> None:
    for number in range(TRANSFERS_REMEMBERED + 1):
        bench.do(msgspec.structs.replace(NAMED, client_id=str(number), amount=1))
    bench.do(msgspec.structs.replace(NAMED, client_id="1", amount=1))
    assert bench.only(TransferKnown).client_id == "1"
    bench.do(msgspec.structs.replace(NAMED, client_id="0", amount=1))
    assert bench.only(TransferredBetween).amount == 1


def test_a_transfer_without_a_name_is_written_as_ever() -> None:
    """Journals from before there were names keep their bytes and hashes."""
    assert b"client_id" not in encode(TRANSFER)[2] and b"rent" in encode(NAMED)[2]
    assert decode(*encode(NAMED)) == NAMED and decode(*encode(TRANSFER)) == TRANSFER
