"""Reads and replaces small configuration files so that a crash leaves the old or the new content, never a mixture."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from recommender.errors import ExecutorError

_SIZE_LIMIT = 1 << 20  # bytes; an engine's options are a few hundred


def read_text(path: Path) -> str | None:
    """The file's text, or None when there is no such file.

    Raises ExecutorError for a symbolic link (its target is not what the inventory names), anything else that is not
    a regular file, a file above 1 MiB, text that is not UTF-8, and one that may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ExecutorError(_refusal(path) or f"{path} cannot be read: {error.strerror}") from error
    try:
        refusal = _refusal(path, os.fstat(descriptor))
        content = b"" if refusal else _read(descriptor)
    finally:
        os.close(descriptor)
    if refusal:
        raise ExecutorError(refusal)
    if len(content) > _SIZE_LIMIT:
        raise ExecutorError(f"{path} is larger than {_SIZE_LIMIT} bytes: not an engine's configuration")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ExecutorError(f"{path} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}") from error


def replace_text(path: Path, text: str) -> None:
    """Put `text` in place of the file in one step, keeping its mode and owner; create it when it is absent.

    Written beside it, synced, renamed, and the directory synced. Raises ExecutorError, and then nothing has changed.
    """
    temporary: str | None = None
    try:
        before = _status(path)
        if before is not None and (refusal := _refusal(path, before)):
            raise ExecutorError(refusal)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode) if before else 0o644)
            made = os.fstat(descriptor)
            if before and (before.st_uid, before.st_gid) != (made.st_uid, made.st_gid):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 - the pair of mkstemp, which gives a string
        temporary = None
        _sync_directory(path.parent)
    except OSError as error:
        raise ExecutorError(f"{path} cannot be written: {error.strerror}; nothing was changed") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def remove(path: Path) -> None:
    """Remove the file; absent is fine. Raises ExecutorError."""
    try:
        path.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise ExecutorError(f"{path} cannot be removed: {error.strerror}") from error


def _read(descriptor: int) -> bytes:
    """At most one byte more than is allowed."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(_SIZE_LIMIT + 1)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _refusal(path: Path, status: os.stat_result | None = None) -> str:
    """Why the file is not touched; empty when it may be."""
    with contextlib.suppress(OSError):
        status = status or path.lstat()
    if status is None or stat.S_ISREG(status.st_mode):
        return ""
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a symbolic link: name the file itself in the inventory, links are not followed"
    return f"{path} is not a regular file"


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
