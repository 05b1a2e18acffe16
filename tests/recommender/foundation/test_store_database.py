"""The database, SQLite and PostgreSQL: migrations match the tables, reads see one moment, trouble has one name."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from recommender.errors import ConfigError
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


def test_readers_do_not_wait_for_a_writer(database_url: str, database: Database) -> None:
    reader = Database(database_url, busy_timeout_seconds=0.05)
    with database.write() as connection:
        connection.execute(sa.text("UPDATE audit_head SET seq = 7"))
        assert Store(reader).verify_audit().problem == ""
    reader.close()


def test_a_read_sees_one_moment(database_url: str, database: Database, store: Store, make_workflow: Any) -> None:
    """Else a row that is appended while the chain is walked would look like tampering."""
    count = sa.text("SELECT count(*) FROM workflows")
    writer = Database(database_url)
    with database.read() as connection:
        before = connection.execute(count).scalar()
        Store(writer).create(make_workflow(), [])
        assert connection.execute(count).scalar() == before
    assert len(store.workflows()) == 1
    writer.close()


def test_a_failed_transaction_leaves_nothing(database: Database, store: Store) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(sa.text("INSERT INTO heartbeats VALUES ('x', '2026-01-01 00:00:00.000000')"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.last_beat("x") is None


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense", "sqlite"])
def test_a_bad_database_url_says_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        Database(url)


def test_a_driver_that_is_not_installed_is_named_and_so_is_one_that_works() -> None:
    with pytest.raises(ConfigError, match=r"'pg8000'.*psycopg\[binary\]"):
        Database("postgresql+pg8000://x/y")
