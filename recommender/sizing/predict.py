"""The steady state of continuous batching: what an engine does under a load, from the time that its steps take.

A step takes alpha + beta·requests + gamma·prompt tokens + eta·KV tokens held (tuning §2.3, §2.4). Each request stays
for the steps of its prompt and one step for each further token, so Little's law (§2.5) ties batch, step and
throughput. The prompt budget of a step is a server that prompts pass one after another (`batch.batch_of`, mean value
analysis); slots, KV and the load bound the batch. Under a load below the limit the batch is a birth-death process
(`population`): steps share the engine evenly, so how lengths are spread does not change its states; the queue above
the limit does depend on it (Sakasegawa's factor (CV_a² + CV_s²)/2, §2.5, with Poisson arrivals).

`bench/sizing_bench.py` holds it to the simulated engine; docs/sizing.md has the table.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from recommender.sizing.batch import Batch, Limit, batch_of, held_tokens, kv_tokens, largest_batch, shared_tokens
from recommender.sizing.load import EngineShape, Prediction, StepModel, Workload
from recommender.sizing.percentiles import FirstToken, step_tokens_quantile, ttft
from recommender.sizing.population import Population, population_of

__all__ = ["EngineShape", "Prediction", "StepModel", "Workload", "predict", "slowest"]

_P95_BETWEEN = (0.90, 0.985)  # what a 95th percentile of prompts in a step may turn out to be
_BUDGET_BOUND = 0.9  # share of the prompt budget in use from which it, rather than slots, is what limits


@dataclass(frozen=True, slots=True)
class _State:
    """One steady state: the mean batch, requests in it and before it, and where the load stands to the limit.

    `waiting` None: it grows. `queued` is the part of it that has not begun; `full` is the probability that a request
    finds the batch full; `high` is the batch that 95 % of the tokens are made in at most; `in_progress_seconds` is the
    step that an arrival finds, and `neighbours` are the prompts that begin in the same step.
    """

    batch: Batch
    rate: float
    running: float
    waiting: float | None
    queued: float
    full: float
    high: float
    in_progress_seconds: float
    neighbours: float
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


def slowest(shape: EngineShape, steps: Iterable[StepModel], workload: Workload) -> Prediction:
    """The prediction by the step model that is slowest under this load: each of `steps` is a floor of the step's time.

    Raises ValueError as `predict` does.
    """
    found = [predict(shape, step, workload) for step in steps]
    return min(found, key=lambda one: (one.requests_per_second, -one.running, -one.itl_mean_seconds))


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
        in_progress_seconds=0.0,  # clients come back at the end of a step, so none has to let one end
        neighbours=batch.completions_per_step * max(0.0, 1 - 1 / batch.slots),
        limit=limit,
        by=by,
    )


def _open(shape: EngineShape, step: StepModel, load: Workload, limit: Limit, arrivals: float) -> _State:
    full = batch_of(limit.requests, shape, step, load, limit.again)
    if arrivals >= full.requests_per_second:
        return _State(
            batch=full,
            rate=full.requests_per_second,
            running=full.running,
            waiting=None,
            queued=0.0,
            full=1.0,
            high=full.running,
            in_progress_seconds=full.step_seconds,
            neighbours=full.completions_per_step,
            limit=limit,
            by=_bound(limit, full),
        )
    people = population_of(
        lambda slots: full if slots >= limit.requests else batch_of(slots, shape, step, load), limit.requests, arrivals
    )
    found, extra = _lumps(step, load, arrivals, people)
    # While every slot is taken there is no room for more.
    running = min(full.running, people.running + (1 - people.full) * extra)
    queue = people.queue * (1 + load.output_cv**2) / 2
    contended = max(0.0, people.mean - people.queue - people.running)
    return _State(
        batch=batch_of(max(1.0, running), shape, step, load),
        rate=arrivals,
        running=running,
        waiting=queue + contended + arrivals * found / 2,
        queued=queue,
        full=people.full,
        high=people.high,
        in_progress_seconds=found,
        neighbours=arrivals * found,
        limit=limit,
        by="arrivals",
    )


def _lumps(step: StepModel, load: Workload, arrivals: float, people: Population) -> tuple[float, float]:
    """The mean step that an arrival finds, seconds, and what prompts in one piece add to the mean batch, requests.

    A step with prompts is long, more prompts come during it, and their step is long again: as in a gated queue, with
    rho the share of time that prompts take, Var(T) = rho·gamma·E[p²]/E[p]·E[T]/(1 - rho²). Arrivals find a step of
    E[T] + Var(T)/E[T], and each begins with the prompts of those who came in the same one, of which the mean step
    knows nothing: rho·Var(T)/E[T] of prompt time that the time in the batch stretches for.
    """
    per_prompt = step.gamma_seconds * load.computed_prompt_tokens
    share = min(0.99, arrivals * per_prompt)
    lumps = share * per_prompt * (1 + load.prompt_cv**2) / (1 - share**2)
    mean = people.running / arrivals / load.output_tokens
    stretch = 1 - min(0.99, share + arrivals * step.beta_seconds * load.output_tokens)
    return people.busy * (mean + lumps), arrivals * share * lumps / stretch


def _bound(limit: Limit, batch: Batch) -> str:
    return "max_batched_tokens" if batch.budget_used > _BUDGET_BOUND else limit.by


def _prediction(shape: EngineShape, step: StepModel, load: Workload, state: _State) -> Prediction:
    batch = state.batch
    each, shared = held_tokens(load, shape, batch.prefill_steps), shared_tokens(load, shape)
    kv = min(shape.kv_capacity_tokens, kv_tokens(state.running, each, shared, load.prefix_groups))
    times = state.limit.again.times * state.full
    prefill = _prefill_seconds(shape, step, load, state, kv)
    passes, decode = 1 + times, max(1e-9, load.output_tokens - 1)
    itl = max(0.0, state.running / state.rate - passes * prefill) / decode if decode >= 1 else batch.step_seconds
    paused = times * state.limit.again.waiting / decode / state.rate if times else 0.0
    grows = state.waiting is None
    parts = _first_token(step, load, state, kv)
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
        itl_mean_seconds=itl + paused,
        itl_p95_seconds=max(itl, step.seconds(state.high, high_tokens, kv * state.high / state.running)),
        preemptions_per_request=times,
        limited_by=state.by,
        first_token=None if grows else parts,
        pause_seconds=paused,
        itl_p95_between=_itl_between(shape, step, load, state, kv),
    )


def _itl_between(shape: EngineShape, step: StepModel, load: Workload, state: _State, kv: float) -> tuple[float, float]:
    """ITL p95 were a step with prompts rarer, and were it more frequent and a preempted request computed in it too."""
    low, high = (
        step_tokens_quantile(
            load.computed_prompt_tokens,
            load.prompt_cv,
            state.batch.completions_per_step,
            shape.max_batched_tokens,
            quantile,
        )
        for quantile in _P95_BETWEEN
    )
    again = state.limit.again
    high = min(shape.max_batched_tokens, high + (2 * again.tokens if again.times * state.full > 0 else 0.0))
    held = kv * state.high / state.running
    return step.seconds(state.running, low, kv), step.seconds(state.high, high, held)


def _prefill_seconds(shape: EngineShape, step: StepModel, load: Workload, state: _State, kv: float) -> float:
    """From the begin of a prompt's first step to the end of its last, with the prompts beside it."""
    tokens = load.computed_prompt_tokens * (1 + state.neighbours)
    steps = state.batch.prefill_steps
    return steps * step.seconds(max(1.0, state.batch.running), min(tokens / steps, shape.max_batched_tokens), kv)


def _first_token(step: StepModel, load: Workload, state: _State, kv: float) -> FirstToken:
    batch = state.batch
    always = state.full >= 1
    return FirstToken(
        queue_probability=state.full,
        queue_seconds=state.queued / state.rate / state.full if state.full > 0 else 0.0,
        # A queue that is always there takes as many completions as it is long: the more, the more evenly they come.
        queue_cv=None if state.by == "arrivals" else 0.5 / max(1.0, state.queued) ** 0.5,
        in_progress_seconds=state.in_progress_seconds,
        contention_seconds=0.0 if always else batch.prefill_wait_steps * batch.step_seconds,
        steps_seconds=batch.prefill_steps * step.seconds(max(1.0, batch.running), 0.0, kv),
        prompt_tokens=load.computed_prompt_tokens,
        prompt_cv=load.prompt_cv,
        prompts_per_step=state.neighbours,
        token_seconds=step.gamma_seconds,
        step_seconds=step.seconds(max(1.0, batch.running), 0.0, kv),
    )
