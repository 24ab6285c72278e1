"""What `Database` promises to `Ops` and `History`: full disks and lost locks are told apart from bugs."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from offchain.domain.errors import DiskFailure, StorageError
from offchain.storage.databases import Amount, Database

SCHEMA = sa.MetaData()
NUMBERS = sa.Table("numbers", SCHEMA, sa.Column("key", sa.Integer, primary_key=True), sa.Column("value", Amount))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path}/x.sqlite", SCHEMA, name="test", version=1)


def values(database: Database) -> list[tuple[int, int | None]]:
    with database.reading() as connection:
        return [(row.key, row.value) for row in connection.execute(sa.select(NUMBERS).order_by(NUMBERS.c.key))]


def test_absent_rows_and_overwritten_ones(database: Database) -> None:
    with database.writing() as connection:
        database.insert_absent(connection, NUMBERS, [{"key": 1, "value": 10}, {"key": 2, "value": -(2**130)}])
        database.insert_absent(connection, NUMBERS, [{"key": 1, "value": 11}, {"key": 3, "value": None}])
        database.upsert(connection, NUMBERS, [{"key": 2, "value": 2**130}, {"key": 4, "value": 4}])
        database.upsert(connection, NUMBERS, [])
    assert values(database) == [(1, 10), (2, 2**130), (3, None), (4, 4)]


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.writing() as connection:
            database.insert_absent(connection, NUMBERS, [{"key": 1, "value": 10}])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert values(database) == []


def test_a_reader_sees_one_state(database: Database) -> None:
    with database.reading() as reading:
        count = sa.select(sa.func.count()).select_from(NUMBERS)
        assert reading.execute(count).scalar() == 0
        with database.writing() as writing:
            database.insert_absent(writing, NUMBERS, [{"key": 1, "value": 1}])
        assert reading.execute(count).scalar() == 0
    assert len(values(database)) == 1


def test_failures_have_names(database: Database) -> None:
    rows = [{"key": key, "value": 10**500} for key in range(1_000)]

    def write() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 8")
            database.insert_absent(connection, NUMBERS, rows)

    with pytest.raises(DiskFailure, match="full"):
        write()
    with pytest.raises(StorageError, match="no such table"), database.reading() as connection:
        connection.exec_driver_sql("select * from absent")
