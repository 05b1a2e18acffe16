"""P15: host CPUs, or a single thread, hold the engine back."""

import math

from recommender.figures import counted, figure, share_of
from recommender.metrics import VerificationMetric
from recommender.model import Change, Direction, Evidence, Finding, KnobValue
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.effects import Effects, error_guard, itl_guard, published
from recommender.playbooks.handles import handle
from recommender.playbooks.moves import Move, move
from recommender.playbooks.proofs import SLOT_ENGINES
from recommender.playbooks.scope import affected
from recommender.playbooks.seen import ask, crowd, value
from recommender.sizing import NotApplicable

_RATE = "replica:llm_generation_tokens:rate5m"
_STARVED = (1 / 1.36, 1 / 5.4)  # of TTFT; tuning §2.7, CPU provisioning


def _give_cpus(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """P15 no. 1: physical cores >= 2 + GPUs for each engine, and one for each 1-2 thousand tokens streamed a second."""
    tuning, gpus = context.tuning, context.facts.gpus_per_replica
    rate = value(evidence, finding, _RATE)
    throttled = value(evidence, finding, "node:host_engine_cpu_throttled:ratio")
    quota = (
        f" Its control group used up the CPU quota in {figure(throttled, 'ratio')} of periods, so raise that first."
        if throttled
        else " A quota of its control group throttles while the host looks idle."
    )
    if gpus is None or rate is None:
        unknown = f"services.{context.service}.hardware.gpus_per_replica" if gpus is None else "the token rate"
        return Advice(
            "Give each engine its CPUs: 2 physical cores and one for each GPU, one more for each 1,500 tokens streamed "
            f"a second, twice as many vCPUs ({unknown} would give the number). Move away what else runs on the node."
            f"{quota} {_GAIN}",
            tuple(each for each in context.facts.asks if each.fact == "gpus_per_replica"),
        )
    streaming = math.ceil(rate / tuning.streamed_tokens_per_core)
    cores = math.ceil(tuning.cores_per_engine + gpus + streaming)
    streamed = f"ceil({rate:.0f}/{tuning.streamed_tokens_per_core:g})"
    formula = f"{tuning.cores_per_engine:g} + {counted(gpus, 'GPU')} + {streamed} = {cores}"
    there = crowd(evidence, finding, context)
    shared = "" if there.own <= 1 else f" {there.own} engines of this service share a node: {there.own * cores} cores."
    shared += f" {there.others} engines of other services are there too." if there.others else ""
    return Advice(
        f"Give each engine {cores} physical cores, {2 * cores} vCPUs ({formula}).{shared} Move away what else runs on "
        f"the node.{quota} {_GAIN}"
    )


_GAIN = "More cores gave 1.4 to 5.4 times lower TTFT on starved hosts."


def _spread_front_end(evidence: Evidence, finding: Finding, context: PlanContext) -> Change | Advice | NotApplicable:
    """P15 no. 2: ceil(cores of the front end/0.7), at most twice as many."""
    busy, high = (
        value(evidence, finding, "node:host_cpu_busy:ratio"),
        evidence.thresholds.get("host_cpu_busy_high_ratio"),
    )
    if busy is None or high is None:
        return NotApplicable("whether CPUs are left for more processes is unknown")
    if busy >= high:
        return NotApplicable(
            f"{figure(busy, 'ratio')} of all CPUs are in use: more processes would share what there is"
        )
    rate = value(evidence, finding, _RATE)
    if not rate:
        return NotApplicable("how many tokens the front end streams is unknown, or it streams none")
    tuning = context.tuning
    cores = rate / tuning.streamed_tokens_per_core

    def size(old: KnobValue | None, instances: tuple[str, ...]) -> Move | NotApplicable:  # noqa: ARG001 - Sizer's signature
        wanted = max(2, math.ceil(cores / tuning.frontend_utilization))
        new = wanted if old is None else min(wanted, math.floor(tuning.step_max_ratio * float(old)))
        formula = f"ceil({rate:.0f}/{tuning.streamed_tokens_per_core:g}/{tuning.frontend_utilization:g}) = {wanted}"
        if old is not None and new <= float(old):
            return NotApplicable(f"{formula} processes are not more than the {old} that there are")
        capped = "" if new == wanted else f", at most {tuning.step_max_ratio:g} times {old} = {new}"
        return Move(new, f"{formula}{capped}", {"tokens_per_second": rate, "processes": float(new)})

    hot = share_of(value(evidence, finding, "node:host_engine_busiest_thread:ratio_rate2m"))
    reason = (
        f"The busiest thread of an engine ran for {hot} of the time while {rate:.0f} tokens a second were streamed."
    )
    return move("api_server_processes", evidence, finding, context, size=size, reason=reason)


def _front_end_effects(change: Change, evidence: Evidence, canary: str, context: PlanContext) -> Effects:  # noqa: ARG001 - Effect's signature
    source = "tuning §2.7: TTFT over 1.36 to 5.4 where CPUs were short"
    ttft = published(VerificationMetric.TTFT_P95_SECONDS, Direction.LOWER, _STARVED, source, context)
    return Effects(expected=(ttft,), must_improve=ttft, guards=(error_guard(context), itl_guard(context)))


def _set_threads(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:
    """P15: engines that compute on CPUs take as many threads as there are physical cores for each of them."""
    turned = handle("cpu_threads", context) or "its threads"
    cores = context.tuning.host_cores
    if cores is None:
        return Advice(
            f"Set {turned} to the physical cores of the node over the engines on it, not to its hyper-threads; "
            f"services.{context.service}.tuning.host_cores would give the number (lscpu -p=CORE).",
            (ask(context, "tuning.host_cores", "to say how many threads an engine should compute with"),),
        )
    most = crowd(evidence, finding, context).all
    return Advice(
        f"Set {turned} to {max(1, math.floor(cores / most))} ({cores:g} physical cores, {most} engines a node)."
    )


def _pin(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    steal = value(evidence, finding, "node:host_cpu_steal:ratio")
    stolen = f" The hypervisor took {figure(steal, 'ratio')} of CPU time: ask for dedicated cores." if steal else ""
    instances = len(affected(evidence, finding))
    return Advice(
        f"Pin each engine ({instances} here) to the cores next to its GPU (nvidia-smi topo -m shows them; numactl "
        "--cpunodebind=N --membind=N), set the performance governor (cpupower frequency-set -g performance) and keep "
        f"noisy pods off: 5 to 20 % [guess].{stolen}"
    )


_ROLLBACK = (
    "When errors rise by half a percentage point, ITL p95 passes its guard or TTFT p95 does not improve, the old "
    "number of processes is written back and the replicas that have the new one are restarted."
)

PLAYBOOKS = (
    Playbook("P15.1", "Give the engine its CPUs", _give_cpus),
    Playbook("P15.2", "Spread the front end over processes", _spread_front_end, _front_end_effects, _ROLLBACK),
    Playbook("P15.5", "Compute with as many threads as there are cores", _set_threads, engines=SLOT_ENGINES),
    Playbook("P15.6", "Pin it next to its GPU", _pin),
)

ENGINE_THREAD = (
    Playbook("P15.7", "Spread the front end over processes", _spread_front_end, _front_end_effects, _ROLLBACK),
    advising(
        "P15.3",
        "Take work off the hot thread",
        "See which thread it is (top -H -p PID, py-spy dump). A front end: several processes and fewer, larger stream "
        "events (vLLM: --stream-interval; up to 57 % more at a thousand streams). A scheduler: a newer engine with "
        "asynchronous scheduling, fewer log lines, no log probabilities where nobody reads them. More CPUs do not "
        "help.",
    ),
    Playbook("P15.4", "Give the thread a faster core", _pin),
)
