"""A PostgreSQL server of the tests' own: a throw-away cluster on a socket in a directory that nobody else enters."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from secrets import token_hex

import sqlalchemy as sa

from tests.recommender.foundation.live import eventually

# A crash of the server loses nothing of these (only one of the machine would), and tests wait for no disk.
_FAST = ("fsync=off", "full_page_writes=off", "max_wal_size=64MB", "shared_buffers=16MB")


class PostgresServer:
    """One cluster, made at once and started and ended at will. `close` removes it."""

    def __init__(self) -> None:
        self._bin = _binaries()
        self._home = Path(tempfile.mkdtemp(prefix="optiinfra-pg-"))  # short: a socket's path has 107 bytes at most
        self._server: subprocess.Popen[bytes] | None = None
        self._user = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(self._home, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        initdb = [self._bin / "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        self._run(*initdb, "--no-sync", "--pgdata", self._home / "data")

    def url(self, database: str) -> str:
        """How SQLAlchemy reaches a database of this server."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._home}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        if self._server is not None and self._server.poll() is None:
            return
        options = [f"-c{setting}" for setting in (*_FAST, f"unix_socket_directories={self._home}")]
        with (self._home / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self._home / "data", "-clisten_addresses=", *options],
                stdout=log,
                stderr=log,
                cwd=self._home,
                **self._user,
            )
        eventually(self._answers, seconds=30)

    def crash(self) -> None:
        """End at once, in the middle of whatever is under way; the next start recovers."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(30)

    @contextmanager
    def away(self) -> Iterator[None]:
        """No server during the block, and again one after it."""
        self.crash()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database."""
        name = f"test_{token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")  # without fsync a third of the default's time
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run a statement that stands outside a transaction."""
        with self._administration.connect() as connection:
            connection.execute(sa.text(statement))

    def close(self) -> None:
        """End the server and remove all that it wrote."""
        self._administration.dispose()
        self.crash()
        shutil.rmtree(self._home)

    @cached_property
    def _administration(self) -> sa.Engine:
        return sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", pool_pre_ping=True)

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, (self._home / "server.log").read_text()
        ready = [self._bin / "pg_isready", "--quiet", "--host", self._home]
        return subprocess.run(ready, check=False).returncode == 0

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self._home, **self._user)
        assert done.returncode == 0, done.stdout + done.stderr


def _binaries() -> Path:
    """Debian keeps the server's programs off PATH, in a directory a version; the newest is taken."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    assert installed, "PostgreSQL is not installed; run deploy/system-packages.sh test"
    return installed[-1].parent
