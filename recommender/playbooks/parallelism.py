"""P02 no. 9, P06 no. 6 and 7: more GPUs for a replica, or better ones. Advice only: it is another deployment."""

from dataclasses import replace

from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.proofs import CAPACITY, setup_of
from recommender.playbooks.scope import canary_of
from recommender.sizing import NotApplicable
from recommender.sizing.footprint import kv_pool_tokens
from recommender.sizing.told_capacity import conflict

_ITL_OF_TWICE = "0.55 to 0.65 of the time per token [guess, tuning P06 no. 6]"


def _double(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    gpu, now = context.facts.gpu, context.facts.tensor_parallel
    if gpu is None or now is None:
        return Advice(
            "Where the GPUs of a machine are joined by NVLink, twice the tensor parallelism gives each request the "
            f"memory and bandwidth of twice the GPUs: {_ITL_OF_TWICE}.",
            context.asks("gpu", "tensor_parallel"),
        )
    if not gpu.nvlink:
        return NotApplicable(
            f"{gpu.name} has no NVLink between all GPUs of a machine: tensor parallelism over PCIe keeps 0.83 of the "
            "throughput of replicas at 2 GPUs and 0.40 at 8 (tuning §2.6); add replicas instead"
        )
    heads = None if context.facts.model is None else context.facts.model.heads
    if heads is not None and heads % (2 * now):
        return NotApplicable(f"{heads} heads cannot be divided over {2 * now} GPUs")
    return Advice(
        f"Run each replica on {2 * now} GPUs of one machine instead of {now} (NVLink, {gpu.name}): {_ITL_OF_TWICE}."
        f"{_pool(evidence, canary_of(evidence, finding), context)} A model that fits one GPU serves more requests in "
        "all as two replicas (tuning §2.6), so do it for latency or for KV."
    )


def _pool(evidence: Evidence, canary: str, context: PlanContext) -> str:
    """What it does to the KV cache, where that can be said."""
    setup = setup_of(evidence, canary, context)
    if setup.tensor_parallel is None or setup.memory_fraction is None:
        return ""
    told = [
        kv_pool_tokens(
            each.model,
            device_bytes=each.device_bytes,
            weight_dtype=each.weight_dtype,
            kv_dtype=each.kv_dtype,
            tensor_parallel=each.tensor_parallel,
            memory_fraction=setup.memory_fraction,
        )
        for each in (setup, replace(setup, tensor_parallel=2 * setup.tensor_parallel))
    ]
    before, after = told
    if isinstance(before, NotApplicable) or isinstance(after, NotApplicable):
        return ""
    seen = evidence.value(CAPACITY, canary)
    if conflict(setup, seen):
        return ""
    now = f"{seen:,.0f} (told)" if seen is not None else f"{before.value:,.0f}"
    return f" KV capacity {now} to about {after.value:,.0f} tokens: {after.formula}."


MORE_GPUS_FOR_KV = Playbook("P02.9", "More GPUs for each replica", _double)
MORE_GPUS_FOR_LATENCY = Playbook("P06.6", "More GPUs for each replica", _double)
