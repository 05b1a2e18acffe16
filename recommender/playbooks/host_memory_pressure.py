"""P16: host memory is short."""

import math

from recommender.figures import figure, sentence, share_of
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Expectation, Feasibility, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, itl_guard, ttft_guard
from recommender.playbooks.handles import engine_of, handle
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import SLOT_ENGINES
from recommender.playbooks.scope import affected
from recommender.playbooks.seen import ask, crowd, nodes_of, value
from recommender.sizing import NotApplicable

_AVAILABLE = "node:host_memory_available:ratio"
_GIB = 2**30


def _shrink_pool(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P16: pool' = 0.7·(memory available without it), for all engines of a node together; at most halved a step."""
    turned = handle("kv_offload_bytes", context)
    if turned is None:
        return NotApplicable(f"{engine_of(context)} keeps no KV in host memory")
    available, total = value(evidence, finding, _AVAILABLE, min), context.tuning.host_memory_bytes
    if available is None or total is None:
        return Advice(
            f"Where KV is kept in host memory ({turned}), size that for all engines of a node together at "
            f"{context.tuning.host_memory_share:g} of what is available without it. Without the node's memory it "
            "cannot be said to what.",
            (ask(context, "tuning.host_memory_bytes", "to size KV in host memory"),),
        )
    engines = crowd(evidence, finding, context).own

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:  # noqa: ARG001 - Sizer's signature
        if old is None:
            return NotApplicable("how much host memory the KV of an engine has is unknown")
        if float(old) <= 0:
            return NotApplicable("no KV is kept in host memory")
        return _pool(float(old), available * total, engines, total, context)

    reason = f"{figure(available, 'ratio')} of host memory is available."
    return move("kv_offload_bytes", evidence, finding, context, size=size, reason=reason)


def _pool(old: float, available: float, engines: int, total: float, context: PlanContext) -> Move | NotApplicable:
    share, most = context.tuning.host_memory_share, context.tuning.step_max_ratio
    without = available + old * engines
    fits = share * without / engines
    new = math.floor(max(fits, old / most) / _GIB) * _GIB
    formula = f"{share:g}·({figure(available, 'bytes')} available + {engines}·{figure(old, 'bytes')})/{engines}"
    if new >= old or new <= 0:
        return NotApplicable(
            f"{formula} = {figure(fits, 'bytes')} is no less, in whole GiB, than the pool that there is"
        )
    proof = Feasibility(
        fits=True,
        before=old * engines,
        after=new * engines,
        limit=without,
        text=f"{figure(new * engines, 'bytes')} of the {figure(without, 'bytes')} that are there without the pool.",
    )
    capped = "" if fits >= old / most else f", at most a factor of {most:g} a step"
    inputs = {"old_bytes": old, "available_bytes": available, "engines": float(engines), "total_bytes": total}
    return Move(new, f"{formula} = {figure(fits, 'bytes')}{capped}", inputs, proof)


def _pool_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    available, total = evidence.value(_AVAILABLE, canary), context.tuning.host_memory_bytes
    freed = float(change.old) - float(change.new)
    high = 1 + freed / (available * total) if available and total else 1 + freed / float(change.new)
    more = Expectation(
        metric=VerificationMetric.HOST_MEMORY_AVAILABLE_RATIO,
        direction=Direction.HIGHER,
        low=round(1 + (high - 1) / 2, 3),
        mid=round(high, 3),
        high=round(high, 3),
        source=f"P16: {figure(freed, 'bytes')} are given back on each node for each engine there",
    )
    return Effects(
        expected=(more,), must_improve=more, guards=(error_guard(context), itl_guard(context), ttft_guard(context))
    )


def _free(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    killed = value(evidence, finding, "node:host_oom_kills:increase30m")
    dead = f" {figure(killed)} processes were killed for memory in 30 minutes (dmesg says which)." if killed else ""
    nodes = ", ".join(nodes_of(finding, evidence, context)) or "the node"
    limit = context.tuning.memory_limit_headroom
    return Advice(
        f"{sentence(share_of(value(evidence, finding, _AVAILABLE, min)))} of the memory of {nodes} is available.{dead} "
        "Find the growing process (ps --sort=-rss) and move or limit it; limit engines to "
        f"{limit:g} times the 99th percentile of what they hold, and pinned pools on top. No weights in host memory "
        "(vLLM, SGLang: --cpu-offload-gb 0)."
    )


def _no_swap(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    swapped = value(evidence, finding, "node:host_swap_bytes:rate2m")
    if swapped is None:
        return NotApplicable("whether the node swaps is unknown")
    if swapped == 0:
        return NotApplicable("the node does not swap")
    return Advice(
        f"The node swaps {figure(swapped, 'bytes')} a second: switch swap off where engines serve (swapoff -a, and "
        "out of /etc/fstab), after there is room for what is swapped out."
    )


def _keep_mapped(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """P16: weights that are mapped from a file are thrown out of memory and read from the disk again."""
    model = value(evidence, finding, "replica:llm_model_memory_bytes")
    engines = crowd(evidence, finding, context).own
    factor = context.tuning.model_file_headroom
    need = "1.5 times the model file" if model is None else f"{figure(factor * model * engines, 'bytes')}"
    how = "--mlock" if engine_of(context) == "llamacpp" else "use_mmap false in the request's options"
    seen = value(evidence, finding, "node:host_major_page_faults:rate2m")
    faults = "" if seen is None else f"{figure(seen)} page faults a second read from the disk. "
    return Advice(
        f"{faults}Keep the weights in memory ({how}) or give the node room: "
        f"{need} for {len(affected(evidence, finding))} engines."
    )


_ROLLBACK = (
    "When errors rise by half a percentage point or TTFT or ITL p95 pass their guards, the old size is written back "
    "and the replicas that have the new one are restarted."
)

PLAYBOOKS = (
    Playbook("P16.1", "Free host memory", _free),
    Playbook("P16.2", "Switch swap off", _no_swap),
    Playbook("P16.3", "Give KV less host memory", _shrink_pool, _pool_effects, _ROLLBACK),
    Playbook("P16.4", "Keep mapped weights in memory", _keep_mapped, engines=SLOT_ENGINES),
)
