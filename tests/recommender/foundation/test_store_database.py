"""The database: migrations match the tables, and trouble has one name."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from recommender.errors import ConfigError, StoreUnavailable
from recommender.store import Database, Store
from recommender.store.schema import metadata


def test_migrations_give_exactly_the_tables_that_the_code_uses(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer version"):
        database.migrate()


def test_sqlite_keeps_what_it_acknowledged(database: Database) -> None:
    with database.read() as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in
                   ("journal_mode", "synchronous", "foreign_keys")}  # fmt: skip
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_locked_database_is_unavailable(database_url: str, database: Database, clock: Any) -> None:
    impatient = Database(database_url, busy_timeout_seconds=0.05)
    with database.write(), pytest.raises(StoreUnavailable, match="locked"):
        Store(impatient).beat("x", clock.now())
    impatient.close()


def test_readers_do_not_wait_for_a_writer(database_url: str, database: Database) -> None:
    reader = Database(database_url, busy_timeout_seconds=0.05)
    with database.write():
        assert Store(reader).workflows() == []
    reader.close()


def test_a_full_database_is_unavailable(database: Database, store: Store, make_workflow: Any) -> None:
    with database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def limit(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.execute(f"PRAGMA max_page_count={pages}").close()

    database.close()
    sa.event.listen(database._engine, "connect", limit)
    with pytest.raises(StoreUnavailable, match="full"):
        store.create(make_workflow(reason="x" * 200_000), [])


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"no database at all, certainly not" * 100)
    database = Database(f"sqlite:///{tmp_path}/no.db")
    with pytest.raises(StoreUnavailable, match="not a database"):
        database.migrate()
    database.close()


def test_a_directory_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/x.db")
    with pytest.raises(StoreUnavailable, match="unable to open"):
        database.migrate()


def test_a_failed_transaction_leaves_nothing(database: Database, database_url: str) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(sa.text("INSERT INTO heartbeats VALUES ('x', '2026-01-01 00:00:00.000000')"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as plain:
        assert plain.execute("SELECT count(*) FROM heartbeats").fetchone() == (0,)
    plain.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense", "sqlite"])
def test_a_bad_database_url_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        Database(url)
