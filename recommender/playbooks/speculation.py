"""P06 no. 5: speculative decoding on, with fewer drafted tokens, or off, by its speed-up S = E/(1 + k·c + v).

Arithmetic that idles while weights are read can verify drafted tokens; at large batches it cannot (1.4 to 1.8 times
slower, tuning §2.7). Latency between tokens is of streamed chunks under speculation, so tokens per second judge it.
"""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, predicted, ttft_guard
from recommender.playbooks.handles import handle
from recommender.playbooks.moves import Move, move
from recommender.playbooks.precision_effects import EIGHT_BITS, SIXTEEN_BITS
from recommender.playbooks.seen import burning, value
from recommender.sizing import NotApplicable, Sized
from recommender.sizing.roofline import ridge_batch
from recommender.sizing.speculation import speed_up
from recommender.sizing.step_effects import uncertain

_DRAFTED = "replica:llm_spec_draft_tokens:rate5m"
_ACCEPTED = "replica:llm_spec_accepted_tokens:rate5m"
_RUNNING = "replica:llm_requests_running:max2m"
_ACCEPTED_LENGTHS = (2.0, 3.3)  # tokens a verification gives, in creative text and in code: tuning §2.7
_SLOW_DOWN = (1.4, 1.4, 1.8)  # tuning §2.7
_BREAK_EVEN = 1.0  # tuning §2.7: off below


def ridge(context: PlanContext) -> float | None:
    """The batch from which arithmetic limits decode, by the GPU and the type of its weights (tuning §2.2)."""
    gpu, dtype = context.facts.gpu, context.facts.weight_dtype
    if gpu is None or dtype is None:
        return None
    if dtype in SIXTEEN_BITS:
        return ridge_batch(gpu.flops["fp16"], gpu.bytes_per_second)
    computed = "fp8" if dtype == "fp8" and gpu.fp8 else "int8" if dtype == "int8" else "fp16"
    size = 1.0 if dtype in EIGHT_BITS else 0.5
    return ridge_batch(gpu.flops.get(computed, gpu.flops["fp16"]), gpu.bytes_per_second, size)


def acceptance_of(share: float, drafted: int) -> float:
    """Acceptance of one token, from the share of drafted tokens that is accepted: a + a^2 + … + a^k = share·k."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if sum(middle**place for place in range(1, drafted + 1)) < share * drafted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _speculates(evidence: Evidence, finding: Finding) -> float | None:
    """The share of drafted tokens that is accepted; None when nothing is drafted, or that is unknown."""
    drafted, accepted = value(evidence, finding, _DRAFTED), value(evidence, finding, _ACCEPTED)
    return None if not drafted or accepted is None else min(1.0, accepted / drafted)


def speed_ups(
    share: float | None, tokens: tuple[int, int], running: float | None, context: PlanContext
) -> tuple[float, float, float] | None:
    """Tokens per second with the second number of drafted tokens over the first (0: none): at worst, likely, at best.

    `share`: acceptance of a token as it is measured; None: between what is published. None where no S can be said.
    """
    found = [_ratio(each, tokens, running, context) for each in _acceptances(share, max(tokens), context)]
    known = [one for one in found if one is not None]
    return (min(known), known[1], max(known)) if len(known) == len(found) else None


def _acceptances(share: float | None, tokens: int, context: PlanContext) -> tuple[float, float, float]:
    if share is not None or tokens < 1:
        return (share or 0.0,) * 3
    low, high = (acceptance_of(min(1.0, (length - 1) / tokens), tokens) for length in _ACCEPTED_LENGTHS)
    return low, min(max(low, context.tuning.speculation_acceptance), high), high


def _ratio(acceptance: float, tokens: tuple[int, int], running: float | None, context: PlanContext) -> float | None:
    values = []
    for each in tokens:
        gain = gain_of(acceptance, each, running, context) if each else None
        if isinstance(gain, NotApplicable):
            return None
        values.append(1.0 if gain is None else gain.value)
    return values[1] / values[0]


def gain_of(share: float, tokens: int, running: float | None, context: PlanContext) -> Sized | NotApplicable:
    """S, tokens per second with speculation over without, with `tokens` drafted, each accepted by `share`."""
    cost = context.tuning.speculation_draft_cost
    return speed_up(share, tokens, running, ridge(context), draft_cost=cost)


def _start(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    if why := _against(evidence, finding, context):
        return NotApplicable(why)
    tuning, running, limit = context.tuning, value(evidence, finding, _RUNNING), ridge(context)
    gain = gain_of(tuning.speculation_acceptance, tuning.speculative_tokens, running, context)
    if running is not None and running < 1:
        return NotApplicable("nothing runs: there is no token to be made faster")
    if isinstance(gain, NotApplicable) or limit is None or running is None:
        return Advice(
            f"Speculative decoding ({handle('speculative_decoding', context)}) helps where arithmetic is idle: while "
            f"the batch times {tuning.speculative_tokens + 1} stays below half of the batch from which arithmetic "
            "limits. Whether it does is unknown.",
            context.asks("gpu", "weight_dtype"),
        )
    step = running * (tuning.speculative_tokens + 1)
    if step >= tuning.speculation_room * limit:
        return NotApplicable(
            f"{running:.0f} requests with {tuning.speculative_tokens} drafted tokens each are {step:.0f} tokens a "
            f"step, not below half of {limit:.0f}, from where arithmetic limits: speculation would slow them down"
        )
    if gain.value < tuning.speculation_min_speedup:
        return NotApplicable(f"S = {gain.formula} = {gain.value:.3g} is below {tuning.speculation_min_speedup:g}")
    return _start_by(gain, running, evidence, finding, context)


def _against(evidence: Evidence, finding: Finding, context: PlanContext) -> str:
    """What speaks against speculation whatever it would bring; empty when nothing known does."""
    if why := burning(evidence):
        return why
    if handle("speculative_decoding", context) is None:
        return "this engine does not speculate"
    if _speculates(evidence, finding) is not None:
        return "it speculates already"
    full = value(evidence, finding, "replica:llm_kv_cache_usage:avg2m")
    high = evidence.thresholds.get("kv_cache_usage_high_ratio")
    if full is None or high is None:
        return "how full the KV cache is is unknown: a draft would take some of it"
    if full >= high:
        return f"{figure(full, 'ratio')} of the KV cache is in use: a draft would take some of it"
    return ""


def _start_by(
    gain: Sized, running: float, evidence: Evidence, finding: Finding, context: PlanContext
) -> Change | Advice | NotApplicable:
    tokens = context.tuning.speculative_tokens
    formula = f"S = {gain.formula} = {gain.value:.3g} [guess: {context.tuning.speculation_acceptance:g} are accepted]"
    reason = f"No more than {running:.0f} requests run at once, and arithmetic idles while weights are read."

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:  # noqa: ARG001 - Sizer's signature
        if old is not None and old != "none":
            return NotApplicable(f"it speculates with {old} already")
        return Move("ngram", formula, dict(gain.inputs))

    if all(context.configured("speculative_tokens", replica.instance) is not None for replica in context.replicas):
        return move("speculative_decoding", evidence, finding, context, size=size, reason=reason)
    turned = handle("speculative_decoding", context)
    example = (
        f' (--speculative-config \'{{"method": "ngram", "num_speculative_tokens": {tokens}, "prompt_lookup_max": 4}}\')'
        if turned is not None and "speculative" in turned and context.engine == "vllm"
        else ""
    )
    return Advice(
        f"{reason} Try speculation with {tokens} drafted tokens on one replica ({turned}){example}: {formula}. A draft "
        "head made for the model (EAGLE-3, MTP) accepts more than n-grams, which help where answers repeat their "
        f"prompts. Take it back when fewer than {figure(context.tuning.speculation_min_acceptance, 'ratio')} of the "
        "drafted tokens are accepted."
    )


def _shorten(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """The number of drafted tokens with the largest S, at most halved."""
    share = _speculates(evidence, finding)
    if share is None:
        return NotApplicable("nothing is drafted, or how much is accepted is unknown")
    running = value(evidence, finding, _RUNNING)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:  # noqa: ARG001 - Sizer's signature
        if old is None:
            return NotApplicable("how many tokens are drafted at a time is unknown")
        tokens = int(old)
        each = acceptance_of(share, tokens)
        gains = {k: gain_of(each, k, running, context) for k in range(1, tokens + 1)}
        known = {k: gain for k, gain in gains.items() if isinstance(gain, Sized)}
        if len(known) < tokens:
            return NotApplicable("the GPU, the type of its weights or the batch is unknown, so the speed-up is")
        best = max(known, key=lambda k: (known[k].value, -k))
        if known[best].value < _BREAK_EVEN:
            return NotApplicable(f"even {best} drafted tokens make it slower: S = {known[best].value:.3g}")
        new = max(best, -(-tokens // int(context.tuning.step_max_ratio)))
        if new >= tokens:
            return NotApplicable(f"{tokens} drafted tokens are the best number: S = {known[tokens].value:.3g}")
        formula = (
            f"largest S = {known[best].formula} = {known[best].value:.3g} at {best}, now {known[tokens].value:.3g}"
        )
        return Move(new, formula, {"acceptance": each, "running": running or 0.0})

    reason = f"{figure(share, 'ratio')} of the drafted tokens are accepted with up to {figure(running)} requests."
    return move("speculative_tokens", evidence, finding, context, size=size, reason=reason)


def _stop(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """Off when S is below 1; where it cannot be said, when fewer than 0.4 of the drafted tokens are accepted."""
    share, tuning = _speculates(evidence, finding), context.tuning
    if share is None:
        return NotApplicable("nothing is drafted, or how much is accepted is unknown")
    running = value(evidence, finding, _RUNNING)
    tokens = next(
        (
            int(found)
            for replica in context.replicas
            if isinstance(found := context.configured("speculative_tokens", replica.instance), int)
        ),
        tuning.speculative_tokens,
    )
    gain = gain_of(acceptance_of(share, tokens), tokens, running, context)
    told = f"{figure(share, 'ratio')} of the drafted tokens are accepted with up to {figure(running)} requests"
    pays = gain.value >= _BREAK_EVEN if isinstance(gain, Sized) else share >= tuning.speculation_min_acceptance
    if pays:
        shown = "unknown" if isinstance(gain, NotApplicable) else f"{gain.value:.3g}"
        return NotApplicable(f"{told}: it pays (S = {shown})")
    formula = (
        f"S = {gain.formula} = {gain.value:.3g}"
        if isinstance(gain, Sized)
        else f"{share:.2f} accepted, below {tuning.speculation_min_acceptance:g}"
    )

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:  # noqa: ARG001 - Sizer's signature
        if old == "none":
            return NotApplicable("speculation is configured off, though tokens are drafted: restart the engine first")
        inputs = dict(gain.inputs) if isinstance(gain, Sized) else {"accepted_share": share}
        return Move("none", formula, inputs)

    return move("speculative_decoding", evidence, finding, context, size=size, reason=f"{told}.")


def _effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    """Tokens per second by S: with speculation over without, or the other way round."""
    drafted, accepted = evidence.value(_DRAFTED, canary), evidence.value(_ACCEPTED, canary)
    share = min(1.0, accepted / drafted) if drafted and accepted is not None else None
    changed = change.knob == "speculative_tokens"
    tokens = int(change.old) if changed else context.tuning.speculative_tokens
    moves = (tokens, int(change.new)) if changed else (tokens, 0) if change.new == "none" else (0, tokens)
    each = None if share is None else acceptance_of(share, tokens)
    gains = speed_ups(each, moves, evidence.value(_RUNNING, canary), context)
    # Where no S can be said: the slow-down that was measured at high load.
    worst, likely, best = _SLOW_DOWN if gains is None else uncertain(gains)
    least = 1 + context.verification.min_improvement
    tokens_rate = predicted(
        VerificationMetric.GENERATION_TOKENS_RATE,
        Direction.HIGHER,
        (min(worst, max(least, likely)), max(least, likely), max(least, best)),
        "S = E/(1 + k·c + v) with speculation over without; 1.4 to 1.8 times slower at high load (tuning §2.7)",
    )
    return Effects(
        expected=(tokens_rate,), must_improve=tokens_rate, guards=(error_guard(context), ttft_guard(context))
    )


_ROLLBACK = (
    "When errors rise by half a percentage point, TTFT p95 passes its guard or tokens per second do not improve, the "
    "old value is written back and the replicas that have the new one are restarted."
)


START = Playbook("P06.5", "Speculate while the batch is small", _start, _effects, _ROLLBACK)
SHORTEN = Playbook("P06.8", "Draft fewer tokens at a time", _shorten, _effects, _ROLLBACK)
STOP = Playbook("P06.9", "Stop speculating", _stop, _effects, _ROLLBACK)
