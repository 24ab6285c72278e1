"""The read model against the engine: following every command, or starting from a snapshot, gives the same."""

import asyncio
import json

import msgspec
import pytest
from conftest import KEYS
from hypothesis import given, settings
from hypothesis import strategies as st
from real_venue import BASE, OPENED, QUOTE

from offchain.client.orders import Signer
from offchain.domain.chainlog import (
    AgentRegistered,
    AgentRevoked,
    BatchSettled,
    Deposited,
    LossDeclared,
    MarketListed,
)
from offchain.domain.command import AdvanceTime, CancelAll, CancelOrder, Command, ObserveLog, PlaceOrder
from offchain.domain.eip712 import order_digest
from offchain.domain.event import SubaccountChanged
from offchain.domain.order import CANCEL_TERMS, Flags, Kind, Order, OrderRow, Side, TimeInForce, make_nonce, to_row
from offchain.domain.terms import (
    CxptDiscount,
    FeeTier,
    ObserveCxpt,
    ResetProtection,
    SetFeeSchedule,
    SetProtection,
    TransferBetween,
)
from offchain.domain.units import from_hex
from offchain.engine.engine import Engine
from offchain.engine.schedule import DAY_MILLIS
from offchain.gateway import readmodel
from offchain.gateway.channels import Channel, ChannelLog
from offchain.gateway.directory import BookSide
from offchain.gateway.present import Tokens, agent_json, venue_json
from offchain.gateway.readmodel import ReadModel
from offchain.gateway.records import FillState, refusal_words
from offchain.storage.replica import FeedMessage

ACCOUNTS = [Signer(key).address for key in KEYS[:3]]
START = 1_700_000_000_000
BATCH = OPENED.batch_interval_millis
BASE_RATES = OPENED.maker_fee_ppm, OPENED.taker_fee_ppm


class Mirror:
    """An engine and the model that follows it."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.model = ReadModel()
        self.sequence, self.at, self.logs = 0, START, 0
        self.log = ChannelLog(self.model, Tokens(QUOTE, 6, self.model), 1_000)
        self.model.apply(FeedMessage(0, START, True, ()))
        self.log.restart()
        self.apply(OPENED)
        fields = {"base_token": BASE, "base_atoms_per_lot": 10**14, "quote_atoms_per_tick_lot": 10}
        decimals = {"base_decimals": 18, "quote_decimals": 6}
        self.observe(MarketListed, market=1, symbol="BTC-USDC", **fields, **decimals)
        for account in ACCOUNTS:
            for token in (QUOTE, BASE):
                self.observe(Deposited, account=account, token=token, amount=10**21, balance=10**21)

    def apply(self, command: Command, later: int = 1):
        self.sequence, self.at = self.sequence + 1, self.at + later
        events = self.engine.apply(self.sequence, self.at, command)
        changes = self.model.apply(FeedMessage(self.sequence, self.at, False, tuple(events)))
        self.log.record(changes)
        self.log.flush()
        return events

    def observe(self, kind, **fields) -> None:
        self.logs += 1
        head = {"event_sequence": self.logs, "block_number": self.logs, "block_time": self.at // 1000}
        self.apply(ObserveLog(log=kind(**head, transaction="0x" + "00" * 32, **fields)))

    def fresh(self) -> ReadModel:
        """A model that knows only the snapshot."""
        model = ReadModel()
        model.apply(FeedMessage(self.sequence, self.at, True, tuple(self.engine.describe())))
        return model


def amounts_of(part: SubaccountChanged) -> tuple[int, ...]:
    return part.settled, part.pending, part.held, part.leaving, part.owed


def view_of(model: ReadModel) -> dict:
    """What a snapshot must rebuild; sums over fills that it cannot know are left out."""
    market = model.markets[1]
    unknown = {"cost_atoms": 0, "fee_atoms": 0, "last_trade_at": None, "updated_at": 0}
    return {
        "bids": market.bids.top(1000),
        "asks": market.asks.top(1000),
        "orders": {
            account: {digest: msgspec.structs.replace(order, **unknown) for digest, order in sorted(orders.items())}
            for account, orders in model.open_orders.items()
            if orders
        },
        "balances": model.balances,
        "parts": [
            part for key in sorted(model.terms.parts) for part in model.terms.parts_of(*key) if any(amounts_of(part))
        ],
        "protections": [
            (record.terms, record.frozen_until if record.is_frozen(model.at) else None)
            for account in ACCOUNTS
            for record in model.terms.protections_of(account)
        ],
        "schedule": model.fee_schedule,
        "rates": [model.terms.rates_of(account, *BASE_RATES, model.at) for account in ACCOUNTS],
        "venue": (model.venue_state, market.state, model.maker_fee_ppm, model.taker_fee_ppm, model.restricted),
        "names": {
            key: digest
            for key, digest in model.client_orders.items()
            if from_hex(digest) in model.open_orders.get(key[0], {})
        },
    }


orders = st.tuples(
    st.just("place"),
    st.integers(0, 2),
    st.sampled_from(Side),
    st.integers(95, 105),
    st.integers(1, 30),
    st.integers(0, 6),
    st.sampled_from(["GTC", "GTC", "IOC", "FOK", "market"]),
)
cancels = st.tuples(st.just("cancel"), st.integers(0, 2), st.integers(1, 6))
cancel_alls = st.tuples(st.just("cancel all"), st.integers(0, 2))
steps = st.lists(st.one_of(orders, orders, orders, cancels, cancel_alls), max_size=50)


def command_of(step: tuple, mirror: Mirror) -> Command:
    account = ACCOUNTS[step[1]]
    if step[0] == "cancel all":
        return CancelAll(account, 1, 0, account)
    if step[0] == "cancel":
        return CancelOrder(account, make_nonce(step[2], mirror.at), account)
    _, _, side, price, size, slot, how = step
    immediate = how != "GTC"
    order = Order(
        account,
        0,
        1,
        side,
        Kind.MARKET if how == "market" else Kind.LIMIT,
        TimeInForce.IOC if how == "market" else TimeInForce[how],
        0,
        price,
        size,
        0,
        10_000,
        make_nonce(0 if immediate else slot + 1, mirror.at),
        0,
    )
    return PlaceOrder(order, bytes(65), account, "" if immediate else f"name-{mirror.sequence}")


@settings(max_examples=60)
@given(steps, st.integers(1, BATCH))
def test_following_equals_starting_from_a_snapshot(flow, pace) -> None:
    mirror = Mirror()
    for step in flow:
        mirror.apply(command_of(step, mirror), later=pace)
    followed, fresh = view_of(mirror.model), view_of(mirror.fresh())
    for part in followed:
        assert followed[part] == fresh[part], part


@settings(max_examples=60)
@given(steps)
def test_orders_are_the_sums_of_their_fills(flow) -> None:
    mirror = Mirror()
    for step in flow:
        mirror.apply(command_of(step, mirror))
    model = mirror.model
    fills = [model.fill(number + 1) for number in range(mirror.engine.batches.last_fill)]
    for key, order in model.orders.items():
        digest = order.digest
        assert from_hex(digest) == key
        legs = [fill for fill in fills if digest in (fill.maker_digest, fill.taker_digest)]
        assert order.filled_lots == sum(fill.size_lots for fill in legs)
        assert order.cost_atoms == sum(fill.notional for fill in legs)
        assert order.fee_atoms == sum(
            fill.maker_fee if fill.maker_digest == digest else fill.taker_fee for fill in legs
        )
        assert (order.reason == "") == (key in model.open_orders.get(order.account, {}))


@settings(max_examples=40)
@given(steps, st.integers(0, 60))
def test_resuming_anywhere_continues_every_channel(flow, where) -> None:
    """Messages after `where` chain up without gap: each names the one before it."""
    mirror = Mirror()
    for step in flow:
        mirror.apply(command_of(step, mirror))
    for channel in (Channel("book:BTC-USDC"), Channel("orders", ACCOUNTS[0]), Channel("balances", ACCOUNTS[1])):
        everything = mirror.log.since(channel, 0)
        expected = 0
        for update in everything:
            assert update.previous == expected
            assert f'"seq":{update.sequence},"prevSeq":{expected}' in update.text(channel)
            expected = update.sequence
        since = min(where, mirror.model.sequence)
        assert mirror.log.since(channel, since) == [update for update in everything if update.sequence > since]
        assert mirror.log.last(channel) == expected


@settings(max_examples=60)
@given(steps, steps, steps)
def test_an_account_that_nobody_reads_is_read_from_where_it_is(before, during, after) -> None:
    """Its channels are kept while somebody reads them, and as long again; who comes later gets a snapshot."""
    mirror, account = Mirror(), ACCOUNTS[0]
    mirror.log = ChannelLog(mirror.model, mirror.log._tokens, 1)
    mirror.log.restart()
    everybody = ACCOUNTS
    mirror.apply(AdvanceTime())
    mirror.log.review(lambda: ())
    origin = mirror.sequence
    for step in before:
        mirror.apply(command_of(step, mirror))
    channels = [Channel(kind, account) for kind in ("orders", "fills", "balances")]
    mirror.log._ring_commands = 1_000
    mirror.log.watch(account)
    start = mirror.sequence
    for channel in channels:
        assert mirror.log.snapshot(channel)[0] == start
        assert mirror.log.since(channel, start) == []
        assert start == origin or mirror.log.since(channel, origin) is None
    for step in during:
        mirror.apply(command_of(step, mirror))
    others = [Channel(channel.name, other) for channel in channels for other in everybody[1:]]
    ring = [told for _, updates in mirror.log._ring for told in updates]
    assert not set(ring) & set(others)
    for channel in channels:
        expected = start
        for update in mirror.log.since(channel, start):
            assert update.previous == expected < update.sequence
            expected = update.sequence
        assert mirror.log.last(channel) == expected
    for is_read in (True, True, False):
        mirror.log._review_at = 0
        mirror.log.review(lambda is_read=is_read: (account,) if is_read else ())
        assert mirror.log.since(channels[0], start) is not None
    mirror.log._review_at = 0
    mirror.log.review(lambda: ())
    assert account not in mirror.model.watched
    assert not {channel for channel in mirror.log._last if channel.account == account}, "it leaves nothing behind"
    for step in after:
        mirror.apply(command_of(step, mirror))
    mirror.log.watch(account)
    assert mirror.log.since(channels[0], start) is None or start == mirror.sequence
    assert mirror.log.snapshot(channels[0])[0] == mirror.sequence


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=80), st.booleans(), st.integers(0, 12))
def test_book_side_is_a_sorted_dictionary(changes, is_bid, depth) -> None:
    side, plain = BookSide(is_bid), {}
    for price, size in changes:
        side.set(price, size)
        plain[price] = size
        if not size:
            del plain[price]
    assert side.top(depth) == sorted(plain.items(), reverse=is_bid)[:depth]


def row_of(step: tuple, mirror: Mirror, number: int) -> OrderRow:
    command = command_of(step, mirror)
    if isinstance(command, CancelOrder):
        key = bytes.fromhex(command.account[2:])
        return key, CANCEL_TERMS, 0, 0, 0, 0, command.nonce, 0, bytes(65), key, bytes(32)
    order = msgspec.structs.replace(command.order, nonce=command.order.nonce + number)
    return to_row(order, bytes(65), bytes.fromhex(order.account[2:]), order_digest(mirror.engine.separator, order))


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.one_of(orders, orders, orders, cancels), min_size=1, max_size=9), max_size=8),
    st.lists(st.integers(0, 2), max_size=3),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_the_engines_own_objects_say_what_events_say(runs, asked, settled_after, cancelled_after) -> None:
    """Also of accounts that nobody reads, of which some are asked for between."""
    told, taken, unread = Mirror(), Mirror(), Mirror()
    unread.model.watched = ()
    for number_of_run, run in enumerate(runs):
        rows = [row_of(step, told, number) for number, step in enumerate(run)]
        for mirror, of_events in ((told, True), (taken, False), (unread, False)):
            engine, first = mirror.engine, mirror.sequence + 1
            mirror.sequence, mirror.at = mirror.sequence + len(rows), mirror.at + 20
            engine.apply_rows(first, mirror.at, rows)
            events = engine.take_events() if of_events else ()
            effects = None if of_events else engine.take_effects()
            mirror.log.record(
                mirror.model.apply(FeedMessage(mirror.sequence, mirror.at, False, events, len(rows), effects))
            )
            mirror.log.flush()
            fills = engine.batches.last_fill
            if number_of_run == settled_after and fills:
                mirror.apply(AdvanceTime(), BATCH)
                mirror.observe(BatchSettled, first=1, last=fills, refusals=((fills - 1, 1),))
            if number_of_run == cancelled_after:
                mirror.apply(CancelAll(ACCOUNTS[1], 1, 0, ACCOUNTS[1]))
        for account in map(ACCOUNTS.__getitem__, asked):
            assert unread.model.open_of(account) == told.model.open_of(account)
            assert list(unread.model.recent_fills(account)) == list(told.model.recent_fills(account))
    names = ["book:BTC-USDC", "bbo:BTC-USDC", "trades:BTC-USDC"]
    private = [Channel(name, account) for name in ("orders", "fills", "balances") for account in ACCOUNTS]
    for channel in [*map(Channel, names), *private]:
        texts = [
            [update.text(channel) for update in mirror.log.since(channel, 0)] + [mirror.log.snapshot(channel)[1]]
            for mirror in (told, taken)
        ]
        assert texts[0] == texts[1]
    for channel in map(Channel, names):
        told_texts, unread_texts = ([u.text(channel) for u in m.log.since(channel, 0)] for m in (told, unread))
        assert told_texts == unread_texts
    for model in (taken.model, unread.model):
        for order in told.model.orders.values():
            assert order == model.order(order.digest)
        assert told.model.orders.keys() == model.orders.keys(), "and no other"
        for account in ACCOUNTS:
            assert list(told.model.recent_closed(account)) == list(model.recent_closed(account))
            assert list(told.model.recent_fills(account)) == list(model.recent_fills(account))
            assert told.model.open_of(account) == model.open_of(account)
            assert told.model.balances_of(account) == model.balances_of(account)


def test_fills_go_through_their_states() -> None:
    mirror = Mirror()
    mirror.apply(command_of(("place", 0, Side.BUY, 100, 5, 1, "GTC"), mirror))
    mirror.apply(command_of(("place", 1, Side.SELL, 100, 5, 0, "IOC"), mirror))
    fill = mirror.model.fill(1)
    assert (fill.state, fill.batch) == (FillState.MATCHED, None)
    mirror.apply(CancelAll(ACCOUNTS[2], 0, 0, ACCOUNTS[2]), later=BATCH + 1)
    assert (fill.state, fill.batch) == (FillState.BATCHED, 1)


def test_what_is_kept_of_the_past_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(readmodel, "CLOSED_ORDERS_MAX", 5)
    monkeypatch.setattr(readmodel, "FILLS_MAX", 5)
    mirror = Mirror()
    for n in range(40):
        mirror.apply(command_of(("place", 0, Side.BUY, 100, 1, n % 3, "GTC"), mirror))
        mirror.apply(command_of(("place", 1, Side.SELL, 100, 1, 0, "IOC"), mirror))
    model = mirror.model
    assert (len(model._fills), len(model._closed)) == (5, 5)
    assert sum(map(len, model.account_fills.values())) == 10
    assert sum(map(len, model.closed_orders.values())) == 5
    assert set(map(from_hex, model.client_orders.values())) <= set(model.orders)
    assert len(model.orders) == 5 + sum(map(len, model.open_orders.values()))


async def test_waiting_for_a_sequence() -> None:
    mirror = Mirror()
    here = mirror.model.sequence
    assert await mirror.model.reached(here, 0.01)
    assert not await mirror.model.reached(here + 1, 0.01)
    waiting = [asyncio.create_task(mirror.model.reached(here + n, 1)) for n in (2, 1, 2)]
    await asyncio.sleep(0)
    mirror.apply(CancelAll(ACCOUNTS[0], 0, 0, ACCOUNTS[0]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [False, True, False]
    mirror.apply(CancelAll(ACCOUNTS[0], 0, 0, ACCOUNTS[0]))
    assert await asyncio.gather(*waiting) == [True, True, True]


def test_a_gap_in_the_feed_is_a_bug() -> None:
    mirror = Mirror()
    with pytest.raises(AssertionError):
        mirror.model.apply(FeedMessage(mirror.sequence + 2, mirror.at, False, ()))


def test_terms_of_accounts_are_those_of_the_engine() -> None:
    """Sub-accounts, protections and fee tiers, day by day, followed and from a snapshot: rates are the engine's."""
    mirror, (alice, bob, _) = Mirror(), ACCOUNTS

    def agree() -> None:
        assert view_of(mirror.model) == view_of(mirror.fresh())
        for account in ACCOUNTS:
            found = mirror.model.terms.rates_of(account, *BASE_RATES, mirror.at)
            assert (found.maker_ppm, found.taker_ppm, found.volume) == mirror.engine.fees_of(account)

    def order(account: str, side: Side, slot: int, subaccount: int = 0, flags: int = 0) -> None:
        kind = TimeInForce.GTC if slot else TimeInForce.IOC
        nonce = make_nonce(slot, mirror.at)
        made = Order(account, subaccount, 1, side, Kind.LIMIT, kind, flags, 100, 5, 0, 10_000, nonce, 0)
        mirror.apply(PlaceOrder(made, bytes(65), account))

    agree()
    tiers = FeeTier(1, 500, 2_000), FeeTier(7_000, 300, 1_500)
    mirror.apply(SetFeeSchedule(tiers=tiers, discounts=(CxptDiscount(10, 100_000),)))
    mirror.apply(TransferBetween(account=alice, signer=alice, token=QUOTE, amount=10**9, source=0, target=4))
    terms = {"account": alice, "signer": alice, "protection": 2, "window_millis": 1_000}
    mirror.apply(SetProtection(**terms, amount_max=1, freeze_millis=5_000))
    mirror.apply(ObserveCxpt(atoms=((bob, 11),)))
    agree()
    levels = []
    for fill in range(1, 6):
        order(alice, Side.BUY, 3, 4, Flags.PROTECTED)
        order(bob, Side.SELL, 0)
        mirror.apply(AdvanceTime(), BATCH)
        mirror.observe(BatchSettled, first=fill, last=fill, refusals=())
        agree()
        levels.append(mirror.model.terms.rates_of(bob, *BASE_RATES, mirror.at)[:4])
        mirror.apply(AdvanceTime(), DAY_MILLIS)
        agree()
    assert levels[0] == (1_000, 2_500, 0, 0) and levels[1] == (450, 1_800, 1, 100_000)
    assert levels[-1] == (270, 1_350, 2, 100_000)
    mirror.apply(ResetProtection(account=alice, signer=alice, protection=2))
    order(alice, Side.BUY, 3, 4, Flags.PROTECTED)
    agree()
    mirror.apply(SetProtection(**terms | {"window_millis": 0}))
    mirror.apply(AdvanceTime(), 40 * DAY_MILLIS)
    agree()
    assert mirror.model.terms.rates_of(bob, *BASE_RATES, mirror.at).tier == 0
    mirror.apply(SetFeeSchedule(tiers=()))
    agree()
    assert mirror.model.terms.schedule is None and not mirror.model.terms.protections


def test_agents_and_losses_reach_a_new_gateway() -> None:
    mirror = Mirror()
    terms = {"account": ACCOUNTS[0], "agent": ACCOUNTS[1], "expiry": 9, "notional": 10**20, "markets": (1,)}
    mirror.observe(AgentRegistered, **terms)
    mirror.observe(AgentRegistered, **terms | {"agent": ACCOUNTS[2], "markets": ()})
    mirror.observe(AgentRevoked, account=ACCOUNTS[0], agent=ACCOUNTS[2], effective_at=1)
    assert mirror.model.loss is None and venue_json(mirror.model)["loss"] is None
    mirror.observe(LossDeclared, index=10**18, new_index=10**17, shortfall=5)
    for model in (mirror.model, mirror.fresh()):
        shown = {agent: agent_json(event) for agent, event in model.agents[ACCOUNTS[0]].items()}
        assert shown == {
            ACCOUNTS[1]: {
                "agent": ACCOUNTS[1],
                "expiry": 9,
                "notional": "1" + "0" * 20,
                "markets": [1],
                "revoked": False,
            },
            ACCOUNTS[2]: {
                "agent": ACCOUNTS[2],
                "expiry": 9,
                "notional": "1" + "0" * 20,
                "markets": [],
                "revoked": True,
            },
        }
        assert venue_json(model)["loss"] == {"index": "1" + "0" * 18, "newIndex": "1" + "0" * 17, "shortfall": "5"}


def test_the_venue_channel_tells_of_a_loss() -> None:
    mirror = Mirror()
    before = mirror.log.last(Channel("venue"))
    mirror.observe(LossDeclared, index=10**18, new_index=10**17, shortfall=5)
    (update,) = mirror.log.since(Channel("venue"), before) or ()
    assert json.loads(update.text(Channel("venue")))["loss"]["newIndex"] == "1" + "0" * 17


@pytest.mark.parametrize(
    ("reason", "words"),
    [(1, "MAKER_BALANCE"), (0x81, "TAKER_BALANCE"), (6, "AMM"), (7, "GROUP"), (8, "MAKER_AGENT"), (0x88, "TAKER_AGENT"),
     (99, "MAKER_99")],
)  # fmt: skip
def test_refusals_in_words(reason: int, words: str) -> None:
    assert refusal_words(reason) == words
