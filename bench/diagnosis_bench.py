"""What evidence and diagnosis cost without I/O: `python -m bench.diagnosis_bench`.

One service whose every replica, on a node of its own with eight GPUs, shows all signals; its KV caches are full, one
node is hot and its host busy, so that several classes are judged. CPU time of one core, per service: `assemble` makes
evidence of Prometheus's answers, `diagnose` judges it.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import click

from recommender.contracts import Sample
from recommender.diagnosis import diagnose
from recommender.evidence import assemble
from recommender.model import Evidence
from rules.catalog import OBJECTIVES, SIGNALS, SOURCE_GAUGES, THRESHOLDS, Bottleneck, Level

AT = datetime(2026, 1, 1, tzinfo=UTC)
REPLICAS = (1, 4, 16, 64)
_GPUS = 8
_LOUD = {  # what is not 0.5, by signal
    "replica:llm_up": 1.0,
    "replica:llm_kv_cache_usage:avg2m": 0.97,
    "replica:llm_kv_cache_usage:max2m": 0.99,
    "replica:llm_preemptions:rate1m": 3.0,
    "replica:llm_requests_waiting:min2m": 7.0,
    "replica:llm_preemptions_per_request:ratio_rate5m": 0.4,
    "replica:llm_queue_share_of_ttft:ratio_rate5m": 0.8,
    "replica:llm_ttft_seconds:p95_5m": 9.0,
    "service:llm_ttft_seconds:p95_5m": 9.0,
    "service:llm_ttft_seconds_events:count5m": 900.0,
    "service:llm_requests_waiting:sum": 70.0,
    "service:llm_queue_share_of_ttft:ratio_rate5m": 0.8,
}
_HELD = (
    (Level.REPLICA, Bottleneck.KV_CACHE_PRESSURE),
    (Level.REPLICA, Bottleneck.ADMISSION_LIMITED),
    (Level.REPLICA, Bottleneck.PREFILL_BOUND),
    (Level.NODE, Bottleneck.HOST_CPU_SATURATION),
    (Level.GPU, Bottleneck.GPU_THERMAL_THROTTLE),
    (Level.SERVICE, Bottleneck.QUEUE_BUILDUP),
    (Level.SERVICE, Bottleneck.HIGH_LATENCY),
)

Answers = tuple[list[Sample], list[Sample], list[Sample]]


def answers(replicas: int) -> Answers:
    """Prometheus's answers to the three queries of one service."""
    names = [name for name in (*SIGNALS, *SOURCE_GAUGES) if not name.endswith("bottleneck:evidence")]
    service, nodes = [], []
    for number in range(replicas):
        node = f"gpu-{number}"
        labels = {"service": "chat", "instance": f"10.0.0.{number}:8000", "model": "m", "engine": "vllm", "node": node}
        service += [_sample(name, **labels) for name in names if name.startswith("replica:")]
        nodes += [_sample(name, node=node) for name in names if name.startswith("node:")]
        for gpu in range(_GPUS):
            of_gpu = {"node": node, "gpu": str(gpu), "uuid": f"GPU-{node}-{gpu}"}
            nodes += [_sample(name, **of_gpu) for name in names if name.startswith("gpu:")]
        service += list(_conditions(Level.REPLICA, labels))
        nodes += list(_conditions(Level.NODE, {"node": node}))
    nodes += list(_conditions(Level.GPU, {"node": "gpu-0", "gpu": "3", "uuid": "GPU-gpu-0-3"}))
    of_service = {"service": "chat", "model": "m"}
    service += [_sample(name, **of_service) for name in names if name.startswith("service:")]
    service += list(_conditions(Level.SERVICE, of_service))
    service += [_sample(f"service:objective:{one.name}", one.default, service="chat") for one in OBJECTIVES.values()]
    service += [_sample(one.resolved, one.default, service="chat") for one in THRESHOLDS.values() if one.per_service]
    thresholds = [_sample(one.resolved, one.default) for one in THRESHOLDS.values() if not one.per_service]
    return service, nodes, thresholds


def _sample(name: str, value: float | None = None, /, **labels: str) -> Sample:
    return Sample({"__name__": name, **labels}, _LOUD.get(name, 0.5) if value is None else value)


def _conditions(level: Level, labels: dict[str, str]) -> Iterator[Sample]:
    for of, bottleneck in _HELD:
        if of is level:
            yield Sample({"__name__": f"{level}:bottleneck:evidence", **labels, "bottleneck": bottleneck}, 0.9)


def cpu_seconds(work: Callable[[], object], times: int) -> list[float]:
    """CPU time of each of `times` calls, sorted."""
    work()  # caches are filled once a process
    found = []
    for _ in range(times):
        began = time.process_time_ns()
        work()
        found.append((time.process_time_ns() - began) / 1e9)
    return sorted(found)


def evidence_of(given: Answers) -> Evidence:
    """Evidence from the answers."""
    return assemble("chat", AT, *given)


@click.command()
@click.option("--times", default=50, help="Calls for each figure.")
def main(times: int) -> None:
    """Print the best, p50 and p99 of CPU time, in milliseconds: of a busy machine the best says most."""
    click.echo(
        f"{'replicas':>8} {'series':>7} {'assemble best':>14} {'p50':>7} {'p99':>7}"
        f" {'diagnose best':>14} {'p50':>7} {'p99':>7}  ms of CPU"
    )
    for replicas in REPLICAS:
        given = answers(replicas)
        evidence = evidence_of(given)
        built, judged = cpu_seconds(lambda: evidence_of(given), times), cpu_seconds(lambda: diagnose(evidence), times)  # noqa: B023 - called at once
        figures = [1000 * of[int(share * (times - 1))] for of in (built, judged) for share in (0, 0.5, 0.99)]
        series = sum(len(part) for part in given)
        click.echo(
            f"{replicas:>8} {series:>7} {figures[0]:>14.2f} {figures[1]:>7.2f} {figures[2]:>7.2f}"
            f" {figures[3]:>14.2f} {figures[4]:>7.2f} {figures[5]:>7.2f}"
        )


if __name__ == "__main__":
    main()
