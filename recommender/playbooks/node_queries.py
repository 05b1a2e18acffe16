"""Success conditions that are read of the nodes and the service of the changed replicas (tuning §3.1)."""

from typing import TYPE_CHECKING

from recommender.model import Evidence, PlanQuery

if TYPE_CHECKING:
    from recommender.playbooks.queries import Selectors
    from recommender.tuning_config import SuccessConfig

_WINDOW = "15m"


def _on_nodes(of: "Selectors", signal: str, worst: str) -> str:
    """A signal of the nodes that the changed replicas run on: the worst of each."""
    nodes = f"count by (node) (replica:llm_up{{{of.changed}}})"
    return f"({worst} by (node) ({worst}_over_time({signal}[{_WINDOW}])) and on (node) {nodes})"


def device_memory(of: "Selectors", bounds: "SuccessConfig", evidence: Evidence) -> tuple[PlanQuery, ...]:  # noqa: ARG001 - Rule's signature
    """P01: no GPU of the nodes is as full again, and no engine restarted."""
    used = _on_nodes(of, "gpu:gpu_memory_used:ratio", "max")
    return (
        PlanQuery(
            text=f"no GPU of its nodes has more than {bounds.device_memory_max:.0%} of its memory in use",
            query=f"max({used}) < {bounds.device_memory_max:g}",
        ),
        PlanQuery(
            text="its engines answered all the time",
            query=f"min(min_over_time(replica:llm_up{{{of.changed}}}[{_WINDOW}])) == 1",
        ),
    )


def cpu(of: "Selectors", bounds: "SuccessConfig", evidence: Evidence) -> tuple[PlanQuery, ...]:
    """P15: GPUs work again and nothing waits for a CPU."""
    starved = evidence.thresholds.get("gpu_utilization_starved_ratio")
    pressure = _on_nodes(of, "node:host_cpu_pressure:ratio_rate2m", "max")
    calm = PlanQuery(
        text=f"tasks wait for a CPU less than {bounds.cpu_pressure_max:.0%} of the time",
        query=f"max({pressure}) < {bounds.cpu_pressure_max:g}",
    )
    if starved is None:
        return (calm,)
    busy = _on_nodes(of, "gpu:gpu_utilization:ratio", "max")
    return (
        PlanQuery(text=f"its GPUs work more than {starved:.0%} of the time", query=f"min({busy}) > {starved:g}"),
        calm,
    )


def host_memory(of: "Selectors", bounds: "SuccessConfig", evidence: Evidence) -> tuple[PlanQuery, ...]:  # noqa: ARG001 - Rule's signature
    """P16: there is memory again and nothing waits for it."""
    available = _on_nodes(of, "node:host_memory_available:ratio", "min")
    pressure = _on_nodes(of, "node:host_memory_pressure_some:ratio_rate2m", "max")
    return (
        PlanQuery(
            text=f"more than {bounds.host_memory_available_min:.0%} of host memory is available",
            query=f"min({available}) > {bounds.host_memory_available_min:g}",
        ),
        PlanQuery(
            text=f"tasks wait for memory less than {bounds.host_memory_pressure_max:.0%} of the time",
            query=f"max({pressure}) < {bounds.host_memory_pressure_max:g}",
        ),
    )


def cost(of: "Selectors", bounds: "SuccessConfig", evidence: Evidence) -> tuple[PlanQuery, ...]:  # noqa: ARG001 - Rule's signature
    """P24: a token costs no more than on average of its week."""
    ratio = f"max(service:llm_cost_per_million_tokens:ratio_of_week{{{of.service}}})"
    return (PlanQuery(text="a token costs no more than on average of a week", query=f"{ratio} < 1"),)
