"""P11: replicas of one service that do not share the load evenly, or of which one is slower."""

from recommender.figures import figure, sentence, share_of
from recommender.model import Evidence, Finding
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.scope import affected
from recommender.playbooks.seen import worst
from recommender.sizing import NotApplicable

_LOAD = "replica:llm_load:avg2m"
_AFFINITY_QUEUE, _AFFINITY_KV = 5, 0.8  # P11: llm-d's end-point picker routes away from here


def _balance(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    """P11: weights that would make the load even, from what each replica has now."""
    loads = {i: load for i in sorted(evidence.replica_readings) if (load := evidence.value(_LOAD, i)) is not None}
    skew = evidence.value("service:llm_load:skew_ratio")
    told = "the load is uneven" if skew is None else f"the busiest replica has {figure(skew)} times the mean load"
    if loads and min(loads.values()) != max(loads.values()):
        busiest = max(sorted(loads), key=lambda i: loads[i])
        mean = sum(loads.values()) / len(loads)
        told = f"{busiest} has {figure(loads[busiest])} requests, a replica {figure(mean)} on average; {told}"
    return Advice(
        f"{sentence(told)} (below 1.3 is even). Change the load balancer from round robin to least "
        "outstanding requests, or to scores of queue and KV cache (weights in proportion to 0.8 - KV usage). Look for "
        "clients that keep one connection open (HTTP/2, gRPC), all of whose requests go to one replica."
    )


def _bound_affinity(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice | NotApplicable:  # noqa: ARG001 - Size's signature
    hits = evidence.value("service:llm_prefix_cache_hit:ratio_rate5m")
    if hits == 0:
        return NotApplicable("no prompt token is found in a prefix cache: requests are not kept together on purpose")
    return Advice(
        f"Where sessions or prefixes are kept on a replica on purpose ({share_of(hits)} of prompt tokens are "
        f"found in a prefix cache), let requests go elsewhere once {_AFFINITY_QUEUE} of them wait there or its KV "
        f"cache is {_AFFINITY_KV:.0%} full."
    )


def _restart(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    slow = worst(evidence, finding, "replica:llm_itl_seconds:ratio_of_median")
    which = ", ".join(affected(evidence, finding)) if slow is None else slow.instance
    how = "" if slow is None else f", whose time per token is {figure(slow.value)} times the median of its siblings',"
    return Advice(
        f"Take {which}{how} out of the load balancer, let its requests end, restart it and compare again after ten "
        "minutes. When it is slow again within a day, keep it out until the reason is found."
    )


def _compare_machines(evidence: Evidence, finding: Finding, context: PlanContext) -> Advice:  # noqa: ARG001 - Size's signature
    """What differs between the slow replica's machine and the others', as far as it is read."""
    slow = worst(evidence, finding, "replica:llm_itl_seconds:ratio_of_median")
    differs = [] if slow is None else _differences(evidence, slow.instance)
    told = f"Read now: {'; '.join(differs)}. " if differs else ""
    return Advice(
        f"{told}Compare SM clock and temperature, PCIe generation and lanes (nvidia-smi -q), Xid and ECC events, NUMA "
        "placement (nvidia-smi topo -m), other processes on the node, and the GPU's type."
    )


def _differences(evidence: Evidence, slow: str) -> list[str]:
    found = []
    for name, text, unit, apart in (
        ("gpu:gpu_sm_clock:ratio", "SM clock over its maximum", "ratio", 0.05),
        ("gpu:gpu_temperature_celsius", "temperature", "°C", 5.0),
        ("gpu:gpu_pcie_link_width:ratio", "PCIe lanes in use", "ratio", 0.01),
        ("node:host_cpu_busy:ratio", "host CPU", "ratio", 0.2),
    ):
        own = evidence.value(name, slow)
        others = [
            v for i in sorted(evidence.replica_readings) if i != slow and (v := evidence.value(name, i)) is not None
        ]
        if own is None or not others:
            continue
        usual = sorted(others)[len(others) // 2]
        if abs(own - usual) >= apart:
            found.append(f"{text} {figure(own, unit)} against {figure(usual, unit)} of its siblings")
    return found


IMBALANCE = (
    Playbook("P11.1", "Send requests to the replica with the least of them", _balance),
    Playbook("P11.2", "Bound affinity by load", _bound_affinity),
)

STRAGGLER = (
    Playbook("P11.3", "Drain and restart the slow replica", _restart),
    Playbook("P11.4", "Compare its machine with its siblings'", _compare_machines),
)
