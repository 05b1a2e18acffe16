"""P06: decode waits for device memory; each token takes longer the more requests share a step."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import Ask, Change, Direction, Evidence, Finding, KnobValue
from recommender.playbooks import precision, speculation
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects, error_guard, objective_guard
from recommender.playbooks.forecast import expected, forecast
from recommender.playbooks.moves import Move, move, of_sized
from recommender.playbooks.parallelism import MORE_GPUS_FOR_LATENCY
from recommender.playbooks.precision_effects import Purpose
from recommender.playbooks.proofs import NO_MORE
from recommender.playbooks.scope import canary_of, not_what_runs
from recommender.playbooks.seen import filling
from recommender.sizing import NotApplicable
from recommender.sizing.steps import lower_max_running_for_itl

_ITL = "replica:llm_itl_seconds:p95_5m"
_FIT = Ask(
    fact="itl_model",
    needed_for="to size the batch that keeps the ITL objective",
    how="keep a day of the recorded series in Prometheus: 200 points over a fourfold range of running requests",
)


def smaller_batch(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P06 no. 2: B = (ITL objective/1.2 - alpha)/beta, at most halved a step; what then waits needs replicas."""
    canary = canary_of(evidence, finding)
    itl, objective = evidence.value(_ITL, canary), evidence.objectives.get("itl_p95_seconds")
    if itl is None or objective is None or itl <= objective:
        return NotApplicable("ITL p95 is not known to be over its objective: a smaller batch would only add a queue")
    if context.itl is None:
        return Advice(
            f"ITL p95 of {canary} is {figure(itl, 'seconds')} (objective {figure(objective, 'seconds')}). Time per "
            "token grows about linearly with the batch: lower the batch limit until it is within, and add replicas "
            "for what then waits. By how much cannot be said without a fitted latency model.",
            (_FIT,),
        )
    if why := filling(evidence):
        return NotApplicable(why)

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:
        running = evidence.value("replica:llm_requests_running:avg2m", instances[0])
        if old is not None and (wrong := not_what_runs("max_running_requests", old, evidence, instances[0])):
            return NotApplicable(wrong)
        if old is None and running is None:
            return NotApplicable("neither the batch limit nor what runs is known")
        return of_sized(
            lower_max_running_for_itl(
                int(old) if old is not None else round(running or 0) + 1,
                running=running,
                itl=context.itl,
                itl_objective_seconds=objective,
                headroom=context.tuning.itl_headroom_ratio,
                rule=context.tuning.step_rule,
            ),
            NO_MORE,
        )

    late = ""
    ttft, promise = (
        evidence.value("replica:llm_ttft_seconds:p95_5m", canary),
        evidence.objectives.get("ttft_p95_seconds"),
    )
    if ttft is not None and promise is not None and ttft <= promise:
        late = f" TTFT p95 ({figure(ttft, 'seconds')}) keeps its objective now and may break it: then add replicas."
    reason = (
        f"ITL p95 of {canary} is {figure(itl, 'seconds')}, over its objective of {figure(objective, 'seconds')}, and "
        f"grows with its batch: fewer requests at once are each answered faster, others wait.{late}"
    )
    return move("max_running_requests", evidence, finding, context, size=size, reason=reason)


def _effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:
    told = forecast(change.knob, (float(change.old), float(change.new)), evidence, canary, context)
    itl = expected(
        told,
        VerificationMetric.ITL_P95_SECONDS,
        Direction.LOWER,
        (1 - context.verification.min_improvement, float(change.new) / float(change.old)),
        "tuning §2.3: at best in proportion to the batch",
        context=context,
    )
    throughput = expected(
        told,
        VerificationMetric.GENERATION_TOKENS_RATE,
        Direction.HIGHER,
        (float(change.new) / float(change.old), 1.0),
        "the declared trade: B/(alpha + beta·B) falls with the batch",
        context=context,
    )
    ttft = objective_guard(VerificationMetric.TTFT_P95_SECONDS, evidence, context.tuning.ttft_trade_ratio)
    return Effects(expected=(itl, throughput), must_improve=itl, guards=(error_guard(context), ttft))


def _more_bandwidth(
    evidence: Evidence,  # noqa: ARG001 - Size's signature
    finding: Finding,  # noqa: ARG001 - Size's signature
    context: PlanContext,
) -> Advice | NotApplicable:
    """P06 no. 7: ITL goes with one over the bandwidth."""
    gpu = context.facts.gpu
    if gpu is None:
        return Advice(
            "A GPU with more memory bandwidth: time per token goes with one over it (H100 to H200 gave 1.0 to 1.34).",
            context.asks("gpu"),
        )
    return Advice(
        f"A GPU with more memory bandwidth than {gpu.name} ({gpu.bytes_per_second / 1e9:.0f} GB/s): time per token "
        "goes with one over it, while the batch is below the ridge (tuning §2.2)."
    )


SMALLER_BATCH = Playbook(
    id="P06.2",
    title="Run fewer requests at once",
    size=smaller_batch,
    effects=_effects,
    rollback=(
        "When TTFT p95 passes its guard, errors rise by half a percentage point or ITL p95 does not fall, the old "
        "batch limit is written back and the replicas that have it are restarted."
    ),
)

PLAYBOOKS = (
    speculation.STOP,
    speculation.SHORTEN,
    SMALLER_BATCH,
    speculation.START,
    precision.weights("P06.3", Purpose.DECODE),
    precision.kv_cache("P06.4", Purpose.DECODE),
    MORE_GPUS_FOR_LATENCY,
    Playbook("P06.7", "Use faster memory", _more_bandwidth),
)
