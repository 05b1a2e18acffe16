"""The simulated vLLM (demo/engine) in virtual time: seeded traffic in, a metrics page at each scrape out."""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from demo.engine.config import EngineConfig, parse
from demo.engine.metrics import EngineMetrics
from demo.engine.model import EngineModel, FinishReason
from demo.engine.model import Sequence as EngineRequest
from demo.faults.traffic import Load, Request, Users
from exporters.catalog import Engine, load_engine
from exporters.exposition import Reader, Reading
from exporters.inference.mapping import Mapper

WARM_UP_SECONDS = 120.0
"""Virtual time before the first scrape, so that counters are not at zero and the batch is what the load makes it."""


@dataclass(frozen=True, slots=True)
class Phase:
    """From `since` on, seconds: another load, and steps `slower` times as long as the engine's own."""

    since: float
    load: Load
    slower: float = 1.0


@dataclass(frozen=True, slots=True)
class Setup:
    """How the engine is set. Its step takes `alpha + beta * requests + gamma * prompt tokens` milliseconds."""

    slots: int = 6
    blocks: int = 1200
    step_tokens: int = 2048
    alpha_ms: float = 54.0
    beta_ms: float = 1.0
    gamma_ms: float = 0.05
    prefix_caching: bool = True
    memory_fraction: float = 0.9

    def config(self) -> EngineConfig:
        """The engine's own configuration."""
        return parse(
            [
                f"--max-num-seqs={self.slots}",
                f"--max-num-batched-tokens={self.step_tokens}",
                f"--num-gpu-blocks-override={self.blocks}",
                f"--gpu-memory-utilization={self.memory_fraction}",
                f"--max-model-len={min(8192, (self.blocks - 2) * 16)}",
                f"--sim-step-alpha-ms={self.alpha_ms}",
                f"--sim-step-beta-ms={self.beta_ms}",
                f"--sim-prefill-gamma-us={self.gamma_ms * 1000}",
                "--enable-prefix-caching" if self.prefix_caching else "--no-enable-prefix-caching",
            ]
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One engine's life: equal runs give equal pages."""

    phases: tuple[Phase, ...]
    seed: int
    setup: Setup = Setup()


@lru_cache(maxsize=32)
def play(run: Run, scrapes: int, interval: float) -> tuple[Reading, ...]:
    """What the engine's page says at each scrape, of the series that the catalogue reads."""
    reader = Reader(Mapper(load_engine(Engine.VLLM)).wanted)
    return tuple(reader.read(text) for text in _Player(run).pages(scrapes, interval))


class _Player:
    def __init__(self, run: Run) -> None:
        self._run = run
        config = run.setup.config()
        self._model = EngineModel(config.limits)
        self._metrics = EngineMetrics(config)
        self._users = Users(run.seed, -WARM_UP_SECONDS)
        self._requests: dict[int, Request] = {}
        self._leaving: list[tuple[float, int, Request]] = []
        self._phases = list(run.phases)
        self._limits = config.limits

    def pages(self, scrapes: int, interval: float) -> Iterator[str]:
        """One page a scrape; a scrape in the middle of a step sees its batch."""
        now, taken = -WARM_UP_SECONDS, 0
        while taken < scrapes:
            self._arrive(now)
            ends = self._model.begin_step(now)
            until = self._next_event() if ends is None else ends
            while taken < scrapes and taken * interval < until:
                self._metrics.observe_state(self._model)
                yield self._metrics.exposition().decode()
                taken += 1
            if ends is not None:
                self._metrics.observe_step(step := self._model.finish_step())
                self._ended(step.finished)
            now = until

    def _next_event(self) -> float:
        return min(self._users.next_arrival(), self._phases[0].since if self._phases else math.inf)

    def _arrive(self, now: float) -> None:
        while self._phases and self._phases[0].since <= now:
            phase = self._phases.pop(0)
            self._users.become(phase.load, max(now, phase.since))
            step = self._limits
            self._model.limits = replace(
                step,
                step_alpha=step.step_alpha * phase.slower,
                step_beta=step.step_beta * phase.slower,
                prefill_gamma=step.prefill_gamma * phase.slower,
            )
        for request in self._users.due(now):
            self._submit(request)
        while self._leaving and self._leaving[0][0] <= now:
            self._give_up(heapq.heappop(self._leaving)[2], now)

    def _submit(self, request: Request) -> None:
        sequence, load = request.sequence, request.load
        if self._users.lot() < load.failing:
            self._metrics.finished[FinishReason.ERROR].inc()
            self._users.ended(request, sequence.arrived_at + 1)
            return
        self._model.submit(sequence)
        self._requests[id(sequence)] = request
        if load.patience is not None:
            heapq.heappush(self._leaving, (sequence.arrived_at + load.patience, id(sequence), request))

    def _give_up(self, request: Request, now: float) -> None:
        sequence = request.sequence
        if sequence.first_token_at is None and self._model.abort(sequence, now):
            self._metrics.observe_finished(sequence)
            self._ended((sequence,))

    def _ended(self, finished: Sequence[EngineRequest]) -> None:
        for sequence in finished:
            request = self._requests.pop(id(sequence))
            self._users.ended(request, sequence.finished_at or 0.0)
