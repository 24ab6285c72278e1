"""Opening databases by URL: SQLite (WAL) by default, anything SQLAlchemy speaks otherwise.

Invariant: on SQLite every writing transaction takes the write lock when it begins, so that it never fails half way
because another process wrote; amounts are TEXT, as no column of a database holds 2^128 exactly everywhere.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from offchain.domain.errors import ConfigurationError, DiskFailure, StorageError

BUSY_MILLIS = 10_000
"""How long a writer waits for another one; keepers hold the lock for single-digit milliseconds."""


class Amount(sa.types.TypeDecorator[int]):
    """An integer of any size, kept as decimal text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else int(value)


class _Insert(NamedTuple):
    """Of rows with the same columns. `text`: as SQLite's own driver takes it, on SQLite; on the way through SQLAlchemy
    each row costs four times what SQLite does with it."""

    statement: sa.Insert
    text: str
    names: list[str]
    amounts: list[int]
    """What stands in their place, and which of them are amounts."""

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if not self.text:
            connection.execute(self.statement, list(rows))
            return
        plain = []
        for row in rows:
            values = list(map(row.__getitem__, self.names))
            for at in self.amounts:
                if values[at] is not None:
                    values[at] = str(values[at])
            plain.append(tuple(values))
        connection.exec_driver_sql(self.text, plain)


class Database:
    """One database with one schema. `synchronous` is SQLite's: FULL, or NORMAL for what can be rebuilt."""

    def __init__(self, url: str, schema: sa.MetaData, *, name: str, version: int, synchronous: str = "FULL") -> None:
        self.name = name
        self.engine = _engine(url, synchronous)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._watching: sa.PoolProxiedConnection | None = None
        self._watch = threading.Lock()
        self._inserts: dict[tuple[str, tuple[str, ...], bool], _Insert] = {}
        """By table, columns, and whether they overwrite."""
        with self.writing() as connection:
            _create(connection, schema, name, version)

    def changes(self) -> int | None:
        """Another number after any commit, at a hundredth of what a query costs; None if the database does not say."""
        if not self.is_sqlite:
            return None
        with self._watch, _translated(self.name):
            if self._watching is None:
                self._watching = self.engine.raw_connection()
            try:
                cursor = self._watching.cursor()
                found = cursor.execute("PRAGMA data_version").fetchone()
                cursor.close()
            except sqlite3.Error as error:
                raise StorageError(f"the {self.name} database: {error}") from error
        return int(found[0])

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block."""
        with _translated(self.name), self.engine.connect() as connection:
            connection = connection.execution_options(hooats_writing=True)
            with connection.begin():
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with _translated(self.name), self.engine.connect() as connection, connection.begin():
            yield connection

    def insert_absent(self, connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Inserts the rows whose primary key is not there yet; the others stay as they are."""
        if not rows:
            return
        columns = tuple(rows[0])
        statement = self._inserts.get((table.name, columns, False))
        if statement is None:
            statement = self._prepare(table, columns, self._insert(table).on_conflict_do_nothing(), False)
        statement.run(connection, rows)

    def upsert(self, connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Inserts or overwrites by primary key. The rows name the same columns."""
        if not rows:
            return
        columns = tuple(rows[0])
        statement = self._inserts.get((table.name, columns, True))
        if statement is None:
            keys, insert = [column.name for column in table.primary_key.columns], self._insert(table)
            changed = {name: insert.excluded[name] for name in columns if name not in keys}
            upsert = insert.on_conflict_do_update(index_elements=keys, set_=changed)
            statement = self._prepare(table, columns, upsert, True)
        statement.run(connection, rows)

    def _insert(self, table: sa.Table) -> Any:
        return (sqlite.insert if self.is_sqlite else postgresql.insert)(table)

    def _prepare(self, table: sa.Table, columns: tuple[str, ...], insert: sa.Insert, overwrites: bool) -> "_Insert":
        text, names = "", list[str]()
        if self.is_sqlite:
            compiled: Any = insert.compile(dialect=sqlite.dialect(paramstyle="qmark"), column_keys=list(columns))
            text, names = str(compiled), compiled.positiontup
        amounts = [at for at, name in enumerate(names) if isinstance(table.columns[name].type, Amount)]
        prepared = self._inserts[table.name, columns, overwrites] = _Insert(insert, text, names, amounts)
        return prepared

    def close(self) -> None:
        with self._watch:  # another thread may be asking
            if self._watching is not None:
                self._watching.close()
                self._watching = None
        self.engine.dispose()


def schema_version(url: str, name: str) -> int | None:
    """Of the schema `name` in a database that is there; None if there is no such database or schema. Creates nothing.

    StorageError if it does not answer, ConfigurationError for a URL that is none.
    """
    path = sqlite_path(url)
    if path is not None and not path.is_file():
        return None
    engine = _engine(url, "FULL")
    try:
        with _translated(name), engine.connect() as connection, connection.begin():
            if not sa.inspect(connection).has_table("schema_versions"):
                return None
            query = sa.text("SELECT version FROM schema_versions WHERE name = :name")
            found = connection.execute(query, {"name": name}).scalar()
        return None if found is None else int(found)
    finally:
        engine.dispose()


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL; None for other databases, and for one in memory."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _bad_url(error) from error
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:")
    return Path(str(parsed.database)) if is_file else None


def _bad_url(error: Exception) -> ConfigurationError:
    return ConfigurationError(f"database URL: {error}", remedy="Like sqlite:////var/lib/hooats/ops.sqlite")


def _engine(url: str, synchronous: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            _create_private(parsed.database)
            engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_MILLIS / 1000})
            _prepare_sqlite(engine, synchronous)
            return engine
        return sa.create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise _bad_url(error) from error


def _create_private(name: str | None) -> None:
    """A new SQLite file is its owner's alone, and so are the files that SQLite puts beside it.

    What keeps it from being created is SQLite's to report.
    """
    if name and name != ":memory:" and not name.startswith("file:"):
        with contextlib.suppress(OSError):
            os.close(os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _prepare_sqlite(engine: Engine, synchronous: str) -> None:
    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver would begin too late, and never for a read
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", f"busy_timeout={BUSY_MILLIS}"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writing = connection.get_execution_options().get("hooats_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _create(connection: Connection, schema: sa.MetaData, name: str, version: int) -> None:
    versions = sa.Table(
        "schema_versions", sa.MetaData(), sa.Column("name", sa.Text, primary_key=True), sa.Column("version", sa.Integer)
    )
    versions.create(connection, checkfirst=True)
    found = connection.execute(sa.select(versions.c.version).where(versions.c.name == name)).scalar()
    if found is None:
        schema.create_all(connection)
        connection.execute(versions.insert().values(name=name, version=version))
        return
    if found != version:
        raise ConfigurationError(
            f"the {name} database has schema version {found}, this program needs {version}",
            remedy="Run the hooats version that wrote it, or migrate it as CHANGELOG says",
        )
    for table in schema.sorted_tables:
        table.create(connection, checkfirst=True)  # one that the version which wrote it did not need


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        text = f"the {name} database: {error.orig}"
        if "disk is full" in text or "disk I/O error" in text:
            raise DiskFailure(text, remedy="Free or replace the disk") from error
        raise StorageError(text) from error


def rows_of(result: sa.CursorResult[Any]) -> list[dict[str, Any]]:
    """Plain dictionaries, with plain names: SQLAlchemy's are of a type of their own."""
    return [{str(name): value for name, value in row.items()} for row in result.mappings()]
