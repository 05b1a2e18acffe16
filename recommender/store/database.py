"""The connection: SQLite or PostgreSQL, transactions, migrations; database trouble becomes StoreUnavailable."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from recommender.errors import ConfigError, StoreUnavailable

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6F707469  # "opti": one recommender migrates at a time
_WRITES = "optiinfra_writes"
_IDLE_SECONDS = 60  # our transactions take milliseconds; one that idles is of a recommender that vanished


class Database:
    """Opens transactions. Safe to share by threads.

    On SQLite: write-ahead log so that readers never wait, full synchronisation so that an acknowledged alert is on
    disk, and writers that take the lock at once (BEGIN IMMEDIATE), so that none fails half-way through.
    On PostgreSQL: reads are of one moment, as they are on SQLite; nothing waits longer than `busy_timeout_seconds` for
    a server or a lock.
    """

    def __init__(self, url: str, *, busy_timeout_seconds: float = 5.0) -> None:
        self._engine = _create_engine(url, busy_timeout_seconds)
        self._writer = self._engine.execution_options(**{_WRITES: True})
        snapshot = {"isolation_level": "REPEATABLE READ"} if self.dialect == "postgresql" else {}
        self._reader = self._engine.execution_options(**snapshot)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads, and sees one moment. Raises StoreUnavailable."""
        with _mapped(), self._reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that commits at the end of the block. Raises StoreUnavailable; IntegrityError passes."""
        with _mapped(), self._writer.begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema to this version's. Raises StoreUnavailable, ConfigError for a newer database."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        try:
            with self.write() as connection:
                if self.dialect == "postgresql":
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as exc:
            raise ConfigError(f"the database cannot be migrated: {exc}; a newer version may have written it") from exc

    def close(self) -> None:
        """Close all pooled connections."""
        self._engine.dispose()


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as exc:
        cause = getattr(exc, "orig", None) or exc
        raise StoreUnavailable(f"the database failed: {str(cause).strip() or type(cause).__name__}") from exc


def _create_engine(url: str, busy_timeout_seconds: float) -> sa.Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed, busy_timeout_seconds)
        if parsed.get_backend_name() == "postgresql":
            return _postgresql(parsed, busy_timeout_seconds)
    except (ArgumentError, NoSuchModuleError) as exc:
        raise ConfigError("DATABASE_URL is not a database URL; write it like sqlite:////var/lib/optiinfra.db") from exc
    except ImportError as exc:
        advice = "install it beside optiinfra, for example psycopg[binary]"
        raise ConfigError(f"DATABASE_URL needs a Python package that does not load ({exc}); {advice}") from exc
    raise ConfigError(f"DATABASE_URL: {parsed.get_backend_name()} is not supported; use sqlite or postgresql+psycopg")


def _postgresql(url: sa.URL, busy_timeout_seconds: float) -> sa.Engine:
    if url.drivername == "postgresql":  # SQLAlchemy's own choice of a driver depends on its version
        url = url.set(drivername="postgresql+psycopg")
    sessions = {
        "timezone": "UTC",  # elsewhere the first and the last day of the calendar cannot be read back
        "lock_timeout": round(busy_timeout_seconds * 1000),
        "idle_in_transaction_session_timeout": _IDLE_SECONDS * 1000,
    }
    defaults = {
        "connect_timeout": max(2, round(busy_timeout_seconds)),  # libpq knows no less
        "options": " ".join(f"-c {name}={value}" for name, value in sessions.items()),
    }
    arguments = {name: value for name, value in defaults.items() if name not in url.query}  # the URL's word wins
    return sa.create_engine(url, pool_pre_ping=True, pool_timeout=busy_timeout_seconds, connect_args=arguments)


def _sqlite(url: sa.URL, busy_timeout_seconds: float) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("DATABASE_URL names no file: alerts would be lost at a restart; use sqlite:///optiinfra.db")
    with contextlib.suppress(OSError):  # SQLite says better what is wrong with the path
        if not url.database.startswith("file:"):  # a snapshot in it may hold an engine's keys: ours alone
            os.close(os.open(url.database, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_seconds})

    def connect(dbapi_connection: Any, _record: object) -> None:  # noqa: ANN401 - sqlite3 or a wrapper of it
        dbapi_connection.isolation_level = None  # transactions begin where `begin` says, not where sqlite3 guesses
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            dbapi_connection.execute(f"PRAGMA {pragma}").close()

    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(engine, "connect", connect)
    sa.event.listen(engine, "begin", begin)
    return engine
