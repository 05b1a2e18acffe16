"""The replayer shows the captured engine, moved on to the clock's time."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from demo.replay import Replayer, serve

CAPTURES = Path(__file__).parents[1] / "data" / "captures" / "vllm"
STATES = ("idle", "kv_pressure", "light", "prefix_hits", "saturated", "steady")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(page: str, name: str, **labels: str) -> float:
    (found,) = [v for (n, have), v in samples(page).items() if n == name and set(labels.items()) <= have]
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replayer(clock: Clock) -> Replayer:
    return Replayer(CAPTURES, clock)


def test_every_captured_state_is_served(replayer: Replayer) -> None:
    assert replayer.states == STATES


@pytest.mark.parametrize("state", [state for state in STATES if state != "kv_pressure"])
def test_at_the_start_the_page_is_the_first_capture(replayer: Replayer, state: str) -> None:
    assert samples(replayer.page(state)) == samples((CAPTURES / f"{state}.prom").read_text())


@pytest.mark.parametrize("state", STATES)
def test_after_thirty_seconds_counters_are_those_of_the_second_capture(
    replayer: Replayer, clock: Clock, state: str
) -> None:
    clock.now += 30
    now = samples(replayer.page(state))
    for (name, labels), expected in samples((CAPTURES / f"{state}.2.prom").read_text()).items():
        if name.endswith(("_total", "_bucket", "_sum", "_count")):
            assert now[name, labels] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("state", STATES)
def test_no_counter_goes_back_and_no_creation_time_moves(replayer: Replayer, clock: Clock, state: str) -> None:
    before = samples(replayer.page(state))
    clock.now += 3600
    for (name, labels), later in samples(replayer.page(state)).items():
        if name.endswith("_created"):
            assert later == before[name, labels]
        elif name.endswith(("_total", "_bucket", "_sum", "_count")):
            assert later >= before[name, labels]


def test_the_trace_drives_the_gauges_of_kv_pressure(replayer: Replayer, clock: Clock) -> None:
    seen = []
    for _ in range(40):
        page = replayer.page("kv_pressure")
        waiting = value(page, "vllm:num_requests_waiting")
        assert value(page, "vllm:num_requests_waiting_by_reason", reason="capacity") == waiting
        assert value(page, "vllm:num_requests_waiting_by_reason", reason="deferred") == 0
        seen.append(value(page, "vllm:kv_cache_usage_perc"))
        clock.now += 1
    assert (min(seen), max(seen), sum(v == 1 for v in seen)) == (pytest.approx(0.652, abs=1e-3), 1.0, 18)
    assert value(replayer.page("kv_pressure"), "vllm:kv_cache_usage_perc") == seen[0]


def test_speed_compresses_time(clock: Clock) -> None:
    fast = Replayer(CAPTURES, clock, speed=10)
    plain = Replayer(CAPTURES, clock)
    clock.now += 30
    page = fast.page("saturated")
    clock.now += 270
    assert samples(plain.page("saturated")) == samples(page)


def test_it_is_served_over_http_and_an_unknown_state_is_404(replayer: Replayer) -> None:
    with serve(replayer) as base:
        with urllib.request.urlopen(f"{base}/idle/metrics") as answer:
            assert answer.read().decode() == replayer.page("idle")
            assert answer.headers["Content-Type"].startswith("text/plain")
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{base}/nonsense/metrics")
        refused.value.close()


def test_a_folder_without_captures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no captures here"):
        Replayer(tmp_path)


def test_an_unequal_pair_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.prom").write_text("# TYPE a gauge\na 1\n")
    (tmp_path / "x.2.prom").write_text("# TYPE b gauge\nb 1\n")
    with pytest.raises(ValueError, match="no series a"):
        Replayer(tmp_path)
