"""Rows of what has no maker, and of what operators do: from a journal with AMM fills and a market's whole life."""

import json
from pathlib import Path

import msgspec
import pytest
from amm_day_samples import GOLD, SECOND, write_amm_day
from test_projector import configure, project, replayed
from venue_samples import TRADERS

from offchain.domain.event import AmmFillImproved, AmmFillMatched, FillTakenBack, MarketRequested
from offchain.domain.order import OrderStatus
from offchain.projector.replay import replay_journal
from offchain.storage.history import AMM, FillRow, History
from offchain.storage.ops import Ops


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the journal and its projection."""
    folder = tmp_path_factory.mktemp("amm_day")
    write_amm_day(folder)
    project(configure(folder))
    return folder


def amm_rows(history: History) -> list[FillRow]:
    return [row for row in reversed(history.trades_of(1)) if row.maker == AMM]


def test_an_amm_fill_has_a_taker_only(day: Path) -> None:
    history = History(f"sqlite:///{day}/history.sqlite")
    matched = [e for _, _, events, _ in replayed(day) for e in events if isinstance(e, AmmFillMatched)]
    rows = amm_rows(history)
    assert [(row.fill, row.taker, row.notional, row.taker_fee) for row in rows] == [
        (event.fill, event.taker, event.quote, event.taker_fee) for event in matched
    ]
    assert [row.state for row in rows] == ["SETTLED", "SETTLED", "REFUSED", "REFUSED", "MATCHED"]
    assert [row.refusal for row in rows] == [None, None, 6, 5, None]
    for row in rows:
        assert (row.maker_digest, row.maker_fee, row.maker_fee_ppm) == ("", 0, 0)
        assert abs(row.price_ticks * row.size_lots - row.notional) <= row.size_lots / 2, "the nearest tick"
        order = history.order(row.taker_digest)
        assert order is not None and history.fills_of_order(row.taker_digest) == [row]
        is_undone = row.state == "REFUSED"
        expected = (0, 0, 0) if is_undone else (row.size_lots, row.notional, row.taker_fee)
        assert (order.filled_lots, order.cost_atoms, order.fee_atoms) == expected
        assert order.status is OrderStatus.CLOSED
    assert rows[0] in history.fills_of(TRADERS[0])
    history.close()


def test_a_refusal_of_an_amm_order_is_no_fill(day: Path) -> None:
    history = History(f"sqlite:///{day}/history.sqlite")
    reasons = {row.reason for trader in TRADERS for row in history.orders_of(trader) if row.flags == 4}
    assert reasons == {"FILLED", "IMMEDIATE_REMAINDER", "NO_POOL", "POOL_BUSY"}
    history.close()


def test_what_operators_did_is_told(day: Path) -> None:
    history = History(f"sqlite:///{day}/history.sqlite")
    with history.database.reading() as connection:
        found = connection.exec_driver_sql("select kind, event from venue_events order by sequence, position").all()
    told = [(kind, json.loads(text)) for kind, text in found]
    states = [(event["market"], event["state"]) for kind, event in told if kind == "market_state_changed"]
    assert states == [(1, "PAUSED"), (1, "ACTIVE"), (2, "PAUSED"), (2, "ACTIVE"), (2, "DELISTED")]
    assert sum(kind == "operators_changed" for kind, _ in told) == 2
    (asked,) = [event for kind, event in told if kind == "market_requested"]
    assert (asked["market"], asked["by"]) == (2, SECOND)
    assert [event["amount"] for kind, event in told if kind == "amm_fill_improved"] == [12_345]
    assert {market.base_token for market in history.markets()} >= {GOLD}
    history.close()


def test_the_outbox_asks_for_the_market(day: Path) -> None:
    ops = Ops(f"sqlite:///{day}/ops.sqlite")
    (row,) = ops.outbox_after("market", 0)
    assert row.key == 2
    events = [event for _, _, happened, _ in replayed(day) for event in happened]
    (asked,) = [event for event in events if isinstance(event, MarketRequested)]
    assert msgspec.json.decode(row.payload, type=MarketRequested) == asked
    batches = [json.loads(batch.payload) for batch in ops.outbox_after("batch", 0)]
    assert sum(len(batch["amm_quotes"]) for batch in batches) == 3, "one was taken back after its batch closed"
    assert any(isinstance(event, FillTakenBack) for event in events)
    ops.close()


def test_a_replay_counts_fills_with_pairs(day: Path) -> None:
    replay = replay_journal(day / "journal")
    matched, settled, refused = replay.fills()
    assert matched == list(range(1, len(matched) + 1)) and len(settled) + len(refused) == len(matched) - 1
    assert sum(isinstance(event, AmmFillImproved) for event in replay.events) == 1
