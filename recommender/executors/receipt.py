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

NO_FILE = "absent"  # digest of "there is no configuration file"


class Stage(StrEnum):
    """How far a content has come."""

    PENDING = "pending"
    RUNNING = "running"


def digest(content: str | None) -> str:
    """SHA-256 of a configuration file's content."""
    return NO_FILE if content is None else hashlib.sha256(content.encode("utf-8")).hexdigest()


def write(config: Path, content: str | None, stage: Stage) -> None:
    """Record the stage of `content`. Raises ExecutorError."""
    replace_text(_path(config), json.dumps({"digest": digest(content), "stage": stage}) + "\n")


def settled(config: Path, content: str | None) -> bool:
    """Whether the engine is known to run with `content`: its restart was recorded, or OptiInfra never touched it."""
    record = _read(config)
    return record is None or record == (digest(content), Stage.RUNNING)


def runs(config: Path, content: str | None) -> bool:
    """Whether a restart with `content` was recorded."""
    return _read(config) == (digest(content), Stage.RUNNING)


def _read(config: Path) -> tuple[str, str] | None:
    path = _path(config)
    text = read_text(path)
    if text is None:
        return None
    try:
        record = json.loads(text)
        return str(record["digest"]), str(record["stage"])
    except (ValueError, KeyError, TypeError) as error:
        raise ExecutorError(
            f"{path} is not what OptiInfra wrote: remove it once the engine has been restarted"
        ) from error


def _path(config: Path) -> Path:
    return config.with_name(f"{config.name}.optiinfra.json")
