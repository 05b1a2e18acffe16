"""Whatever is read and configured: a change is legal, another value, within its step, and not one that cannot fit."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.model import Change, Direction, KnobValue
from recommender.playbooks import PLAYBOOKS, PlanContext
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, TWO, context, evidence, facts, finding

GIB = 2**30
RATIO = st.floats(0.0, 1.0)
SIGNALS = {
    "gpu:gpu_memory_used:ratio": st.floats(0.0, 0.999),
    "gpu:gpu_memory_free_bytes": st.floats(1e8, 8e10),
    "replica:llm_kv_cache_memory_fraction": st.floats(0.05, 1.0),
    "replica:llm_kv_cache_capacity_tokens": st.floats(1.0, 2e6),
    "replica:llm_kv_cache_usage:max2m": RATIO,
    "replica:llm_kv_cache_usage:avg2m": RATIO,
    "replica:llm_requests_running:max2m": st.floats(0.0, 600.0),
    "replica:llm_requests_running:max6h": st.floats(0.0, 600.0),
    "replica:llm_requests_running:avg2m": st.floats(0.0, 600.0),
    "replica:llm_requests_waiting:avg2m": st.floats(0.0, 600.0),
    "replica:llm_tokens_per_running_request:avg5m": st.floats(1.0, 50_000.0),
    "replica:llm_request_prompt_tokens:mean_5m": st.floats(1.0, 50_000.0),
    "replica:llm_request_generation_tokens:mean_5m": st.floats(1.0, 10_000.0),
    "replica:llm_preemptions_per_request:ratio_rate5m": RATIO,
    "replica:llm_generation_tokens:rate5m": st.floats(0.0, 50_000.0),
    "replica:llm_prompt_tokens:rate5m": st.floats(0.0, 50_000.0),
    "replica:llm_prefix_cache_hit:ratio_rate5m": RATIO,
    "replica:llm_itl_seconds:p95_5m": st.floats(0.0, 2.0),
    "replica:llm_ttft_seconds:p95_5m": st.floats(0.0, 20.0),
    "replica:llm_spec_draft_tokens:rate5m": st.floats(0.0, 1000.0),
    "replica:llm_spec_accepted_tokens:rate5m": st.floats(0.0, 1000.0),
    "replica:llm_model_memory_bytes": st.floats(1e9, 1e11),
    "replica:llm_model_device_memory_bytes": st.floats(1e9, 1e11),
    "replica:llm_max_model_length_tokens": st.floats(1.0, 200_000.0),
    "node:host_memory_available:ratio": RATIO,
    "node:host_cpu_busy:ratio": RATIO,
}
SETTINGS = {
    "max_running_requests": st.integers(1, 1024),
    "max_batched_tokens": st.integers(1, 65536),
    "kv_cache_memory_fraction": st.floats(0.05, 1.0),
    "max_model_length_tokens": st.integers(1, 200_000),
    "context_tokens": st.integers(1, 400_000),
    "graph_max_batch": st.integers(1, 1024),
    "api_server_processes": st.integers(1, 64),
    "kv_offload_bytes": st.integers(0, 512 * GIB),
    "speculative_tokens": st.integers(1, 16),
    "speculative_decoding": st.sampled_from(["none", "ngram"]),
    "kv_cache_dtype": st.sampled_from(["auto", "fp16", "fp8"]),
    "weight_quantization": st.sampled_from(["none", "fp8"]),
}
VERSIONS = {
    "vllm": "0.32.0",
    "sglang": "0.5.23",
    "llamacpp": "b11434",
    "ollama": None,
    "tgi": None,
    "tensorrt_llm": None,
}
TUNING = st.fixed_dictionaries(
    {},
    optional={
        "longest_request_tokens": st.integers(1, 100_000),
        "host_memory_bytes": st.floats(1e9, 2e12),
        "prefix_reuse_ratio": st.floats(0.01, 1.0),
    },
)


@st.composite
def contexts(draw: st.DrawFn) -> PlanContext:
    """A service of any engine, with some of its settings and facts."""
    engine = draw(st.sampled_from(sorted(VERSIONS)))
    declared = draw(st.fixed_dictionaries({}, optional=SETTINGS))
    known = None
    if draw(st.booleans()):
        gpu, weights = (
            draw(st.sampled_from(["h100_sxm", "a100_80gb", "l4", "b200"])),
            draw(st.sampled_from(["bf16", "fp8"])),
        )
        known = facts(gpu, weight_dtype=weights, kv_dtype=draw(st.sampled_from(["bf16", "fp8", None])))
    return context(
        engine, version=VERSIONS[engine], known=known, tuning=draw(TUNING), same_node=draw(st.booleans()), **declared
    )


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    bottleneck=st.sampled_from(sorted(PLAYBOOKS)),
    signals=st.fixed_dictionaries({}, optional=SIGNALS),
    made=contexts(),
)
def test_a_change_is_legal_new_within_its_step_and_may_fit(
    bottleneck: Bottleneck, signals: dict[str, float], made: PlanContext
) -> None:
    seen = evidence(signals)
    for playbook in PLAYBOOKS[bottleneck]:
        if playbook.engines is not None and made.engine not in playbook.engines:
            continue
        outcome = playbook.size(seen, finding(bottleneck, ONE, TWO), made)
        if isinstance(outcome, Change):
            _check(playbook.id, outcome, made)
            assert playbook.effects is not None
            effects = playbook.effects(outcome, seen, ONE, made)
            goal = effects.must_improve
            better = goal.high <= goal.low if goal.direction is Direction.LOWER else goal.high >= goal.low
            assert better, (playbook.id, goal)
            assert effects.guards, playbook.id


def _check(identifier: str, change: Change, made: PlanContext) -> None:
    knob = made.knob(change.knob)
    assert knob is not None
    assert knob.parse(change.new) == change.new, (identifier, change)
    assert change.new != change.old, (identifier, change)
    assert change.feasibility is None or change.feasibility.fits is True, (identifier, change)
    if _number(change.new) and _number(change.old):
        _check_step(identifier, float(change.old), float(change.new), change.knob)


def _check_step(identifier: str, old: float, new: float, knob: str) -> None:
    assert new > 0, identifier
    if knob == "kv_cache_memory_fraction":
        assert abs(new - old) <= 0.03 + 1e-9, identifier
    elif old > 0:
        most = 4 if knob == "max_running_requests" else 2
        least = 2 if old > 1 else 1
        assert new <= most * old, (identifier, old, new)
        assert new >= old / least - GIB * (knob == "kv_offload_bytes"), (identifier, old, new)  # in whole GiB


def _number(value: KnobValue | Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
