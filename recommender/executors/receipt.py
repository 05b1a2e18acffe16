"""What a `command` executor knows about the engine behind a configuration file, across a `kill -9`.

The file's content alone does not tell whether the engine was restarted with it. So `<file>.optiinfra.json` says,
before the file is touched, which content is on its way (`pending`), and, after the restart command succeeded, that the
engine runs with it (`running`).
"""

import hashlib
import json
from enum import StrEnum
from pathlib import Path

from recommender.errors import ExecutorError
from recommender.executors.files import read_text, replace_text
from recommender.executors.running import Running

NO_FILE = "absent"  # digest of "there is no configuration file"


class Stage(StrEnum):
    """How far a content has come."""

    PENDING = "pending"
    RUNNING = "running"


def digest(content: str | None) -> str:
    """SHA-256 of a configuration file's content."""
    return NO_FILE if content is None else hashlib.sha256(content.encode("utf-8")).hexdigest()


def write(config: Path, content: str | None, stage: Stage, restart: Running | None = None) -> None:
    """Record the stage of `content`, and the restart command that runs for it. Raises ExecutorError."""
    record: dict[str, object] = {"digest": digest(content), "stage": stage}
    if restart is not None:
        record["restart"] = {"pid": restart.pid, "created": restart.created}
    replace_text(_path(config), json.dumps(record) + "\n")


def settled(config: Path, content: str | None) -> bool:
    """Whether the engine is known to run with `content`: its restart was recorded, or OptiInfra never touched it."""
    record = _read(config)
    return record is None or record == (digest(content), Stage.RUNNING)


def runs(config: Path, content: str | None) -> bool:
    """Whether a restart with `content` was recorded."""
    return _read(config) == (digest(content), Stage.RUNNING)


def restart(config: Path) -> Running | None:
    """The restart command that was started and whose end was not recorded; it may be over. Raises ExecutorError."""
    record = _record(config)
    return None if record is None else record[2]


def _read(config: Path) -> tuple[str, str] | None:
    record = _record(config)
    return None if record is None else record[:2]


def _record(config: Path) -> tuple[str, str, Running | None] | None:
    path = _path(config)
    text = read_text(path)
    if text is None:
        return None
    try:
        record = json.loads(text)
        started = record.get("restart")
        process = None if started is None else Running(int(started["pid"]), float(started["created"]))
        return str(record["digest"]), str(record["stage"]), process
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExecutorError(
            f"{path} is not what OptiInfra wrote: remove it once the engine has been restarted"
        ) from error


def _path(config: Path) -> Path:
    return config.with_name(f"{config.name}.optiinfra.json")
