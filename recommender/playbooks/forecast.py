"""Expected effects by the calibrated model instead of published ranges, where the service's own data allow it."""

from dataclasses import dataclass, replace

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Direction, Evidence, Expectation
from recommender.playbooks.base import PlanContext
from recommender.playbooks.effects import predicted, published
from recommender.playbooks.proofs import CAPACITY
from recommender.sizing.predict import EngineShape, Prediction, StepModel, Workload, predict
from recommender.sizing.ranges import Ranged, Steps, predict_range

_SOURCE = "predicted by the model fitted to this service's own day (tuning §2.3), low to high end of its range"
_NO_BOUND = 1 << 20  # where a limit is unknown: it then bounds nothing, before or after

_LIMITS = frozenset({"max_running_requests", "max_batched_tokens"})


@dataclass(frozen=True, slots=True)
class Forecast:
    """The steady state of one replica before and after a change, under the requests that are in the system now.

    `unbounded` are limits that nobody tells: they are taken to bound nothing, before and after, and that is said.
    `prompts` says whether the step's time for prompts is known: without it first tokens are not predicted.
    """

    before: Prediction
    after: Ranged
    prompts: bool
    unbounded: tuple[str, ...] = ()

    def expectation(self, metric: VerificationMetric) -> Expectation | None:
        """The effect on one metric, as `optiinfra whatif` has it; None where the model does not tell it."""
        name = _FIGURES.get(metric)
        if name is None or (metric is VerificationMetric.TTFT_P95_SECONDS and not self.prompts):
            return None
        old, new = getattr(self.before, name), self.after.ranges[name]
        if not old or new.low is None or not new.mid or new.high is None:
            return None
        direction = Direction.HIGHER if metric is VerificationMetric.GENERATION_TOKENS_RATE else Direction.LOWER
        return predicted(metric, direction, (new.low / old, new.mid / old, new.high / old), self._source)

    @property
    def _source(self) -> str:
        unknown = " and ".join(self.unbounded)
        return f"{_SOURCE}; {unknown}, which nobody tells, taken to bound nothing" if unknown else _SOURCE


_FIGURES = {
    VerificationMetric.GENERATION_TOKENS_RATE: "tokens_per_second",
    VerificationMetric.ITL_P95_SECONDS: "itl_p95_seconds",
    VerificationMetric.TTFT_P95_SECONDS: "ttft_p95_seconds",
}


def expected(
    told: Forecast | None,
    metric: VerificationMetric,
    direction: Direction,
    ratios: tuple[float, float],
    source: str,
    *,
    context: PlanContext,
) -> Expectation:
    """The effect on a metric that the model tells; where it tells none, that of the published range."""
    return (told and told.expectation(metric)) or published(metric, direction, ratios, source, context)


def forecast(
    knob: str, change: tuple[float, float], evidence: Evidence, instance: str, context: PlanContext
) -> Forecast | None:
    """One knob from an old to a new value; None without a fitted model, or where load, lengths or KV are unknown."""
    step = context.step
    if step is None and context.itl is not None:
        step = StepModel(context.itl.alpha_seconds, context.itl.beta_seconds)
    load, capacity = _load(evidence, instance), evidence.value(CAPACITY, instance)
    if step is None or load is None or not capacity or knob not in _LIMITS:
        return None
    shape = EngineShape(
        max_running_requests=_limit("max_running_requests", instance, context),
        max_batched_tokens=_limit("max_batched_tokens", instance, context),
        kv_capacity_tokens=capacity,
    )
    try:
        before = predict(_with(shape, knob, int(change[0])), step, load)
        after = predict_range(_with(shape, knob, int(change[1])), Steps.of(step), load)
    except ValueError:  # one such request alone does not fit: the model does not describe this engine
        return None
    unbounded = tuple(name for name in sorted(_LIMITS - {knob}) if _limit(name, instance, context) == _NO_BOUND)
    return Forecast(before, after, prompts=step.gamma_seconds > 0, unbounded=unbounded)


def _with(shape: EngineShape, knob: str, value: int) -> EngineShape:
    if knob == "max_batched_tokens":
        return replace(shape, max_batched_tokens=value)
    return replace(shape, max_running_requests=value)


def breaks(
    knob: str, change: tuple[float, float], metric: VerificationMetric, evidence: Evidence, context: PlanContext
) -> str:
    """Why a change would break an objective on some replica that keeps it now, by the fitted model; else empty."""
    objective = evidence.objectives.get(metric)
    signal = _SIGNALS[metric]
    for instance in sorted(evidence.replica_readings):
        seen = evidence.value(signal, instance)
        told = forecast(knob, change, evidence, instance, context)
        effect = None if told is None else told.expectation(metric)
        if objective is None or seen is None or effect is None or effect.mid is None or seen > objective:
            continue
        if seen * effect.mid > objective:
            return (
                f"by the fitted model {signal.split(':')[1]} of {instance} would go from {figure(seen, 'seconds')} to "
                f"{figure(seen * effect.mid, 'seconds')}, over its objective of {figure(objective, 'seconds')}"
            )
    return ""


_SIGNALS = {
    VerificationMetric.TTFT_P95_SECONDS: "replica:llm_ttft_seconds:p95_5m",
    VerificationMetric.ITL_P95_SECONDS: "replica:llm_itl_seconds:p95_5m",
}


def _limit(name: str, instance: str, context: PlanContext) -> int:
    value = context.configured(name, instance)
    return int(value) if isinstance(value, int | float) and value >= 1 else _NO_BOUND


def _load(evidence: Evidence, instance: str) -> Workload | None:
    prompt = evidence.value("replica:llm_request_prompt_tokens:mean_5m", instance)
    output = evidence.value("replica:llm_request_generation_tokens:mean_5m", instance)
    running = evidence.value("replica:llm_requests_running:avg2m", instance)
    waiting = evidence.value("replica:llm_requests_waiting:avg2m", instance)
    if prompt is None or output is None or running is None or waiting is None or running + waiting <= 0:
        return None
    hits = evidence.value("replica:llm_prefix_cache_hit:ratio_rate5m", instance) or 0.0
    if min(prompt, output) < 1 or not 0 <= hits <= 1:
        return None
    return Workload(prompt, output, clients=running + waiting, prefix_hit_ratio=hits)
