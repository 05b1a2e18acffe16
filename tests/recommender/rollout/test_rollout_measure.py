"""Measuring against a real Prometheus that holds recorded signals of three replicas.

The signals are backfilled with promtool: 20 minutes at 15 s. Replica 1 is the canary: slow for 10 minutes, restarted
(one minute without samples), fast afterwards. The other two are slow throughout; replica 3 stops after 17 minutes.
"""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from demo.free_port import free_address
from recommender.metrics import VerificationMetric, Work
from recommender.model import VerdictOutcome
from recommender.prometheus import PrometheusClient
from recommender.rollout.assess import CHECKED_OBJECTIVES, baseline_of, canary_verdict, validation_verdict
from recommender.rollout.measure import Question, Window, objective, read_arm
from tests.recommender.rollout.builders import make_plan, make_verification

pytestmark = pytest.mark.process

BEGIN = datetime.fromtimestamp((datetime.now(UTC).timestamp() - 7200) // 60 * 60, UTC)
STEP = 15
CHANGED, BACK = 600, 660
LAST_OF_THIRD = 1020
ONE, TWO, THREE = "10.0.0.1:8000", "10.0.0.2:8000", 'odd|"name\\:8000'
BUCKETS = ("0.1", "1", "2", "10", "+Inf")
FAST, SLOW = (0.0, 2.0, 2.0, 2.0, 2.0), (0.0, 0.0, 0.0, 2.0, 2.0)  # cumulative requests a second
SIGNALS = {
    "replica:llm_ttft_seconds_count:rate1m": 2.0,
    "replica:llm_requests:rate1m": 2.0,
    "replica:llm_request_errors:rate1m": 0.0,
    "replica:llm_preemptions:rate1m": 0.0,
    "replica:llm_prefix_cache_query_tokens:rate1m": 100.0,
    "replica:llm_prefix_cache_hit_tokens:rate1m": 25.0,
    "replica:llm_requests_waiting": 3.0,
    "replica:llm_requests_running": 5.0,
    "replica:llm_requests_paused": 1.0,
    "replica:llm_model_memory_bytes": 40e9,
    "replica:llm_model_device_memory_bytes": 30e9,
    "replica:llm_probe_success": 1.0,
    "replica:llm_probe_ttft_seconds": 0.2,
    "replica:llm_probe_itl_seconds": 0.02,
    "replica:llm_up": 1.0,
}
NODES = (  # no arm runs on the node `other`
    ("gpu:gpu_memory_used:ratio", 'node="n",gpu="0",uuid="a"', 0.5),
    ("gpu:gpu_memory_used:ratio", 'node="n",gpu="1",uuid="b"', 0.98),
    ("gpu:gpu_memory_used:ratio", 'node="other",gpu="0",uuid="c"', 1.0),
    ("node:host_memory_available:ratio", 'node="n"', 0.4),
    ("node:host_memory_available:ratio", 'node="other"', 0.1),
)


def exposition() -> Iterator[str]:
    """OpenMetrics text of the recorded signals, series by series."""
    for instance in (ONE, TWO, THREE):
        quoted = instance.replace("\\", "\\\\").replace('"', '\\"')
        labels = f'service="chat",instance="{quoted}",model="tiny",engine="vllm",node="n"'
        times = [t for t in range(0, 1200 + 1, STEP) if _present(instance, t)]
        for index, le in enumerate(BUCKETS):
            ttft = {t: (FAST if instance == ONE and t >= BACK else SLOW)[index] for t in times}
            yield from _series("replica:llm_ttft_seconds_bucket:rate1m", f'{labels},le="{le}"', ttft)
            itl = dict.fromkeys(times, 0.0 if le == "0.1" else 50.0)
            yield from _series("replica:llm_itl_seconds_bucket:rate1m", f'{labels},le="{le}"', itl)
        for name, value in SIGNALS.items():
            yield from _series(name, labels, dict.fromkeys(times, value))
        tokens = dict.fromkeys(times, 200.0 if instance == ONE else 100.0)
        yield from _series("replica:llm_generation_tokens:rate1m", labels, tokens)
    for name, labels, value in NODES:
        yield from _series(name, labels, dict.fromkeys(range(0, 1201, STEP), value))
    for name, value in (("ttft_p95_seconds", 2.0), ("itl_p95_seconds", 1.5), ("error_ratio", 0.01)):
        yield from _series(f"service:objective:{name}", 'service="chat"', dict.fromkeys(range(0, 1201, STEP), value))
    yield "# EOF"


def _present(instance: str, at: int) -> bool:
    restarting = instance == ONE and CHANGED <= at < BACK
    return not restarting and not (instance == THREE and at > LAST_OF_THIRD)


def _series(name: str, labels: str, values: dict[int, float]) -> Iterator[str]:
    for at, value in values.items():
        yield f"{name}{{{labels}}} {value} {BEGIN.timestamp() + at:.0f}"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusClient]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "signals.om").write_text("\n".join(exposition()) + "\n")
    (folder / "prometheus.yml").write_text("global: {}\n")
    backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "signals.om", "data"]
    subprocess.run(backfill, cwd=folder, check=True, capture_output=True, timeout=60)
    address = free_address()
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], cwd=folder, stderr=log, stdout=log)
        try:
            _wait_until_ready(f"http://{address}/-/ready", folder / "log")
            client = PrometheusClient(f"http://{address}")
            yield client
            client.close()
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with requests.get(url, timeout=1) as answer:
                if answer.ok:
                    return
        except requests.ConnectionError:
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def window(start: int, end: int) -> Window:
    return Window(BEGIN + timedelta(seconds=start), BEGIN + timedelta(seconds=end))


def question(*instances: str, start: int, end: int, total: bool = False) -> Question:
    return Question("chat", instances, window(start, end), STEP, "arm", total=total)


def test_every_metric_of_an_arm_is_read(prometheus: PrometheusClient) -> None:
    arm = read_arm(prometheus, question(TWO, start=60, end=540), sampled=("ttft_p95_seconds",))
    assert arm.problem == ""
    assert arm.requests == pytest.approx(2.0 * 480)
    assert {metric: arm.value(metric) for metric in VerificationMetric} == pytest.approx(
        {
            "ttft_p95_seconds": 2 + 0.95 * 8,
            "itl_p95_seconds": 0.1 + 0.95 * 0.9,
            "error_ratio": 0.0,
            "generation_tokens_per_second": 100.0,
            "preemptions_per_request": 0.0,
            "prefix_cache_hit_ratio": 0.25,
            "requests_waiting": 3.0,
            "device_memory_used_ratio": 0.98,
            "host_memory_available_ratio": 0.4,
            "seconds_per_token": 5 / 100,
            "queue_seconds_per_token": 3 / 100,
            "paused_ratio": 1 / 6,
            "model_on_device_ratio": 0.75,
            "probe_ttft_seconds": 0.2,
            "probe_itl_seconds": 0.02,
            "probe_failure_ratio": 0.0,
        }
    )
    assert arm.samples["ttft_p95_seconds"] == pytest.approx([9.6] * (480 // STEP + 1))


@pytest.mark.parametrize(
    ("work", "done"),
    [(Work.FIRST_TOKENS, 960), (Work.REQUESTS, 960), (Work.GENERATED_TOKENS, 48000), (Work.PROBES, 8)],
)
def test_what_an_arm_did_is_counted_in_what_its_engine_counts(
    prometheus: PrometheusClient, work: Work, done: float
) -> None:
    asked = replace(question(TWO, start=60, end=540), work=work)
    arm = read_arm(prometheus, asked)
    assert (arm.problem, arm.requests) == ("", pytest.approx(done, abs=1))  # of minutes the first may count too
    gone = replace(question(THREE, start=840, end=1200), work=work)  # away for half of it
    assert "for only" in read_arm(prometheus, gone).problem


def test_arms_are_per_replica_and_the_service_is_the_total(prometheus: PrometheusClient) -> None:
    both = {"start": 60, "end": 540}
    assert read_arm(prometheus, question(ONE, TWO, **both)).value("generation_tokens_per_second") == 150.0
    assert read_arm(prometheus, question(ONE, TWO, **both, total=True)).value("generation_tokens_per_second") == 300.0


def test_an_instance_with_odd_characters_selects_itself_and_nothing_else(prometheus: PrometheusClient) -> None:
    arm = read_arm(prometheus, question(THREE, start=60, end=540, total=True))
    assert (arm.problem, arm.value("generation_tokens_per_second")) == ("", 100.0)
    dotted = read_arm(prometheus, question("10.0.0.2.8000", start=60, end=540))
    assert dotted.requests is None


def test_a_replica_that_vanished_leaves_the_arm_unmeasurable(prometheus: PrometheusClient) -> None:
    gone = read_arm(prometheus, question(THREE, start=900, end=1200))
    assert "only" in gone.problem
    among_others = read_arm(prometheus, question(TWO, THREE, start=LAST_OF_THIRD - 60, end=1200))
    assert among_others.problem.endswith("of the window")


def test_an_unknown_replica_or_service_is_unknown_and_not_zero(prometheus: PrometheusClient) -> None:
    arm = read_arm(prometheus, question("10.9.9.9:1", start=60, end=540), sampled=("ttft_p95_seconds",))
    assert arm.requests is None
    assert {arm.value(metric) for metric in VerificationMetric} == {None}
    assert arm.samples["ttft_p95_seconds"] == ()
    assert arm.problem == "its metrics are there for only 0% of the window"


def test_objectives_are_the_rules_resolution(prometheus: PrometheusClient) -> None:
    at = BEGIN + timedelta(seconds=600)
    assert objective(prometheus, "chat", "ttft_p95_seconds", at) == 2.0
    assert objective(prometheus, "other", "ttft_p95_seconds", at) is None
    assert CHECKED_OBJECTIVES == ("error_ratio", "itl_p95_seconds", "ttft_p95_seconds")


def test_the_canary_passes_against_its_control_over_the_same_window(prometheus: PrometheusClient) -> None:
    plan = make_plan(instances=(ONE, TWO))
    verdict = canary_verdict(
        prometheus,
        plan,
        make_verification(window_seconds=300, interval_seconds=STEP),
        canary=ONE,
        control=[TWO],
        window=window(BACK + 60, BACK + 360),
        started=BEGIN + timedelta(seconds=CHANGED - 15),
        at=BEGIN + timedelta(seconds=BACK + 360),
    )
    assert verdict.outcome is VerdictOutcome.PASS, verdict.text
    assert "600 and 600 requests in 300 s" in verdict.text
    assert verdict.comparisons[0].canary == pytest.approx(0.1 + 0.95 * 0.9)


def test_a_replica_without_change_proves_nothing_and_a_vanished_one_is_an_error(prometheus: PrometheusClient) -> None:
    plan = make_plan(instances=(TWO, THREE))
    spec = make_verification(window_seconds=120, interval_seconds=STEP)

    def judged(canary: str, control: str) -> VerdictOutcome:
        return canary_verdict(
            prometheus,
            plan,
            spec,
            canary=canary,
            control=[control],
            window=window(1050, 1170),
            started=BEGIN + timedelta(seconds=500),
            at=BEGIN + timedelta(seconds=1170),
        ).outcome

    assert judged(TWO, TWO) is VerdictOutcome.INCONCLUSIVE
    assert judged(THREE, TWO) is VerdictOutcome.ERROR
    assert judged(TWO, THREE) is VerdictOutcome.ERROR


def test_the_service_is_validated_against_before_and_against_its_objectives(prometheus: PrometheusClient) -> None:
    plan = make_plan(instances=(ONE, TWO))
    spec = make_verification(window_seconds=300, interval_seconds=STEP)
    started = BEGIN + timedelta(seconds=CHANGED - 15)
    baseline = baseline_of(prometheus, plan, spec, (ONE, TWO), started)
    assert baseline.values["ttft_p95_seconds"] == pytest.approx(9.6)
    verdict, outcome = validation_verdict(
        prometheus,
        plan,
        spec,
        instances=(ONE, TWO),
        window=window(BACK + 60, BACK + 360),
        started=started,
        at=BEGIN + timedelta(seconds=BACK + 360),
    )
    assert verdict.outcome is VerdictOutcome.PASS, verdict.text
    assert outcome["generation_tokens_per_second"] == pytest.approx(300.0)
    assert [comparison.metric for comparison in verdict.comparisons[-3:]] == list(CHECKED_OBJECTIVES)
