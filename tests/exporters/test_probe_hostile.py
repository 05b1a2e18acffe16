"""A target may send anything: its probe ends in bounded time and memory with a reason, and the others go on."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporters.inference import AllowList, Prober
from tests.helpers.hostile import HARMS, HostileServer

# Of the processor, for one probe; the slowest take a fifth of it on an idle machine.
CPU_SECONDS = 3.0
# For pages that end by themselves; generous, for a busy machine.
DEADLINE = 20.0
# The exporter's peak with nearly all of its threads at harmful pages, 50 MiB of which it has before it begins.
PEAK_MEBIBYTES = 384
HARMFUL = 60

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


@pytest.fixture(name="prober", scope="module")
def _prober() -> Prober:
    return Prober(AllowList.parse(["127.0.0.0/8"]), timeout_seconds=DEADLINE)


def samples(body: bytes) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("name", sorted(HARMS))
def test_a_harmful_page_ends_in_time_with_its_reason(server: HostileServer, prober: Prober, name: str) -> None:
    start, cpu = time.monotonic(), time.thread_time()
    result = prober.probe(server.target(name), "vllm", "2.5" if HARMS[name].slow else None)
    seconds, cpu_seconds = time.monotonic() - start, time.thread_time() - cpu
    assert cpu_seconds < CPU_SECONDS
    assert seconds < DEADLINE + CPU_SECONDS
    found = samples(result.body)
    if HARMS[name].reason is None:
        assert found["llm_up", (("engine", "vllm"),)] == 1
        assert sum(value for (name, _), value in found.items() if name == "llm_requests_running") >= 3
    else:
        assert found["llm_up", (("engine", "vllm"),)] == 0
        assert found["llm_scrape_failure_info", (("reason", str(HARMS[name].reason)),)] == 1
        assert len(found) == 3  # and its duration: nothing of the page


# -- pages that are read, less what is wrong with them


def read(text: str) -> tuple[Samples, float]:
    """What a probe of a page gives, and how many lines it left out."""

    class OnePage(HostileServer):
        def page(self, _: str, __: str) -> Iterator[bytes]:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
            return iter((head, text.encode()))

    with OnePage() as server:
        found = samples(Prober(AllowList.parse(["127.0.0.0/8"])).probe(server.target("page"), "vllm").body)
    assert found["llm_up", (("engine", "vllm"),)] == 1
    return found, found["llm_scrape_skipped_lines", ()]


def running(model: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return "llm_requests_running", (("engine", "vllm"), ("model", model))


def test_of_contradictory_series_the_first_counts_and_the_others_are_counted() -> None:
    line = 'vllm:num_requests_running{model_name="m",engine="0"}'
    found, skipped = read(f'{line} 3\n{line} 4\n{line} 3\nvllm:num_requests_running{{engine="0",model_name="m"}} 9\n')
    assert (found[running("m")], skipped) == (3, 3)


def test_types_that_contradict_change_nothing() -> None:
    line = 'vllm:num_requests_running{model_name="m"} 3\n'
    found, skipped = read(f"# TYPE vllm:num_requests_running histogram\n{line}# TYPE vllm:num_requests_running gauge\n")
    assert (found[running("m")], skipped) == (3, 0)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1"])
def test_a_value_that_cannot_be_is_absent_and_counted(value: str) -> None:
    counter = f'vllm:generation_tokens_total{{model_name="m"}} {value}\n'
    found, skipped = read(f'vllm:num_requests_running{{model_name="m"}} 3\n{counter}')
    assert (found[running("m")], skipped) == (3, 1)
    assert not [name for name, _ in found if name == "llm_generation_tokens_total"]


@pytest.mark.parametrize("buckets", [{"0.1": 5, "1": 3, "+Inf": 9}, {"0.1": 3, "1": 5}])
def test_a_histogram_that_cannot_be_is_absent_and_counted(buckets: dict[str, float]) -> None:
    name = "vllm:time_to_first_token_seconds"
    lines = [f'{name}_bucket{{model_name="m",le="{bound}"}} {value}\n' for bound, value in buckets.items()]
    lines += [f'{name}_sum{{model_name="m"}} 3\n', f'{name}_count{{model_name="m"}} 9\n']
    found, skipped = read("".join(lines))
    assert skipped == len(lines)
    assert not [name for name, _ in found if name.startswith("llm_time_to_first_token")]


@pytest.mark.parametrize("model", ['a"b', "a\\b", "a\nb", "a} 9", "{", "a,b=c", " ", "é中😀", "\\n", "a#b"])
def test_label_values_with_quotes_newlines_and_backslashes_come_through(model: str) -> None:
    escaped = model.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    found, skipped = read(f'vllm:num_requests_running{{model_name="{escaped}"}} 3\n')
    assert (found[running(model)], skipped) == (3, 0)


def test_dos_line_ends_timestamps_and_an_end_mark_are_read_over_and_exemplars_are_not_of_this_format() -> None:
    line = 'vllm:num_requests_running{{model_name="{}"}} {}\r\n'
    page = line.format("a", 3) + line.format("b", "4 1700000000000") + line.format("c", '5 # {x="y"} 1 2') + "# EOF\r\n"
    found, skipped = read(page)
    assert (found[running("a")], found[running("b")], skipped) == (3, 4, 1)
    assert running("c") not in found


# -- the process


def peak_mebibytes(process: "subprocess.Popen[str]") -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.process
def test_the_memory_of_the_exporter_is_bounded_and_good_engines_are_read_while_all_others_harm_it(
    server: HostileServer,
) -> None:
    command = [sys.executable, "-c", "from exporters.cli import exporter; exporter()", "--port", "0"]
    flags = ["--collectors", "load", "--probe-allow", "127.0.0.0/8"]
    with (
        subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True) as process,
        contextlib.ExitStack() as end,
    ):
        end.callback(process.kill)
        assert process.stderr is not None
        url = json.loads(process.stderr.readline())["url"]

        def probe(harm: str) -> Samples:
            query = urllib.parse.urlencode({"target": server.target(harm), "engine": "vllm"})
            with urllib.request.urlopen(f"{url}/probe?{query}", timeout=60) as answer:
                return samples(answer.read())

        heavy = [name for name, harm in HARMS.items() if harm.heavy]
        with ThreadPoolExecutor(HARMFUL) as pool:
            harmed = [pool.submit(probe, name) for name in (heavy * HARMFUL)[: 2 * HARMFUL]]
            while not all(probe_under_way.done() for probe_under_way in harmed):
                assert probe("good")["llm_up", (("engine", "vllm"),)] == 1
            for ended in harmed:
                ended.result()
        assert process.poll() is None
        assert peak_mebibytes(process) < PEAK_MEBIBYTES
