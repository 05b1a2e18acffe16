"""Whatever is seen, declared and known: no plan changes an engine to what it could not have, or what might not fit."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.model import Change, Diagnosis, DiagnosisStatus, Evidence, Finding, FindingRole, KnobValue, Plan
from recommender.planner import make_plan
from recommender.playbooks import PLAYBOOKS, PlanContext
from recommender.sizing import LinearItl
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, TWO, context, evidence, facts, finding

_ENGINES = ("vllm", "sglang", "tgi", "tensorrt_llm", "triton", "llamacpp", "ollama")
_VERSIONS: Mapping[str, tuple[str | None, ...]] = {
    "vllm": (None, "0.6.0", "0.11.0", "0.32.0"),
    "sglang": (None, "0.4.0", "0.5.23"),
}
_COUNTS = (
    "replica:llm_requests_running:avg2m",
    "replica:llm_requests_running:max2m",
    "replica:llm_requests_waiting:avg2m",
    "replica:llm_requests_waiting:min2m",
    "replica:llm_max_running_requests",
    "replica:llm_max_running_requests:engine",
    "replica:llm_max_batched_tokens",
    "replica:llm_step_tokens:mean_5m",
    "replica:llm_kv_cache_capacity_tokens",
    "replica:llm_tokens_per_running_request:avg5m",
    "replica:llm_request_prompt_tokens:mean_5m",
    "replica:llm_request_generation_tokens:mean_5m",
    "replica:llm_max_model_length_tokens",
)
_RATIOS = (
    "replica:llm_kv_cache_usage:avg2m",
    "replica:llm_kv_cache_usage:max2m",
    "replica:llm_admission_fullness:ratio_avg2m",
    "replica:llm_preemptions_per_request:ratio_rate5m",
    "replica:llm_queue_share_of_ttft:ratio_rate5m",
    "replica:llm_prefill_share_of_ttft:ratio_rate5m",
    "replica:llm_prefix_cache_hit:ratio_rate5m",
    "replica:llm_kv_cache_memory_fraction",
    "gpu:gpu_memory_used:ratio",
    "gpu:gpu_dram_active:ratio",
    "node:host_cpu_busy:ratio",
    "node:host_memory_available:ratio",
)
_SECONDS = (
    "replica:llm_ttft_seconds:p95_5m",
    "replica:llm_itl_seconds:p95_5m",
    "replica:llm_itl_seconds:p99_5m",
)
_BYTES = (
    "gpu:gpu_memory_free_bytes",
    "replica:llm_model_memory_bytes",
    "replica:llm_model_device_memory_bytes",
    "node:host_memory_available_bytes",
)
_SERVICE = (
    "service:llm_requests:rate5m",
    "service:llm_replicas_up:count",
    "service:llm_requests_running:sum",
    "service:llm_requests_waiting:sum",
    "service:llm_max_running_requests:sum",
    "service:llm_prefix_cache_hit:ratio_rate5m",
    "service:llm_request_prompt_tokens:mean_5m",
)
_HOSTILE = '"; rm -rf / #`$(x)`\n{{7*7}}\u202e|<b>'


def _some(names: tuple[str, ...], values: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, float]]:
    """Values of some of these signals; the others are unknown."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, values))


_COUNT = st.one_of(st.sampled_from([0.0, 1.0, 6.0, 16.0, 2048.0, 40_000.0]), st.floats(0, 1e6))
_SIGNALS = st.tuples(
    _some(_COUNTS, _COUNT),
    _some(_RATIOS, st.floats(0, 1)),
    _some(_SECONDS, st.floats(0.001, 10)),
    _some(_BYTES, st.floats(0, 2e11)),
).map(lambda parts: {name: value for part in parts for name, value in part.items()})
_DECLARED: Mapping[str, st.SearchStrategy[KnobValue]] = {
    "max_running_requests": st.integers(1, 1024),
    "max_batched_tokens": st.integers(64, 16384),
    "kv_cache_memory_fraction": st.floats(0.05, 0.99),
    "context_tokens": st.integers(512, 1 << 20),
    "max_model_length_tokens": st.integers(512, 131072),
    "prefix_caching": st.booleans(),
    "chunked_prefill": st.booleans(),
    "kv_cache_dtype": st.sampled_from(["auto", "fp8", "bf16", "f16", "q8_0"]),
    "admission_conservativeness": st.floats(0.1, 2),
    "graph_max_batch": st.integers(1, 1024),
    "tensor_parallel_size": st.sampled_from([1, 2, 4]),
}


@st.composite
def _services(draw: st.DrawFn) -> tuple[Evidence, PlanContext]:
    engine = draw(st.sampled_from(_ENGINES))
    declared: dict[str, Any] = draw(st.fixed_dictionaries({}, optional=dict(_DECLARED)))
    known = draw(st.sampled_from([None, "h100_sxm", "l4", "a100_80gb"]))
    longest = draw(st.sampled_from([None, 300, 4000]))
    given_context = context(
        engine,
        version=draw(st.sampled_from(_VERSIONS.get(engine, (None,)))),
        known=None if known is None else facts(known),
        tuning={} if longest is None else {"longest_request_tokens": longest, "prefix_reuse_ratio": 0.6},
        same_node=draw(st.booleans()),
        **declared,
    )
    itl = draw(st.sampled_from([None, LinearItl(0.02, 0.0005), LinearItl(0.08, 0.01)]))
    seen = evidence(
        draw(_SIGNALS),
        service=draw(_some(_SERVICE, _COUNT)),
        per_replica={ONE: draw(_SIGNALS)} if draw(st.booleans()) else {},
    )
    return seen, replace(given_context, itl=itl)


def _plan(bottleneck: Bottleneck, seen: Evidence, given_context: PlanContext) -> Plan | None:
    root: Finding = finding(bottleneck, ONE, TWO).model_copy(update={"role": FindingRole.ROOT})
    diagnosis = Diagnosis(
        service="chat",
        at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        status=DiagnosisStatus.DIAGNOSED,
        findings=(root,),
        text="",
    )
    return make_plan(diagnosis, seen, given_context)


_ANY = settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
# Mostly those whose playbooks turn knobs; every other class, too.
_TURNED = (
    Bottleneck.GPU_MEMORY_PRESSURE,
    Bottleneck.KV_CACHE_PRESSURE,
    Bottleneck.ADMISSION_LIMITED,
    Bottleneck.QUEUE_BUILDUP,
    Bottleneck.PREFILL_BOUND,
    Bottleneck.DECODE_BANDWIDTH_BOUND,
    Bottleneck.HIGH_LATENCY,
    Bottleneck.CACHE_INEFFICIENCY,
)
_CLASSES = st.one_of(st.sampled_from(_TURNED), st.sampled_from(_TURNED), st.sampled_from(sorted(PLAYBOOKS)))


@_ANY
@given(_CLASSES, _services())
def test_a_change_is_legal_fits_and_is_no_more_than_a_step(
    bottleneck: Bottleneck, service: tuple[Evidence, PlanContext]
) -> None:
    seen, given_context = service
    plan = _plan(bottleneck, seen, given_context)
    if plan is None or plan.change is None:
        return
    change = plan.change
    knob = given_context.knob(change.knob)
    assert knob is not None, "the version does not surely know it"
    assert knob.parse(change.new) == change.new
    assert change.new != change.old
    assert change.feasibility is None or change.feasibility.fits is True
    if not isinstance(change.new, str | bool) and not isinstance(change.old, str | bool):
        assert change.new >= 0
        assert isinstance(change.old, float) or isinstance(change.new, int)
        _at_most_a_step(change, seen, plan.instances[0])
    _one_thing(change)


def _at_most_a_step(change: Change, seen: Evidence, canary: str) -> None:
    old, new = float(change.old), float(change.new)
    if change.knob == "kv_cache_memory_fraction":
        assert abs(new - old) <= 0.03 + 1e-9 or new < old
        assert new <= 0.95 or new < old
    elif change.knob == "max_running_requests":
        running = seen.value("replica:llm_requests_running:avg2m", canary)
        assert new <= 4 * old
        assert new >= min(old, old if running is None else max(1.0, running)) / 2 - 1
    elif change.knob == "max_batched_tokens":
        prompt = seen.value("replica:llm_request_prompt_tokens:mean_5m", canary) or 0.0
        acts = min(old, prompt) if prompt >= 1024 else old  # what of it is used: see P05.2
        assert acts / 4 <= new <= 2 * old if acts < old else old / 2 <= new <= 2 * old
    elif change.knob in {"context_tokens", "max_model_length_tokens"}:
        assert old / 2 <= new <= 2 * old


def _one_thing(change: Change) -> None:
    """One knob; beside it only what it would do nothing without."""
    assert len(change.sets) <= 2
    assert change.config_key not in change.sets


@_ANY
@given(_CLASSES, _services())
def test_the_same_evidence_gives_the_same_bytes(bottleneck: Bottleneck, service: tuple[Evidence, PlanContext]) -> None:
    seen, given_context = service
    turned = seen.model_copy(
        update={
            "service_readings": dict(reversed(seen.service_readings.items())),
            "replica_readings": {
                instance: dict(reversed(readings.items()))
                for instance, readings in reversed(seen.replica_readings.items())
            },
        }
    )
    one, other = _plan(bottleneck, seen, given_context), _plan(bottleneck, turned, given_context)
    assert (one and one.model_dump_json()) == (other and other.model_dump_json())


@_ANY
@given(_CLASSES, _services())
def test_what_names_say_changes_no_change(bottleneck: Bottleneck, service: tuple[Evidence, PlanContext]) -> None:
    seen, given_context = service
    hostile = seen.model_copy(
        update={
            "confirmed": tuple(one.model_copy(update={"nodes": (_HOSTILE,)}) for one in seen.confirmed),
            "replica_readings": {
                instance: {name: reading.model_copy(update={"query": _HOSTILE}) for name, reading in readings.items()}
                for instance, readings in seen.replica_readings.items()
            },
        }
    )
    model = given_context.facts.model
    called = None if model is None else replace(model, name=_HOSTILE, source=_HOSTILE)
    known = _plan(bottleneck, seen, given_context)
    named = _plan(bottleneck, hostile, replace(given_context, facts=replace(given_context.facts, model=called)))
    change = None if known is None else known.change
    assert (None if named is None else named.change) == change
    if named is not None:
        for patch in named.patches:
            assert _HOSTILE not in patch.content
        for query in (*named.verification_queries, *named.rollback_queries):
            assert _HOSTILE not in query.query
