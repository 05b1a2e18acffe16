"""What the reconciler can be told to do next: a closed set. Each is one idempotent act, or only waiting."""

from dataclasses import dataclass
from datetime import datetime

from recommender.rollout.measure import Window
from recommender.rollout.states import Trigger


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again at `until` (None: when a person acts). `errors`: consecutive misses so far."""

    until: datetime | None
    reason: str = ""
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """Change the state; nothing else happens."""

    trigger: Trigger
    reason: str


@dataclass(frozen=True, slots=True)
class Advise:
    """Dry run: have the executor write down what it would do on each replica."""


@dataclass(frozen=True, slots=True)
class ApplyReplica:
    """Bring one replica to the new value. From `approved` it also takes the baseline and starts the canary."""

    instance: str


@dataclass(frozen=True, slots=True)
class ConfirmReplica:
    """The replica serves (again): record it."""

    instance: str


@dataclass(frozen=True, slots=True)
class RestoreReplica:
    """Put one replica back as its snapshot says."""

    instance: str


@dataclass(frozen=True, slots=True)
class GiveUpReplica:
    """The replica cannot be put back by the machine."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Measure:
    """Judge the window; in `canary` the canary against its control, in `validating` the service against itself."""

    window: Window


@dataclass(frozen=True, slots=True)
class Extend:
    """Neither better nor worse yet: make the window one length longer."""

    reason: str


Step = Wait | Move | Advise | ApplyReplica | ConfirmReplica | RestoreReplica | GiveUpReplica | Measure | Extend
