"""Keeps this exporter known to its orchestrator: register, heartbeat, register again where it was forgotten, leave."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import stamina
from prometheus_client import Metric
from structlog.typing import FilteringBoundLogger

from exporters.agent.breaker import Breaker
from exporters.agent.client import Orchestrator, OrchestratorError
from exporters.catalog import AGENT_FAMILIES, AgentOutcome
from exporters.families import FamilySet

CALL_SECONDS = 5.0
LEAVE_SECONDS = 1.0
_ATTEMPTS = 3
_FAILURES_TO_OPEN = 3
_OPEN_SECONDS = 60.0
# Worth another attempt at once; what was refused would be refused again.
_PASSING = frozenset({AgentOutcome.ERROR, AgentOutcome.TIMEOUT, AgentOutcome.CONNECTION})

Payload: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who registers, and how often it will be heard of, in seconds."""

    agent_id: str
    heartbeat_seconds: float


class Agent:
    """One exporter's registration. `start` runs it in a thread; `step` is one turn of it, for tests to take.

    `about` gives what a registration says, `figures` what a heartbeat says, each without the id; they may be slow and
    may raise. `clock` gives monotonic seconds, `now` seconds since the epoch, `jitter` a number from 0 to 1.
    """

    def __init__(
        self,
        identity: Identity,
        orchestrator: Orchestrator,
        *,
        about: Callable[[], Payload],
        figures: Callable[[], Payload],
        clock: Callable[[], float],
        now: Callable[[], float],
        jitter: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self._identity = identity
        self._orchestrator = orchestrator
        self._about = about
        self._figures = figures
        self._now = now
        self._jitter = jitter
        self._log = log
        self._breaker = Breaker(failures=_FAILURES_TO_OPEN, seconds=_OPEN_SECONDS, clock=clock)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._registered = False
        self._last_success: float | None = None
        self._last_outcome: AgentOutcome | None = None
        self._counts = {kind: Counter(dict.fromkeys(AgentOutcome, 0)) for kind in ("registrations", "heartbeats")}

    # -- life

    def start(self) -> None:
        """Begin, in a daemon thread: whatever it waits for, the process can end."""
        self._thread = threading.Thread(target=self._run, name="optiinfra-agent", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = LEAVE_SECONDS) -> None:
        """End, and take leave of the orchestrator. Takes at most `seconds` twice; never raises."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(seconds)
        under_way = self._thread is not None and self._thread.is_alive()  # it may be registering just now
        if not self._registered and not under_way:
            return
        try:
            self._orchestrator.deregister(self._identity.agent_id, seconds)
        except OrchestratorError as error:
            if error.outcome is not AgentOutcome.UNREGISTERED:  # else there is nothing to take leave from
                self._log.warning("agent_not_deregistered", outcome=error.outcome.value, reason=str(error))
        else:
            self._log.info("agent_deregistered", agent_id=self._identity.agent_id)
        self._registered = False

    def _run(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            try:
                wait = self.step()
            except Exception:  # noqa: BLE001 - the edge: a defect here must not end the thread, nor reach a scrape
                self._log.exception("agent_step_failed")
                wait = self._identity.heartbeat_seconds

    # -- one turn

    def step(self) -> float:
        """Do what is due, and give the seconds until there is something to do again."""
        if self._breaker.is_open:
            return self._breaker.wait()
        if not self._registered:
            self._call("registrations", lambda payload: self._orchestrator.register(payload, CALL_SECONDS), self._about)
        elif (
            self._call("heartbeats", lambda payload: self._orchestrator.heartbeat(payload, CALL_SECONDS), self._figures)
            is AgentOutcome.UNREGISTERED
        ):
            return 0.0  # register at once
        return self._breaker.wait() or self._identity.heartbeat_seconds * (0.9 + 0.2 * self._jitter())

    def _call(self, kind: str, send: Callable[[Payload], None], read: Callable[[], Payload]) -> AgentOutcome:
        payload = {"id": self._identity.agent_id, **read()}
        attempts = stamina.RetryingCaller(
            attempts=1 if self._breaker.on_trial else _ATTEMPTS, wait_initial=0.5, wait_max=5.0, wait_jitter=1.0
        )

        def once() -> None:
            if self._stopping.is_set():  # while waiting to try again: nothing may register after we left
                raise OrchestratorError(AgentOutcome.CONNECTION, "the exporter stops")
            try:
                send(payload)
            except OrchestratorError as error:
                self._count(kind, error.outcome)
                raise
            self._count(kind, AgentOutcome.OK)

        try:
            attempts(self._again, once)
        except OrchestratorError as error:
            self._failed(kind, error)
            return error.outcome
        self._succeeded(kind)
        return AgentOutcome.OK

    def _again(self, error: Exception) -> bool:
        """Whether stamina is to try again after `error`."""
        return isinstance(error, OrchestratorError) and error.outcome in _PASSING and not self._stopping.is_set()

    def _count(self, kind: str, outcome: AgentOutcome) -> None:
        with self._lock:
            self._counts[kind][outcome] += 1

    def _succeeded(self, kind: str) -> None:
        self._breaker.succeeded()
        with self._lock:
            self._registered = True
            self._last_success = self._now()
        if kind == "registrations":
            self._log.info("agent_registered", agent_id=self._identity.agent_id)
        elif self._last_outcome not in {None, AgentOutcome.OK}:
            self._log.info("agent_recovered")
        self._last_outcome = AgentOutcome.OK

    def _failed(self, kind: str, error: OrchestratorError) -> None:
        forgotten = kind == "heartbeats" and error.outcome is AgentOutcome.UNREGISTERED
        if forgotten:
            self._registered = False
        else:
            self._breaker.failed()
        if error.outcome is not self._last_outcome:  # a change is worth a line, a repetition is not
            self._log.warning("agent_call_failed", call=kind, outcome=error.outcome.value, reason=str(error))
        self._last_outcome = error.outcome

    # -- what scrapes see

    def collect(self) -> Iterator[Metric]:
        """The agent's own metrics."""
        out = FamilySet(AGENT_FAMILIES)
        with self._lock:
            out.add("optiinfra_agent_registered", self._registered)
            out.add("optiinfra_agent_circuit_open", self._breaker.is_open)
            out.add("optiinfra_agent_last_success_timestamp_seconds", self._last_success)
            for kind, counts in self._counts.items():
                for outcome, count in counts.items():
                    out.add(f"optiinfra_agent_{kind}_total", count, outcome.value)
        yield from out.metrics()
