"""The ops database: a gapless inbox, an outbox that never changes under a transaction, leases, and reorgs."""

import sqlite3
import threading
from pathlib import Path

import pytest

from offchain.domain.chainlog import Deposited, MarketListed
from offchain.domain.command import ObservePool
from offchain.domain.errors import ConfigurationError, ReorgBeyondInbox, StorageError
from offchain.domain.units import Address
from offchain.storage.databases import Database
from offchain.storage.ops import Lease, Ops, OutboxRow, SeenLog
from offchain.storage.ops_schema import SCHEMA
from offchain.storage.transactions import TransactionState

ACCOUNT = Address("0x" + "a1" * 20)


@pytest.fixture
def ops(tmp_path: Path) -> Ops:
    return Ops(f"sqlite:///{tmp_path}/ops.sqlite")


def deposit(sequence: int, amount: int = 5, block: int = 7) -> Deposited:
    place = {"event_sequence": sequence, "block_number": block, "block_time": 100, "transaction": "0x01"}
    return Deposited(**place, account=ACCOUNT, token=ACCOUNT, amount=amount, balance=2**120)  # type: ignore[arg-type]


def batch(key: int, payload: str, sequence: int) -> OutboxRow:
    return OutboxRow("batch", key, payload, sequence)


def test_the_inbox_is_gapless_and_append_only(ops: Ops) -> None:
    assert ops.inbox_block() == (0, 0) and ops.inbox_after(0) == [] and ops.last_event() == 0
    ops.append_inbox([deposit(1), deposit(2)], 7, 100)
    ops.append_inbox([deposit(2), deposit(3)], 8, 101)
    assert ops.inbox_after(1) == [deposit(2), deposit(3)]
    assert ops.inbox_after(0, limit=1) == [deposit(1)]
    assert ops.inbox_block() == (8, 101) and ops.last_event() == 3
    with pytest.raises(StorageError, match="5 follows 3"):
        ops.append_inbox([deposit(5)], 9, 102)
    with pytest.raises(ReorgBeyondInbox):
        ops.append_inbox([deposit(3, amount=6)], 9, 102)
    assert ops.inbox_block() == (8, 101), "nothing of a refused step stays"
    ops.append_inbox([], 12, 105)
    ops.append_inbox([], 11, 104)
    assert ops.inbox_block() == (12, 105), "the cursor never runs back"


def test_a_block_is_only_named_with_all_its_logs(ops: Ops) -> None:
    ops.append_inbox([deposit(sequence) for sequence in range(1, 6)], 7, 100)
    assert ops.poll_inbox(0, 3) == ([deposit(1), deposit(2), deposit(3)], (0, 0))
    assert ops.poll_inbox(3, 3) == ([deposit(4), deposit(5)], (7, 100))


def test_a_poll_of_long_logs_is_cut_and_goes_on(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain decides how long a log is; a group of the journal has to hold what one poll brings."""
    ops.append_inbox([deposit(sequence) for sequence in range(1, 6)], 7, 100)
    monkeypatch.setattr("offchain.storage.ops.POLL_LENGTH_MAX", 1)
    for sequence in range(1, 6):
        assert ops.poll_inbox(sequence - 1, 3) == ([deposit(sequence)], (0, 0))
    assert ops.poll_inbox(5, 3) == ([], (7, 100))


def test_outbox_rows_are_inserted_once(ops: Ops) -> None:
    ops.put_outbox([batch(1, "one", 10), OutboxRow("epoch", 1, "header", 11)], 12)
    ops.put_outbox([batch(1, "another", 10), batch(2, "two", 20)], 20)
    assert [(row.key, row.payload) for row in ops.outbox_after("batch", 0)] == [(1, "one"), (2, "two")]
    assert [row.payload for row in ops.outbox_after("epoch", 0)] == ["header"]
    assert ops.outbox_after("batch", 2) == [] and ops.outbox_after("batch", 0, limit=1)[0].key == 1
    assert ops.outbox_sequence() == 20
    assert ops.outbox_row("batch", 2) == batch(2, "two", 20) and ops.outbox_row("batch", 3) is None


def test_a_payload_is_replaced_only_while_nothing_of_it_can_be_mined(ops: Ops) -> None:
    ops.put_outbox([batch(1, "first", 10)], 10)
    ops.put_outbox([], 11, [batch(1, "second", 11)])
    assert ops.outbox_row("batch", 1) == OutboxRow("batch", 1, "second", 11, revision=1)
    ops.put_outbox([], 11, [batch(1, "stale", 11)])
    ops.put_outbox([batch(1, "first", 10)], 11)
    assert ops.outbox_row("batch", 1) == OutboxRow("batch", 1, "second", 11, revision=1), (
        "doing it again changes nothing"
    )

    planned = ops.plan("batch:1", "settler", "0xsettlement", "0xcall", 1_000, now=1)
    with pytest.raises(StorageError, match="replaced"):
        ops.sign(planned.id, 0, "0xraw", "0xhash", 1, 1, now=2, revision=0)
    ops.sign(planned.id, 0, "0xraw", "0xhash", 1, 1, now=2, revision=1)
    ops.put_outbox([], 12, [batch(1, "third", 12)])
    ops.put_outbox([], 13, [batch(1, "fourth", 13)])
    assert ops.outbox_after("batch", 0)[0].payload == "second", "a transaction with it may still be mined"
    ops.failed(planned.id, "reverted", now=3)
    assert ops.outbox_row("batch", 1) == OutboxRow("batch", 1, "fourth", 13, revision=2)
    with pytest.raises(StorageError, match="no batch 9"):
        ops.put_outbox([], 14, [batch(9, "x", 14)])


def test_approvals_wait_for_their_countersignature_in_order(ops: Ops) -> None:
    ops.put_outbox([OutboxRow("approval", key, f"grant {key}", key) for key in (5, 6, 9)], 9)
    assert ops.outbox_after("approval", 0) == [] and ops.last_countersignature() == 0
    ops.put_countersignatures([(6, "0x66"), (9, "0x99")])
    assert ops.outbox_after("approval", 0) == [], "a cursor must not pass 5"
    ops.put_countersignatures([(5, "0x55"), (6, "0x00")])
    found = ops.outbox_after("approval", 0)
    assert [(row.key, row.countersignature) for row in found] == [(5, "0x55"), (6, "0x66"), (9, "0x99")]
    assert ops.last_countersignature() == 9


def test_the_life_of_a_transaction(ops: Ops) -> None:
    planned = ops.plan("batch:1", "settler", "0xto", "0xcall", 1_000, now=1)
    assert planned.state is TransactionState.PLANNED and planned.nonce is None
    assert ops.plan("batch:1", "settler", "0xother", "0x", 1, now=2) == planned, "one per job"
    assert ops.next_nonce("settler") == 0
    signed = ops.sign(planned.id, 0, "0xraw", "0xh1", 10**19, 2, now=3)
    assert (signed.state, signed.raw, signed.max_fee) == (TransactionState.SIGNED, "0xraw", 10**19)
    assert ops.sent(planned.id, now=4).state is TransactionState.SENT
    bumped = ops.sign(planned.id, 0, "0xraw2", "0xh2", 2 * 10**19, 3, now=5)
    assert (bumped.state, bumped.hash) == (TransactionState.SENT, "0xh2")
    assert [attempt.hash for attempt in ops.attempts(planned.id)] == ["0xh1", "0xh2"]
    with pytest.raises(StorageError, match="nonce 0, not 1"):
        ops.sign(planned.id, 1, "0xraw3", "0xh3", 1, 1, now=6)
    other = ops.plan("batch:2", "settler", "0xto", "0xcall", 1_000, now=6)
    with pytest.raises(StorageError, match="belongs to transaction"):
        ops.sign(other.id, 0, "0xraw4", "0xh4", 1, 1, now=6)
    with pytest.raises(StorageError, match="cannot become FINAL"):
        ops.final(planned.id, now=7)
    mined = ops.mined(planned.id, "0xh1", 12, "0xblock", now=7)
    assert (mined.state, mined.hash, mined.block_number) == (TransactionState.MINED, "0xh1", 12)
    assert ops.unmined(planned.id, now=8).state is TransactionState.SENT
    ops.mined(planned.id, "0xh2", 13, "0xblock2", now=9)
    assert ops.final(planned.id, now=10).state is TransactionState.FINAL
    with pytest.raises(StorageError, match="FINAL"):
        ops.failed(planned.id, "no", now=11)
    assert ops.next_nonce("settler") == 1
    assert [row.id for row in ops.transactions_of("settler")] == [other.id]
    assert ops.transaction_of("batch:1") == ops.transaction(planned.id)
    assert ops.transaction_of("batch:3") is None and ops.transaction(99) is None


def test_a_failed_job_may_be_planned_again(ops: Ops) -> None:
    first = ops.plan("epoch:1", "committer", "0xto", "0xcall", 1, now=1)
    ops.failed(first.id, "reverted", now=2)
    second = ops.plan("epoch:1", "committer", "0xto", "0xcall", 1, now=3)
    assert second.id > first.id
    assert ops.transaction_of("epoch:1") == second
    with pytest.raises(StorageError, match="FAILED"):
        ops.sign(first.id, 0, "", "", 1, 1, now=4)
    with pytest.raises(StorageError, match="no transaction 77"):
        ops.sent(77, now=5)


def test_leases_are_fenced(ops: Ops) -> None:
    assert ops.acquire_lease("settle", "a", 10, now=1_000) == Lease("settle", "a", 11_000, 1)
    assert ops.acquire_lease("settle", "b", 10, now=10_999) is None
    assert ops.acquire_lease("settle", "a", 10, now=5_000) == Lease("settle", "a", 15_000, 1)
    assert ops.acquire_lease("settle", "b", 10, now=15_000) == Lease("settle", "b", 25_000, 2)
    assert ops.acquire_lease("settle", "a", 10, now=16_000) is None
    ops.release_lease("settle", "a")
    assert ops.acquire_lease("settle", "a", 10, now=16_000) is None, "only the owner gives it back"
    ops.release_lease("settle", "b")
    assert ops.acquire_lease("settle", "a", 10, now=16_000) == Lease("settle", "a", 26_000, 3)


def test_heads_and_logs_may_be_rewritten(ops: Ops) -> None:
    assert ops.head() is None
    for number in range(1, 8):
        ops.record_head(number, f"0x{number}", f"0x{number - 1}", number * 10, keep=5)
    newest = ops.head()
    assert newest is not None and newest.number == 7 and ops.head(1) is None
    seen = [SeenLog(6, index, "0x6", deposit(index + 1)) for index in range(3)]
    ops.replace_logs(5, 7, seen)
    assert ops.logs_between(1, 9) == seen
    ops.replace_logs(6, 6, [SeenLog(6, 1, "0x6b", deposit(9))])
    assert ops.logs_between(6, 6) == [SeenLog(6, 1, "0x6b", deposit(9))]
    ops.forget_above(5)
    newest = ops.head()
    assert newest is not None and newest.number == 5 and ops.logs_between(1, 9) == []


def test_it_belongs_to_one_journal(ops: Ops) -> None:
    ops.bind_journal("abc")
    ops.bind_journal("abc")
    with pytest.raises(ConfigurationError, match="another journal"):
        ops.bind_journal("abd")


def test_writers_wait_for_each_other(ops: Ops, tmp_path: Path) -> None:
    """Several processes' worth of threads: no busy error, nothing lost."""

    def work(keeper: str) -> None:
        mine = Ops(f"sqlite:///{tmp_path}/ops.sqlite")
        for number in range(20):
            mine.plan(f"{keeper}:{number}", keeper, "0x", "0x", 1, now=number)
        mine.close()

    threads = [threading.Thread(target=work, args=(f"keeper{index}",)) for index in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(ops.transactions_of(f"keeper{index}")) for index in range(5)] == [20] * 5


def test_databases_are_opened_durably_and_by_version(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite"
    database = Database(url, SCHEMA, name="ops", version=1)
    with database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 10_000}
    database.close()
    with pytest.raises(ConfigurationError, match="schema version 1"):
        Database(url, SCHEMA, name="ops", version=2)
    with pytest.raises(ConfigurationError, match="URL"):
        Ops("no url")
    with pytest.raises(ConfigurationError, match="URL"):
        Ops("nosuchdatabase://x")
    with pytest.raises(StorageError, match="ops database"):
        Ops(f"sqlite:///{tmp_path}/no/such/folder/x.sqlite")


def test_amounts_of_any_size_are_kept(ops: Ops, tmp_path: Path) -> None:
    planned = ops.plan("a", "k", "0x", "0x", 1, now=1)
    ops.sign(planned.id, 0, "r", "h", 2**200, 2**199, now=1)
    (attempt,) = ops.attempts(planned.id)
    assert (attempt.max_fee, attempt.priority_fee) == (2**200, 2**199)
    raw = sqlite3.connect(tmp_path / "ops.sqlite")
    assert raw.execute("select typeof(max_fee) from attempts").fetchone() == ("text",)
    raw.close()


def test_of_a_pair_only_the_latest_is_kept(ops: Ops) -> None:
    def seen(market: int, block: int, reserve: int = 2**112 - 1) -> ObservePool:
        return ObservePool(
            market=market, base_reserve=reserve, quote_reserve=5, block_number=block, block_time=1_700_000_000
        )

    assert ops.pools() == []
    ops.put_pools([seen(2, 8), seen(1, 8)])
    ops.put_pools([seen(2, 9, reserve=0)])
    assert ops.pools() == [seen(1, 8), seen(2, 9, reserve=0)]


def test_listings_are_found_among_the_logs(ops: Ops) -> None:
    fields = {"base_atoms_per_lot": 1, "quote_atoms_per_tick_lot": 1, "base_decimals": 18, "quote_decimals": 6}
    place = {"block_number": 7, "block_time": 100, "transaction": "0x01"}
    markets = [
        MarketListed(event_sequence=n, market=n, base_token=ACCOUNT, symbol=f"M{n}", **place, **fields)  # type: ignore[arg-type]
        for n in (2, 4)
    ]
    ops.append_inbox([deposit(1), markets[0], deposit(3), markets[1]], 7, 100)
    assert ops.markets_after(0) == markets
    assert ops.markets_after(2) == markets[1:]
    assert ops.markets_after(4) == []


def test_a_database_of_an_earlier_program_gets_the_new_table(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ops.sqlite"
    before = Ops(url)
    before.append_inbox([deposit(1)], 7, 100)
    with before.database.writing() as connection:
        connection.exec_driver_sql("drop table pools")
    before.close()
    after = Ops(url)
    assert after.pools() == [] and after.inbox_after(0) == [deposit(1)]
