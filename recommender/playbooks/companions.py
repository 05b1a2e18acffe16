"""LMCache and KV-OptKit beside a replica: calls and settings of their own.

The size of an LMCache that lives in an engine is changed where the inventory names its file; all else is advice.

LMCache's sizes and tiers act when the engine starts; a few switches are live on its internal API
(`internal_api_server_enabled: true`, ports from 6999, loopback). KV-OptKit 0.5.3 is a demonstration: its vLLM adapter
raises NotImplementedError, so its figures are read and its actions are done by settings of engines (kvoptkit.md).
"""

import math

from recommender.figures import figure
from recommender.model import Change, Evidence, Feasibility, Finding
from recommender.playbooks.base import LMCACHE, Advice, PlanContext, Playbook
from recommender.playbooks.offload import OFFLOAD_ROLLBACK, offload_effects
from recommender.playbooks.scope import ChangeScope, change_scope
from recommender.playbooks.seen import ask, crowd, value
from recommender.sizing import NotApplicable
from recommender.sizing.footprint import kv_bytes_per_token

_GIB = 2**30
_USED = "replica:llm_external_cache_used_bytes"
_CAPACITY = "replica:llm_external_cache_capacity_bytes"
_QUERIED = "replica:llm_external_cache_query_tokens:rate5m"
_HIT = "replica:llm_external_cache_hit_tokens:rate5m"
_HEALTHY = "replica:llm_external_cache_healthy"
_EVICTIONS = "replica:llm_external_cache_evictions:rate5m"
_API = "http://127.0.0.1:6999"


def _beside(engine: str, evidence: Evidence, context: PlanContext) -> tuple[str, ...]:
    """Where companions of this kind show their series, or replicas that show them for one that lives in the engine."""
    named = {i for i, kind in context.companions.items() if kind == engine}
    if engine == "lmcache":
        named |= {i for i, found in evidence.replica_readings.items() if {_QUERIED, _USED, _HEALTHY} & found.keys()}
        named -= {i for i, kind in context.companions.items() if kind != engine}
    return tuple(sorted(i for i in named if i in evidence.replica_readings))


def _hit_ratio(evidence: Evidence, instances: tuple[str, ...]) -> float | None:
    asked = [evidence.value(_QUERIED, i) for i in instances]
    found = [evidence.value(_HIT, i) for i in instances]
    if any(each is None for each in (*asked, *found)) or not sum(each or 0.0 for each in asked):
        return None
    return sum(each or 0.0 for each in found) / sum(each or 0.0 for each in asked)


def _size(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P09 no. 5: GB = reuse window · tokens computed a second · kv_B, within 0.7 of the memory that the host has."""
    beside = _beside("lmcache", evidence, context)
    if not beside:
        return NotApplicable("no external cache is there that could be larger")
    evicting = [i for i in beside if evidence.value(_EVICTIONS, i)]
    if not evicting:
        return NotApplicable("the external cache drops nothing, or does not say so: more room would not be used")
    facts, tuning = context.facts, context.tuning
    computed = _computed(evidence, finding)
    if facts.model is None or facts.kv_dtype is None or computed is None:
        return Advice(
            f"The external cache beside {evicting[0]} drops entries. Give max_local_cpu_size (GiB a worker, pinned) "
            f"what is asked again within {tuning.kv_reuse_window_seconds:.0f} s: tokens computed a second · bytes of "
            "a token.",
            context.asks("model", "kv_dtype"),
        )
    each = kv_bytes_per_token(facts.model, facts.kv_dtype)
    wanted = tuning.kv_reuse_window_seconds * computed * each
    formula = f"{tuning.kv_reuse_window_seconds:.0f} s·{computed:.0f} tokens/s·{each:.0f} B = {figure(wanted, 'bytes')}"
    room, limit = _host_room(evidence, finding, context)
    new = min(wanted, room) if room is not None else wanted
    asked = (ask(context, "tuning.host_memory_bytes", "to size what is kept in host memory"),)
    now = evidence.value(_CAPACITY, evicting[0])
    if now is not None and new <= now:
        return NotApplicable(f"it has {figure(now, 'bytes')}, no less than what would be used or fits: {formula}")
    if room is not None and (change := _resize(new, formula + limit, evidence, finding, context)) is not None:
        return change
    workers = facts.tensor_parallel or 1
    return Advice(
        f"The external cache beside {evicting[0]} drops {figure(evidence.value(_EVICTIONS, evicting[0]))} entries a "
        f"second. Set max_local_cpu_size (LMCACHE_MAX_LOCAL_CPU_SIZE) to {max(1, math.ceil(new / workers / _GIB))} "
        f"GiB for each of {workers} workers: {formula}{limit}. It acts when the engine starts; POST /conf takes it "
        "and allocates nothing.",
        asked if room is None else (),
    )


def _resize(
    total: float, formula: str, evidence: Evidence, finding: Finding, context: PlanContext
) -> Change | NotApplicable | None:
    """Its own file set to `total` bytes, a step at most; None where what it holds now is not known of a replica."""
    within, workers = context.of(LMCACHE), context.facts.tensor_parallel
    scope = change_scope("external_cache_bytes", evidence, finding, within) if within.replicas else None
    if workers is None or not isinstance(scope, ChangeScope):
        return None
    old = float(scope.old)
    each = math.floor(min(total / workers, context.tuning.step_max_ratio * old) / _GIB) * _GIB
    if each <= old:
        return NotApplicable(f"{figure(old, 'bytes')} a worker are as much as would be used or fits: {formula}")
    after = float(each * workers)
    text = f"{figure(after, 'bytes')} of host memory for {workers} workers, of {figure(total, 'bytes')}: {formula}"
    change = scope.change_to(
        each,
        formula=f"{formula}, over {workers} workers, at most {context.tuning.step_max_ratio:g} times what it has",
        inputs={"bytes": total, "workers": float(workers)},
        reason=f"The external cache in {scope.instances[0]} drops entries that are asked again.",
    )
    proof = Feasibility(fits=True, before=old * workers, after=after, limit=total, text=text)
    return change.model_copy(update={"feasibility": proof})


def _computed(evidence: Evidence, finding: Finding) -> float | None:
    """Prompt tokens a second that a replica computed: those that no cache had."""
    prompt = value(evidence, finding, "replica:llm_prompt_tokens:rate5m")
    hit = value(evidence, finding, "replica:llm_prefix_cache_hit:ratio_rate5m", min)
    return None if prompt is None else prompt * (1 - (hit or 0.0))


def _host_room(evidence: Evidence, finding: Finding, context: PlanContext) -> tuple[float | None, str]:
    available, total = (
        value(evidence, finding, "node:host_memory_available:ratio", min),
        context.tuning.host_memory_bytes,
    )
    if available is None or total is None:
        return None, ", as far as the host has it"
    engines = crowd(evidence, finding, context).own
    share = context.tuning.host_memory_share
    room = share * available * total / engines
    return room, f", at most {share:g} of what the host has available for {engines} engines = {figure(room, 'bytes')}"


def _switch(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """P09: an external cache that does not pay for itself is bypassed, live; one that does not work is looked at."""
    beside = _beside("lmcache", evidence, context)
    if not beside:
        return NotApplicable("no external cache is there")
    broken = [i for i in beside if evidence.value(_HEALTHY, i) == 0]
    if broken:
        return Advice(
            f"The external cache beside {broken[0]} says that it is not healthy: look at its server, disk and network. "
            f"Until it is mended let the engine go without (curl -X PUT {_API}/bypass/add), and take it back "
            "afterwards (/bypass/remove)."
        )
    low, hits = evidence.thresholds.get("external_cache_hit_low_ratio"), _hit_ratio(evidence, beside)
    if hits is None or low is None:
        return NotApplicable("how many of the tokens looked up are found is unknown")
    if hits >= low:
        return NotApplicable(f"{figure(hits, 'ratio')} of the tokens looked up are found: it pays for itself")
    return Advice(
        f"{figure(hits, 'ratio')} of the tokens looked up outside the engine are found. Where that stays below "
        f"{figure(low, 'ratio')} for a day, take it out, or stop keeping KV in host memory, live (curl -X PUT "
        f"{_API}/hot_cache/disable; /hot_cache/enable brings it back)."
    )


def _clear(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """Live: entries of another model or chunk size are dead weight."""
    beside = _beside("lmcache", evidence, context)
    full = [
        i
        for i in beside
        if (used := evidence.value(_USED, i)) is not None
        and (capacity := evidence.value(_CAPACITY, i))
        and used / capacity >= 0.95  # noqa: PLR2004 - full but for what is being written
    ]
    hits = _hit_ratio(evidence, beside)
    low = evidence.thresholds.get("external_cache_hit_low_ratio")
    if not full or hits is None or low is None or hits >= low:
        return NotApplicable("the external cache is not full of what nobody finds")
    return Advice(
        f"The external cache beside {full[0]} is full and {figure(hits, 'ratio')} of the tokens are found in it: after "
        "a change of model, chunk size or KV type its entries are of no use. Clear it, live: curl -X DELETE "
        f"{_API}/cache/clear; hits come back within the reuse window."
    )


def _read_kvoptkit(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """Its four actions, in the settings of the engine that can carry them out."""
    beside = _beside("kvoptkit", evidence, context)
    if not beside:
        return NotApplicable("no KV-OptKit shows its series")
    usage = evidence.value("replica:llm_kv_cache_usage:ratio", beside[0])
    count = len(context.replicas)
    return Advice(
        f"KV-OptKit beside this service ({beside[0]}) tells {figure(usage, 'ratio')} of device memory for KV in use "
        f"over {count} replicas. It carries nothing out itself (its vLLM adapter is not written): for REUSE route by "
        "prefix, for OFFLOAD give KV host memory (vLLM --kv-offloading-size, SGLang --hicache-size), for QUANTIZE keep "
        "KV in 8 bits (--kv-cache-dtype fp8), for EVICT lower the batch limit; its own budget of memory is 0.85."
    )


SWITCH = Playbook("P09.7", "Make an external cache work or take it out", _switch)
CLEAR = Playbook("P09.9", "Clear an external cache", _clear)
SIZE = Playbook("P09.10", "Give the external cache room", _size, offload_effects, OFFLOAD_ROLLBACK)
KVOPTKIT = Playbook("P09.11", "Read what KV-OptKit advises", _read_kvoptkit)
