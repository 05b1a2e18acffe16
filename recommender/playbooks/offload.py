"""P02 no. 10, P05 no. 8, P09 no. 5: KV that is asked again is kept in host memory instead of computed again."""

import math

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Ask, Change, Direction, Evidence, Feasibility, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, itl_guard, published
from recommender.playbooks.handles import engine_of, handle
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import kv_bytes_of_token
from recommender.playbooks.scope import canary_of, known_everywhere
from recommender.playbooks.seen import ask, crowd
from recommender.sizing import NotApplicable
from recommender.sizing.budget import offload_bytes

_HITS = "replica:llm_prefix_cache_hit:ratio_rate5m"
_PROMPT_TOKENS = "replica:llm_prompt_tokens:rate5m"
_AVAILABLE = "node:host_memory_available:ratio"
# SGLang's pool is of each rank (engine-knobs §2); of TensorRT-LLM it is not said, and the smaller reading is safe.
_OF_EACH_RANK = frozenset({"sglang", "tensorrt_llm", "triton"})


def _offload(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """min(reuse window·new prompt tokens/s·kv_B, 0.7·available host memory / engines of the node)."""
    if handle("kv_offload_bytes", context) is None:
        return NotApplicable(f"{engine_of(context) or 'this engine'} keeps no KV in host memory")
    canary, tuning = canary_of(evidence, finding), context.tuning
    hits, reuse = evidence.value(_HITS, canary), tuning.prefix_reuse_ratio
    if hits is not None and reuse is not None and reuse - hits < tuning.offload_min_missed_ratio:
        return NotApplicable(
            f"{figure(hits, 'ratio')} of prompt tokens hit and no more than {figure(reuse, 'ratio')} were seen before: "
            "too little is computed again"
        )
    asks = _asks(context)
    if asks or hits is None:
        return Advice(
            "If prefixes that were thrown out are asked again, keep them in host memory: "
            f"{tuning.kv_reuse_window_seconds:g} s of new prompt tokens, at most {tuning.host_memory_share:g} of what "
            f"is available ({handle('kv_offload_bytes', context)}).",
            asks,
        )
    engines = crowd(evidence, finding, context).all
    reason = (
        f"{figure(hits, 'ratio')} of the prompt tokens of {canary} hit, and {figure(reuse, 'ratio')} were seen before."
    )
    return move(
        "kv_offload_bytes",
        evidence,
        finding,
        context,
        size=lambda old, instances: _size(old, evidence, instances, max(engines, 1), context),
        reason=reason,
    )


def _asks(context: PlanContext) -> tuple[Ask, ...]:
    asks: tuple[Ask, ...] = ()
    if context.tuning.prefix_reuse_ratio is None:
        asks += (ask(context, "tuning.prefix_reuse_ratio", "to know that prefixes are asked again (B09: r*)"),)
    if context.tuning.host_memory_bytes is None:
        asks += (ask(context, "tuning.host_memory_bytes", "to size KV in host memory"),)
    if kv_bytes_of_token(context) is None:
        asks += context.asks("model", "kv_dtype", "tensor_parallel")
    return asks


def _size(
    old: KnobValue | None, evidence: Evidence, instances: tuple[str, ...], engines: int, context: PlanContext
) -> Move | NotApplicable:
    """Sized for the host with the least memory available of those whose replicas are changed."""
    tuning, each, canary = context.tuning, kv_bytes_of_token(context), instances[0]
    if off := _switched_off(old, instances, context):
        return NotApplicable(off)
    shares, tokens = known_everywhere(evidence, instances, _AVAILABLE), evidence.value(_PROMPT_TOKENS, canary)
    hits, ranks = evidence.value(_HITS, canary), context.facts.tensor_parallel
    share = min(shares.values(), default=None)
    host = None if share is None or tuning.host_memory_bytes is None else share * tuning.host_memory_bytes / engines
    pools = (ranks or 1) if engine_of(context) in _OF_EACH_RANK else 1
    now = pools * float(old) if old is not None else 0.0
    sized = offload_bytes(
        unique_tokens_per_second=None if tokens is None or hits is None else tokens * (1 - hits),
        reuse_window_seconds=tuning.kv_reuse_window_seconds,
        kv_bytes_per_token=None if each is None or ranks is None else each * ranks,
        host_available_bytes=None if host is None else host + now,  # what it has now is not available, and its own
        host_share=tuning.host_memory_share,
    )
    if isinstance(sized, NotApplicable):
        return sized
    knob = context.knob("kv_offload_bytes")
    wanted = (min(sized.value, tuning.step_max_ratio * now) if now else sized.value) / pools
    pool = math.floor(wanted) if knob is None else knob.legal_at_or_below(wanted)
    new = pools * pool
    if new <= now:
        return NotApplicable(f"{figure(now, 'bytes')} are as much as is of use: {sized.formula}")
    text = f"{figure(new, 'bytes')} of {figure(host, 'bytes')} of host memory that are available to each engine"
    proof = Feasibility(fits=True, before=now, after=new, limit=(host or 0.0) + now, text=text)
    formula = sized.formula if pools == 1 else f"{sized.formula}, over {pools} ranks = {figure(pool, 'bytes')} each"
    return Move(pool, formula, sized.inputs, proof)


def _switched_off(old: KnobValue | None, instances: tuple[str, ...], context: PlanContext) -> str:
    """SGLang reads the size only with its switch: without it a restart would change nothing."""
    if old is None or engine_of(context) != "sglang":
        return ""
    on = all(context.settings.get(instance, {}).get("enable-hierarchical-cache") is True for instance in instances)
    return "" if on else "--hicache-size acts only with --enable-hierarchical-cache, which no configuration file sets"


def offload_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    """First tokens come sooner where what was thrown out is asked again; copies must not slow steps."""
    ttft = published(
        VerificationMetric.TTFT_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, 0.5),
        "tuning §2.7: TTFT over 2 to 22 where hits are many, 6 % fewer tokens per second where there are none",
        context,
    )
    return Effects(expected=(ttft,), must_improve=ttft, guards=(error_guard(context), itl_guard(context)))


OFFLOAD_ROLLBACK = (
    "When fewer than a tenth of the tokens looked up are found after a day, ITL p95 passes its guard, errors rise "
    "by half a percentage point or TTFT p95 does not improve, it is taken back and the replicas are restarted."
)
_TITLE = "Keep KV in host memory"

# One action of three classes: a plan says which one it answers.
OFFLOAD_KV = Playbook("P02.10", _TITLE, _offload, offload_effects, OFFLOAD_ROLLBACK)
OFFLOAD_PROMPTS = Playbook("P05.8", _TITLE, _offload, offload_effects, OFFLOAD_ROLLBACK)
OFFLOAD_PREFIXES = Playbook("P09.5", _TITLE, _offload, offload_effects, OFFLOAD_ROLLBACK)
