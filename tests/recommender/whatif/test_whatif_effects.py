"""What knobs of hardware, precision and speculation are predicted to do: ranges with sources, or nothing at all."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.sizing_grid import Case, simulate
from demo.faults.traffic import Load
from recommender.gpus import GPUS
from recommender.model import Evidence, KnobValue
from recommender.playbooks import PlanContext
from recommender.sizing.fit import FittedStep
from recommender.sizing.load import StepModel
from recommender.sizing.ranges import Steps
from recommender.sizing.result import NotApplicable
from recommender.sizing.step_effects import Factor, StepEffect, fewer_bits, graphs, pipeline_parallel, tensor_parallel
from recommender.whatif import LoadWish, WhatIf, Wish, what_if
from recommender.whatif.text import markdown, text
from tests.recommender.brain_core.conftest import make_evidence
from tests.recommender.whatif.test_whatif import context, facts, of, signals

# 8B in BF16 on an H100 (tuning §2.2, §2.4) with 40 clients on 32 slots.
CASE = Case(
    "h100",
    Load(clients=40, prompt=500, answer=100),
    slots=32,
    budget=8192,
    blocks=24_400,
    alpha_ms=6.4,
    beta_ms=0.065,
    gamma_ms=0.032,
    requests=500,
)
SPEEDS: dict[str, KnobValue] = {"speculative_decoding": "ngram", "speculative_tokens": 3}
KNOWN: list[dict[str, KnobValue]] = [
    {"tensor_parallel_size": 2},
    {"pipeline_parallel_size": 2},
    {"weight_quantization": "fp8"},
    {"kv_cache_dtype": "fp8"},
    SPEEDS,
]


@pytest.fixture(scope="module")
def measured() -> Evidence:
    return make_evidence(signals(CASE, simulate(CASE)), objectives={"ttft_p95_seconds": 0.5, "itl_p95_seconds": 0.02})


def h100(**more: object) -> PlanContext:
    return context(facts=facts(**more), max_batched_tokens=8192, max_running_requests=32)


def ask(evidence: Evidence, wish: Mapping[str, KnobValue], given: PlanContext | None = None, **load: float) -> WhatIf:
    step = FittedStep(CASE.step(), 1000, 0.01, {})
    return what_if(Wish(settings=dict(wish), load=LoadWish(**load)), evidence, given or h100(), step)


def after(answer: WhatIf, name: str = "tokens_per_second") -> tuple[float, float, float]:
    """Low, likely and high of what is predicted, over what is predicted now."""
    found = of(answer, name)
    now = found["now"]
    assert now
    ends = found["after_low"], found["after"], found["after_high"]
    low, mid, high = (0.0 if end is None else end / now for end in ends)
    assert 0 < low <= mid <= high
    return low, mid, high


@pytest.mark.parametrize("wish", KNOWN)
def test_where_facts_are_known_there_is_a_range_with_its_source(measured: Evidence, wish: dict[str, KnobValue]) -> None:
    answer = ask(measured, wish)
    after(answer)
    assert any("tuning" in setting.effect or "P06" in setting.effect for setting in answer.settings)
    for metric in answer.metrics:
        assert metric.after is not None, metric.name
        assert metric.after_low is not None
        assert metric.after_low <= metric.after <= (metric.after_high or metric.after), metric.name
    assert answer.limited_by_after is not None


@pytest.mark.parametrize("wish", KNOWN)
def test_without_facts_there_is_no_figure_but_questions(measured: Evidence, wish: dict[str, KnobValue]) -> None:
    blind = context(max_batched_tokens=8192, max_running_requests=32)
    answer = ask(measured, wish, blind)
    assert all(metric.after is None and metric.expected is None for metric in answer.metrics)
    assert answer.asks
    assert any("unknown" in note for note in answer.notes)
    assert "unknown" in text(answer)


def test_data_parallel_ranks_are_not_predicted_as_if_they_were_one_engine(measured: Evidence) -> None:
    ranks = replace(h100(), declared={**h100().declared, "data_parallel_size": 2})
    answer = ask(measured, {"max_running_requests": 64}, ranks)
    assert answer.metrics == ()
    assert any("2 data-parallel ranks" in note for note in answer.notes)


def test_published_effects_lie_inside_the_ranges(measured: Evidence) -> None:
    low, likely, high = after(ask(measured, {"weight_quantization": "fp8"}))
    assert low < 1.37 < likely < 1.6 < high  # tuning §2.7: 1.37 to 1.6 times the throughput
    low, _, high = after(ask(measured, SPEEDS))
    assert low < 1.38 < high  # EAGLE-3 at 64 requests; 1.66 at 16
    low, _, high = after(ask(measured, {"tensor_parallel_size": 2}), "itl_mean_seconds")
    assert low < 0.55  # P06 no. 6: 0.55 to 0.65
    assert high > 0.65
    doubled = of(ask(measured, {"kv_cache_dtype": "fp8"}), "kv_usage_ratio")
    assert (doubled["after"] or 0.0) == pytest.approx((doubled["now"] or 0.0) / 2, rel=0.02)


def test_acceptance_that_is_measured_goes_before_what_is_published() -> None:
    told = signals(CASE, simulate(CASE)) | {
        "replica:llm_spec_draft_tokens:rate5m": 300.0,
        "replica:llm_spec_accepted_tokens:rate5m": 30.0,
    }
    drafting = replace(h100(), declared={**h100().declared, **SPEEDS})
    answer = ask(make_evidence(told), {"speculative_decoding": "none"}, drafting)
    assert "as measured" in answer.settings[0].effect
    assert after(answer)[1] > 0.8  # hardly anything is accepted: hardly anything is lost


def test_more_kv_in_host_memory_is_worth_what_is_then_found(measured: Evidence) -> None:
    wish = {"kv_offload_bytes": 2**33}
    assert "prefix_hit_ratio" in {one.fact for one in ask(measured, wish).asks}
    assert after(ask(measured, wish, prefix_hit_ratio=0.5))[1] > 1.1


def test_an_objective_is_surely_met_only_where_all_of_the_range_meets_it(measured: Evidence) -> None:
    found = {name: of(ask(measured, {"max_running_requests": 64}), name) for name in ("ttft_p95_seconds",)}
    assert found["ttft_p95_seconds"]["objective_met"] == "yes"
    likely = of(ask(measured, {"weight_quantization": "fp8"}), "ttft_p95_seconds")
    assert likely["objective_met"] == "likely"
    assert (likely["expected"] or 1.0) < 0.5 < (likely["expected_high"] or 0.0)
    shown = text(ask(measured, {"weight_quantization": "fp8"}))
    assert "likely met" in shown
    assert "effect on a step: roofline of the two types" in shown


def test_markdown_shows_hostile_names_as_text(measured: Evidence) -> None:
    hostile = ask(measured, {"max_running_requests": 64}).model_copy(update={"service": "a|b](http://x) <i>`"})
    shown = markdown(hostile)
    assert shown.startswith("a\\|b\\](http:\\/\\/x) \\<i\\>\\`, replica")
    assert "| range | objective |" in shown


STEPS = Steps.of(StepModel(0.01, 0.0001, 0.00003, 1e-8))


@given(st.sampled_from(sorted(GPUS)), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=80)
def test_more_gpus_never_slow_a_step_down_at_best_and_the_same_change_nothing(gpu: str, old: int, new: int) -> None:
    for found in (tensor_parallel(GPUS[gpu], (old, new)), pipeline_parallel((old, new))):
        assert isinstance(found, StepEffect)
        for factor in (found.alpha, found.beta, found.gamma, found.eta):
            assert 0 < factor.fast <= factor.likely <= factor.slow
            if new == old:
                assert (factor.fast, factor.slow) == (1.0, 1.0)
            elif new > old:
                assert factor.fast <= 1
                assert factor.fast >= (0.9 if factor is found.alpha else 0.3) * old / new
            else:
                assert factor.slow >= 1
        moved = found.on(STEPS)
        for fast, slow in zip(moved.fast, moved.slow, strict=True):
            assert fast.seconds(16, 100, 5000) <= slow.seconds(16, 100, 5000)


def test_of_degrees_that_nobody_measured_nothing_is_said() -> None:
    assert isinstance(tensor_parallel(GPUS["l40s"], (1, 3)), NotApplicable)
    assert isinstance(tensor_parallel(GPUS["h100_sxm"], (8, 16)), NotApplicable)
    assert isinstance(pipeline_parallel((1, 3)), NotApplicable)


@given(st.floats(0.1, 10), st.floats(0.3, 1.0))
def test_fewer_bits_gain_between_what_bytes_allow_and_what_was_seen(ratio: float, published: float) -> None:
    found = fewer_bits(ratio, published)
    assert found.fast <= found.likely <= found.slow
    assert (found.fast if ratio < 1 else found.slow) == pytest.approx(ratio)


def test_graphs_count_only_where_the_batch_lies_between_the_two_sizes() -> None:
    assert graphs(16, 64, running=8).alpha == Factor()
    assert graphs(16, 64, running=32).alpha.likely < 1
    assert graphs(64, 16, running=32).alpha.likely > 1


@pytest.mark.parametrize("fact", ["model", "gpu", "weight_dtype", "kv_dtype", "tensor_parallel"])
@pytest.mark.parametrize("wish", [one for one in KNOWN if one is not SPEEDS])
def test_a_missing_fact_is_asked_for_and_nothing_is_predicted_by_the_others(
    measured: Evidence, wish: dict[str, KnobValue], fact: str
) -> None:
    given = h100(**{fact: None})
    given = replace(given, declared={"pipeline_parallel_size": 1, **given.declared})
    answer = ask(measured, wish, given)
    assert all(metric.after is None and not metric.grows for metric in answer.metrics)
    assert fact in {one.fact for one in answer.asks}


@given(st.sampled_from(["max_running_requests", "kv_cache_memory_fraction"]), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_more_slots_and_more_memory_never_lower_throughput(knob: str, first: int, second: int) -> None:
    few, many = sorted((first, second))
    values = (few, many) if knob == "max_running_requests" else (0.85 + few / 1000, 0.85 + many / 1000)
    rates = [of(ask(EVIDENCE, {knob: value}), "tokens_per_second")["after"] for value in values]
    assert rates[0] is not None
    assert rates[1] is not None
    assert rates[1] >= rates[0] * (1 - 1e-6)


EVIDENCE = make_evidence(signals(CASE, simulate(replace(CASE, requests=200))))
