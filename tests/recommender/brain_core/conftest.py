"""Evidence built from the captured vLLM states, and a real Prometheus that holds recorded series."""

import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo.free_port import free_port
from recommender.contracts import ReplicaTarget
from recommender.evidence import signal_query, unit_of
from recommender.inventory import VerificationConfig
from recommender.knobs import load
from recommender.model import Confirmation, Evidence, KnobValue, Reading
from recommender.playbooks import PlanContext
from rules.catalog import OBJECTIVES, THRESHOLDS, Bottleneck

CAPTURES = Path(__file__).parents[2] / "data" / "captures" / "vllm"
SECONDS = 30.0  # between the two scrapes of a state
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
REPLICAS = ("10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000")

# What the shipped rules record for these states (tests/rules holds the rules to it): replica and service conditions.
HOLDS = {
    "saturated": (Bottleneck.ADMISSION_LIMITED, Bottleneck.QUEUE_BUILDUP, Bottleneck.HIGH_LATENCY),
    "kv_pressure": (Bottleneck.KV_CACHE_PRESSURE, Bottleneck.QUEUE_BUILDUP, Bottleneck.HIGH_LATENCY),
}
_OF_SERVICE = {Bottleneck.QUEUE_BUILDUP, Bottleneck.HIGH_LATENCY, Bottleneck.SLO_BURN, Bottleneck.CACHE_INEFFICIENCY}


def _samples(name: str) -> tuple[dict[str, float], str]:
    """Sums over labels by metric name, and the cache_config_info line."""
    sums: dict[str, float] = {}
    info = ""
    for line in (CAPTURES / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("vllm:cache_config_info{"):
            info = line
        if match := re.match(r"^(vllm:[a-z_]+)(?:\{.*\})? (\S+)$", line):
            sums[match[1]] = sums.get(match[1], 0.0) + float(match[2])
    return sums, info


def captured_signals(state: str) -> dict[str, float]:
    """Replica signals of a captured state, from its two scrapes; a ratio whose denominator is zero is absent."""
    first, info = _samples(f"{state}.prom")
    second, _ = _samples(f"{state}.2.prom")
    delta = {name: second[name] - first.get(name, 0.0) for name in second}
    mean = {name: (second[name] + first[name]) / 2 for name in second if name in first}
    capacity = float(re.search(r'kv_cache_size_tokens="(\d+)"', info)[1])  # type: ignore[index]  # in every capture
    running, kv = mean["vllm:num_requests_running"], mean["vllm:kv_cache_usage_perc"]
    waiting = [scrape["vllm:num_requests_waiting"] for scrape in (first, second)]
    done, ttft = delta["vllm:request_success_total"], delta["vllm:time_to_first_token_seconds_sum"]
    signals = {
        "replica:llm_up": 1.0,
        "replica:llm_requests_running:avg2m": running,
        "replica:llm_requests_running:max2m": max(s["vllm:num_requests_running"] for s in (first, second)),
        "replica:llm_requests_waiting:avg2m": sum(waiting) / 2,
        "replica:llm_requests_waiting:min2m": min(waiting),
        "replica:llm_kv_cache_usage:avg2m": kv,
        "replica:llm_kv_cache_usage:max2m": max(s["vllm:kv_cache_usage_perc"] for s in (first, second)),
        "replica:llm_kv_cache_capacity_tokens": capacity,
        "replica:llm_kv_cache_memory_fraction": 0.92,
        "replica:llm_preemptions:rate1m": delta["vllm:num_preemptions_total"] / SECONDS,
    }
    if running:
        signals["replica:llm_tokens_per_running_request:avg5m"] = kv * capacity / running
    if done:
        signals |= {
            "replica:llm_preemptions_per_request:ratio_rate5m": delta["vllm:num_preemptions_total"] / done,
            "replica:llm_queue_share_of_ttft:ratio_rate5m": delta["vllm:request_queue_time_seconds_sum"] / ttft,
            "replica:llm_ttft_seconds:p95_5m": ttft / delta["vllm:time_to_first_token_seconds_count"],
            "replica:llm_itl_seconds:p95_5m": delta["vllm:inter_token_latency_seconds_sum"]
            / delta["vllm:inter_token_latency_seconds_count"],
            "replica:llm_request_prompt_tokens:mean_5m": delta["vllm:request_prompt_tokens_sum"] / done,
            "replica:llm_request_generation_tokens:mean_5m": delta["vllm:request_generation_tokens_sum"] / done,
        }
    return signals


def make_evidence(
    signals: dict[str, float],
    holds: tuple[Bottleneck, ...] = (),
    *,
    instances: tuple[str, ...] = REPLICAS,
    thresholds: dict[str, float | None] | None = None,
    objectives: dict[str, float | None] | None = None,
    **service: float,
) -> Evidence:
    """Evidence of `chat` whose replicas all show `signals`; `service` gives service signals with `__` for `:`."""

    def reading(name: str, value: float, instance: str | None = None) -> Reading:
        labels = {"service": "chat"} | ({"instance": instance} if instance else {})
        return Reading(
            name=name, query=signal_query(name, **labels), value=value, unit=unit_of(name), instance=instance
        )

    of_service = {
        "service:llm_replicas_up:count": float(len(instances)),
        "service:llm_ttft_seconds_events:count5m": 500.0,
        "service:llm_requests_running:sum": signals.get("replica:llm_requests_running:avg2m", 0.0) * len(instances),
        "service:llm_requests_waiting:sum": signals.get("replica:llm_requests_waiting:avg2m", 0.0) * len(instances),
    }
    pairs = {
        "service:llm_ttft_seconds:p95_5m": "replica:llm_ttft_seconds:p95_5m",
        "service:llm_itl_seconds:p95_5m": "replica:llm_itl_seconds:p95_5m",
        "service:llm_queue_share_of_ttft:ratio_rate5m": "replica:llm_queue_share_of_ttft:ratio_rate5m",
        "service:llm_kv_cache_usage:avg": "replica:llm_kv_cache_usage:avg2m",
        "service:llm_kv_cache_usage:max": "replica:llm_kv_cache_usage:max2m",
    }
    of_service |= {ours: signals[theirs] for ours, theirs in pairs.items() if theirs in signals}
    of_service |= {name.replace("__", ":"): value for name, value in service.items()}
    return Evidence(
        service="chat",
        at=AT,
        service_readings={name: reading(name, value) for name, value in of_service.items()},
        replica_readings={i: {n: reading(n, v, i) for n, v in signals.items()} for i in instances},
        thresholds={name: one.default for name, one in THRESHOLDS.items()} if thresholds is None else thresholds,
        objectives={name: one.default for name, one in OBJECTIVES.items()} if objectives is None else objectives,
        confirmed=tuple(
            Confirmation(
                bottleneck=bottleneck,
                instances=() if bottleneck in _OF_SERVICE else instances,
                value=1.0,
                query=f'replica:bottleneck:evidence{{service="chat",bottleneck="{bottleneck}"}}',
            )
            for bottleneck in holds
        ),
    )


def make_state(state: str, *, limit: float | None = None) -> Evidence:
    """Evidence of a captured state; `limit` is the batch limit that the rules resolved, if any."""
    signals = captured_signals(state)
    if limit is not None:
        signals["replica:llm_max_running_requests"] = limit
        signals["replica:llm_admission_fullness:ratio_avg2m"] = signals["replica:llm_requests_running:avg2m"] / limit
    return make_evidence(signals, HOLDS.get(state, ()))


def make_context(**settings: KnobValue) -> PlanContext:
    """A vLLM service of three replicas whose configuration files hold `settings`, `_` for `-` in the keys."""
    return PlanContext(
        service="chat",
        executor="command",
        replicas=tuple(
            ReplicaTarget(
                service="chat", instance=instance, url=f"http://{instance}", engine="vllm", node=f"gpu-{number}"
            )
            for number, instance in enumerate(REPLICAS, 1)
        ),
        knobs=load("vllm"),
        settings={i: {key.replace("_", "-"): value for key, value in settings.items()} for i in REPLICAS},
        verification=VerificationConfig(),
    )


@pytest.fixture
def state() -> Callable[..., Evidence]:
    return make_state


@pytest.fixture
def signals() -> Callable[[str], dict[str, float]]:
    return captured_signals


@pytest.fixture
def evidence_of() -> Callable[..., Evidence]:
    return make_evidence


@pytest.fixture
def context() -> Callable[..., PlanContext]:
    return make_context


HOSTILE = 'we"ird\\name\n{}'  # a service name that ends a careless PromQL literal


def recorded_series(now: float) -> str:
    """OpenMetrics text of what the rules record for a limited service, a second service and a hostile one."""
    lines: list[str] = []

    def add(name: str, value: float | str, **labels: str) -> None:
        shown = ",".join(
            f'{k}="{v}"'
            for k, v in (
                (k, v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for k, v in labels.items()
            )
        )
        lines.extend(f"{name}{{{shown}}} {value} {now - ago:.3f}" for ago in (60, 30, 0))

    for name, threshold in THRESHOLDS.items():
        if name != "admission_fullness_ratio":  # a site's file may lack one
            value = 0.8 if name == "kv_cache_usage_high_ratio" else threshold.default  # one is the service's own
            add(threshold.resolved, value, **({"service": "chat"} if threshold.per_service else {}))
    # The figures of a sibling, which are nothing to the service.
    add("service:threshold:admission_fullness_ratio", 0.5, service="batch")
    add("threshold:admission_fullness_ratio", 0.5, service="batch")
    replica_signals = captured_signals("saturated") | {"replica:llm_admission_fullness:ratio_avg2m": 0.97}
    for number, instance in enumerate(REPLICAS[:2], 1):
        labels = {"service": "chat", "instance": instance, "model": "m", "engine": "vllm", "node": f"gpu-{number}"}
        for name, value in replica_signals.items():
            add(name, value, **labels)
        add("replica:llm_ttft_seconds_bucket:rate1m", 1.0, **labels, le="0.5")
        add("replica:bottleneck:evidence", 0.97, **labels, bottleneck="admission_limited")
        add("node:host_cpu_busy:ratio", 0.9, node=f"gpu-{number}")
        add("gpu:gpu_memory_free_bytes", 8e9 * number, node=f"gpu-{number}", gpu="0", uuid="a")
        add("gpu:gpu_memory_free_bytes", 6e9, node=f"gpu-{number}", gpu="1", uuid="b")
    add("node:bottleneck:evidence", 0.9, node="gpu-1", bottleneck="host_cpu_saturation")
    add("node:bottleneck:evidence", 0.9, node="elsewhere", bottleneck="host_memory_pressure")
    add("service:llm_replicas_up:count", 2, service="chat")
    add("service:llm_prefix_cache_hit:ratio_rate5m", "NaN", service="chat", model="m")
    add("service:llm_ttft_seconds:p95_5m", 3.5, service="chat", model="m")
    add("service:llm_itl_seconds:p95_5m", 0.005, service="chat", model="m")
    add("service:llm_itl_seconds:p95_5m", 0.9, service="chat", model="another")
    add("service:objective:ttft_p95_seconds", 2.0, service="chat")
    add("service:bottleneck:evidence", 3.5, service="chat", model="m", bottleneck="high_latency", objective="ttft")
    add("service:bottleneck:evidence", 0.2, service="chat", model="m", bottleneck="high_latency", objective="itl")
    add("replica:llm_up", 0, service="batch", instance="10.9.9.9:8000")
    add("replica:llm_up", 1, service=HOSTILE, instance="10.8.8.8:8000")
    lines.extend(_history(now))
    return "\n".join(sorted(lines, key=_family)) + "\n# EOF\n"


def _history(now: float) -> list[str]:
    """Four hours of one replica whose latency follows its batch: 20 ms + 1 ms·B."""
    labels = 'service="history",instance="10.7.7.7:8000"'
    batches = [4 + minute % 50 for minute in range(250)]
    lines = []
    for minute, batch in enumerate(batches):
        at = now - 60 * (len(batches) - 1 - minute)
        recent = batches[max(0, minute - 5) : minute + 1]
        itl = 0.020 + 0.001 * sum(recent) / len(recent)
        lines.append(f"replica:llm_requests_running{{{labels}}} {batch} {at:.3f}")
        lines.append(f"replica:llm_itl_seconds:mean_5m{{{labels}}} {itl} {at:.3f}")
    return lines


def _family(line: str) -> str:
    return line.split("{", 1)[0]  # OpenMetrics wants a family's lines together; the sort is stable


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, datetime]]:
    """(URL, instant) of a Prometheus whose blocks hold `recorded_series` at that instant."""
    home = tmp_path_factory.mktemp("prometheus")
    now = float(int(time.time()) - 120)
    (home / "series.om").write_text(recorded_series(now), encoding="utf-8")
    (home / "prometheus.yml").write_text("{}\n", encoding="utf-8")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", home / "series.om", home / "data"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    port = free_port()
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(
            [
                "prometheus",
                f"--config.file={home / 'prometheus.yml'}",
                f"--storage.tsdb.path={home / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "GOMAXPROCS": "1"},
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_ready(f"{url}/-/ready", process)
            yield url, datetime.fromtimestamp(now, UTC)
        finally:
            process.terminate()


def _wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)  # polling a process that has no event to wait for
    pytest.fail(f"{url} did not become ready")
