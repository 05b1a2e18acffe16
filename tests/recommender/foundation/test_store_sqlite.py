"""What SQLite alone does: a file that is locked, full, absent or no database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from recommender.errors import StoreUnavailable
from recommender.store import Database, Store


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def impatient(database_url: str) -> Iterator[Database]:
    database = Database(database_url, busy_timeout_seconds=0.05)
    yield database
    database.close()


def test_sqlite_keeps_what_it_acknowledged(database: Database) -> None:
    with database.read() as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in
                   ("journal_mode", "synchronous", "foreign_keys")}  # fmt: skip
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_locked_file_is_unavailable(database: Database, impatient: Database, clock: Any) -> None:
    with database.write(), pytest.raises(StoreUnavailable, match="locked"):
        Store(impatient).beat("x", clock.now())


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


def test_the_file_is_ours_alone_because_a_snapshot_may_hold_the_keys_of_an_engine(
    database: Database, tmp_path: Path
) -> None:
    with database.write():
        modes = {file.name: file.stat().st_mode & 0o077 for file in tmp_path.glob("optiinfra.db*")}
    assert "optiinfra.db" in modes
    assert set(modes.values()) == {0}
