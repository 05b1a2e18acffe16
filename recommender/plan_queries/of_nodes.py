"""Success conditions that are read of the nodes and the service of the changed replicas (tuning §3.1)."""

from recommender.figures import figure
from recommender.metrics import VerificationMetric
from recommender.model import PlanQuery
from recommender.plan_queries.expressions import Selectors
from recommender.plan_queries.step import WINDOW, Step


def _on_nodes(of: Selectors, signal: str, worst: str) -> str:
    """A signal of the nodes that the changed replicas run on: the worst of each."""
    nodes = f"count by (node) (replica:llm_up{{{of.changed}}})"
    return f"({worst} by (node) ({worst}_over_time({signal}[{WINDOW}])) and on (node) {nodes})"


def device_memory(step: Step) -> tuple[PlanQuery, ...]:
    """P01: no GPU of the nodes is as full again, as far as this step is to bring it, and no engine restarted."""
    answered = PlanQuery(
        text="its engines answered all the time",
        query=f"min(min_over_time(replica:llm_up{{{step.of.changed}}}[{WINDOW}])) == 1",
    )
    seen, goal = step.worst("gpu:gpu_memory_used:ratio"), step.goal
    if goal.metric != VerificationMetric.DEVICE_MEMORY_USED_RATIO or seen is None or goal.mid is None:
        return (answered,)
    most = step.bounds.device_memory_max
    if seen * goal.mid >= most:  # one step does not bring it there
        most = round(seen * (1 - step.judged.min_improvement), 4)
    used = _on_nodes(step.of, "gpu:gpu_memory_used:ratio", "max")
    text = f"no GPU of its nodes has more than {figure(most, 'ratio')} of its memory in use"
    return (PlanQuery(text=text, query=f"max({used}) < {most:g}"), answered)


def cpu(step: Step) -> tuple[PlanQuery, ...]:
    """P15: GPUs work again and nothing waits for a CPU."""
    starved = step.evidence.thresholds.get("gpu_utilization_starved_ratio")
    pressure = _on_nodes(step.of, "node:host_cpu_pressure:ratio_rate2m", "max")
    most = step.bounds.cpu_pressure_max
    calm = PlanQuery(
        text=f"tasks wait for a CPU less than {figure(most, 'ratio')} of the time", query=f"max({pressure}) < {most:g}"
    )
    if starved is None:
        return (calm,)
    busy = _on_nodes(step.of, "gpu:gpu_utilization:ratio", "max")
    text = f"its GPUs work more than {figure(starved, 'ratio')} of the time"
    return (PlanQuery(text=text, query=f"min({busy}) > {starved:g}"), calm)


def host_memory(step: Step) -> tuple[PlanQuery, ...]:
    """P16: there is memory again, as far as this step gives some back, and nothing waits for it."""
    seen, goal, bounds = step.worst("node:host_memory_available:ratio", lowest=True), step.goal, step.bounds
    least = bounds.host_memory_available_min
    if seen is not None and goal.mid is not None and seen * goal.mid <= least:  # one step does not bring it there
        least = round(seen * (1 + step.judged.min_improvement), 4)
    available = _on_nodes(step.of, "node:host_memory_available:ratio", "min")
    pressure = _on_nodes(step.of, "node:host_memory_pressure_some:ratio_rate2m", "max")
    return (
        PlanQuery(
            text=f"more than {figure(least, 'ratio')} of host memory is available",
            query=f"min({available}) > {least:g}",
        ),
        PlanQuery(
            text=f"tasks wait for memory less than {figure(bounds.host_memory_pressure_max, 'ratio')} of the time",
            query=f"max({pressure}) < {bounds.host_memory_pressure_max:g}",
        ),
    )


def cost(step: Step) -> tuple[PlanQuery, ...]:
    """P24: a token costs no more than on average of its week, where this step is expected to make it so cheap."""
    now, goal = step.evidence.value("service:llm_cost_per_million_tokens:ratio_of_week"), step.goal
    if now is None or not goal.mid or now / goal.mid >= 1:
        return ()
    ratio = f"max(service:llm_cost_per_million_tokens:ratio_of_week{{{step.of.service}}})"
    return (PlanQuery(text="a token costs no more than on average of a week", query=f"{ratio} < 1"),)
