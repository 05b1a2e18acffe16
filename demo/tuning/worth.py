"""What a configuration is worth: requests per second that keep the objectives, in virtual time."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from demo.engine.model import EngineModel, Step
from demo.faults.traffic import Load, Users
from demo.tuning.configuration import Configuration, StepTime

WARM_UP_SECONDS = 60.0
MEASURED_SECONDS = 240.0
_GAPS_IN_TIME = 0.95  # of a request's gaps: the objective is a p95


@dataclass(frozen=True, slots=True)
class Work:
    """What users ask of one replica, what its hardware takes for it, and what was promised. Seconds."""

    name: str
    load: Load
    step: StepTime = field(default_factory=StepTime)
    ttft_seconds: float = 2.0
    itl_seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class Worth:
    """Of one replica: good requests per second, and the quantiles that the objectives are about."""

    goodput: float
    ttft_p95_seconds: float
    itl_p95_seconds: float
    tokens_per_second: float

    def broken(self, work: Work) -> tuple[str, ...]:
        """The objectives that are missed."""
        pairs = (("ttft", self.ttft_p95_seconds, work.ttft_seconds), ("itl", self.itl_p95_seconds, work.itl_seconds))
        return tuple(name for name, value, objective in pairs if value > objective)


@dataclass(slots=True)
class _Request:
    arrived_at: float
    ttft: float = math.inf
    gaps: list[float] = field(default_factory=list)
    finished: bool = False


@cache
def worth(configuration: Configuration, work: Work, seed: int) -> Worth:
    """Play the engine under its load. A configuration with which it would not start is worth nothing."""
    try:
        config = configuration.setup(work.step).config()
    except ValueError:
        return Worth(0.0, math.inf, math.inf, 0.0)
    model, users = EngineModel(config.limits), Users(seed, 0.0)
    users.become(work.load, 0.0)
    requests: dict[str, _Request] = {}
    now, end = 0.0, WARM_UP_SECONDS + MEASURED_SECONDS
    while now < end:
        for request in users.due(now):
            model.submit(request.sequence)
            requests[request.sequence.id] = _Request(request.sequence.arrived_at)
        ends = model.begin_step(now)
        if ends is None:
            now = users.next_arrival()
            continue
        _observe(model.finish_step(), requests)
        now = ends
    return _worth(requests.values(), work)


def _observe(step: Step, requests: dict[str, _Request]) -> None:
    for token in step.tokens:
        request = requests[token.sequence.id]
        if token.gap is None:
            request.ttft = step.ended_at - request.arrived_at
        else:
            request.gaps.append(token.gap)
    for sequence in step.finished:
        requests[sequence.id].finished = True


def _worth(requests: Iterable[_Request], work: Work) -> Worth:
    """Judged by those that arrive after the warm-up, and early enough to be ended in time."""
    latest = WARM_UP_SECONDS + MEASURED_SECONDS - work.ttft_seconds - work.load.answer * 1.5 * work.itl_seconds
    judged = [one for one in requests if WARM_UP_SECONDS <= one.arrived_at <= latest]
    gaps = [gap for one in judged for gap in one.gaps]
    seconds = latest - WARM_UP_SECONDS
    return Worth(
        goodput=sum(_good(one, work) for one in judged) / seconds,
        ttft_p95_seconds=_p95([one.ttft for one in judged]),
        itl_p95_seconds=_p95(gaps),
        tokens_per_second=len(gaps) / seconds,
    )


def _good(request: _Request, work: Work) -> bool:
    if not request.finished or request.ttft > work.ttft_seconds:
        return False
    in_time = sum(gap <= work.itl_seconds for gap in request.gaps)
    return in_time >= _GAPS_IN_TIME * len(request.gaps)


def _p95(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else math.inf
