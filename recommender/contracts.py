"""The seams between the recommender's rooms: what a later stage asks of an earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from recommender.model import Change, Event, KnobValue, Snapshot, Workflow


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query: labels and value."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a range query: labels and (unix seconds, value) points, NaN left out."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class PromQL(Protocol):
    """Typed queries. Raises PrometheusError; an empty answer is an empty list, never an error."""

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:
        """Instant query at `at` (default: now on the server). NaN samples are left out."""
        ...

    def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        """Range query."""
        ...


@dataclass(frozen=True, slots=True)
class ReplicaTarget:
    """One replica as the inventory describes it: all an executor needs; nothing comes from alerts."""

    service: str
    instance: str  # host:port
    url: str
    engine: str
    node: str | None = None
    config_file: str | None = None
    config_complete: bool = False  # nothing but `config_file` sets options of the engine: so the inventory promises
    lmcache_config_file: str | None = None
    restart_command: tuple[str, ...] = ()
    ready_path: str = "/health"
    ready_timeout_seconds: float = 300.0
    restart_timeout_seconds: float = 60.0
    may_restart_alone: bool = False  # the owner takes the outage of a service's only replica

    def of(self, engine: str) -> "ReplicaTarget":
        """The replica as far as settings of `engine` go: LMCache lives in it, and has a file of its own."""
        if engine == self.engine or engine != "lmcache":
            return self
        return replace(self, engine=engine, config_file=self.lmcache_config_file, config_complete=False)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A replica's configuration file, read whole."""

    file: str  # its name, without the folder
    values: Mapping[str, KnobValue]  # by config key, as the engine's configuration has them
    keys: frozenset[str]  # all that it names, also those whose value no knob can have
    variables: bool  # an environment file
    complete: bool  # as `ReplicaTarget.config_complete`


class Executor(Protocol):
    """Carries one change to one replica. Every method is idempotent; raises ExecutorError."""

    name: str

    def read(self, replica: ReplicaTarget) -> Mapping[str, KnobValue]:
        """Current settings by config key, as the engine's configuration has them; empty when not known."""
        ...

    def configuration(self, replica: ReplicaTarget) -> Configuration | None:
        """The configuration file, when there is one and all of it can be read; None when not."""
        ...

    def snapshot(self, replica: ReplicaTarget) -> Snapshot:
        """What `restore` needs to put the replica back as it is now."""
        ...

    def apply(self, replica: ReplicaTarget, change: Change) -> None:
        """Bring the replica to `change.new`; already being there (and running with it) is success."""
        ...

    def ready(self, replica: ReplicaTarget) -> bool | None:
        """Whether the replica serves; None when it cannot be told."""
        ...

    def restore(self, replica: ReplicaTarget, snapshot: Snapshot) -> None:
        """Put the replica back as in `snapshot`."""
        ...


class WorkflowStore(Protocol):
    """What the reconciler needs of the store. Raises StoreUnavailable, Conflict, NotFound."""

    def claim_due(self, now: datetime, owner: str, lease: timedelta) -> Workflow | None:
        """The next workflow whose `due_at` has come and that nobody else holds, leased to `owner`; or None."""
        ...

    def save(self, workflow: Workflow, events: Sequence[Event], *, release: bool = True) -> Workflow:
        """Write the new state and its audit events in one transaction.

        `workflow.version` is the version that was read; Conflict when the row has moved on. Returns the
        workflow with its new version. `release` gives up the lease.
        """
        ...

    def active_for(self, service: str) -> Workflow | None:
        """The workflow in flight for a service (approved up to rolling back), or None."""
        ...
