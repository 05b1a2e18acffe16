"""The web configuration as the files say it now: users, certificates and headers change without a restart."""

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from structlog.typing import FilteringBoundLogger

from exporters.errors import WebConfigError
from exporters.web.config import WebConfig
from exporters.web.config_file import read_web_config
from exporters.web.tls import ServerTls, server_tls

_Stamp: TypeAlias = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class Web:
    """A configuration whose files were loaded. `tls` None: plain HTTP."""

    config: WebConfig
    tls: ServerTls | None


class LiveWeb:
    """Reads the file, and what it names, anew when one of them changed; thread-safe.

    A configuration that cannot be used serves nobody, as in exporter-toolkit: a user who was taken out must not stay
    in because of a slip elsewhere in the file. It is logged once, and mended files are taken up at once.
    """

    def __init__(self, path: Path, *, log: FilteringBoundLogger) -> None:
        """Load. Raises WebConfigError."""
        self._path = path
        self._log = log
        self._lock = threading.Lock()
        self._serves_tls: bool | None = None
        self._files: tuple[Path, ...] = ()
        self._stamp: _Stamp = ()
        self._found: Web | WebConfigError = self._load()
        self._serves_tls = self._found.tls is not None

    @property
    def serves_tls(self) -> bool:
        """Whether the exporter started with TLS, which a change of the file does not alter."""
        return bool(self._serves_tls)

    def current(self) -> Web:
        """Give what the files say now. Raises WebConfigError while they cannot be used."""
        with self._lock:
            if _stamp(self._files) != self._stamp:
                self._reload()
            if isinstance(self._found, WebConfigError):
                raise WebConfigError(str(self._found))
            return self._found

    def _reload(self) -> None:
        try:
            self._found = self._load()
        except WebConfigError as error:
            self._found = error
            self._log.error("web_config_unusable", file=str(self._path), error=str(error))
        else:
            self._log.info("web_config_loaded", file=str(self._path))

    def _load(self) -> Web:
        # Stamps are taken before the files are read, so that a change in between is seen at the next look.
        self._files, self._stamp = (self._path,), _stamp([self._path])
        config = read_web_config(self._path)
        self._files, self._stamp = (*self._files, *config.files), (*self._stamp, *_stamp(config.files))
        tls = config.tls_server_config
        if self._serves_tls not in {None, tls is not None}:
            raise WebConfigError(f"{self._path}: tls_server_config came or went; restart the exporter")
        return Web(config, server_tls(tls) if tls else None)


def _stamp(files: Iterable[Path]) -> _Stamp:
    """Tell a file from what it was before; None for one that is not there."""
    return tuple(map(_file_stamp, files))


def _file_stamp(path: Path) -> tuple[int, ...] | None:
    try:
        now = os.stat(path)  # noqa: PTH116 - on each request
    except OSError:
        return None
    return now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino
