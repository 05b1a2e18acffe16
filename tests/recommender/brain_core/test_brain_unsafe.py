"""Changes that would not be safe, found by reading the playbooks as an enemy would: none of them is proposed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from recommender.contracts import ReplicaTarget
from recommender.diagnosis import diagnose
from recommender.executors.engine_config import as_it_was, moved_beside
from recommender.facts import ServiceFacts
from recommender.gpus import GPUS
from recommender.inventory import TuningConfig
from recommender.knobs import load
from recommender.model import Change, DiagnosisStatus, Evidence, Fact, Finding, KnobValue, Placement
from recommender.models import common_model
from recommender.placement import BY_INVENTORY
from recommender.planner import make_plan
from recommender.playbooks import PLAYBOOKS, Advice, PlanContext, Playbook, precision
from recommender.playbooks.batch_limit import RAISE_BATCH_LIMIT
from recommender.playbooks.context_limit import LOWER_CONTEXT
from recommender.playbooks.gpu_memory_pressure import PLAYBOOKS as P01
from recommender.playbooks.graphs import RAISE_GRAPHS
from recommender.playbooks.kv_cache_pressure import RAISE_MEMORY
from recommender.playbooks.moves import Move, move
from recommender.playbooks.offload import OFFLOAD_KV
from recommender.playbooks.proofs import setup_proof
from recommender.playbooks.scope import ChangeScope, change_scope
from recommender.playbooks.slots import raise_slots
from recommender.playbooks.token_budget import LOWER_BUDGET
from recommender.sizing import NotApplicable, lower_max_running
from rules.catalog import Bottleneck, BottleneckKind

REPLICAS = ("10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000")
Make = Callable[..., Evidence]


def finding(bottleneck: Bottleneck = Bottleneck.ADMISSION_LIMITED, instances: Sequence[str] = REPLICAS[:1]) -> Finding:
    return Finding(bottleneck=bottleneck, kind=BottleneckKind.CAUSE, confidence=1.0, instances=tuple(instances))


def service(engine: str, *each: Mapping[str, KnobValue], version: str | None = None, **update: Any) -> PlanContext:
    """A service whose replicas have these settings of their files; one mapping is that of all of them."""
    settings = dict(zip(REPLICAS, each if len(each) > 1 else each * len(REPLICAS), strict=True))
    given = {
        "replicas": tuple(
            ReplicaTarget(service="chat", instance=i, url=f"http://{i}", engine=engine, node=f"n{n}")
            for n, i in enumerate(REPLICAS)
        ),
        "knobs": load(engine).at(version),
        "settings": settings,
        "executor": "command",
    }
    return PlanContext(service="chat", engine=engine, engine_version=version, **{**given, **update})


def why_not(outcome: object) -> str:
    assert isinstance(outcome, NotApplicable), outcome
    return outcome.reason


def test_a_value_that_one_of_the_other_replicas_cannot_have_is_not_given_to_it(evidence_of: Make) -> None:
    small = {"max-num-seqs": 64, "max-num-batched-tokens": 64}
    context = service("vllm", {"max-num-seqs": 64}, {"max-num-seqs": 64}, small)
    outcome = move(
        "max_running_requests", evidence_of({}), finding(), context, size=lambda *_: Move(128, "2·64"), reason="."
    )
    assert why_not(outcome).startswith(f"--max-num-seqs of {REPLICAS[2]} cannot be 128")


def test_what_is_there_already_is_no_change(evidence_of: Make) -> None:
    context = service("vllm", {"max-num-seqs": 64})
    outcome = move(
        "max_running_requests", evidence_of({}), finding(), context, size=lambda *_: Move(64, "="), reason="."
    )
    assert why_not(outcome) == "--max-num-seqs is 64 already"


def test_graphs_are_not_captured_for_fewer_requests_under_the_name_of_more(evidence_of: Make) -> None:
    context = service(
        "vllm", {"compilation-config.max_cudagraph_capture_size": 160, "max-num-seqs": 128}, version="0.32.0"
    )
    evidence = evidence_of(
        {
            "replica:llm_requests_running:max2m": 170.0,
            "gpu:gpu_memory_free_bytes": 9e9,
            "gpu:gpu_memory_used:ratio": 0.8,
        }
    )
    assert "enough for a batch limit of 128" in why_not(RAISE_GRAPHS.size(evidence, finding(), context))


def test_a_device_without_a_free_byte_is_no_crash_and_no_proof(evidence_of: Make) -> None:
    context = service("tgi", {"CUDA_GRAPHS": "1,2,4,8", "MAX_BATCH_SIZE": 64})
    evidence = evidence_of(
        {"replica:llm_requests_running:max2m": 60.0, "gpu:gpu_memory_free_bytes": 0.0, "gpu:gpu_memory_used:ratio": 0.9}
    )
    assert not isinstance(RAISE_GRAPHS.size(evidence, finding(), context), Change)


def test_a_batch_limit_is_not_lowered_to_one_because_nothing_runs_at_the_moment() -> None:
    outcome = lower_max_running(200, kv_capacity_tokens=512.0, tokens_held_per_request=9000.0, running=0.0)
    assert "or none does" in why_not(outcome)


# -- KV in host memory is pinned: what is asked too much of is the host itself

LLAMA = common_model("meta-llama/Llama-3.1-8B-Instruct")
ASKED = {
    "replica:llm_prefix_cache_hit:ratio_rate5m": 0.1,
    "replica:llm_prompt_tokens:rate5m": 20_000.0,
    "node:host_memory_available:ratio": 0.5,
}


def offloading(engine: str, *each: Mapping[str, KnobValue], ranks: int = 8) -> PlanContext:
    facts = ServiceFacts(model=LLAMA, gpu=GPUS["h100_sxm"], tensor_parallel=ranks, weight_dtype="bf16", kv_dtype="bf16")
    tuning = TuningConfig(prefix_reuse_ratio=0.6, host_memory_bytes=1e12)
    return service(engine, *each, version="0.5.23" if engine == "sglang" else None, facts=facts, tuning=tuning)


def test_a_pool_of_each_rank_is_a_part_of_what_the_host_can_give(evidence_of: Make) -> None:
    assert LLAMA is not None
    context = offloading("sglang", {"hicache-size": 40, "enable-hierarchical-cache": True})
    outcome = OFFLOAD_KV.size(evidence_of(ASKED), finding(), context)
    assert isinstance(outcome, Change), outcome
    assert isinstance(outcome.new, int)
    assert outcome.old < outcome.new <= 2 * 40e9
    assert 8 * outcome.new <= 0.7 * (0.5e12 + 8 * 40e9)
    assert outcome.engine_new == outcome.new / 1e9
    assert "over 8 ranks" in outcome.formula


def test_a_size_that_acts_only_with_a_switch_is_not_changed_without_it(evidence_of: Make) -> None:
    context = offloading("sglang", {"hicache-size": 40})
    assert "enable-hierarchical-cache" in why_not(OFFLOAD_KV.size(evidence_of(ASKED), finding(), context))


def test_host_memory_is_that_of_the_host_that_has_least_of_it(evidence_of: Make) -> None:
    context = offloading("sglang", {"hicache-size": 10, "enable-hierarchical-cache": True})
    evidence = evidence_of(ASKED)
    name = "node:host_memory_available:ratio"
    short = {**evidence.replica_readings[REPLICAS[2]]}
    short[name] = short[name].model_copy(update={"value": 0.01})
    poor = evidence.model_copy(update={"replica_readings": {**evidence.replica_readings, REPLICAS[2]: short}})
    assert isinstance(OFFLOAD_KV.size(evidence, finding(), context), Change)
    assert not isinstance(OFFLOAD_KV.size(poor, finding(), context), Change)
    del short[name]
    unknown = evidence.model_copy(update={"replica_readings": {**evidence.replica_readings, REPLICAS[2]: short}})
    assert not isinstance(OFFLOAD_KV.size(unknown, finding(), context), Change)


# -- engines that divide one context among slots

SLOTS = {"LLAMA_ARG_N_PARALLEL": 4, "LLAMA_ARG_CTX_SIZE": 32768}


def llama(*each: Mapping[str, KnobValue], longest: int) -> PlanContext:
    facts = ServiceFacts(model=LLAMA, gpu=GPUS["h100_sxm"], tensor_parallel=1, weight_dtype="bf16", kv_dtype="fp16")
    return service("llamacpp", *each, facts=facts, tuning=TuningConfig(longest_request_tokens=longest))


def test_more_slots_leave_the_longest_request_room_on_every_replica_that_gets_them(evidence_of: Make) -> None:
    evidence = evidence_of({"replica:llm_max_running_requests": 4.0})
    assert isinstance(raise_slots(evidence, finding(), llama(SLOTS, longest=3000)), Change)
    less = {**SLOTS, "LLAMA_ARG_CTX_SIZE": 16384}
    outcome = raise_slots(evidence, finding(), llama(SLOTS, SLOTS, less, longest=3000))
    assert why_not(outcome).startswith(REPLICAS[2])


def test_less_context_is_still_enough_where_more_slots_share_it(evidence_of: Make) -> None:
    more = {**SLOTS, "LLAMA_ARG_N_PARALLEL": 16}
    evidence = evidence_of({})
    outcome = LOWER_CONTEXT.size(evidence, finding(), llama(SLOTS, longest=1024))
    assert isinstance(outcome, Change), outcome
    assert outcome.new == 16384
    assert "needs 32768" in why_not(LOWER_CONTEXT.size(evidence, finding(), llama(SLOTS, SLOTS, more, longest=1024)))


@pytest.mark.parametrize("unknown", [{"LLAMA_ARG_CTX_SIZE": 32768}])
def test_how_many_slots_another_replica_has_is_not_assumed(evidence_of: Make, unknown: Any) -> None:
    outcome = LOWER_CONTEXT.size(evidence_of({}), finding(), llama(SLOTS, SLOTS, unknown, longest=1024))
    assert not isinstance(outcome, Change)


# -- what is configured is not always what runs


def scoped(context: PlanContext, evidence: Evidence, knob: str = "max_running_requests") -> object:
    return move(knob, evidence, finding(), context, size=lambda *_: Move(128, "2·64"), reason=".")


def test_a_value_that_the_engine_contradicts_is_not_the_one_to_change(evidence_of: Make) -> None:
    told = "replica:llm_max_running_requests:engine"
    context = service("sglang", {"max-running-requests": 64})
    assert isinstance(scoped(context, evidence_of({told: 64.0})), Change)
    assert "tells 48 of itself" in why_not(scoped(context, evidence_of({told: 48.0})))
    declared = service("sglang", {}, declared={"max_running_requests": 64})
    assert "correct the file or the inventory" in why_not(scoped(declared, evidence_of({told: 48.0})))


def test_words_that_leave_it_to_the_engine_contradict_nothing(evidence_of: Make) -> None:
    context = service("vllm", {"kv-cache-dtype": "auto"}, version="0.32.0")
    gpu = ServiceFacts(gpu=GPUS["h100_sxm"])
    for word, agrees in (("auto", True), ("bfloat16", True), ("fp8", False)):
        fact = Fact(name="kv_cache_dtype", value=word, query="q", instance=REPLICAS[0])
        evidence = evidence_of({}).model_copy(update={"replica_facts": {REPLICAS[0]: {"kv_cache_dtype": fact}}})
        sure = replace(context, facts=gpu)
        outcome = move("kv_cache_dtype", evidence, finding(), sure, size=lambda *_: Move("fp8", "half"), reason=".")
        assert isinstance(outcome, Change) is agrees, outcome


def test_a_replica_whose_setting_is_overridden_is_left_alone(evidence_of: Make) -> None:
    over = {"max-num-seqs": 64, "max-num-active-seqs": 8}
    context = service("vllm", {"max-num-seqs": 64}, over, {"max-num-seqs": 64})
    scope = change_scope("max_running_requests", evidence_of({}), finding(), context)
    assert isinstance(scope, ChangeScope)
    assert scope.instances == (REPLICAS[0], REPLICAS[2])


# -- the batch limit

FULL = {
    "replica:llm_requests_running:avg2m": 1024.0,
    "replica:llm_requests_running:max2m": 1024.0,
    "replica:llm_kv_cache_capacity_tokens": 4_000_000.0,
    "replica:llm_tokens_per_running_request:avg5m": 500.0,
}
FEW = {**FULL, "replica:llm_requests_running:avg2m": 16.0, "replica:llm_requests_running:max2m": 16.0}


def test_more_slots_than_an_unknown_token_budget_may_have_are_not_proposed(evidence_of: Make) -> None:
    outcome = RAISE_BATCH_LIMIT.size(evidence_of(FULL), finding(), service("vllm", {"max-num-seqs": 1024}))
    assert isinstance(outcome, Change), outcome
    assert outcome.new == 2048
    more = {**FULL, "replica:llm_requests_running:max2m": 2048.0}
    outcome = RAISE_BATCH_LIMIT.size(evidence_of(more), finding(), service("vllm", {"max-num-seqs": 2048}))
    assert "max_batched_tokens = 2048" in why_not(outcome)
    known = service("vllm", {"max-num-seqs": 2048, "max-num-batched-tokens": 8192})
    assert isinstance(RAISE_BATCH_LIMIT.size(evidence_of(more), finding(), known), Change)


def test_the_smallest_kv_cache_and_budget_of_all_replicas_that_are_changed_bound_the_batch(evidence_of: Make) -> None:
    evidence, name = evidence_of(FEW), "replica:llm_kv_cache_capacity_tokens"
    small = {**evidence.replica_readings[REPLICAS[2]]}
    small[name] = small[name].model_copy(update={"value": 12_000.0})
    mixed = evidence.model_copy(update={"replica_readings": {**evidence.replica_readings, REPLICAS[2]: small}})
    context = service("vllm", {"max-num-seqs": 16})
    free = RAISE_BATCH_LIMIT.size(evidence, finding(), context)
    bound = RAISE_BATCH_LIMIT.size(mixed, finding(), context)
    assert isinstance(free, Change)
    assert free.new == 32
    assert "0.85·kv_capacity_tokens/tokens_per_request = 20" in getattr(bound, "formula", "") + getattr(
        bound, "reason", ""
    )
    narrow = service("vllm", *[{"max-num-seqs": 16, "max-num-batched-tokens": n} for n in (2048, 2048, 24)])
    outcome = RAISE_BATCH_LIMIT.size(evidence, finding(), narrow)
    assert isinstance(outcome, Change)
    assert outcome.new == 24


# -- token budgets, and what a file cannot set

SLOW_GAPS = {
    "replica:llm_itl_seconds:p50_5m": 0.05,
    "replica:llm_itl_seconds:p95_5m": 0.2,
    "replica:llm_itl_seconds:p99_5m": 0.4,
    "replica:llm_ttft_seconds:p95_5m": 0.5,
    "replica:llm_max_batched_tokens": 8192.0,
    "replica:llm_request_prompt_tokens:mean_5m": 300.0,
}


@pytest.mark.parametrize("playbook", [LOWER_BUDGET, next(one for one in P01 if one.id == "P01.3")])
@pytest.mark.parametrize(
    "case",
    [
        ("tensorrt_llm", {"max_num_tokens": 8192}, None, False),  # off is its default
        ("tensorrt_llm", {"max_num_tokens": 8192}, 6000, False),
        ("tensorrt_llm", {"max_num_tokens": 8192}, 2000, True),
        ("tensorrt_llm", {"max_num_tokens": 8192, "enable_chunked_prefill": True}, None, True),
        ("vllm", {"max-num-batched-tokens": 8192, "no-enable-chunked-prefill": True}, None, False),
        ("vllm", {"max-num-batched-tokens": 8192}, None, True),
    ],
)
def test_a_step_is_not_made_smaller_than_a_prompt_that_must_fit_into_it(
    evidence_of: Make, playbook: Playbook, case: tuple[str, Any, int | None, bool]
) -> None:
    engine, settings, longest, changes = case
    evidence = evidence_of(SLOW_GAPS, objectives={"itl_p95_seconds": 0.1, "ttft_p95_seconds": 2.0})
    context = service(engine, settings, version="0.32.0", tuning=TuningConfig(longest_request_tokens=longest))
    outcome = playbook.size(evidence, finding(), context)
    assert isinstance(outcome, Change) is changes, outcome
    assert changes or "does not compute prompts in pieces" in why_not(outcome)


def test_what_only_requests_bring_is_advised_and_not_written_into_a_file(evidence_of: Make) -> None:
    context, half = service("ollama", {}, declared={"max_batched_tokens": 512}), Move(256, "half")
    outcome = move("max_batched_tokens", evidence_of({}), finding(), context, size=lambda *_: half, reason=".")
    assert isinstance(outcome, Advice), outcome
    assert "num_batch" in outcome.text


def test_a_latency_of_nothing_and_a_service_without_replicas_are_no_crash(evidence_of: Make) -> None:
    zero = evidence_of(
        {},
        objectives={"request_duration_p95_seconds": 10.0},
        service__llm_itl_seconds__mean_5m=0.0,
        service__llm_request_duration_seconds__p95_5m=20.0,
    )
    nobody = evidence_of({}, instances=())
    every = [playbook for playbooks in PLAYBOOKS.values() for playbook in playbooks]
    facts = ServiceFacts(model=LLAMA, gpu=GPUS["h100_sxm"], tensor_parallel=2, weight_dtype="bf16", kv_dtype="bf16")
    for engine in ("vllm", "ollama", "llamacpp"):
        for playbook in every:
            for seen in (zero, nobody):
                playbook.size(seen, finding(instances=()), service(engine, {}))
                playbook.size(seen, finding(instances=()), service(engine, {}, facts=facts))
                playbook.size(seen, finding(instances=()), PlanContext(service="chat", facts=facts))


def test_a_share_of_memory_is_not_lowered_below_what_the_longest_request_takes(evidence_of: Make) -> None:
    lower = next(one for one in P01 if one.id == "P01.2")
    seen = {
        "gpu:gpu_memory_used:ratio": 0.97,
        "gpu:gpu_memory_free_bytes": 2.4e9,
        "replica:llm_kv_cache_usage:max2m": 0.1,
        "replica:llm_kv_cache_capacity_tokens": 34_000.0,  # 4.5 GB
    }
    facts = ServiceFacts(model=LLAMA, gpu=GPUS["h100_sxm"], tensor_parallel=1, weight_dtype="bf16", kv_dtype="bf16")
    settings = {"gpu-memory-utilization": 0.92, "max-model-len": 32_768}
    outcome = lower.size(evidence_of(seen), finding(), service("vllm", settings, facts=facts))
    assert "does not start with less than its longest request, 32,768 tokens" in why_not(outcome)
    short = service("vllm", {**settings, "max-model-len": 8192}, facts=facts)
    assert isinstance(lower.size(evidence_of(seen), finding(), short), Change)


@pytest.mark.parametrize("identifier", ["P01.4", "P01.5"])
def test_what_ran_in_two_minutes_of_the_night_is_not_the_largest_batch_there_is(
    evidence_of: Make, identifier: str
) -> None:
    playbook = next(one for one in P01 if one.id == identifier)
    settings = {"max-num-seqs": 600, "compilation-config.max_cudagraph_capture_size": 512}
    context = service("vllm", settings, version="0.32.0")
    night = {"replica:llm_requests_running:max2m": 3.0}
    assert "unknown" in why_not(playbook.size(evidence_of(night), finding(), context))
    day = {**night, "replica:llm_requests_running:max6h": 400.0}
    outcome = playbook.size(evidence_of(day), finding(), context)
    assert isinstance(outcome, Change), outcome
    assert outcome.new >= 352


FREE = {
    "replica:llm_preemptions_per_request:ratio_rate5m": 1.0,
    "gpu:gpu_memory_free_bytes": 12e9,
    "gpu:gpu_memory_used:ratio": 0.85,
}


@pytest.mark.parametrize(
    ("placed", "raised"),
    [
        ({}, True),
        ({"others": ("batch/10.0.9.9:8000",)}, False),
        (
            {"others": ("batch/10.0.9.9:8000",), "gpus_are_its_own": True, "gpus_from": "the only one of its node"},
            False,
        ),
        ({"others": ("batch/10.0.9.9:8000",), "gpus_are_its_own": True, "gpus_from": BY_INVENTORY}, True),
    ],
)
def test_free_memory_that_another_service_may_want_is_not_taken(evidence_of: Make, placed: Any, raised: bool) -> None:
    context = service("vllm", {"gpu-memory-utilization": 0.85})
    where = {instance: Placement(node=f"n{number}", **placed) for number, instance in enumerate(REPLICAS)}
    evidence = evidence_of(FREE).model_copy(update={"placements": where})
    assert isinstance(RAISE_MEMORY.size(evidence, finding(), context), Change) is raised


def test_a_replica_of_which_nobody_knows_where_it_runs_may_share_a_gpu(evidence_of: Make) -> None:
    nowhere = [replace(one, node=None) for one in service("vllm", {}).replicas[:1]]
    context = service("vllm", {"gpu-memory-utilization": 0.85})
    lost = replace(context, replicas=(*nowhere, *context.replicas[1:]))
    assert "is unknown" in why_not(RAISE_MEMORY.size(evidence_of(FREE), finding(), lost))


def test_a_kv_cache_that_auto_keeps_in_eight_bits_is_not_halved_again(evidence_of: Make) -> None:
    keep = precision.kv_cache("P02.7", precision.Purpose.MEMORY)
    context = service("vllm", {"kv-cache-dtype": "auto"}, version="0.32.0", facts=ServiceFacts(gpu=GPUS["h100_sxm"]))
    halved = keep.size(evidence_of({}), finding(), context)
    assert isinstance(halved, Change)
    assert halved.formula.startswith("KV of fp8 has half the bytes of 16 bits (what auto is taken to be)")
    known = replace(context, facts=ServiceFacts(gpu=GPUS["h100_sxm"], kv_dtype="fp8"))
    assert "KV is kept in fp8" in why_not(keep.size(evidence_of({}), finding(), known))


def test_a_plan_does_not_promise_that_requests_in_flight_are_drained(state: Any, context: Any) -> None:
    evidence = state("saturated", limit=16)
    plan = make_plan(diagnose(evidence), evidence, context(max_num_seqs=16))
    assert plan is not None
    assert plan.restart is not None
    assert "lost unless the restart command lets them end" in plan.restart.text


def test_slots_and_their_context_are_changed_only_while_both_are_what_the_plan_saw(evidence_of: Make) -> None:
    evidence = evidence_of({"replica:llm_max_running_requests": 4.0})
    change = raise_slots(evidence, finding(), llama(SLOTS, longest=3000))
    assert isinstance(change, Change), change
    assert (change.sets, change.sets_old) == ({"LLAMA_ARG_CTX_SIZE": 65536}, {"LLAMA_ARG_CTX_SIZE": 32768})
    ours, theirs = "LLAMA_ARG_CTX_SIZE", 131072
    assert moved_beside({ours: "32768"}, change, later=False) == moved_beside({}, change, later=False) == ""
    assert moved_beside({ours: theirs}, change, later=True) == ours
    assert [moved_beside({ours: 65536}, change, later=later) for later in (False, True)] == [ours, ""]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tgi", "tensorrt_llm", "triton"])
def test_an_engine_that_tells_a_share_of_nothing_crashes_no_proof(evidence_of: Make, engine: str) -> None:
    facts = ServiceFacts(model=LLAMA, gpu=GPUS["h100_sxm"], tensor_parallel=1, weight_dtype="bf16", kv_dtype="bf16")
    told = {"replica:llm_kv_cache_memory_fraction": 0.0, "replica:llm_kv_cache_capacity_tokens": 10_000.0}
    proof = setup_proof(evidence_of(told), REPLICAS[0], service(engine, {}, facts=facts), weight_dtype="fp8")
    assert proof.fits is not True


def test_who_approves_and_who_mends_by_hand_is_told_all_that_is_written(evidence_of: Make) -> None:
    context = llama(SLOTS, longest=3000)
    evidence = evidence_of({"replica:llm_max_running_requests": 4.0})
    change = raise_slots(evidence, finding(), context)
    assert isinstance(change, Change), change
    assert change.step == "4 -> 8, LLAMA_ARG_CTX_SIZE: 32768 -> 65536"
    assert as_it_was(change) == "`LLAMA_ARG_N_PARALLEL: 4` and `LLAMA_ARG_CTX_SIZE: 32768`"
    diagnosis = diagnose(evidence).model_copy(update={"status": DiagnosisStatus.DIAGNOSED, "findings": (finding(),)})
    plan = make_plan(diagnosis, evidence, context)
    assert plan is not None
    assert plan.title.endswith("--parallel 4 → 8, LLAMA_ARG_CTX_SIZE 32768 → 65536")


def test_what_was_left_out_is_not_put_back_as_a_word() -> None:
    knob = load("vllm").get("speculative_decoding")
    assert knob is not None
    change = knob.change("vllm", "none", "ngram", reason="", formula="", inputs={})
    assert as_it_was(change) == "`speculative-config.method` as it was"


def test_slots_that_are_seen_otherwise_than_the_engine_tells_are_not_raised_from_either(evidence_of: Make) -> None:
    seen = {"replica:llm_max_running_requests": 30.0, "replica:llm_max_running_requests:engine": 64.0}
    context = llama({"LLAMA_ARG_CTX_SIZE": 32768}, longest=3000)
    assert "tells 64 slots, and 30 are seen" in why_not(raise_slots(evidence_of(seen), finding(), context))


def test_an_engine_without_weights_is_advised_no_other_ones(evidence_of: Make) -> None:
    facts = ServiceFacts(model=LLAMA, gpu=GPUS["a10g"], tensor_parallel=1, weight_dtype="fp8", kv_dtype="bf16")
    for playbooks in PLAYBOOKS.values():
        for playbook in playbooks:
            outcome = playbook.size(evidence_of(FEW), finding(), service("lmcache", {}, facts=facts))
            assert "None" not in getattr(outcome, "text", ""), playbook.id
