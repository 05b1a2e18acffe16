"""What an agent tells of its exporter: read as a scrape reads it, so that the figures are real."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import psutil
from prometheus_client import Metric

_SCRAPED = frozenset({"/metrics", "/probe"})
_MAX_DEVICES = 64  # no node has more; slices of them are not told


class ScrapeCounter:
    """A WSGI application around another one, that counts the pages of metrics which it answered with 200."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._served = 0
        self._lock = threading.Lock()

    @property
    def served(self) -> int:
        """Scrapes and probes answered so far."""
        return self._served

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ.get("PATH_INFO") not in _SCRAPED:
            return self._app(environ, start_response)

        def counting(status: str, *rest: object) -> Callable[[bytes], object]:
            if status.startswith("200"):
                with self._lock:
                    self._served += 1
            return start_response(status, *rest)  # type: ignore[arg-type]  # passed on as it came

        return self._app(environ, counting)


class SelfUse(Protocol):
    """What the exporter itself uses."""

    def __call__(self) -> tuple[float, int]:
        """CPU seconds, user and system, since the start; resident bytes now."""


def own_use() -> tuple[float, int]:
    """What this process uses, as the system says."""
    process = psutil.Process()
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss


@dataclass(frozen=True, slots=True)
class Offer:
    """What the exporter can do; it does not change while it runs."""

    hostname: str
    version: str
    exporter_url: str
    heartbeat_seconds: float
    collectors: tuple[str, ...]
    probe: bool
    blackbox: bool


class Figures:
    """Makes the payloads. `collect` gives the node's families, as a scrape of all collectors does."""

    def __init__(
        self,
        offer: Offer,
        *,
        collect: Callable[[], Iterable[Metric]],
        scrapes: Callable[[], int],
        use: SelfUse,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives monotonic seconds; the exporter is up from now on."""
        self._offer = offer
        self._collect = collect
        self._scrapes = scrapes
        self._use = use
        self._clock = clock
        self._started = clock()

    def about(self) -> Mapping[str, object]:
        """What a registration says. GPUs are null where they cannot be read."""
        offer = self._offer
        _, gpus = self._node()
        return {
            "hostname": offer.hostname,
            "version": offer.version,
            "exporter_url": offer.exporter_url,
            "heartbeat_interval_seconds": offer.heartbeat_seconds,
            "capabilities": {
                "collectors": list(offer.collectors),
                "probe": offer.probe,
                "blackbox": offer.blackbox,
                "gpus": gpus,
            },
        }

    def figures(self) -> Mapping[str, object]:
        """What a heartbeat says."""
        collectors, gpus = self._node()
        cpu_seconds, resident_bytes = self._use()
        return {
            "figures": {
                "uptime_seconds": self._clock() - self._started,
                "collectors_ok": collectors,
                "gpus_seen": None if gpus is None else len(gpus),
                "scrapes_served": self._scrapes(),
                "cpu_seconds_total": cpu_seconds,
                "resident_memory_bytes": resident_bytes,
            }
        }

    def _node(self) -> tuple[dict[str, bool], list[dict[str, str]] | None]:
        """Whether each collector works, and the GPUs that there are; None where that is not known."""
        works: dict[str, bool] = {}
        gpus: list[dict[str, str]] = []
        for metric in self._collect():
            for sample in metric.samples:
                if sample.name == "optiinfra_scrape_collector_success":
                    works[sample.labels["collector"]] = sample.value == 1
                elif sample.name == "gpu_info" and not sample.labels.get("mig"):
                    gpus.append({name: sample.labels.get(name, "") for name in ("gpu", "uuid", "name")})
        return works, gpus[:_MAX_DEVICES] if works.get("gpu") else None
