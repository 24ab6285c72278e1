"""Random histories end where the chain's model ends, obey every law on the way, and replay to the same bytes."""

import pytest
from chain import Chain
from histories import History
from laws import check, check_memory
from relayed import RelayedHistory
from ruled import RuledHistory
from scene import QUOTE
from wishful import CalmHistory, WishfulHistory

from offchain.domain import event as ev
from offchain.domain.command import decode, encode
from offchain.engine.engine import Engine
from offchain.engine.parts import parts_of, settled_of

LIVED = pytest.mark.parametrize(
    ("kind", "seed"),
    [
        (History, 11),
        (History, 12),
        (History, 13),
        (History, 14),
        (WishfulHistory, 15),
        (CalmHistory, 16),
        (RuledHistory, 17),
        (RelayedHistory, 18),
    ],
)


@LIVED
def test_laws_hold_after_every_command(kind: type[History], seed: int) -> None:
    history = kind(seed)
    for _ in history.steps(1_200):
        check(history.engine)
    check_memory(history.engine, 10_000)


@LIVED
def test_the_ledger_ends_where_the_chain_ends(kind: type[History], seed: int) -> None:
    """To the atom, with refused fills on the way."""
    history, refused = kind(seed, leap=0.01), 0
    for _, _, _, events in history.steps(4_000):
        refused += sum(isinstance(event, ev.FillRefused) for event in events)
    for _, _, _, events in history.settle_everything():
        refused += sum(isinstance(event, ev.FillRefused) for event in events)
    chain: Chain = history.chain
    assert refused > 5 or kind is CalmHistory
    ledger = history.engine.ledger
    settled = {key: settled_of(ledger, *key) for key in ledger.balances}
    assert {key: amount for key, amount in settled.items() if amount} == {
        key: amount for key, amount in chain.balances.items() if amount
    }
    assert all(part.pending == 0 for key in ledger.balances for part in parts_of(ledger, *key))
    assert history.engine.flows == {token: chain.outside.get(token, 0) for token in history.engine.flows}
    assert history.engine.locked == {account: net for account, net in chain.net_locked.items() if net}
    assert history.engine.batches.decided_fill == chain.last_fill
    assert not history.engine.gate.is_diverged and QUOTE in history.engine.flows


@LIVED
def test_replay_through_bytes_is_byte_identical(kind: type[History], seed: int) -> None:
    """Live, replayed from the journal's bytes, and restored from snapshots on the way: one hash, the same events."""
    history, replayed, restored = kind(seed), Engine(), Engine()
    for sequence, at, command, events in history.steps(1_500):
        again = decode(*encode(command))
        assert again == command
        assert replayed.apply(sequence, at, again) == events
        if history.random.random() < 0.02:
            restored = Engine.restore(restored.snapshot())
        assert restored.apply(sequence, at, again) == events
        assert restored.next_deadline() == replayed.next_deadline() == history.engine.next_deadline()
        if sequence % 50 == 0:
            assert replayed.state_hash() == restored.state_hash() == history.engine.state_hash()
            assert list(restored.describe()) == list(history.engine.describe())
            for batch in history.engine.batches.batches:
                assert restored.settlement_batch(batch) == history.engine.settlement_batch(batch)


@LIVED
def test_events_tell_everything(kind: type[History], seed: int) -> None:
    """A read model that starts empty and one that starts from `describe` in the middle end as `describe` at the end."""
    history = kind(seed)
    whole, late = Read(), None
    for sequence, _, _, events in history.steps(1_500):
        whole.take(events)
        if late is not None:
            late.take(events)
        if sequence == 700:
            late = Read()
            late.take(history.engine.describe())
    final = Read()
    final.take(history.engine.describe())
    assert late is not None
    for model in (whole, late):
        assert model.orders == final.orders
        assert model.levels == final.levels
        assert {k: v for k, v in model.balances.items() if any(v)} == final.balances
        assert model.restricted == final.restricted
        assert model.words == final.words
        assert model.approvals == final.approvals


class Read:
    """What a gateway keeps."""

    def __init__(self) -> None:
        self.orders: dict[str, int] = {}
        self.levels: dict[tuple[int, int, int], int] = {}
        self.balances: dict[tuple[str, str], tuple[int, int, int, int]] = {}
        self.restricted: dict[str, bool] = {}
        self.words: dict[str, object] = {}
        self.approvals: dict[int, int] = {}

    def take(self, events: object) -> None:
        for event in events:  # type: ignore[attr-defined]
            match event:
                case ev.OrderAccepted():
                    self.orders[event.digest] = event.filled_lots
                case ev.OrderClosed():
                    del self.orders[event.digest]
                    self.words.pop(event.digest, None)
                case ev.OrderAmended():
                    self.words[event.digest] = event.size_lots
                case ev.CancelAllAfterSet():
                    self.words[f"switch {event.account}"] = event.deadline
                    if not event.deadline:
                        del self.words[f"switch {event.account}"]
                case ev.AmmFillMatched():
                    self.orders[event.taker_digest] += event.size_lots
                case ev.PoolChanged():
                    self.words[f"pool {event.market}"] = (event.base_reserve, event.quote_reserve)
                case ev.OperatorsChanged():
                    self.words["operators"] = event.operators
                    if not event.operators:
                        del self.words["operators"]
                case ev.MarketRequested():
                    self.words[f"asked {event.market}"] = event.symbol
                case ev.FillMatched():
                    self.orders[event.maker_digest] += event.size_lots
                    self.orders[event.taker_digest] += event.size_lots
                case ev.LevelChanged():
                    key = (event.market, event.side, event.price_ticks)
                    self.levels[key] = event.size_lots
                    if not event.size_lots:
                        del self.levels[key]
                case ev.BalanceChanged():
                    row = (event.settled, event.pending, event.held, event.leaving)
                    self.balances[event.account, event.token] = row
                case ev.SubaccountChanged():
                    row = (event.settled, event.pending, event.held, event.leaving)
                    self.balances[event.account, f"{event.token} {event.subaccount}"] = row
                case ev.AccountRestricted():
                    self.restricted[event.account] = event.cancel_only
                    if not event.cancel_only:
                        del self.restricted[event.account]
                case ev.ApprovalGranted():
                    self.approvals[event.nonce] = event.amount
                case ev.ApprovalReleased():
                    del self.approvals[event.nonce]
                case ev.AgentChanged():
                    self.words[f"agent {event.account} {event.agent}"] = event
                case ev.IndexLowered():
                    self.words["loss"] = event
                case ev.VenueStateChanged():
                    self.words["venue"] = (event.state, event.reason)
                case ev.FeesChanged():
                    self.words["fees"] = (event.maker_fee_ppm, event.taker_fee_ppm)
                case ev.FeeScheduleChanged():
                    self.words["schedule"] = (event.tiers, event.discounts)
                    if not event.tiers and not event.discounts:
                        self.words = {k: v for k, v in self.words.items() if k != "schedule" and k[:5] != "cxpt "}
                case ev.CxptObserved():
                    self.words[f"cxpt {event.account}"] = event
                case ev.ProtectionSet():
                    self.words[f"protection {event.account} {event.protection}"] = event
                    if not event.window_millis:
                        del self.words[f"protection {event.account} {event.protection}"]
                case ev.OrderRulesChanged():
                    self.words["rules"] = event.order_rules
                case ev.TradeGroupChanged():
                    for account in event.accounts:
                        self.words[f"group {account}"] = event.group
                        if not event.group:
                            del self.words[f"group {account}"]
                case ev.BandChanged():
                    self.words[f"band {event.market}"] = (event.below_ppm, event.above_ppm)
                    if not event.below_ppm and not event.above_ppm:
                        del self.words[f"band {event.market}"]
                case ev.MarkPosted():
                    self.words[f"mark {event.market}"] = (event.price_ticks, event.at)
                case ev.MarketOpened():
                    self.words[f"market {event.market}"] = "ACTIVE"
                case ev.MarketStateChanged():
                    self.words[f"market {event.market}"] = event.state
