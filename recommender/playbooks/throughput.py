"""P08: tokens come slower than this engine has shown it can, and no cause is certain. Checks in P08's order."""

from dataclasses import dataclass

from recommender.figures import figure, sentence
from recommender.model import Evidence, Finding
from recommender.playbooks import ollama, speculation
from recommender.playbooks.base import Advice, PlanContext, Playbook, advising
from recommender.playbooks.graphs import RAISE_GRAPHS
from recommender.playbooks.scope import canary_of
from recommender.sizing import NotApplicable


@dataclass(frozen=True, slots=True)
class _Look:
    """One place to look at: the signal, the threshold at or above which it is the place, and what to do then."""

    name: str
    signal: str
    threshold: str
    then: str


_LOOKS = (
    _Look("heat", "gpu:gpu_throttled_thermal:ratio_rate5m", "gpu_throttled_thermal_high_ratio", "cool the GPU (P12)"),
    _Look(
        "the power limit",
        "gpu:gpu_throttled_power:ratio_rate5m",
        "gpu_throttled_power_high_ratio",
        "raise its limit (P13)",
    ),
    _Look("load of the host's CPUs", "node:host_cpu_busy:ratio", "host_cpu_busy_high_ratio", "give it cores (P15)"),
    _Look(
        "one thread",
        "node:host_engine_busiest_thread:ratio_rate2m",
        "engine_thread_busy_high_ratio",
        "take work off it (P15)",
    ),
)


def _first_hit(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    """Throttling, then CPUs; what is unknown is named and not passed over as fine."""
    canary = canary_of(evidence, finding)
    if waiting := _idle(evidence, canary):
        return NotApplicable(waiting)
    unknown = []
    for look in _LOOKS:
        seen, limit = evidence.value(look.signal, canary), evidence.thresholds.get(look.threshold)
        if seen is None or limit is None:
            unknown.append(look.name)
        elif seen >= limit:
            after = f" Not known: {', '.join(unknown)}." if unknown else ""
            return Advice(
                f"{sentence(look.name)} holds {canary} back ({figure(seen, 'ratio')} of the time): {look.then}, before "
                f"anything else.{after}"
            )
    fine = [look.name for look in _LOOKS if look.name not in unknown]
    told = f"Not what slows {canary} down: {', '.join(fine)}. " if fine else ""
    told += f"Not known: {', '.join(unknown)}; look there first. " if unknown else ""
    return Advice(
        f"{told}Next are captured graphs, the token budget, the batch, guided decoding and LoRA, then the parallel "
        "layout."
    )


def _idle(evidence: Evidence, canary: str) -> str:
    waiting = evidence.value("replica:llm_requests_waiting:min2m", canary)
    return "" if waiting else "requests do not always wait: an engine that is asked for little gives little"


PLAYBOOKS = (
    Playbook("P08.1", "Look at the GPU and its host first", _first_hit),
    speculation.STOP,
    RAISE_GRAPHS,
    ollama.UNLOAD,
    ollama.FEWER_SLOTS,
    ollama.LESS_CONTEXT,
    advising(
        "P08.2",
        "Compare with what was deployed when it was faster",
        "A newer engine, another checkpoint, guided decoding, LoRA or log probabilities that more requests ask for: "
        "compare tokens per second per running request before and after. Engine upgrades gave 1.7 to 2.7 times "
        "(tuning P08); compare answers as well.",
    ),
)
