"""`/probe?module=…&target=…`: one completion asked of an endpoint, measured and answered as a page of gauges."""

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from secrets import token_hex

from prometheus_client import Metric
from pydantic import TypeAdapter, ValidationError

from exporters.blackbox.ask import Asker, ProbeError
from exporters.blackbox.budget import Budget, BudgetSpent
from exporters.blackbox.config import BlackboxConfig, ModelName, Module
from exporters.blackbox.measure import Measured, Stopwatch
from exporters.blackbox.models import ModelNames
from exporters.catalog import BLACKBOX_FAMILIES, BLACKBOX_PROBER_FAMILIES, BlackboxFailure, Family
from exporters.families import FamilySet
from exporters.inference.connection import Resolve
from exporters.inference.probe import ProbeResult
from exporters.inference.render import CONTENT_TYPE, Sample, Samples, render
from exporters.inference.targets import AllowList, Endpoint, TargetError, parse_endpoint

# People write base URLs with the API's version, and targets of other probes with their page.
_ENDINGS = ("/v1", "/metrics")
# Left to answer and travel before Prometheus gives up on the scrape.
MARGIN_SECONDS = 0.5
SUCCESS = "success"
# Of these nothing was sent, so whether the endpoint works is not known.
_NOT_ASKED = frozenset({BlackboxFailure.BUDGET, BlackboxFailure.CREDENTIALS, BlackboxFailure.ADDRESS})
_MODEL = TypeAdapter[str](ModelName)


def _nonce() -> str:
    return token_hex(8)


class BlackboxProber:
    """Probes endpoints as `config` says. Thread-safe: one instance serves every request.

    `clock` gives monotonic seconds. Prompts and answers are neither logged nor shown.
    """

    def __init__(
        self,
        config: BlackboxConfig,
        allowed: AllowList,
        *,
        clock: Callable[[], float] = time.monotonic,
        nonce: Callable[[], str] = _nonce,
        resolve: Resolve = socket.getaddrinfo,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._config = config
        self._allowed = allowed
        self._clock = clock
        self._budget = Budget(config.budget, clock)
        self._asker = Asker(allowed, ModelNames(clock), nonce, cache(tls), resolve)
        self._tally = Tally(config.modules)

    @property
    def tally(self) -> "Tally":
        """What was probed so far, for the exporter's own page."""
        return self._tally

    def probe(
        self, module: str, target: str | None, model: str | None = None, timeout: str | None = None
    ) -> ProbeResult:
        """Answer `/probe?module=…&target=…&model=…`; parameters as the request has them, None where it lacks them.

        200 with a page, also for a probe that failed; 400 for a bad parameter, 403 for a target that is not allowed.
        `timeout` is the header `X-Prometheus-Scrape-Timeout-Seconds`. Never raises.
        """
        try:
            return self._answer(self._question(module, target, model, timeout))
        except _Refused as refused:
            return ProbeResult(refused.status, f"{refused}\n".encode(), "text/plain; charset=utf-8")

    def _question(self, name: str, target: str | None, model: str | None, timeout: str | None) -> "_Question":
        module = self._config.modules.get(name)
        if module is None:
            known = ", ".join(sorted(self._config.modules))
            raise _Refused(HTTPStatus.BAD_REQUEST, f"module {name!r} is not configured; these are: {known}")
        if not target:
            example = f"/probe?module={name}&target=http://host:port"
            raise _Refused(HTTPStatus.BAD_REQUEST, f"target is missing: {example}")
        try:
            base = parse_endpoint(target, _ENDINGS)
            asked_model = _MODEL.validate_python(model) if model else None
        except TargetError as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        except ValidationError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "model: expected 1 to 256 printable ASCII characters") from None
        where = f"{base.root.scheme}://{base.root.netloc}"
        if not self._allowed.allows(base.root):
            raise _Refused(HTTPStatus.FORBIDDEN, f"{where} is not an allowed target of this exporter (--probe-allow)")
        if not module.serves(base.root):
            raise _Refused(HTTPStatus.FORBIDDEN, f"{where} is not among the targets of module {name!r}")
        return _Question(name, module, base, asked_model, min(module.timeout_seconds, _scrape_seconds(timeout)))

    def _answer(self, question: "_Question") -> ProbeResult:
        measured = Measured(Stopwatch(self._clock))
        failure = self._make(question, measured)
        self._tally.count(question.name, failure.reason.value if failure else SUCCESS)
        page = render(_families(question, measured, failure))
        if failure is not None:
            page += f"# {' '.join(str(failure).split())}\n"
        return ProbeResult(HTTPStatus.OK, page.encode(), CONTENT_TYPE)

    def _make(self, question: "_Question", into: Measured) -> ProbeError | None:
        module = question.module
        try:
            with self._budget.spend(
                (question.name, question.base.root), module.max_tokens, module.min_interval_seconds
            ):
                self._tally.reserve(question.name, module.max_tokens)
                self._asker.ask(
                    question.base, module, question.model, lambda: question.seconds - into.stopwatch.now(), into
                )
        except BudgetSpent as spent:
            return ProbeError(BlackboxFailure.BUDGET, str(spent))
        except ProbeError as error:
            return error
        return None


class _Refused(Exception):
    """A request that no probe comes of: an HTTP status, and a sentence why."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Question:
    """What one request asks for: the module of that name, at `base`, within `seconds`."""

    name: str
    module: Module
    base: Endpoint
    model: str | None
    seconds: float


class Tally:
    """Counters of all probes, as a collector. Thread-safe."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        # All from zero on, so that a rate sees the first.
        outcomes = [SUCCESS, *(reason.value for reason in BlackboxFailure)]
        self._probes = {(module, outcome): 0 for module in modules for outcome in outcomes}
        self._tokens = dict.fromkeys(modules, 0)
        self._lock = threading.Lock()

    def count(self, module: str, outcome: str) -> None:
        """A probe of `module` ended so."""
        with self._lock:
            self._probes[module, outcome] += 1

    def reserve(self, module: str, tokens: int) -> None:
        """A probe of `module` may generate so many tokens."""
        with self._lock:
            self._tokens[module] += tokens

    def collect(self) -> Iterator[Metric]:
        """The counters now."""
        out = FamilySet(BLACKBOX_PROBER_FAMILIES)
        with self._lock:
            for (module, outcome), count in self._probes.items():
                out.add("optiinfra_blackbox_probes_total", count, module, outcome)
            for module, tokens in self._tokens.items():
                out.add("optiinfra_blackbox_reserved_tokens_total", tokens, module)
        yield from out.metrics()


def _families(question: _Question, measured: Measured, failure: ProbeError | None) -> Iterator[tuple[Family, Samples]]:
    max_tokens = question.module.max_tokens
    asked = failure is None or failure.reason not in _NOT_ASKED
    known: dict[str, float | None] = {
        "llm_probe_success": float(failure is None) if asked else None,
        "llm_probe_duration_seconds": measured.stopwatch.now() if asked else None,
        "llm_probe_time_to_first_token_seconds": measured.time_to_first_token(),
        "llm_probe_inter_token_latency_seconds": measured.inter_token_latency(max_tokens),
        "llm_probe_inter_token_latency_max_seconds": measured.longest_gap,
        "llm_probe_generated_tokens": measured.generated_tokens(max_tokens),
        "llm_probe_http_status_code": measured.status,
        "llm_probe_response_bytes": measured.body_bytes,
    }
    what = (
        ("module", question.name),
        ("endpoint", question.module.endpoint.value),
        ("model", measured.model),
    )
    labelled: dict[str, list[Sample]] = {
        "llm_probe_phase_duration_seconds": [
            Sample("", (("phase", phase.value),), seconds) for phase, seconds in measured.stopwatch.phases().items()
        ],
        "llm_probe_info": [Sample("", what, 1.0)] if asked and measured.model else [],
        "llm_probe_failure_info": [Sample("", (("reason", failure.reason.value),), 1.0)] if failure else [],
    }
    for family in BLACKBOX_FAMILIES.values():
        value = known.get(family.name)
        samples = [Sample("", (), float(value))] if value is not None else labelled.get(family.name, [])
        if samples:
            yield family, samples


def _scrape_seconds(timeout: str | None) -> float:
    """Seconds that the scrape leaves: its timeout less a margin; no limit where it states none that is usable."""
    try:
        seconds = float(timeout or "inf")
    except ValueError:
        return math.inf
    return max(seconds - MARGIN_SECONDS, seconds / 2) if seconds > 0 else math.inf
