"""P10 no. 3-4, P24: the GPU type that makes a token cheapest while the objectives hold, and fewer GPUs for a replica.

The present replica is the yardstick: on another GPU the part of its time that computes prompts goes with arithmetic,
the rest with memory bandwidth (tuning §2.2, §2.4, P06 no. 7). Both latencies scale alike and must stay in their
objectives; weights and what the KV cache holds at most must fit. Prices are the team's.
"""

from dataclasses import dataclass

from recommender.figures import figure
from recommender.gpus import GPUS, Gpu
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.handles import handle
from recommender.playbooks.proofs import CAPACITY, kv_bytes_of_token, setup_proof
from recommender.playbooks.scope import canary_of
from recommender.playbooks.seen import ask, burning, value
from recommender.sizing import NotApplicable
from recommender.sizing.footprint import ACTIVATION_BYTES, DEFAULT_MEMORY_FRACTION, model_weight_bytes

_PEAK = "replica:llm_kv_cache_usage:max2m"


@dataclass(frozen=True, slots=True)
class Load:
    """What one replica does now, as far as another GPU has to do it."""

    prefill_share: float  # of the time that requests compute
    weight_bytes: float  # of one GPU
    kv_bytes: float  # that one GPU holds at most
    ttft_of_objective: float | None  # TTFT p95 over its objective; None: unknown
    itl_of_objective: float | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One GPU type: time of the same work over that of now, price of a token over that of now, and why not."""

    gpu: Gpu
    time_ratio: float
    cost_ratio: float
    against: str


def judge(new: Gpu, now: Gpu, load: Load, prices: tuple[float, float], dtype: str) -> Candidate:
    """A GPU type for the same work. `prices` are an hour of the new and of the present one."""
    arithmetic = "fp8" if dtype == "fp8" and new.fp8 and now.fp8 else "fp16"
    computing, reading = now.flops[arithmetic] / new.flops[arithmetic], now.bytes_per_second / new.bytes_per_second
    ratio = load.prefill_share * computing + (1 - load.prefill_share) * reading
    room = DEFAULT_MEMORY_FRACTION * new.memory_bytes - ACTIVATION_BYTES - load.weight_bytes
    against = ""
    if (dtype == "bf16" and not new.bf16) or (dtype == "fp8" and not new.fp8) or (dtype == "nvfp4" and not new.fp4):
        against = f"it does not run {dtype} weights"
    elif room < load.kv_bytes:
        against = f"{figure(max(0.0, room), 'bytes')} would be left for the {figure(load.kv_bytes, 'bytes')} of KV held"
    elif load.ttft_of_objective is None or load.itl_of_objective is None:
        against = "whether the objectives would hold is unknown"
    elif load.ttft_of_objective * computing > 1 or load.itl_of_objective * reading > 1:
        late = "TTFT" if load.ttft_of_objective * computing > 1 else "ITL"
        against = f"{late} p95 would pass its objective"
    return Candidate(new, ratio, prices[0] / prices[1] * ratio, against)


def _other_gpu(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P10 no. 3: argmin of the price of a token, subject to the objectives."""
    if why := burning(evidence):
        return NotApplicable(why)
    facts, prices = context.facts, context.tuning.gpu_price_per_hour
    load = _load(evidence, finding, context)
    if facts.gpu is None or load is None:
        return Advice(
            "A cheaper GPU that keeps the objectives makes each token cheaper, most where the present one is idle. "
            "Which one cannot be said without the model, its types and the GPU, and without what the replicas do now.",
            context.asks("gpu", "model", "weight_dtype", "kv_dtype", "tensor_parallel"),
        )
    price = prices.get(facts.gpu.name) or _price_of_one(context)
    others = [GPUS[name] for name in sorted(prices) if name in GPUS and name != facts.gpu.name]
    if not price or not others:
        return Advice(
            f"What other GPUs than {facts.gpu.name} would cost for a token cannot be said without their prices.",
            (ask(context, "tuning.gpu_price_per_hour", "to compare GPU types (by GPU: price of an hour)"),),
        )
    judged = [judge(gpu, facts.gpu, load, (prices[gpu.name], price), facts.weight_dtype or "bf16") for gpu in others]
    fitting = [each for each in judged if not each.against]
    best = min(fitting, key=lambda each: (each.cost_ratio, each.gpu.name), default=None)
    if best is None or best.cost_ratio > 1 - context.tuning.right_sizing_min_saving:
        return NotApplicable(f"no other GPU is worth a move: {'; '.join(_told(each) for each in judged)}")
    rest = "; ".join(_told(each) for each in judged if each is not best)
    return Advice(
        f"{best.gpu.name} instead of {facts.gpu.name} would make a token cost {best.cost_ratio:.2f} of what it does: "
        f"{prices[best.gpu.name]:g}/{price:g} of the price for {best.time_ratio:.2f} of the time "
        f"({figure(load.prefill_share, 'ratio')} of it computing prompts). Objectives and memory hold by this "
        f"estimate; prove it with one replica.{f' Others: {rest}.' if rest else ''}"
    )


def _told(each: Candidate) -> str:
    return (
        f"{each.gpu.name} {each.cost_ratio:.2f} of the price of a token{f' ({each.against})' if each.against else ''}"
    )


def _price_of_one(context: PlanContext) -> float | None:
    replica, gpus = context.facts.price_per_replica_hour, context.facts.gpus_per_replica
    return None if replica is None or not gpus else replica / gpus


def _load(evidence: Evidence, finding: Finding, context: PlanContext) -> Load | None:
    facts, each = context.facts, kv_bytes_of_token(context)
    share = evidence.value("service:llm_prefill_time:ratio1h")
    peak, capacity = value(evidence, finding, _PEAK), value(evidence, finding, CAPACITY)
    if facts.model is None or facts.weight_dtype is None or facts.tensor_parallel is None or not each:
        return None
    if share is None or peak is None or capacity is None:
        return None
    return Load(
        prefill_share=min(1.0, max(0.0, share)),
        weight_bytes=model_weight_bytes(facts.model, facts.weight_dtype, ranks=facts.tensor_parallel),
        kv_bytes=peak * capacity * each,
        ttft_of_objective=_of_objective(evidence, "ttft"),
        itl_of_objective=_of_objective(evidence, "itl"),
    )


def _of_objective(evidence: Evidence, name: str) -> float | None:
    seen, objective = (
        evidence.value(f"service:llm_{name}_seconds:p95_5m"),
        evidence.objectives.get(f"{name}_p95_seconds"),
    )
    return None if seen is None or not objective else seen / objective


def _fewer_gpus(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:
    """P10 no. 4: half of the tensor parallelism, where weights and KV fit on half of the GPUs."""
    if why := burning(evidence):
        return NotApplicable(why)
    size = context.facts.tensor_parallel
    if size == 1:
        return NotApplicable("each replica has one GPU")
    if size is None:
        return NotApplicable("how many GPUs a replica has is unknown")
    if size % 2:
        return NotApplicable(f"{size} GPUs have no half")
    proof = setup_proof(evidence, canary_of(evidence, finding), context, tensor_parallel=size // 2)
    if proof.fits is False:
        return NotApplicable(f"half of the GPUs do not hold it: {proof.text}")
    fits = "It fits" if proof.fits else "Whether it fits cannot be shown"
    return Advice(
        f"Two replicas of {size // 2} GPUs serve more than one of {size}: tensor parallelism over {size} gives 0.4 to "
        f"0.8 of their sum (tuning §2.6). Set {handle('tensor_parallel_size', context) or 'tensor parallelism'} to "
        f"{size // 2}. {fits}: {proof.text}. Each token takes longer, so keep an eye on ITL.",
        () if proof.fits else context.asks(*proof.missing),
    )


OTHER_GPU = Playbook("P10.3", "Serve from the GPU that makes a token cheapest", _other_gpu)
FEWER_GPUS = Playbook("P10.4", "Use fewer GPUs for each replica", _fewer_gpus)
