"""What PostgreSQL alone does: a server that is away, dies or comes late, and rows that another transaction holds."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa

from recommender import server
from recommender.errors import StoreUnavailable
from recommender.server import assemble
from recommender.settings import Settings
from recommender.store import Database, Store
from tests.recommender.foundation.live import eventually, process, write_configuration
from tests.recommender.foundation.postgres import PostgresServer

MINUTE = timedelta(minutes=1)


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def impatient(database_url: str) -> Iterator[Database]:
    database = Database(database_url, busy_timeout_seconds=0.1)
    yield database
    database.close()


def test_recommenders_that_start_together_migrate_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(Database.migrate, databases))
    assert Store(databases[0]).verify_audit().problem == ""
    for database in databases:
        database.close()


def test_a_claim_passes_over_what_another_holds_and_does_not_wait(
    database: Database, impatient: Database, store: Store, make_workflow: Any, clock: Any
) -> None:
    for name in ("first", "second"):
        store.create(make_workflow(name, name, due_at=clock.now()), [])
    with database.write() as connection:
        connection.execute(sa.text("SELECT * FROM workflows WHERE id = 'first' FOR UPDATE"))
        claimed = [Store(impatient).claim_due(clock.now(), owner, MINUTE) for owner in ("one", "two")]
    assert [workflow and workflow.id for workflow in claimed] == ["second", None]


def test_a_row_that_stays_locked_is_unavailable_and_nobody_waits_for_ever(
    database: Database, impatient: Database, make_workflow: Any, make_event: Any
) -> None:
    with database.write() as connection:
        connection.execute(sa.text("SELECT * FROM audit_head FOR UPDATE"))
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            Store(impatient).create(make_workflow(), [make_event()])
    Store(impatient).create(make_workflow(), [make_event()])


def test_the_calendar_ends_where_it_does_in_python_wherever_the_server_lives(
    database_url: str, database: Database, store: Store, clock: Any
) -> None:
    name = sa.make_url(database_url).database
    with database.write() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} SET timezone = 'Pacific/Auckland'"))
    database.close()
    last = clock.now().replace(year=9999, month=12, day=31, hour=23)
    store.beat("x", last)
    assert store.last_beat("x") == last


def test_what_the_url_says_of_the_connection_wins(database_url: str) -> None:
    database = Database(f"{database_url}&options=-c%20lock_timeout%3D1234")
    with database.read() as connection:
        assert connection.execute(sa.text("SHOW lock_timeout")).scalar() == "1234ms"
    database.close()


def test_a_server_that_dies_is_unavailable_and_found_again_when_it_is_back(
    postgres_server: PostgresServer, database: Database, store: Store, make_workflow: Any, make_event: Any
) -> None:
    kept = store.create(make_workflow(), [make_event()])

    def write_until_it_dies() -> None:
        with database.write() as connection:
            connection.execute(sa.text("UPDATE audit_head SET seq = 99"))
            postgres_server.crash()
            connection.execute(sa.text("UPDATE audit_head SET seq = 100"))

    with pytest.raises(StoreUnavailable, match="the database failed"):
        write_until_it_dies()
    with postgres_server.away(), pytest.raises(StoreUnavailable, match="the database failed"):
        store.workflows()
    assert store.workflows() == [kept]
    assert (store.verify_audit().rows, store.verify_audit().problem) == (1, "")
    with postgres_server.away():
        pass  # restarted between two calls: the connections that are kept are dead, and nobody notices
    store.save(kept, [make_event()])


@pytest.mark.process
def test_a_start_waits_for_a_server_that_comes_late(
    tmp_path: Path, postgres_server: PostgresServer, database_url: str
) -> None:
    files = write_configuration(tmp_path)
    environment = {
        "OPTIINFRA_TOKENS_FILE": str(files["tokens_file"]),
        "OPTIINFRA_INVENTORY": str(files["inventory"]),
        "OPTIINFRA_PROMETHEUS_URL": "http://127.0.0.1:1",
        "DATABASE_URL": database_url,
    }
    log = tmp_path / "recommender.log"
    log.touch()

    def come_late() -> None:
        eventually(lambda: log.read_text().count("retry_scheduled") >= 2, seconds=60)
        postgres_server.start()

    postgres_server.crash()
    late = Thread(target=come_late)
    late.start()
    try:
        with process(tmp_path, environment) as (client, running):
            assert client.notify().status_code == 200
            running.terminate()
            assert running.wait(20) == 0
    finally:
        late.join()
        postgres_server.start()


def test_a_start_gives_up_on_a_server_that_never_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer, database_url: str
) -> None:
    monkeypatch.setattr(server, "_DATABASE_SECONDS", 0.5)
    settings = Settings(database_url=database_url, **write_configuration(tmp_path))
    with postgres_server.away(), pytest.raises(StoreUnavailable, match="the database failed"):
        assemble(settings)
