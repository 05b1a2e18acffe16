"""Expected effects by the calibrated model instead of published ranges, where the service's own data allow it."""

from dataclasses import replace

from recommender.metrics import VerificationMetric
from recommender.model import Direction, Evidence, Expectation
from recommender.playbooks.base import PlanContext
from recommender.playbooks.effects import predicted
from recommender.playbooks.proofs import CAPACITY
from recommender.sizing.predict import EngineShape, Prediction, StepModel, Workload, predict

_SOURCE = "predicted by the latency model fitted to this service's own day (tuning §2.3), error 15 % of the change"
_BUDGET = 1 << 20  # of a step, where it is unknown: it then bounds nothing, before or after


def of_batch_limit(
    evidence: Evidence, instance: str, requests: tuple[int, int], context: PlanContext
) -> dict[str, Expectation]:
    """Throughput and ITL of one replica at another batch limit, under the requests that are in the system now.

    Empty without a fitted model, or where lengths, load or KV capacity are unknown. The model has no term for
    prompts unless it was fitted, so TTFT is not predicted.
    """
    load, capacity = _load(evidence, instance), evidence.value(CAPACITY, instance)
    if context.itl is None or load is None or not capacity:
        return {}
    budget = context.configured("max_batched_tokens", instance)
    shape = EngineShape(requests[0], max(_BUDGET if budget is None else int(budget), *requests), capacity)
    step = StepModel(context.itl.alpha_seconds, context.itl.beta_seconds)
    try:
        before, after = (predict(replace(shape, max_running_requests=limit), step, load) for limit in requests)
    except ValueError:  # one such request alone does not fit: the model does not describe this engine
        return {}
    return _ratios(before, after)


def _load(evidence: Evidence, instance: str) -> Workload | None:
    prompt = evidence.value("replica:llm_request_prompt_tokens:mean_5m", instance)
    output = evidence.value("replica:llm_request_generation_tokens:mean_5m", instance)
    running = evidence.value("replica:llm_requests_running:avg2m", instance)
    waiting = evidence.value("replica:llm_requests_waiting:avg2m", instance)
    if prompt is None or output is None or running is None or waiting is None or running + waiting <= 0:
        return None
    hits = evidence.value("replica:llm_prefix_cache_hit:ratio_rate5m", instance)
    if min(prompt, output) < 1 or not 0 <= (hits or 0.0) <= 1:
        return None
    return Workload(prompt, output, clients=running + waiting, prefix_hit_ratio=hits or 0.0)


def _ratios(before: Prediction, after: Prediction) -> dict[str, Expectation]:
    found = {}
    if before.tokens_per_second > 0:
        ratio = after.tokens_per_second / before.tokens_per_second
        metric = VerificationMetric.GENERATION_TOKENS_RATE
        found[str(metric)] = predicted(metric, Direction.HIGHER, ratio, _SOURCE)
    if before.itl_p95_seconds > 0:
        ratio = after.itl_p95_seconds / before.itl_p95_seconds
        metric = VerificationMetric.ITL_P95_SECONDS
        found[str(metric)] = predicted(metric, Direction.LOWER, ratio, _SOURCE)
    return found
