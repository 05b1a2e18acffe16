"""The steady state of continuous batching: what an engine does under a load, from the time that its steps take.

A step takes alpha + beta·requests + gamma·prompt tokens + eta·KV tokens held (tuning §2.3, §2.4). Each request stays
for the steps of its prompt and one step for each further token, so Little's law (§2.5) ties batch, step and
throughput. The prompt budget of a step is a server that prompts pass one after another (`batch.batch_of`, mean value
analysis); slots, KV and the load bound the batch. Under a load below the limit the batch is a birth-death process
(`population`): steps share the engine evenly, so how lengths are spread does not change its states; the queue above
the limit does depend on it (Sakasegawa's factor (CV_a² + CV_s²)/2, §2.5, with Poisson arrivals).

`bench/sizing_bench.py` holds it to the simulated engine; docs/sizing.md has the table.
"""

from dataclasses import dataclass

from recommender.sizing.batch import Batch, Limit, batch_of, held_tokens, kv_tokens, largest_batch, shared_tokens
from recommender.sizing.load import EngineShape, Prediction, StepModel, Workload
from recommender.sizing.percentiles import FirstToken, step_tokens_quantile, ttft
from recommender.sizing.population import Population, population_of

__all__ = ["EngineShape", "Prediction", "StepModel", "Workload", "predict"]

_BUDGET_BOUND = 0.9  # share of the prompt budget in use from which it, rather than slots, is what limits


@dataclass(frozen=True, slots=True)
class _State:
    """One steady state: the mean batch, requests in it and before it, and where the load stands to the limit.

    `waiting` None: it grows. `queued` is the part of it that has not begun; `full` is the probability that a request
    finds the batch full; `high` is the batch that 95 % of the tokens are made in at most.
    """

    batch: Batch
    rate: float
    running: float
    waiting: float | None
    queued: float
    full: float
    high: float
    busy: float
    limit: Limit
    by: str


def predict(shape: EngineShape, step: StepModel, workload: Workload) -> Prediction:
    """What one replica of this shape does under this load once it has settled. Times in seconds, sizes in tokens.

    Raises ValueError where one request alone does not fit the KV cache, or its prompt an unchunked step.
    """
    limit = largest_batch(shape, workload)
    if workload.clients is not None:
        return _prediction(shape, step, workload, _closed(shape, step, workload, limit, workload.clients))
    return _prediction(shape, step, workload, _open(shape, step, workload, limit, workload.arrivals_per_second or 0.0))


def _closed(shape: EngineShape, step: StepModel, load: Workload, limit: Limit, clients: float) -> _State:
    full = clients >= limit.requests
    batch = batch_of(min(clients, limit.requests), shape, step, load, limit.again if full else None)
    waiting = max(0.0, clients - batch.running)
    by = _bound(limit, batch) if clients > limit.requests or batch.budget_used > _BUDGET_BOUND else "clients"
    return _State(
        batch=batch,
        rate=batch.requests_per_second,
        running=batch.running,
        waiting=waiting,
        queued=max(0.0, waiting - (limit.again.waiting if full else 0.0)),
        full=0.0 if by == "clients" else 1.0,
        high=batch.running,
        busy=0.0,  # clients come back at the end of a step, so none has to let one end
        limit=limit,
        by=by,
    )


def _open(shape: EngineShape, step: StepModel, load: Workload, limit: Limit, arrivals: float) -> _State:
    full = batch_of(limit.requests, shape, step, load, limit.again)
    if arrivals >= full.requests_per_second:
        running = full.running
        return _State(full, full.requests_per_second, running, None, 0.0, 1.0, running, 1.0, limit, _bound(limit, full))
    people: Population = population_of(
        lambda slots: full if slots >= limit.requests else batch_of(slots, shape, step, load), limit.requests, arrivals
    )
    queue = people.queue * (1 + load.output_cv**2) / 2
    mean = batch_of(max(1.0, people.running), shape, step, load)
    contended = max(0.0, people.mean - people.queue - people.running)
    return _State(
        batch=mean,
        rate=arrivals,
        running=people.running,
        waiting=queue + contended,
        queued=queue,
        full=people.full,
        high=people.high,
        busy=people.busy,
        limit=limit,
        by="arrivals",
    )


def _bound(limit: Limit, batch: Batch) -> str:
    return "max_batched_tokens" if batch.budget_used > _BUDGET_BOUND else limit.by


def _prediction(shape: EngineShape, step: StepModel, load: Workload, state: _State) -> Prediction:
    batch = state.batch
    each, shared = held_tokens(load, shape, batch.prefill_steps), shared_tokens(load, shape)
    kv = min(shape.kv_capacity_tokens, kv_tokens(state.running, each, shared, load.prefix_groups))
    times = state.limit.again.times * state.full
    decode = load.output_tokens - 1
    mean_step = state.running / state.rate / (decode + (1 + times) * batch.prefill_steps)
    paused = times * state.limit.again.waiting / max(1.0, decode) / state.rate if times else 0.0
    grows = state.waiting is None
    steps_seconds = batch.prefill_steps * step.seconds(max(1.0, batch.running), 0.0, kv)
    parts = _first_token(load, state, mean_step, steps_seconds, step.gamma_seconds)
    high_tokens = step_tokens_quantile(
        load.computed_prompt_tokens, load.prompt_cv, batch.completions_per_step, shape.max_batched_tokens, 0.95
    )
    return Prediction(
        running=state.running,
        waiting=state.waiting,
        kv_usage_ratio=kv / shape.kv_capacity_tokens,
        kv_tokens=kv,
        tokens_per_second=state.rate * load.output_tokens,
        requests_per_second=state.rate,
        ttft_p50_seconds=None if grows else ttft(parts, 0.50),
        ttft_p95_seconds=None if grows else ttft(parts, 0.95),
        itl_mean_seconds=mean_step + paused,
        itl_p95_seconds=max(mean_step, step.seconds(state.high, high_tokens, kv * state.high / state.running)),
        preemptions_per_request=times,
        limited_by=state.by,
    )


def _first_token(
    load: Workload, state: _State, mean_step: float, steps_seconds: float, token_seconds: float
) -> FirstToken:
    batch = state.batch
    return FirstToken(
        queue_probability=state.full,
        queue_seconds=state.queued / state.rate / state.full if state.full > 0 else 0.0,
        # A queue that is always there takes as many completions as it is long: the more, the more evenly they come.
        queue_cv=None if state.by == "arrivals" else 0.5 / max(1.0, state.queued) ** 0.5,
        in_progress_seconds=mean_step * state.busy,
        contention_seconds=0.0
        if state.waiting is not None and state.full >= 1
        else batch.prefill_wait_steps * mean_step,
        steps_seconds=steps_seconds,
        prompt_tokens=load.computed_prompt_tokens,
        prompt_cv=load.prompt_cv,
        prompts_per_step=batch.completions_per_step * max(0.0, 1 - 1 / batch.slots),
        token_seconds=token_seconds,
    )
