"""P02 no. 7-8, P05 no. 5, P06 no. 3-4: fewer bits for weights and KV, one step at a time, where the GPU gains by it.

The ladder of weights is 16 bits -> FP8 -> 4 bits where the GPU computes in FP8, else 16 bits -> INT8 -> INT4 (FP8 would
save memory alone there; INT8 after FP8 saves nothing). Files of llama.cpp go F16 -> Q8_0 -> Q4_K_M. Each step needs a
quality gate. Effects and where they harm: tuning §2.7.
"""

from functools import partial

from recommender.figures import figure, share_of
from recommender.gpus import Gpu
from recommender.model import Change, Evidence, Feasibility, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.handles import engine_of, handle
from recommender.playbooks.moves import Move, move, shown
from recommender.playbooks.precision_effects import EIGHT_BITS, SIXTEEN_BITS, Purpose, bits, effects
from recommender.playbooks.proofs import CAPACITY, SLOT_ENGINES, kv_bytes_of_token, setup_proof
from recommender.playbooks.scope import affected
from recommender.playbooks.seen import burning, value
from recommender.sizing import NotApplicable
from recommender.sizing.footprint import model_weight_bytes

_WIDE_HEAD = 256  # tuning §2.7: FP8 KV makes the quadratic term of TTFT 1.6 times as long


def next_weights(now: str, gpu: Gpu, engine: str | None) -> str | None:
    """The next type of weights that this GPU gains by; None at the end of the ladder."""
    if engine in SLOT_ENGINES:
        return "q8_0" if now in SIXTEEN_BITS else "q4_k_m" if bits(now) > 5 else None  # noqa: PLR2004 - Q4_K_M has 4.9
    if now in SIXTEEN_BITS:
        return "fp8" if gpu.fp8 else "int8"
    if now in EIGHT_BITS:
        return "nvfp4" if gpu.fp4 else "int4"
    return None


def next_kv(now: str, engine: str | None) -> str | None:
    """The next type of KV cache: 8 bits, and no further, because answers of reasoning models suffer at 4."""
    if now not in {*SIXTEEN_BITS, "auto"}:
        return None
    return "int8" if engine in SLOT_ENGINES else "fp8"


def _weights(
    purpose: Purpose, evidence: Evidence, finding: Finding, context: PlanContext
) -> Change | Advice | NotApplicable:
    engine, facts = engine_of(context), context.facts
    if facts.gpu is None or facts.weight_dtype is None:
        turned = handle("weight_quantization", context) or "the checkpoint"
        return Advice(
            f"Weights of fewer bits ({turned}) take less memory and less of its bandwidth: 16 bits, then FP8 where the "
            "GPU computes in it (compute capability 8.9 and above) and INT8 where not, then 4 bits. Check answers "
            "before and after each step. Which is next is unknown.",
            context.asks("gpu", "weight_dtype"),
        )
    new = next_weights(facts.weight_dtype, facts.gpu, engine)
    if new is None:
        return NotApplicable(f"weights in {facts.weight_dtype} are the end of the ladder")
    if against := _weights_harm(purpose, new, facts.gpu, evidence, finding, context.tuning.int4_max_batch):
        return NotApplicable(against)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move:  # noqa: ARG001 - Sizer's signature
        proof = setup_proof(evidence, instances[0], context, weight_dtype=new)
        gain = _tokens_gained(facts.weight_dtype or "", new, context)
        more = f", which leaves room for {gain:,.0f} more KV tokens a replica" if gain is not None else ""
        text = f"{facts.weight_dtype} to {new}, one step of the ladder on {facts.gpu.name if facts.gpu else 'it'}{more}"
        return Move(new, text, {} if gain is None else {"kv_tokens_gained": gain}, proof)

    reason = f"Weights are stored in {facts.weight_dtype} ({bits(facts.weight_dtype)} bits)."
    if facts.weight_dtype not in SIXTEEN_BITS:
        return _of_other_weights(size(None, affected(evidence, finding)), reason, context)
    return move("weight_quantization", evidence, finding, context, size=size, reason=reason)


def _of_other_weights(moved: Move, reason: str, context: PlanContext) -> Advice | NotApplicable:
    """What is quantised already is not quantised again while it is loaded: the next step is another checkpoint."""
    if moved.feasibility is not None and moved.feasibility.fits is False:
        return NotApplicable(f"it would not fit: {moved.feasibility.text}")
    turned = handle("weight_quantization", context)
    if turned is None:
        return NotApplicable(f"{engine_of(context) or 'this engine'} holds no weights that could be stored otherwise")
    return Advice(
        f"{reason} Next is {shown(moved.value)}: {moved.formula}. The weights must have been made for it, so it is "
        f"another checkpoint ({turned}); a setting alone does not give it. Check answers."
    )


def _weights_harm(  # noqa: PLR0917 - one question
    purpose: Purpose, new: str, gpu: Gpu, evidence: Evidence, finding: Finding, largest: int
) -> str:
    """Why a step would bring nothing here (tuning §2.7, last column); empty when nothing known speaks against it."""
    batch = value(evidence, finding, "replica:llm_requests_running:max2m")
    if purpose is Purpose.COST and (why := burning(evidence)):
        return why
    if purpose is Purpose.PREFILL and bits(new) == 4 and not gpu.fp4:  # noqa: PLR2004 - bits
        return "4-bit weights are unpacked before the products: prompts are computed no faster"
    if purpose in {Purpose.DECODE, Purpose.COST} and new == "int4":
        if batch is None:
            return "how many requests run at once is unknown: the gain of 4-bit weights is gone at a batch of 64"
        if batch > largest:
            return f"{figure(batch)} requests run at once: the gain of 4-bit weights fades above {largest}"
    return ""


def _tokens_gained(old: str, new: str, context: PlanContext) -> float | None:
    """KV tokens that the freed weights make room for: (W - W')/kv_B, each of one GPU (P02 no. 8)."""
    each, ranks, model = kv_bytes_of_token(context), context.facts.tensor_parallel, context.facts.model
    if not each or ranks is None or model is None:
        return None
    freed = model_weight_bytes(model, old, ranks=ranks) - model_weight_bytes(model, new, ranks=ranks)
    return max(0.0, freed) // each


def _kv_cache(
    purpose: Purpose, evidence: Evidence, finding: Finding, context: PlanContext
) -> Change | Advice | NotApplicable:
    engine, facts = engine_of(context), context.facts
    if against := _kv_harm(purpose, evidence, finding, context):
        return NotApplicable(against)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        now = facts.kv_dtype or "auto" if old is None or old == "auto" else str(old)
        new = next_kv(now, engine)
        if new is None:
            return NotApplicable(f"KV is kept in {now}: fewer bits cost answers more than they bring (tuning §2.7)")
        capacity = evidence.value(CAPACITY, instances[0])
        twice = "" if capacity is None else f": {capacity:,.0f} to about {2 * capacity:,.0f} tokens in the same bytes"
        inputs = {} if capacity is None else {"kv_capacity_tokens": capacity}
        proof = _kv_proof(new, evidence, instances[0], context)
        what = "16 bits (what auto is taken to be)" if now == "auto" else now
        return Move(new, f"KV of {new} has half the bytes of {what}{twice}", inputs, proof)

    usage = share_of(value(evidence, finding, "replica:llm_kv_cache_usage:max2m"))
    reason = f"At the peak {usage} of the KV cache was in use."
    return move("kv_cache_dtype", evidence, finding, context, size=size, reason=reason)


def _kv_proof(new: str, evidence: Evidence, instance: str, context: PlanContext) -> Feasibility:
    """Bytes where the facts allow; else that a pool keeps its bytes and holds about twice the tokens in them."""
    if engine_of(context) in SLOT_ENGINES:
        return setup_proof(evidence, instance, context, kv_dtype="q8_0")
    if context.facts.kv_dtype is not None:
        proof = setup_proof(evidence, instance, context, kv_dtype=new)
        if proof.fits is not None:
            return proof
    capacity, peak = evidence.value(CAPACITY, instance), evidence.value("replica:llm_kv_cache_usage:max2m", instance)
    held = None if capacity is None or peak is None else peak * capacity
    return Feasibility(
        fits=True,
        unit="tokens",
        before=held,
        after=held,
        limit=None if capacity is None else 2 * capacity,
        text="the pool keeps its bytes, and each token in it has half of them",
    )


def _kv_harm(purpose: Purpose, evidence: Evidence, finding: Finding, context: PlanContext) -> str:
    model = context.facts.model
    if model is not None and model.head_dim >= _WIDE_HEAD and purpose is not Purpose.DECODE:
        return f"heads of {model.head_dim} numbers: prompts would be computed slower with FP8 KV"
    if purpose is not Purpose.DECODE:
        return ""
    lengths = [
        value(evidence, finding, f"replica:llm_request_{part}_tokens:mean_5m") for part in ("prompt", "generation")
    ]
    if any(length is None for length in lengths):
        return "the length of requests is unknown: below about 7,000 tokens 8-bit KV makes no token faster"
    whole = sum(length or 0.0 for length in lengths)
    least = context.tuning.fp8_kv_context_tokens
    full = value(evidence, finding, "replica:llm_kv_cache_usage:avg2m")
    high = evidence.thresholds.get("kv_cache_usage_high_ratio")
    if whole < least and (full is None or high is None or full < high):
        return f"requests are {whole:.0f} tokens long and KV is not full: below {least} 8-bit KV makes no token faster"
    return ""


_ROLLBACK = (
    "When the quality gate fails, errors rise by half a percentage point, a latency passes its guard or the promised "
    "metric does not improve, the old type is written back and the replicas that have the new one are restarted."
)


def weights(identifier: str, purpose: Purpose) -> Playbook:
    """The playbook that takes weights one step down the ladder."""
    return Playbook(
        identifier,
        "Store weights in fewer bits",
        partial(_weights, purpose),
        effects=partial(effects, purpose),
        rollback=_ROLLBACK,
    )


def kv_cache(identifier: str, purpose: Purpose) -> Playbook:
    """The playbook that keeps KV in 8 bits."""
    return Playbook(
        identifier,
        "Keep KV in 8 bits",
        partial(_kv_cache, purpose),
        effects=partial(effects, purpose),
        rollback=_ROLLBACK,
    )
