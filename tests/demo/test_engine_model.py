"""The batching model: conservation, saturation, starvation, prefix cache, determinism."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.engine.blocks import BlockPool
from demo.engine.model import EngineModel, FinishReason, ModelLimits, Sequence, Step


def limits(**changes: object) -> ModelLimits:
    values = {"max_num_seqs": 8, "max_num_batched_tokens": 2048, "num_gpu_blocks": 1025, "block_size": 16}
    return ModelLimits(**(values | changes))


def sequence(name: str, prompt: int, output: int, *, at: float = 0.0, seed: int | None = None) -> Sequence:
    rng = random.Random(name if seed is None else seed)
    return Sequence(name, tuple(rng.randrange(4096) for _ in range(prompt)), output, at)


def run(model: EngineModel, until: float = 1e9, *, start: float = 0.0) -> list[Step]:
    """Step until there is nothing to do or `until`; the clock is the model's own."""
    steps = []
    now = start
    while now < until:
        ends = model.begin_step(now)
        if ends is None:
            break
        steps.append(model.finish_step())
        now = ends
    return steps


def test_a_lone_request_takes_prefill_then_one_step_a_token() -> None:
    model = EngineModel(limits())
    alone = sequence("a", prompt=100, output=10)
    model.submit(alone)
    steps = run(model)

    assert len(steps) == 10
    assert steps[0].computed_prompt_tokens == 100
    assert alone.first_token_at == pytest.approx(0.026 + 0.0004 + 100 * 0.00002)
    assert alone.finished_at == pytest.approx(alone.first_token_at + 9 * 0.0264)
    assert (alone.generated, alone.finish_reason) == (10, FinishReason.LENGTH)


def test_a_step_never_starts_before_a_request_in_it_arrived() -> None:
    model = EngineModel(limits())
    late = Sequence("a", (1, 2, 3), 1, arrived_at=5.0)
    model.submit(late)

    assert model.begin_step(4.9) == pytest.approx(5.0 + 0.0264 + 3 * 0.00002)
    assert late.scheduled_at == 5.0


def test_a_prompt_longer_than_the_token_budget_is_computed_in_chunks() -> None:
    model = EngineModel(limits(max_num_batched_tokens=64))
    model.submit(sequence("a", prompt=150, output=1))

    assert [step.scheduled_tokens for step in run(model)] == [64, 64, 22]


def test_without_chunked_prefill_a_prompt_waits_for_a_step_that_holds_it_whole() -> None:
    model = EngineModel(limits(max_num_batched_tokens=100, chunked_prefill=False))
    model.submit(sequence("a", prompt=60, output=1))
    model.submit(sequence("b", prompt=60, output=1))

    assert [step.scheduled_tokens for step in run(model)] == [60, 60]
    with pytest.raises(ValueError, match="chunked prefill is off"):
        model.submit(sequence("c", prompt=101, output=1))


@pytest.mark.parametrize("seqs", [4, 8, 16])
def test_saturated_throughput_is_batch_over_step_time(seqs: int) -> None:
    model = EngineModel(limits(max_num_seqs=seqs, prefill_gamma=0.0))
    for index in range(40 * seqs):
        model.submit(sequence(str(index), prompt=32, output=50))
    steps = run(model, until=30)
    rate = sum(len(step.tokens) for step in steps) / steps[-1].ended_at

    assert rate == pytest.approx(seqs / (0.026 + 0.0004 * seqs), rel=0.01)
    assert max(len(step.tokens) for step in steps) == seqs
    assert model.waiting


def test_a_starved_cache_thrashes_and_costs_throughput() -> None:
    def measure(blocks: int) -> tuple[float, EngineModel, float]:
        model = EngineModel(limits(max_num_seqs=16, num_gpu_blocks=blocks, prefix_caching=False))
        for index in range(48):
            model.submit(sequence(str(index), prompt=64, output=400))
        highest = 0.0
        now = 0.0
        while (ends := model.begin_step(now)) is not None:
            model.finish_step()
            highest = max(highest, model.pool.usage)
            now = ends
        return model.totals.generation_tokens / now, model, highest

    starved_rate, starved, usage = measure(121)
    roomy_rate, roomy, _ = measure(2049)

    assert starved.totals.preemptions > 20
    assert usage > 0.95
    assert roomy.totals.preemptions == 0
    assert starved_rate < 0.8 * roomy_rate
    assert starved.totals.generation_tokens == roomy.totals.generation_tokens == 48 * 400
    assert starved.totals.prompt_tokens == 48 * 64, "recomputation is not counted as prompt tokens again"


def test_preemption_takes_the_newest_request() -> None:
    model = EngineModel(limits(max_num_seqs=2, num_gpu_blocks=10, prefix_caching=False))
    older, newer = sequence("old", 64, 60), sequence("new", 64, 60)
    model.submit(older)
    model.submit(newer)
    run(model)

    assert (older.preemptions, newer.preemptions > 0) == (0, True)
    assert older.finished_at < newer.finished_at


def test_a_shared_prefix_is_computed_once_and_hit_in_whole_blocks() -> None:
    shared = tuple(range(512))
    model = EngineModel(limits())
    first = Sequence("a", (*shared, *range(900, 932)), 4, 0.0)
    model.submit(first)
    run(model)
    second = Sequence("b", (*shared, *range(950, 982)), 4, 1.0)
    model.submit(second)
    steps = run(model, start=1.0)

    assert (first.cached_tokens, second.cached_tokens) == (0, 512)
    assert steps[0].computed_prompt_tokens == 32
    assert (model.totals.prefix_queries, model.totals.prefix_hits) == (2 * 544, 512)


def test_an_identical_prompt_leaves_at_least_one_token_to_compute() -> None:
    model = EngineModel(limits())
    for name in ("a", "b"):
        model.submit(Sequence(name, tuple(range(64)), 2, 0.0))
        run(model)

    assert model.totals.prefix_hits == 48


def test_with_the_cache_off_nothing_is_queried_or_hit() -> None:
    model = EngineModel(limits(prefix_caching=False))
    for name in ("a", "b"):
        model.submit(Sequence(name, tuple(range(64)), 2, 0.0))
        run(model)

    assert (model.totals.prefix_queries, model.totals.prefix_hits) == (0, 0)


def test_the_least_recently_released_block_is_forgotten_first() -> None:
    pool = BlockPool(4, 16, caching=True)
    [old], [new] = pool.take((), 1), pool.take((), 1)
    pool.publish(old, 111)
    pool.publish(new, 222)
    pool.release([old])
    pool.release([new])
    pool.take((), 2)  # the never-used block, then the one released first

    assert (pool.match([111]), pool.match([222])) == ([], [new])


def test_an_abort_frees_its_slot_and_blocks_at_once_even_during_a_step() -> None:
    model = EngineModel(limits(max_num_seqs=1))
    gone, queued = sequence("a", 64, 100), sequence("b", 64, 3)
    model.submit(gone)
    model.submit(queued)
    model.begin_step(0.0)
    assert model.abort(gone, 0.01)
    model.finish_step()
    run(model, start=0.05)

    assert (gone.finish_reason, gone.generated) == (FinishReason.ABORT, 0)
    assert queued.finish_reason is FinishReason.LENGTH
    assert model.pool.used == 0
    assert not model.abort(gone, 9.0)


def test_a_sequence_that_would_stop_by_itself_says_stop() -> None:
    model = EngineModel(limits())
    talker = Sequence("a", (1, 2, 3), 50, 0.0, stop_after=7)
    model.submit(talker)
    run(model)

    assert (talker.generated, talker.finish_reason) == (7, FinishReason.STOP)


@pytest.mark.parametrize(("prompt", "output"), [(0, 5), (5, 0), (10_000, 10_000)])
def test_a_request_that_could_never_run_is_refused(prompt: int, output: int) -> None:
    with pytest.raises(ValueError, match="token"):
        EngineModel(limits(num_gpu_blocks=100)).submit(sequence("a", prompt, output))


work = st.lists(st.tuples(st.integers(1, 120), st.integers(1, 60)), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None)
@given(
    work=work,
    seqs=st.integers(1, 8),
    budget=st.integers(8, 256),
    blocks=st.integers(14, 60),
    caching=st.booleans(),
    aborted=st.sets(st.integers(0, 24), max_size=5),
)
def test_blocks_and_tokens_are_conserved_whatever_the_load(
    *, work: list[tuple[int, int]], seqs: int, budget: int, blocks: int, caching: bool, aborted: set[int]
) -> None:
    model = EngineModel(
        limits(max_num_seqs=seqs, max_num_batched_tokens=budget, num_gpu_blocks=blocks, prefix_caching=caching)
    )
    everything = [sequence(str(index), p, o, seed=index % 3) for index, (p, o) in enumerate(work)]
    for one in everything:
        model.submit(one)
    now, steps = 0.0, 0
    while (ends := model.begin_step(now)) is not None:
        if steps < len(everything) and steps in aborted:
            model.abort(everything[steps], now)
        step = model.finish_step()
        now, steps = ends, steps + 1
        held = {block for one in model.running for block in one.blocks}
        assert model.pool.used == len(held)
        assert model.pool.free + model.pool.used == model.pool.usable == blocks - 1
        assert len(model.running) <= seqs
        assert step.scheduled_tokens <= budget
        assert not any(one.blocks for one in model.waiting)

    assert model.pool.used == 0
    for one in everything:
        if one.finish_reason is not FinishReason.ABORT:
            assert (one.generated, one.finish_reason) == (one.max_tokens, FinishReason.LENGTH)
            assert one.arrived_at <= one.scheduled_at < one.first_token_at <= one.finished_at
    assert model.totals.generation_tokens == sum(one.generated for one in everything)


@settings(max_examples=20, deadline=None)
@given(work=work)
def test_the_text_of_a_request_does_not_depend_on_preemption_or_cache(work: list[tuple[int, int]]) -> None:
    def outputs(**changes: object) -> list[list[int]]:
        model = EngineModel(limits(**changes))
        everything = [sequence(str(index), p, o, seed=index) for index, (p, o) in enumerate(work)]
        for one in everything:
            model.submit(one)
        run(model)
        return [one.tokens for one in everything]

    assert outputs() == outputs(num_gpu_blocks=14, prefix_caching=False) == outputs(max_num_seqs=1)


def test_equal_runs_give_equal_steps() -> None:
    def steps() -> list[tuple]:
        model = EngineModel(limits(num_gpu_blocks=40))
        for index in range(20):
            model.submit(sequence(str(index), 50 + index, 30))
        return [(step.ended_at, step.scheduled_tokens, len(step.tokens)) for step in run(model)]

    assert steps() == steps()
