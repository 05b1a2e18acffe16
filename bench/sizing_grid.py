"""The grid of the sizing benchmark: configurations of the simulated engine, and what it does under them."""

import math
from dataclasses import dataclass, field

from demo.engine.model import EngineModel, ModelLimits, Sequence, Step
from demo.faults.traffic import Load, Request, Users
from recommender.sizing.load import EngineShape, StepModel, Workload

BLOCK = 16
_WARM = 0.25  # share of a run that is not measured: the batch fills, the cache warms


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration of the simulated engine and its load. Step terms in milliseconds."""

    name: str
    load: Load
    slots: int = 16
    budget: int = 2048
    blocks: int = 4000
    alpha_ms: float = 20.0
    beta_ms: float = 0.4
    gamma_ms: float = 0.03
    prefix_caching: bool = True
    chunked: bool = True
    requests: int = 1500

    def limits(self) -> ModelLimits:
        """As the simulator takes them."""
        return ModelLimits(
            max_num_seqs=self.slots,
            max_num_batched_tokens=self.budget,
            num_gpu_blocks=self.blocks,
            block_size=BLOCK,
            prefix_caching=self.prefix_caching,
            chunked_prefill=self.chunked,
            step_alpha=self.alpha_ms / 1000,
            step_beta=self.beta_ms / 1000,
            prefill_gamma=self.gamma_ms / 1000,
        )

    def shape(self) -> EngineShape:
        """As the model takes them; block 0 is never handed out."""
        return EngineShape(self.slots, self.budget, (self.blocks - 1) * BLOCK, BLOCK, self.chunked)

    def step(self) -> StepModel:
        """The simulator's own step."""
        return StepModel(self.alpha_ms / 1000, self.beta_ms / 1000, self.gamma_ms / 1000)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the simulator did after it had settled; the load as it came, its chance included."""

    workload: Workload
    running: float
    waiting: float
    kv_tokens: float
    tokens_per_second: float
    ttft_p50_seconds: float
    ttft_p95_seconds: float
    itl_mean_seconds: float
    itl_p95_seconds: float
    preemptions_per_request: float


def simulate(case: Case, seed: int = 7) -> Measured:
    """Play `case` until so many requests have ended."""
    return _Run(case, seed).measured()


@dataclass(slots=True)
class _Meter:
    """Integrals over time and samples since the run was warm."""

    since: float = 0.0
    until: float = 0.0
    running: float = 0.0
    waiting: float = 0.0
    blocks: float = 0.0
    tokens: int = 0
    arrived: list[Sequence] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    ttfts: list[float] = field(default_factory=list)
    ended: int = 0


class _Run:
    def __init__(self, case: Case, seed: int) -> None:
        self._case = case
        self._model = EngineModel(case.limits())
        self._users = Users(seed, 0.0)
        self._users.become(case.load, 0.0)
        self._of: dict[int, Request] = {}
        self._meter: _Meter | None = None
        self._preempted = 0

    def measured(self) -> Measured:
        model, now, ended = self._model, 0.0, 0
        while ended < self._case.requests:
            for request in self._users.due(now):
                model.submit(request.sequence)
                self._of[id(request.sequence)] = request
                if self._meter is not None:
                    self._meter.arrived.append(request.sequence)
            ends = model.begin_step(now)
            until = self._users.next_arrival() if ends is None else ends
            self._pass(now, until)
            if ends is not None:
                step = model.finish_step()
                ended += len(step.finished)
                self._count(step)
            now = until
            if self._meter is None and ended >= _WARM * self._case.requests:
                self._meter = _Meter(since=now)
                self._preempted = model.totals.preemptions
        assert self._meter is not None
        return self._result(self._meter, now)

    def _pass(self, now: float, until: float) -> None:
        meter = self._meter
        if meter is not None:
            time = until - now
            meter.running += len(self._model.running) * time
            meter.waiting += len(self._model.waiting) * time
            meter.blocks += self._model.pool.used * time

    def _count(self, step: Step) -> None:
        for sequence in step.finished:
            self._users.ended(self._of.pop(id(sequence)), step.ended_at)
        meter = self._meter
        if meter is None:
            return
        meter.ended += len(step.finished)
        meter.tokens += len(step.tokens)
        for token in step.tokens:
            if token.gap is None:
                meter.ttfts.append(step.ended_at - token.sequence.arrived_at)
            else:
                meter.gaps.append(token.gap)

    def _result(self, meter: _Meter, now: float) -> Measured:
        time = now - meter.since
        gaps, ttfts = sorted(meter.gaps), sorted(meter.ttfts)
        return Measured(
            workload=_workload(self._case, meter.arrived, time),
            running=meter.running / time,
            waiting=meter.waiting / time,
            kv_tokens=meter.blocks / time * BLOCK,
            tokens_per_second=meter.tokens / time,
            ttft_p50_seconds=_at(ttfts, 0.5),
            ttft_p95_seconds=_at(ttfts, 0.95),
            itl_mean_seconds=math.fsum(gaps) / len(gaps),
            itl_p95_seconds=_at(gaps, 0.95),
            preemptions_per_request=(self._model.totals.preemptions - self._preempted) / max(1, meter.ended),
        )


def _at(values: list[float], quantile: float) -> float:
    return values[min(len(values) - 1, int(quantile * len(values)))] if values else math.nan


def _workload(case: Case, arrived: list[Sequence], seconds: float) -> Workload:
    """Lengths and rate as they came; the hit ratio as the load is made: whole blocks of the shared beginning."""
    prompts, answers = [len(one.prompt) for one in arrived], [one.max_tokens for one in arrived]
    prompt, answer = _mean(prompts), _mean(answers)
    shared = case.load.shared // BLOCK * BLOCK if case.prefix_caching and case.load.groups else 0
    return Workload(
        prompt_tokens=prompt,
        output_tokens=answer,
        arrivals_per_second=len(arrived) / seconds if case.load.rate else None,
        clients=case.load.clients or None,
        prefix_hit_ratio=shared / prompt,
        prompt_cv=_spread(prompts) / prompt,
        output_cv=_spread(answers) / answer,
        prefix_groups=case.load.groups if shared else None,
    )


def _mean(values: list[int]) -> float:
    return math.fsum(values) / len(values)


def _spread(values: list[int]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
