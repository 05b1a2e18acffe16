"""Executor `command`: writes the engine's configuration file and runs the inventory's fixed restart command.

What is run comes from the inventory alone: an argument list, no shell, no value of an alert or a plan in it. What is
changed is one setting in one file: YAML that the engine reads, or the environment file that it is started with. The
restart command must return only when the old process is gone and non-zero when it could not restart; whether the new
one serves is asked afterwards, over HTTP.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import structlog

from recommender.contracts import Configuration, ReplicaTarget
from recommender.errors import ExecutorError, ExecutorTimeout
from recommender.executors import engine_config, files, receipt
from recommender.executors.configuration import configuration
from recommender.executors.readiness import serves
from recommender.executors.running import Running
from recommender.model import Change, KnobValue, Snapshot

_LOG = structlog.get_logger(__name__)
_OUTPUT_LIMIT = 2000  # characters of the command's output that are logged and shown
_OWN_SETTINGS = ("OPTIINFRA_", "DATABASE_URL", "GROQ_API_KEY")  # prefixes: they hold our secrets, not the engine's


class CommandExecutor:
    """See the module. `environment` is what the restart command inherits, less OptiInfra's own settings."""

    name = "command"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {name: value for name, value in environment.items() if not name.startswith(_OWN_SETTINGS)}

    def read(self, replica: ReplicaTarget) -> Mapping[str, KnobValue]:
        """The settings in the configuration file; empty when there is no file yet."""
        _config(replica)
        found = configuration(replica)
        return {} if found is None else found.values

    def configuration(self, replica: ReplicaTarget) -> Configuration | None:
        """The configuration file; None when there is none yet."""
        return configuration(replica)

    def snapshot(self, replica: ReplicaTarget) -> Snapshot:
        """The configuration file, byte for byte."""
        content = files.read_text(_config(replica))
        return Snapshot(executor=self.name, content=content, digest=receipt.digest(content))

    def apply(self, replica: ReplicaTarget, change: Change) -> None:
        """Set the key, restart the engine. Nothing happens when its restart with that very content is on record."""
        path = _config(replica)
        _command(replica)
        before = files.read_text(path)
        after = engine_config.changed(before or "", change, path)
        if after == before and receipt.runs(path, after):
            return
        self._bring_to(replica, path, after)

    def ready(self, replica: ReplicaTarget) -> bool | None:
        """Whether `GET url+ready_path` answers 200."""
        return serves(replica.url, replica.ready_path)

    def restore(self, replica: ReplicaTarget, snapshot: Snapshot) -> None:
        """Write the file back as it was, restart the engine. Nothing happens when it never left that content."""
        if snapshot.executor != self.name:
            raise ExecutorError(
                f"{replica.instance}: the snapshot was taken by `{snapshot.executor}`, not `{self.name}`"
            )
        if snapshot.digest != receipt.digest(snapshot.content):
            raise ExecutorError(f"{replica.instance}: the stored snapshot is damaged: its digest does not match")
        path = _config(replica)
        if files.read_text(path) == snapshot.content and receipt.settled(path, snapshot.content):
            return
        self._bring_to(replica, path, snapshot.content)

    def _bring_to(self, replica: ReplicaTarget, path: Path, content: str | None) -> None:
        if earlier := receipt.restart(path):
            earlier.await_end(replica.restart_timeout_seconds)
        receipt.write(path, content, receipt.Stage.PENDING)
        if content is None:
            files.remove(path)
        elif files.read_text(path) != content:
            files.replace_text(path, content)
        self._restart(replica, lambda pid: receipt.write(path, content, receipt.Stage.PENDING, Running.of(pid)))
        receipt.write(path, content, receipt.Stage.RUNNING)

    def _restart(self, replica: ReplicaTarget, started: Callable[[int], None]) -> None:
        command = _command(replica)
        # A file and not a pipe: an engine started in the background keeps a pipe open and would hold us up.
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,  # so that all of it can be ended when it hangs
                )
            except OSError as error:
                raise ExecutorError(f"{replica.instance}: `{command[0]}` cannot be run: {error.strerror}") from error
            try:
                started(process.pid)
            finally:  # whatever became of the record, the command is not left to itself
                code = _end_of(process, replica, output)
            said = _tail(output)
        _LOG.info("restart_command_ended", instance=replica.instance, code=code, output=said)
        if code != 0:
            raise ExecutorError(f"{replica.instance}: the restart command ended with code {code}: {said}")


def _end_of(process: "subprocess.Popen[bytes]", replica: ReplicaTarget, output: BinaryIO) -> int:
    try:
        return process.wait(timeout=replica.restart_timeout_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise ExecutorTimeout(
            f"{replica.instance}: the restart command did not end in {replica.restart_timeout_seconds:g} s: "
            f"{_tail(output)}"
        ) from None


def _tail(output: BinaryIO) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _OUTPUT_LIMIT))
    return output.read().decode("utf-8", errors="replace").strip() or "it said nothing"


def _config(replica: ReplicaTarget) -> Path:
    if not replica.config_file:
        key = "lmcache_config_file" if replica.engine == "lmcache" else "config_file"
        raise ExecutorError(f"{replica.instance} has no {key} in the inventory: add it, or use the executor dry_run")
    return Path(replica.config_file)


def _command(replica: ReplicaTarget) -> list[str]:
    if not replica.restart_command:
        raise ExecutorError(
            f"{replica.instance} has no restart_command in the inventory: add it, or use the executor dry_run"
        )
    return list(replica.restart_command)
