"""P02 no. 6: engines that take the memory of the longest possible request ahead, and requests that are shorter."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, itl_guard, published
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import NO_MORE, SLOT_ENGINES, setup_of, setup_proof
from recommender.playbooks.seen import ask
from recommender.sizing import NotApplicable
from recommender.sizing.budget import lower_context


def _lower(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """1.25 times the longest request; half of what it is at most."""
    tuning, longest = context.tuning, context.tuning.longest_request_tokens
    if longest is None:
        return Advice(
            "Each slot has its whole context from the start: set it to "
            f"{tuning.context_headroom_ratio:g} times the longest request, up to {tuning.context_step_tokens}s. No "
            "engine tells how long that is.",
            (ask(context, "tuning.longest_request_tokens", "to size the context of a slot"),),
        )
    shared = context.engine == "llamacpp"  # its context is divided by the slots, Ollama's is of each

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        told = [setup_of(evidence, instance, context).slots for instance in instances] if shared else [1]
        known = [each for each in told if each is not None]
        if old is None or len(known) < len(told):
            return NotApplicable("the context, or the number of slots, is unknown")
        slots = max(known)
        sized = lower_context(
            int(old),
            longest_request_tokens=longest,
            headroom=tuning.context_headroom_ratio,
            quantum=tuning.context_step_tokens,
            slots=slots,
            step=tuning.step_max_ratio,
        )
        if isinstance(sized, NotApplicable):
            return sized
        before = setup_of(evidence, instances[0], context).context_tokens
        whole = None if before is None else before * sized.value / float(old)
        proof = setup_proof(evidence, instances[0], context, context_tokens=whole)
        # It only gives memory back, whether or not the bytes can be said.
        return Move(sized.value, sized.formula, sized.inputs, proof if proof.fits is True else NO_MORE)

    knob = "context_tokens" if shared else "max_model_length_tokens"
    reason = f"The longest requests have {figure(longest)} tokens; the memory of longer ones is taken for nothing."
    return move(knob, evidence, finding, context, size=size, reason=reason)


def _effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    ttft = published(
        VerificationMetric.TTFT_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, float(change.new) / float(change.old)),
        "P02 no. 6: KV memory in proportion to context times slots; what spilled to the host fits again at best",
        context,
    )
    return Effects(expected=(ttft,), must_improve=ttft, guards=(error_guard(context), itl_guard(context)))


LOWER_CONTEXT = Playbook(
    id="P02.6",
    title="Lower the context of a slot",
    size=_lower,
    effects=_effects,
    rollback=(
        "When a request is refused for its length, errors rise by half a percentage point, ITL p95 passes its guard or "
        "TTFT p95 does not improve, the old context is written back and the replicas that have it are restarted."
    ),
    engines=SLOT_ENGINES,
)
