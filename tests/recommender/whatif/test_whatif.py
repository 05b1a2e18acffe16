"""What-ifs: of a simulated engine whose next state is played too, and of services that little is known of."""

from dataclasses import replace

import pytest

from bench.sizing_grid import Case, Measured, simulate
from demo.faults.traffic import Load
from recommender.errors import NotFound, Refused
from recommender.facts import ServiceFacts
from recommender.gpus import GPUS
from recommender.knobs import load
from recommender.model import Evidence, KnobValue
from recommender.models import common_model
from recommender.playbooks import PlanContext
from recommender.sizing import NotApplicable
from recommender.sizing.fit import FittedStep
from recommender.whatif import LoadWish, WhatIf, Wish, what_if
from recommender.whatif.text import text
from tests.recommender.brain_core.conftest import make_evidence

NARROW = Case("narrow", Load(clients=40, prompt=200, answer=50), slots=16, blocks=24_400, requests=900)
NO_FIT = NotApplicable("fewer than 200 points over a fourfold range of running requests")
LLAMA = common_model("meta-llama/Llama-3.1-8B-Instruct")


def fitted(case: Case = NARROW) -> FittedStep:
    """The simulator's own step, as a fit of its history would give it."""
    return FittedStep(case.step(), 1000, 0.01, {})


def signals(case: Case, measured: Measured) -> dict[str, float]:
    """What the rules record of a replica that does this."""
    load = measured.workload
    return {
        "replica:llm_up": 1.0,
        "replica:llm_requests_running:avg2m": measured.running,
        "replica:llm_requests_waiting:avg2m": measured.waiting,
        "replica:llm_requests_waiting:min2m": max(0.0, measured.waiting - 4),
        "replica:llm_kv_cache_usage:avg2m": measured.kv_tokens / case.shape().kv_capacity_tokens,
        "replica:llm_kv_cache_capacity_tokens": case.shape().kv_capacity_tokens,
        "replica:llm_tokens_per_running_request:avg5m": measured.kv_tokens / measured.running,
        "replica:llm_max_running_requests": float(case.slots),
        "replica:llm_generation_tokens:rate5m": measured.tokens_per_second,
        "replica:llm_requests:rate5m": measured.tokens_per_second / load.output_tokens,
        "replica:llm_ttft_seconds:p95_5m": measured.ttft_p95_seconds,
        "replica:llm_itl_seconds:mean_5m": measured.itl_mean_seconds,
        "replica:llm_itl_seconds:p95_5m": measured.itl_p95_seconds,
        "replica:llm_request_prompt_tokens:mean_5m": load.prompt_tokens,
        "replica:llm_request_generation_tokens:mean_5m": load.output_tokens,
        "replica:llm_prefix_cache_hit:ratio_rate5m": 0.0,
    }


@pytest.fixture(scope="module")
def narrow() -> Evidence:
    return make_evidence(signals(NARROW, simulate(NARROW)), objectives={"ttft_p95_seconds": 0.5})


def context(version: str | None = "0.32.0", facts: ServiceFacts | None = None, **declared: KnobValue) -> PlanContext:
    """A vLLM of which the inventory tells its token budget."""
    return PlanContext(
        service="chat",
        engine="vllm",
        engine_version=version,
        knobs=load("vllm").at(version),
        declared={"max_batched_tokens": 2048, "kv_cache_memory_fraction": 0.9, **declared},
        facts=facts or ServiceFacts(),
    )


def facts(**more: object) -> ServiceFacts:
    """8B in BF16 on one H100."""
    known = ServiceFacts(
        model=LLAMA, gpu=GPUS["h100_sxm"], gpus_per_replica=1, tensor_parallel=1, weight_dtype="bf16", kv_dtype="bf16"
    )
    return replace(known, **more)  # type: ignore[arg-type]  # names and types of its own fields


def of(answer: WhatIf, name: str) -> dict[str, float | None]:
    """One figure of an answer."""
    return next(metric.model_dump() for metric in answer.metrics if metric.name == name)


def test_the_expected_figures_are_those_that_the_simulator_then_shows(narrow: Evidence) -> None:
    answer = what_if(Wish(settings={"max_running_requests": 32}), narrow, context(), fitted())
    then = simulate(replace(NARROW, slots=32))
    assert answer.settings[0].engine_new == 32
    assert of(answer, "tokens_per_second")["expected"] == pytest.approx(then.tokens_per_second, rel=0.15)
    assert of(answer, "running")["expected"] == pytest.approx(then.running, rel=0.05)
    assert of(answer, "waiting")["expected"] == pytest.approx(then.waiting, rel=0.15)
    kv = then.kv_tokens / NARROW.shape().kv_capacity_tokens
    assert of(answer, "kv_usage_ratio")["expected"] == pytest.approx(kv, rel=0.03)
    assert of(answer, "itl_mean_seconds")["expected"] == pytest.approx(then.itl_mean_seconds, rel=0.05)
    assert (answer.limited_by, answer.limited_by_after) == ("max_running_requests", "max_running_requests")
    assert answer.asks == ()


def test_the_error_of_the_model_at_the_present_point_is_shown_and_a_large_one_is_said(narrow: Evidence) -> None:
    wish = Wish(settings={"max_running_requests": 32})
    right = what_if(wish, narrow, context(), fitted())
    assert abs(of(right, "tokens_per_second")["error"] or 0.0) < 0.02
    assert not any("off in" in note for note in right.notes)
    slow = fitted(replace(NARROW, alpha_ms=60.0))
    wrong = what_if(wish, narrow, context(), slow)
    assert (of(wrong, "tokens_per_second")["error"] or 0.0) < -0.3
    assert any("take the direction" in note for note in wrong.notes)


def test_another_load_is_a_wish_too_and_a_queue_that_grows_has_no_figure(narrow: Evidence) -> None:
    calm = what_if(Wish(load=LoadWish(arrivals_per_second=2.0)), narrow, context(), fitted())
    assert calm.limited_by_after == "arrivals"
    assert of(calm, "requests_per_second")["after"] == pytest.approx(2.0)
    flood = what_if(Wish(load=LoadWish(arrivals_per_second=50.0)), narrow, context(), fitted())
    assert of(flood, "waiting")["grows"] is True
    assert of(flood, "ttft_p95_seconds")["expected"] is None
    assert "grows" in text(flood)
    assert "missed" in text(flood)


@pytest.mark.parametrize(
    ("wish", "version", "reason"),
    [
        ({"max_running_requests": 0}, "0.32.0", "not legal"),
        ({"max_running_requests": 12.5}, "0.32.0", "not legal"),
        ({"max_running_requests": "many"}, "0.32.0", "not legal"),
        ({"warp_speed": 9}, "0.32.0", "has no such knob"),
        ({"kv_cache_dtype": "nvfp4"}, "0.32.0", "compute capability"),
        ({"kv_cache_dtype": "int2"}, "0.20.0", "not legal"),
        ({'"}} or 1': "x\ny"}, "0.32.0", "has no such knob"),
    ],
)
def test_what_the_engine_does_not_take_is_refused(
    narrow: Evidence, wish: dict[str, KnobValue], version: str, reason: str
) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        what_if(Wish(settings=wish), narrow, context(version, facts()), fitted())
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_is_said_at_once(narrow: Evidence) -> None:
    with pytest.raises(Refused, match=r"max_batched_tokens.*max_running_requests"):
        what_if(Wish(settings={"max_running_requests": -1, "max_batched_tokens": 0}), narrow, context(), fitted())


def test_heads_are_divided_over_gpus_and_gpus_that_are_not_there_are_said(narrow: Evidence) -> None:
    with pytest.raises(Refused, match="32 attention heads cannot be divided over 3 GPUs"):
        what_if(Wish(settings={"tensor_parallel_size": 3}), narrow, context(facts=facts()), fitted())
    answer = what_if(Wish(settings={"tensor_parallel_size": 2}), narrow, context(facts=facts()), fitted())
    assert "It takes 2 GPUs a replica, which has 1." in answer.notes


def test_a_replica_that_is_not_there_is_said() -> None:
    evidence = make_evidence({"replica:llm_up": 1.0})
    with pytest.raises(NotFound, match="has no signals"):
        what_if(Wish(instance="10.9.9.9:1"), evidence, context(), fitted())


def test_without_shape_or_load_there_is_no_prediction_but_questions() -> None:
    evidence = make_evidence({"replica:llm_up": 1.0, "replica:llm_requests_running:avg2m": 3.0})
    bare = PlanContext(service="chat", engine="vllm", engine_version="0.32.0", knobs=load("vllm").at("0.32.0"))
    answer = what_if(Wish(settings={"max_running_requests": 32}), evidence, bare, fitted())
    assert answer.metrics == ()
    asked = {ask.fact for ask in answer.asks}
    assert {"max_running_requests", "max_batched_tokens", "kv_cache_capacity_tokens"} <= asked
    assert {"prompt_tokens", "output_tokens", "arrivals_per_second"} <= asked
    assert "No prediction" in text(answer)


def test_what_is_known_of_a_shape_is_shown_beside_what_is_asked() -> None:
    evidence = make_evidence({"replica:llm_up": 1.0, "replica:llm_kv_cache_capacity_tokens": 4096.0})
    answer = what_if(Wish(settings={"max_running_requests": 32}), evidence, context(max_running_requests=16), NO_FIT)
    shown = {one.name: (one.before, one.after) for one in answer.inputs}
    assert shown["max_running_requests"] == (16, 32)
    assert shown["kv_capacity_tokens"] == (4096, None)
    assert answer.metrics == ()


def test_without_a_fit_the_roofline_is_set_to_the_present_itl_and_without_facts_they_are_asked_for(
    narrow: Evidence,
) -> None:
    wish = Wish(settings={"max_running_requests": 32})
    blind = what_if(wish, narrow, context(), NO_FIT)
    assert blind.metrics == ()
    assert "step" in {ask.fact for ask in blind.asks}
    quick = make_evidence(
        signals(NARROW, simulate(replace(NARROW, alpha_ms=6.4, beta_ms=0.065, gamma_ms=0.032, requests=600)))
    )
    drawn = what_if(wish, quick, context(facts=facts()), NO_FIT)
    assert "roofline" in drawn.step
    assert abs(of(drawn, "itl_mean_seconds")["error"] or 0.0) < 0.05
    lost = what_if(wish, narrow, context(facts=facts(gpu=GPUS["b200"])), NO_FIT)
    assert lost.metrics == ()  # an ITL of four times what the card allows is of another card
    assert "not those of what runs" in next(ask.how for ask in lost.asks if ask.fact == "step")


def test_a_fit_that_cannot_tell_prompts_takes_their_cost_from_the_roofline_or_asks(narrow: Evidence) -> None:
    half = replace(fitted(), unknown={"gamma": "prompt tokens hardly varied"})
    assert what_if(Wish(settings={"max_running_requests": 32}), narrow, context(), half).metrics == ()
    known = what_if(Wish(settings={"max_running_requests": 32}), narrow, context(facts=facts()), half)
    assert known.metrics
    assert "from the roofline" in known.step


def test_a_larger_share_of_memory_gives_more_kv_as_the_memory_model_has_it(narrow: Evidence) -> None:
    answer = what_if(Wish(settings={"kv_cache_memory_fraction": 0.93}), narrow, context(facts=facts()), fitted())
    assert answer.memory is not None
    [row] = [row for row in answer.inputs if row.name == "kv_capacity_tokens"]
    assert row.before is not None
    assert row.after is not None
    assert row.after > row.before
    unknown = what_if(Wish(settings={"kv_cache_memory_fraction": 0.93}), narrow, context(), fitted())
    assert of(unknown, "running")["after"] is None
    assert {"gpu", "model"} <= {ask.fact for ask in unknown.asks}
    too_much = what_if(Wish(settings={"kv_cache_memory_fraction": 0.99}), narrow, context(facts=facts()), fitted())
    assert too_much.memory is not None
    assert too_much.memory.fits is not True


def test_fp8_kv_holds_twice_the_tokens_and_asks_for_a_quality_gate() -> None:
    case = replace(NARROW, alpha_ms=6.4, beta_ms=0.0, gamma_ms=0.032, blocks=25_000)
    step = replace(case.step(), eta_seconds=4.4e-8)
    evidence = make_evidence(signals(case, simulate(case)))
    answer = what_if(
        Wish(settings={"kv_cache_dtype": "fp8"}), evidence, context(facts=facts()), FittedStep(step, 900, 0.01, {})
    )
    [row] = [row for row in answer.inputs if row.name == "kv_capacity_tokens"]
    assert (row.after or 0.0) == pytest.approx(2 * (row.before or 0.0), rel=0.01)
    assert any("quality gate" in note for note in answer.notes)
    assert (of(answer, "itl_mean_seconds")["after"] or 1.0) < (of(answer, "itl_mean_seconds")["now"] or 0.0)


def test_a_told_cache_that_the_facts_do_not_allow_gives_no_figure_but_a_question(narrow: Evidence) -> None:
    other = context(facts=facts(gpu=GPUS["l4"]))
    answer = what_if(Wish(settings={"kv_cache_memory_fraction": 0.93}), narrow, other, fitted())
    assert answer.memory is not None
    assert answer.memory.fits is None
    assert "where the facts allow 0 to 57,242 tokens" in answer.memory.text
    assert of(answer, "tokens_per_second")["after"] is None
    assert "kv_capacity" in {ask.fact for ask in answer.asks}


def test_turning_the_prefix_cache_on_asks_what_repeats(narrow: Evidence) -> None:
    off = context(prefix_caching=False)
    asking = what_if(Wish(settings={"prefix_caching": True}), narrow, off, fitted())
    assert "prefix_hit_ratio" in {ask.fact for ask in asking.asks}
    assert of(asking, "ttft_p95_seconds")["after"] is None
    told = what_if(Wish(settings={"prefix_caching": "on"}, load=LoadWish(prefix_hit_ratio=0.5)), narrow, off, fitted())
    assert (of(told, "tokens_per_second")["after"] or 0.0) > (of(told, "tokens_per_second")["now"] or 0.0)


@pytest.mark.parametrize("change", [{"api_server_processes": 2}, {"scheduling_policy": "priority"}])
def test_of_a_knob_that_no_model_knows_every_figure_is_unknown_and_none_is_shown_as_predicted(
    narrow: Evidence, change: dict[str, KnobValue]
) -> None:
    answer = what_if(Wish(settings={**change, "max_running_requests": 32}), narrow, context(), fitted())
    [name] = change
    assert any(name in note and "unknown" in note for note in answer.notes)
    assert all((metric.after, metric.after_high, metric.expected) == (None, None, None) for metric in answer.metrics)
    assert not any(metric.grows for metric in answer.metrics)
    assert answer.limited_by_after is None


def test_equal_questions_have_equal_answers(narrow: Evidence) -> None:
    wish = Wish(settings={"max_running_requests": 32, "max_batched_tokens": 4096})
    first, second = (what_if(wish, narrow, context(facts=facts()), fitted()).model_dump_json() for _ in range(2))
    assert first == second


def llamacpp(**declared: KnobValue) -> PlanContext:
    """A llama.cpp whose slots share one context evenly."""
    return PlanContext(
        service="chat",
        engine="llamacpp",
        knobs=load("llamacpp").at(None),
        declared={"max_running_requests": 4, "max_batched_tokens": 2048, "context_tokens": 8192, **declared},
    )


def test_more_slots_of_one_context_are_smaller_and_may_be_too_small_for_a_request() -> None:
    case = replace(NARROW, slots=4, load=Load(clients=10, prompt=200, answer=50), requests=400)
    told = signals(case, simulate(case))
    del told["replica:llm_kv_cache_capacity_tokens"]
    evidence = make_evidence(told)
    fits = what_if(Wish(settings={"max_running_requests": 8}), evidence, llamacpp(), fitted(case))
    assert (of(fits, "running")["after"] or 0.0) == pytest.approx(8, rel=0.01)
    small = what_if(Wish(settings={"max_running_requests": 64}), evidence, llamacpp(), fitted(case))
    assert of(small, "running")["after"] is None
    assert any("do not fit slots of 128" in note for note in small.notes)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1, 10**30, "1e999", "", "a" * 10_000, "../../etc/passwd"]
)
def test_values_that_no_engine_could_take_are_refused_in_few_words(narrow: Evidence, value: KnobValue) -> None:
    with pytest.raises(Refused) as refused:
        what_if(Wish(settings={"max_running_requests": value}), narrow, context(), fitted())
    assert len(str(refused.value)) < 300


def test_the_largest_legal_batch_is_predicted_too(narrow: Evidence) -> None:
    many = {"max_running_requests": 65_536, "max_batched_tokens": 65_536}
    answer = what_if(Wish(settings=many, load=LoadWish(arrivals_per_second=30)), narrow, context(), fitted())
    assert answer.limited_by_after is not None
