"""Which model to ask for where nobody names one: the first that the endpoint lists, remembered for a while."""

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus

from exporters.blackbox.completion import first_model
from exporters.exchange import HttpRequest, Wire, exchange
from exporters.inference.targets import Target

REMEMBER_SECONDS = 300.0


class StatusError(Exception):
    """The endpoint answers with an HTTP status that is not 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class ModelNames:
    """Thread-safe. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[Target, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def known(self, page: Target) -> str | None:
        """The model that `page`, a `/v1/models`, listed first not long ago."""
        with self._lock:
            name, until = self._known.get(page, ("", 0.0))
            return name if name and self._clock() < until else None

    def ask(self, page: Target, headers: Mapping[str, str], wire: Wire) -> str:
        """Ask the endpoint. Raises ExchangeError, StatusError, CompletionError."""
        with exchange(HttpRequest("GET", page, {**headers, "Accept": "application/json"}), wire) as answer:
            if answer.status != HTTPStatus.OK:
                raise StatusError(answer.status)
            name = first_model(answer.read())
        with self._lock:
            now = self._clock()
            # The budget bounds how many targets are asked in this time, and so the table.
            self._known = {key: value for key, value in self._known.items() if now < value[1]}
            self._known[page] = (name, now + REMEMBER_SECONDS)
        return name

    def forget(self, page: Target) -> None:
        """The endpoint did not answer for the model that it had listed: ask anew next time."""
        with self._lock:
            self._known.pop(page, None)
