"""Every change that a playbook can make, on every engine: judged by what it tells, or advice from the start."""

from collections.abc import Iterator
from functools import cache

import pytest

from exporters.catalog import Engine, load_engine
from recommender.engine_signals import can_tell, signals_in
from recommender.knobs import Knob, engines
from recommender.metrics import READ_FROM, WORK_FROM, VerificationMetric, Work
from recommender.model import Change, Evidence
from recommender.plan_parts import verification
from recommender.plan_queries import readable, rollback_queries, success_queries
from recommender.playbooks import PLAYBOOKS, Effects, PlanContext, Playbook
from recommender.playbooks.docs import described
from recommender.verifiable import judged_here, work_of
from rules.catalog import HISTOGRAMS, OBJECTIVES, SOURCE_COUNTERS, SOURCE_GAUGES, Bottleneck
from rules.pack import load_rules
from rules.syntax import Aggregation, Binary, Call, Node, Series, Timed, parse
from tests.recommender.playbooks.made import ONE, TWO, context, evidence, facts, playbook

M = VerificationMetric
SERVING = tuple(engine for engine in engines() if engine != "lmcache")
CHANGING = {each.id: each for found in PLAYBOOKS.values() for each in found if each.effects is not None}
SEEN = {
    "replica:llm_requests_running:avg2m": 8.0,
    "replica:llm_generation_tokens:rate5m": 400.0,
    "replica:llm_model_memory_bytes": 40e9,
    "replica:llm_model_device_memory_bytes": 20e9,
    "gpu:gpu_memory_used:ratio": 0.98,
}
PROBES = {
    "replica:llm_probe_success": 1.0,
    "replica:llm_probe_ttft_seconds": 0.2,
    "replica:llm_probe_itl_seconds": 0.02,
}
PROBED = {
    "llm_probe_success",
    "llm_probe_time_to_first_token_seconds",
    "llm_probe_inter_token_latency_seconds",
}
OF_ERRORS = {M.ERROR_RATIO, M.PROBE_FAILURE_RATIO, M.GENERATION_TOKENS_RATE}
KNOB_OF = {identifier: row.knob for identifier, row in described().items()}
# No version of the engine gives it, so the families are no reason to expect it (exporters/engines/llamacpp.yml).
GONE = {("llamacpp", "llm_kv_cache_usage_ratio")}


def told(engine: str, *, probes: bool = False) -> frozenset[str]:
    """The signals that the shipped rules can record of an engine, found from the rules and not from `recommender`."""
    return _closure(engine, frozenset(PROBES) if probes else frozenset())


@cache
def _rules() -> tuple[tuple[str, Node], ...]:
    """What is recorded of an engine that the prober reads, of whichever name."""
    direct = {f"sources/{engine}.yml" for engine in Engine}
    return tuple((one.name, parse(one.expr)) for one in load_rules() if not one.is_alert and one.file not in direct)


@cache
def _closure(engine: str, given: frozenset[str]) -> frozenset[str]:
    """All that can be recorded, from the families that the engine's catalogue has and their bounds."""
    catalogue = load_engine(Engine(engine))
    page = {*catalogue.families, *catalogue.numbers, *(name for one in catalogue.pages for name in one.numbers)}
    page |= set(catalogue.models.numbers) if catalogue.models else set()
    page -= {family for one, family in GONE if one == engine}
    bare = {name for name, one in catalogue.families.items() if all(source.count for source in one.sources)}
    parts = {f"{name}{part}" for name in page for part in ("_sum", "_count")} | {f"{n}_bucket" for n in page - bare}
    absent = {*SOURCE_GAUGES.values(), *SOURCE_COUNTERS.values(), *PROBED}
    absent |= {f"{name}{part}" for name in HISTOGRAMS.values() for part in ("_bucket", "_sum", "_count")}
    absent -= page | parts | {"llm_up"}
    have, recorded = set(given), {name for name, _ in _rules()}
    while more := {name for name, tree in _rules() if name not in have and _possible(tree, have, absent, recorded)}:
        have |= more
    return frozenset(have)


def _possible(node: Node, have: set[str], absent: set[str], recorded: set[str]) -> bool:
    """Whether an expression can have a series; nodes, GPUs and the inventory are taken to tell all that they can."""
    inner: tuple[Node, ...] = ()
    match node:
        case Series(name=name):
            return name in have if name in recorded else name not in absent
        case Binary(operator="or"):
            return any(_possible(one, have, absent, recorded) for one in (node.left, node.right))
        case Binary(operator=operator):
            inner = (node.left,) if operator == "unless" else (node.left, node.right)
        case Call(arguments=arguments) | Aggregation(arguments=arguments):
            inner = arguments
        case Timed():
            inner = (node.node,)
    return all(_possible(one, have, absent, recorded) for one in inner)


def cases() -> Iterator[tuple[str, Playbook, Change, PlanContext]]:
    """Each change of each playbook on each engine that has its knob."""
    for engine in SERVING:
        given = context(engine, known=facts())
        for identifier, each in CHANGING.items():
            name = KNOB_OF[identifier]
            knob = given.knob(name) if name is not None else None
            if knob is not None and (each.engines is None or engine in each.engines):
                yield engine, each, _change(engine, knob), given


def _change(engine: str, knob: Knob) -> Change:
    old, new = {"bool": (False, True), "int": (8, 4), "float": (0.9, 0.8)}.get(knob.type, ("bf16", "fp8"))
    return Change(
        knob=knob.name,
        engine=engine,
        flag=knob.flag or "",
        config_key=knob.config_key or "",
        old=old,
        new=new,
        reason="made",
        formula="made",
        risk=knob.risk,
    )


def effects_of(each: Playbook, change: Change, seen: Evidence, given: PlanContext) -> Effects:
    assert each.effects is not None
    return each.effects(change, seen, ONE, given)


@pytest.mark.parametrize("probes", [False, True])
@pytest.mark.parametrize("engine", SERVING)
def test_every_series_that_judges_a_change_exists_for_its_engine_or_the_change_is_advice(
    engine: str, probes: bool
) -> None:
    seen, there = evidence(SEEN | (PROBES if probes else {})), told(engine, probes=probes)
    of_engine = [(each, change, given) for one, each, change, given in cases() if one == engine]
    assert of_engine
    for each, change, given in of_engine:
        judged = judged_here(each.id, effects_of(each, change, seen, given), seen, ONE, given)
        if judged.unverifiable:
            assert judged.unverifiable.startswith(f"It cannot be verified here: {engine} does not tell"), each.id
            assert ("Give every replica" in judged.unverifiable) is not ("No black-box probe" in judged.unverifiable)
            assert not probes or "No black-box probe" in judged.unverifiable, each.id
        else:
            found = verification(judged, given)
            metrics = {found.must_improve.metric, *(guard.metric for guard in found.guards)}
            signals = {signal for metric in metrics for signal in READ_FROM[M(metric)]} | {WORK_FROM[found.work]}
            assert {one for one in signals if one.startswith("replica:")} <= there, each.id
            assert found.must_improve in judged.expected
            assert metrics & OF_ERRORS, each.id
        judge, instances, bounds = verification(judged, given), (ONE, TWO), given.tuning.success
        queries = rollback_queries(judged.guards, seen, instances, given)
        if not judged.unverifiable:
            asked = success_queries(change, judge, seen, instances, playbook=each.id, bounds=bounds)
            queries += readable(asked, given.engine)
        assert all(parse(query.query) for query in queries)
        read = {signal for query in queries for signal in signals_in(query.query)}
        assert {one for one in read if one.startswith(("replica:llm", "service:llm"))} <= there, each.id
        assert any("stopped answering" in query.text for query in queries)


@pytest.mark.parametrize("engine", [*SERVING, "dynamo"])
def test_what_an_engine_can_tell_is_what_the_rules_can_record_of_it(engine: str) -> None:
    there = told(engine)
    named = {signal for signals in READ_FROM.values() for signal in signals} | set(WORK_FROM.values())
    named |= {
        "replica:llm_ttft_seconds:p95_5m",
        "replica:llm_itl_seconds:p50_5m",
        "replica:llm_itl_seconds:p95_5m",
        "replica:llm_itl_seconds:mean_5m",
        "replica:llm_queue_share_of_ttft:ratio_rate5m",
        "replica:llm_preemptions_per_request:ratio_rate5m",
        "replica:llm_prefix_cache_hit:ratio_rate5m",
        "replica:llm_kv_cache_usage:avg2m",
        "replica:llm_requests_waiting:avg2m",
        "replica:llm_admission_fullness:ratio_avg2m",
    }
    for signal in sorted(named):
        if (can := can_tell(engine, signal)) is not None:
            assert can is (signal in there), signal


def test_each_engine_is_judged_by_the_finest_work_that_it_counts() -> None:
    counted = {engine: work_of(engine) for engine in SERVING}
    others = {"tgi": Work.REQUESTS, "llamacpp": Work.GENERATED_TOKENS, "ollama": Work.PROBES}
    assert counted == {engine: others.get(engine, Work.FIRST_TOKENS) for engine in SERVING}


def test_what_vllm_and_sglang_tell_is_judged_as_it_was_promised() -> None:
    for engine, each, change, given in cases():
        if engine in {"vllm", "sglang"}:
            effects = effects_of(each, change, evidence(SEEN), given)
            assert judged_here(each.id, effects, evidence(SEEN), ONE, given) == effects, each.id


def _judged(engine: str, bottleneck: Bottleneck, identifier: str, signals: dict[str, float]) -> Effects:
    given, seen = context(engine, known=facts()), evidence(signals)
    each = playbook(bottleneck, identifier)
    name = KNOB_OF[identifier]
    knob = given.knob(name or "")
    assert knob is not None
    return judged_here(identifier, effects_of(each, _change(engine, knob), seen, given), seen, ONE, given)


def test_more_slots_of_llama_cpp_are_shown_by_its_queue_and_guarded_by_what_it_tells() -> None:
    judged = _judged("llamacpp", Bottleneck.ADMISSION_LIMITED, "P04.1", SEEN)
    assert judged.must_improve.metric == M.QUEUE_SECONDS_PER_TOKEN
    guards = {guard.metric: guard for guard in judged.guards}
    assert guards.keys() == {M.GENERATION_TOKENS_RATE, M.SECONDS_PER_TOKEN}  # it never preempts
    # 20 ms now; a mean stays as far below the promise of a p95 as sizing keeps it
    assert guards[M.SECONDS_PER_TOKEN].max_value == pytest.approx(OBJECTIVES["itl_p95_seconds"].default / 1.2)
    probed = _judged("llamacpp", Bottleneck.ADMISSION_LIMITED, "P04.1", SEEN | PROBES)
    assert {guard.metric for guard in probed.guards} == {M.PROBE_FAILURE_RATIO, M.SECONDS_PER_TOKEN}


def test_ollama_is_changed_only_where_it_is_probed_and_shown_by_what_is_on_the_device() -> None:
    alone = _judged("ollama", Bottleneck.GPU_MEMORY_PRESSURE, "P01.9", SEEN)
    assert "Give every replica of chat the black-box prober" in alone.unverifiable
    probed = _judged("ollama", Bottleneck.GPU_MEMORY_PRESSURE, "P01.9", SEEN | PROBES)
    assert (probed.unverifiable, probed.must_improve.metric) == ("", M.MODEL_ON_DEVICE_RATIO)
    assert probed.must_improve.high == 2.0  # 40 GB, of which 20 are on the device
    assert {guard.metric for guard in probed.guards} == {
        M.PROBE_FAILURE_RATIO,
        M.PROBE_ITL_SECONDS,
        M.PROBE_TTFT_SECONDS,
    }


def test_probes_of_one_replica_alone_stand_for_nothing() -> None:
    given, seen = context("ollama", known=facts()), evidence(SEEN, per_replica={ONE: PROBES})
    slots, knob = playbook(Bottleneck.GPU_MEMORY_PRESSURE, "P01.9"), given.knob("max_running_requests")
    assert knob is not None
    assert judged_here(slots.id, effects_of(slots, _change("ollama", knob), seen, given), seen, ONE, given).unverifiable


def test_a_probe_shows_no_cache_and_a_mean_no_tail() -> None:
    cache_of_tgi = _judged("tgi", Bottleneck.CACHE_INEFFICIENCY, "P09.3", SEEN | PROBES)
    assert "No black-box probe could show it" in cache_of_tgi.unverifiable
    tails = _judged("tensorrt_llm", Bottleneck.PREFILL_BOUND, "P05.2", SEEN | PROBES)
    assert tails.must_improve.metric == M.PROBE_ITL_SECONDS
    assert _judged("tensorrt_llm", Bottleneck.PREFILL_BOUND, "P05.2", SEEN).unverifiable
