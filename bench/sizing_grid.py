"""The grid of the sizing benchmark: configurations of the simulated engine, and what it does under them."""

import math
from dataclasses import dataclass, field, replace

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


def grid() -> tuple[Case, ...]:
    """All configurations, by what they stress."""
    return (*_slots(), *_arrivals(), *_budgets(), *_kv(), *_sharing(), *_engines())


def _slots() -> tuple[Case, ...]:
    """Closed loops below, at and above the slots."""
    return (
        Case("slots 1, clients 1", Load(clients=1, prompt=200, answer=50), slots=1, requests=400),
        Case("slots 1, clients 3", Load(clients=3, prompt=200, answer=50), slots=1, requests=400),
        Case("slots 4, clients 3", Load(clients=3, prompt=120, answer=60), slots=4, requests=800),
        Case("slots 4, clients 12", Load(clients=12, prompt=120, answer=60), slots=4, requests=800),
        Case("slots 16, clients 16", Load(clients=16, prompt=200, answer=50)),
        Case("slots 16, clients 40", Load(clients=40, prompt=200, answer=50)),
        Case("slots 16, long answers", Load(clients=24, prompt=60, answer=250), requests=700),
        Case("slots 16, answers of 8", Load(clients=24, prompt=200, answer=8)),
        Case("slots 64, clients 48", Load(clients=48, prompt=200, answer=50), slots=64),
        Case("slots 64, clients 100", Load(clients=100, prompt=200, answer=50), slots=64),
        Case("slots 128, clients 200", Load(clients=200, prompt=150, answer=40), slots=128, budget=4096),
        Case("slots 256, clients 256", Load(clients=256, prompt=100, answer=30), slots=256, budget=4096),
        Case("slots 16, equal lengths", Load(clients=24, prompt=200, answer=50, spread=0)),
        Case("slots 16, lengths ±90 %", Load(clients=24, prompt=200, answer=50, spread=0.9)),
    )


def _arrivals() -> tuple[Case, ...]:
    """Open loops from nearly idle to a queue that grows."""
    return (
        Case("arrivals, nearly idle", Load(rate=0.2, prompt=200, answer=50), requests=800),
        Case("arrivals, a tenth", Load(rate=1.0, prompt=200, answer=50)),
        Case("arrivals, a third", Load(rate=4.0, prompt=200, answer=50)),
        Case("arrivals, two thirds", Load(rate=7.5, prompt=200, answer=50), requests=3000),
        Case("arrivals, 0.8", Load(rate=9.0, prompt=200, answer=50), requests=4000),
        Case("arrivals, 0.9", Load(rate=10.2, prompt=200, answer=50), requests=6000),
        Case("arrivals, too many", Load(rate=14.0, prompt=200, answer=50)),
        Case("arrivals, equal lengths", Load(rate=7.5, prompt=200, answer=50, spread=0), requests=3000),
        Case("arrivals, lengths ±90 %", Load(rate=7.5, prompt=200, answer=50, spread=0.9), requests=3000),
        Case("arrivals, 4 slots, 0.75", Load(rate=2.4, prompt=120, answer=60), slots=4, requests=3000),
        Case("arrivals, 1 slot, 0.7", Load(rate=0.62, prompt=200, answer=50), slots=1, requests=4000),
        Case("arrivals, 64 slots, 0.8", Load(rate=19.0, prompt=200, answer=50), slots=64, requests=4000),
        Case("arrivals, long prompts", Load(rate=2.5, prompt=1500, answer=50), slots=32, requests=1500),
    )


def _budgets() -> tuple[Case, ...]:
    """Prompts that share the token budget of a step."""
    return (
        Case("budget 256, prompts 800", Load(clients=16, prompt=800, answer=50), budget=256),
        Case("budget 256, more clients", Load(clients=40, prompt=800, answer=50), budget=256, slots=32),
        Case("budget 512, prompts 1500", Load(clients=32, prompt=1500, answer=40), budget=512, slots=32, requests=800),
        Case("budget 512, few clients", Load(clients=6, prompt=1500, answer=40), budget=512, slots=32, requests=800),
        Case("budget just enough", Load(clients=20, prompt=800, answer=50), budget=256, slots=32),
        Case("budget just enough, equal", Load(clients=17, prompt=800, answer=50, spread=0), budget=256, slots=32),
        Case("budget 512, answers of 20", Load(clients=9, prompt=1000, answer=20), budget=512, slots=64),
        Case("budget 128, prompts 300", Load(clients=12, prompt=300, answer=60), budget=128, slots=16),
        Case("budget 64, prompts 300", Load(clients=20, prompt=300, answer=30), budget=64, slots=16),
        Case("budget 1024, prompts 3000", Load(clients=16, prompt=3000, answer=100), budget=1024, requests=500),
        Case("budget = slots", Load(clients=20, prompt=40, answer=60), budget=16),
        Case("budget 256, arrivals", Load(rate=4.5, prompt=800, answer=50), budget=256, slots=64, requests=3000),
        Case("budget 512, arrivals", Load(rate=3.5, prompt=1500, answer=40), budget=512, slots=64, requests=2000),
        Case("budget 1024, not chunked", Load(clients=24, prompt=500, answer=50), budget=1024, chunked=False),
        Case("budget 2048, not chunked", Load(rate=5, prompt=600, answer=50), chunked=False, requests=2000),
    )


def _kv() -> tuple[Case, ...]:
    """KV that fills, with and without what preemption costs."""
    few = Case("", Load(), slots=40, requests=800)
    return (
        replace(few, name="KV, answers over prompts", load=Load(clients=40, prompt=50, answer=200), blocks=200),
        replace(
            few,
            name="KV, no prefix cache",
            load=Load(clients=40, prompt=50, answer=200),
            blocks=200,
            prefix_caching=False,
        ),
        replace(few, name="KV, prompts 1, answers 8", load=Load(clients=40, prompt=25, answer=200), blocks=150),
        replace(few, name="KV, prompts = answers", load=Load(clients=40, prompt=100, answer=100), blocks=200),
        replace(few, name="KV, prompts over answers", load=Load(clients=40, prompt=400, answer=40), blocks=300),
        replace(few, name="KV, equal lengths", load=Load(clients=40, prompt=400, answer=40, spread=0), blocks=300),
        replace(
            few, name="KV, equal, long answers", load=Load(clients=40, prompt=60, answer=180, spread=0), blocks=240
        ),
        replace(few, name="KV, holds 4 requests", load=Load(clients=12, prompt=600, answer=120), blocks=180),
        replace(
            few, name="KV, prompt over budget", load=Load(clients=40, prompt=900, answer=60), blocks=500, budget=512
        ),
        Case("KV, arrivals, half full", Load(rate=3, prompt=400, answer=80), blocks=300, slots=40),
        Case("KV, arrivals, 0.85", Load(rate=4.3, prompt=400, answer=80), blocks=300, slots=40, requests=4000),
        Case("KV, arrivals, too many", Load(rate=12, prompt=400, answer=80), blocks=300, slots=40),
        replace(
            few, name="KV, costly prompts", load=Load(clients=30, prompt=300, answer=200), blocks=300, gamma_ms=0.2
        ),
        Case("KV, nearly enough", Load(clients=32, prompt=200, answer=100), blocks=560, slots=32),
    )


def _sharing() -> tuple[Case, ...]:
    """Prompts with shared beginnings."""
    return (
        Case("shared 512, 4 groups", Load(clients=16, prompt=100, answer=50, shared=512, groups=4)),
        Case("shared 512, 1 group", Load(clients=16, prompt=60, answer=50, shared=512, groups=1)),
        Case("shared 512, 64 groups", Load(rate=4, prompt=100, answer=50, shared=512, groups=64)),
        Case("shared 200, 8 groups", Load(clients=32, prompt=100, answer=60, shared=200, groups=8), slots=24),
        Case("shared 1024, budget 256", Load(clients=24, prompt=300, answer=40, shared=1024, groups=4), budget=256),
        Case(
            "shared 256, KV full", Load(clients=40, prompt=60, answer=120, shared=256, groups=4), slots=40, blocks=240
        ),
        Case("shared, cache off", Load(clients=16, prompt=100, answer=50, shared=512, groups=4), prefix_caching=False),
    )


def _engines() -> tuple[Case, ...]:
    """Steps as other machines take them: an H100 with 8B (tuning §2.2, §2.4), an A100 (§2.3), one that is slow."""
    h100 = Case("", Load(), slots=256, budget=8192, blocks=25000, alpha_ms=6.4, beta_ms=0.065, gamma_ms=0.032)
    a100 = Case("", Load(), slots=48, alpha_ms=20.58, beta_ms=0.41, gamma_ms=0.06)
    slow = Case("", Load(), slots=6, blocks=1200, alpha_ms=54.0, beta_ms=1.0, gamma_ms=0.05)
    return (
        replace(h100, name="H100, clients 64", load=Load(clients=64, prompt=500, answer=60)),
        replace(h100, name="H100, arrivals", load=Load(rate=25, prompt=500, answer=60), requests=4000),
        replace(h100, name="H100, prompts 2000", load=Load(rate=8, prompt=2000, answer=40), budget=2048, requests=5000),
        replace(a100, name="A100, clients 48", load=Load(clients=48, prompt=300, answer=60)),
        replace(a100, name="A100, arrivals", load=Load(rate=6, prompt=600, answer=60), slots=64, requests=2500),
        replace(slow, name="slow, 6 slots, full", load=Load(clients=20, prompt=100, answer=40)),
        replace(slow, name="slow, 6 slots, arrivals", load=Load(rate=1.5, prompt=100, answer=40), requests=3000),
    )
