"""P04 no. 4: batches above the largest captured graph run step by step, which costs a third and more (tuning §2.7)."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Feasibility, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, published, ttft_guard
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import FREE, USED, share_proof
from recommender.playbooks.scope import canary_of
from recommender.sizing import NotApplicable


def _raise(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """Capture graphs up to the batch that runs; at most twice as far a step."""
    canary = canary_of(evidence, finding)
    running = evidence.value("replica:llm_requests_running:max2m", canary)
    if context.knob("graph_max_batch") is None or running is None:
        return NotApplicable("up to which batch graphs are captured, or how large the batch is, is not known")
    reason = f"Batches of {canary} reach {figure(running)} requests."

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        if old is None:
            return NotApplicable("up to which batch graphs are captured is unknown")
        if running <= float(old):
            return NotApplicable(f"graphs are captured up to {old}, and no more than {figure(running)} requests run")
        limit = context.configured("max_running_requests", instances[0])
        wanted = int(running if limit is None else limit)
        new = min(wanted, int(context.tuning.step_max_ratio * int(old)))
        if new <= float(old):
            return NotApplicable(f"graphs up to {old} are enough for a batch limit of {wanted}")
        formula = f"min(batch limit {wanted}, {context.tuning.step_max_ratio:g}·old) = {new}"
        proof = _proof(evidence, instances[0], (int(old), new), context)
        return Move(new, formula, {"old": float(old), "running": running}, proof)

    return move("graph_max_batch", evidence, finding, context, size=size, reason=reason)


def _proof(evidence: Evidence, instance: str, sizes: tuple[int, int], context: PlanContext) -> Feasibility:
    """A graph each eight requests, out of the memory that is free."""
    free, used = evidence.value(FREE, instance), evidence.value(USED, instance)
    more = (sizes[1] - sizes[0]) / 8 * context.tuning.graph_bytes
    if not free or used is None or not 0 <= used < 1:
        text = f"{figure(more, 'bytes')} of graphs, and how much of the device is free is unknown"
        return Feasibility(fits=None, text=text, missing=("gpu_memory_free_bytes",))
    total = free / (1 - used)
    return share_proof(free, total, more / total, context.tuning.memory_reserve_bytes)


def _effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    itl = published(
        VerificationMetric.ITL_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, 0.67),
        "tuning §2.7: graphs at the batch that runs gave up to 1.5 times the tokens above 128 requests",
        context,
    )
    return Effects(expected=(itl,), must_improve=itl, guards=(error_guard(context), ttft_guard(context)))


RAISE_GRAPHS = Playbook(
    id="P04.4",
    title="Capture graphs for larger batches",
    size=_raise,
    effects=_effects,
    rollback=(
        "When the engine does not start, errors rise by half a percentage point, TTFT p95 passes its guard or ITL p95 "
        "does not fall, the old value is written back and the replicas that have it are restarted."
    ),
)
