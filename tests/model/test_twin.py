"""The engine and its naive twin live through the same histories and agree on every happening and every atom."""

import os

import pytest
from comparison import agree, stories, told
from histories import History
from naive import Naive
from relayed import RelayedHistory, crowd
from ruled import RepeatingHistory, RuledHistory
from scene import FEES, ITEMIZED_VENUE, PACKED_VENUE, START, VENUE
from wishful import CalmHistory, WishfulHistory

from offchain.domain import event as ev
from offchain.domain.command import OpenVenue
from offchain.domain.relayed import RequestAgent, RequestDeposit

STEPS = 10_000
FUZZED = int(os.environ.get("HOOATS_FUZZ_HISTORIES", "1"))
"""`make fuzz` lives through a hundred whole histories of a seed of its own: a million steps."""
SEED = 1_000 * int(os.environ.get("HOOATS_FUZZ_SEED", "1"))
KINDS = (History, CalmHistory, WishfulHistory, RuledHistory, RelayedHistory)


@pytest.mark.parametrize(
    ("seed", "venue"),
    [(1, ITEMIZED_VENUE), (2, ITEMIZED_VENUE), (3, VENUE), (4, PACKED_VENUE)],
    ids=["itemized-1", "itemized-2", "old-3", "packed-4"],
)
def test_ten_thousand_steps(seed: int, venue: OpenVenue) -> None:
    """Also by the rules of old journals."""
    counts = live_side_by_side(History(seed, venue=venue))
    assert counts["amm"] > 25 and counts["improved"] > 15 and counts["asked"] > 3, counts
    assert counts["agent"] > 3, counts
    assert counts["fill"] > 400 and counts["refused"] > 15 and counts["restricted"] > 10, counts


def test_four_thousand_steps_with_wishes() -> None:
    counts = live_side_by_side(CalmHistory(8), 4_000)
    assert counts["triggered"] > 60 and counts["closed LINKED"] > 10, counts


def test_ten_thousand_steps_with_wishes_and_worries() -> None:
    counts = live_side_by_side(WishfulHistory(7))
    assert counts["amended"] > 100 and counts["together done"] > 50 and counts["together not"] > 50, counts
    assert counts["closed TIMED_OUT"] > 3 and counts["closed DISCONNECTED"] > 3, counts
    assert counts["rejected BATCH_REFUSED"] > 30 and counts["closed SELF_TRADE"] > 50, counts
    assert counts["rejected PRICE_OUT_OF_BAND"] > 10 and counts["rejected REDUCE_ONLY_EXCEEDED"] > 3, counts


def test_three_thousand_steps_with_rules_for_accounts() -> None:
    counts = live_side_by_side(RuledHistory(6), 3_000)
    assert counts["tripped"] > 15 and counts["closed PROTECTED"] > 15 and counts["reset"] > 30, counts
    assert counts["rejected NO_PROTECTION"] > 30 and counts["rejected PROTECTION_FROZEN"] > 30, counts
    assert counts["of a part"] > 100 and counts["transfer"] > 40 and counts["forced transfer"] > 8, counts
    assert counts["schedule"] > 6 and counts["cxpt"] > 25 and counts["in a tier"] > 200, counts


def test_eight_hundred_steps_with_transfers_again() -> None:
    counts = live_side_by_side(RepeatingHistory(1), 800)
    assert counts["transfer"] > 20 and counts["transfer known"] > 5, counts
    assert counts["no DUPLICATE_CLIENT_TRANSFER_ID"] > 2, counts


def test_twelve_hundred_steps_with_a_relay() -> None:
    counts = live_side_by_side(RelayedHistory(9), 1_200)
    assert counts["relay"] > 80 and counts["relay lapsed"] > 8 and counts["loss"] > 3, counts
    assert counts["relayed RequestDeposit"] > 40 and counts["relayed RequestAgent"] > 4, counts
    assert counts["relay ALREADY_REQUESTED"] > 5 and counts["relay TOO_MANY_REQUESTS_RELAYED"] > 10, counts
    assert counts["relay INVALID_PARAMETER"] > 20 and counts["relay WRONG_SIGNER"] > 2, counts
    assert counts["relay INSUFFICIENT_BALANCE"] > 5, counts


def test_of_a_crowd_of_strangers_a_thousand_are_taken() -> None:
    """And more when an hour has passed."""
    history = RelayedHistory(10)
    history.follow = crowd(1_005, START // 1000 + 300)
    counts = live_side_by_side(history, 1_800)
    assert counts["relay"] > 1_040 and counts["relay TOO_MANY_REQUESTS_RELAYED"] > 5, counts
    assert counts["relay lapsed"] > 900, counts


@pytest.mark.parametrize("number", range(FUZZED))
def test_other_histories(number: int) -> None:
    steps = STEPS if FUZZED > 1 else 500
    assert live_side_by_side(KINDS[number % len(KINDS)](SEED + number), steps)


def live_side_by_side(history: History, steps: int = STEPS) -> dict[str, int]:
    """How often what happened."""
    twin = Naive()
    counts: dict[str, int] = {}
    read: dict[tuple[str, str], tuple[int, int, int, int]] = {}
    for sequence, at, command, events in history.steps(steps):
        expected = twin.apply(sequence, at, command)
        happened = [words for event in events if (words := told(event)) is not None]
        if sequence == 1:
            happened = []
        assert stories(happened) == stories(expected), (sequence, command)
        for event in events:
            if isinstance(event, ev.BalanceChanged):
                read[event.account, event.token] = (event.settled, event.pending, event.held, event.leaving)
                assert read[event.account, event.token] == twin.money(event.account, event.token)
            elif isinstance(event, ev.SubaccountChanged):
                part = (event.settled, event.pending, event.held, event.leaving)
                assert part == twin.money(event.account, event.token, event.subaccount)
        rates = history.engine.fees_of(FEES)[:2]
        for event in events:
            if isinstance(event, ev.OrderAccepted) and (event.maker_fee_ppm, event.taker_fee_ppm) != rates:
                counts["in a tier"] = counts.get("in a tier", 0) + 1
            if isinstance(event, ev.OrderAccepted) and event.subaccount:
                counts["of a part"] = counts.get("of a part", 0) + 1
        for words in happened:
            name = f"{words[0]} {words[2]}" if words[0] in ("closed", "rejected") else str(words[0])
            if words[0] == "transfer" and words[-1]:
                name = "forced transfer"
            name = f"no {words[1]}" if words[0] == "no" else name
            if words[0] == "no" and isinstance(command, RequestDeposit | RequestAgent):
                name = f"relay {words[1]}"
            if words[0] == "relayed":
                kind = next(type(one.what).__name__ for one in twin.asked_relay if one.number == words[1])
                name = f"relayed {kind}" if words[-1] else "relay lapsed"
            if words[0] == "together":
                name = "together not" if words[2] else "together done"
            counts[name] = counts.get(name, 0) + 1
        if sequence % 100 == 0:
            agree(history.engine, twin)
            for account in twin.accounts:
                for token in twin.tokens:
                    assert read.get((account, token), (0, 0, 0, 0)) == twin.money(account, token)
    agree(history.engine, twin)
    assert history.engine.gate.is_diverged is False
    return counts
